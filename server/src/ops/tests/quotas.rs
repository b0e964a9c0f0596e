//! The profile `aws`, on the manual clock.

use anabranch_engine::StreamSettings;
use anabranch_engine::error::Result as EngineResult;
use anabranch_engine::record::{PartitionKey, RecordView};
use anabranch_engine::settings::ShardMetrics;

use super::*;

/// A stream with a profile of its own.
fn make(fixture: &Fixture, quotas: QuotaProfile) -> Arc<anabranch_engine::Stream> {
    let settings = StreamSettings {
        quotas: Some(quotas),
        max_record_kib: 10_240,
        monitoring: ShardMetrics::ALL,
        ..StreamSettings::default()
    };
    fixture.engine.create_stream(&"orders".parse().unwrap(), 1, settings).unwrap()
}

fn change(fixture: &Fixture, quotas: QuotaProfile) {
    let stream = fixture.engine.stream(&"orders".parse().unwrap()).unwrap();
    let changed: EngineResult<()> =
        fixture.engine.change_settings(&stream, |settings| settings.quotas = Some(quotas));
    changed.unwrap();
}

/// Puts records of one MiB without asking for throughput, one commit each.
fn fill(stream: &anabranch_engine::Stream, mib: usize) {
    let data = vec![b'x'; (1 << 20) - 64];
    let key = PartitionKey::from_bytes(b"k").unwrap();
    let record = RecordView::new(key, None, &data).unwrap();
    for _ in 0..mib {
        stream.shards()[0].put(std::iter::once(record)).unwrap();
    }
}

