//! Puts that no stream takes: refused with a status, a reason and the field, and without a
//! trace in the log.

use anabranch_proto::v1;
use prost::Message;
use tonic::Code;

use super::in_process::Machine;
use super::raw::{Wire, field, framed, tag, varint};
use super::rpc::*;

const MIB: usize = 1 << 20;

/// A machine with the stream `orders`, and a connection to it.
async fn orders(shards: u32) -> (Machine, Stub) {
    let machine = Machine::start(1).await;
    let mut stub = machine.connect().await;
    create(&mut stub, "orders", shards).await;
    (machine, stub)
}

/// The field that a batch is refused for, after a proof that nothing of it stands.
async fn refused_field(stub: &mut Stub, records: Vec<v1::PutRecordsRequestEntry>) -> String {
    let refusal = refused_batch(stub, records).await;
    assert_eq!(refusal.reason, "InvalidArgumentException", "{refusal:?}");
    refusal.field.expect("the field is named")
}

/// The refusal of a batch, after a proof that nothing of it stands.
async fn refused_batch(stub: &mut Stub, records: Vec<v1::PutRecordsRequestEntry>) -> Refusal {
    let refusal = refused(stub.put_records(put_request("orders", records.clone())).await);
    assert_eq!(refusal.code, Code::InvalidArgument, "{refusal:?}");
    // The same through Produce, whose call ends with it.
    let requests = tokio_stream::iter([produce_request("orders", records)]);
    let mut answers = stub.produce(requests).await.unwrap().into_inner();
    let ended = Refusal::of(&answers.message().await.unwrap_err());
    assert_eq!(ended.summary(), refusal.summary());
    assert_eq!(count(stub, "orders", 1).await, 0, "nothing of a refused batch is appended");
    refusal
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_of_exactly_1_mib_is_put_and_one_byte_more_is_refused() {
    let (machine, mut stub) = orders(1).await;
    let records = vec![entry("good", "good"), entry("key", vec![7; MIB - 2])];
    assert_eq!(refused_field(&mut stub, records).await, "records[1].data");
    let single = v1::PutRecordRequest {
        stream_name: "orders".to_owned(),
        partition_key: "key".to_owned(),
        data: vec![7; MIB - 2].into(),
        ..Default::default()
    };
    assert_eq!(refused(stub.put_record(single).await).summary(), invalid("data"));
    put_one(&mut stub, "orders", vec![7; MIB - 3]).await;
    let records = read_shard(&mut stub, "orders", 0).await;
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].data, vec![7; MIB - 3]);
    machine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_500_records_is_put_and_one_of_501_is_refused_whole() {
    let (machine, mut stub) = orders(1).await;
    let records = |count| (0..count).map(|_| entry("key", "")).collect::<Vec<_>>();
    assert_eq!(refused_field(&mut stub, records(501)).await, "records");
    stub.put_records(put_request("orders", records(500))).await.unwrap();
    assert_eq!(count(&mut stub, "orders", 1).await, 500);
    machine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_exactly_10_mib_is_put_and_one_byte_more_is_refused_whole() {
    let (machine, mut stub) = orders(1).await;
    let mut records: Vec<_> = (0..10).map(|_| entry("k", vec![1; MIB - 1])).collect();
    records.push(entry("k", ""));
    assert_eq!(refused_field(&mut stub, records.clone()).await, "records");
    records.pop();
    stub.put_records(put_request("orders", records)).await.unwrap();
    assert_eq!(count(&mut stub, "orders", 1).await, 10);
    machine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_batch_is_refused() {
    let (machine, mut stub) = orders(1).await;
    assert_eq!(refused_field(&mut stub, Vec::new()).await, "records");
    machine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_data_is_a_record_like_any_other() {
    let (machine, mut stub) = orders(1).await;
    assert_eq!(put_one(&mut stub, "orders", "").await, 1);
    let single = v1::PutRecordRequest {
        stream_name: "orders".to_owned(),
        partition_key: "key".to_owned(),
        ..Default::default()
    };
    stub.put_record(single).await.unwrap();
    let records = read_shard(&mut stub, "orders", 0).await;
    assert_eq!(records.len(), 2);
    assert!(records.iter().all(|record| record.data.is_empty()));
    machine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_key_of_0_or_257_characters_is_refused_and_one_of_256_is_not() {
    let (machine, mut stub) = orders(1).await;
    // Characters count, not bytes.
    let longest = "\u{e4}".repeat(256);
    for key in [String::new(), "k".repeat(257), format!("{longest}x")] {
        let records = vec![entry("good", "good"), entry(&key, "data")];
        // None at all is a member that the API model asks for.
        let reason =
            if key.is_empty() { "ValidationException" } else { "InvalidArgumentException" };
        let refusal = refused_batch(&mut stub, records).await;
        assert_eq!(refusal.reason, reason);
        assert_eq!(refusal.field.as_deref(), Some("records[1].partition_key"));
        let single = v1::PutRecordRequest {
            stream_name: "orders".to_owned(),
            partition_key: key,
            ..Default::default()
        };
        let refusal = refused(stub.put_record(single).await);
        assert_eq!(refusal.summary(), (Code::InvalidArgument, reason, Some("partition_key")));
    }
    stub.put_records(put_request("orders", vec![entry(&longest, "")])).await.unwrap();
    assert_eq!(read_shard(&mut stub, "orders", 0).await[0].partition_key, longest);
    machine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_key_that_is_not_utf_8_is_refused() {
    let (machine, mut stub) = orders(1).await;
    let mut wire = Wire::connect(machine.address()).await;
    let entry = |key: &[u8]| [field(1, b"data"), field(2, key)].concat();
    let request = |key: &[u8]| [field(1, b"orders"), field(2, &entry(key))].concat();
    let single = |key: &[u8]| [field(1, b"orders"), field(2, b"data"), field(3, key)].concat();
    for key in [&b"\xff"[..], b"half a character \xc3", b"\xed\xa0\x80"] {
        for (method, message) in
            [("PutRecords", request(key)), ("Produce", request(key)), ("PutRecord", single(key))]
        {
            let refusal = Refusal::of(&wire.call(method, &message).await);
            assert_eq!(refusal.code, Code::InvalidArgument, "{method} {refusal:?}");
            assert_eq!(refusal.reason, "InvalidArgumentException");
        }
    }
    assert_eq!(count(&mut stub, "orders", 1).await, 0);
    let good = wire.call("PutRecords", &request("\u{fc}".as_bytes())).await;
    assert_eq!(good.code(), Code::Ok, "{good}");
    assert_eq!(count(&mut stub, "orders", 1).await, 1);
    machine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_explicit_hash_key_chooses_the_shard_and_is_refused_out_of_range() {
    let (machine, mut stub) = orders(2).await;
    let with = |hash_key: &str| v1::PutRecordsRequestEntry {
        explicit_hash_key: Some(hash_key.to_owned()),
        ..entry("key", "data")
    };
    let highest = u128::MAX.to_string();
    for wrong in ["340282366920938463463374607431768211456", "-1", "", "0x10", " 1", "1e3"] {
        let request = put_request("orders", vec![with("0"), with(wrong)]);
        let refusal = refused(stub.put_records(request).await);
        assert_eq!(refusal.summary(), invalid("records[1].explicit_hash_key"), "{wrong:?}");
        assert_eq!(refusal.values["value"], wrong);
        let single = v1::PutRecordRequest {
            stream_name: "orders".to_owned(),
            partition_key: "key".to_owned(),
            explicit_hash_key: Some(wrong.to_owned()),
            ..Default::default()
        };
        assert_eq!(refused(stub.put_record(single).await).summary(), invalid("explicit_hash_key"));
    }
    assert_eq!(count(&mut stub, "orders", 2).await, 0);
    let request = put_request("orders", vec![with("0"), with(&highest)]);
    let answer = stub.put_records(request).await.unwrap().into_inner();
    let shards: Vec<_> = answer.records.iter().map(|record| record.shard_id.as_str()).collect();
    assert_eq!(shards, ["shardId-000000000000", "shardId-000000000001"]);
    machine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn truncated_and_overlong_varints_are_refused() {
    let (machine, mut stub) = orders(1).await;
    let mut wire = Wire::connect(machine.address()).await;
    let good = put_request("orders", vec![entry("key", "data")]).encode_to_vec();
    let overlong = [[0x80; 10].as_slice(), &[1]].concat();
    let hostile = [
        ("a tag without an end", [&good[..], &[0x80]].concat()),
        ("a tag of eleven bytes", [&good[..], &overlong].concat()),
        ("a length without an end", [good.clone(), tag(2, 2), vec![0xff]].concat()),
        ("a length of eleven bytes", [good.clone(), tag(2, 2), overlong.clone()].concat()),
        ("a length beyond the message", [good.clone(), tag(2, 2), varint(5)].concat()),
        ("the longest length", [good.clone(), tag(2, 2), varint(u64::MAX)].concat()),
        ("a value without an end", [good.clone(), tag(9, 0), vec![0x80]].concat()),
        ("a value of eleven bytes", [good.clone(), tag(9, 0), overlong].concat()),
        ("half a fixed64", [good.clone(), tag(9, 1), vec![0; 7]].concat()),
        ("the field number 0", [&good[..], &[0x02, 0]].concat()),
        ("the wire type 7", [good.clone(), tag(9, 7)].concat()),
        ("the wrong wire type", [good.clone(), tag(2, 0), varint(1)].concat()),
    ];
    for (what, message) in &hostile {
        for method in ["PutRecords", "Produce", "PutRecord", "GetRecords", "SubscribeToShard"] {
            let refusal = Refusal::of(&wire.call(method, message).await);
            assert_eq!(refusal.code, Code::InvalidArgument, "{method}: {what}: {refusal:?}");
            assert_eq!(refusal.reason, "InvalidArgumentException", "{method}: {what}");
        }
    }
    // Every cut of a good message that leaves a field in pieces.
    for len in 1..good.len() {
        let cut = wire.call("PutRecords", &good[..len]).await;
        Refusal::of(&cut);
    }
    assert_eq!(count(&mut stub, "orders", 1).await, 0);
    machine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_fields_are_skipped_and_of_repeated_ones_the_last_counts() {
    let (machine, mut stub) = orders(1).await;
    let mut wire = Wire::connect(machine.address()).await;
    let unknown = [
        [tag(90, 0), varint(u64::MAX)].concat(),
        [tag(91, 1), vec![1; 8]].concat(),
        field(92, b"of a later version"),
        [tag(93, 5), vec![1; 4]].concat(),
    ]
    .concat();
    let record = [
        unknown.clone(),
        field(1, b"first"),
        field(2, b"first"),
        field(3, b"1"),
        field(1, b"last"),
        field(2, b"key"),
        unknown.clone(),
    ]
    .concat();
    let message = [field(1, b"other"), field(2, &record), unknown, field(1, b"orders")].concat();
    for method in ["PutRecords", "Produce"] {
        let status = wire.call(method, &message).await;
        assert_eq!(status.code(), Code::Ok, "{method}: {status}");
    }
    let records = read_shard(&mut stub, "orders", 0).await;
    assert_eq!(records.len(), 2);
    for record in records {
        assert_eq!((record.partition_key.as_str(), &record.data[..]), ("key", &b"last"[..]));
    }
    machine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_oversized_and_broken_messages_are_refused() {
    let (machine, mut stub) = orders(1).await;
    let mut wire = Wire::connect(machine.address()).await;
    let good = put_request("orders", vec![entry("key", "data")]).encode_to_vec();
    for method in ["PutRecords", "Produce", "ListStreams", "SubscribeToShard"] {
        let refusal = Refusal::of(&wire.call_with_body(method, framed(1, &good)).await);
        assert_eq!(refusal.code, Code::Unimplemented, "{method}: compressed");
        let refusal = Refusal::of(&wire.call_with_body(method, framed(9, &good)).await);
        assert_eq!(refusal.code, Code::InvalidArgument, "{method}: an unknown flag");
        // The prefix alone is enough to refuse: nobody waits for 4 GiB.
        let body = [0, 0xff, 0xff, 0xff, 0xff].to_vec();
        let refusal = Refusal::of(&wire.call_with_body(method, body).await);
        assert_eq!(refusal.code, Code::InvalidArgument, "{method}: 4 GiB");
        let cut = framed(0, &good)[..9].to_vec();
        let refusal = Refusal::of(&wire.call_with_body(method, cut).await);
        assert_eq!(refusal.code, Code::InvalidArgument, "{method}: cut");
    }
    let refusal = Refusal::of(&wire.call_with_body("PutRecords", Vec::new()).await);
    assert_eq!(refusal.code, Code::InvalidArgument, "no message");
    let twice = [framed(0, &good), framed(0, &good)].concat();
    let refusal = Refusal::of(&wire.call_with_body("PutRecords", twice).await);
    assert_eq!(refusal.code, Code::InvalidArgument, "two messages");
    assert_eq!(count(&mut stub, "orders", 1).await, 0);
    machine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_for_one_shard_keep_their_order_and_their_bytes() {
    let (machine, mut stub) = orders(3).await;
    let data = |index: u32| [index.to_be_bytes().as_slice(), &[0, 0xff, b'\n']].concat();
    for batch in 0..4 {
        let records = (0..500).map(|index| entry(&index.to_string(), data(batch * 500 + index)));
        stub.put_records(put_request("orders", records.collect())).await.unwrap();
    }
    let mut seen = 0;
    for shard in 0..3 {
        let records = read_shard(&mut stub, "orders", shard).await;
        let indexes: Vec<u32> = records
            .iter()
            .map(|record| u32::from_be_bytes(record.data[..4].try_into().unwrap()))
            .collect();
        assert!(indexes.is_sorted(), "shard {shard}");
        for (record, index) in records.iter().zip(&indexes) {
            assert_eq!(record.data, data(*index));
            assert_eq!(record.partition_key, (index % 500).to_string());
        }
        seen += records.len();
    }
    assert_eq!(seen, 2000);
    machine.stop().await;
}
