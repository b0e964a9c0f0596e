//! The header of a segment: what the file is, and enough to rebuild the catalog from.
//!
//! It stands twice, at offsets 0 and 4096, in different pages: one damaged copy is harmless.
//! Frames begin at [`FRAMES_START`]. The layout is **frozen**; `FORMAT.md` describes it.

use std::path::Path;

use crc32fast::Hasher;

use crate::error::{Error, IoContext, Result, is_unreadable};
use crate::hash_key::{HashKey, HashKeyRange};
use crate::ids::{Incarnation, ShardId, StreamId, StreamName};
use crate::limits::NAME_BYTES_MAX;
use crate::log::frame::{Owner, u32_at, u64_at, u128_at};
use crate::log::index::footer_bytes;
use crate::mutant::Mutant;
use crate::sequence::SequenceNumber;

/// The version of a segment that this program writes, and the newest that it reads. That of the
/// whole directory, which may be higher, is in the catalog.
pub const SEGMENT_FORMAT_VERSION: u32 = 1;

/// Where the first frame of a segment stands.
pub(crate) const FRAMES_START: u64 = 8192;

/// Bytes of one copy of the header.
pub(crate) const HEADER_BYTES: usize = 512;

/// Where the two copies stand.
pub(crate) const HEADER_OFFSETS: [u64; 2] = [0, 4096];

const MAGIC: [u8; 8] = *b"ANABRSEG";
const NO_PARENT: u32 = u32::MAX;

/// What a segment is a part of: the same in all segments of a shard.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ShardIdentity {
    /// The stream's incarnation.
    pub(crate) stream: StreamId,
    /// The stream's name.
    pub(crate) stream_name: StreamName,
    /// When the stream was made, milliseconds since 1970.
    pub(crate) stream_created_ms: u64,
    /// Hours that the stream kept its records when the segment was made.
    pub(crate) retention_hours: u32,
    /// Shards that the stream was made with.
    pub(crate) stream_shards: u32,
    /// The shard.
    pub(crate) shard: ShardId,
    /// Its part of the hash space.
    pub(crate) range: HashKeyRange,
    /// The shards it came from.
    pub(crate) parents: [Option<ShardId>; 2],
    /// When the shard was made, milliseconds since 1970.
    pub(crate) shard_created_ms: u64,
    /// The number of the shard's first record.
    pub(crate) first_sequence: SequenceNumber,
}

/// The header of one segment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct SegmentHeader {
    /// The shard.
    pub(crate) identity: ShardIdentity,
    /// No record of this segment has a lower number.
    pub(crate) base: SequenceNumber,
    /// Random; part of every checksum of the file.
    pub(crate) incarnation: Incarnation,
    /// When the segment was made, milliseconds since 1970.
    pub(crate) created_ms: u64,
    /// Bytes of the file.
    pub(crate) segment_bytes: u64,
}

/// Why bytes are no segment header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum HeaderFault {
    Magic,
    Crc,
    Value,
    Newer { version: u32 },
}

impl SegmentHeader {
    pub(crate) fn owner(&self) -> Owner {
        Owner {
            stream: self.identity.stream,
            shard: self.identity.shard,
            incarnation: self.incarnation,
        }
    }

    /// Whether it is the header of that segment. Anything else in its place is a stranger's file,
    /// be it whole: the numbers in it are those of another log.
    pub(crate) fn is_of(&self, (stream, shard): (StreamId, ShardId), base: SequenceNumber) -> bool {
        let identity = &self.identity;
        (identity.stream, identity.shard, self.base) == (stream, shard, base)
            || Mutant::AnyHeader.is_on()
    }

