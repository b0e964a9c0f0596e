//! Walking the frames of a file without trusting it: for recovery, for index rebuilds and for
//! the offline tools.

use std::io;
use std::ops::Range;

use crate::error::is_unreadable;
use crate::fs::File;
use crate::log::frame::{
    FRAME_ALIGNMENT, FRAME_BYTES_MAX, FRAME_HEADER_BYTES, Fault, FrameHeader, Owner,
};
use crate::log::unreadable::{PAGE_BYTES, Steps};
use crate::mutant::Mutant;
use crate::sequence::SequenceNumber;

/// Read in pieces that grow to this size; a larger frame is read whole.
const CHUNK_BYTES: usize = 256 << 10;
/// The first piece. Most logs end soon behind their mark, and many are opened at once.
const CHUNK_BYTES_FIRST: usize = 16 << 10;

/// Bytes of an incarnation, and where a frame has it.
const INCARNATION_BYTES: usize = 8;
const _: () = assert!(FRAME_ALIGNMENT as usize == INCARNATION_BYTES);

/// What stands at an offset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Found {
    /// A frame whose header, payload and place in the order are right.
    Frame(FrameHeader),
    /// Nothing fits behind this offset: the frame area is full.
    Full,
    /// No valid frame. The header is given where it is valid nevertheless.
    Fault(Fault, Option<FrameHeader>),
}

