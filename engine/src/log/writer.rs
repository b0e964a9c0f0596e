//! The writing end of a log. There is exactly one, and whoever holds it is alone: it is moved
//! out of the shard for a commit and back afterwards, and no lock spans its I/O.
//!
//! ```text
//! commit   number -> header, CRC -> one write -> one sync -> publish
//! roll     (last commit durable) -> spare file -> header -> sync -> rename -> sync directory
//! seal     footer -> sync -> give an unused tail back
//! ```
//!
//! A write ends with zeros on the first page border that leaves a whole zeroed frame header
//! behind the payload, so that recovery finds a clean end; the next frame starts right behind
//! the payload, in the page just written.
//!
//! A full disk is not damage: it fails the one commit, whose bytes are zeroed. Any other
//! failed write, and every failed sync, is final for the log until it is opened again: after
//! a failed sync the kernel holds pages as clean that are not, so a retry would prove nothing.

use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::catalog::Pin;
use crate::entropy::Entropy;
use crate::error::{Error, IoContext, Result};
use crate::fs::{Access, File, Fs, sync_new_dirs};
use crate::ids::Incarnation;
use crate::limits::{SEGMENT_AGE_FRACTION, SegmentBytes, UNSYNCED_BYTES_MAX};
use crate::log::LogView;
use crate::log::frame::{FLAG_GAP, FRAME_HEADER_BYTES, FrameHeader, payload_crc};
use crate::log::header::{FRAMES_START, SegmentHeader, ShardIdentity};
use crate::log::index::{Footer, Index, footer_bytes};
use crate::log::paths::{Paths, segment_name};
use crate::log::segment::{Extent, Segment, read_footer};
use crate::log::spare::{Spare, Taken};
use crate::mutant::Mutant;
use crate::sequence::SequenceNumber;

const PAGE_BYTES: u64 = 4096;

/// Commits of at most so many bytes have zeros written ahead.
const ZEROS_AHEAD_UP_TO: u64 = 32 << 10;

/// What is written ahead at most: room for a thousand puts of one record each.
static ZEROS: [u8; 1 << 20] = [0; 1 << 20];

/// When a put is acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Durability {
    /// After `fdatasync` has returned for its bytes.
    Fsync,
    /// After the operating system has taken its bytes: a power cut loses what was not synced
    /// in the background, at most 32 MiB or about a second of each shard.
    Os,
}

/// What all logs of an engine share.
pub(crate) struct LogHost {
    pub(crate) fs: Arc<dyn Fs>,
    pub(crate) paths: Paths,
    pub(crate) spare: Spare,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) durability: Durability,
    pub(crate) segment_bytes: SegmentBytes,
}

/// Records of one commit: [`FRAME_HEADER_BYTES`] of room, then their encoded entries.
pub(crate) struct Batch {
    pub(crate) buffer: Vec<u8>,
    pub(crate) base: SequenceNumber,
    pub(crate) count: u32,
    pub(crate) first_arrival_ms: u64,
    pub(crate) last_arrival_ms: u64,
}

/// What a commit did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Committed {
    /// The number behind the last record.
    pub(crate) next: SequenceNumber,
    /// Bytes handed to the operating system.
    pub(crate) written_bytes: u64,
    /// Microseconds that the sync took; `None` where there was none.
    pub(crate) sync_us: Option<u64>,
}

/// Where the log stands durably: what the catalog records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    pub(crate) segment_base: SequenceNumber,
    pub(crate) offset: u64,
    pub(crate) next: SequenceNumber,
    pub(crate) last_arrival_ms: u64,
}

/// The one writer of a log.
pub(crate) struct LogWriter {
    host: Arc<LogHost>,
    view: Arc<LogView>,
    identity: Arc<Mutex<ShardIdentity>>,
    active: Option<Active>,
    /// The number that follows the last frame. A frame above it follows a gap.
    next: SequenceNumber,
    /// What stands before the next frame, where `next` does not tell: a gap, which is flagged as
    /// harmless, or damage, which is not.
    follows: Option<Pin>,
    /// Everything below is durable.
    synced: SequenceNumber,
    unsynced_bytes: u64,
    last_arrival_ms: u64,
    next_segment_bytes: u64,
    /// Where the log stood when its last segment was sealed, or where recovery has pinned it.
    sealed: Option<Place>,
}

