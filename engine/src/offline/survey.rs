//! Walks one log from its first byte to its last: what `verify` reports and `repair` mends.
//!
//! It judges as recovery does (the same table), but looks at everything: recovery
//! starts from the recorded mark, a survey from the first segment. What is lost becomes a
//! [`Hole`], which says all that is needed to put the loss on record.

mod frames;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::lost::Lost;
use super::{Finding, FindingKind};
use crate::catalog::{Pin, ShardMark};
use crate::fs::{Access, File, Fs};
use crate::ids::{ShardId, StreamId};
use crate::log::frame::FRAME_HEADER_BYTES;
use crate::log::header::{FRAMES_START, HEADER_BYTES, HEADER_OFFSETS, HeaderFault, SegmentHeader};
use crate::log::index::{footer_bytes, is_stale_footer};
use crate::log::paths::{segment_base, segment_name};
use crate::log::segment::read_footer;
use crate::log::verdict::{EndFacts, numbers_to_skip};
use crate::sequence::SequenceNumber;
use frames::{Ended, Here};

/// The log to look at.
pub(super) struct Log {
    pub(super) stream: StreamId,
    pub(super) shard: ShardId,
    pub(super) dir: PathBuf,
    /// The number of the shard's first record; `None` where no catalog tells.
    pub(super) first_sequence: Option<SequenceNumber>,
    pub(super) mark: Option<ShardMark>,
    /// The last stop was clean: the mark is the end.
    pub(super) is_clean: bool,
    /// A server may be writing to it: what lies behind the mark is not judged.
    pub(super) is_online: bool,
}

/// Something to mend.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Hole {
    /// A range of a segment that holds no valid frame. Without `resume` nothing valid follows
    /// in the file, and only zeros may.
    Range { path: PathBuf, header: SegmentHeader, offset: u64, resume: Option<u64>, lost: Lost },
    /// Numbers that no segment holds.
    Numbers { lost: Lost },
    /// A file whose header is lost, and with it the key to its checksums.
    Headless { path: PathBuf, base: SequenceNumber },
    /// One copy of a header, or the padding around it.
    HeaderCopy { path: PathBuf, header: SegmentHeader },
    /// A footer that is missing or wrong in a segment that takes no more frames.
    Footer { path: PathBuf, header: SegmentHeader },
}

/// What a log is like.
#[derive(Default)]
pub(super) struct Survey {
    pub(super) findings: Vec<Finding>,
    pub(super) holes: Vec<Hole>,
    /// Those of the findings that no hole stands for.
    pub(super) hopeless: Vec<Finding>,
    pub(super) bases: Vec<SequenceNumber>,
    pub(super) segments: u64,
    pub(super) frames: u64,
    pub(super) records: u64,
    pub(super) bytes: u64,
}

/// Looks at all of a log. `progress` is told bytes that are done, each byte once.
pub(super) fn survey(fs: &dyn Fs, log: &Log, progress: &mut dyn FnMut(u64)) -> Survey {
    let mut bases = Vec::new();
    let mut out = Survey::default();
    let is_listed = match fs.list(&log.dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => true,
        Err(error) => {
            out.findings.push(Finding {
                stream: Some(log.stream),
                shard: Some(log.shard),
                ..Finding::of(FindingKind::Damage, &log.dir, format!("cannot be listed: {error}"))
            });
            out.hopeless.clone_from(&out.findings);
            false
        }
        Ok(entries) => {
            for entry in entries {
                match segment_base(&entry) {
                    Some(base) => bases.push(base),
                    None => out.findings.push(Finding {
                        stream: Some(log.stream),
                        shard: Some(log.shard),
                        ..Finding::of(
                            FindingKind::Note,
                            log.dir.join(&entry.name),
                            "not a segment; left alone",
                        )
                    }),
                }
            }
            true
        }
    };
    bases.sort_unstable();
    out.bases.clone_from(&bases);
    let horizon = match (log.mark, log.first_sequence) {
        (Some(mark), _) => mark.trim_horizon,
        (None, Some(first)) => first,
        (None, None) => bases.first().copied().unwrap_or(SequenceNumber::FIRST),
    };
    let mut walk = Walk {
        fs,
        log,
        horizon,
        expected: bases.first().map_or(horizon, |&base| base.min(horizon)),
        arrival_ms: 0,
        empty: None,
        is_mark_missing: log.mark.is_some_and(|mark| is_mark_missing(&mark, &bases)),
        out,
        progress,
    };
    if log.is_online {
        // Retention may have moved on since the mark was read.
        walk.expected = bases.first().copied().unwrap_or(horizon);
    }
    for (index, &base) in bases.iter().enumerate() {
        walk.segment(base, bases.get(index + 1).copied());
    }
    if is_listed {
        walk.finish();
    }
    walk.out
}

