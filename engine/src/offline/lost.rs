//! Frames that stand for lost numbers: what `repair` writes where records were.
//!
//! Such a frame has [`FLAG_LOST`], a payload of zeros that fills the place, and right checksums.
//! To cursor, recovery and index it is a frame like any other, except that it holds no records.

use std::path::Path;

use rustix::io::Errno;

use crate::error::{IoContext, Result};
use crate::fs::File;
use crate::limits::FRAME_PAYLOAD_BYTES_MAX;
use crate::log::frame::{FLAG_LOST, FRAME_HEADER_BYTES, Fault, FrameHeader, Owner, payload_crc};
use crate::log::header::{FRAMES_START, SegmentHeader};
use crate::log::index::{Footer, Index, footer_bytes};
use crate::log::scan::{Found, Scanner};
use crate::sequence::SequenceNumber;

const HEADER: u64 = FRAME_HEADER_BYTES as u64;
const FRAME_MAX: u64 = HEADER + FRAME_PAYLOAD_BYTES_MAX as u64;

/// Bytes of a segment that is made for nothing but lost numbers.
const SEGMENT_BYTES: u64 = 64 << 10;

/// Lost numbers, and the bytes in which to say so.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Lost {
    pub(super) first: SequenceNumber,
    pub(super) next: SequenceNumber,
    /// No earlier and no later record arrived on the other side of it.
    pub(super) arrival_ms: u64,
}

/// One frame of several that say it together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Share {
    count: u32,
    bytes: u64,
}

impl Lost {
    /// Divides the numbers among the fewest frames that fill `bytes`, or, without, that need the
    /// least. `None` where it cannot be said in that room.
    pub(super) fn divide(&self, bytes: Option<u64>) -> Option<Vec<Share>> {
        let count = self.next.0.checked_sub(self.first.0).filter(|&count| count > 0)?;
        let by_count = count.div_ceil(u64::from(u32::MAX));
        let room = (SEGMENT_BYTES - FRAMES_START - footer_bytes(SEGMENT_BYTES)) / HEADER;
        let (frames, bytes) = match bytes {
            Some(bytes) => (by_count.max(bytes.div_ceil(FRAME_MAX)), bytes),
            None if by_count > room => return None,
            None => (by_count, by_count * HEADER),
        };
        if frames > count || frames.checked_mul(HEADER)? > bytes || !bytes.is_multiple_of(8) {
            return None;
        }
        let (mut count_left, mut bytes_left) = (count, bytes);
        let mut shares = Vec::new();
        for behind in (0..frames).rev() {
            let count = (count_left - behind).min(u64::from(u32::MAX));
            let bytes = (bytes_left - behind * HEADER).min(FRAME_MAX);
            shares.push(Share { count: count as u32, bytes });
            count_left -= count;
            bytes_left -= bytes;
        }
        Some(shares)
    }

    /// The headers of the frames, each with the bytes from its start to the next frame's.
    fn headers(&self, owner: Owner, shares: &[Share]) -> Vec<(FrameHeader, u64)> {
        let mut base = self.first;
        let header = |share: &Share| {
            let payload_bytes = (share.bytes - HEADER) as usize;
            let header = FrameHeader {
                owner,
                flags: FLAG_LOST,
                extension_bytes: 0,
                payload_bytes: payload_bytes as u32,
                base,
                count: share.count,
                payload_crc: payload_crc(owner.incarnation, &vec![0; payload_bytes]),
                first_arrival_ms: self.arrival_ms,
                last_arrival_ms: self.arrival_ms,
                durable_below: base,
            };
            base = header.next();
            (header, share.bytes)
        };
        shares.iter().map(header).collect()
    }

    /// Writes the frames at `offset` of a file whose bytes up to `zero_to` may go, and syncs.
    pub(super) fn write(
        &self,
        file: &dyn File,
        owner: Owner,
        offset: u64,
        zero_to: u64,
        shares: &[Share],
    ) -> std::io::Result<()> {
        file.zero(offset, zero_to - offset)?;
        let mut at = offset;
        for (header, bytes) in self.headers(owner, shares) {
            file.write_at(at, &header.encode())?;
            at += bytes;
        }
        file.sync()
    }

