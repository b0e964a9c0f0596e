//! The operations on a real engine in a temporary directory.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anabranch_engine::clock::ManualClock;
use anabranch_engine::fs::ReadMode;
use anabranch_engine::{Durability, Engine, EngineOptions, Environment};
use anabranch_proto::v1::{self, ShardIteratorType};

use super::batch::{Batch, Draft};
use super::*;

/// Operations, the clock they go by and the directory they live in.
pub(crate) struct Fixture {
    pub(crate) ops: Arc<Ops>,
    pub(crate) engine: Engine,
    pub(crate) clock: Arc<ManualClock>,
    data: tempfile::TempDir,
}

fn open(data: &Path, clock: &Arc<ManualClock>) -> (Arc<Ops>, Engine) {
    let environment = Environment { clock: clock.clone(), ..Environment::system(ReadMode::Mmap) };
    let engine = Engine::open(EngineOptions::new(data), environment).unwrap();
    let durability = Durability::Fsync;
    let ops = Ops::new(engine.clone(), OpsOptions { owner: Owner::default(), durability });
    (ops, engine)
}

impl Fixture {
    /// An engine without threads: what is staged becomes durable in `commit_step`.
    pub(crate) fn without_threads() -> Fixture {
        let data = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(1_700_000_000_000));
        let (ops, engine) = open(data.path(), &clock);
        Fixture { ops, engine, clock, data }
    }

    /// Opens the directory again, after the engine was shut down.
    fn reopen(&mut self) {
        // The lock goes with the last clone of the engine, so another takes its place first.
        let elsewhere = tempfile::tempdir().unwrap();
        (self.ops, self.engine) = open(elsewhere.path(), &self.clock);
        (self.ops, self.engine) = open(self.data.path(), &self.clock);
        self.engine.start();
    }

    /// An engine as it is in a server.
    pub(crate) fn new() -> Fixture {
        let fixture = Fixture::without_threads();
        fixture.engine.start();
        fixture
    }

    /// A fixture with a stream.
    pub(crate) async fn with_stream(name: &str, shard_count: u32) -> Fixture {
        let fixture = Fixture::new();
        fixture.create(name, shard_count).await;
        fixture
    }

    pub(crate) async fn create(&self, name: &str, shard_count: u32) {
        let stream_name = name.to_owned();
        let request = v1::CreateStreamRequest { stream_name, shard_count };
        self.ops.create_stream(request).await.unwrap();
    }

    pub(crate) async fn delete(&self, name: &str) {
        let stream_name = name.to_owned();
        let request = v1::DeleteStreamRequest { stream_name, enforce_consumer_deletion: true };
        self.ops.delete_stream(request).await.unwrap();
    }

    pub(crate) async fn register(&self, stream: &str, consumer: &str) -> v1::Consumer {
        let request = v1::RegisterStreamConsumerRequest {
            stream_name: stream.to_owned(),
            consumer_name: consumer.to_owned(),
            ..Default::default()
        };
        self.ops.register_stream_consumer(request).await.unwrap().consumer.unwrap()
    }

    /// Puts `count` records with distinct keys.
    pub(crate) async fn put(&self, stream: &str, count: usize) -> put::Outcome {
        let keys: Vec<String> = (0..count).map(|index| format!("key-{index}")).collect();
        let mut draft = Draft::default();
        for key in &keys {
            draft.push(key, None, key.as_bytes()).unwrap();
        }
        self.ops.put_records(stream, &draft.finish().unwrap()).await.unwrap()
    }

    pub(crate) fn iterator(&self, stream: &str, start: ShardIteratorType) -> String {
        let request = iterator_request(stream, start);
        self.ops.get_shard_iterator(request).unwrap().shard_iterator
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.engine.shut_down().unwrap();
    }
}

fn iterator_request(stream: &str, start: ShardIteratorType) -> v1::GetShardIteratorRequest {
    v1::GetShardIteratorRequest {
        stream_name: stream.to_owned(),
        shard_id: "0".to_owned(),
        shard_iterator_type: start.into(),
        starting_sequence_number: None,
        timestamp_ms: None,
    }
}