/// Whether the segment of the recorded end is gone, and retention did not take it.
pub(super) fn is_mark_missing(mark: &ShardMark, bases: &[SequenceNumber]) -> bool {
    let is_there = bases.contains(&mark.segment_base);
    let all_trimmed = mark.trim_horizon >= mark.next_sequence;
    // The segment of a pin is made by the next commit.
    let is_made = mark.segment_base > SequenceNumber(0) && mark.pin().is_none();
    is_made && !is_there && !all_trimmed
}

struct Walk<'a> {
    fs: &'a dyn Fs,
    log: &'a Log,
    /// Readers ask for nothing below it.
    horizon: SequenceNumber,
    /// The number that the next frame has if none are missing.
    expected: SequenceNumber,
    /// When the last record so far arrived.
    arrival_ms: u64,
    /// The segment before, if it has no frame.
    empty: Option<(PathBuf, SegmentHeader)>,
    is_mark_missing: bool,
    out: Survey,
    progress: &'a mut dyn FnMut(u64),
}

impl Walk<'_> {
    fn path(&self, base: SequenceNumber) -> PathBuf {
        self.log.dir.join(segment_name(base))
    }

    fn segment(&mut self, base: SequenceNumber, following: Option<SequenceNumber>) {
        let path = self.path(base);
        if self.is_mark_missing
            && self.log.mark.is_some_and(|mark| mark.segment_base < base)
            && self.expected < base
        {
            self.is_mark_missing = false;
            self.missing_before(&path, base);
        }
        if let Some(mark) = self.log.mark
            && (mark.pin(), mark.segment_base) == (Some(Pin::Gap), base)
        {
            // Nothing is lost before a pin. Without its number the frames of this segment would
            // seem to prove that something is, where the first of them is torn.
            self.expected = self.expected.max(mark.next_sequence);
        }
        let file = match self.fs.open(&path, Access::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound && self.log.is_online => {
                // Retention took it since the directory was listed.
                self.expected = self.behind(following);
                return;
            }
            Err(error) => return self.unreadable(&path, None, &error, following),
        };
        let len = match file.len() {
            Ok(len) => len,
            Err(error) => return self.unreadable(&path, None, &error, following),
        };
        self.out.segments += 1;
        self.out.bytes += len;
        let Some(header) = self.header(file.as_ref(), &path, base, following) else {
            self.empty = None;
            (self.progress)(len);
            return;
        };
        if len != header.segment_bytes {
            let found =
                format!("the file has {len} bytes and was made with {}", header.segment_bytes);
            self.tell(FindingKind::Harmless, &path, Some(len), found);
        }
        let footer = read_footer(file.as_ref(), &header);
        let area_end = header.segment_bytes - footer_bytes(header.segment_bytes);
        let footer = footer.filter(|footer| (FRAMES_START..=area_end).contains(&footer.end));
        let mark = self.log.mark.filter(|mark| mark.segment_base == base && mark.pin().is_none());
        let limit = footer.as_ref().map_or(area_end, |footer| footer.end);
        let limit = match mark {
            Some(mark) if self.log.is_online => limit.min(mark.offset),
            _ => limit,
        };
        let here = Here {
            path: &path,
            header: &header,
            following,
            footer: footer.as_ref(),
            mark,
            file_bytes: len,
            area_end,
            limit,
            // A segment that another one follows was whole and synced before that was made.
            is_live: self.log.is_online && following.is_none() && mark.is_none(),
        };
        let before = self.out.findings.len();
        let ended = self.frames(file.as_ref(), &here);
        if self.log.is_online && self.was_replaced(&path, &header) {
            self.out.findings.truncate(before);
            self.expected = self.behind(following);
            return;
        }
        if let Ended::At(end) = ended {
            self.look_at_footer(file.as_ref(), &here, end);
            self.empty = (end == FRAMES_START).then(|| (path.clone(), header.clone()));
        } else {
            self.empty = None;
        }
    }

    /// The header, if one of its copies is whole and belongs here.
    fn header(
        &mut self,
        file: &dyn File,
        path: &Path,
        base: SequenceNumber,
        following: Option<SequenceNumber>,
    ) -> Option<SegmentHeader> {
        let mut refusal = None;
        let copies = HEADER_OFFSETS.map(|offset| {
            let mut bytes = [0; HEADER_BYTES];
            file.read_at(offset, &mut bytes).map_err(|error| {
                if error.kind() != ErrorKind::UnexpectedEof {
                    refusal = Some(error);
                }
                HeaderFault::Magic
            })?;
            SegmentHeader::decode(&bytes)
        });
        let whole = copies.iter().find_map(|copy| copy.as_ref().ok());
        let Some(header) = whole else {
            if let Some(error) = refusal {
                self.unreadable(path, None, &error, following);
                return None;
            }
            let newer = copies.iter().find_map(|copy| match copy {
                Err(HeaderFault::Newer { version }) => Some(*version),
                _ => None,
            });
            match newer {
                Some(version) => {
                    let found = format!("format version {version}, which this program cannot read");
                    self.lost(path, 0, self.behind(following), found);
                    self.give_up();
                }
                None => {
                    self.headless(path, base, following, "both copies of its header are damaged");
                }
            }
            return None;
        };
        if !header.is_of((self.log.stream, self.log.shard), base) {
            self.headless(path, base, following, "the header of another segment");
            return None;
        }
        for (copy, offset) in copies.iter().zip(HEADER_OFFSETS) {
            if copy.is_err() {
                let found = "a damaged copy of the header; the other copy is whole";
                self.tell(FindingKind::Harmless, path, Some(offset), found);
            }
        }
        let mut head = vec![0; FRAMES_START as usize];
        if file.read_at(0, &mut head).is_ok() && head != header.encode() {
            if copies.iter().all(Result::is_ok) {
                let found = "bytes beside the header that are not zeros; nobody reads them";
                self.tell(FindingKind::Harmless, path, Some(0), found);
            }
            let hole = Hole::HeaderCopy { path: path.to_owned(), header: header.clone() };
            self.out.holes.push(hole);
        }
        Some(header.clone())
    }

    fn headless(
        &mut self,
        path: &Path,
        base: SequenceNumber,
        following: Option<SequenceNumber>,
        found: &str,
    ) {
        self.out.holes.push(Hole::Headless { path: path.to_owned(), base });
        // Nobody knows how many numbers it held if it is the last: at least its first.
        let next = self.behind(following).max(base.next());
        let next = if following.is_none() { self.behind_a_lost_end(next) } else { next };
        let lost = Lost { first: self.expected, next, arrival_ms: self.arrival_ms };
        if self.lost(path, 0, next, found) {
            self.out.holes.push(Hole::Numbers { lost });
        }
    }

    fn look_at_footer(&mut self, file: &dyn File, here: &Here<'_>, end: u64) {
        let Some(footer) = here.footer else {
            let footer_at = Some(here.area_end);
            if here.following.is_some() && !self.log.is_online {
                let found = "no valid footer; the index is rebuilt when it is needed";
                self.tell(FindingKind::Harmless, here.path, footer_at, found);
                self.footer_hole(here);
            } else if !self.log.is_online && is_no_footer(file, here.header) {
                let found = "bytes where the footer goes that are none; nobody needs them";
                self.tell(FindingKind::Harmless, here.path, footer_at, found);
            }
            return;
        };
        let mut behind = [0; FRAME_HEADER_BYTES];
        let has_room = end + FRAME_HEADER_BYTES as u64 <= here.area_end;
        if has_room && file.read_at(end, &mut behind).is_ok() && behind.iter().any(|&b| b != 0) {
            let found = "bytes behind the last frame that are none";
            self.tell(FindingKind::Harmless, here.path, Some(end), found);
            self.footer_hole(here);
        }
        let is_whole = end == footer.end && self.expected == footer.next;
        if !is_whole && !self.log.is_online {
            let found = "a footer that says something else than the frames";
            self.tell(FindingKind::Damage, here.path, Some(here.limit), found);
            self.footer_hole(here);
        }
    }

    fn footer_hole(&mut self, here: &Here<'_>) {
        let hole = Hole::Footer { path: here.path.to_owned(), header: here.header.clone() };
        if !self.out.holes.contains(&hole) {
            self.out.holes.push(hole);
        }
    }

    /// Numbers before the segment at `path` that no file holds.
    fn missing_before(&mut self, path: &Path, next: SequenceNumber) {
        let lost = Lost { first: self.expected, next, arrival_ms: self.arrival_ms };
        let found = "sequence numbers are missing before this segment";
        if self.lost(path, 0, next, found) {
            self.put_on_record(lost);
        }
    }

    /// Numbers that no file holds get one, unless a segment without a frame has their name.
    fn put_on_record(&mut self, lost: Lost) {
        let Some((path, header)) = self.empty.take().filter(|(_, h)| h.base == lost.first) else {
            self.out.holes.push(Hole::Numbers { lost });
            return;
        };
        let footer = Hole::Footer { path: path.clone(), header: header.clone() };
        let resume = None;
        self.out.holes.push(Hole::Range { path, header, offset: FRAMES_START, resume, lost });
        if !self.out.holes.contains(&footer) {
            self.out.holes.push(footer);
        }
    }

    /// A log that ends below its recorded end has lost something, whatever it looks like.
    fn finish(&mut self) {
        let Some(mark) = self.log.mark else { return };
        let path = self.path(mark.segment_base);
        if self.is_mark_missing {
            // It may have held more than is recorded, or nothing: its first number at least.
            let next = mark.next_sequence.max(mark.segment_base.next()).max(self.expected.next());
            let next = self.behind_a_lost_end(next);
            let lost = Lost { first: self.expected, next, arrival_ms: self.arrival_ms };
            if self.lost(&path, 0, next, "no such file") {
                self.out.holes.push(Hole::Numbers { lost });
            }
        } else if self.expected < mark.next_sequence && mark.pin() != Some(Pin::Gap) {
            let offset = if mark.pin().is_none() { mark.offset } else { 0 };
            let next = self.behind_a_lost_end(mark.next_sequence);
            let lost = Lost { first: self.expected, next, arrival_ms: self.arrival_ms };
            if self.lost(&path, offset, next, "the log ends below its recorded end") {
                self.put_on_record(lost);
            }
        }
    }

    /// A file that the system does not give. What it holds may still be there.
    fn unreadable(
        &mut self,
        path: &Path,
        offset: Option<u64>,
        error: &std::io::Error,
        following: Option<SequenceNumber>,
    ) {
        let found = format!("the system refuses to read it: {error}; repair cannot help");
        let next = self.behind(following);
        self.is_mark_missing = false;
        self.empty = None;
        if next > self.expected {
            self.lost(path, offset.unwrap_or(0), next, found);
        } else {
            self.tell(FindingKind::Damage, path, offset, found);
        }
        self.give_up();
    }

    /// Nothing can be done about the last finding.
    fn give_up(&mut self) {
        self.out.hopeless.extend(self.out.findings.last().cloned());
    }

    /// The number behind all that a segment may have held, as far as that is known.
    fn behind(&self, following: Option<SequenceNumber>) -> SequenceNumber {
        let recorded = || self.log.mark.map_or(self.expected, |mark| mark.next_sequence);
        following.unwrap_or_else(recorded).max(self.expected)
    }

    /// The number behind an end that is lost, of which `next` is known. A log that was killed may
    /// have acknowledged more: a start would leap over that, but not where the loss is mended, so
    /// that it has to be a part of what is put on record.
    fn behind_a_lost_end(&self, next: SequenceNumber) -> SequenceNumber {
        next.plus(numbers_to_skip(EndFacts {
            // Beside a server that runs nothing is mended, and the mark is not the end either.
            is_clean: self.log.is_clean || self.log.is_online,
            // The start after the repair leaps over these.
            is_unsynced: false,
            is_lost: true,
        }))
    }

    /// Online: whether retention took the file while it was read, be it for another use.
    fn was_replaced(&self, path: &Path, header: &SegmentHeader) -> bool {
        let now = self.fs.open(path, Access::Read).ok();
        let now = now.and_then(|file| SegmentHeader::read(file.as_ref(), path).ok()?);
        now.is_none_or(|now| now.incarnation != header.incarnation)
    }

    /// Reports lost numbers and goes on behind them. True: somebody may miss them.
    fn lost(
        &mut self,
        path: &Path,
        offset: u64,
        next: SequenceNumber,
        found: impl Into<String>,
    ) -> bool {
        let is_missed = next > self.horizon;
        let (kind, found) = match is_missed {
            true => (FindingKind::Damage, found.into()),
            false => (FindingKind::Harmless, format!("{}; below the trim horizon", found.into())),
        };
        self.out.findings.push(Finding {
            first_lost: Some(self.expected),
            next_readable: Some(next),
            ..self.finding(kind, path, Some(offset), found)
        });
        self.expected = next;
        is_missed
    }

    fn tell(
        &mut self,
        kind: FindingKind,
        path: &Path,
        offset: Option<u64>,
        found: impl Into<String>,
    ) {
        let finding = self.finding(kind, path, offset, found);
        self.out.findings.push(finding);
    }

    fn finding(
        &self,
        kind: FindingKind,
        path: &Path,
        offset: Option<u64>,
        found: impl Into<String>,
    ) -> Finding {
        Finding {
            stream: Some(self.log.stream),
            shard: Some(self.log.shard),
            offset,
            ..Finding::of(kind, path, found)
        }
    }
}

/// Whether bytes stand where a footer goes that are neither zeros nor the footer of an earlier
/// life of the file.
fn is_no_footer(file: &dyn File, header: &SegmentHeader) -> bool {
    let len = footer_bytes(header.segment_bytes);
    let mut bytes = vec![0; len as usize];
    if file.read_at(header.segment_bytes - len, &mut bytes).is_err() {
        return false;
    }
    bytes.iter().any(|&byte| byte != 0) && !is_stale_footer(&bytes, header.incarnation)
}