struct Active {
    segment: Arc<Segment>,
    /// `None` while the shard is idle.
    open: Option<(Arc<dyn File>, SegmentHeader)>,
    segment_bytes: u64,
    /// Where the next frame goes.
    offset: u64,
    /// The blocks below have been written before; where those behind have been is not known.
    touched: u64,
    created_ms: u64,
}

impl Active {
    fn limit(&self) -> u64 {
        self.segment_bytes - footer_bytes(self.segment_bytes)
    }

    /// Takes note of a write, and where it was small and came to blocks that were only reserved,
    /// writes zeros behind it: see [`zeros_ahead`].
    fn touch(&mut self, file: &dyn File, written: Range<u64>) -> Result<()> {
        if let Some(ahead) = zeros_ahead(&written, self.touched, self.limit()) {
            let zeros = &ZEROS[..(ahead.end - ahead.start) as usize];
            match file.write_at(ahead.start, zeros) {
                Ok(()) => self.touched = ahead.end,
                // They are a help and no more.
                Err(error) if error.kind() == std::io::ErrorKind::StorageFull => {}
                failed => failed.at("write", self.segment.path(), ahead.start)?,
            }
        }
        self.touched = self.touched.max(written.end);
        Ok(())
    }
}

/// Zeros to be written behind a commit, for the sake of those that follow.
///
/// The first sync of a block that was only reserved has the file system write what it knows of
/// the file, too, in its journal or in place: 257 instead of 134 us, and twice the processor
/// time, for 16 KiB at a time. So one commit in many writes what the next ones will write over:
/// half of a small segment, so that few puts are the slower ones and shards that take little
/// cost little. A large commit does not: from about 64 KiB on, writing bytes twice costs more.
fn zeros_ahead(written: &Range<u64>, touched: u64, limit: u64) -> Option<Range<u64>> {
    let is_small = written.end - written.start <= ZEROS_AHEAD_UP_TO;
    let count = (limit / 2).next_multiple_of(PAGE_BYTES).min(ZEROS.len() as u64);
    let end = (written.end + count).min(limit);
    (is_small && written.end > touched && written.end < end).then_some(written.end..end)
}

/// Where recovery found the end of a log.
pub(crate) struct Tail {
    /// The segment that takes the next frame, and where; `None`: a new one is made.
    pub(crate) active: Option<(Arc<Segment>, u64, u64, u64)>,
    pub(crate) next: SequenceNumber,
    /// The numbers before `next` are missing, for this reason.
    pub(crate) follows: Option<Pin>,
    pub(crate) last_arrival_ms: u64,
    pub(crate) next_segment_bytes: u64,
    /// The place to record as long as there is no segment to go on in.
    pub(crate) pin: Option<Place>,
}

impl LogWriter {
    pub(crate) fn new(
        host: Arc<LogHost>,
        view: Arc<LogView>,
        identity: Arc<Mutex<ShardIdentity>>,
        tail: Tail,
    ) -> LogWriter {
        let active = tail.active.map(|(segment, offset, segment_bytes, created_ms)| Active {
            segment,
            open: None,
            segment_bytes,
            offset,
            touched: offset,
            created_ms,
        });
        let SegmentBytes { first, max } = host.segment_bytes;
        LogWriter {
            host,
            view,
            identity,
            active,
            next: tail.next,
            follows: tail.follows,
            synced: tail.next,
            unsynced_bytes: 0,
            last_arrival_ms: tail.last_arrival_ms,
            next_segment_bytes: tail.next_segment_bytes.clamp(first, max),
            sealed: tail.pin,
        }
    }

