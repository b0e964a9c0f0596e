//! The engine: a data directory, its streams, and the threads that serve them.
//!
//! [`Engine::open`] locks the directory, reads the catalog, recovers every log and starts
//! nothing; [`Engine::start`] adds the threads; [`Engine::shut_down`] drains them and records
//! that the stop was clean. A simulated run leaves the threads out and calls the steps itself.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;

use crate::catalog::{Catalog, ConsumerEntry, ShardEntry, StreamEntry};
use crate::clock::{Clock, SystemClock};
use crate::commit::Shared;
use crate::entropy::{Entropy, SystemEntropy};
use crate::error::{Damage, Error, Result};
use crate::fs::{Fs, Lock, ReadMode, RealFs};
use crate::hash_key::HashKeyRange;
use crate::housekeeping::Housekeeper;
use crate::ids::{ConsumerName, ShardId, StreamId, StreamName};
use crate::limits::{
    CONSUMERS_PER_STREAM_MAX, RETENTION_HOURS_DEFAULT, RETENTION_HOURS_MAX, RETENTION_HOURS_MIN,
    SHARDS_PER_STREAM_MAX,
};
use crate::log::paths::Paths;
use crate::log::segment::SegmentCache;
use crate::log::writer::Durability;
use crate::open;
use crate::reserve::Reserve;
use crate::sequence::SequenceNumber;
use crate::stats::Stats;
use crate::stream::{Consumer, Stream};

/// Threads that commit. They wait for the disk most of the time: the syncs of this many shards
/// overlap, and more gained nothing on two cores (16 threads reach 34,900 syncs/s where 8
/// reach 27,900, at twice the latency).
const COMMITTERS: usize = 8;

/// What an engine is opened with.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// The data directory; made if missing.
    pub data: PathBuf,
    /// When a put is acknowledged.
    pub durability: Durability,
    /// Files that may be open for reading while no reader is in the middle of them. Each
    /// costs a file descriptor and a map.
    pub open_segments_max: usize,
    /// Logs that are recovered at the same time.
    pub recovery_threads: usize,
}

impl EngineOptions {
    /// The defaults for a data directory: durable before acknowledged.
    pub fn new(data: impl Into<PathBuf>) -> EngineOptions {
        EngineOptions {
            data: data.into(),
            durability: Durability::Fsync,
            open_segments_max: 256,
            recovery_threads: 4,
        }
    }
}

/// The seams to the outside: replaced as a whole in a simulated run.
#[derive(Clone)]
pub struct Environment {
    /// Files.
    pub fs: Arc<dyn Fs>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}

impl Environment {
    /// The machine's own.
    pub fn system(read_mode: ReadMode) -> Environment {
        Environment {
            fs: Arc::new(RealFs::new(read_mode)),
            clock: Arc::new(SystemClock::default()),
            entropy: Arc::new(SystemEntropy),
        }
    }
}

/// What opening found.
#[derive(Clone, Debug, Default)]
pub struct OpenReport {
    /// The last stop was clean.
    pub clean: bool,
    /// Streams.
    pub streams: usize,
    /// Shards of all streams.
    pub shards: usize,
    /// Bytes read behind the recorded durable ends.
    pub scanned_bytes: u64,
    /// Bytes of torn tails that were cut.
    pub truncated_bytes: u64,
    /// What cannot be read. The rest is served.
    pub damage: Vec<Damage>,
    /// Directories that no catalog entry claims, where they are now.
    pub lost_and_found: Vec<PathBuf>,
    /// How long it took.
    pub took: Duration,
}

/// A data directory in use. Clones share it.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) shared: Arc<Shared>,
    pub(crate) catalog: Catalog,
    pub(crate) cache: Arc<SegmentCache>,
    pub(crate) reserve: Reserve,
    pub(crate) streams: Mutex<Streams>,
    iterator_key: [u8; 32],
    report: OpenReport,
    threads: Mutex<Vec<JoinHandle<()>>>,
    pub(crate) housekeeper: Housekeeper,
    /// Released when the last clone of the engine goes.
    _lock: Box<dyn Lock>,
}

