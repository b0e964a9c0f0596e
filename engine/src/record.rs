//! A record, and the one encoding it ever has.
//!
//! A record is encoded once, when it is put, as an entry of the field `records` (number 1) of
//! `GetRecordsResponse` and `SubscribeToShardEvent`: tag, length, message. The bytes on disk
//! are the bytes on the wire, so the layout is **frozen** here and in `FORMAT.md`:
//!
//! ```text
//! 0a LEN                          entry of field 1, length-delimited
//!   09 SEQUENCE (fixed64)         1  sequence_number
//!   11 ARRIVAL  (fixed64, ms)     2  arrival_time_ms
//!   1a LEN KEY                    3  partition_key; left out where the record has none
//!   22 LEN DATA                   4  data; left out where it is empty, as prost does
//! ```
//!
//! Number and arrival time are of constant width, so the length of an entry is known before
//! its number is.

use crate::error::RecordError;
use crate::hash_key::HashKey;
use crate::limits::{PARTITION_KEY_CHARS_MAX, RECORD_BYTES_MAX};
use crate::sequence::SequenceNumber;

/// A partition key: 1 to 256 Unicode characters, or none where a stream routes records by itself.
/// Once it exists it is valid.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PartitionKey<'a>(&'a str);

impl<'a> PartitionKey<'a> {
    /// Checks the bytes of a key: UTF-8, not empty, at most 256 characters.
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self, RecordError> {
        if bytes.is_empty() {
            return Err(RecordError::KeyEmpty);
        }
        PartitionKey::from_bytes_or_none(bytes)
    }

    /// The same, but empty bytes are no key. Streams of [`Distribution::Auto`] take records without
    /// one, and no others: whoever puts such a record has looked at the stream's settings.
    ///
    /// [`Distribution::Auto`]: crate::settings::Distribution::Auto
    pub fn from_bytes_or_none(bytes: &'a [u8]) -> Result<Self, RecordError> {
        let text = std::str::from_utf8(bytes).map_err(|_| RecordError::KeyNotUtf8)?;
        // A character has at least one byte: most keys need no count.
        if text.len() > PARTITION_KEY_CHARS_MAX {
            let chars = text.chars().count();
            if chars > PARTITION_KEY_CHARS_MAX {
                return Err(RecordError::KeyTooLong { chars });
            }
        }
        Ok(PartitionKey(text))
    }

    /// The key's text; empty where there is none.
    pub fn as_str(self) -> &'a str {
        self.0
    }
}

/// A record that is about to be put, borrowed from the request it came in.
#[derive(Clone, Copy, Debug)]
pub struct RecordView<'a> {
    /// Routes the record, unless `explicit_hash_key` does.
    pub key: PartitionKey<'a>,
    /// Routes the record in place of the key's MD5.
    pub explicit_hash_key: Option<HashKey>,
    /// The payload; may be empty.
    pub data: &'a [u8],
}

impl<'a> RecordView<'a> {
    /// Checks that key and data together are at most 10 MiB. A stream may allow fewer.
    pub fn new(
        key: PartitionKey<'a>,
        explicit_hash_key: Option<HashKey>,
        data: &'a [u8],
    ) -> Result<Self, RecordError> {
        let bytes = key.as_str().len() + data.len();
        if bytes > RECORD_BYTES_MAX {
            return Err(RecordError::TooLarge { bytes, max: RECORD_BYTES_MAX });
        }
        Ok(RecordView { key, explicit_hash_key, data })
    }

    /// Where the record goes: the explicit hash key, or the MD5 of the partition key.
    pub fn hash_key(&self) -> HashKey {
        self.explicit_hash_key.unwrap_or_else(|| HashKey::of(self.key))
    }

    /// What counts against limits: bytes of key and data.
    pub fn bytes(&self) -> usize {
        self.key.as_str().len() + self.data.len()
    }

    /// Bytes of the encoded entry.
    pub fn encoded_len(&self) -> usize {
        let message = self.message_len();
        1 + varint_len(message as u64) + message
    }

    fn message_len(&self) -> usize {
        let field = |len: usize| 1 + varint_len(len as u64) + len;
        let unless_empty = |len| if len == 0 { 0 } else { field(len) };
        FIXED_LEN + unless_empty(self.key.as_str().len()) + unless_empty(self.data.len())
    }