    /// Writes a batch as one frame, makes it durable (in durability `os`: written) and then
    /// visible. The time is for the age of segments.
    pub(crate) fn commit(&mut self, batch: &mut Batch, now_ms: u64) -> Result<Committed> {
        assert!(batch.base >= self.next, "numbers rise along a log");
        assert!(batch.count > 0 && batch.buffer.len() > FRAME_HEADER_BYTES);
        let payload_bytes = batch.buffer.len() - FRAME_HEADER_BYTES;
        let frame_end = (batch.buffer.len() as u64).next_multiple_of(8);
        let active = self.active_for(frame_end, batch.base, now_ms)?;
        let offset = active.offset;
        let (file, header) = active.open.as_ref().expect("active_for opened it");
        let (file, owner) = (file.clone(), header.owner());
        let limit = active.limit();
        let segment = active.segment.clone();

        let is_gap = self.follows.map_or(batch.base > self.next, |pin| pin == Pin::Gap);
        let flags = if is_gap { FLAG_GAP } else { 0 };
        let header = FrameHeader {
            owner,
            flags,
            extension_bytes: 0,
            payload_bytes: payload_bytes as u32,
            base: batch.base,
            count: batch.count,
            payload_crc: payload_crc(owner.incarnation, &batch.buffer[FRAME_HEADER_BYTES..]),
            first_arrival_ms: batch.first_arrival_ms,
            last_arrival_ms: batch.last_arrival_ms,
            durable_below: match Mutant::ProofEarly.is_on() {
                true => self.next,
                false => self.synced,
            },
        };
        batch.buffer[..FRAME_HEADER_BYTES].copy_from_slice(&header.encode());
        let zeros_to = offset + frame_end + FRAME_HEADER_BYTES as u64;
        let write_end = zeros_to.next_multiple_of(PAGE_BYTES).min(limit);
        batch.buffer.resize((write_end - offset) as usize, 0);

        let path = segment.path();
        // Counted before the write: also what a full disk left half done, and what zeroes it
        // again, is synced before anything else is built on it.
        self.unsynced_bytes += write_end - offset;
        if let Err(error) = file.write_at(offset, &batch.buffer).at("write", path, offset)
            && !(error.is_full() && Mutant::FullSwallowed.is_on())
        {
            if error.is_full() {
                // Whatever part of it was written must not look like a torn frame later.
                file.zero(offset, write_end - offset).at("zero", path, offset)?;
                return Err(Error::DiskFull);
            }
            return Err(error);
        }
        if self.host.durability == Durability::Fsync && self.host.spare.is_recycling() {
            let active = self.active.as_mut().expect("it was there before the write");
            active.touch(file.as_ref(), offset..write_end)?;
        }
        if Mutant::ShowEarly.is_on() {
            segment.publish(&header, offset);
            self.view.advance(header.next());
        }
        let sync_us = match self.host.durability {
            Durability::Fsync => Some(self.sync_file(&file, &segment)?),
            Durability::Os if self.unsynced_bytes > UNSYNCED_BYTES_MAX => {
                Some(self.sync_file(&file, &segment)?)
            }
            Durability::Os => None,
        };
        if sync_us.is_some() {
            self.synced = header.next();
        }

        self.next = header.next();
        self.follows = None;
        self.last_arrival_ms = header.last_arrival_ms;
        let active = self.active.as_mut().expect("it was there before the write");
        active.offset = offset + frame_end;
        segment.publish(&header, offset);
        self.view.advance(header.next());
        Ok(Committed { next: header.next(), written_bytes: write_end - offset, sync_us })
    }

    /// Makes everything written durable: the background half of durability `os`, and the
    /// last step of a clean stop.
    pub(crate) fn sync(&mut self) -> Result<()> {
        if self.unsynced_bytes == 0 {
            return Ok(());
        }
        let active = self.active.as_ref().expect("unsynced bytes stand in an active segment");
        let (file, _) = active.open.clone().expect("an unsynced segment stays open");
        self.sync_file(&file, &active.segment.clone())?;
        self.synced = self.next;
        Ok(())
    }

