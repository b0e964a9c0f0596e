//! The traffic of every stream, of its shards and of its consumers.
//!
//! A batch finds its stream once, and each of its runs the shard by id. What belongs to a shard
//! is behind one lock, which is held for some dozen instructions, once or twice for a run of
//! records however long it is. A shard without traffic for a minute gives back its memory; what
//! is gone from the stream is forgotten by [`Traffic::sweep`], which the scaler calls.
//!
//! Two locks are never held together, but for those of a map and of what stands in it, in that
//! order, while sweeping.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anabranch_engine::hash_key::HashKeyRange;
use anabranch_engine::ids::{ConsumerName, ShardId, StreamId};
use anabranch_engine::record::RecordView;
use parking_lot::{Mutex, RwLock};

use super::bucket::{Bucket, BucketSize};
use super::load::{Count, Load, Rate, Sums, WINDOW_SECONDS};
use super::read_budget::{self, Pace, ReadBudget, ReadLimit};
use super::scaling::{RATE_SECONDS, ShardView};
use super::sketch::memory::SampleMemory;
use super::sketch::{KeyLoad, Sketch};
use super::throttle::Throttle;
use super::write_budget::{self, WriteBudget, WriteLimit};

/// SubscribeToShard calls a second of one consumer to one shard (service: 1).
const SUBSCRIPTIONS: BucketSize = BucketSize { capacity: 1, per_second: 1 };

/// The traffic of all streams.
#[derive(Debug, Default)]
pub struct Traffic {
    streams: RwLock<HashMap<StreamId, Arc<StreamTraffic>>>,
    memory: Arc<SampleMemory>,
}

impl Traffic {
    /// The traffic of a stream.
    pub fn stream(&self, id: StreamId) -> Arc<StreamTraffic> {
        if let Some(stream) = self.streams.read().get(&id) {
            return Arc::clone(stream);
        }
        let mut streams = self.streams.write();
        let new = || Arc::new(StreamTraffic::new(Arc::clone(&self.memory)));
        Arc::clone(streams.entry(id).or_insert_with(new))
    }

    /// The same for those who only look: none where there was no traffic.
    pub fn known_stream(&self, id: StreamId) -> Option<Arc<StreamTraffic>> {
        self.streams.read().get(&id).cloned()
    }

    /// Forgets the streams that `is_there` denies, lets go what those that are left no longer need,
    /// and divides the memory of samples among the shards that are busy.
    pub fn sweep(&self, is_there: impl Fn(StreamId) -> bool, now: Duration) {
        self.streams.write().retain(|id, _| is_there(*id));
        let streams: Vec<_> = self.streams.read().values().cloned().collect();
        let busy_shards = streams.iter().map(|stream| stream.sweep(now)).sum();
        self.memory.divide(busy_shards);
    }
}

/// The traffic of a stream.
#[derive(Debug, Default)]
pub struct StreamTraffic {
    memory: Arc<SampleMemory>,
    shards: RwLock<HashMap<ShardId, Arc<ShardTraffic>>>,
    consumers: Mutex<HashMap<(ConsumerName, ShardId), Arc<ConsumerTraffic>>>,
}

impl StreamTraffic {
    fn new(memory: Arc<SampleMemory>) -> StreamTraffic {
        StreamTraffic { memory, ..StreamTraffic::default() }
    }

    /// The traffic of a shard of the stream.
    pub fn shard(&self, id: ShardId, now: Duration) -> Arc<ShardTraffic> {
        if let Some(shard) = self.shards.read().get(&id) {
            return Arc::clone(shard);
        }
        let mut shards = self.shards.write();
        let new = || {
            let sketch = Sketch::new(id.0.into(), Arc::clone(&self.memory));
            Arc::new(ShardTraffic::new(sketch, now))
        };
        Arc::clone(shards.entry(id).or_insert_with(new))
    }

    /// The same for those who only look: none where there was no traffic.
    pub fn known_shard(&self, id: ShardId) -> Option<Arc<ShardTraffic>> {
        self.shards.read().get(&id).cloned()
    }

    /// What a consumer takes from a shard.
    pub fn consumer(
        &self,
        consumer: &ConsumerName,
        shard: ShardId,
        now: Duration,
    ) -> Arc<ConsumerTraffic> {
        let mut consumers = self.consumers.lock();
        let new = || Arc::new(ConsumerTraffic::new(now));
        Arc::clone(consumers.entry((consumer.clone(), shard)).or_insert_with(new))
    }

    /// Forgets the shards that `is_there` denies, once their last record has expired.
    pub fn retain_shards(&self, is_there: impl Fn(ShardId) -> bool) {
        self.shards.write().retain(|id, _| is_there(*id));
    }