/// The streams, and names that are being given away.
pub(crate) struct Streams {
    pub(crate) by_name: BTreeMap<StreamName, Arc<Stream>>,
    /// Names whose stream is being created: the catalog is written without the lock.
    pub(crate) creating: BTreeSet<StreamName>,
    /// Deleted streams whose files still stand.
    pub(crate) deleting: Vec<Arc<Stream>>,
    pub(crate) next_id: u64,
    pub(crate) is_stopping: bool,
}

impl Engine {
    /// Opens a data directory and recovers its logs. Starts no thread.
    pub fn open(options: EngineOptions, environment: Environment) -> Result<Engine> {
        let begun = environment.clock.monotonic();
        let opened = open::open(&options, &environment)?;
        let mut report = opened.report;
        report.took = environment.clock.monotonic().saturating_sub(begun);
        let monotonic = environment.clock.monotonic();
        let inner = Inner {
            shared: opened.shared,
            catalog: opened.catalog,
            cache: opened.cache,
            reserve: opened.reserve,
            streams: Mutex::new(opened.streams),
            iterator_key: opened.iterator_key,
            report,
            threads: Mutex::default(),
            housekeeper: Housekeeper::new(monotonic),
            _lock: opened.lock,
        };
        Ok(Engine { inner: Arc::new(inner) })
    }

    /// Starts the threads: committers and housekeeping.
    pub fn start(&self) {
        let mut threads = self.inner.threads.lock();
        assert!(threads.is_empty(), "an engine is started once");
        for number in 0..COMMITTERS {
            let shared = self.inner.shared.clone();
            threads.push(spawn(format!("commit-{number}"), move || shared.commit_loop()));
        }
        // The thread holds no strong reference: an engine that is dropped without a stop ends.
        let weak = Arc::downgrade(&self.inner);
        threads.push(spawn("housekeeping".to_owned(), move || Housekeeper::run(&weak)));
    }

    /// Refuses new records, commits what is staged, and records that the stop was clean.
    /// Waits for the disk.
    pub fn shut_down(&self) -> Result<()> {
        let inner = &self.inner;
        inner.streams.lock().is_stopping = true;
        let streams = inner.all_streams();
        for shard in streams.iter().flat_map(|stream| stream.shards()) {
            shard.stop();
        }
        inner.shared.stop_committers();
        inner.housekeeper.stop();
        let threads = std::mem::take(&mut *inner.threads.lock());
        if threads.is_empty() {
            while inner.shared.commit_step() {}
        }
        for thread in threads {
            thread.join().expect("a thread of the engine aborts the process rather than panic");
        }
        let mut is_clean = true;
        for shard in streams.iter().flat_map(|stream| stream.shards()) {
            // A halted log is not at its recorded end: it is recovered at the next start.
            is_clean &= matches!(shard.with_writer(|writer| writer.sync()), Some(Ok(())));
            // Nor is one that recovery ended in a leap or in damage, and that took no record
            // since: its recorded end is older, and a clean start would take that for the end.
            let end = shard.mark().map_or(shard.first_sequence(), |mark| mark.next_sequence);
            is_clean &= end == shard.watermarks().durable;
        }
        inner.record_marks(&streams, is_clean)
    }

    /// What opening found.
    pub fn report(&self) -> &OpenReport {
        &self.inner.report
    }

    /// The time that arrival stamps follow, milliseconds since 1970.
    pub fn now_ms(&self) -> u64 {
        self.inner.shared.now_ms()
    }

    /// The secret that shard iterators are sealed with. It outlives the process.
    pub fn iterator_key(&self) -> &[u8; 32] {
        &self.inner.iterator_key
    }

    /// Makes a stream whose shards tile the hash space evenly. Waits for the disk.
    pub fn create_stream(&self, name: &StreamName, shard_count: u32) -> Result<Arc<Stream>> {
        let max = u64::from(SHARDS_PER_STREAM_MAX);
        check_range("shard_count", u64::from(shard_count), 1, max)?;
        let inner = &self.inner;
        let now_ms = inner.shared.now_ms();
        let id = {
            let mut streams = inner.streams.lock();
            if streams.is_stopping {
                return Err(Error::ShuttingDown);
            }
            if streams.by_name.contains_key(name) || !streams.creating.insert(name.clone()) {
                return Err(Error::StreamExists { name: name.clone() });
            }
            let id = StreamId(streams.next_id);
            streams.next_id += 1;
            id
        };
        let shards = HashKeyRange::tile(shard_count).enumerate().map(|(index, range)| ShardEntry {
            id: ShardId(index as u32),
            range,
            parents: [None, None],
            created_ms: now_ms,
            first_sequence: SequenceNumber::FIRST,
            closed: None,
        });
        let entry = StreamEntry {
            id,
            name: name.clone(),
            created_ms: now_ms,
            retention_hours: RETENTION_HOURS_DEFAULT,
            is_deleting: false,
            shards: shards.collect(),
            consumers: Vec::new(),
        };
        let recorded = inner.with_reserve(|| inner.catalog.create_stream(&entry));
        let mut streams = inner.streams.lock();
        streams.creating.remove(name);
        recorded?;
        let stream = Arc::new(open::new_stream(&inner.shared, &inner.cache, &entry));
        streams.by_name.insert(name.clone(), stream.clone());
        Ok(stream)
    }

