//! What it costs a record to be admitted and counted, by the length of the run it comes in, and
//! what a decision about the shape of a stream costs.

#![allow(missing_docs)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anabranch_engine::hash_key::HashKeyRange;
use anabranch_engine::ids::{ShardId, StreamId};
use anabranch_engine::record::{PartitionKey, RecordView};
use anabranch_server::traffic::load::Count;
use anabranch_server::traffic::scaling::{History, Policy, decide};
use anabranch_server::traffic::sketch::Sketch;
use anabranch_server::traffic::{StreamTraffic, Traffic};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const SHARD: ShardId = ShardId(0);

/// Small records, so that a run of any length is one that a shard may take at once.
fn records(count: usize) -> Vec<RecordView<'static>> {
    let keys: Vec<String> = (0..count).map(|key| format!("{key:08}")).collect();
    let record = |key: &'static str| {
        let key = PartitionKey::from_bytes(key.as_bytes()).expect("a legal key");
        RecordView::new(key, None, b"").expect("a legal record")
    };
    keys.leak().iter().map(|key| record(key)).collect()
}

fn count(records: &[RecordView<'_>]) -> Count {
    Count {
        records: records.len() as u32,
        bytes: records.iter().map(|record| record.bytes() as u64).sum(),
    }
}

/// A clock on which so many records make 800 a second: the limits are looked at, and hold.
struct PacedClock {
    now: Duration,
    step: Duration,
}

impl PacedClock {
    fn new(records: usize) -> PacedClock {
        PacedClock { now: Duration::ZERO, step: Duration::from_micros(1250) * records as u32 }
    }

    fn tick(&mut self) -> Duration {
        self.now += self.step;
        self.now
    }
}

/// The whole of what a run is asked for beside its append, with the lookups.
fn put(traffic: &Traffic, records: &[RecordView<'_>], now: Duration, is_limited: bool) {
    let stream = traffic.stream(StreamId(1));
    let shard = stream.shard(SHARD, now);
    let run = count(records);
    if is_limited {
        let sizes = records.iter().map(|record| record.bytes() as u32);
        let admission = shard.admit_put(run, sizes, now);
        assert!(admission.throttle.is_none());
    }
    shard.count_put(run, records.iter().copied(), now);
}

fn counted(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("traffic of a put");
    for length in [1, 10, 100, 500] {
        let records = records(length);
        group.throughput(Throughput::Elements(length as u64));
        for (profile, is_limited) in [("open", false), ("aws", true)] {
            let traffic = Traffic::default();
            let mut clock = PacedClock::new(length);
            group.bench_function(format!("{profile}/{length} a run"), |bencher| {
                bencher.iter(|| put(&traffic, black_box(&records), clock.tick(), is_limited));
            });
        }
    }
    group.finish();
}

/// Throttling alone: what the profile `aws` adds to a run that is admitted.
fn admission(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("admission");
    for length in [1, 100] {
        let records = records(length);
        let sizes = || records.iter().map(|record| record.bytes() as u32);
        let shard = StreamTraffic::default().shard(SHARD, Duration::ZERO);
        let mut clock = PacedClock::new(length);
        let run = count(&records);
        group.throughput(Throughput::Elements(length as u64));
        group.bench_function(format!("{length} a run"), |bencher| {
            bencher.iter(|| {
                let admission = shard.admit_put(black_box(run), sizes(), clock.tick());
                assert!(admission.throttle.is_none());
            });
        });
    }
    group.finish();
}

/// A run of which nothing is admitted.
fn refusal(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("traffic of a refused put");
    let shard = StreamTraffic::default().shard(SHARD, Duration::ZERO);
    let records = records(100);
    let sizes = || records.iter().map(|record| record.bytes() as u32);
    for _ in 0..10 {
        shard.admit_put(count(&records), sizes(), Duration::ZERO);
    }
    group.throughput(Throughput::Elements(100));
    group.bench_function("100 a run", |bencher| {
        bencher.iter(|| black_box(shard.admit_put(count(&records), sizes(), Duration::ZERO)));
    });
    group.finish();
}

/// The sketch alone, by the traffic that it sees.
fn sketch(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sketch");
    let records = records(100);
    group.throughput(Throughput::Elements(100));
    for per_second in [1000, 100_000, 1_000_000] {
        let mut sketch = Sketch::new(1, Arc::default());
        let (mut now, step) = (Duration::ZERO, Duration::from_secs(100) / per_second);
        group.bench_function(format!("{per_second} records a second"), |bencher| {
            bencher.iter(|| {
                now += step;
                sketch.sample(100, black_box(&records).iter().copied(), now);
            });
        });
    }
    group.finish();
}

/// Reading the monotonic clock, once a batch: for comparison.
fn clock(criterion: &mut Criterion) {
    let start = Instant::now();
    criterion.bench_function("monotonic clock", |bencher| bencher.iter(|| start.elapsed()));
}

/// A second of an on-demand stream of 200 busy shards: their views, and the decision.
fn decision(criterion: &mut Criterion) {
    let stream = StreamTraffic::default();
    let records = records(400);
    let ranges: Vec<_> = HashKeyRange::tile(200).collect();
    for second in 0..20 {
        let now = Duration::from_secs(second);
        for id in 0..200 {
            let each = records.iter().copied();
            stream.shard(ShardId(id), now).count_put(count(&records), each, now);
        }
    }
    let now = Duration::from_secs(20);
    let age = Duration::from_hours(1);
    let mut history = History::default();
    criterion.bench_function("a decision about 200 shards", |bencher| {
        bencher.iter(|| {
            let view = |(id, range): (u32, &HashKeyRange)| {
                stream.shard(ShardId(id), now).view(ShardId(id), *range, age, now)
            };
            let views: Vec<_> = (0..).zip(&ranges).map(view).collect();
            history.observe(&views, now);
            black_box(decide(&views, &history, Policy::of(0), now))
        });
    });
}

criterion_group!(benches, counted, admission, refusal, sketch, clock, decision);
criterion_main!(benches);
