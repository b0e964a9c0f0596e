//! A frame: one group commit of one shard, as it stands in a segment.
//!
//! ```text
//!  0        4          8              16          24      28        30
//!  | magic  | head CRC | incarnation  | stream id | shard | head len| flags |
//! 32        36         40             48          52      56
//!  | ext len| pay len  | base sequence| count     |pay CRC| first arrival |
//! 64                   72                         80
//!  | last arrival      | durable below            | extension | payload ... | to 8 bytes
//! ```
//!
//! The header has a CRC of its own, so that a length is trusted only once it is proven. Both
//! CRCs begin with the eight bytes of the segment's incarnation: what an earlier life of a
//! recycled file left behind can therefore never pass for a frame of this one.
//!
//! Integers are little endian. The layout is **frozen**; `FORMAT.md` describes it.

use crc32fast::Hasher;

use crate::ids::{Incarnation, ShardId, StreamId};
use crate::limits::{FRAME_PAYLOAD_BYTES_MAX, SEQUENCE_NUMBER_MAX};
use crate::mutant::Mutant;
use crate::sequence::SequenceNumber;

/// Bytes of a frame's header.
pub(crate) const FRAME_HEADER_BYTES: usize = 80;

/// Every frame starts on a multiple of this.
pub(crate) const FRAME_ALIGNMENT: u64 = 8;

/// The largest frame, header and alignment included: how far a successor is sought.
pub(crate) const FRAME_BYTES_MAX: u64 =
    (FRAME_HEADER_BYTES + FRAME_PAYLOAD_BYTES_MAX) as u64 + FRAME_ALIGNMENT;

const MAGIC: [u8; 4] = *b"AFRM";

/// Set where numbers before this frame were handed out and never acknowledged: readers step
/// over the gap. A gap without this flag is damage.
pub(crate) const FLAG_GAP: u16 = 1;

/// Set by `repair` on a frame that stands for numbers that are lost: it holds no records.
pub(crate) const FLAG_LOST: u16 = 2;

const FLAGS_KNOWN: u16 = FLAG_GAP | FLAG_LOST;

/// Which log, and which life of its file, a frame belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Owner {
    pub(crate) stream: StreamId,
    pub(crate) shard: ShardId,
    pub(crate) incarnation: Incarnation,
}

/// The header of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct FrameHeader {
    pub(crate) owner: Owner,
    pub(crate) flags: u16,
    pub(crate) extension_bytes: u32,
    pub(crate) payload_bytes: u32,
    pub(crate) base: SequenceNumber,
    pub(crate) count: u32,
    pub(crate) payload_crc: u32,
    pub(crate) first_arrival_ms: u64,
    pub(crate) last_arrival_ms: u64,
    /// The first number not known to be durable when the frame was built. In a later valid
    /// frame it proves that an earlier invalid one is damage and not a torn tail.
    pub(crate) durable_below: SequenceNumber,
}

/// Why bytes are no frame. The order is that of the checks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Fault {
    /// The medium does not give the bytes: what stands there is not known.
    Unreadable,
    /// All zeros: nothing was ever written here, or it was zeroed.
    Zeros,
    /// The file or the segment's frame area ends before the frame does.
    Short,
    /// Not a frame's magic.
    Magic,
    /// The header does not match its CRC.
    HeaderCrc,
    /// A frame of an earlier life of the file.
    Incarnation,
    /// A valid header with a stream, shard, length or flag that cannot be.
    Foreign,
    /// A number that does not follow.
    Sequence,
    /// The payload does not match its CRC.
    PayloadCrc,
}

impl Fault {
    /// The fault in words, for reports.
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Fault::Unreadable => "the disk cannot read it",
            Fault::Zeros => "zeros where a frame should be",
            Fault::Short => "the file ends inside a frame",
            Fault::Magic => "no frame where one should be",
            Fault::HeaderCrc => "a frame header that does not match its checksum",
            Fault::Incarnation => "a frame of an earlier use of this file",
            Fault::Foreign => "a frame header with impossible values",
            Fault::Sequence => "a frame whose sequence numbers do not follow",
            Fault::PayloadCrc => "a payload that does not match its checksum",
        }
    }
}

