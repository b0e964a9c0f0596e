//! The hash space: 128 bits, tiled by the open shards of a stream.

mod md5_lanes;

use std::fmt;
use std::str::FromStr;

use md5::{Digest, Md5};

use self::md5_lanes::{LANES, SHORT_BYTES_MAX};
use crate::error::InvalidName;
use crate::record::{PartitionKey, RecordView};

/// So many keys are worth hashing side by side, whether all lanes are used or not: they cost as
/// much as nine keys one after the other.
const SIDE_BY_SIDE_MIN: usize = 12;

/// A position in the hash space, 0 to 2^128 - 1. Its text is decimal, as in the API.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct HashKey(pub u128);

impl HashKey {
    /// MD5 of the key's UTF-8 bytes as an unsigned big-endian number: the service's rule.
    pub fn of(key: PartitionKey<'_>) -> HashKey {
        HashKey(u128::from_be_bytes(Md5::digest(key.as_str().as_bytes()).into()))
    }

    /// [`RecordView::hash_key`] of each record, in their order, and cheaper than one by one.
    pub fn of_records(records: &[RecordView<'_>]) -> impl Iterator<Item = HashKey> {
        records.chunks(LANES).flat_map(|few| HashKey::of_few(few).into_iter().take(few.len()))
    }

    fn of_few(records: &[RecordView<'_>]) -> [HashKey; LANES] {
        let mut keys = [HashKey(0); LANES];
        if records.len() < SIDE_BY_SIDE_MIN {
            keys.iter_mut().zip(records).for_each(|(key, record)| *key = record.hash_key());
            return keys;
        }
        let mut short: [&[u8]; LANES] = [&[]; LANES];
        for (short, record) in short.iter_mut().zip(records) {
            let key = record.key.as_str().as_bytes();
            if key.len() <= SHORT_BYTES_MAX {
                *short = key;
            }
        }
        let digests = md5_lanes::digests(&short);
        for ((key, record), digest) in keys.iter_mut().zip(records).zip(digests) {
            let is_hashed =
                record.explicit_hash_key.is_none() && record.key.as_str().len() <= SHORT_BYTES_MAX;
            *key = match is_hashed {
                true => HashKey(u128::from_be_bytes(digest)),
                false => record.hash_key(),
            };
        }
        keys
    }
}

impl fmt::Display for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl FromStr for HashKey {
    type Err = InvalidName;

    /// Decimal without sign or leading zeros (API model: `0|([1-9]\d{0,38})`), below 2^128.
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let plain = text == "0" || (!text.starts_with('0') && !text.starts_with('+'));
        let value = text.parse().ok().filter(|_| plain);
        value.map(HashKey).ok_or(InvalidName::HashKey)
    }
}

/// The part of the hash space that a shard owns, both ends inclusive.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct HashKeyRange {
    /// The lowest hash key of the shard.
    pub start: HashKey,
    /// The highest hash key of the shard.
    pub end: HashKey,
}

impl HashKeyRange {
    /// Whether the shard owns `key`.
    pub fn contains(&self, key: HashKey) -> bool {
        self.start <= key && key <= self.end
    }

    /// The ranges of a new stream: `count` equal steps of floor(2^128 / count), the last one
    /// reaching to the end, as the service makes them. `count` is at least 1.
    pub fn tile(count: u32) -> impl Iterator<Item = HashKeyRange> {
        assert!(count >= 1, "a stream has at least one shard");
        let count = u128::from(count);
        // floor(2^128 / n) without 129-bit arithmetic.
        // (For one shard it wraps to 0, and is not used.)
        let step = (u128::MAX / count).wrapping_add(u128::from(u128::MAX % count == count - 1));
        (0..count).map(move |index| HashKeyRange {
            start: HashKey(index.wrapping_mul(step)),
            end: HashKey(match index == count - 1 {
                true => u128::MAX,
                false => (index + 1) * step - 1,
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_a_new_stream_tile_the_space() {
        for count in [1, 2, 3, 4, 7, 1000, 10_000] {
            let ranges: Vec<_> = HashKeyRange::tile(count).collect();
            assert_eq!(ranges.len(), count as usize);
            assert_eq!(ranges[0].start, HashKey(0));
            assert_eq!(ranges[ranges.len() - 1].end, HashKey(u128::MAX));
            for pair in ranges.windows(2) {
                assert_eq!(pair[0].end.0 + 1, pair[1].start.0);
            }
        }
        // The service's own figures for three shards.
        let second = HashKeyRange::tile(3).nth(1).unwrap();
        assert_eq!(second.start.to_string(), "113427455640312821154458202477256070485");
        assert_eq!(HashKeyRange::tile(2).nth(1).unwrap().start, HashKey(1 << 127));
    }

    #[test]
    fn the_hash_of_a_key_is_its_md5() {
        let key = PartitionKey::from_bytes(b"a").unwrap();
        assert_eq!(HashKey::of(key), HashKey(0x0cc1_75b9_c0f1_b6a8_31c3_99e2_6977_2661));
    }

    #[test]
    fn records_hashed_together_have_the_hash_keys_that_each_has_by_itself() {
        let keys: Vec<String> = (1..80).map(|len| "k".repeat(len)).collect();
        let record = |(index, key): (usize, &'static str)| {
            let explicit = (index % 5 == 3).then_some(HashKey(index as u128));
            let key = PartitionKey::from_bytes(key.as_bytes()).unwrap();
            RecordView::new(key, explicit, b"").unwrap()
        };
        let keys = keys.leak().iter().map(String::as_str);
        let records: Vec<_> = keys.enumerate().map(record).collect();
        for count in 0..records.len() {
            let each: Vec<_> = records[..count].iter().map(RecordView::hash_key).collect();
            assert_eq!(HashKey::of_records(&records[..count]).collect::<Vec<_>>(), each);
        }
    }

    #[test]
    fn hash_keys_are_plain_decimal_numbers_below_two_to_the_128() {
        let max = "340282366920938463463374607431768211455";
        assert_eq!(max.parse(), Ok(HashKey(u128::MAX)));
        assert_eq!("0".parse(), Ok(HashKey(0)));
        for bad in ["", "-1", "+1", "01", "0x1", "1e3", "340282366920938463463374607431768211456"] {
            assert_eq!(bad.parse::<HashKey>(), Err(InvalidName::HashKey), "{bad}");
        }
    }
}
