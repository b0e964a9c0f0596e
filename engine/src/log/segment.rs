//! A segment as readers share it: how far it reaches, where its frames are, and the open file.
//!
//! Writer and readers meet in three numbers. The writer publishes, after the sync, first the
//! index entry, the next number and the last arrival time, then (with Release) the offset
//! where the readable frames end; a reader loads that offset first (with Acquire) and never
//! looks beyond it. Older segments are known by name only until someone reads them; then the
//! footer says the rest, or, without a valid one, a walk over the frames.
//!
//! Open files and maps are budgeted: past the budget the ones longest unused are let go.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::error::{IoContext, Result};
use crate::fs::{Access, File, Fs, Map};
use crate::ids::{ShardId, StreamId};
use crate::limits::SEQUENCE_NUMBER_MAX;
use crate::log::frame::{Fault, FrameHeader};
use crate::log::header::{FRAMES_START, SegmentHeader};
use crate::log::index::{Footer, Index, IndexEntry, footer_bytes};
use crate::log::place::Bookmark;
use crate::log::scan::{Found, Scanner};
use crate::mutant::Mutant;
use crate::sequence::SequenceNumber;

/// A range of a segment that holds no readable frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Fence {
    /// Where the damage begins.
    pub(crate) offset: u64,
    /// Where the next readable frame stands, or the frame area ends.
    pub(crate) resume: u64,
    pub(crate) first_lost: SequenceNumber,
    pub(crate) next_readable: SequenceNumber,
    pub(crate) found: &'static str,
}

/// How far a segment's readable frames reach.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Extent {
    /// Where the last frame ends.
    pub(crate) end: u64,
    /// The number behind the last record.
    pub(crate) next: SequenceNumber,
    /// When the last record arrived; [`UNKNOWN_ARRIVAL`] where no frame tells.
    pub(crate) last_arrival_ms: u64,
}

/// Later than any time: a search for a time that meets a segment without a readable frame goes
/// on before it, so that nothing is passed over.
const UNKNOWN_ARRIVAL: u64 = u64::MAX;

/// Bookmarks of a segment at most: more readers than these seldom page through one at a time. One
/// takes 150 bytes, and 8 for each 16 KiB of a frame that is cut.
const BOOKMARKS_MAX: usize = 32;

/// One file of a log.
pub(crate) struct Segment {
    shard: (StreamId, ShardId),
    base: SequenceNumber,
    path: PathBuf,
    /// 0: not known yet.
    end: AtomicU64,
    next: AtomicU64,
    last_arrival_ms: AtomicU64,
    index: Mutex<KnownIndex>,
    fences: Mutex<Vec<Fence>>,
    /// Where a read has failed: told of once, and tried again each time.
    unreadable: Mutex<Vec<u64>>,
    open: Mutex<Option<Arc<OpenSegment>>>,
    /// Where readers that come back stopped, the latest last. It goes with the open file.
    bookmarks: Mutex<VecDeque<Bookmark>>,
    /// Every map of the file that was handed to readers: their slices keep one alive after the
    /// cache has let the file go.
    maps: Mutex<Vec<Weak<dyn Map>>>,
    last_used: AtomicU64,
}

/// An index that may have begun in the middle of the segment.
#[derive(Default)]
struct KnownIndex {
    index: Index,
    is_whole: bool,
}

/// A segment's open file and map.
pub(crate) struct OpenSegment {
    pub(crate) file: Arc<dyn File>,
    pub(crate) map: Arc<dyn Map>,
    /// `None` where both copies are damaged, or another segment's: then no frame of it can be
    /// checked.
    pub(crate) header: Option<SegmentHeader>,
}

impl Segment {
    /// A segment of which the name alone is known.
    pub(crate) fn lazy(path: PathBuf, shard: (StreamId, ShardId), base: SequenceNumber) -> Segment {
        Segment {
            shard,
            base,
            path,
            end: AtomicU64::new(0),
            next: AtomicU64::new(base.0),
            last_arrival_ms: AtomicU64::new(0),
            index: Mutex::default(),
            fences: Mutex::default(),
            unreadable: Mutex::default(),
            open: Mutex::default(),
            bookmarks: Mutex::default(),
            maps: Mutex::default(),
            last_used: AtomicU64::new(0),
        }
    }

