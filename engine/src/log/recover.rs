//! Opening a log: where does it end, and what is wrong below its end?
//!
//! The catalog gives a *mark*, a lower bound of what is durable. After a clean stop the mark is
//! the end and nothing is read. Otherwise the frames behind the mark are walked, and where the
//! walk meets something that is no valid frame, [`judge`] decides from a table: the clean end,
//! a torn *tail*, which is cut, or *damage*, which is fenced off and reported. What tells tail
//! from damage is evidence that the bytes were durable once: the mark, a footer, a later
//! segment, or a later valid frame that was built when they already were. Where the medium gives
//! no bytes, nobody knows what the evidence would be: that is damage, and the file is not cut.
//!
//! A log that cannot go on in its last segment is *pinned*: the mark says at which number the
//! next segment begins, so that the next start finds the same end.
//!
//! Before the log serves anything, the frames behind the mark are written again, the rest of
//! the segment is zeroed, and both are synced. A sync alone would not do: after one that
//! failed in an earlier life, the kernel may hold pages as clean that never reached the disk. The
//! directory is synced as well: the life before may have named a segment and come no further.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use crate::catalog::{Pin, ShardMark};
use crate::error::{Damage, IoContext, Result};
use crate::fs::{Access, File, Fs};
use crate::ids::{ShardId, StreamId};
use crate::limits::{SEGMENT_BYTES_FIRST, SEGMENT_BYTES_MAX};
use crate::log::frame::{FRAME_ALIGNMENT, FRAME_HEADER_BYTES, Fault, FrameHeader};
use crate::log::header::{FRAMES_START, SegmentHeader};
use crate::log::index::{Index, footer_bytes};
use crate::log::paths::{segment_base, segment_name};
use crate::log::scan::{Found, Scanner};
use crate::log::segment::{Extent, Fence, Segment, read_footer};
use crate::log::unreadable::{PAGE_BYTES, for_each_readable};
use crate::log::verdict::{EndFacts, Evidence, Verdict, judge, numbers_to_skip};
use crate::log::writer::{Place, Tail};
use crate::mutant::Mutant;
use crate::sequence::SequenceNumber;

/// Bytes that are read at once where all of a file is.
const CHUNK_BYTES: u64 = 1 << 20;

/// What an opening log starts from.
pub(crate) struct Start {
    pub(crate) stream: StreamId,
    pub(crate) shard: ShardId,
    pub(crate) dir: PathBuf,
    /// The number of the shard's first record.
    pub(crate) first_sequence: SequenceNumber,
    pub(crate) mark: Option<ShardMark>,
    /// The mark is the end.
    pub(crate) is_clean: bool,
    /// The last run acknowledged before the sync.
    pub(crate) is_unsynced: bool,
}

/// An opened log.
pub(crate) struct Recovered {
    pub(crate) segments: Vec<Arc<Segment>>,
    pub(crate) tail: Tail,
    /// What the next record's number is at least.
    pub(crate) next: SequenceNumber,
    /// Where readers find the end. It may lie below `next`: what a cut frame claimed is not used
    /// again, but it stands nowhere on disk, and a reader told to wait behind it would miss what
    /// is put after another crash.
    pub(crate) tip: SequenceNumber,
    pub(crate) trim_horizon: SequenceNumber,
    pub(crate) damage: Vec<Damage>,
    /// The last of `damage`, if no frame stands behind it.
    pub(crate) tip_damage: Option<Damage>,
    pub(crate) scanned_bytes: u64,
    pub(crate) truncated_bytes: u64,
}