fn value(error: &OpError, name: &str) -> String {
    let found = error.metadata.iter().find(|(key, _)| *key == name);
    found.unwrap_or_else(|| panic!("{name} in {error:?}")).1.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn records_over_the_throughput_of_a_shard_fail_behind_those_that_are_taken() {
    let fixture = Fixture::new();
    make(&fixture, QuotaProfile::Aws);
    assert!(fixture.put("orders", 500).await.failures.is_empty());
    assert!(fixture.put("orders", 300).await.failures.is_empty());
    let outcome = fixture.put("orders", 500).await;
    let failed: Vec<u32> = outcome.failures.iter().map(|failure| failure.index).collect();
    assert_eq!(failed, (200..500).collect::<Vec<_>>());
    assert_eq!(outcome.numbers[..3], [801, 802, 803]);
    assert_eq!(outcome.numbers[199..202], [1000, 0, 0]);
    let failure = &outcome.failures[0];
    assert_eq!(failure.code(), "ProvisionedThroughputExceededException");
    assert_eq!(
        failure.error.message,
        "Rate exceeded for shard shardId-000000000000 in stream orders under account 000000000000."
    );
    assert_eq!(value(&failure.error, "limit"), "records");
    assert_eq!(value(&failure.error, "allowed"), "1000");
    assert_eq!(value(&failure.error, "seen"), "1300");
    // All of them, and still an answer and no refusal.
    assert_eq!(fixture.put("orders", 10).await.failures.len(), 10);
    let one = v1::PutRecordRequest {
        stream_name: "orders".to_owned(),
        partition_key: "k".to_owned(),
        ..Default::default()
    };
    assert_eq!(kind(fixture.ops.put_record(one.clone()).await), Kind::Throttled);
    fixture.clock.advance(Duration::from_millis(10));
    assert_eq!(fixture.put("orders", 20).await.failures.len(), 10);
    fixture.clock.advance(Duration::from_secs(60));
    assert_eq!(fixture.ops.put_record(one).await.unwrap().sequence_number, 1011);

    let text = fixture.ops.metrics().encode();
    for line in [
        "anabranch_throttled_records_total 321",
        "anabranch_shard_incoming_records_total{stream=\"orders\",\
         shard=\"shardId-000000000000\"} 1011",
        "anabranch_shard_write_throttled_records_total{stream=\"orders\",\
         shard=\"shardId-000000000000\"} 321",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_may_be_open_and_is_counted_all_the_same() {
    let fixture = Fixture::new();
    let stream = make(&fixture, QuotaProfile::Open);
    for _ in 0..4 {
        assert!(fixture.put("orders", 500).await.failures.is_empty());
    }
    fixture.clock.advance(Duration::from_secs(1));
    let traffic = fixture.ops.throughput.traffic(&stream);
    let shard = traffic.known_shard(stream.shards()[0].id()).unwrap();
    assert_eq!(shard.over(60, fixture.ops.throughput.now()).records_in, 2000);
    // It changes at once.
    change(&fixture, QuotaProfile::Aws);
    for _ in 0..2 {
        assert!(fixture.put("orders", 500).await.failures.is_empty());
    }
    assert_eq!(fixture.put("orders", 1).await.failures.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shards_of_a_stream_have_limits_of_their_own_and_order_is_kept_in_each() {
    let fixture = Fixture::new();
    let stream = make(&fixture, QuotaProfile::Aws);
    fixture
        .engine
        .reshard(
            &stream,
            &[anabranch_engine::reshard::Step::Split {
                shard: stream.shards()[0].id(),
                at: anabranch_engine::hash_key::HashKey(1 << 127),
            }],
        )
        .unwrap();
    let (mut taken, mut failed) = ([0; 3], [false; 3]);
    for _ in 0..5 {
        let outcome = fixture.put("orders", 500).await;
        failed = [false; 3];
        for (shard, number) in outcome.whole().shards().zip(&outcome.numbers) {
            let shard = shard.0 as usize;
            assert!(*number == 0 || !failed[shard], "taken behind a refused record");
            failed[shard] |= *number == 0;
            taken[shard] += u32::from(*number > 0);
        }
    }
    assert_eq!((taken, failed), ([0, 1000, 1000], [false, true, true]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_ten_mib_costs_the_next_five_seconds() {
    let fixture = Fixture::new();
    let stream = make(&fixture, QuotaProfile::Aws);
    fill(&stream, 12);
    let iterator = fixture.iterator("orders", ShardIteratorType::TrimHorizon);
    let large = v1::GetRecordsRequest { max_bytes: Some(10 << 20), ..get(&iterator) };
    let page = fixture.ops.get_records(large).await.unwrap();
    assert!(page.page.bytes > 9 << 20);
    let next = get(&page.next_shard_iterator);
    let refused = fixture.ops.get_records(next.clone()).await.unwrap_err();
    assert_eq!(refused.kind, Kind::Throttled);
    assert_eq!(
        (value(&refused, "limit"), value(&refused, "allowed")),
        ("bytes".to_owned(), (2 << 20).to_string())
    );
    let seconds = page.page.bytes as f64 / f64::from(2 << 20);
    assert!((refused.retry_after.unwrap().as_secs_f64() - seconds).abs() < 0.001);
    fixture.clock.advance(Duration::from_secs_f64(seconds - 0.01));
    assert_eq!(kind(fixture.ops.get_records(next.clone()).await), Kind::Throttled);
    fixture.clock.advance(Duration::from_millis(20));
    assert!(fixture.ops.get_records(next).await.is_ok());
    let text = fixture.ops.metrics().encode();
    let line = "anabranch_shard_read_throttled_calls_total{stream=\"orders\",\
                shard=\"shardId-000000000000\"} 2";
    assert!(text.contains(line), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_gives_five_pages_and_five_iterators_a_second() {
    let fixture = Fixture::new();
    make(&fixture, QuotaProfile::Aws);
    let request = iterator_request("orders", ShardIteratorType::Latest);
    for _ in 0..4 {
        fixture.ops.get_shard_iterator(request.clone()).unwrap();
    }
    let iterator = fixture.ops.get_shard_iterator(request.clone()).unwrap().shard_iterator;
    assert_eq!(kind(fixture.ops.get_shard_iterator(request)), Kind::Throttled);
    for _ in 0..5 {
        fixture.ops.get_records(get(&iterator)).await.unwrap();
    }
    let refused = fixture.ops.get_records(get(&iterator)).await.unwrap_err();
    assert_eq!(refused.kind, Kind::Throttled);
    assert_eq!((value(&refused, "limit"), value(&refused, "seen")), ("calls".into(), "6".into()));
    fixture.clock.advance(Duration::from_millis(200));
    fixture.ops.get_records(get(&iterator)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_subscription_is_paced_and_called_for_once_a_second() {
    let fixture = Fixture::without_threads();
    let stream = make(&fixture, QuotaProfile::Aws);
    fixture.register("orders", "analytics").await;
    let data = vec![b'x'; (1 << 20) - 64];
    let key = PartitionKey::from_bytes(b"k").unwrap();
    let record = RecordView::new(key, None, &data).unwrap();
    for _ in 0..6 {
        let _ticket = stream.shards()[0].append(std::iter::once(record)).unwrap();
        assert!(fixture.engine.commit_step());
    }
    let request = subscribe("analytics", ShardIteratorType::TrimHorizon);
    let mut subscription = fixture.ops.subscribe_to_shard(request.clone()).unwrap();
    assert_eq!(kind(fixture.ops.subscribe_to_shard(request)), Kind::LimitExceeded);
    let start = tokio::time::Instant::now();
    for event in 0u32..6 {
        let sent = subscription.next().await.unwrap().unwrap();
        assert_eq!(sent.page.records, 1);
        // Two at once, the bucket; then one every half second.
        let due = Duration::from_millis(500) * event.saturating_sub(1);
        let waited = start.elapsed();
        assert!(waited.abs_diff(due) < Duration::from_millis(20), "{event}: {waited:?}");
        fixture.clock.advance(waited.saturating_sub(fixture.ops.throughput.now()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_on_streams_are_called_for_as_often_as_the_service_allows() {
    let fixture = Fixture::new();
    make(&fixture, QuotaProfile::Aws);
    let describe = || v1::DescribeStreamConsumerRequest {
        stream_name: "orders".to_owned(),
        consumer_name: "analytics".to_owned(),
        ..Default::default()
    };
    fixture.register("orders", "analytics").await;
    for _ in 0..20 {
        fixture.ops.describe_stream_consumer(describe()).unwrap();
    }
    let refused = fixture.ops.describe_stream_consumer(describe()).unwrap_err();
    assert_eq!(refused.kind, Kind::LimitExceeded);
    assert_eq!(value(&refused, "allowed"), "20");
    assert_eq!(refused.retry_after, Some(Duration::from_millis(50)));
    fixture.clock.advance(Duration::from_millis(50));
    fixture.ops.describe_stream_consumer(describe()).unwrap();
    // A stream that is open is not concerned.
    change(&fixture, QuotaProfile::Open);
    for _ in 0..50 {
        fixture.ops.describe_stream_consumer(describe()).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mode_of_a_stream_is_switched_twice_a_day() {
    let fixture = Fixture::new();
    make(&fixture, QuotaProfile::Aws);
    let switch = |mode: v1::StreamMode| v1::UpdateStreamModeRequest {
        stream_name: "orders".to_owned(),
        stream_mode: mode.into(),
        ..Default::default()
    };
    let (on_demand, provisioned) = (v1::StreamMode::OnDemand, v1::StreamMode::Provisioned);
    fixture.ops.update_stream_mode(switch(on_demand)).await.unwrap();
    // What changes nothing does not count.
    fixture.ops.update_stream_mode(switch(on_demand)).await.unwrap();
    fixture.ops.update_stream_mode(switch(provisioned)).await.unwrap();
    let refused = fixture.ops.update_stream_mode(switch(on_demand)).await.unwrap_err();
    assert_eq!((refused.kind, value(&refused, "period")), (Kind::LimitExceeded, "24 hours".into()));
    fixture.clock.advance(Duration::from_hours(24));
    fixture.ops.update_stream_mode(switch(on_demand)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn five_streams_are_made_a_second_and_five_at_a_time() {
    let fixture = Fixture::with_quotas(QuotaProfile::Aws);
    let make = |name: u32| v1::CreateStreamRequest {
        stream_name: format!("stream-{name}"),
        shard_count: 1,
        ..Default::default()
    };
    for name in 0..5 {
        fixture.ops.create_stream(make(name)).await.unwrap();
    }
    assert_eq!(kind(fixture.ops.create_stream(make(5)).await), Kind::LimitExceeded);
    fixture.clock.advance(Duration::from_secs(1));
    let creating: Vec<_> =
        (0..5).map(|_| fixture.ops.throughput.begin_creation(0).unwrap()).collect();
    let refused = fixture.ops.create_stream(make(5)).await.unwrap_err();
    assert_eq!((refused.kind, value(&refused, "max")), (Kind::LimitExceeded, "5".into()));
    drop(creating);
    fixture.ops.create_stream(make(5)).await.unwrap();
}

#[test]
fn every_quota_is_one_of_an_operation() {
    for quota in crate::traffic::quotas::QUOTAS {
        for name in quota.operation.split(", ") {
            assert!(Operation::of_name(name).is_some(), "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_are_only_shown_in_creating_count_as_such() {
    let fixture = Fixture::with_quotas(QuotaProfile::Aws);
    let refused = fixture.ops.throughput.begin_creation(5).err().unwrap();
    assert_eq!((refused.kind, value(&refused, "count")), (Kind::LimitExceeded, "5".into()));
    assert!(fixture.ops.throughput.begin_creation(4).is_ok());
}