    fn sync_file(&mut self, file: &Arc<dyn File>, segment: &Segment) -> Result<u64> {
        let start = std::time::Instant::now();
        let mut synced = Mutant::NoSync.skips(|| file.sync());
        if synced.is_err() && Mutant::SyncAgain.is_on() {
            synced = file.sync();
        }
        synced.at("sync", segment.path(), None)?;
        self.unsynced_bytes = 0;
        Ok(start.elapsed().as_micros() as u64)
    }

    /// Seals the active segment if it is older than `age_ms` and holds anything.
    pub(crate) fn seal_if_older(&mut self, age_ms: u64, now_ms: u64) -> Result<bool> {
        if !self.is_older(age_ms, now_ms) {
            return Ok(false);
        }
        // After a clean start the age is not known before the header was read.
        self.reopen()?;
        if !self.is_older(age_ms, now_ms) {
            return Ok(false);
        }
        self.seal()?;
        Ok(true)
    }

    fn is_older(&self, age_ms: u64, now_ms: u64) -> bool {
        self.active.as_ref().is_some_and(|active| {
            active.offset > FRAMES_START && now_ms.saturating_sub(active.created_ms) > age_ms
        })
    }

    /// Lets the file of an idle log go.
    pub(crate) fn close_file(&mut self) {
        if self.unsynced_bytes == 0
            && let Some(active) = &mut self.active
        {
            active.open = None;
        }
    }

    /// Lets the file of a deleted log go, whatever of it is not synced.
    pub(crate) fn abandon_file(&mut self) {
        self.active = None;
        self.unsynced_bytes = 0;
    }

    /// Whether the log holds a file open for writing.
    pub(crate) fn is_open(&self) -> bool {
        self.active.as_ref().is_some_and(|active| active.open.is_some())
    }

    /// The first number of the segment that takes the next frame, if there is one.
    pub(crate) fn active_base(&self) -> Option<SequenceNumber> {
        self.active.as_ref().map(|active| active.segment.base())
    }

    /// Where the log stands durably, if a sync covers all of it.
    pub(crate) fn durable_place(&self) -> Option<Place> {
        if self.unsynced_bytes > 0 && !Mutant::MarkEarly.is_on() {
            return None;
        }
        match &self.active {
            Some(active) => Some(self.place(active)),
            None => self.sealed,
        }
    }

    fn place(&self, active: &Active) -> Place {
        Place {
            segment_base: active.segment.base(),
            // A segment that no frame stands in tells nothing yet of what is missing before it.
            offset: match self.follows {
                Some(pin) if active.offset == FRAMES_START => pin.offset(),
                _ => active.offset,
            },
            next: self.next,
            last_arrival_ms: self.last_arrival_ms,
        }
    }

    /// The active segment, open, with room for a frame of `frame_bytes`.
    fn active_for(
        &mut self,
        frame_bytes: u64,
        base: SequenceNumber,
        now_ms: u64,
    ) -> Result<&mut Active> {
        self.reopen()?;
        let retention_ms = u64::from(self.identity.lock().retention_hours) * 3_600_000;
        let fits = self.active.as_ref().is_some_and(|active| {
            let is_young =
                now_ms.saturating_sub(active.created_ms) <= retention_ms / SEGMENT_AGE_FRACTION;
            active.offset + frame_bytes <= active.limit() && is_young
        });
        if !fits {
            self.roll(frame_bytes, base, now_ms)?;
        }
        Ok(self.active.as_mut().expect("just rolled"))
    }