/// Opens the log in `start.dir`.
pub(crate) fn recover(fs: &dyn Fs, start: &Start) -> Result<Recovered> {
    let mut bases = Vec::new();
    match fs.list(&start.dir) {
        Ok(entries) => bases.extend(entries.iter().filter_map(segment_base)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).at("list", &start.dir, None),
    }
    bases.sort_unstable();
    if !start.is_clean && !bases.is_empty() {
        // A process that died between a rename and the sync behind it leaves a name that the next
        // power cut may take, with whatever is acknowledged in that segment until then.
        fs.sync_dir(&start.dir).at("sync", &start.dir, None)?;
    }
    let mark = start.mark.unwrap_or(ShardMark {
        segment_base: SequenceNumber(0),
        offset: FRAMES_START,
        next_sequence: start.first_sequence,
        newest_arrival_ms: 0,
        trim_horizon: start.first_sequence,
    });
    let walk = Walk {
        fs,
        start,
        mark,
        segments: Vec::new(),
        expected: start.first_sequence,
        claimed: mark.next_sequence.max(mark.segment_base),
        last_arrival_ms: mark.newest_arrival_ms,
        damage: Vec::new(),
        ends_in_damage: false,
        is_end_recorded: false,
        ends_at: EndsAt::Frames,
        frames: 0,
        active: None,
        scanned_bytes: 0,
        truncated_bytes: 0,
    };
    walk.run(&bases)
}

struct Walk<'a> {
    fs: &'a dyn Fs,
    start: &'a Start,
    mark: ShardMark,
    segments: Vec<Arc<Segment>>,
    /// The number that the next frame has if none are missing.
    expected: SequenceNumber,
    /// A number that was handed out is below this.
    claimed: SequenceNumber,
    last_arrival_ms: u64,
    damage: Vec<Damage>,
    ends_in_damage: bool,
    /// The footer of the last segment says how far it went.
    is_end_recorded: bool,
    ends_at: EndsAt,
    /// Frames found at or behind the mark.
    frames: u64,
    active: Option<(Arc<Segment>, u64, u64, u64)>,
    scanned_bytes: u64,
    truncated_bytes: u64,
}