    /// Deletes a stream. Its name is free, and its readers and writers are told, when the call
    /// returns; its files go in the background. Waits for the disk.
    pub fn delete_stream(&self, name: &StreamName) -> Result<()> {
        let inner = &self.inner;
        let stream = self.stream(name)?;
        inner.with_reserve(|| inner.catalog.mark_deleting(stream.id()))?;
        stream.delete();
        let mut streams = inner.streams.lock();
        // Another call may have been quicker, and the name may be taken again.
        let is_same = streams.by_name.get(name).is_some_and(|held| Arc::ptr_eq(held, &stream));
        if is_same {
            streams.by_name.remove(name);
            streams.deleting.push(stream);
        }
        drop(streams);
        inner.housekeeper.wake();
        Ok(())
    }

    /// The stream of that name.
    pub fn stream(&self, name: &StreamName) -> Result<Arc<Stream>> {
        let streams = self.inner.streams.lock();
        let not_found = || Error::StreamNotFound { name: name.clone() };
        streams.by_name.get(name).cloned().ok_or_else(not_found)
    }

    /// At most `limit` streams by name, behind `after`.
    pub fn streams(&self, after: Option<&StreamName>, limit: usize) -> Vec<Arc<Stream>> {
        use std::ops::Bound::{Excluded, Unbounded};
        let start = after.map_or(Unbounded, Excluded);
        let streams = self.inner.streams.lock();
        let range = streams.by_name.range::<StreamName, _>((start, Unbounded));
        range.take(limit).map(|(_, stream)| stream.clone()).collect()
    }

    /// Changes for how long records are kept, 24 to 8,760 hours. Waits for the disk.
    pub fn set_retention_hours(&self, stream: &Stream, hours: u32) -> Result<()> {
        let (min, max) = (u64::from(RETENTION_HOURS_MIN), u64::from(RETENTION_HOURS_MAX));
        check_range("retention_period_hours", u64::from(hours), min, max)?;
        let catalog = &self.inner.catalog;
        self.inner.with_reserve(|| catalog.set_retention(stream.id(), hours))?;
        stream.set_retention_hours(hours);
        Ok(())
    }

    /// Registers a consumer, at most 20 to a stream. Waits for the disk.
    pub fn register_consumer(&self, stream: &Stream, name: &ConsumerName) -> Result<Consumer> {
        if stream.consumer(name).is_ok() {
            let (name, consumer) = (stream.name().clone(), name.clone());
            return Err(Error::ConsumerExists { name, consumer });
        }
        if stream.consumers().len() >= CONSUMERS_PER_STREAM_MAX {
            let max = CONSUMERS_PER_STREAM_MAX as u64;
            return Err(Error::LimitExceeded { what: "consumers of a stream", max });
        }
        let consumer = Consumer { name: name.clone(), created_ms: self.now_ms() };
        let entry = ConsumerEntry { name: consumer.name.clone(), created_ms: consumer.created_ms };
        let catalog = &self.inner.catalog;
        self.inner.with_reserve(|| catalog.put_consumer(stream.id(), &entry))?;
        stream.add_consumer(consumer.clone());
        Ok(consumer)
    }

    /// Removes a consumer. Waits for the disk.
    pub fn deregister_consumer(&self, stream: &Stream, name: &ConsumerName) -> Result<()> {
        stream.consumer(name)?;
        let catalog = &self.inner.catalog;
        self.inner.with_reserve(|| catalog.remove_consumer(stream.id(), name))?;
        stream.remove_consumer(name);
        Ok(())
    }