    /// How many shards are busy.
    fn sweep(&self, now: Duration) -> usize {
        let shards: Vec<_> = self.shards.read().values().cloned().collect();
        let busy_shards = shards.iter().filter(|shard| shard.sweep(now)).count();
        // Who holds one may take from it; and one that is not rested is still owed something.
        self.consumers
            .lock()
            .retain(|_, consumer| Arc::strong_count(consumer) > 1 || !consumer.is_rested(now));
        busy_shards
    }
}

/// The traffic of a shard.
#[derive(Debug)]
pub struct ShardTraffic {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    write: WriteBudget,
    read: ReadBudget,
    load: Load,
    sketch: Sketch,
    /// Bytes pulled in the second that ended with the last silence.
    silencing_bytes: u64,
}

/// What of a run of records is admitted: its first ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Admission {
    /// How many records, and their bytes.
    pub count: Count,
    /// Why the others are not, if there are others.
    pub throttle: Option<Throttle>,
}

impl ShardTraffic {
    fn new(sketch: Sketch, now: Duration) -> ShardTraffic {
        let state = State {
            write: WriteBudget::full(now),
            read: ReadBudget::full(now),
            load: Load::default(),
            sketch,
            silencing_bytes: 0,
        };
        ShardTraffic { state: Mutex::new(state) }
    }

    /// Admits the first records of a run, as far as the shard's throughput goes, and counts the
    /// others as throttled. `sizes` are the bytes of each, keys and data; they are looked at only
    /// where not all are admitted.
    pub fn admit_put(
        &self,
        run: Count,
        sizes: impl IntoIterator<Item = u32>,
        now: Duration,
    ) -> Admission {
        let state = &mut *self.state.lock();
        let admitted = state.write.admit(run, sizes, now);
        let count = admitted.count;
        let throttle = admitted.refusal.map(|refusal| {
            let throttled = Count {
                records: run.records - count.records,
                bytes: run.bytes.saturating_sub(count.bytes),
            };
            state.load.put(Count::default(), throttled, now);
            // What is admitted is counted when the log has it.
            let offered = state.load.offered(now);
            let retry_after = refusal.retry_after;
            match refusal.limit {
                WriteLimit::Records => Throttle {
                    limit: "records",
                    allowed: write_budget::RECORDS.per_second.into(),
                    seen: offered.records + u64::from(count.records),
                    retry_after,
                },
                WriteLimit::Bytes => Throttle {
                    limit: "bytes",
                    allowed: write_budget::BYTES.per_second.into(),
                    seen: offered.bytes + count.bytes,
                    retry_after,
                },
            }
        });
        Admission { count, throttle }
    }

    /// Records that were admitted could not be stored after all.
    pub fn give_back_put(&self, count: Count, now: Duration) {
        let state = &mut *self.state.lock();
        state.write.give_back(count, now);
        state.load.put(Count::default(), count, now);
    }

    /// Records were put.
    pub fn count_put<'a>(
        &self,
        count: Count,
        records: impl IntoIterator<Item = RecordView<'a>>,
        now: Duration,
    ) {
        let state = &mut *self.state.lock();
        state.load.put(count, Count::default(), now);
        state.sketch.sample(count.records, records, now);
    }

    /// Admits a call that pulls, or says why not.
    pub fn admit_poll(&self, now: Duration) -> Result<(), Throttle> {
        let state = &mut *self.state.lock();
        let refusal = match state.read.admit_call(now) {
            Ok(()) => return Ok(()),
            Err(refusal) => refusal,
        };
        state.load.throttle_poll(now);
        let (limit, allowed, seen) = match refusal.limit {
            ReadLimit::Calls => {
                let seen = state.load.sliding(now, |sums| sums.polls + sums.throttled_polls);
                ("calls", read_budget::CALLS.per_second, seen)
            }
            ReadLimit::Bytes => ("bytes", read_budget::BYTES.per_second, state.silencing_bytes),
        };
        let retry_after = refusal.retry_after;
        Err(Throttle { limit, allowed: allowed.into(), seen, retry_after })
    }

    /// A call pulled records, so far behind the newest one.
    pub fn count_poll(&self, read: Count, iterator_age_ms: u64, now: Duration) {
        let state = &mut *self.state.lock();
        state.load.poll(read, iterator_age_ms, now);
        // A page is at most 10 MiB and a record.
        if state.read.charge(read.bytes as u32, now) {
            state.silencing_bytes = state.load.sliding(now, |sums| sums.polled_bytes);
        }
    }

    /// A subscription sent records, so far behind the newest one.
    pub fn count_push(&self, read: Count, iterator_age_ms: u64, now: Duration) {
        self.state.lock().load.push(read, iterator_age_ms, now);
    }

    /// What happened in the last `seconds` whole seconds, at most 60.
    pub fn over(&self, seconds: u64, now: Duration) -> Sums {
        self.state.lock().load.over(seconds, now)
    }

    /// The most that was put in a whole second of the last minute.
    pub fn peak(&self, now: Duration) -> Rate {
        self.state.lock().load.peak(now)
    }

    /// Everything since the start of the server.
    pub fn total(&self) -> Sums {
        *self.state.lock().load.total()
    }

    /// Where the load of the shard comes from, by bytes where those are what it is short of.
    pub fn key_load(&self, range: HashKeyRange, now: Duration) -> KeyLoad {
        let state = self.state.lock();
        let by_bytes = state.load.rate(WINDOW_SECONDS, now).is_bound_by_bytes();
        state.sketch.key_load(range, by_bytes, now)
    }

    /// The shard as [`decide`](super::scaling::decide) sees it.
    pub fn view(
        &self,
        id: ShardId,
        range: HashKeyRange,
        age: Duration,
        now: Duration,
    ) -> ShardView {
        let state = self.state.lock();
        let rate = state.load.rate(RATE_SECONDS, now);
        let key_load = state.sketch.key_load(range, rate.is_bound_by_bytes(), now);
        drop(state);
        ShardView { id, range, rate, age, halving: key_load.halving() }
    }

    /// Whether it is busy.
    fn sweep(&self, now: Duration) -> bool {
        let state = &mut *self.state.lock();
        state.load.shrink(now);
        state.sketch.shrink(now)
    }
}