impl Walk<'_> {
    fn run(mut self, bases: &[SequenceNumber]) -> Result<Recovered> {
        let mark = self.mark;
        // Everything before the marked segment is sealed, and opens when it is read.
        let first = bases.partition_point(|&base| base < mark.segment_base);
        for &base in &bases[..first] {
            self.segments.push(Arc::new(Segment::lazy(self.path(base), self.shard(), base)));
        }
        let marked = bases.get(first).filter(|&&base| base == mark.segment_base);
        let pin = mark.pin();
        // Retention may have removed the marked segment; nothing else may.
        let all_trimmed = mark.trim_horizon >= mark.next_sequence;
        let is_named = mark.segment_base > SequenceNumber(0) && pin.is_none();
        if marked.is_none() && is_named && !all_trimmed {
            let path = self.path(mark.segment_base);
            let next = bases.get(first).copied().unwrap_or(mark.next_sequence);
            // What stood before it, if it stands no more, is lost with it.
            let from = if first == 0 { SequenceNumber(0) } else { mark.segment_base };
            let from = from.max(mark.trim_horizon);
            self.report(path, 0, from, next.max(from), "no such file");
            self.ends_in_damage = first == bases.len();
        }
        let mut is_damaged_before = false;
        if pin == Some(Pin::Damage) {
            self.walk_damaged_end()?;
            is_damaged_before = std::mem::take(&mut self.ends_in_damage);
        }
        // A marked segment that is gone was told of above, unless retention has taken it. Where no
        // mark names one, numbers before the first segment were skipped, or a frame is to say so.
        let is_passed = is_named || pin.is_some();
        self.expected = match (marked, bases.get(first)) {
            (None, Some(&base)) if is_passed || mark.trim_horizon >= base => base,
            _ => mark.next_sequence,
        };
        self.frames = 0;
        let is_last = marked.is_some() && first + 1 == bases.len();
        if self.start.is_clean && is_last && pin.is_none() && !self.goes_on_behind(mark) {
            self.trust(mark);
        } else {
            for (index, &base) in bases.iter().enumerate().skip(first) {
                let is_marked = base == mark.segment_base && pin.is_none();
                let offset = if is_marked { mark.offset } else { FRAMES_START };
                let following = bases.get(index + 1).copied();
                self.walk_segment(base, offset, following)?;
            }
        }
        if pin.is_some() && self.frames == 0 && !self.ends_in_damage {
            let is_made = first < bases.len();
            self.ends_at = if is_made { EndsAt::Pin } else { EndsAt::PinWithoutSegment };
            self.ends_in_damage = is_damaged_before;
        }
        Ok(self.finish())
    }

    fn shard(&self) -> (StreamId, ShardId) {
        (self.start.stream, self.start.shard)
    }

    fn path(&self, base: SequenceNumber) -> PathBuf {
        self.start.dir.join(segment_name(base))
    }

    /// Whether a frame of the log stands where a clean stop says that none does: then the catalog
    /// is an older one, from a backup, and what came later must not be written over.
    fn goes_on_behind(&self, mark: ShardMark) -> bool {
        let path = self.path(mark.segment_base);
        let Ok(file) = self.fs.open(&path, Access::Read) else { return false };
        let mut bytes = [0; FRAME_HEADER_BYTES];
        if file.read_at(mark.offset, &mut bytes).is_err() || bytes[0] == 0 {
            return false;
        }
        let header = SegmentHeader::read(file.as_ref(), &path).ok().flatten();
        let header = header.filter(|header| header.is_of(self.shard(), mark.segment_base));
        let frame = header.and_then(|header| FrameHeader::decode(&bytes, header.owner()).ok());
        let is_later = frame.is_some_and(|frame| frame.base >= mark.next_sequence);
        is_later && !Mutant::OldCatalog.is_on()
    }

    /// After a clean stop the mark is the end.
    fn trust(&mut self, mark: ShardMark) {
        let extent = Extent {
            end: mark.offset,
            next: mark.next_sequence,
            last_arrival_ms: mark.newest_arrival_ms,
        };
        // The writer reads the header, and the reader the index, when they first need them.
        let base = mark.segment_base;
        let segment = Segment::trusted(self.path(base), self.shard(), base, extent);
        let segment = Arc::new(segment);
        self.active = Some((segment.clone(), mark.offset, SEGMENT_BYTES_FIRST, 0));
        self.segments.push(segment);
    }

    /// Finds again what is lost at the end of a log that a pin says ends in damage.
    fn walk_damaged_end(&mut self) -> Result<()> {
        let next = self.mark.next_sequence;
        let last = self.segments.iter().rposition(|segment| self.may_hold_frames(segment));
        let behind = self.segments.split_off(last.unwrap_or(0));
        let (file, from) = match behind.first() {
            Some(first) => (first.path().to_owned(), first.base()),
            None => (self.path(self.mark.segment_base), self.mark.trim_horizon),
        };
        self.expected = from;
        for (position, segment) in behind.iter().enumerate() {
            let following = behind.get(position + 1).map_or(next, |following| following.base());
            self.walk_segment(segment.base(), FRAMES_START, Some(following))?;
        }
        if self.expected < next && !self.ends_in_damage {
            self.report(file, 0, self.expected, next, "the log ends below its recorded end");
            self.ends_in_damage = true;
        }
        self.active = None;
        Ok(())
    }

    /// Whether a segment begins with anything but the zeros of one that never took a frame.
    fn may_hold_frames(&self, segment: &Segment) -> bool {
        let mut start = [1; FRAME_HEADER_BYTES];
        let read = self.fs.open(segment.path(), Access::Read);
        let read = read.and_then(|file| file.read_at(FRAMES_START, &mut start));
        read.is_err() || start != [0; FRAME_HEADER_BYTES]
    }

    /// Walks one segment from `offset`, and makes its end fit to be written on.
    fn walk_segment(
        &mut self,
        base: SequenceNumber,
        offset: u64,
        following: Option<SequenceNumber>,
    ) -> Result<()> {
        let path = self.path(base);
        let access = if following.is_none() { Access::Write } else { Access::Read };
        let file = self.fs.open(&path, access).at("open", &path, None)?;
        let (header, found) = match SegmentHeader::read(file.as_ref(), &path) {
            Err(error) if error.is_unreadable() => (None, Fault::Unreadable.describe()),
            header => {
                let header = header?.filter(|header| header.is_of(self.shard(), base));
                (header, "no valid segment header")
            }
        };
        let Some(header) = header else {
            let next = match following {
                Some(following) => following,
                // Above what its frames claim, and above its name: no segment takes its place.
                None => self.claimed_in(file.as_ref()).at("read", &path, None)?.max(base.next()),
            };
            let next = next.max(self.expected);
            // What stood before the mark is lost with what stood behind it.
            let is_marked = base == self.mark.segment_base;
            let first = if is_marked { base.max(self.mark.trim_horizon) } else { self.expected };
            self.report(path.clone(), 0, first.min(next), next, found);
            self.expected = next;
            self.ends_in_damage = true;
            self.is_end_recorded = false;
            self.active = None;
            self.segments.push(Arc::new(Segment::lazy(path, self.shard(), base)));
            return Ok(());
        };
        // The number was durable as a part of the file's name before any frame was.
        self.claimed = self.claimed.max(base);
        let footer = read_footer(file.as_ref(), &header);
        let limit = header.segment_bytes - footer_bytes(header.segment_bytes);
        let mut scanner =
            Scanner::new(file.as_ref(), header.owner(), limit).at("read", &path, offset)?;
        let is_short = file.len().at("stat", &path, None)? < header.segment_bytes;
        let mut index = Index::default();
        let mut fences = Vec::new();
        let mut at = offset;
        let mut frames_end = offset;
        let mut end = Ending::Clean;
        self.ends_in_damage = false;
        loop {
            let (fault, claim) = match scanner.at(at, self.expected).at("read", &path, at)? {
                Found::Full => break,
                Found::Frame(frame) => {
                    if frame.base > self.expected && !frame.follows_gap() {
                        let missing = "sequence numbers are missing before this frame";
                        self.report(path.clone(), at, self.expected, frame.base, missing);
                    }
                    self.accept(&frame);
                    index.note(&frame, at);
                    at += frame.frame_bytes();
                    frames_end = at;
                    continue;
                }
                Found::Fault(fault, header) => (fault, header),
            };
            // Whatever stands here, the next segment goes on with the number that follows.
            if following == Some(self.expected) {
                break;
            }
            let successors = self.successors(&mut scanner, at).at("read", &path, at)?;
            let recorded = footer
                .as_ref()
                .map_or(self.mark.next_sequence, |footer| footer.next.max(self.mark.next_sequence));
            // A frame that the file is too short for was cut off by a stranger: no power cut makes a
            // file shorter than its header says.
            let is_cut_off = fault == Fault::Short && is_short;
            let evidence = Evidence {
                recorded_above: recorded > self.expected
                    || (following.is_some() && fault != Fault::Zeros)
                    || is_cut_off,
                proven_above: successors
                    .as_ref()
                    .is_some_and(|found| found.durable_below > self.expected)
                    && !Mutant::IgnoreProof.is_on(),
                hidden_above: scanner.passed_unreadable,
            };
            match judge(fault, evidence) {
                Verdict::End => break,
                Verdict::Tail => {
                    // Numbers that a valid header claims were handed out, if to no avail.
                    let claimed = claim.map_or(self.expected, |header| header.next());
                    let torn = successors.as_ref().map_or(claimed, |found| found.last.max(claimed));
                    if !Mutant::ForgetClaims.is_on() {
                        self.claimed = self.claimed.max(torn);
                    }
                    end = Ending::Torn;
                    break;
                }
                Verdict::Damage => {}
            }
            let (resume, next) = match &successors {
                Some(found) => (found.offset, found.base),
                None if is_cut_off && following.is_none() => {
                    // How much more was cut off nobody knows: at least what would begin here.
                    let least = claim.map_or(self.expected.next(), |header| header.next());
                    (limit, recorded.max(least))
                }
                None => (limit, following.unwrap_or(recorded).max(self.expected)),
            };
            let fence = Fence {
                offset: at,
                resume,
                first_lost: self.expected,
                next_readable: next,
                found: fault.describe(),
            };
            self.report(path.clone(), at, fence.first_lost, next, fence.found);
            // What cannot be read today may be there tomorrow: readers try for themselves.
            if fault != Fault::Unreadable {
                fences.push(fence);
            }
            self.expected = next;
            at = resume;
            if successors.is_none() {
                end = Ending::Damaged;
                break;
            }
        }
        self.scanned_bytes += scanner.bytes_read;

        if following.is_none() {
            if end == Ending::Torn {
                self.truncated_bytes += limit - at;
            }
            // A file that was cut from outside is not grown again: it takes no more frames.
            let file_bytes = file.len().at("stat", &path, None)?.min(header.segment_bytes);
            let is_end = footer.is_none() && end != Ending::Damaged;
            let zero_to = if is_end { Some(file_bytes) } else { None };
            // It may even end in the padding of its last frame.
            let frames = offset..frames_end.min(file_bytes);
            make_durable(file.as_ref(), frames, zero_to).at("rewrite", &path, offset)?;
        }
        let extent = Extent { end: at, next: self.expected, last_arrival_ms: self.last_arrival_ms };
        // Frames before the mark were not walked: their index is learnt from the file.
        let segment = match offset == FRAMES_START {
            true => Segment::known(path, self.shard(), base, extent, index),
            false => Segment::trusted(path, self.shard(), base, extent),
        };
        for fence in fences {
            segment.add_fence(fence);
        }
        let segment = Arc::new(segment);
        self.ends_in_damage = end == Ending::Damaged;
        self.is_end_recorded = footer.is_some();
        self.active = match end {
            Ending::Damaged => None,
            _ => Some((segment.clone(), at, header.segment_bytes, header.created_ms)),
        };
        self.segments.push(segment);
        Ok(())
    }

    /// The number behind the last that any frame of this shard claims in a file whose own
    /// header is lost: a frame's header says by itself what it belongs to. What an earlier life
    /// of the file left behind has lower numbers.
    fn claimed_in(&self, file: &dyn File) -> std::io::Result<SequenceNumber> {
        let mut claimed = self.mark.next_sequence;
        let area = FRAMES_START..file.len()?;
        // Pieces overlap, so that a header on their border is whole in one of them.
        for_each_readable(file, area, CHUNK_BYTES, FRAME_HEADER_BYTES as u64, |_, bytes| {
            for header in bytes.windows(FRAME_HEADER_BYTES).step_by(FRAME_ALIGNMENT as usize) {
                let header = header.try_into().expect("a window of that length");
                let frame = FrameHeader::decode_of(header, self.start.stream, self.start.shard);
                claimed = claimed.max(frame.map_or(claimed, |frame| frame.next()));
            }
            Ok(())
        })?;
        Ok(claimed)
    }

    fn accept(&mut self, frame: &FrameHeader) {
        self.frames += 1;
        self.expected = frame.next();
        self.claimed = self.claimed.max(frame.next());
        self.last_arrival_ms = self.last_arrival_ms.max(frame.last_arrival_ms);
    }

    /// The valid frames behind a bad place, and what the newest of them proves.
    fn successors(&self, scanner: &mut Scanner<'_>, at: u64) -> std::io::Result<Option<Later>> {
        scanner.passed_unreadable = false;
        let Some((offset, first)) = scanner.successor(at, self.expected)? else {
            return Ok(None);
        };
        let mut later = Later {
            offset,
            base: first.base,
            durable_below: first.durable_below,
            last: first.next(),
        };
        let mut next = offset + first.frame_bytes();
        // A later frame may know more; the walk ends with the segment at the latest.
        while let Found::Frame(frame) = scanner.at(next, later.last)? {
            later.durable_below = later.durable_below.max(frame.durable_below);
            later.last = frame.next();
            next += frame.frame_bytes();
        }
        Ok(Some(later))
    }

    fn report(
        &mut self,
        file: PathBuf,
        offset: u64,
        first_lost: SequenceNumber,
        next_readable: SequenceNumber,
        found: &'static str,
    ) {
        self.damage.push(Damage {
            stream: self.start.stream,
            shard: self.start.shard,
            file,
            offset,
            first_lost,
            next_readable,
            found,
        });
    }

    fn finish(mut self) -> Recovered {
        // A log that ends below its recorded end has lost something, whatever it looks like.
        if self.expected < self.mark.next_sequence && !self.ends_in_damage {
            let file = self.path(self.mark.segment_base);
            let (lost, next) = (self.expected, self.mark.next_sequence);
            self.report(file, self.mark.offset, lost, next, "the log ends below its recorded end");
            self.ends_in_damage = true;
            self.active = None;
        }
        let mut next = self.expected.max(self.claimed).max(self.mark.next_sequence);
        let has_begun = !self.segments.is_empty() || self.start.mark.is_some();
        let leap = numbers_to_skip(EndFacts {
            is_clean: self.start.is_clean,
            is_unsynced: self.start.is_unsynced && has_begun,
            is_lost: match self.ends_at {
                EndsAt::Frames => self.ends_in_damage && !self.is_end_recorded,
                // Nothing more is lost than the pin has left out.
                EndsAt::Pin => false,
                EndsAt::PinWithoutSegment => true,
            },
        });
        if leap > 0 || self.ends_at == EndsAt::PinWithoutSegment {
            // The first commit makes a new segment, whose name keeps the leap.
            next = next.plus(leap);
            self.active = None;
        }
        let pin = if self.ends_in_damage { Pin::Damage } else { Pin::Gap };
        let is_pinned = self.active.is_none() && has_begun;
        // A pin is recorded before its number is shown. What a cut frame claimed stands nowhere,
        // and another crash may forget it.
        let tip = if self.active.is_none() { next } else { self.expected };
        let place = Place {
            segment_base: next,
            offset: pin.offset(),
            next,
            last_arrival_ms: self.last_arrival_ms,
        };
        let tip_damage = self.damage.last().filter(|_| self.ends_in_damage).cloned();
        let tip_damage = tip_damage.map(|damage| Damage { next_readable: next, ..damage });
        let next_segment_bytes = self
            .active
            .as_ref()
            .map_or(SEGMENT_BYTES_FIRST, |active| (active.2 * 4).min(SEGMENT_BYTES_MAX));
        Recovered {
            tail: Tail {
                active: self.active,
                next: tip,
                follows: (is_pinned || self.ends_at != EndsAt::Frames).then_some(pin),
                last_arrival_ms: self.last_arrival_ms,
                next_segment_bytes,
                pin: is_pinned.then_some(place),
            },
            trim_horizon: self.mark.trim_horizon.min(tip),
            segments: self.segments,
            next,
            tip,
            damage: self.damage,
            tip_damage,
            scanned_bytes: self.scanned_bytes,
            truncated_bytes: self.truncated_bytes,
        }
    }
}

