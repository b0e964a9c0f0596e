//! The sparse index of a segment, and the footer that keeps it.
//!
//! An entry stands about every 64 KiB of frames and says which number and which arrival time
//! are found where. The active segment's index grows in memory; sealing writes it behind the
//! frames, at the end of the file. It is a cache: without a valid footer the index is rebuilt
//! by walking the frames, and nothing else is lost. A valid footer also proves that all frames
//! before it were durable when it was written, because sealing comes after the last sync.
//!
//! The layout is **frozen**; `FORMAT.md` describes it.

use crc32fast::Hasher;

use crate::ids::Incarnation;
use crate::limits::INDEX_INTERVAL_BYTES;
use crate::log::frame::{FrameHeader, u32_at, u64_at};
use crate::sequence::SequenceNumber;

const MAGIC: [u8; 8] = *b"ANABRIDX";
const ENTRY_BYTES: usize = 24;
const TRAILER_BYTES: usize = 64;
const PAGE_BYTES: u64 = 4096;

/// Where a frame is found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct IndexEntry {
    pub(crate) base: SequenceNumber,
    pub(crate) offset: u64,
    pub(crate) first_arrival_ms: u64,
}

/// Entries by rising number, offset and arrival time.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Index {
    entries: Vec<IndexEntry>,
}

impl Index {
    /// Takes note of a frame, if the last entry lies far enough back.
    pub(crate) fn note(&mut self, header: &FrameHeader, offset: u64) {
        let due = match self.entries.last() {
            Some(last) => offset >= last.offset + INDEX_INTERVAL_BYTES,
            None => true,
        };
        if due {
            self.entries.push(IndexEntry {
                base: header.base,
                offset,
                first_arrival_ms: header.first_arrival_ms,
            });
        }
    }

    /// The last entry at or before `sequence`: no earlier frame holds it.
    pub(crate) fn at_sequence(&self, sequence: SequenceNumber) -> Option<IndexEntry> {
        let behind = self.entries.partition_point(|entry| entry.base <= sequence);
        behind.checked_sub(1).map(|index| self.entries[index])
    }

    /// The last entry whose frame began before `arrival_ms`: no earlier frame holds the first
    /// record that arrived at or after that time.
    pub(crate) fn at_time(&self, arrival_ms: u64) -> Option<IndexEntry> {
        let behind = self.entries.partition_point(|entry| entry.first_arrival_ms < arrival_ms);
        behind.checked_sub(1).map(|index| self.entries[index])
    }

    /// All entries, for the offline tools.
    pub(crate) fn entries(&self) -> &[IndexEntry] {
        &self.entries
    }

    /// This index, and behind it what of `later` lies beyond its end.
    pub(crate) fn followed_by(mut self, later: Index) -> Index {
        let end = self.entries.last().map_or(0, |last| last.offset);
        self.entries.extend(later.entries.into_iter().filter(|entry| entry.offset > end));
        self
    }
}

/// What a sealed segment says of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Footer {
    pub(crate) index: Index,
    /// Where the last frame ends.
    pub(crate) end: u64,
    /// The number behind the last record.
    pub(crate) next: SequenceNumber,
    /// When the last record arrived.
    pub(crate) last_arrival_ms: u64,
}

/// Bytes at the end of a file that are kept for its footer.
pub(crate) fn footer_bytes(segment_bytes: u64) -> u64 {
    let entries_max = segment_bytes / INDEX_INTERVAL_BYTES + 2;
    (entries_max * ENTRY_BYTES as u64 + TRAILER_BYTES as u64).next_multiple_of(PAGE_BYTES)
}

