//! What can be wrong with the machine, seen through the API: the disk and the clock are
//! simulated, the server and its clients are not.

use std::time::Duration;

use anabranch_engine::fs::{Fault, Op};
use anabranch_proto::v1::ShardIteratorType as Type;
use tonic::Code;

use super::in_process::Machine;
use super::rpc::*;

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_puts_serves_reads_and_resumes_by_itself() {
    let machine = Machine::start(5).await;
    let mut stub = machine.connect().await;
    create(&mut stub, "orders", 1).await;
    machine.disk.inject(Fault::Full { free_bytes: 1 << 20 });
    let request = || put_request("orders", vec![entry("key", vec![7; 100_000])]);
    let mut put = 0;
    let refusal = loop {
        match stub.put_records(request()).await {
            Ok(answer) => {
                assert_eq!(answer.into_inner().failed_record_count, 0);
                put += 1;
            }
            Err(status) => break Refusal::of(&status),
        }
    };
    assert_eq!(refusal.summary(), (Code::ResourceExhausted, "DiskFullException", None));
    assert!(refusal.retry_after.is_some());
    let requests = tokio_stream::iter([produce_request("orders", request().records)]);
    let mut answers = stub.produce(requests).await.unwrap().into_inner();
    let refusal = Refusal::of(&answers.message().await.unwrap_err());
    assert_eq!(refusal.reason, "DiskFullException");
    assert_eq!(count(&mut stub, "orders", 1).await, put);
    machine.disk.clear_faults();
    put_one(&mut stub, "orders", "again").await;
    let machine = machine.restart().await;
    let mut stub = machine.connect().await;
    let records = read_shard(&mut stub, "orders", 0).await;
    assert_eq!(records.len(), put + 1);
    assert_eq!(records[put].data, "again");
    machine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_sync_is_no_acknowledgement_and_halts_its_shard_until_a_restart() {
    let machine = Machine::start(6).await;
    let mut stub = machine.connect().await;
    create(&mut stub, "orders", 1).await;
    create(&mut stub, "other", 1).await;
    put_one(&mut stub, "orders", "durable").await;
    machine.disk.inject(Fault::Fails { op: Op::Sync, nth: 1, is_full: false });
    let request = || put_request("orders", vec![entry("key", "lost or not")]);
    refused(stub.put_records(request()).await);
    let refusal = refused(stub.put_records(request()).await);
    assert_eq!(refusal.summary(), (Code::Unavailable, "LogHaltedException", None));
    assert_eq!(refusal.values["shard_id"], "shardId-000000000000");
    assert_eq!(count(&mut stub, "orders", 1).await, 1, "reads go on");
    put_one(&mut stub, "other", "the others too").await;
    let machine = machine.restart().await;
    let mut stub = machine.connect().await;
    let before = read_shard(&mut stub, "orders", 0).await;
    assert_eq!(before[0].data, "durable");
    let number = put_one(&mut stub, "orders", "again").await;
    assert!(number > before.last().unwrap().sequence_number);
    machine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_by_a_year_loses_nothing_and_never_runs_back() {
    let machine = Machine::start(7).await;
    let mut stub = machine.connect().await;
    create(&mut stub, "orders", 1).await;
    put_one(&mut stub, "orders", "1").await;
    let start_ms = anabranch_tests::support::START_MS;
    let year_ms = YEAR.as_millis() as u64;
    let token = iterator(&mut stub, "orders", 0, Type::TrimHorizon).await;
    for (index, wall_ms) in
        [start_ms + year_ms, start_ms - year_ms, start_ms].into_iter().enumerate()
    {
        machine.clock.set_wall_ms(wall_ms);
        put_one(&mut stub, "orders", (index + 2).to_string()).await;
        // A token is as good as before: its age is not what the wall clock says.
        stub.get_records(get(&token)).await.unwrap();
    }
    machine.clock.set_wall_ms(start_ms + year_ms);
    let machine = machine.restart().await;
    let mut stub = machine.connect().await;
    put_one(&mut stub, "orders", "5").await;
    machine.clock.set_wall_ms(start_ms - year_ms);
    let machine = machine.restart().await;
    let mut stub = machine.connect().await;
    put_one(&mut stub, "orders", "6").await;
    let records = read_shard(&mut stub, "orders", 0).await;
    let data: Vec<_> = records.iter().map(|record| &record.data[..]).collect();
    assert_eq!(data, [b"1", b"2", b"3", b"4", b"5", b"6"]);
    assert!(records.is_sorted_by_key(|record| record.arrival_time_ms));
    machine.stop().await;
}