impl FrameHeader {
    /// The header's bytes, its own CRC filled in.
    pub(crate) fn encode(&self) -> [u8; FRAME_HEADER_BYTES] {
        let mut out = [0; FRAME_HEADER_BYTES];
        out[0..4].copy_from_slice(&MAGIC);
        out[8..16].copy_from_slice(&self.owner.incarnation.0.to_le_bytes());
        out[16..24].copy_from_slice(&self.owner.stream.0.to_le_bytes());
        out[24..28].copy_from_slice(&self.owner.shard.0.to_le_bytes());
        out[28..30].copy_from_slice(&(FRAME_HEADER_BYTES as u16).to_le_bytes());
        out[30..32].copy_from_slice(&self.flags.to_le_bytes());
        out[32..36].copy_from_slice(&self.extension_bytes.to_le_bytes());
        out[36..40].copy_from_slice(&self.payload_bytes.to_le_bytes());
        out[40..48].copy_from_slice(&self.base.0.to_le_bytes());
        out[48..52].copy_from_slice(&self.count.to_le_bytes());
        out[52..56].copy_from_slice(&self.payload_crc.to_le_bytes());
        out[56..64].copy_from_slice(&self.first_arrival_ms.to_le_bytes());
        out[64..72].copy_from_slice(&self.last_arrival_ms.to_le_bytes());
        out[72..80].copy_from_slice(&self.durable_below.0.to_le_bytes());
        let crc = header_crc(self.owner.incarnation, &out);
        out[4..8].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads a header that belongs to `owner`. It is valid if and only if the result is `Ok`;
    /// sequence and payload are the caller's to check.
    pub(crate) fn decode(bytes: &[u8; FRAME_HEADER_BYTES], owner: Owner) -> Result<Self, Fault> {
        if bytes.iter().all(|&byte| byte == 0) {
            return Err(Fault::Zeros);
        }
        if bytes[0..4] != MAGIC {
            return Err(Fault::Magic);
        }
        let incarnation = Incarnation(u64_at(bytes, 8));
        if header_crc(incarnation, bytes) != u32_at(bytes, 4) {
            return Err(Fault::HeaderCrc);
        }
        let owner = match Mutant::AnyIncarnation.is_on() {
            true => Owner { incarnation, ..owner },
            false => owner,
        };
        if incarnation != owner.incarnation {
            return Err(Fault::Incarnation);
        }
        let header = FrameHeader {
            owner: Owner {
                stream: StreamId(u64_at(bytes, 16)),
                shard: ShardId(u32_at(bytes, 24)),
                incarnation,
            },
            flags: u16_at(bytes, 30),
            extension_bytes: u32_at(bytes, 32),
            payload_bytes: u32_at(bytes, 36),
            base: SequenceNumber(u64_at(bytes, 40)),
            count: u32_at(bytes, 48),
            payload_crc: u32_at(bytes, 52),
            first_arrival_ms: u64_at(bytes, 56),
            last_arrival_ms: u64_at(bytes, 64),
            durable_below: SequenceNumber(u64_at(bytes, 72)),
        };
        let possible = header.owner == owner
            && usize::from(u16_at(bytes, 28)) == FRAME_HEADER_BYTES
            && header.flags & !FLAGS_KNOWN == 0
            // No extension exists in this version.
            && header.extension_bytes == 0
            && header.payload_bytes as usize <= FRAME_PAYLOAD_BYTES_MAX
            && header.count >= 1
            && header.base >= SequenceNumber::FIRST
            && header.base.0 <= SEQUENCE_NUMBER_MAX - u64::from(header.count);
        if possible { Ok(header) } else { Err(Fault::Foreign) }
    }

    /// Reads a valid header of that shard in a file whose incarnation is not known.
    pub(crate) fn decode_of(
        bytes: &[u8; FRAME_HEADER_BYTES],
        stream: StreamId,
        shard: ShardId,
    ) -> Option<Self> {
        if bytes[0..4] != MAGIC {
            return None;
        }
        let incarnation = Incarnation(u64_at(bytes, 8));
        FrameHeader::decode(bytes, Owner { stream, shard, incarnation }).ok()
    }

    /// The number behind the frame's last record.
    pub(crate) fn next(&self) -> SequenceNumber {
        self.base.plus(u64::from(self.count))
    }

    /// Bytes of the frame up to where the next one starts.
    pub(crate) fn frame_bytes(&self) -> u64 {
        let bytes = FRAME_HEADER_BYTES as u64
            + u64::from(self.extension_bytes)
            + u64::from(self.payload_bytes);
        bytes.next_multiple_of(FRAME_ALIGNMENT)
    }

    /// Whether the frame stands for lost numbers and holds no records.
    pub(crate) fn is_lost(&self) -> bool {
        self.flags & FLAG_LOST != 0
    }

    /// Whether numbers before the frame were skipped on purpose.
    pub(crate) fn follows_gap(&self) -> bool {
        self.flags & FLAG_GAP != 0
    }

    /// Whether `payload` is what was written.
    pub(crate) fn matches(&self, payload: &[u8]) -> bool {
        self.matches_while(payload, usize::MAX, |_| {})
    }

    /// The same in pieces: after each, `summed` is told where it ends, while its bytes are still
    /// at hand. Nothing is proved by then.
    pub(crate) fn matches_while(
        &self,
        payload: &[u8],
        piece_bytes: usize,
        mut summed: impl FnMut(usize),
    ) -> bool {
        let mut hasher = payload_hasher(self.owner.incarnation);
        let mut end = 0;
        for piece in payload.chunks(piece_bytes) {
            hasher.update(piece);
            end += piece.len();
            summed(end);
        }
        hasher.finalize() == self.payload_crc
    }
}

/// The CRC that a payload (with its extension before it) has in a file of this incarnation.
pub(crate) fn payload_crc(incarnation: Incarnation, payload: &[u8]) -> u32 {
    let mut hasher = payload_hasher(incarnation);
    hasher.update(payload);
    hasher.finalize()
}

fn payload_hasher(incarnation: Incarnation) -> Hasher {
    let mut hasher = Hasher::new();
    hasher.update(&incarnation.0.to_le_bytes());
    hasher
}

fn header_crc(incarnation: Incarnation, header: &[u8; FRAME_HEADER_BYTES]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(&incarnation.0.to_le_bytes());
    hasher.update(&header[0..4]);
    hasher.update(&header[8..]);
    hasher.finalize()
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().expect("two bytes are two bytes"))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes are four bytes"))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes are eight bytes"))
}