impl Footer {
    /// The footer's bytes: exactly [`footer_bytes`].
    pub(crate) fn encode(&self, incarnation: Incarnation, segment_bytes: u64) -> Vec<u8> {
        let mut out = vec![0; footer_bytes(segment_bytes) as usize];
        for (slot, entry) in out.chunks_exact_mut(ENTRY_BYTES).zip(&self.index.entries) {
            slot[0..8].copy_from_slice(&entry.base.0.to_le_bytes());
            slot[8..16].copy_from_slice(&entry.offset.to_le_bytes());
            slot[16..24].copy_from_slice(&entry.first_arrival_ms.to_le_bytes());
        }
        let trailer_at = out.len() - TRAILER_BYTES;
        let trailer = &mut out[trailer_at..];
        trailer[0..8].copy_from_slice(&MAGIC);
        trailer[12..16].copy_from_slice(&(self.index.entries.len() as u32).to_le_bytes());
        trailer[16..24].copy_from_slice(&incarnation.0.to_le_bytes());
        trailer[24..32].copy_from_slice(&self.end.to_le_bytes());
        trailer[32..40].copy_from_slice(&self.next.0.to_le_bytes());
        trailer[40..48].copy_from_slice(&self.last_arrival_ms.to_le_bytes());
        let crc = crc(incarnation, &out);
        out[trailer_at + 8..trailer_at + 12].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads a footer of that incarnation; `None` where there is no valid one.
    pub(crate) fn decode(bytes: &[u8], incarnation: Incarnation) -> Option<Footer> {
        let trailer_at = bytes.len().checked_sub(TRAILER_BYTES)?;
        let (entries, trailer) = bytes.split_at(trailer_at);
        let valid = trailer[0..8] == MAGIC
            && u64_at(trailer, 16) == incarnation.0
            && crc(incarnation, bytes) == u32_at(trailer, 8);
        if !valid {
            return None;
        }
        let count = u32_at(trailer, 12) as usize;
        let entries = entries.get(..count.checked_mul(ENTRY_BYTES)?)?;
        let entries = entries.chunks_exact(ENTRY_BYTES).map(|entry| IndexEntry {
            base: SequenceNumber(u64_at(entry, 0)),
            offset: u64_at(entry, 8),
            first_arrival_ms: u64_at(entry, 16),
        });
        Some(Footer {
            index: Index { entries: entries.collect() },
            end: u64_at(trailer, 24),
            next: SequenceNumber(u64_at(trailer, 32)),
            last_arrival_ms: u64_at(trailer, 40),
        })
    }
}

/// Whether `bytes` look like the footer that an earlier life of the file had.
pub(crate) fn is_stale_footer(bytes: &[u8], incarnation: Incarnation) -> bool {
    let Some(trailer_at) = bytes.len().checked_sub(TRAILER_BYTES) else { return false };
    let trailer = &bytes[trailer_at..];
    let theirs = Incarnation(u64_at(trailer, 16));
    theirs != incarnation && Footer::decode(bytes, theirs).is_some()
}

fn crc(incarnation: Incarnation, bytes: &[u8]) -> u32 {
    let crc_at = bytes.len() - TRAILER_BYTES + 8;
    let mut hasher = Hasher::new();
    hasher.update(&incarnation.0.to_le_bytes());
    hasher.update(&bytes[..crc_at]);
    hasher.update(&bytes[crc_at + 4..]);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: u64) -> IndexEntry {
        IndexEntry {
            base: SequenceNumber(number * 10),
            offset: number * INDEX_INTERVAL_BYTES,
            first_arrival_ms: number * 1000,
        }
    }

    fn index() -> Index {
        Index { entries: (1..=5).map(entry).collect() }
    }

    #[test]
    fn the_nearest_entry_before_a_number_or_a_time_is_found() {
        assert_eq!(index().at_sequence(SequenceNumber(9)), None);
        assert_eq!(index().at_sequence(SequenceNumber(10)), Some(entry(1)));
        assert_eq!(index().at_sequence(SequenceNumber(39)), Some(entry(3)));
        assert_eq!(index().at_sequence(SequenceNumber(1000)), Some(entry(5)));
        // The frame that begins at the time may follow one whose last record has it as well.
        assert_eq!(index().at_time(3000), Some(entry(2)));
        assert_eq!(index().at_time(3001), Some(entry(3)));
        assert_eq!(index().at_time(1000), None);
    }

    #[test]
    fn a_footer_reads_back_and_every_flipped_bit_of_it_is_found() {
        let incarnation = Incarnation(77);
        let footer =
            Footer { index: index(), end: 9000, next: SequenceNumber(60), last_arrival_ms: 5500 };
        let bytes = footer.encode(incarnation, 256 << 10);
        assert_eq!(bytes.len() as u64, footer_bytes(256 << 10));
        assert_eq!(Footer::decode(&bytes, incarnation), Some(footer));
        assert_eq!(Footer::decode(&bytes, Incarnation(78)), None);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Footer::decode(&flipped, incarnation), None, "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert_eq!(Footer::decode(&bytes[..len], incarnation), None);
        }
    }
}