/// What a consumer takes from a shard by its subscriptions.
#[derive(Debug)]
pub struct ConsumerTraffic {
    state: Mutex<ConsumerState>,
}

#[derive(Debug)]
struct ConsumerState {
    calls: Bucket,
    pace: Pace,
}

impl ConsumerTraffic {
    fn new(now: Duration) -> ConsumerTraffic {
        let state = ConsumerState { calls: Bucket::full(SUBSCRIPTIONS, now), pace: Pace::new(now) };
        ConsumerTraffic { state: Mutex::new(state) }
    }

    /// Admits a call of SubscribeToShard, or says when the next one will be.
    pub fn admit_subscription(&self, now: Duration) -> Result<(), Duration> {
        let calls = &mut self.state.lock().calls;
        calls.fill(SUBSCRIPTIONS, now);
        if !calls.leaves(1, 0) {
            return Err(calls.wait(SUBSCRIPTIONS, 1));
        }
        calls.take(1);
        Ok(())
    }

    /// Takes an event's bytes, and says how long to wait before it is sent.
    pub fn pace(&self, bytes: u32, now: Duration) -> Duration {
        self.state.lock().pace.take(bytes, now)
    }

    fn is_rested(&self, now: Duration) -> bool {
        let state = &mut *self.state.lock();
        state.calls.fill(SUBSCRIPTIONS, now);
        state.calls.is_full(SUBSCRIPTIONS) && state.pace.is_rested(now)
    }
}

#[cfg(test)]
mod tests {
    use anabranch_engine::hash_key::HashKey;
    use anabranch_engine::record::PartitionKey;

    use super::super::sketch::SAMPLES_MAX;
    use super::super::sketch::memory::SAMPLES_TOTAL;
    use super::*;

    const STREAM: StreamId = StreamId(1);
    const SHARD: ShardId = ShardId(0);
    const ALL: HashKeyRange = HashKeyRange { start: HashKey(0), end: HashKey(u128::MAX) };

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn count(records: u32, bytes: u64) -> Count {
        Count { records, bytes }
    }

