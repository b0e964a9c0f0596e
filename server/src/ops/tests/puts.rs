//! Puts, in batches and one by one.

use std::collections::BTreeMap;

use anabranch_engine::StreamSettings;
use anabranch_engine::settings::Distribution;

use super::*;
use crate::ops::put::{Failure, Tables};

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_answered_in_its_order_and_read_back_in_the_order_of_each_shard() {
    let fixture = Fixture::with_stream("orders", 4).await;
    let outcome = fixture.put("orders", 500).await;
    assert!(outcome.failures.is_empty());
    let mut read_back = 0;
    for shard in 0..4 {
        let numbers: Vec<u64> = (0..500)
            .filter(|index| outcome.run(*index).shard.0 == shard)
            .map(|index| outcome.numbers[index])
            .collect();
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
        let request = v1::GetShardIteratorRequest {
            shard_id: shard.to_string(),
            ..iterator_request("orders", ShardIteratorType::TrimHorizon)
        };
        let iterator = fixture.ops.get_shard_iterator(request).unwrap();
        let page = fixture.ops.get_records(get(&iterator.shard_iterator)).await.unwrap();
        assert_eq!(page.page.records, numbers.len());
        read_back += page.page.records;
    }
    assert_eq!(read_back, 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_for_ordering_gets_a_higher_number_or_is_refused() {
    let fixture = Fixture::with_stream("orders", 1).await;
    let put = async |number| {
        let request = v1::PutRecordRequest {
            stream_name: "orders".to_owned(),
            partition_key: "k".to_owned(),
            sequence_number_for_ordering: number,
            ..Default::default()
        };
        fixture.ops.put_record(request).await
    };
    let first = put(Some(0)).await.unwrap();
    assert_eq!((first.shard_id.as_str(), first.sequence_number), ("shardId-000000000000", 1));
    assert_eq!(put(Some(1)).await.unwrap().sequence_number, 2);
    for future in [3, u64::MAX] {
        let refused = put(Some(future)).await;
        assert_eq!(
            message(refused.as_ref().map_err(Clone::clone)),
            format!(
                "ExclusiveMinimumSequenceNumber {future} used in PutRecord on stream orders \
                 under account 000000000000 is invalid."
            )
        );
        assert_eq!(field(refused), "sequence_number_for_ordering");
    }
}

#[tokio::test(start_paused = true)]
async fn records_that_find_no_room_for_five_seconds_are_throttled_one_by_one() {
    // Nothing is committed, so a shard takes 4 MiB and no more.
    let fixture = Fixture::without_threads();
    fixture.create("orders", 1).await;
    let data = vec![7; 1 << 20];
    let data = &data[..(1 << 20) - 1];
    let stream = fixture.ops.stream(StreamFields::by_name("orders")).unwrap();
    let batch = Batch::of_one("k", None, data).unwrap();
    let mut staged = Vec::new();
    let mut busy = loop {
        let next = fixture.ops.stage(&stream, &batch, &mut Tables::default());
        if next.is_busy() {
            break next;
        }
        staged.push(next);
    };
    busy.find_room(&batch).await;
    let outcome = busy.await;
    assert_eq!(outcome.failures.len(), 1);
    assert_eq!(outcome.failures[0].code(), "ProvisionedThroughputExceededException");
    assert_eq!(outcome.numbers, [0]);
    assert!(outcome.whole().refusal().is_none());
    assert!(fixture.ops.metrics().encode().contains("anabranch_throttled_records_total 1"));

    // Once the disk has caught up, what was staged is durable, and there is room.
    while fixture.engine.commit_step() {}
    for (index, staged) in staged.into_iter().enumerate() {
        assert_eq!(staged.await.numbers, [index as u64 + 1]);
    }
    assert!(!fixture.ops.stage(&stream, &batch, &mut Tables::default()).is_busy());
}

#[tokio::test(start_paused = true)]
async fn calls_that_find_too_many_waiting_are_throttled_at_once_and_the_others_in_a_second() {
    // Nothing is committed, so a shard takes five of these, and 2 MiB wait: two.
    let fixture = Fixture::without_threads();
    fixture.create("orders", 1).await;
    let put = || {
        let ops = Arc::clone(&fixture.ops);
        async move {
            let data = vec![7; (1 << 20) - 64];
            let begun = tokio::time::Instant::now();
            let batch = Batch::of_one("k", None, &data).unwrap();
            let failures =
                ops.put_records(&Caller::anonymous(), to("orders"), &batch).await.unwrap().failures;
            let throttled = failures.iter().map(Failure::code).collect::<Vec<_>>();
            (throttled == ["ProvisionedThroughputExceededException"], begun.elapsed())
        }
    };
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..10 {
        calls.spawn(put());
    }
    let mut seconds = Vec::new();
    while seconds.len() < 5 {
        let (is_throttled, took) = calls.join_next().await.unwrap().unwrap();
        assert!(is_throttled);
        seconds.push(took.as_secs());
    }
    assert_eq!(seconds, [0, 0, 0, 1, 1]);

    while fixture.engine.commit_step() {}
    while let Some(call) = calls.join_next().await {
        assert!(!call.unwrap().0);
    }
}

/// Lets a stream choose the shards of its records.
async fn distribute(fixture: &Fixture, name: &str) {
    let stream = fixture.ops.stream(StreamFields::by_name(name)).unwrap();
    let auto = |settings: &mut StreamSettings| settings.distribution = Distribution::Auto;
    fixture.ops.blocking(move |engine| engine.change_settings(&stream, auto)).await.unwrap();
}

/// Records of each shard after puts of so many batches of so many records, all of one key or none.
async fn spread(fixture: &Fixture, key: &str, batches: usize, records: usize) -> Vec<usize> {
    let mut counts = BTreeMap::new();
    for _ in 0..batches {
        let mut batch = Batch::default();
        let mut draft = batch.begin();
        for _ in 0..records {
            // A hash key of the first shard, which routes nothing either.
            draft.push(key, Some("0"), b"data").unwrap();
        }
        draft.finish().unwrap();
        let outcome =
            fixture.ops.put_records(&Caller::anonymous(), to("orders"), &batch).await.unwrap();
        assert!(outcome.failures.is_empty());
        outcome.whole().shards().for_each(|shard| *counts.entry(shard).or_insert(0) += 1);
    }
    counts.into_values().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_distributes_spreads_batches_of_any_size_evenly() {
    let fixture = Fixture::with_stream("orders", 4).await;
    assert_eq!(spread(&fixture, "one", 3, 100).await, [300]);
    distribute(&fixture, "orders").await;
    assert_eq!(spread(&fixture, "one", 100, 1).await, [25; 4]);
    assert_eq!(spread(&fixture, "", 8, 16).await, [32; 4]);
    // 32 turns a batch, the last one of four records.
    let counts = spread(&fixture, "", 4, 500).await;
    assert_eq!((counts.len(), counts.iter().sum::<usize>()), (4, 2000));
    assert!(counts.iter().all(|count| count.abs_diff(500) <= 48), "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn large_records_of_one_batch_go_to_a_shard_each() {
    let fixture = Fixture::with_stream("orders", 4).await;
    distribute(&fixture, "orders").await;
    let data = vec![1; 512 << 10];
    let mut batch = Batch::default();
    let mut draft = batch.begin();
    for _ in 0..4 {
        draft.push("", None, &data).unwrap();
    }
    draft.finish().unwrap();
    let outcome =
        fixture.ops.put_records(&Caller::anonymous(), to("orders"), &batch).await.unwrap();
    let mut shards: Vec<_> = outcome.whole().shards().map(|shard| shard.0).collect();
    shards.sort_unstable();
    assert_eq!(shards, [0, 1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_without_a_key_is_put_where_the_stream_distributes_and_read_back_without() {
    let fixture = Fixture::with_stream("orders", 1).await;
    let put = async || {
        let stream_name = "orders".to_owned();
        let request = v1::PutRecordRequest { stream_name, ..Default::default() };
        fixture.ops.put_record(request).await
    };
    assert_eq!(field(put().await), "partition_key");
    distribute(&fixture, "orders").await;
    assert_eq!(put().await.unwrap().sequence_number, 1);
    let iterator = fixture.iterator("orders", ShardIteratorType::TrimHorizon);
    let page = fixture.ops.get_records(get(&iterator)).await.unwrap().page;
    let bytes: Vec<u8> = page.ranges.iter().flat_map(|range| range.to_vec()).collect();
    let read = <v1::GetRecordsResponse as prost::Message>::decode(&bytes[..]).unwrap();
    assert_eq!(read.records.len(), 1);
    assert_eq!((read.records[0].partition_key.as_str(), read.records[0].data.len()), ("", 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_for_ordering_is_taken_by_a_stream_that_distributes_if_any_shard_has_the_number() {
    let fixture = Fixture::with_stream("orders", 2).await;
    distribute(&fixture, "orders").await;
    let put = async |number| {
        let request = v1::PutRecordRequest {
            stream_name: "orders".to_owned(),
            sequence_number_for_ordering: number,
            ..Default::default()
        };
        fixture.ops.put_record(request).await
    };
    for _ in 0..3 {
        put(None).await.unwrap();
    }
    // The shards have two records and one; the next turn is that of the shorter one.
    put(Some(2)).await.unwrap();
    assert_eq!(field(put(Some(3)).await), "sequence_number_for_ordering");
}