/// What the end of a log is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum EndsAt {
    /// Where its last frame ends, as far as that can be found.
    Frames,
    /// A pin: its segment holds no frame.
    Pin,
    /// A pin whose segment was never made, or is gone.
    PinWithoutSegment,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    Clean,
    Torn,
    Damaged,
}

/// Valid frames behind a bad place.
struct Later {
    offset: u64,
    base: SequenceNumber,
    durable_below: SequenceNumber,
    /// The number behind the last of them.
    last: SequenceNumber,
}

/// Writes the frames of a range again, the same bytes, zeroes up to `zero_to`, and syncs.
///
/// One sync covers both: whatever part of it a power cut leaves, the next start meets frames that
/// stand or do not, as before, and no more behind them than before.
fn make_durable(file: &dyn File, frames: Range<u64>, zero_to: Option<u64>) -> std::io::Result<()> {
    let end = frames.end;
    for_each_readable(file, frames, CHUNK_BYTES, 0, |at, bytes| {
        Mutant::KeepUncleanTail.skips(|| file.write_at(at, bytes))
    })?;
    let zero_to = zero_to.filter(|_| !Mutant::TailUnzeroed.is_on());
    if let Some(zero_to) = zero_to.filter(|&zero_to| zero_to > end) {
        // The zeros that a commit ends with stand in blocks that are written already. Writing
        // them is cheap; zeroing by range changes the file's extents, which a thousand logs
        // would wait for one after the other.
        let border = (end + FRAME_HEADER_BYTES as u64).next_multiple_of(PAGE_BYTES).min(zero_to);
        file.write_at(end, &vec![0; (border - end) as usize])?;
        if file.next_data(border)?.is_some_and(|data| data < zero_to) {
            file.zero(border, zero_to - border)?;
        }
    }
    Mutant::TailUnsynced.skips(|| file.sync())
}