    fn record(key: &'static str) -> RecordView<'static> {
        let key = PartitionKey::from_bytes(key.as_bytes()).unwrap();
        RecordView::new(key, None, b"").unwrap()
    }

    #[test]
    fn a_throttled_run_says_which_limit_and_the_rate_seen_in_the_last_second() {
        let traffic = Traffic::default();
        let shard = traffic.stream(STREAM).shard(SHARD, at(0));
        let put = |run: u32, now| {
            let each = std::iter::repeat_n(10, run as usize);
            let admission = shard.admit_put(count(run, u64::from(run) * 10), each, now);
            let records = std::iter::repeat_n(record("k"), admission.count.records as usize);
            shard.count_put(admission.count, records, now);
            admission
        };
        assert_eq!(put(900, at(100)).throttle, None);
        let admission = put(500, at(100));
        assert_eq!(admission.count.records, 100);
        let throttle = admission.throttle.unwrap();
        assert_eq!((throttle.limit, throttle.allowed, throttle.seen), ("records", 1000, 1400));
        let sums = shard.over(60, at(1000));
        assert_eq!((sums.records_in, sums.throttled_records), (1000, 400));
        assert_eq!((sums.bytes_in, sums.throttled_bytes), (10_000, 4000));
    }

    #[test]
    fn what_is_given_back_was_not_put_and_leaves_room() {
        let shard = Traffic::default().stream(STREAM).shard(SHARD, at(0));
        for _ in 0..5 {
            let admission = shard.admit_put(count(1000, 1000), [1; 1000], at(0));
            assert_eq!(admission.throttle, None);
            shard.give_back_put(admission.count, at(0));
        }
        assert_eq!(shard.total().records_in, 0);
        assert_eq!(shard.total().throttled_records, 5000);
    }

    #[test]
    fn a_poller_in_silence_is_told_what_was_read_before_it() {
        let shard = Traffic::default().stream(STREAM).shard(SHARD, at(0));
        shard.admit_poll(at(0)).unwrap();
        shard.count_poll(count(1, 10 << 20), 0, at(0));
        let throttle = shard.admit_poll(at(4500)).unwrap_err();
        assert_eq!((throttle.limit, throttle.seen), ("bytes", 10 << 20));
        assert_eq!(throttle.retry_after, at(500));
        for _ in 0..5 {
            shard.admit_poll(at(5000)).unwrap();
            shard.count_poll(count(0, 0), 0, at(5000));
        }
        // Those five, this one, and the one that was refused half a second ago.
        let throttle = shard.admit_poll(at(5000)).unwrap_err();
        assert_eq!((throttle.limit, throttle.allowed, throttle.seen), ("calls", 5, 7));
    }

    #[test]
    fn a_view_has_the_rate_of_the_last_seconds_and_where_the_load_halves() {
        let shard = Traffic::default().stream(STREAM).shard(SHARD, at(0));
        for second in 0..5 {
            // MD5 of "a" begins with 0c, that of "b" with 92.
            let records = (0..20).map(|n| record(if n % 2 == 0 { "a" } else { "b" }));
            shard.count_put(count(20, 2000), records, at(second * 1000));
        }
        let view = shard.view(SHARD, ALL, at(5000), at(5000));
        assert_eq!(view.rate, Rate { records: 20, bytes: 2000 });
        let halving = view.halving.unwrap();
        assert!((0x0d..0x92).contains(&(halving.at.0 >> 120)), "{halving:?}");
        assert!((shard.key_load(ALL, at(5000)).hottest().unwrap().share - 0.5).abs() < 0.1);
    }

    #[test]
    fn subscriptions_are_paced_and_called_for_once_a_second() {
        let stream = Traffic::default().stream(STREAM);
        let name: ConsumerName = "c".parse().unwrap();
        let consumer = stream.consumer(&name, SHARD, at(0));
        assert_eq!(consumer.admit_subscription(at(0)), Ok(()));
        assert_eq!(consumer.admit_subscription(at(400)), Err(at(600)));
        assert_eq!(consumer.pace(2 << 20, at(400)), at(0));
        assert_eq!(consumer.pace(1 << 20, at(400)), at(500));
        // It is held, and then owed something; only then it goes.
        stream.sweep(at(400));
        drop(consumer);
        stream.sweep(at(500));
        assert_eq!(stream.consumers.lock().len(), 1);
        assert!(stream.consumer(&name, SHARD, at(500)).admit_subscription(at(500)).is_err());
        stream.sweep(at(5000));
        assert!(stream.consumers.lock().is_empty());
    }

    #[test]
    fn what_is_gone_is_forgotten() {
        let traffic = Traffic::default();
        let stream = traffic.stream(STREAM);
        stream.shard(SHARD, at(0));
        stream.shard(ShardId(1), at(0));
        stream.retain_shards(|id| id == SHARD);
        assert!(stream.known_shard(ShardId(1)).is_none());
        traffic.sweep(|_| false, at(0));
        assert!(traffic.streams.read().is_empty());
    }

    #[test]
    fn the_samples_of_ten_thousand_busy_shards_have_a_bound_and_still_halve_their_load() {
        let traffic = Traffic::default();
        let stream = traffic.stream(STREAM);
        let shards: Vec<_> = (0..10_000).map(|id| stream.shard(ShardId(id), at(0))).collect();
        let (low, high) = (record("a"), record("b"));
        for second in 0..12 {
            for shard in &shards {
                let records = (0..100).map(|index| if index % 2 == 0 { low } else { high });
                shard.count_put(count(100, 100), records, at(second * 1000));
            }
            assert!(traffic.memory.taken() <= SAMPLES_TOTAL);
            traffic.sweep(|_| true, at(second * 1000));
        }
        assert!(traffic.memory.share() < 256, "{}", traffic.memory.share());
        for shard in &shards {
            let halving = shard.key_load(ALL, at(12_000)).halving().unwrap();
            assert!((0.25..0.75).contains(&halving.below), "{halving:?}");
        }
        // What is idle gives all of it back, and those that are left have full samples again.
        traffic.sweep(|_| true, at(100_000));
        assert_eq!(traffic.memory.taken(), 0);
        assert_eq!(traffic.memory.share(), SAMPLES_MAX);
    }
}