    /// Appends the entry to `out`. The only place where a record is copied.
    pub fn encode(&self, sequence: SequenceNumber, arrival_ms: u64, out: &mut Vec<u8>) {
        let key = self.key.as_str().as_bytes();
        let mut head = [0u8; 40];
        head[0] = ENTRY_TAG;
        let mut at = 1 + put_varint(&mut head[1..], self.message_len() as u64);
        head[at] = SEQUENCE_TAG;
        head[at + 1..at + 9].copy_from_slice(&sequence.0.to_le_bytes());
        head[at + 9] = ARRIVAL_TAG;
        head[at + 10..at + 18].copy_from_slice(&arrival_ms.to_le_bytes());
        at += FIXED_LEN;
        if !key.is_empty() {
            head[at] = KEY_TAG;
            at += 1;
            at += put_varint(&mut head[at..], key.len() as u64);
        }
        out.extend_from_slice(&head[..at]);
        out.extend_from_slice(key);
        if !self.data.is_empty() {
            let mut head = [0u8; 11];
            head[0] = DATA_TAG;
            let len = 1 + put_varint(&mut head[1..], self.data.len() as u64);
            out.extend_from_slice(&head[..len]);
            out.extend_from_slice(self.data);
        }
    }
}

const ENTRY_TAG: u8 = 0x0a;
const SEQUENCE_TAG: u8 = 0x09;
const ARRIVAL_TAG: u8 = 0x11;
const KEY_TAG: u8 = 0x1a;
const DATA_TAG: u8 = 0x22;
/// Both fixed64 fields with their tags.
const FIXED_LEN: usize = 18;

/// An encoded record, read back from a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EncodedRecord<'a> {
    /// The record's number.
    pub sequence: SequenceNumber,
    /// The server's time when it was put, in milliseconds since 1970.
    pub arrival_ms: u64,
    /// The partition key; empty where the record has none.
    pub key: &'a [u8],
    /// The payload.
    pub data: &'a [u8],
    /// Bytes of the whole entry, tag and length included.
    pub entry_bytes: usize,
}

impl<'a> EncodedRecord<'a> {
    /// Reads the entry at the start of `bytes`; `None` where there is no whole, well-formed one.
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (border, message) = entry(bytes)?;
        let (sequence, rest) = fixed64(message, SEQUENCE_TAG)?;
        let (arrival_ms, rest) = fixed64(rest, ARRIVAL_TAG)?;
        let (key, rest) = match rest.first() {
            Some(&KEY_TAG) => delimited(rest, KEY_TAG)?,
            _ => (&[][..], rest),
        };
        let (data, rest) = if rest.is_empty() { (rest, rest) } else { delimited(rest, DATA_TAG)? };
        rest.is_empty().then_some(EncodedRecord {
            sequence: SequenceNumber(sequence),
            arrival_ms,
            key,
            data,
            entry_bytes: border,
        })
    }
}

/// The length of the entry at the start of `bytes` and its message, borders only.
pub(crate) fn entry(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (message, rest) = delimited(bytes, ENTRY_TAG)?;
    Some((bytes.len() - rest.len(), message))
}

/// Lengths of entries, one after the other.
///
/// Where each next border is only known once the length before it has come from memory, a walk
/// over records of 1 KiB waits for every one of them. Entries often are as long as the one
/// before: then the next border follows from what is known, and the processor, which guesses that
/// it will be so again, has several of them under way.
#[derive(Default)]
pub(crate) struct EntryLengths {
    /// The first bytes of the last entry, with tag and length, and how long it is as a whole.
    last: Option<([u8; 3], usize)>,
}

impl EntryLengths {
    /// The length of the entry at the start of `bytes`, tag and length included.
    #[inline]
    pub(crate) fn of(&mut self, bytes: &[u8]) -> Option<usize> {
        let head = *bytes.first_chunk::<3>()?;
        if let Some((same, len)) = self.last
            && head == same
        {
            return (len <= bytes.len()).then_some(len);
        }
        let (len, _) = entry(bytes)?;
        // Two bytes of length at most, so that these three tell it: up to 16 KiB.
        if head[1] < 0x80 || head[2] < 0x80 {
            self.last = Some((head, len));
        }
        Some(len)
    }
}

/// Number and arrival time of an entry, without looking at key and data.
pub(crate) fn entry_stamp(message: &[u8]) -> Option<(SequenceNumber, u64)> {
    let (sequence, rest) = fixed64(message, SEQUENCE_TAG)?;
    let (arrival_ms, _) = fixed64(rest, ARRIVAL_TAG)?;
    Some((SequenceNumber(sequence), arrival_ms))
}

fn fixed64(bytes: &[u8], tag: u8) -> Option<(u64, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let (value, rest) = rest.split_first_chunk::<8>()?;
    (first == tag).then_some((u64::from_le_bytes(*value), rest))
}

fn delimited(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    if first != tag {
        return None;
    }
    let (len, rest) = get_varint(rest)?;
    let len = usize::try_from(len).ok()?;
    (len <= rest.len()).then(|| rest.split_at(len))
}