    /// Opens the active segment's file again after a pause or a restart. A sealed, cut or
    /// damaged one takes no more frames: the next frame goes into a new segment.
    fn reopen(&mut self) -> Result<()> {
        let Some(active) = self.active.as_mut().filter(|active| active.open.is_none()) else {
            return Ok(());
        };
        let path = active.segment.path();
        let file = match self.host.fs.open(path, Access::Write) {
            // Taken away by hand. Readers report the loss; the log goes on.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                self.active = None;
                return Ok(());
            }
            opened => opened.at("open", path, None)?,
        };
        let header = match SegmentHeader::read(file.as_ref(), path) {
            Err(error) if error.is_unreadable() => None,
            header => header?,
        };
        let len = file.len().at("stat", path, None)?;
        let shard = (self.view.stream, self.view.shard);
        let usable = header.filter(|header| {
            header.is_of(shard, active.segment.base())
                && len == header.segment_bytes
                && read_footer(file.as_ref(), header).is_none()
        });
        match usable {
            Some(header) => {
                active.segment_bytes = header.segment_bytes;
                active.created_ms = header.created_ms;
                active.open = Some((file, header));
            }
            None => {
                let SegmentBytes { first, max } = self.host.segment_bytes;
                self.next_segment_bytes = len.clamp(first, max);
                self.active = None;
            }
        }
        Ok(())
    }

    /// Starts a new segment. The old one is sealed once the new one has its place, so that a
    /// full disk leaves the old one as it was.
    fn roll(&mut self, frame_bytes: u64, base: SequenceNumber, now_ms: u64) -> Result<()> {
        let is_full = |error: &Error| error.is_full() && !error.is_failed_sync();
        self.sync()?;
        let active = match self.create_segment(self.bytes_for(frame_bytes), base, now_ms) {
            // Where the usual size does not fit any more, the least that is needed may.
            Err(error) if is_full(&error) => {
                self.host.spare.clear()?;
                let least = least_segment_bytes(frame_bytes);
                self.create_segment(least, base, now_ms).map_err(|error| match is_full(&error) {
                    true => Error::DiskFull,
                    false => error,
                })?
            }
            result => result?,
        };
        // A crash may have left a segment without a frame. One that is too small, or too old, for
        // what comes has the new one's name, so the rename has just removed it.
        let is_replaced = self.view.segments().last().is_some_and(|last| last.base() == base);
        if is_replaced {
            self.active = None;
        } else if self.active.is_some() {
            self.seal()?;
        }
        let SegmentBytes { first, max } = self.host.segment_bytes;
        self.next_segment_bytes = (active.segment_bytes * 4).clamp(first, max);
        self.view.push(active.segment.clone());
        self.active = Some(active);
        Ok(())
    }

    fn bytes_for(&self, frame_bytes: u64) -> u64 {
        self.next_segment_bytes.max(least_segment_bytes(frame_bytes))
    }

    fn create_segment(&self, bytes: u64, base: SequenceNumber, now_ms: u64) -> Result<Active> {
        let host = &self.host;
        let header = SegmentHeader {
            identity: self.identity.lock().clone(),
            base,
            incarnation: Incarnation(match Mutant::SameIncarnation.is_on() {
                true => 1,
                false => host.entropy.next_u64(),
            }),
            created_ms: now_ms,
            segment_bytes: bytes,
        };
        let (stream, shard) = (header.identity.stream, header.identity.shard);
        let dir = host.paths.shard(stream, shard);
        if self.view.is_empty() {
            let stream_dir = host.paths.stream(stream);
            for (dir, parent) in [(&stream_dir, &host.paths.shards()), (&dir, &stream_dir)] {
                host.fs.create_dir(dir).at("create", dir, None)?;
                sync_new_dirs(host.fs.as_ref(), parent, std::slice::from_ref(dir))?;
            }
        }
        let Taken { path: waiting, file, is_used } = host.spare.take(bytes)?;
        let path = dir.join(segment_name(base));
        let mut has_place = false;
        let mut place = || {
            // Behind the header a zeroed page: what a recycled file held there is a clean end.
            let mut head = header.encode();
            head.resize(head.len() + PAGE_BYTES as usize, 0);
            file.write_at(0, &head).at("write", &waiting, 0)?;
            file.sync().at("sync", &waiting, None)?;
            host.fs.rename(&waiting, &path).at("rename", &waiting, None)?;
            has_place = true;
            Mutant::RollUnsynced.skips(|| host.fs.sync_dir(&dir)).at("sync", &dir, None)?;
            let spare = host.spare.dir();
            host.fs.sync_dir(spare).at("sync", spare, None)
        };
        if let Err(error) = place() {
            // Best effort: an opening server clears `spare/` of what is left there. A name whose
            // sync has failed must not stand: no later sync would prove that it is durable, and
            // the next start would put records there.
            if !Mutant::NamesKept.is_on() {
                let _ = host.fs.remove(if has_place { &path } else { &waiting });
            }
            return Err(error);
        }
        let extent =
            Extent { end: FRAMES_START, next: base, last_arrival_ms: self.last_arrival_ms };
        Ok(Active {
            segment: Arc::new(Segment::known(
                path,
                (stream, shard),
                base,
                extent,
                Index::default(),
            )),
            open: Some((file, header)),
            segment_bytes: bytes,
            offset: FRAMES_START,
            touched: if is_used { bytes } else { FRAMES_START },
            created_ms: now_ms,
        })
    }

    /// Writes the footer. The log has no active segment afterwards.
    pub(crate) fn seal(&mut self) -> Result<()> {
        self.sync()?;
        self.reopen()?;
        let Some(active) = self.active.take() else { return Ok(()) };
        self.sealed = Some(self.place(&active));
        let (file, header) = active.open.as_ref().expect("reopened above");
        let path = active.segment.path();
        let footer = Footer {
            index: active.segment.whole_index(file.as_ref(), header)?,
            end: active.offset,
            next: self.next,
            last_arrival_ms: self.last_arrival_ms,
        };
        let limit = active.limit();
        file.write_at(limit, &footer.encode(header.incarnation, active.segment_bytes))
            .at("write", path, limit)?;
        if gives_tail_back(active.offset, active.segment_bytes) {
            let tail = (active.offset + FRAME_HEADER_BYTES as u64).next_multiple_of(PAGE_BYTES);
            file.release(tail, limit.saturating_sub(tail)).at("release", path, tail)?;
        }
        file.sync().at("sync", path, None)
    }
}