pub(crate) fn u128_at(bytes: &[u8], at: usize) -> u128 {
    u128::from_le_bytes(bytes[at..at + 16].try_into().expect("sixteen bytes are sixteen bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn owner() -> Owner {
        Owner { stream: StreamId(3), shard: ShardId(7), incarnation: Incarnation(0x1234_5678) }
    }

    fn header(payload: &[u8]) -> FrameHeader {
        FrameHeader {
            owner: owner(),
            flags: FLAG_GAP,
            extension_bytes: 0,
            payload_bytes: payload.len() as u32,
            base: SequenceNumber(41),
            count: 2,
            payload_crc: payload_crc(owner().incarnation, payload),
            first_arrival_ms: 1_700_000_000_000,
            last_arrival_ms: 1_700_000_000_001,
            durable_below: SequenceNumber(41),
        }
    }

    #[test]
    fn a_header_reads_back_as_it_was_written() {
        let header = header(b"payload");
        assert_eq!(FrameHeader::decode(&header.encode(), owner()), Ok(header));
        assert!(header.matches(b"payload"));
        assert_eq!(header.next(), SequenceNumber(43));
        assert_eq!(header.frame_bytes(), 88);
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_found() {
        let bytes = header(b"payload").encode();
        for bit in 0..FRAME_HEADER_BYTES * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(FrameHeader::decode(&flipped, owner()).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_frame_of_an_earlier_life_of_the_file_is_none_of_ours() {
        let mut old = header(b"payload");
        old.owner.incarnation = Incarnation(99);
        assert_eq!(FrameHeader::decode(&old.encode(), owner()), Err(Fault::Incarnation));
        // The payload's CRC alone tells the two lives apart, too.
        assert!(!old.matches(b"payload"));
    }

    #[test]
    fn values_that_cannot_be_are_refused_although_the_checksum_is_right() {
        let good = header(b"payload");
        let bad = [
            FrameHeader { count: 0, ..good },
            FrameHeader { base: SequenceNumber(0), ..good },
            FrameHeader { base: SequenceNumber(u64::MAX), ..good },
            FrameHeader { payload_bytes: FRAME_PAYLOAD_BYTES_MAX as u32 + 1, ..good },
            FrameHeader { extension_bytes: 1, ..good },
            FrameHeader { flags: 0x8000, ..good },
            FrameHeader { owner: Owner { shard: ShardId(8), ..owner() }, ..good },
            FrameHeader { owner: Owner { stream: StreamId(8), ..owner() }, ..good },
        ];
        for header in bad {
            assert_eq!(FrameHeader::decode(&header.encode(), owner()), Err(Fault::Foreign));
        }
        let zeros = [0; FRAME_HEADER_BYTES];
        assert_eq!(FrameHeader::decode(&zeros, owner()), Err(Fault::Zeros));
    }
}