fn varint_len(value: u64) -> usize {
    // Seven bits a byte; zero takes one.
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

fn put_varint(out: &mut [u8], mut value: u64) -> usize {
    let mut len = 0;
    while value >= 0x80 {
        out[len] = value as u8 | 0x80;
        value >>= 7;
        len += 1;
    }
    out[len] = value as u8;
    len + 1
}

fn get_varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    // Ten bytes hold 64 bits; an eleventh is malformed.
    for (index, &byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            return Some((value, &bytes[index + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view<'a>(key: &'a str, data: &'a [u8]) -> RecordView<'a> {
        let key = PartitionKey::from_bytes(key.as_bytes()).unwrap();
        RecordView::new(key, None, data).unwrap()
    }

    #[test]
    fn a_record_reads_back_as_it_was_encoded_and_has_the_length_foretold() {
        let large = vec![7u8; RECORD_BYTES_MAX - 1];
        let long_key = "ä".repeat(256);
        let no_key = PartitionKey::from_bytes_or_none(b"").unwrap();
        let cases = [
            view("k", b""),
            view("k", b"x"),
            view(&long_key, &[0; 127]),
            view("k", &large),
            RecordView::new(no_key, None, b"").unwrap(),
            RecordView::new(no_key, None, &[1; 200]).unwrap(),
        ];
        let mut lengths = EntryLengths::default();
        for record in cases {
            let mut out = b"before".to_vec();
            record.encode(SequenceNumber(u64::MAX - 1), 1_700_000_000_000, &mut out);
            let entry = &out[6..];
            assert_eq!(entry.len(), record.encoded_len());
            let decoded = EncodedRecord::decode(entry).unwrap();
            assert_eq!(decoded.sequence, SequenceNumber(u64::MAX - 1));
            assert_eq!(decoded.arrival_ms, 1_700_000_000_000);
            assert_eq!(decoded.key, record.key.as_str().as_bytes());
            assert_eq!(decoded.data, record.data);
            assert_eq!(decoded.entry_bytes, entry.len());
            assert_eq!(lengths.of(entry), Some(entry.len()));
            assert_eq!(lengths.of(&out[6..]), Some(entry.len()));
        }
    }

    #[test]
    fn every_prefix_of_an_entry_is_refused() {
        let mut out = Vec::new();
        view("key", b"data of some length".repeat(8).as_slice()).encode(
            SequenceNumber(1),
            1,
            &mut out,
        );
        let mut lengths = EntryLengths::default();
        assert_eq!(lengths.of(&out), Some(out.len()));
        for len in 0..out.len() {
            assert_eq!(EncodedRecord::decode(&out[..len]), None, "{len}");
            assert_eq!(lengths.of(&out[..len]), None, "{len}");
        }
    }

    #[test]
    fn keys_and_records_are_refused_by_size_and_encoding() {
        assert_eq!(PartitionKey::from_bytes(b""), Err(RecordError::KeyEmpty));
        assert!(PartitionKey::from_bytes_or_none(b"").unwrap().as_str().is_empty());
        for bad in [&b"\xff"[..], "ä".repeat(257).as_bytes()] {
            let refused = PartitionKey::from_bytes(bad).unwrap_err();
            assert_eq!(PartitionKey::from_bytes_or_none(bad), Err(refused));
        }
        assert_eq!(PartitionKey::from_bytes(b"\xff"), Err(RecordError::KeyNotUtf8));
        let long = "ä".repeat(257);
        assert_eq!(
            PartitionKey::from_bytes(long.as_bytes()),
            Err(RecordError::KeyTooLong { chars: 257 })
        );
        let key = PartitionKey::from_bytes(b"k").unwrap();
        let data = vec![0; RECORD_BYTES_MAX];
        let (bytes, max) = (RECORD_BYTES_MAX + 1, RECORD_BYTES_MAX);
        let refused = RecordView::new(key, None, &data).err();
        assert_eq!(refused, Some(RecordError::TooLarge { bytes, max }));
        assert!(RecordView::new(key, None, &data[1..]).is_ok());
    }

    #[test]
    fn varints_have_the_length_of_their_value() {
        for (value, len) in [(0, 1), (127, 1), (128, 2), (16_383, 2), (16_384, 3), (u64::MAX, 10)] {
            let mut out = [0; 10];
            assert_eq!(varint_len(value), len);
            assert_eq!(put_varint(&mut out, value), len);
            assert_eq!(get_varint(&out[..len]), Some((value, &[][..])));
        }
        assert_eq!(get_varint(&[0x80; 11]), None);
    }
}