    /// The first [`FRAMES_START`] bytes of the file: both copies.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let identity = &self.identity;
        let parent = |index: usize| identity.parents[index].map_or(NO_PARENT, |shard| shard.0);
        let name = identity.stream_name.as_str().as_bytes();
        let mut out = [0u8; HEADER_BYTES];
        out[0..8].copy_from_slice(&MAGIC);
        out[8..12].copy_from_slice(&SEGMENT_FORMAT_VERSION.to_le_bytes());
        out[16..24].copy_from_slice(&identity.stream.0.to_le_bytes());
        out[24..28].copy_from_slice(&identity.shard.0.to_le_bytes());
        out[28..32].copy_from_slice(&identity.stream_shards.to_le_bytes());
        out[32..40].copy_from_slice(&self.base.0.to_le_bytes());
        out[40..48].copy_from_slice(&self.incarnation.0.to_le_bytes());
        out[48..56].copy_from_slice(&self.created_ms.to_le_bytes());
        out[56..64].copy_from_slice(&self.segment_bytes.to_le_bytes());
        out[64..80].copy_from_slice(&identity.range.start.0.to_le_bytes());
        out[80..96].copy_from_slice(&identity.range.end.0.to_le_bytes());
        out[96..100].copy_from_slice(&parent(0).to_le_bytes());
        out[100..104].copy_from_slice(&parent(1).to_le_bytes());
        out[104..108].copy_from_slice(&identity.retention_hours.to_le_bytes());
        out[108..112].copy_from_slice(&(name.len() as u32).to_le_bytes());
        out[112..120].copy_from_slice(&identity.stream_created_ms.to_le_bytes());
        out[120..128].copy_from_slice(&identity.shard_created_ms.to_le_bytes());
        out[128..136].copy_from_slice(&identity.first_sequence.0.to_le_bytes());
        out[136..136 + name.len()].copy_from_slice(name);
        let crc = crc(&out);
        out[12..16].copy_from_slice(&crc.to_le_bytes());
        let mut both = vec![0; FRAMES_START as usize];
        for offset in HEADER_OFFSETS {
            both[offset as usize..offset as usize + HEADER_BYTES].copy_from_slice(&out);
        }
        both
    }

    /// Reads one copy.
    pub(crate) fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Self, HeaderFault> {
        if bytes[0..8] != MAGIC {
            return Err(HeaderFault::Magic);
        }
        let version = u32_at(bytes, 8);
        if version > SEGMENT_FORMAT_VERSION {
            return Err(HeaderFault::Newer { version });
        }
        if crc(bytes) != u32_at(bytes, 12) {
            return Err(HeaderFault::Crc);
        }
        let parent = |at| Some(u32_at(bytes, at)).filter(|&id| id != NO_PARENT).map(ShardId);
        let name_bytes = u32_at(bytes, 108) as usize;
        let name = bytes.get(136..136 + name_bytes.min(NAME_BYTES_MAX + 1));
        let stream_name = name.and_then(|name| std::str::from_utf8(name).ok()?.parse().ok());
        let stream_name = stream_name.ok_or(HeaderFault::Value)?;
        let segment_bytes = u64_at(bytes, 56);
        if segment_bytes <= FRAMES_START + footer_bytes(segment_bytes) {
            return Err(HeaderFault::Value);
        }
        Ok(SegmentHeader {
            identity: ShardIdentity {
                stream: StreamId(u64_at(bytes, 16)),
                stream_name,
                stream_created_ms: u64_at(bytes, 112),
                retention_hours: u32_at(bytes, 104),
                stream_shards: u32_at(bytes, 28),
                shard: ShardId(u32_at(bytes, 24)),
                range: HashKeyRange {
                    start: HashKey(u128_at(bytes, 64)),
                    end: HashKey(u128_at(bytes, 80)),
                },
                parents: [parent(96), parent(100)],
                shard_created_ms: u64_at(bytes, 120),
                first_sequence: SequenceNumber(u64_at(bytes, 128)),
            },
            base: SequenceNumber(u64_at(bytes, 32)),
            incarnation: Incarnation(u64_at(bytes, 40)),
            created_ms: u64_at(bytes, 48),
            segment_bytes,
        })
    }

    /// Reads the header of an open file from whichever copy is valid; `Ok(None)` where neither
    /// is. A newer version is refused, not taken for damage, unless the other copy is ours; so
    /// is a header that the medium does not give.
    pub(crate) fn read(file: &dyn crate::fs::File, path: &Path) -> Result<Option<Self>> {
        let (mut newer, mut refused) = (None, None);
        for offset in HEADER_OFFSETS {
            let mut bytes = [0; HEADER_BYTES];
            if let Err(error) = file.read_at(offset, &mut bytes) {
                if is_unreadable(&error) {
                    refused = Some((error, offset));
                }
                continue;
            }
            match SegmentHeader::decode(&bytes) {
                Ok(header) => return Ok(Some(header)),
                Err(HeaderFault::Newer { version }) => newer = Some(version),
                Err(HeaderFault::Magic | HeaderFault::Crc | HeaderFault::Value) => {}
            }
        }
        match (newer, refused) {
            (Some(found), _) => {
                let path = path.to_owned();
                Err(Error::NewerFormat { path, found, known: SEGMENT_FORMAT_VERSION })
            }
            (None, Some((error, offset))) => Err(error).at("read", path, offset),
            (None, None) => Ok(None),
        }
    }
}

fn crc(bytes: &[u8; HEADER_BYTES]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(&bytes[0..12]);
    hasher.update(&bytes[16..]);
    hasher.finalize()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn header() -> SegmentHeader {
        SegmentHeader {
            identity: ShardIdentity {
                stream: StreamId(3),
                stream_name: "orders".parse().unwrap(),
                stream_created_ms: 1_700_000_000_000,
                retention_hours: 24,
                stream_shards: 8,
                shard: ShardId(7),
                range: HashKeyRange { start: HashKey(5), end: HashKey(u128::MAX) },
                parents: [Some(ShardId(1)), None],
                shard_created_ms: 1_700_000_000_500,
                first_sequence: SequenceNumber(17),
            },
            base: SequenceNumber(41),
            incarnation: Incarnation(0x1234_5678),
            created_ms: 1_700_000_001_000,
            segment_bytes: 1 << 20,
        }
    }

    fn copy(bytes: &[u8], offset: u64) -> [u8; HEADER_BYTES] {
        bytes[offset as usize..][..HEADER_BYTES].try_into().unwrap()
    }

    #[test]
    fn both_copies_read_back_as_they_were_written() {
        let bytes = header().encode();
        for offset in HEADER_OFFSETS {
            assert_eq!(SegmentHeader::decode(&copy(&bytes, offset)), Ok(header()));
        }
    }

    #[test]
    fn every_flipped_bit_of_a_copy_is_found() {
        let bytes = copy(&header().encode(), 0);
        for bit in 0..HEADER_BYTES * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentHeader::decode(&flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_newer_version_is_told_apart_from_damage() {
        let mut bytes = copy(&header().encode(), 0);
        bytes[8] = 2;
        assert_eq!(SegmentHeader::decode(&bytes), Err(HeaderFault::Newer { version: 2 }));
    }
}
