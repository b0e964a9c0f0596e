//! Group commit: who commits what, and when.
//!
//! ```text
//!   append -> staging of the shard -> ready queue -> a committer takes the shard's writer
//!                  ^                                   and its staged batch, commits, gives
//!                  |  the next batch fills meanwhile   the writer back and wakes the waiters
//! ```
//!
//! There is no timer: a commit starts the moment a committer is free, and what arrives while
//! it syncs is the next batch. A shard stands in the queue at most once and has one writer,
//! which is moved out of it for a commit; so it has one commit in flight, and the syncs of
//! different shards overlap. [`Shared::commit_step`] is one turn of a committer; the engine's
//! threads call it in a loop, a simulated run calls it when its seed says so.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::Notify;

use crate::buffers::Buffers;
use crate::clock::{Clock, Timeline};
use crate::limits::DURABLE_END_TOTAL_BYTES;
use crate::log::writer::LogHost;
use crate::stats::Counters;

/// Threads that commit: how many syncs overlap at most.
pub(crate) const COMMITTERS: usize = 16;

/// Shards that are a few, and how many commits overlap where there are more.
const OVERLAP_FEW: usize = 8;

/// So many waiting shards are worth all threads: each waits for all before it.
const MANY_SHARDS: usize = 128;

/// A sync that takes longer, and a microsecond for each kilobyte, waits for the disk and is worth
/// overlapping with as many others as there are threads.
const SLOW_SYNC_US: u64 = 1000;

/// Commits of so many bytes cost by the byte, and gain nothing from others beside them.
const LARGE_COMMIT_BYTES: u64 = 96 << 10;

/// What commits are like of late.
#[derive(Clone, Copy, Debug)]
struct Recent {
    sync_us: u64,
    bytes: u64,
}

/// How many commits are under way at most while `shards` have something to commit or are at it.
///
/// The processor binds where syncs are fast, and each commit under way is one that gathers no more.
/// But a file system makes the syncs of many files in one go if they come together. On two cores,
/// batches of 100, thousands of records per second with at most 2, 4, 8 and 16 at once, in one
/// interleaved run: 4 shards 609, 688, 655, 692; 16 shards 476, 508, 589, 330; 64 shards 211, 319,
/// 339, 262; 256 shards 60, 116, 114, 151. Of a few shards, large commits are better made in turn: 4
/// shards with 1, 2 and 4 at once 709, 678 and 593, and 1.23, 1.40 and 1.69 s of processor time a
/// million records, so that half of the cores commit and half bring in what is committed. Small
/// ones want as many as there are cores: one record a message, 1, 2 and 4 at once 159, 200 and 158,
/// and 4.4, 4.3 and 5.9 s.
fn overlap(shards: usize, recent: Recent, cores: usize) -> usize {
    let is_slow = recent.sync_us >= SLOW_SYNC_US + recent.bytes / 1000;
    if is_slow || shards >= MANY_SHARDS {
        shards.max(cores).clamp(2, COMMITTERS)
    } else if shards > OVERLAP_FEW {
        OVERLAP_FEW
    } else if recent.bytes >= LARGE_COMMIT_BYTES {
        shards.min(cores / 2).max(1)
    } else {
        shards.min(cores).max(2)
    }
}

/// Something with a staged batch: a shard.
pub(crate) trait Commit: Send + Sync {
    /// Commits what is staged.
    fn commit(self: Arc<Self>);

    /// Lets the file go to which it commits. False: not now, someone is at it.
    fn let_file_go(self: Arc<Self>) -> bool;
}

/// What all shards of an engine share.
pub(crate) struct Shared {
    pub(crate) host: Arc<LogHost>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) timeline: Mutex<Timeline>,
    pub(crate) counters: Counters,
    /// What shards stage into.
    pub(crate) buffers: Buffers,
    /// Bytes staged in all shards.
    pub(crate) staged_bytes: AtomicUsize,
    /// Woken whenever staged bytes became fewer.
    pub(crate) room: Notify,
    /// Whether the last commit that needed space found none.
    pub(crate) is_disk_full: AtomicBool,
    /// What a sync takes of late, in microseconds.
    sync_us: AtomicU64,
    /// What a commit writes of late.
    commit_bytes: AtomicU64,
    cores: usize,
    ready: Mutex<Ready>,
    ready_changed: Condvar,
    /// Durable ends have moved so far that they are to be recorded soon.
    pub(crate) are_marks_due: AtomicBool,
    /// Bytes that became durable in all shards since the ends were last recorded.
    unmarked_bytes: AtomicU64,
    /// Who has opened a file to commit to, the longest ago first.
    writers: Mutex<VecDeque<Weak<dyn Commit>>>,
    writers_max: usize,
}