/// Whether so much of a sealed segment is unused that its blocks are given back. Such a file
/// is not recycled: its blocks are no longer reserved.
pub(crate) fn gives_tail_back(end: u64, segment_bytes: u64) -> bool {
    let unused = (segment_bytes - footer_bytes(segment_bytes)).saturating_sub(end);
    unused > segment_bytes / 4
}

/// No segment is smaller. **Frozen** as a promise of the format.
const SEGMENT_BYTES_LEAST: u64 = 64 << 10;

/// The smallest segment that holds a frame of `frame_bytes` and its footer, in powers of two.
fn least_segment_bytes(frame_bytes: u64) -> u64 {
    let mut bytes = SEGMENT_BYTES_LEAST;
    while FRAMES_START + frame_bytes + footer_bytes(bytes) > bytes {
        bytes *= 2;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u64 = 60 << 20;

    #[test]
    fn small_commits_have_zeros_written_ahead_until_those_are_used_up() {
        let page = 4096;
        let ahead = zeros_ahead(&(8192..2 * page + 4096), 8192, LIMIT).unwrap();
        assert_eq!(ahead, 12288..12288 + (1 << 20));
        assert_eq!(zeros_ahead(&(12000..16384), ahead.end, LIMIT), None);
        assert!(zeros_ahead(&(ahead.end - 100..ahead.end + page), ahead.end, LIMIT).is_some());
    }

    #[test]
    fn half_of_a_small_segment_is_written_ahead_and_never_the_room_for_its_footer() {
        let limit = 240 << 10;
        assert_eq!(zeros_ahead(&(8192..12288), 8192, limit), Some(12288..12288 + limit / 2));
        let last = zeros_ahead(&(200_000..204_800), 201_000, limit).unwrap();
        assert_eq!(last.end, limit);
    }

    #[test]
    fn large_commits_and_blocks_that_were_used_before_need_none() {
        assert_eq!(zeros_ahead(&(8192..(64 << 10)), 8192, LIMIT), None);
        assert_eq!(zeros_ahead(&(8192..12288), LIMIT, LIMIT), None);
    }
}
