//! The log of one shard: segments of frames in a directory.
//!
//! ```text
//!            writer (one, owned)                     cursors (many)
//!   batch -> frame -> write -> sync -> publish  -->  walk frames below the tip
//!               |                          |
//!            segment files            LogView: list of segments, tip, trim horizon
//! ```
//!
//! The log knows segments, frames and numbers. It never hears of partition keys, consumers or
//! iterators, and it starts no thread: [`writer`] does what it is told, [`recover`] decides
//! from a table, [`cursor`] reads what is published.

pub(crate) mod cursor;
pub(crate) mod frame;
pub(crate) mod header;
pub(crate) mod index;
mod inside;
pub(crate) mod paths;
mod place;
pub(crate) mod recover;
pub(crate) mod scan;
pub(crate) mod segment;
pub(crate) mod spare;
pub(crate) mod unreadable;
pub(crate) mod verdict;
pub(crate) mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::error::Damage;
use crate::ids::{ShardId, StreamId};
use crate::sequence::SequenceNumber;
use segment::{Segment, SegmentCache};

/// What readers share with the writer: the list of segments and two numbers.
pub(crate) struct LogView {
    pub(crate) stream: StreamId,
    pub(crate) shard: ShardId,
    pub(crate) cache: Arc<SegmentCache>,
    /// Replaced as a whole; a reader keeps the list it took.
    segments: Mutex<Arc<Vec<Arc<Segment>>>>,
    /// The number behind the last visible record. Only rises.
    tip: AtomicU64,
    /// Records below it are not returned. Only rises, and is durable before it is seen.
    trim_horizon: AtomicU64,
    /// Damage at the very end, where no later frame shows it.
    tip_damage: Mutex<Option<Damage>>,
}

impl LogView {
    pub(crate) fn new(
        stream: StreamId,
        shard: ShardId,
        cache: Arc<SegmentCache>,
        segments: Vec<Arc<Segment>>,
        tip: SequenceNumber,
        trim_horizon: SequenceNumber,
        tip_damage: Option<Damage>,
    ) -> LogView {
        assert!(trim_horizon <= tip, "the trim horizon never passes the tip");
        LogView {
            stream,
            shard,
            cache,
            segments: Mutex::new(Arc::new(segments)),
            tip: AtomicU64::new(tip.0),
            trim_horizon: AtomicU64::new(trim_horizon.0),
            tip_damage: Mutex::new(tip_damage),
        }
    }

    pub(crate) fn segments(&self) -> Arc<Vec<Arc<Segment>>> {
        self.segments.lock().clone()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.segments.lock().is_empty()
    }

    /// Adds a segment at the end, in place of one that has its name and so no file any more.
    pub(crate) fn push(&self, segment: Arc<Segment>) {
        let mut list = self.segments.lock();
        let mut longer = Vec::clone(&list);
        longer.pop_if(|last| last.base() == segment.base());
        longer.push(segment);
        *list = Arc::new(longer);
    }

    /// Takes the first `count` segments out of the list.
    pub(crate) fn take_front(&self, count: usize) -> Vec<Arc<Segment>> {
        let mut list = self.segments.lock();
        let front = list[..count].to_vec();
        *list = Arc::new(list[count..].to_vec());
        front
    }

    /// The number behind the last visible record.
    pub(crate) fn tip(&self) -> SequenceNumber {
        SequenceNumber(self.tip.load(Ordering::Acquire))
    }

    pub(crate) fn trim_horizon(&self) -> SequenceNumber {
        SequenceNumber(self.trim_horizon.load(Ordering::Acquire))
    }

    /// Makes what the writer has published the new end.
    pub(crate) fn advance(&self, tip: SequenceNumber) {
        let before = self.tip.swap(tip.0, Ordering::AcqRel);
        assert!(before <= tip.0, "the tip only rises");
        // From here on the gap in the numbers tells of it.
        *self.tip_damage.lock() = None;
    }

    /// Raises the trim horizon, which the caller has made durable.
    pub(crate) fn raise_trim_horizon(&self, to: SequenceNumber) {
        assert!(to <= self.tip(), "the trim horizon never passes the tip");
        self.trim_horizon.fetch_max(to.0, Ordering::AcqRel);
    }

    /// Damage at the very end of the log.
    pub(crate) fn tip_damage(&self) -> Option<Damage> {
        self.tip_damage.lock().clone()
    }
}
