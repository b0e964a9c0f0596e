//! Sequence numbers in the digits of Kinesis: what is put, read, asked for and ordered by.

use anabranch_engine::sequence::SequenceNumber;

use super::reshards::{HALF, split_request};
use super::*;

/// Requests for positions in the digits of Kinesis.
fn by_kinesis_number(
    ops: &Ops,
    shard: u32,
    start: ShardIteratorType,
    text: &str,
) -> Result<v1::GetShardIteratorResponse> {
    ops.get_shard_iterator(v1::GetShardIteratorRequest {
        shard_id: shard.to_string(),
        starting_kinesis_sequence_number: Some(text.to_owned()),
        ..iterator_request("orders", start)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_of_kinesis_are_those_of_the_records_and_lead_to_them() {
    let fixture = Fixture::with_stream("orders", 2).await;
    let ops = &fixture.ops;
    let mut put = Vec::new();
    for _ in 0..3 {
        fixture.clock.advance(Duration::from_millis(1_500));
        let outcome = fixture.put("orders", 10).await;
        assert!(outcome.failures.is_empty());
        for record in 0..10 {
            put.push((outcome.run(record).shard.0, outcome.kinesis_number(record)));
        }
    }
    for shard in 0..2 {
        let trim_horizon = v1::GetShardIteratorRequest {
            shard_id: shard.to_string(),
            ..iterator_request("orders", ShardIteratorType::TrimHorizon)
        };
        let iterator = ops.get_shard_iterator(trim_horizon).unwrap().shard_iterator;
        let page = ops.get_records(get(&iterator)).await.unwrap();
        let read: Vec<_> = crate::wire::records::Records::new(&page.page.ranges)
            .map(Result::unwrap)
            .map(|record| page.origin.number(record.sequence, record.arrival_ms))
            .collect();
        let of_shard = put.iter().filter(|(of, _)| *of == shard).map(|(_, number)| *number);
        // The text of a reply to a put is that of every later read.
        assert_eq!(read, of_shard.collect::<Vec<_>>());
        for number in read {
            let (text, place) = (number.to_string(), number.number.0);
            let start = |start| by_kinesis_number(ops, shard, start, &text).unwrap();
            let at = start(ShardIteratorType::AtSequenceNumber);
            assert_eq!(at.sequence_number, Some(place));
            let after = start(ShardIteratorType::AfterSequenceNumber);
            assert_eq!(after.sequence_number, Some(place + 1));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_of_kinesis_that_lead_nowhere_are_refused_in_its_words() {
    let fixture = Fixture::with_stream("orders", 2).await;
    fixture.put("orders", 10).await;
    let ops = &fixture.ops;
    let at = ShardIteratorType::AtSequenceNumber;
    let shards = fixture.engine.stream(&"orders".parse().unwrap()).unwrap().shards();
    let origin = describe::origin(&shards[0]);
    let number = |number| origin.number(SequenceNumber(number), 0).to_string();
    let refused = |shard, text: &str| message(by_kinesis_number(ops, shard, at, text));
    let of = |text: &str, shard: u32, why: &str| {
        format!(
            "StartingSequenceNumber {text} used in GetShardIterator on shard \
             shardId-00000000000{shard} in stream orders under account 000000000000 is invalid{why}"
        )
    };
    // The arrival is not compared: a number that is no record's will do.
    assert!(by_kinesis_number(ops, 0, at, &number(0)).is_ok());
    assert_eq!(
        refused(1, &number(1)),
        "Invalid StartingSequenceNumber. It encodes shardId-000000000000, while it was used in a \
         call to a shard with shardId-000000000001"
    );
    assert_eq!(
        refused(0, "5"),
        "Invalid StartingSequenceNumber. It encodes shardId-000000000005, while it was used in a \
         call to a shard with shardId-000000000000"
    );
    let elsewhere = " because it did not come from this stream.";
    let mut other = origin;
    other.shard_created_s -= 1;
    let other = other.number(SequenceNumber(1), 0).to_string();
    assert_eq!(refused(0, &other), of(&other, 0, elsewhere));
    let shown = "21267647932558653966460912964485513216";
    assert_eq!(refused(0, "0"), of(shown, 0, elsewhere));
    let nines = "9".repeat(129);
    assert_eq!(refused(1, &nines), of(&nines, 1, "."));
    let beyond = number(1_000);
    let why = " because it lies beyond the end of shardId-000000000000.";
    assert_eq!(refused(0, &beyond), of(&beyond, 0, why));
    let both = v1::GetShardIteratorRequest {
        starting_sequence_number: Some(1),
        starting_kinesis_sequence_number: Some(number(1)),
        ..iterator_request("orders", at)
    };
    assert_eq!(field(ops.get_shard_iterator(both)), "starting_kinesis_sequence_number");
    let superfluous = by_kinesis_number(ops, 0, ShardIteratorType::Latest, &number(1));
    assert!(message(superfluous).ends_with("LATEST and also a StartingSequenceNumber."));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_closed_shard_is_a_position_in_it() {
    let fixture = Fixture::with_stream("orders", 1).await;
    fixture.put("orders", 10).await;
    let shard = fixture.engine.stream(&"orders".parse().unwrap()).unwrap().shards()[0].clone();
    let origin = describe::origin(&shard);
    let starts = [ShardIteratorType::AtSequenceNumber, ShardIteratorType::AfterSequenceNumber];
    let end = origin.ending(fixture.engine.now_ms()).to_string();
    for start in starts {
        assert!(by_kinesis_number(&fixture.ops, 0, start, &end).is_err());
    }
    fixture.ops.split_shard(split_request("0", HALF)).await.unwrap();
    for start in starts {
        let iterator = by_kinesis_number(&fixture.ops, 0, start, &end).unwrap().shard_iterator;
        let page = fixture.ops.get_records(get(&iterator)).await.unwrap();
        assert_eq!((page.page.records, page.page.is_end), (0, true));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_may_be_ordered_by_any_number_of_kinesis_that_is_not_of_the_future() {
    let fixture = Fixture::with_stream("orders", 1).await;
    let put = async |number: &str| {
        let request = v1::PutRecordRequest {
            stream_name: "orders".to_owned(),
            partition_key: "k".to_owned(),
            kinesis_sequence_number_for_ordering: Some(number.to_owned()),
            ..Default::default()
        };
        fixture.ops.put_record(request).await
    };
    let shard = fixture.engine.stream(&"orders".parse().unwrap()).unwrap().shards()[0].clone();
    let origin = describe::origin(&shard);
    let now_ms = fixture.engine.now_ms();
    let number = |number, ms| origin.number(SequenceNumber(number), ms).to_string();
    let first = put(&number(0, now_ms)).await.unwrap();
    assert_eq!(first.sequence_number, 1);
    assert_eq!(first.shard_creation_timestamp_ms, Some(shard.created_ms()));
    let arrival_ms = first.arrival_time_ms.unwrap();
    assert!(put(&number(1, arrival_ms)).await.is_ok());
    // As the real service has it: one of another stream, the highest there is, an old one.
    let mut other = origin;
    other.shard_created_s = u64::MAX;
    assert!(put(&other.number(SequenceNumber(u64::MAX), 0).to_string()).await.is_ok());
    assert!(put("5").await.is_ok());
    let later_ms = fixture.engine.now_ms() + 2_000;
    for refused in [number(4 + 1, now_ms), number(1, later_ms), "9".repeat(57)] {
        let error = put(&refused).await.unwrap_err();
        assert_eq!(
            error.message,
            format!(
                "ExclusiveMinimumSequenceNumber {refused} used in PutRecord on stream orders \
                 under account 000000000000 is invalid."
            )
        );
        assert_eq!(error.field.as_deref(), Some("kinesis_sequence_number_for_ordering"));
    }
}