    /// What the engine has done, and how it stands.
    pub fn stats(&self) -> Stats {
        self.inner.stats()
    }

    /// One turn of a committer, for runs without threads. False: nothing is staged.
    pub fn commit_step(&self) -> bool {
        self.inner.shared.commit_step()
    }

    /// All of the housekeeping that is due, for runs without threads.
    pub fn housekeeping_step(&self) {
        self.inner.housekeeper.step(&self.inner);
    }
}

impl Inner {
    pub(crate) fn all_streams(&self) -> Vec<Arc<Stream>> {
        self.streams.lock().by_name.values().cloned().collect()
    }

    /// A change of the catalog, for which the reserved space is given up if the disk is full.
    pub(crate) fn with_reserve<T>(&self, change: impl Fn() -> Result<T>) -> Result<T> {
        match change() {
            Err(error) if error.is_full() && self.reserve.give_up() => change(),
            result => result,
        }
    }

    /// Records the durable ends that have moved; with `is_clean` as the last act of a run.
    pub(crate) fn record_marks(&self, streams: &[Arc<Stream>], is_clean: bool) -> Result<()> {
        let moved: Vec<_> = streams
            .iter()
            .flat_map(|stream| stream.shards().iter().map(|shard| (stream.id(), shard)))
            .filter_map(|(stream, shard)| Some((stream, shard, shard.moved_mark()?)))
            .collect();
        let marks: Vec<_> =
            moved.iter().map(|(stream, shard, mark)| (*stream, shard.id(), *mark)).collect();
        self.shared.now_ms();
        let timeline = self.shared.timeline.lock().state();
        self.with_reserve(|| match is_clean {
            true => self.catalog.finish(&marks, &timeline),
            false => self.catalog.record(&marks, &timeline),
        })?;
        for (_, shard, mark) in moved {
            shard.recorded(mark);
        }
        Ok(())
    }

    fn stats(&self) -> Stats {
        let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.shared.counters;
        let host = &self.shared.host;
        let space = host.fs.space(host.paths.data()).ok();
        let (streams, shards) = {
            let streams = self.streams.lock();
            let shards: usize = streams.by_name.values().map(|stream| stream.shards().len()).sum();
            (streams.by_name.len(), shards)
        };
        Stats {
            puts: load(&counters.puts),
            records: load(&counters.records),
            bytes: load(&counters.bytes),
            commits: load(&counters.commits),
            committed_bytes: load(&counters.committed_bytes),
            busy: load(&counters.busy),
            refused_full: load(&counters.refused_full),
            halted_logs: load(&counters.halted_logs),
            damage_found: self.cache.damage_found(),
            disk_free_bytes: space.map_or(0, |space| space.free),
            disk_total_bytes: space.map_or(0, |space| space.total),
            is_disk_full: self.shared.is_disk_full.load(Ordering::Relaxed),
            streams: streams as u64,
            shards: shards as u64,
            open_segments: self.cache.open_count() as u64,
            spare_segments: host.spare.waiting() as u64,
            staged_bytes: self.shared.staged_bytes.load(Ordering::Relaxed) as u64,
            is_clock_jump_pending: self.shared.timeline.lock().is_jump_pending(),
            sync_us: counters.sync_us.snapshot(),
            commit_records: counters.commit_records.snapshot(),
        }
    }
}

impl Drop for Inner {
    /// An engine that is dropped without a stop still ends its committers, before the lock on
    /// the directory goes.
    fn drop(&mut self) {
        self.shared.stop_committers();
        for thread in std::mem::take(self.threads.get_mut()) {
            // The housekeeping thread may be the one that drops the last reference.
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

fn check_range(what: &'static str, value: u64, min: u64, max: u64) -> Result<()> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(Error::OutOfRange { what, value, min, max })
}

/// A named thread. A panic in it aborts the process: a log whose committer is gone would
/// otherwise accept records and never answer.
fn spawn(name: String, life: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    let body = move || {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(life));
        if outcome.is_err() {
            tracing::error!("a thread of the engine panicked; aborting the process");
            std::process::abort();
        }
    };
    std::thread::Builder::new().name(name).spawn(body).expect("the system has threads left")
}

/// Used by [`open`] to build the paths of a data directory.
pub(crate) fn paths(options: &EngineOptions) -> Paths {
    Paths::new(&options.data)
}