#[derive(Default)]
struct Ready {
    shards: VecDeque<Arc<dyn Commit>>,
    is_stopping: bool,
    /// Commits under way.
    busy: usize,
}

impl Shared {
    /// `writers_max`: files that may be open for writing at once.
    pub(crate) fn new(
        host: Arc<LogHost>,
        clock: Arc<dyn Clock>,
        timeline: Timeline,
        writers_max: usize,
    ) -> Shared {
        Shared {
            host,
            clock,
            timeline: Mutex::new(timeline),
            counters: Counters::default(),
            buffers: Buffers::default(),
            staged_bytes: AtomicUsize::new(0),
            room: Notify::new(),
            is_disk_full: AtomicBool::new(false),
            sync_us: AtomicU64::new(0),
            commit_bytes: AtomicU64::new(0),
            cores: std::thread::available_parallelism().map_or(1, |cores| cores.get()),
            ready: Mutex::default(),
            ready_changed: Condvar::new(),
            are_marks_due: AtomicBool::new(false),
            unmarked_bytes: AtomicU64::new(0),
            writers: Mutex::default(),
            writers_max,
        }
    }

    /// Takes note of an opened file. Over the budget the one opened longest ago is let go; one
    /// that is being written to keeps its place and its turn comes later.
    pub(crate) fn opened(&self, writer: Weak<dyn Commit>) {
        self.writers.lock().push_back(writer);
        // Every opening closes up to two, so that the number falls back to the budget.
        for _ in 0..2 {
            let oldest = {
                let mut writers = self.writers.lock();
                if writers.len() <= self.writers_max {
                    return;
                }
                writers.pop_front()
            };
            if let Some(oldest) = oldest.and_then(|weak| weak.upgrade())
                && !oldest.clone().let_file_go()
            {
                let oldest: Weak<dyn Commit> = Arc::downgrade(&oldest);
                self.writers.lock().push_back(oldest);
            }
        }
    }

    /// The time on the engine's timeline.
    pub(crate) fn now_ms(&self) -> u64 {
        let (wall_ms, monotonic) = (self.clock.wall_ms(), self.clock.monotonic());
        self.timeline.lock().observe(wall_ms, monotonic)
    }

    /// The monotonic clock.
    pub(crate) fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    /// Takes note of how long the sync of a commit took, and of how much it wrote.
    pub(crate) fn note_sync(&self, sync_us: u64, bytes: u64) {
        // A moving average over about eight; two at once may lose one, which does no harm.
        for (recent, value) in [(&self.sync_us, sync_us), (&self.commit_bytes, bytes)] {
            let before = recent.load(Ordering::Relaxed);
            recent.store((before * 7 + value) / 8, Ordering::Relaxed);
        }
    }

    fn has_free_committer(&self, ready: &Ready) -> bool {
        let recent = Recent {
            sync_us: self.sync_us.load(Ordering::Relaxed),
            bytes: self.commit_bytes.load(Ordering::Relaxed),
        };
        ready.busy < overlap(ready.shards.len() + ready.busy, recent, self.cores)
    }

    /// Puts a shard into the ready queue. The shard takes care to stand in it once.
    pub(crate) fn enqueue(&self, shard: Arc<dyn Commit>) {
        let is_free = {
            let mut ready = self.ready.lock();
            ready.shards.push_back(shard);
            self.has_free_committer(&ready)
        };
        // Otherwise a committer that is at work takes it next.
        if is_free {
            self.ready_changed.notify_one();
        }
    }

