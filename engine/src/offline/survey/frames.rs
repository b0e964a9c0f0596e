//! Along the frames of one segment: each is looked at, and each place without one is judged.

use std::path::Path;

use rustix::io::Errno;

use super::super::lost::Lost;
use super::super::{Finding, FindingKind, payload};
use super::{Hole, Walk};
use crate::catalog::{Pin, ShardMark};
use crate::fs::File;
use crate::log::frame::{FRAME_BYTES_MAX, FRAME_HEADER_BYTES, Fault, FrameHeader};
use crate::log::header::{FRAMES_START, SegmentHeader};
use crate::log::index::{Footer, IndexEntry};
use crate::log::scan::{Found, Scanner};
use crate::log::verdict::{Evidence, Verdict, judge};
use crate::sequence::SequenceNumber;

/// Bytes between two words about progress inside a segment.
const PROGRESS_BYTES: u64 = 4 << 20;

/// A segment in the middle of the walk.
pub(super) struct Here<'a> {
    pub(super) path: &'a Path,
    pub(super) header: &'a SegmentHeader,
    pub(super) following: Option<SequenceNumber>,
    pub(super) footer: Option<&'a Footer>,
    /// The mark, if it stands in this segment.
    pub(super) mark: Option<ShardMark>,
    pub(super) file_bytes: u64,
    /// Where the room for frames ends.
    pub(super) area_end: u64,
    /// Where the frames end at the latest.
    pub(super) limit: u64,
    /// A server may be writing here.
    pub(super) is_live: bool,
}

impl Here<'_> {
    /// Where damage ends behind which there is no valid frame.
    fn end_of_damage(&self, at: u64, recorded: SequenceNumber) -> (Option<u64>, SequenceNumber) {
        if let Some(footer) = self.footer {
            return (Some(footer.end).filter(|&end| end > at), recorded);
        }
        let next = self.following.map_or(recorded, |base| base.max(recorded));
        (self.mark.map(|mark| mark.offset).filter(|&offset| offset > at), next)
    }
}

/// How the walk along the frames of a segment ended.
pub(super) enum Ended {
    /// Behind the last frame.
    At(u64),
    /// Something is lost in it; not everything was seen.
    Blocked,
}

