//! Where a cursor stands: a segment, an offset in it, and the bytes around.
//!
//! It reads through a *window*: one slice of the map that covers the next frames, so that a
//! page of many frames costs one slice and no copy.

use std::sync::Arc;

use bytes::Bytes;

use crate::error::{IoContext, Result};
use crate::log::frame::{FRAME_BYTES_MAX, FRAME_HEADER_BYTES, Fault, FrameHeader, Owner};
use crate::log::header::{FRAMES_START, SegmentHeader};
use crate::log::inside::Inside;
use crate::log::scan::Scanner;
use crate::log::segment::{OpenSegment, Segment};
use crate::mutant::Mutant;
use crate::sequence::SequenceNumber;

/// Bytes of a window, unless a single frame needs more.
const WINDOW_BYTES: u64 = 1 << 20;

/// Where the frame stands that holds, or follows, the position.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) segment: Arc<Segment>,
    pub(super) open: Arc<OpenSegment>,
    pub(super) owner: Option<Owner>,
    pub(super) offset: u64,
    /// The number that the frame at `offset` has if none are missing.
    pub(super) expected: SequenceNumber,
    /// The frame at `offset`, once its payload was found right, and how far into it we are.
    pub(super) inside: Option<Inside>,
    pub(super) window: (u64, Bytes),
}

/// Where a pass stopped, for whoever goes on with it. It holds nothing of the file.
pub(crate) struct Bookmark {
    /// The number that is read next.
    pub(super) position: SequenceNumber,
    pub(super) offset: u64,
    pub(super) expected: SequenceNumber,
    pub(super) inside: Option<Inside>,
}

impl Place {
    /// A place in an open segment: at a bookmark, or at the frame that the index knows nearest to
    /// the position.
    pub(super) fn new(
        segment: &Arc<Segment>,
        open: Arc<OpenSegment>,
        position: SequenceNumber,
        bookmark: Option<Bookmark>,
    ) -> Place {
        let bookmark = bookmark.unwrap_or_else(|| {
            let entry = segment.index_at_sequence(position);
            let (offset, expected) =
                entry.map_or((FRAMES_START, segment.base()), |entry| (entry.offset, entry.base));
            Bookmark { position, offset, expected, inside: None }
        });
        Place {
            segment: segment.clone(),
            owner: open.header.as_ref().map(SegmentHeader::owner),
            open,
            offset: bookmark.offset,
            expected: bookmark.expected,
            inside: bookmark.inside,
            window: (0, Bytes::new()),
        }
    }

    /// The place, for a pass that goes on later.
    pub(super) fn bookmark(&self, position: SequenceNumber) -> Bookmark {
        let Place { offset, expected, inside, .. } = self;
        Bookmark { position, offset: *offset, expected: *expected, inside: inside.clone() }
    }

    /// Whether a page of so many bytes, and the frame that it begins in, are known to be in memory
    /// as far as this segment goes; then, how many of the bytes lie beyond it.
    pub(super) fn resident_up_to(&mut self, bytes: usize) -> Option<usize> {
        let end = self.segment.extent().map_or(0, |extent| extent.end);
        let from = match &self.inside {
            Some(inside) => self.offset + (FRAME_HEADER_BYTES + inside.consumed) as u64,
            None => self.offset,
        };
        let mut until = from + bytes as u64;
        let beyond = until.saturating_sub(end) as usize;
        until = until.min(end);
        let map = &self.open.map;
        if !map.is_resident(from, until.saturating_sub(from) as usize) {
            return None;
        }
        if self.inside.is_none() && until < end {
            // Its checksum covers all of it.
            let header = self.header_at().ok()?.ok()?;
            let rest = (self.offset + header.frame_bytes()).min(end).saturating_sub(until);
            if !self.open.map.is_resident(until, rest as usize) {
                return None;
            }
        }
        Some(beyond)
    }

    /// The header of the frame at the place.
    pub(super) fn header_at(&mut self) -> std::io::Result<Result<FrameHeader, Fault>> {
        let Some(owner) = self.owner else { return Ok(Err(Fault::Foreign)) };
        let Some(bytes) = self.bytes(self.offset, FRAME_HEADER_BYTES)? else {
            return Ok(Err(Fault::Short));
        };
        let bytes = bytes.as_ref().try_into().expect("a slice of the asked length");
        Ok(FrameHeader::decode(bytes, owner))
    }

    /// `len` bytes at `offset`, from the window or a new one; `None` beyond the readable end.
    pub(super) fn bytes(&mut self, offset: u64, len: usize) -> std::io::Result<Option<Bytes>> {
        let end = self.segment.extent().map_or(0, |extent| extent.end);
        if offset + len as u64 > end {
            return Ok(None);
        }
        let (start, window) = &self.window;
        let inside = offset >= *start && offset + len as u64 <= start + window.len() as u64;
        if !inside {
            let end = match Mutant::SliceBeyondDurable.is_on() {
                true => self.open.file.len()?,
                false => end,
            };
            let wanted = (len as u64).max(WINDOW_BYTES).min(end - offset) as usize;
            let mut window = self.open.map.clone().slice(offset, wanted);
            if wanted > len && window.is_err() {
                // What cannot be read may lie behind what is asked for, and so may the end of a
                // file that was cut.
                window = self.open.map.clone().slice(offset, len);
            }
            self.window = (offset, window?);
        }
        let from = (offset - self.window.0) as usize;
        Ok(Some(self.window.1.slice(from..from + len)))
    }

    /// Where the next valid frame behind damage stands, and its number.
    pub(super) fn resume_behind(&self, end: u64) -> Result<Option<(u64, SequenceNumber)>> {
        let Some(owner) = self.owner else { return Ok(None) };
        let path = self.segment.path();
        let mut scanner =
            Scanner::new(self.open.file.as_ref(), owner, end).at("read", path, self.offset)?;
        let mut at = self.offset;
        // The frame that cannot be read may be followed by more of its kind.
        while at < end {
            if let Some((resume, header)) =
                scanner.successor(at, self.expected).at("read", path, at)?
            {
                return Ok(Some((resume, header.base)));
            }
            at += FRAME_BYTES_MAX;
        }
        Ok(None)
    }

    /// Steps behind a frame.
    pub(super) fn pass(&mut self, header: &FrameHeader) {
        self.offset += header.frame_bytes();
        self.expected = header.next();
        self.inside = None;
    }
}