    /// Commits the staged batch of the shard that waits longest. False: none waits.
    pub(crate) fn commit_step(&self) -> bool {
        let shard = {
            let mut ready = self.ready.lock();
            let Some(shard) = ready.shards.pop_front() else { return false };
            ready.busy += 1;
            shard
        };
        shard.commit();
        self.commit_done();
        true
    }

    /// A thread that is no committer is about to commit. Committers stop after it.
    pub(crate) fn begin_commit(&self) {
        self.ready.lock().busy += 1;
    }

    /// The end of what [`Shared::begin_commit`] began.
    pub(crate) fn end_commit(&self) {
        self.commit_done();
        // A committer goes on with what waits; this thread does not.
        if !self.ready.lock().shards.is_empty() {
            self.ready_changed.notify_one();
        }
    }

    fn commit_done(&self) {
        let mut ready = self.ready.lock();
        ready.busy -= 1;
        if ready.is_stopping && ready.busy == 0 && ready.shards.is_empty() {
            self.ready_changed.notify_all();
        }
    }

    /// The life of a committer thread: until the engine stops and nothing is staged any more.
    pub(crate) fn commit_loop(&self) {
        loop {
            let mut ready = self.ready.lock();
            while ready.shards.is_empty() || !self.has_free_committer(&ready) {
                // A commit under way may put its shard back into the queue.
                if ready.is_stopping && ready.busy == 0 && ready.shards.is_empty() {
                    return;
                }
                self.ready_changed.wait(&mut ready);
            }
            drop(ready);
            self.commit_step();
        }
    }

    /// Takes note of bytes that became durable in some shard.
    pub(crate) fn note_durable(&self, bytes: u64) {
        let before = self.unmarked_bytes.fetch_add(bytes, Ordering::Relaxed);
        if before < DURABLE_END_TOTAL_BYTES && before + bytes >= DURABLE_END_TOTAL_BYTES {
            self.are_marks_due.store(true, Ordering::Relaxed);
        }
    }

    /// All durable ends are about to be recorded. What becomes durable from here on counts for
    /// the next time.
    pub(crate) fn begin_marks(&self) {
        self.unmarked_bytes.store(0, Ordering::Relaxed);
    }

    /// Makes the committers end once they have committed everything staged.
    pub(crate) fn stop_committers(&self) {
        self.ready.lock().is_stopping = true;
        self.ready_changed.notify_all();
    }

    /// Gives back staged bytes.
    pub(crate) fn release_staged(&self, bytes: usize) {
        self.staged_bytes.fetch_sub(bytes, Ordering::AcqRel);
        self.room.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: u64 = 20_000;
    const LARGE: u64 = 200_000;

    fn overlap(shards: usize, sync_us: u64, bytes: u64, cores: usize) -> usize {
        super::overlap(shards, Recent { sync_us, bytes }, cores)
    }

    #[test]
    fn more_syncs_overlap_where_more_shards_wait_and_where_the_disk_is_slow() {
        assert_eq!(overlap(1, 150, SMALL, 1), 2);
        assert_eq!(overlap(4, 150, SMALL, 2), 2);
        assert_eq!(overlap(4, 150, SMALL, 8), 4);
        assert_eq!(overlap(64, 150, SMALL, 2), 8);
        assert_eq!(overlap(64, 150, SMALL, 64), 8);
        assert_eq!(overlap(256, 150, SMALL, 2), 16);
        assert_eq!(overlap(4, 1100, SMALL, 2), 4);
        assert_eq!(overlap(64, 5000, SMALL, 2), 16);
    }

    #[test]
    fn large_commits_of_a_few_shards_are_made_in_turn_unless_the_disk_is_slow() {
        assert_eq!(overlap(4, 150, LARGE, 1), 1);
        assert_eq!(overlap(4, 150, LARGE, 2), 1);
        assert_eq!(overlap(4, 150, LARGE, 8), 4);
        assert_eq!(overlap(1, 150, LARGE, 8), 1);
        assert_eq!(overlap(64, 150, LARGE, 2), 8);
        assert_eq!(overlap(4, 1100, LARGE, 2), 1);
        assert_eq!(overlap(4, 5000, LARGE, 2), 4);
    }
}