impl Walk<'_> {
    /// Walks the frames of a segment.
    pub(super) fn frames(&mut self, file: &dyn File, here: &Here<'_>) -> Ended {
        let (path, following) = (here.path, here.following);
        let owner = here.header.owner();
        let mut told = 0;
        let mut scanner = match Scanner::new(file, owner, here.limit) {
            Ok(scanner) => scanner,
            Err(error) => {
                self.unreadable(path, None, &error, following);
                return Ended::Blocked;
            }
        };
        let mut entries = here.footer.map_or(&[][..], |footer| footer.index.entries()).iter();
        let mut entry = entries.next();
        let mut at = FRAMES_START;
        let ended = loop {
            if at - told > PROGRESS_BYTES {
                (self.progress)(at - told);
                told = at;
            }
            let found = match scanner.at(at, self.expected) {
                Ok(found) => found,
                Err(error) => {
                    self.unreadable(path, Some(at), &error, following);
                    break Ended::Blocked;
                }
            };
            let frame = match found {
                Found::Full => break Ended::At(at),
                Found::Fault(Fault::Unreadable, _) => {
                    self.unreadable(path, Some(at), &Errno::IO.into(), following);
                    break Ended::Blocked;
                }
                Found::Fault(fault, claim) => {
                    match self.fault(&mut scanner, here, at, fault, claim) {
                        Some(resume) => {
                            // The index is written anew with the place that is mended.
                            while entry.is_some_and(|entry| entry.offset < resume) {
                                entry = entries.next();
                            }
                            at = resume;
                            continue;
                        }
                        None if scanner.passed_unreadable => {
                            self.unreadable(path, Some(at), &Errno::IO.into(), following);
                            break Ended::Blocked;
                        }
                        None => break Ended::At(at),
                    }
                }
                Found::Frame(frame) => frame,
            };
            if let Some(wrong) = entry.filter(|entry| entry.offset <= at) {
                entry = entries.next();
                let right = IndexEntry {
                    base: frame.base,
                    offset: at,
                    first_arrival_ms: frame.first_arrival_ms,
                };
                if *wrong != right {
                    let found = "an entry of the index that points at no frame";
                    self.tell(FindingKind::Damage, path, Some(wrong.offset), found);
                    self.footer_hole(here);
                }
            }
            self.frame(&mut scanner, here, at, &frame);
            at += frame.frame_bytes();
        };
        (self.progress)(here.file_bytes.saturating_sub(told));
        ended
    }

    /// Looks at a frame whose checksums and number are right.
    fn frame(&mut self, scanner: &mut Scanner<'_>, here: &Here<'_>, at: u64, frame: &FrameHeader) {
        let path = here.path;
        if frame.base > self.expected && !frame.follows_gap() {
            if at == FRAMES_START && self.expected < here.header.base {
                self.missing_before(path, frame.base);
            } else {
                let found = "sequence numbers are missing before this frame, and there is no \
                             room to put that on record";
                self.lost(path, at, frame.base, found);
                self.give_up();
            }
        }
        self.out.frames += 1;
        self.expected = frame.next();
        if frame.is_lost() {
            self.out.findings.push(Finding {
                first_lost: Some(frame.base),
                next_readable: Some(frame.next()),
                ..self.finding(FindingKind::Note, path, Some(at), "recorded as lost")
            });
            self.arrival_ms = self.arrival_ms.max(frame.last_arrival_ms);
            return;
        }
        self.out.records += u64::from(frame.count);
        let begins_ms = frame.first_arrival_ms;
        let payload_at = at + FRAME_HEADER_BYTES as u64;
        let wrong = match scanner.bytes(payload_at, frame.payload_bytes as usize) {
            Ok(Some(bytes)) => payload::check(frame, bytes),
            // It was read a moment ago, to check it.
            Ok(None) | Err(_) => None,
        };
        let wrong = match wrong {
            None if begins_ms < self.arrival_ms => Some("arrival times that fall"),
            wrong => wrong,
        };
        if let Some(wrong) = wrong {
            let found = format!(
                "{wrong}, although the checksum is right: it was written so, and is left as it is"
            );
            self.tell(FindingKind::Damage, path, Some(at), found);
            self.give_up();
        }
        self.arrival_ms = self.arrival_ms.max(frame.last_arrival_ms);
        let end = payload_at + u64::from(frame.payload_bytes);
        let padding = (at + frame.frame_bytes() - end) as usize;
        if let Ok(Some(bytes)) = scanner.bytes(end, padding)
            && bytes.iter().any(|&byte| byte != 0)
        {
            let found = "bytes between two frames that are not zeros; nobody reads them";
            self.tell(FindingKind::Harmless, path, Some(end), found);
        }
    }

    /// Judges a place without a valid frame. Returns where the walk goes on, if it does.
    fn fault(
        &mut self,
        scanner: &mut Scanner<'_>,
        here: &Here<'_>,
        at: u64,
        fault: Fault,
        claim: Option<FrameHeader>,
    ) -> Option<u64> {
        if here.is_live {
            return None;
        }
        let expected = self.expected;
        let is_last = here.following.is_none();
        let marked = self.log.mark.filter(|_| here.mark.is_some() || is_last);
        let marked = marked.filter(|mark| mark.pin() != Some(Pin::Gap));
        let recorded = marked
            .map(|mark| mark.next_sequence)
            .into_iter()
            .chain(here.footer.map(|footer| footer.next))
            .fold(expected, SequenceNumber::max);
        // A file that is shorter than it was made was cut by a stranger, and with it a frame; but
        // for one that was stopped cleanly, where nothing stood behind the mark.
        let is_trusted = self.log.is_clean && here.mark.is_some();
        let is_cut_off =
            fault == Fault::Short && here.file_bytes < here.header.segment_bytes && !is_trusted;
        let recorded_above = recorded > expected
            || (fault != Fault::Zeros && here.following.is_some_and(|base| base > expected))
            || (is_cut_off && is_last);
        // A place that cannot be read shows no successor.
        let later = later(scanner, at, expected, recorded_above.then_some(here.limit));
        if later.is_none() && scanner.passed_unreadable {
            return None;
        }
        let evidence = Evidence {
            recorded_above,
            proven_above: later.is_some_and(|later| !is_last || later.durable_below > expected),
            // The caller gives such a place up.
            hidden_above: false,
        };
        match judge(fault, evidence) {
            Verdict::End => return None,
            Verdict::Tail => {
                let (kind, found) = if is_last && !self.log.is_clean {
                    (FindingKind::Note, "torn tail, will be cut at the next start")
                } else {
                    (FindingKind::Harmless, "bytes behind the last frame that are none")
                };
                self.tell(kind, here.path, Some(at), found);
                if !is_last {
                    self.footer_hole(here);
                }
                return None;
            }
            Verdict::Damage if at == FRAMES_START && expected < here.header.base => {
                // What is missing before the segment is no part of what is damaged in it.
                self.missing_before(here.path, here.header.base);
                return Some(at);
            }
            Verdict::Damage => {}
        }
        let by_header = claim.filter(|claim| {
            fault == Fault::PayloadCrc
                && claim.base >= expected
                && at + claim.frame_bytes() <= here.limit
        });
        let (resume, next) = match (by_header, later) {
            (Some(claim), _) => (Some(at + claim.frame_bytes()), claim.next()),
            (None, Some(later)) => (Some(later.offset), later.base),
            (None, None) if is_cut_off && is_last => {
                let (resume, next) = here.end_of_damage(at, recorded);
                let least = claim.map_or(expected.next(), |claim| claim.next());
                (resume, next.max(least))
            }
            (None, None) => here.end_of_damage(at, recorded),
        };
        let (resume, next) = match here.mark {
            // A start after a kill begins at the mark, so that a frame has to begin there.
            Some(mark)
                if at < mark.offset
                    && resume.is_none_or(|resume| resume > mark.offset)
                    && expected < mark.next_sequence =>
            {
                (Some(mark.offset), mark.next_sequence)
            }
            // Damage to the very end, and no footer says how far it went.
            _ if is_last && resume.is_none() && here.footer.is_none() => {
                (None, self.behind_a_lost_end(next))
            }
            _ => (resume, next),
        };
        let lost = Lost { first: expected, next, arrival_ms: self.arrival_ms };
        self.lost(here.path, at, next, fault.describe());
        // Mended even below the horizon: the footer of the file has to lead over it.
        self.out.holes.push(Hole::Range {
            path: here.path.to_owned(),
            header: here.header.clone(),
            offset: at,
            resume,
            lost,
        });
        // A frame that is lost leaves its index entry behind.
        if here.footer.is_some() {
            self.footer_hole(here);
        }
        resume
    }
}

/// A valid frame behind a bad place, and what the frames from there on prove.
#[derive(Clone, Copy)]
struct Later {
    offset: u64,
    base: SequenceNumber,
    durable_below: SequenceNumber,
}

/// Looks for a valid frame as far as the largest frame reaches, or, where it is known that
/// more was there, up to `limit`.
fn later(
    scanner: &mut Scanner<'_>,
    at: u64,
    expected: SequenceNumber,
    limit: Option<u64>,
) -> Option<Later> {
    scanner.passed_unreadable = false;
    let mut from = at;
    let (offset, first) = loop {
        match scanner.successor(from, expected).ok()? {
            Some(found) => break found,
            None => from += FRAME_BYTES_MAX,
        }
        if limit.is_none_or(|limit| from >= limit) {
            return None;
        }
    };
    let mut later = Later { offset, base: first.base, durable_below: first.durable_below };
    let mut next = (offset + first.frame_bytes(), first.next());
    while let Ok(Found::Frame(frame)) = scanner.at(next.0, next.1) {
        later.durable_below = later.durable_below.max(frame.durable_below);
        next = (next.0 + frame.frame_bytes(), frame.next());
    }
    Some(later)
}