    /// A segment whose frames are known.
    pub(crate) fn known(
        path: PathBuf,
        shard: (StreamId, ShardId),
        base: SequenceNumber,
        extent: Extent,
        index: Index,
    ) -> Self {
        let segment = Segment::trusted(path, shard, base, extent);
        *segment.index.lock() = KnownIndex { index, is_whole: true };
        segment
    }

    /// A segment whose end is known, but not the frames before it.
    pub(crate) fn trusted(
        path: PathBuf,
        shard: (StreamId, ShardId),
        base: SequenceNumber,
        extent: Extent,
    ) -> Segment {
        let segment = Segment::lazy(path, shard, base);
        segment.set_extent(extent);
        segment
    }

    pub(crate) fn base(&self) -> SequenceNumber {
        self.base
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// How far the frames reach; `None` while no one has looked.
    pub(crate) fn extent(&self) -> Option<Extent> {
        let end = self.end.load(Ordering::Acquire);
        (end != 0).then(|| Extent {
            end,
            next: SequenceNumber(self.next.load(Ordering::Relaxed)),
            last_arrival_ms: self.last_arrival_ms.load(Ordering::Relaxed),
        })
    }

    /// Makes a frame that has become durable visible. Called by the log's one writer.
    pub(crate) fn publish(&self, header: &FrameHeader, offset: u64) {
        self.index.lock().index.note(header, offset);
        self.set_extent(Extent {
            end: offset + header.frame_bytes(),
            next: header.next(),
            last_arrival_ms: header.last_arrival_ms,
        });
    }

    fn set_extent(&self, extent: Extent) {
        self.next.store(extent.next.0, Ordering::Relaxed);
        self.last_arrival_ms.store(extent.last_arrival_ms, Ordering::Relaxed);
        self.end.store(extent.end, Ordering::Release);
    }

    pub(crate) fn index_at_sequence(&self, sequence: SequenceNumber) -> Option<IndexEntry> {
        self.index.lock().index.at_sequence(sequence)
    }

    pub(crate) fn index_at_time(&self, arrival_ms: u64) -> Option<IndexEntry> {
        self.index.lock().index.at_time(arrival_ms)
    }

    /// The whole index, for the footer.
    pub(crate) fn whole_index(&self, file: &dyn File, header: &SegmentHeader) -> Result<Index> {
        self.learn(file, header)?;
        Ok(self.index.lock().index.clone())
    }

    /// The fence that begins at `offset`, if damage is known there.
    pub(crate) fn fence_at(&self, offset: u64) -> Option<Fence> {
        self.fences.lock().iter().find(|fence| fence.offset == offset).copied()
    }

    /// Remembers damage. Returns whether it was news.
    pub(crate) fn add_fence(&self, fence: Fence) -> bool {
        let mut fences = self.fences.lock();
        let is_new = !fences.iter().any(|known| known.offset == fence.offset);
        if is_new {
            fences.push(fence);
        }
        is_new
    }

    /// Takes note of a place that could not be read. Returns whether it was news.
    pub(crate) fn note_unreadable(&self, offset: u64) -> bool {
        let mut unreadable = self.unreadable.lock();
        let is_new = !unreadable.contains(&offset);
        if is_new {
            unreadable.push(offset);
        }
        is_new
    }

    /// Keeps a bookmark, in place of the oldest where there are many: whoever comes back to that
    /// one begins a new pass.
    pub(crate) fn keep_bookmark(&self, bookmark: Bookmark) {
        let mut bookmarks = self.bookmarks.lock();
        if bookmarks.len() == BOOKMARKS_MAX {
            bookmarks.pop_front();
        }
        bookmarks.push_back(bookmark);
    }

    /// The bookmark at a position, which is gone then: a pass goes on once.
    pub(crate) fn take_bookmark(&self, position: SequenceNumber) -> Option<Bookmark> {
        let mut bookmarks = self.bookmarks.lock();
        let found = bookmarks.iter().rposition(|bookmark| bookmark.position == position)?;
        bookmarks.remove(found)
    }

    /// The open file and map, if they are open.
    pub(crate) fn open_already(&self, cache: &SegmentCache) -> Option<Arc<OpenSegment>> {
        self.last_used.store(cache.tick(), Ordering::Relaxed);
        self.open.lock().clone()
    }

    /// The open file and map; opens them, and learns how far the frames reach, where needed.
    pub(crate) fn open(self: &Arc<Self>, cache: &SegmentCache) -> Result<Arc<OpenSegment>> {
        if let Some(open) = self.open_already(cache) {
            return Ok(open);
        }
        // Two readers may open at once; one result is kept and no lock spans the I/O.
        let opened = Arc::new(self.open_file(cache.fs.as_ref())?);
        let mut slot = self.open.lock();
        if let Some(open) = slot.as_ref() {
            return Ok(open.clone());
        }
        *slot = Some(opened.clone());
        drop(slot);
        let mut maps = self.maps.lock();
        maps.retain(|map| map.strong_count() > 0);
        maps.push(Arc::downgrade(&opened.map));
        drop(maps);
        cache.opened(self);
        Ok(opened)
    }

    fn open_file(&self, fs: &dyn Fs) -> Result<OpenSegment> {
        let path = &self.path;
        let file = fs.open(path, Access::Read).at("open", path, None)?;
        let len = file.len().at("stat", path, None)?;
        let header = SegmentHeader::read(file.as_ref(), path)?;
        // What another log has written is none of our records, be it whole.
        let header = header.filter(|header| header.is_of(self.shard, self.base));
        let map = file.clone().map(len).at("map", path, None)?;
        match &header {
            Some(header) => self.learn(file.as_ref(), header)?,
            None if self.extent().is_none() => {
                // All of it counts as readable, so that a reader meets the damage and says so.
                let end = len.max(FRAMES_START + 1);
                let last_arrival_ms = UNKNOWN_ARRIVAL;
                self.set_extent(Extent { end, next: self.base, last_arrival_ms });
            }
            None => {}
        }
        Ok(OpenSegment { file, map, header })
    }

    /// Completes index and extent: from the footer, or by walking the frames where there is no
    /// valid one.
    fn learn(&self, file: &dyn File, header: &SegmentHeader) -> Result<()> {
        if self.index.lock().is_whole {
            return Ok(());
        }
        let known = self.extent();
        let (index, extent) = match read_footer(file, header) {
            Some(Footer { index, end, next, last_arrival_ms }) => {
                (index, Extent { end, next, last_arrival_ms })
            }
            None => self.walk(file, header, known.map(|extent| extent.end))?,
        };
        let mut slot = self.index.lock();
        if !slot.is_whole {
            // What the writer has published meanwhile stands behind what was walked.
            let published = std::mem::take(&mut slot.index);
            *slot = KnownIndex { index: index.followed_by(published), is_whole: true };
            if known.is_none() {
                self.set_extent(extent);
            }
        }
        Ok(())
    }

    /// Index and extent of the frames up to `end`, or up to where there are no more.
    fn walk(
        &self,
        file: &dyn File,
        header: &SegmentHeader,
        end: Option<u64>,
    ) -> Result<(Index, Extent)> {
        let path = &self.path;
        let limit = header.segment_bytes - footer_bytes(header.segment_bytes);
        let limit = end.unwrap_or(limit).min(limit);
        let mut scanner = Scanner::new(file, header.owner(), limit).at("read", path, None)?;
        let is_cut = file.len().at("stat", path, None)? < header.segment_bytes;
        let mut extent =
            Extent { end: FRAMES_START, next: self.base, last_arrival_ms: UNKNOWN_ARRIVAL };
        let mut index = Index::default();
        loop {
            let offset = extent.end;
            match scanner.at(offset, extent.next).at("read", path, offset)? {
                Found::Frame(frame) => {
                    index.note(&frame, offset);
                    extent = Extent {
                        end: offset + frame.frame_bytes(),
                        next: frame.next(),
                        last_arrival_ms: frame.last_arrival_ms,
                    };
                }
                // Damage ends the readable part unless something valid follows it; reading
                // fences it off when it gets there.
                Found::Fault(fault, _) => {
                    match scanner.successor(offset, extent.next).at("read", path, offset)? {
                        Some((resume, _)) => extent.end = resume,
                        // All of it counts as readable, and as young, so that whoever reads it
                        // meets what cannot be read today, or what was cut off the file.
                        None if fault == Fault::Unreadable
                            || scanner.passed_unreadable
                            || (fault == Fault::Short && is_cut) =>
                        {
                            let next = SequenceNumber(u64::MAX);
                            let last_arrival_ms = UNKNOWN_ARRIVAL;
                            extent = Extent { end: limit, next, last_arrival_ms };
                            break;
                        }
                        None => break,
                    }
                }
                Found::Full => break,
            }
        }
        Ok((index, extent))
    }

    /// Lets the open file go. Slices of its maps stay readable.
    pub(crate) fn close(&self) {
        *self.open.lock() = None;
        self.bookmarks.lock().clear();
    }

    /// Lets the open file go, and says whether nobody else holds a part of it: only then may
    /// the file be written again. `self` has left the log's list, so no one can open it anew.
    pub(crate) fn close_unshared(self: Arc<Self>) -> bool {
        let Ok(segment) = Arc::try_unwrap(self) else { return Mutant::RecycleShared.is_on() };
        drop(segment.open.into_inner());
        let is_unshared = segment.maps.into_inner().iter().all(|map| map.strong_count() == 0);
        is_unshared || Mutant::RecycleShared.is_on()
    }
}

/// The footer of a file, if it has a valid one. What it says is possible, whoever wrote it.
pub(crate) fn read_footer(file: &dyn File, header: &SegmentHeader) -> Option<Footer> {
    if file.len().ok()? < header.segment_bytes {
        return None;
    }
    let len = footer_bytes(header.segment_bytes);
    let limit = header.segment_bytes.checked_sub(len)?;
    let mut bytes = vec![0; usize::try_from(len).ok()?];
    file.read_at(limit, &mut bytes).ok()?;
    let footer = Footer::decode(&bytes, header.incarnation)?;
    let frames = FRAMES_START..footer.end;
    let is_possible = (FRAMES_START..=limit).contains(&footer.end)
        && (header.base.0..SEQUENCE_NUMBER_MAX).contains(&footer.next.0)
        && footer.index.entries().iter().all(|entry| frames.contains(&entry.offset));
    is_possible.then_some(footer)
}

/// Keeps the number of open segments within a budget.
pub(crate) struct SegmentCache {
    fs: Arc<dyn Fs>,
    budget: usize,
    clock: AtomicU64,
    open: Mutex<Vec<Weak<Segment>>>,
    open_count: AtomicUsize,
    damage_found: AtomicU64,
}

impl SegmentCache {
    /// A cache of at most `budget` files that no reader is in the middle of.
    pub(crate) fn new(fs: Arc<dyn Fs>, budget: usize) -> Self {
        SegmentCache {
            fs,
            budget,
            clock: AtomicU64::new(0),
            open: Mutex::default(),
            open_count: AtomicUsize::new(0),
            damage_found: AtomicU64::new(0),
        }
    }

    /// Counts damage that was not known before.
    pub(crate) fn note_damage(&self) {
        self.damage_found.fetch_add(1, Ordering::Relaxed);
    }

    /// Damaged places found since the server started, at the start and while reading.
    pub(crate) fn damage_found(&self) -> u64 {
        self.damage_found.load(Ordering::Relaxed)
    }

    /// Files held open now.
    pub(crate) fn open_count(&self) -> usize {
        self.open_count.load(Ordering::Relaxed)
    }

    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::Relaxed)
    }

    fn opened(&self, segment: &Arc<Segment>) {
        let mut open = self.open.lock();
        open.push(Arc::downgrade(segment));
        open.retain(|weak| weak.upgrade().is_some_and(|segment| segment.open.lock().is_some()));
        if open.len() > self.budget {
            let oldest = open.iter().enumerate().min_by_key(|(_, weak)| {
                weak.upgrade().map_or(0, |segment| segment.last_used.load(Ordering::Relaxed))
            });
            if let Some((position, _)) = oldest {
                let oldest = open.swap_remove(position);
                if let Some(segment) = oldest.upgrade() {
                    segment.close();
                }
            }
        }
        self.open_count.store(open.len(), Ordering::Relaxed);
    }
}