    /// A whole sealed segment that holds nothing else. `header` gets its size and base filled
    /// in.
    pub(super) fn segment(&self, mut header: SegmentHeader, shares: &[Share]) -> Vec<u8> {
        header.base = self.first;
        header.segment_bytes = SEGMENT_BYTES;
        let mut out = header.encode();
        let mut index = Index::default();
        for (frame, _) in self.headers(header.owner(), shares) {
            index.note(&frame, out.len() as u64);
            out.extend_from_slice(&frame.encode());
        }
        let end = end_of_made(shares);
        assert_eq!(out.len() as u64, end, "frames of a made segment have no payload");
        out.resize((SEGMENT_BYTES - footer_bytes(SEGMENT_BYTES)) as usize, 0);
        let footer = Footer { index, end, next: self.next, last_arrival_ms: self.arrival_ms };
        out.extend_from_slice(&footer.encode(header.incarnation, SEGMENT_BYTES));
        out
    }
}

/// Where the frames of a segment end that is made for these shares.
pub(super) fn end_of_made(shares: &[Share]) -> u64 {
    FRAMES_START + shares.iter().map(|share| share.bytes).sum::<u64>()
}

/// Writes the footer anew from the frames that stand in the file, zeroes what stands between,
/// and syncs. Leaves a file alone in which a valid frame stands, or could stand, behind one that
/// is not: a footer would hide it.
pub(super) fn rewrite_footer(file: &dyn File, header: &SegmentHeader, path: &Path) -> Result<()> {
    let limit = header.segment_bytes - footer_bytes(header.segment_bytes);
    let mut scanner = Scanner::new(file, header.owner(), limit).at("read", path, None)?;
    let mut footer = Footer {
        index: Index::default(),
        end: FRAMES_START,
        next: header.base,
        last_arrival_ms: 0,
    };
    loop {
        let frame = match scanner.at(footer.end, footer.next).at("read", path, footer.end)? {
            Found::Frame(frame) => frame,
            Found::Fault(Fault::Unreadable, _) => {
                return Err(Errno::IO.into()).at("read", path, footer.end);
            }
            Found::Full | Found::Fault(..) => break,
        };
        footer.index.note(&frame, footer.end);
        footer.end += frame.frame_bytes();
        footer.next = frame.next();
        footer.last_arrival_ms = frame.last_arrival_ms;
    }
    let later = scanner.successor(footer.end, footer.next).at("read", path, footer.end)?;
    if later.is_some() || scanner.passed_unreadable {
        return Ok(());
    }
    file.zero(footer.end, limit - footer.end).at("zero", path, footer.end)?;
    let bytes = footer.encode(header.incarnation, header.segment_bytes);
    file.write_at(limit, &bytes).at("write", path, limit)?;
    file.sync().at("sync", path, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(count: u64) -> Lost {
        Lost { first: SequenceNumber(7), next: SequenceNumber(7 + count), arrival_ms: 1 }
    }

    #[test]
    fn numbers_are_divided_so_that_each_frame_is_legal_and_the_place_is_full() {
        for (count, bytes, frames) in [
            (1, Some(80), 1),
            (500, Some(1 << 20), 1),
            (500, Some(64 << 20), 6),
            (6, Some(FRAME_MAX * 2 + 8), 3),
            (u64::from(u32::MAX) * 2 + 1, Some(1000), 3),
            (u64::from(u32::MAX) + 1, None, 2),
        ] {
            let shares = lost(count).divide(bytes).unwrap();
            assert_eq!(shares.len(), frames, "{count} {bytes:?}");
            assert_eq!(shares.iter().map(|share| u64::from(share.count)).sum::<u64>(), count);
            let total: u64 = shares.iter().map(|share| share.bytes).sum();
            assert_eq!(total, bytes.unwrap_or(frames as u64 * HEADER));
            assert!(shares.iter().all(|share| share.count > 0 && share.bytes >= HEADER));
            assert!(shares.iter().all(|share| share.bytes <= FRAME_MAX));
        }
    }

    #[test]
    fn what_cannot_be_said_in_the_room_is_refused() {
        assert_eq!(lost(1).divide(Some(72)), None);
        assert_eq!(lost(1).divide(Some(84)), None);
        assert_eq!(lost(1).divide(Some(FRAME_MAX + 8)), None);
        assert_eq!(lost(0).divide(None), None);
        assert_eq!(lost(u64::from(u32::MAX) * 1000).divide(None), None);
    }
}
