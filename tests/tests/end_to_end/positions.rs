//! Readers that ask for too much, too little, or for a place that is none.

use std::time::Duration;

use anabranch_proto::v1::{self, ShardIteratorType as Type};
use tonic::Code;

use super::in_process::Machine;
use super::rpc::*;
use anabranch_tests::support::START_MS;

async fn orders(records: usize) -> (Machine, Stub) {
    let machine = Machine::start(3).await;
    let mut stub = machine.connect().await;
    create(&mut stub, "orders", 1).await;
    for _ in 0..records {
        put_one(&mut stub, "orders", "data").await;
    }
    (machine, stub)
}

fn numbers(records: &[v1::Record]) -> Vec<u64> {
    records.iter().map(|record| record.sequence_number).collect()
}

async fn page(stub: &mut Stub, shard_iterator: &str) -> v1::GetRecordsResponse {
    stub.get_records(get(shard_iterator)).await.unwrap().into_inner()
}

fn by_number(kind: Type, number: u64) -> v1::GetShardIteratorRequest {
    v1::GetShardIteratorRequest {
        starting_sequence_number: Some(number),
        ..iterator_request("orders", 0, kind)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_0_or_over_10_000_and_a_wait_over_30_seconds_are_refused() {
    let (machine, mut stub) = orders(1).await;
    let good = iterator(&mut stub, "orders", 0, Type::TrimHorizon).await;
    for (request, field) in [
        (v1::GetRecordsRequest { limit: Some(0), ..get(&good) }, "limit"),
        (v1::GetRecordsRequest { limit: Some(10_001), ..get(&good) }, "limit"),
        (v1::GetRecordsRequest { limit: Some(u32::MAX), ..get(&good) }, "limit"),
        (v1::GetRecordsRequest { max_bytes: Some(0), ..get(&good) }, "max_bytes"),
        (v1::GetRecordsRequest { max_bytes: Some((10 << 20) + 1), ..get(&good) }, "max_bytes"),
        (v1::GetRecordsRequest { wait_ms: Some(30_001), ..get(&good) }, "wait_ms"),
        (v1::GetRecordsRequest { wait_ms: Some(u32::MAX), ..get(&good) }, "wait_ms"),
    ] {
        let refusal = refused(stub.get_records(request).await);
        assert_eq!(refusal.summary(), invalid(field));
        assert!(refusal.values.contains_key("max"), "{refusal:?}");
    }
    for limit in [Some(0), Some(10_001)] {
        let request = v1::ListStreamsRequest { limit, ..Default::default() };
        assert_eq!(refused(stub.list_streams(request).await).summary(), invalid("limit"));
        let stream_name = "orders".to_owned();
        let request = v1::DescribeStreamRequest { stream_name, limit, ..Default::default() };
        assert_eq!(refused(stub.describe_stream(request).await).summary(), invalid("limit"));
        let stream_name = "orders".to_owned();
        let request =
            v1::ListShardsRequest { stream_name, max_results: limit, ..Default::default() };
        assert_eq!(refused(stub.list_shards(request).await).summary(), invalid("max_results"));
        let stream_name = "orders".to_owned();
        let request = v1::ListStreamConsumersRequest {
            stream_name,
            max_results: limit,
            ..Default::default()
        };
        let refusal = refused(stub.list_stream_consumers(request).await);
        assert_eq!(refusal.summary(), invalid("max_results"));
    }
    register(&mut stub, "orders", "app").await;
    for max_bytes in [Some(0), Some(u32::MAX)] {
        let request = subscribe_request("orders", "app", 0, Type::Latest);
        let request = v1::SubscribeToShardRequest { max_bytes, ..request };
        assert_eq!(refused(stub.subscribe_to_shard(request).await).summary(), invalid("max_bytes"));
    }
    machine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_iterator_is_refused_whatever_was_changed() {
    let (machine, mut stub) = orders(1).await;
    let good = iterator(&mut stub, "orders", 0, Type::TrimHorizon).await;
    let mut forged: Vec<String> = vec![
        String::new(),
        "AAAA".to_owned(),
        "\u{0}".to_owned(),
        "x".repeat(100_000),
        good[..good.len() - 1].to_owned(),
        format!("{good}A"),
    ];
    for index in 0..good.len() {
        let mut bytes = good.clone().into_bytes();
        // Another letter of the same alphabet; the last one may hold unused bits.
        bytes[index] = if bytes[index] == b'A' { b'B' } else { b'A' };
        forged.push(String::from_utf8(bytes).unwrap());
    }
    for token in &forged {
        let refusal = refused(stub.get_records(get(token)).await);
        assert_eq!(refusal.summary(), invalid("shard_iterator"), "{token:.80}");
    }
    assert_eq!(page(&mut stub, &good).await.records.len(), 1);
    machine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_iterator_expires_after_300_seconds_and_is_good_over_a_restart_until_then() {
    let (machine, mut stub) = orders(1).await;
    let token = iterator(&mut stub, "orders", 0, Type::TrimHorizon).await;
    machine.clock.advance(Duration::from_secs(299));
    let machine = machine.restart().await;
    let mut stub = machine.connect().await;
    assert_eq!(page(&mut stub, &token).await.records.len(), 1);
    machine.clock.advance(Duration::from_secs(2));
    let refusal = refused(stub.get_records(get(&token)).await);
    assert_eq!(refusal.summary(), (Code::InvalidArgument, "ExpiredIteratorException", None));
    assert_eq!(refusal.values["created_ms"], START_MS.to_string());
    machine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_iterator_of_a_deleted_incarnation_never_reads_its_namesake() {
    let (machine, mut stub) = orders(1).await;
    let token = iterator(&mut stub, "orders", 0, Type::TrimHorizon).await;
    delete(&mut stub, "orders").await;
    assert_eq!(refused(stub.get_records(get(&token)).await).summary(), NOT_FOUND);
    create(&mut stub, "orders", 1).await;
    put_one(&mut stub, "orders", "of another stream").await;
    assert_eq!(refused(stub.get_records(get(&token)).await).summary(), NOT_FOUND);
    machine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_iterator_below_the_horizon_reads_from_the_horizon() {
    let (machine, mut stub) = orders(3).await;
    machine.clock.advance(Duration::from_secs(25 * 3600));
    assert_eq!(put_one(&mut stub, "orders", "young").await, 4);
    let token = by_number(Type::AtSequenceNumber, 1);
    let token = stub.get_shard_iterator(token).await.unwrap().into_inner().shard_iterator;
    // Retention runs in the background and says nothing when it has; asking again is all that
    // an outsider can do.
    eventually(async || numbers(&page(&mut stub, &token).await.records) == [4]).await;
    let horizon = iterator(&mut stub, "orders", 0, Type::TrimHorizon).await;
    assert_eq!(numbers(&page(&mut stub, &horizon).await.records), [4]);
    machine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_iterator_past_the_tip_waits_there() {
    // Two machines with the same seed give out each other's tokens; one is further on.
    let (ahead, mut stub) = orders(5).await;
    let token = iterator(&mut stub, "orders", 0, Type::Latest).await;
    ahead.stop().await;
    let (machine, mut stub) = orders(2).await;
    let first = page(&mut stub, &token).await;
    assert!(first.records.is_empty());
    assert_eq!(first.millis_behind_latest, 0);
    for _ in 0..4 {
        put_one(&mut stub, "orders", "data").await;
    }
    for token in [&token, &first.next_shard_iterator] {
        assert_eq!(numbers(&page(&mut stub, token).await.records), [6]);
    }
    machine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sequence_number_of_another_shard_or_beyond_the_end_is_refused() {
    let (machine, mut stub) = orders(3).await;
    // The other shard has numbers of its own, some of which this one has not reached.
    create(&mut stub, "other", 1).await;
    for _ in 0..9 {
        put_one(&mut stub, "other", "").await;
    }
    let foreign = put_one(&mut stub, "other", "").await;
    for (kind, number) in [
        (Type::AtSequenceNumber, foreign),
        (Type::AtSequenceNumber, 5),
        (Type::AfterSequenceNumber, 4),
        (Type::AfterSequenceNumber, foreign),
        (Type::AtSequenceNumber, u64::MAX),
        (Type::AfterSequenceNumber, u64::MAX),
    ] {
        let refusal = refused(stub.get_shard_iterator(by_number(kind, number)).await);
        assert_eq!(refusal.summary(), invalid("starting_sequence_number"), "{kind:?} {number}");
        assert_eq!(refusal.values["value"], number.to_string());
        assert_eq!(refusal.values["shard_id"], "shardId-000000000000");
    }
    let request = v1::PutRecordRequest {
        stream_name: "orders".to_owned(),
        partition_key: "key".to_owned(),
        sequence_number_for_ordering: Some(foreign),
        ..Default::default()
    };
    let refusal = refused(stub.put_record(request).await);
    assert_eq!(refusal.summary(), invalid("sequence_number_for_ordering"));
    assert_eq!(count(&mut stub, "orders", 1).await, 3);
    register(&mut stub, "orders", "app").await;
    let mut request = subscribe_request("orders", "app", 0, Type::AtSequenceNumber);
    request.starting_position.as_mut().unwrap().sequence_number = Some(foreign);
    let refusal = refused(stub.subscribe_to_shard(request).await);
    assert_eq!(refusal.summary(), invalid("starting_position.sequence_number"));
    machine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timestamp_in_the_future_is_refused_with_the_servers_time() {
    let (machine, mut stub) = orders(1).await;
    let at = |timestamp_ms| v1::GetShardIteratorRequest {
        timestamp_ms: Some(timestamp_ms),
        ..iterator_request("orders", 0, Type::AtTimestamp)
    };
    for future in [START_MS + 1, u64::MAX] {
        let refusal = refused(stub.get_shard_iterator(at(future)).await);
        assert_eq!(refusal.summary(), invalid("timestamp_ms"));
        assert_eq!(refusal.values["now_ms"], START_MS.to_string());
    }
    let token = stub.get_shard_iterator(at(START_MS)).await.unwrap().into_inner();
    assert_eq!(page(&mut stub, &token.shard_iterator).await.records.len(), 1);
    register(&mut stub, "orders", "app").await;
    let mut request = subscribe_request("orders", "app", 0, Type::AtTimestamp);
    request.starting_position.as_mut().unwrap().timestamp_ms = Some(START_MS + 1);
    let refusal = refused(stub.subscribe_to_shard(request).await);
    assert_eq!(refusal.summary(), invalid("starting_position.timestamp_ms"));
    machine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn latest_on_an_empty_shard_reads_what_comes_after_it() {
    let (machine, mut stub) = orders(0).await;
    register(&mut stub, "orders", "app").await;
    let token = iterator(&mut stub, "orders", 0, Type::Latest).await;
    let empty = page(&mut stub, &token).await;
    assert!(empty.records.is_empty() && empty.millis_behind_latest == 0);
    let request = subscribe_request("orders", "app", 0, Type::Latest);
    let mut events = stub.subscribe_to_shard(request).await.unwrap().into_inner();
    let mut polling = stub.clone();
    let polled = {
        let token = empty.next_shard_iterator.clone();
        tokio::spawn(async move { polling.get_records(wait_for(&token)).await })
    };
    for number in 1..=3 {
        assert_eq!(put_one(&mut stub, "orders", "data").await, number);
    }
    for token in [&token, &empty.next_shard_iterator] {
        assert_eq!(numbers(&page(&mut stub, token).await.records), [1, 2, 3]);
    }
    let polled = polled.await.unwrap().unwrap().into_inner();
    assert_eq!(polled.records[0].sequence_number, 1);
    let mut pushed = Vec::new();
    while pushed.len() < 3 {
        let event = events.message().await.unwrap().unwrap();
        pushed.extend(numbers(&event.records));
    }
    assert_eq!(pushed, [1, 2, 3]);
    machine.stop().await;
}
