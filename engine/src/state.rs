//! What an engine holds in memory: its streams, and the durable form of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::catalog::Catalog;
use crate::commit::Shared;
use crate::error::Result;
use crate::ids::{ShardId, StreamId, StreamName};
use crate::log::segment::SegmentCache;
use crate::reserve::Reserve;
use crate::settings::AccountSettings;
use crate::stats::Stats;
use crate::stream::Stream;

/// The engine without its threads.
pub(crate) struct State {
    pub(crate) shared: Arc<Shared>,
    pub(crate) catalog: Catalog,
    pub(crate) cache: Arc<SegmentCache>,
    pub(crate) reserve: Reserve,
    pub(crate) account: Mutex<AccountSettings>,
    pub(crate) streams: Mutex<Streams>,
}

/// The streams, and names that are being given away.
pub(crate) struct Streams {
    pub(crate) by_name: BTreeMap<StreamName, Arc<Stream>>,
    /// Names whose stream is being created: the catalog is written without the lock.
    pub(crate) creating: BTreeSet<StreamName>,
    /// Deleted streams whose files still stand.
    pub(crate) deleting: Vec<Arc<Stream>>,
    /// The ones among them whose removal has failed: tried again now and then.
    pub(crate) remaining: Vec<Arc<Stream>>,
    /// Closed shards whose last record has expired, and whose files still stand.
    pub(crate) expired: Vec<(StreamId, ShardId)>,
    /// Streams that take no records until [`State::settle`] has worked.
    pub(crate) suspended: Vec<Arc<Stream>>,
    /// The start of this run, which a full disk has kept out of the catalog, with whether it
    /// acknowledges before the sync. Until it is recorded no stream takes records: after a
    /// crash the next start would believe that the last stop was clean.
    pub(crate) begin_owed: Option<bool>,
    pub(crate) next_id: u64,
    pub(crate) is_stopping: bool,
}

impl State {
    pub(crate) fn all_streams(&self) -> Vec<Arc<Stream>> {
        self.streams.lock().by_name.values().cloned().collect()
    }

    /// A change of the catalog, for which the reserved space is given up if the disk is full.
    pub(crate) fn with_reserve<T>(&self, change: impl Fn() -> Result<T>) -> Result<T> {
        self.reserve.back(change)
    }

    /// Does what is owed to the catalog, and lets the streams that wait for it take records
    /// again. A failure is no news: it is tried again.
    pub(crate) fn settle(&self) {
        let (begin, waiting) = {
            let mut streams = self.streams.lock();
            (streams.begin_owed, std::mem::take(&mut streams.suspended))
        };
        let settled = match begin {
            // Like every change it takes back what is in doubt.
            Some(unsynced) => self.with_reserve(|| self.catalog.begin(unsynced)),
            None if waiting.is_empty() => return,
            None => self.with_reserve(|| self.catalog.settle()),
        };
        let mut streams = self.streams.lock();
        if settled.is_err() {
            streams.suspended.extend(waiting);
            return;
        }
        streams.begin_owed = None;
        for stream in waiting {
            // Meanwhile it may have come into doubt again.
            if !streams.suspended.iter().any(|other| Arc::ptr_eq(other, &stream)) {
                stream.resume();
            }
        }
    }

    /// Records the durable ends that have moved; with `is_clean` as the last act of a run.
    pub(crate) fn record_marks(&self, streams: &[Arc<Stream>], is_clean: bool) -> Result<()> {
        self.shared.begin_marks();
        let moved: Vec<_> = streams
            .iter()
            .flat_map(|stream| {
                let shards = stream.shards().to_vec();
                shards.into_iter().map(|shard| (stream.id(), shard))
            })
            .filter_map(|(stream, shard)| {
                let mark = shard.moved_mark()?;
                Some((stream, shard, mark))
            })
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

    pub(crate) fn stats(&self) -> Stats {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
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