/// Reads frames of one file.
pub(crate) struct Scanner<'a> {
    file: &'a dyn File,
    owner: Owner,
    /// Where the frame area ends.
    limit: u64,
    /// Where the file ends, if before the frame area does: it was cut from outside.
    file_bytes: u64,
    /// Data from where reading began last to the next hole, which need not be read.
    data: Range<u64>,
    buffer: Vec<u8>,
    buffer_at: u64,
    /// Bytes of the next piece.
    chunk_bytes: usize,
    /// A search for a successor has passed over bytes that could not be read. Whoever wants to
    /// know of one search clears it before.
    pub(crate) passed_unreadable: bool,
    /// Bytes read from the file, for reports.
    pub(crate) bytes_read: u64,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(file: &'a dyn File, owner: Owner, limit: u64) -> io::Result<Self> {
        let file_bytes = file.len()?;
        Ok(Scanner {
            file,
            owner,
            limit,
            file_bytes,
            data: 0..0,
            buffer: Vec::new(),
            buffer_at: 0,
            chunk_bytes: CHUNK_BYTES_FIRST,
            passed_unreadable: false,
            bytes_read: 0,
        })
    }

    /// What stands at `offset`, where a frame with a number of at least `expected` should.
    pub(crate) fn at(&mut self, offset: u64, expected: SequenceNumber) -> io::Result<Found> {
        if offset + FRAME_HEADER_BYTES as u64 > self.limit {
            return Ok(Found::Full);
        }
        let owner = self.owner;
        let bytes = match self.bytes(offset, FRAME_HEADER_BYTES) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(Found::Fault(Fault::Short, None)),
            Err(error) if is_unreadable(&error) => {
                return Ok(Found::Fault(Fault::Unreadable, None));
            }
            Err(error) => return Err(error),
        };
        let bytes = bytes.try_into().expect("a slice of the asked length");
        let header = match FrameHeader::decode(bytes, owner) {
            Ok(header) => header,
            Err(fault) => return Ok(Found::Fault(fault, None)),
        };
        if header.base < expected {
            return Ok(Found::Fault(Fault::Sequence, Some(header)));
        }
        if offset + header.frame_bytes() > self.limit {
            return Ok(Found::Fault(Fault::Short, Some(header)));
        }
        let payload = self.bytes(offset + FRAME_HEADER_BYTES as u64, header.payload_bytes as usize);
        match payload {
            Ok(None) => Ok(Found::Fault(Fault::Short, Some(header))),
            Ok(Some(payload)) if !header.matches(payload) => {
                Ok(Found::Fault(Fault::PayloadCrc, Some(header)))
            }
            Ok(Some(_)) => Ok(Found::Frame(header)),
            Err(error) if is_unreadable(&error) => {
                Ok(Found::Fault(Fault::Unreadable, Some(header)))
            }
            Err(error) => Err(error),
        }
    }

    /// The next valid frame behind `offset` with a number above `above`, sought as far as the
    /// largest frame reaches. What cannot be read on the way is passed over.
    pub(crate) fn successor(
        &mut self,
        offset: u64,
        above: SequenceNumber,
    ) -> io::Result<Option<(u64, FrameHeader)>> {
        let reach = match Mutant::ProofNear.is_on() {
            true => 64 << 10,
            false => FRAME_BYTES_MAX + FRAME_ALIGNMENT,
        };
        let end = self.limit.min(offset + reach).min(self.file_bytes);
        let mut at = offset + FRAME_ALIGNMENT;
        let incarnation = self.owner.incarnation.0.to_le_bytes();
        let (mut steps, mut whole_from) = (Steps::default(), at);
        // Behind the end of a log there is mostly a hole, which readers at the tip have brought in.
        self.file.let_go(at)?;
        let (mut data_end, mut next_data) = (at, self.file.next_data(at)?);
        while at + FRAME_HEADER_BYTES as u64 <= end {
            if at >= data_end {
                let Some(data) = next_data else { return Ok(None) };
                at = at.max(data & !(FRAME_ALIGNMENT - 1));
                // Both are asked before the first byte is read: what is read of a hole, and be it
                // the end of a header across its border, counts as data.
                data_end = self.file.next_hole(at)?.max(at + FRAME_ALIGNMENT);
                next_data = self.file.next_data(data_end)?;
                continue;
            }
            let data = data_end + FRAME_HEADER_BYTES as u64 - FRAME_ALIGNMENT - at;
            let data = data.min(end - at).clamp(FRAME_HEADER_BYTES as u64, CHUNK_BYTES as u64);
            let mut chunk = data as usize;
            if at < whole_from {
                // Page by page up to where a refused chunk ended, but for a header on a border.
                let page = (PAGE_BYTES - at % PAGE_BYTES) as usize;
                chunk = chunk.min(page.max(FRAME_HEADER_BYTES));
            }
            let bytes = match self.bytes(at, chunk) {
                Ok(Some(bytes)) => bytes,
                Ok(None) => return Ok(None),
                Err(error) if is_unreadable(&error) => {
                    self.passed_unreadable = true;
                    if at < whole_from {
                        at = steps.behind(at);
                    } else {
                        whole_from = at + chunk as u64;
                    }
                    continue;
                }
                Err(error) => return Err(error),
            };
            // The incarnation is random: looking for it first leaves next to nothing to check.
            // It is the second word of a header, of which the whole has to lie in the piece.
            let behind = bytes.len() - FRAME_HEADER_BYTES + 2 * INCARNATION_BYTES;
            let (words, _) = bytes[INCARNATION_BYTES..behind].as_chunks::<INCARNATION_BYTES>();
            let hit = words.iter().position(|word| *word == incarnation);
            let Some(hit) = hit.map(|word| word * FRAME_ALIGNMENT as usize) else {
                at += (chunk - FRAME_HEADER_BYTES) as u64 / FRAME_ALIGNMENT * FRAME_ALIGNMENT
                    + FRAME_ALIGNMENT;
                continue;
            };
            at += hit as u64;
            if let Found::Frame(header) = self.at(at, above.next())? {
                return Ok(Some((at, header)));
            }
            at += FRAME_ALIGNMENT;
        }
        Ok(None)
    }

    /// `len` bytes at `offset`; `None` where the file is too short.
    pub(crate) fn bytes(&mut self, offset: u64, len: usize) -> io::Result<Option<&[u8]>> {
        let file_bytes = self.file_bytes - u64::from(Mutant::OffByOne.is_on());
        if offset + len as u64 > file_bytes {
            return Ok(None);
        }
        let buffered = self.buffer_at..self.buffer_at + self.buffer.len() as u64;
        if !(buffered.contains(&offset) && offset + len as u64 <= buffered.end) {
            if !self.data.contains(&offset) {
                self.data = offset..self.file.next_hole(offset)?;
            }
            let ahead = self.data.end.min(self.file_bytes).saturating_sub(offset);
            let wanted = len.max(ahead.min(self.chunk_bytes as u64) as usize);
            self.chunk_bytes = (self.chunk_bytes * 2).min(CHUNK_BYTES);
            self.buffer.resize(wanted, 0);
            self.buffer_at = offset;
            let mut read = self.file.read_at(offset, &mut self.buffer);
            if wanted > len && read.as_ref().is_err_and(is_unreadable) {
                // What cannot be read may lie behind what is asked for.
                self.buffer.truncate(len);
                read = self.file.read_at(offset, &mut self.buffer);
            }
            if let Err(error) = read {
                self.buffer.clear();
                return Err(error);
            }
            self.bytes_read += self.buffer.len() as u64;
        }
        let start = (offset - self.buffer_at) as usize;
        Ok(Some(&self.buffer[start..start + len]))
    }
}
