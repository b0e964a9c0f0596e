//! Where a cursor stands: a segment, an offset in it, and the bytes around.
//!
//! It reads through a *window*: one slice of the map that covers the next frames, so that a
//! page of many frames costs one slice and no copy.

use std::sync::Arc;

use bytes::Bytes;

use crate::error::{IoContext, Result};
use crate::log::frame::{FRAME_BYTES_MAX, FRAME_HEADER_BYTES, Fault, FrameHeader, Owner};
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

#[derive(Clone, Copy)]
pub(super) struct Inside {
    pub(super) header: FrameHeader,
    /// Payload bytes before `position`.
    pub(super) consumed: usize,
    /// The number of the entry at `consumed`.
    pub(super) at: SequenceNumber,
}

impl Place {
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