fn get(shard_iterator: &str) -> v1::GetRecordsRequest {
    v1::GetRecordsRequest { shard_iterator: shard_iterator.to_owned(), ..Default::default() }
}

fn kind<T>(result: Result<T>) -> Kind {
    match result {
        Ok(_) => panic!("it was not refused"),
        Err(error) => error.kind,
    }
}

fn field<T>(result: Result<T>) -> String {
    match result {
        Ok(_) => panic!("it was not refused"),
        Err(error) => error.field.expect("a field is named").into_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_made_listed_described_and_deleted() {
    let fixture = Fixture::new();
    let ops = &fixture.ops;
    for name in ["b", "..", "a", "c"] {
        fixture.create(name, 3).await;
    }
    let request = v1::ListStreamsRequest { limit: Some(3), ..Default::default() };
    let listed = ops.list_streams(request).unwrap();
    assert_eq!(listed.stream_names, ["..", "a", "b"]);
    assert!(listed.has_more_streams);
    assert_eq!(listed.stream_summaries.len(), 3);
    let request = v1::ListStreamsRequest {
        exclusive_start_stream_name: Some("b".to_owned()),
        ..Default::default()
    };
    let listed = ops.list_streams(request).unwrap();
    assert_eq!(listed.stream_names, ["c"]);
    assert!(!listed.has_more_streams);

    let taken = v1::CreateStreamRequest { stream_name: "a".to_owned(), shard_count: 1 };
    assert_eq!(kind(ops.create_stream(taken).await), Kind::AlreadyExists);
    fixture.delete("a").await;
    let request = v1::DescribeStreamSummaryRequest { stream_name: "a".to_owned() };
    assert_eq!(kind(ops.describe_stream_summary(request)), Kind::ResourceNotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_counts_are_refused_by_their_field() {
    let fixture = Fixture::new();
    for (name, shard_count, named) in [
        ("", 1, "stream_name"),
        ("a/b", 1, "stream_name"),
        ("a", 0, "shard_count"),
        ("a", 10_001, "shard_count"),
        ("a", u32::MAX, "shard_count"),
    ] {
        let stream_name = name.to_owned();
        let request = v1::CreateStreamRequest { stream_name, shard_count };
        assert_eq!(field(fixture.ops.create_stream(request).await), named);
    }
    for limit in [0, 10_001] {
        let request = v1::ListStreamsRequest { limit: Some(limit), ..Default::default() };
        assert_eq!(field(fixture.ops.list_streams(request)), "limit");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_are_listed_page_by_page_until_the_stream_is_another() {
    let fixture = Fixture::with_stream("orders", 5).await;
    let ops = &fixture.ops;
    let request = v1::ListShardsRequest {
        stream_name: "orders".to_owned(),
        max_results: Some(2),
        ..Default::default()
    };
    let first = ops.list_shards(request).unwrap();
    assert_eq!(first.shards[1].shard_id, "shardId-000000000001");
    let token = first.next_token.unwrap();
    let next = |token: &str| v1::ListShardsRequest {
        next_token: Some(token.to_owned()),
        max_results: Some(2),
        ..Default::default()
    };
    let second = ops.list_shards(next(&token)).unwrap();
    assert_eq!(second.shards[0].shard_id, "shardId-000000000002");
    let third = ops.list_shards(next(&second.next_token.unwrap())).unwrap();
    assert_eq!(third.shards.len(), 1);
    assert_eq!(third.next_token, None);

    let both = v1::ListShardsRequest { stream_name: "orders".to_owned(), ..next(&token) };
    assert_eq!(field(ops.list_shards(both)), "next_token");
    assert_eq!(field(ops.list_shards(next("forged"))), "next_token");
    fixture.delete("orders").await;
    fixture.create("orders", 5).await;
    assert_eq!(kind(ops.list_shards(next(&token))), Kind::ResourceNotFound);
    fixture.clock.advance(Duration::from_secs(301));
    assert_eq!(field(ops.list_shards(next(&token))), "next_token");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_description_pages_its_shards_behind_the_one_that_is_named() {
    let fixture = Fixture::with_stream("orders", 4).await;
    let request = v1::DescribeStreamRequest {
        stream_name: "orders".to_owned(),
        limit: Some(2),
        exclusive_start_shard_id: Some("shardId-000000000000".to_owned()),
    };
    let described = fixture.ops.describe_stream(request).unwrap();
    let stream = described.stream_description.unwrap();
    assert_eq!(stream.stream_arn, "arn:aws:kinesis:us-east-1:000000000000:stream/orders");
    assert_eq!(stream.retention_period_hours, 24);
    assert!(stream.has_more_shards);
    let ids: Vec<_> = stream.shards.iter().map(|shard| shard.shard_id.as_str()).collect();
    assert_eq!(ids, ["shardId-000000000001", "shardId-000000000002"]);
    let range = stream.shards[0].sequence_number_range.unwrap();
    assert_eq!(range.starting_sequence_number, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_moves_within_its_limits_and_in_the_named_direction() {
    let fixture = Fixture::with_stream("orders", 1).await;
    let increase = async |hours| {
        let request = v1::IncreaseStreamRetentionPeriodRequest {
            stream_name: "orders".to_owned(),
            retention_period_hours: hours,
        };
        fixture.ops.increase_stream_retention_period(request).await
    };
    let decrease = async |hours| {
        let request = v1::DecreaseStreamRetentionPeriodRequest {
            stream_name: "orders".to_owned(),
            retention_period_hours: hours,
        };
        fixture.ops.decrease_stream_retention_period(request).await
    };
    assert!(increase(24).await.is_ok());
    assert!(increase(48).await.is_ok());
    assert_eq!(field(increase(47).await), "retention_period_hours");
    assert_eq!(field(increase(8761).await), "retention_period_hours");
    assert!(decrease(48).await.is_ok());
    assert_eq!(field(decrease(49).await), "retention_period_hours");
    assert_eq!(field(decrease(23).await), "retention_period_hours");
    assert!(decrease(24).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn consumers_are_found_by_name_and_by_arn_until_they_are_registered_anew() {
    let fixture = Fixture::with_stream("orders", 1).await;
    let ops = &fixture.ops;
    let consumer = fixture.register("orders", "analytics").await;
    let by_arn = || v1::DescribeStreamConsumerRequest {
        // Another account and region resolve by name.
        consumer_arn: consumer.consumer_arn.replace("us-east-1:000000000000", "eu:123456789012"),
        ..Default::default()
    };
    let described = ops.describe_stream_consumer(by_arn()).unwrap();
    assert_eq!(described.consumer_description.as_ref(), Some(&consumer));
    let both =
        v1::DescribeStreamConsumerRequest { consumer_name: "analytics".to_owned(), ..by_arn() };
    assert_eq!(field(ops.describe_stream_consumer(both)), "consumer_arn");

    let again = v1::RegisterStreamConsumerRequest {
        stream_arn: consumer.stream_arn.clone(),
        consumer_name: "analytics".to_owned(),
        ..Default::default()
    };
    let taken = ops.register_stream_consumer(again).await;
    assert_eq!(kind(taken), Kind::AlreadyExists);
    let delete = v1::DeleteStreamRequest { stream_name: "orders".to_owned(), ..Default::default() };
    assert_eq!(kind(ops.delete_stream(delete).await), Kind::ResourceInUse);

    let deregister = v1::DeregisterStreamConsumerRequest {
        consumer_arn: consumer.consumer_arn.clone(),
        ..Default::default()
    };
    ops.deregister_stream_consumer(deregister).await.unwrap();
    fixture.clock.advance(Duration::from_secs(1));
    fixture.register("orders", "analytics").await;
    assert_eq!(kind(ops.describe_stream_consumer(by_arn())), Kind::ResourceNotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn consumers_are_listed_page_by_page() {
    let fixture = Fixture::with_stream("orders", 1).await;
    for name in ["c", "a", "b"] {
        fixture.register("orders", name).await;
    }
    let list = |next_token| {
        let request = v1::ListStreamConsumersRequest {
            stream_name: "orders".to_owned(),
            max_results: Some(2),
            next_token,
            ..Default::default()
        };
        let listed = fixture.ops.list_stream_consumers(request).unwrap();
        let names = listed.consumers.into_iter().map(|consumer| consumer.consumer_name);
        (names.collect::<Vec<_>>(), listed.next_token)
    };
    let (names, token) = list(None);
    assert_eq!(names, ["a", "b"]);
    assert_eq!(list(token), (vec!["c".to_owned()], None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_answered_in_its_order_and_read_back_in_the_order_of_each_shard() {
    let fixture = Fixture::with_stream("orders", 4).await;
    let outcome = fixture.put("orders", 500).await;
    assert!(outcome.failures.is_empty());
    let mut read_back = 0;
    for shard in 0..4 {
        let numbers: Vec<u64> = (0..500)
            .filter(|index| outcome.shards[*index].0 == shard)
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
        assert_eq!(field(put(Some(future)).await), "sequence_number_for_ordering");
    }
}

#[tokio::test(start_paused = true)]
async fn records_that_find_no_room_for_five_seconds_are_throttled_one_by_one() {
    // Nothing is committed, so a shard takes 4 MiB and no more.
    let fixture = Fixture::without_threads();
    fixture.create("orders", 1).await;
    let data = vec![7; 1 << 20];
    let data = &data[..(1 << 20) - 1];
    let stream = fixture.ops.stream("orders").unwrap();
    let batch = Batch::of_one("k", None, data).unwrap();
    let mut staged = Vec::new();
    let mut busy = loop {
        let next = fixture.ops.stage(&stream, &batch);
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
    assert!(outcome.refusal().is_none());
    assert!(fixture.ops.metrics().encode().contains("anabranch_throttled_records_total 1"));

    // Once the disk has caught up, what was staged is durable, and there is room.
    while fixture.engine.commit_step() {}
    for (index, staged) in staged.into_iter().enumerate() {
        assert_eq!(staged.await.numbers, [index as u64 + 1]);
    }
    assert!(!fixture.ops.stage(&stream, &batch).is_busy());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_five_iterator_types_start_where_they_say() {
    let fixture = Fixture::with_stream("orders", 1).await;
    let ops = &fixture.ops;
    let empty_latest = fixture.iterator("orders", ShardIteratorType::Latest);
    fixture.put("orders", 3).await;
    fixture.clock.advance(Duration::from_secs(10));
    let later_ms = fixture.engine.now_ms();
    fixture.put("orders", 2).await;

    let read = async |iterator: &str| {
        let page = ops.get_records(get(iterator)).await.unwrap();
        (page.page.next.0 - page.page.records as u64, page.page.records)
    };
    assert_eq!(read(&empty_latest).await, (1, 5));
    let plain = |start| fixture.iterator("orders", start);
    assert_eq!(read(&plain(ShardIteratorType::TrimHorizon)).await, (1, 5));
    assert_eq!(read(&plain(ShardIteratorType::Latest)).await, (6, 0));
    let positioned = |start, number, timestamp_ms| {
        let request = v1::GetShardIteratorRequest {
            starting_sequence_number: number,
            timestamp_ms,
            ..iterator_request("orders", start)
        };
        ops.get_shard_iterator(request).map(|iterator| iterator.shard_iterator)
    };
    let at = |number| positioned(ShardIteratorType::AtSequenceNumber, Some(number), None);
    let after = |number| positioned(ShardIteratorType::AfterSequenceNumber, Some(number), None);
    let at_time = |ms| positioned(ShardIteratorType::AtTimestamp, None, Some(ms));
    assert_eq!(read(&at(3).unwrap()).await, (3, 3));
    assert_eq!(read(&at(0).unwrap()).await, (1, 5));
    assert_eq!(read(&after(3).unwrap()).await, (4, 2));
    assert_eq!(read(&after(0).unwrap()).await, (1, 5));
    assert_eq!(read(&after(5).unwrap()).await, (6, 0));
    assert_eq!(read(&at_time(later_ms).unwrap()).await, (4, 2));
    assert_eq!(read(&at_time(0).unwrap()).await, (1, 5));

    assert_eq!(field(at(7)), "starting_sequence_number");
    assert_eq!(field(after(6)), "starting_sequence_number");
    assert_eq!(field(after(u64::MAX)), "starting_sequence_number");
    assert_eq!(field(at_time(later_ms + 1)), "timestamp_ms");
    let wrong = |start, number, ms| field(positioned(start, number, ms));
    let (latest, by_time) = (ShardIteratorType::Latest, ShardIteratorType::AtTimestamp);
    assert_eq!(wrong(latest, Some(1), None), "starting_sequence_number");
    assert_eq!(wrong(latest, None, Some(1)), "timestamp_ms");
    assert_eq!(wrong(by_time, None, None), "timestamp_ms");
    let by_number = ShardIteratorType::AtSequenceNumber;
    assert_eq!(wrong(by_number, None, None), "starting_sequence_number");
    let unspecified = ShardIteratorType::Unspecified;
    assert_eq!(wrong(unspecified, None, None), "shard_iterator_type");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_iterator_of_a_deleted_incarnation_finds_nothing() {
    let fixture = Fixture::with_stream("orders", 1).await;
    let iterator = fixture.iterator("orders", ShardIteratorType::TrimHorizon);
    fixture.delete("orders").await;
    assert_eq!(kind(fixture.ops.get_records(get(&iterator)).await), Kind::ResourceNotFound);
    fixture.create("orders", 1).await;
    assert_eq!(kind(fixture.ops.get_records(get(&iterator)).await), Kind::ResourceNotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_keep_to_the_limits_of_their_request() {
    let fixture = Fixture::with_stream("orders", 1).await;
    fixture.put("orders", 10).await;
    let iterator = fixture.iterator("orders", ShardIteratorType::TrimHorizon);
    let request = v1::GetRecordsRequest { limit: Some(4), ..get(&iterator) };
    let page = fixture.ops.get_records(request).await.unwrap();
    assert_eq!(page.page.records, 4);
    let request = v1::GetRecordsRequest { max_bytes: Some(1), ..get(&page.next_shard_iterator) };
    let page = fixture.ops.get_records(request).await.unwrap();
    assert_eq!((page.page.records, page.page.next.0), (1, 6));
    for (request, named) in [
        (v1::GetRecordsRequest { limit: Some(0), ..get(&iterator) }, "limit"),
        (v1::GetRecordsRequest { limit: Some(10_001), ..get(&iterator) }, "limit"),
        (v1::GetRecordsRequest { max_bytes: Some(0), ..get(&iterator) }, "max_bytes"),
        (v1::GetRecordsRequest { max_bytes: Some((10 << 20) + 1), ..get(&iterator) }, "max_bytes"),
        (v1::GetRecordsRequest { wait_ms: Some(30_001), ..get(&iterator) }, "wait_ms"),
    ] {
        assert_eq!(field(fixture.ops.get_records(request).await), named);
    }
}

/// A long poll at the tip, and whether it still waits after `meanwhile`.
async fn long_poll<F: Future<Output = ()>>(
    fixture: &Fixture,
    meanwhile: F,
) -> Result<get_records::RecordsPage> {
    let iterator = fixture.iterator("orders", ShardIteratorType::Latest);
    let request = v1::GetRecordsRequest { wait_ms: Some(30_000), ..get(&iterator) };
    let poll = fixture.ops.get_records(request);
    tokio::pin!(poll);
    tokio::select! {
        biased;
        _ = &mut poll => panic!("there is nothing to read yet"),
        () = std::future::ready(()) => {}
    }
    meanwhile.await;
    poll.await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_poll_ends_with_a_record_with_the_stream_and_with_the_server() {
    let fixture = Fixture::with_stream("orders", 1).await;
    let put = async { drop(fixture.put("orders", 1).await) };
    let page = long_poll(&fixture, put).await.unwrap();
    assert_eq!(page.page.records, 1);
    let ended = long_poll(&fixture, fixture.delete("orders")).await;
    assert_eq!(kind(ended), Kind::ResourceNotFound);
    fixture.create("orders", 1).await;
    let page = long_poll(&fixture, async { fixture.ops.begin_shutdown() }).await.unwrap();
    assert_eq!(page.page.records, 0);
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_without_news_ends_with_an_empty_page_in_time() {
    let fixture = Fixture::without_threads();
    fixture.create("orders", 1).await;
    let before = tokio::time::Instant::now();
    let page = long_poll(&fixture, async {}).await.unwrap();
    assert_eq!(page.page.records, 0);
    assert_eq!(before.elapsed(), Duration::from_secs(30));
}

fn subscribe(consumer: &str, start: ShardIteratorType) -> v1::SubscribeToShardRequest {
    v1::SubscribeToShardRequest {
        stream_name: "orders".to_owned(),
        consumer_name: consumer.to_owned(),
        shard_id: "shardId-000000000000".to_owned(),
        starting_position: Some(v1::StartingPosition {
            r#type: start.into(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_subscription_sends_a_heartbeat_every_five_seconds_for_five_minutes() {
    let fixture = Fixture::without_threads();
    fixture.create("orders", 1).await;
    fixture.register("orders", "analytics").await;
    let request = subscribe("analytics", ShardIteratorType::Latest);
    let mut subscription = fixture.ops.subscribe_to_shard(request).unwrap();
    let start = tokio::time::Instant::now();
    let mut heartbeats = 0;
    while let Some(event) = subscription.next().await {
        let event = event.unwrap();
        assert_eq!((event.page.records, event.continuation_sequence_number), (0, 0));
        heartbeats += 1;
        assert_eq!(start.elapsed(), Duration::from_secs(5) * heartbeats);
    }
    assert_eq!(start.elapsed(), Duration::from_mins(5));
    assert_eq!(heartbeats, 59);
    assert!(subscription.next().await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_hands_out_what_becomes_durable_and_ends_with_its_consumer() {
    let fixture = Fixture::with_stream("orders", 1).await;
    fixture.register("orders", "analytics").await;
    let ops = &fixture.ops;
    let request = subscribe("analytics", ShardIteratorType::TrimHorizon);
    let mut subscription = ops.subscribe_to_shard(request.clone()).unwrap();
    assert_eq!(kind(ops.subscribe_to_shard(request)), Kind::ResourceInUse);
    assert!(ops.metrics().encode().contains("anabranch_subscribers 1"));
    for last in [3, 6] {
        fixture.put("orders", 3).await;
        let event = subscription.next().await.unwrap().unwrap();
        assert_eq!((event.page.records, event.continuation_sequence_number), (3, last));
    }
    let deregister = v1::DeregisterStreamConsumerRequest {
        stream_name: "orders".to_owned(),
        consumer_name: "analytics".to_owned(),
        ..Default::default()
    };
    ops.deregister_stream_consumer(deregister).await.unwrap();
    assert_eq!(kind(subscription.next().await.unwrap()), Kind::ResourceNotFound);
    assert!(subscription.next().await.is_none());
    drop(subscription);
    assert!(ops.metrics().encode().contains("anabranch_subscribers 0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_ends_with_its_stream_and_with_the_server() {
    let fixture = Fixture::with_stream("orders", 1).await;
    fixture.register("orders", "analytics").await;
    let request = subscribe("analytics", ShardIteratorType::Latest);
    let mut subscription = fixture.ops.subscribe_to_shard(request.clone()).unwrap();
    let (ended, ()) = tokio::join!(subscription.next(), fixture.delete("orders"));
    assert_eq!(kind(ended.unwrap()), Kind::ResourceNotFound);

    fixture.create("orders", 1).await;
    fixture.register("orders", "analytics").await;
    let mut subscription = fixture.ops.subscribe_to_shard(request.clone()).unwrap();
    let (ended, ()) = tokio::join!(subscription.next(), async { fixture.ops.begin_shutdown() });
    assert_eq!(kind(ended.unwrap()), Kind::ShuttingDown);
    assert_eq!(kind(fixture.ops.subscribe_to_shard(request)), Kind::ShuttingDown);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_wants_a_consumer_a_shard_and_a_start() {
    let fixture = Fixture::with_stream("orders", 1).await;
    fixture.register("orders", "analytics").await;
    let ops = &fixture.ops;
    let good = || subscribe("analytics", ShardIteratorType::Latest);
    let nobody = subscribe("nobody", ShardIteratorType::Latest);
    assert_eq!(kind(ops.subscribe_to_shard(nobody)), Kind::ResourceNotFound);
    let shard_id = "shardId-000000000001".to_owned();
    let elsewhere = v1::SubscribeToShardRequest { shard_id, ..good() };
    assert_eq!(kind(ops.subscribe_to_shard(elsewhere)), Kind::ResourceNotFound);
    let nowhere = v1::SubscribeToShardRequest { starting_position: None, ..good() };
    assert_eq!(field(ops.subscribe_to_shard(nowhere)), "starting_position");
    let large = v1::SubscribeToShardRequest { max_bytes: Some(u32::MAX), ..good() };
    assert_eq!(field(ops.subscribe_to_shard(large)), "max_bytes");
}

/// Changes one byte of the first record's data in the only segment below `data`.
fn damage_first_record(data: &Path) {
    let mut directory = data.join("shards");
    while directory.is_dir() {
        directory = std::fs::read_dir(&directory).unwrap().next().unwrap().unwrap().path();
    }
    let mut bytes = std::fs::read(&directory).unwrap();
    let at = bytes.windows(5).position(|window| window == b"key-0").unwrap();
    bytes[at] ^= 1;
    std::fs::write(&directory, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_reported_with_its_place_and_reading_goes_on_behind_it() {
    let mut fixture = Fixture::with_stream("orders", 1).await;
    fixture.register("orders", "analytics").await;
    fixture.put("orders", 3).await;
    fixture.put("orders", 2).await;
    fixture.engine.shut_down().unwrap();
    damage_first_record(fixture.data.path());
    fixture.reopen();

    let iterator = fixture.iterator("orders", ShardIteratorType::TrimHorizon);
    let error = fixture.ops.get_records(get(&iterator)).await.unwrap_err();
    assert_eq!(error.kind, Kind::DataLoss);
    let value = |name| {
        let found = error.metadata.iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| value.as_str()).unwrap()
    };
    assert_eq!((value("first_lost"), value("next_readable")), ("1", "4"));
    assert!(value("file").starts_with("shards/"), "{}", value("file"));
    let page = fixture.ops.get_records(get(value("next_shard_iterator"))).await.unwrap();
    assert_eq!((page.page.records, page.page.next.0), (2, 6));

    let request = subscribe("analytics", ShardIteratorType::TrimHorizon);
    let mut subscription = fixture.ops.subscribe_to_shard(request).unwrap();
    assert_eq!(kind(subscription.next().await.unwrap()), Kind::DataLoss);
    assert!(subscription.next().await.is_none());
    // Puts are not affected.
    assert_eq!(fixture.put("orders", 1).await.numbers, [6]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_iterator_is_as_good_after_a_restart_as_before() {
    let mut fixture = Fixture::with_stream("orders", 1).await;
    fixture.put("orders", 2).await;
    let iterator = fixture.iterator("orders", ShardIteratorType::TrimHorizon);
    fixture.engine.shut_down().unwrap();
    fixture.reopen();
    let page = fixture.ops.get_records(get(&iterator)).await.unwrap();
    assert_eq!(page.page.records, 2);
    fixture.clock.advance(Duration::from_secs(301));
    assert_eq!(kind(fixture.ops.get_records(get(&iterator)).await), Kind::ExpiredIterator);
}
