//! The records of a bench. Their first bytes say which run and which producer they come from,
//! the how many-th of that producer they are and when they were due; the rest is filler.
//!
//! ```text
//!   0        8          12     16        24      32
//!   | run    | producer | 0    | number  | due   | filler ... |
//! ```
//!
//! With it a subscriber in the same process knows how long a record took, and a check knows
//! of every record that it reads whether it is one of ours, which one, and whether a byte of
//! it has changed.

use bytes::{Bytes, BytesMut};

use crate::producer::Record;

/// Bytes of the stamp at the beginning of the data.
pub(super) const STAMP_BYTES: usize = 32;
/// Bytes of every partition key.
pub(super) const KEY_BYTES: usize = 8;
/// Bytes of key and data at least.
pub(super) const RECORD_BYTES_MIN: usize = KEY_BYTES + STAMP_BYTES;
/// Partition keys in use: enough that 1,000 shards get their share.
const KEYS: u64 = 1 << 14;

/// What a record says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stamp {
    pub(super) run: u64,
    pub(super) producer: u32,
    /// Counted from 0, for each producer.
    pub(super) number: u64,
    /// When it was due, in nanoseconds since the run began.
    pub(super) due_nanos: u64,
}

impl Stamp {
    fn encode(self) -> [u8; STAMP_BYTES] {
        let mut bytes = [0; STAMP_BYTES];
        bytes[0..8].copy_from_slice(&self.run.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.producer.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.number.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.due_nanos.to_le_bytes());
        bytes
    }

    /// The stamp of a record's data, if it is one of this run.
    pub(super) fn decode(data: &[u8], run: u64) -> Option<Stamp> {
        let word = |at: usize| {
            let bytes = data.get(at..at + 8)?;
            Some(u64::from_le_bytes(bytes.try_into().expect("eight bytes were taken")))
        };
        let stamp = Stamp {
            run: word(0)?,
            producer: u32::try_from(word(8)?).ok()?,
            number: word(16)?,
            due_nanos: word(24)?,
        };
        (stamp.run == run).then_some(stamp)
    }
}

/// Makes the records of one run.
#[derive(Clone, Debug)]
pub(super) struct Payload {
    run: u64,
    /// Of every record, behind the stamp. Random, so that nothing on the way compresses it.
    filler: Bytes,
}

impl Payload {
    /// Records of `record_bytes`, key and data together.
    pub(super) fn new(run: u64, record_bytes: usize) -> Payload {
        let mut random = fastrand::Rng::with_seed(run);
        let filler: Vec<u8> = (RECORD_BYTES_MIN..record_bytes).map(|_| random.u8(..)).collect();
        Payload { run, filler: filler.into() }
    }

    /// Bytes of each record, key and data together.
    pub(super) fn record_bytes(&self) -> usize {
        RECORD_BYTES_MIN + self.filler.len()
    }

    /// The next `count` records of a producer, the first of which has this number. They share
    /// one allocation, but for their keys.
    pub(super) fn batch(
        &self,
        producer: u32,
        first_number: u64,
        count: usize,
        due_nanos: u64,
    ) -> Vec<Record> {
        let data_bytes = STAMP_BYTES + self.filler.len();
        let mut all = BytesMut::with_capacity(count * data_bytes);
        for number in first_number..first_number + count as u64 {
            let stamp = Stamp { run: self.run, producer, number, due_nanos };
            all.extend_from_slice(&stamp.encode());
            all.extend_from_slice(&self.filler);
        }
        let mut all = all.freeze();
        (first_number..first_number + count as u64)
            .map(|number| Record::new(key(producer, number), all.split_to(data_bytes)))
            .collect()
    }

    /// Whether the filler behind the stamp is what it was.
    pub(super) fn is_intact(&self, data: &[u8]) -> bool {
        data.get(STAMP_BYTES..) == Some(&*self.filler)
    }
}

/// A producer goes round the keys; two producers do not go in step.
fn key(producer: u32, number: u64) -> String {
    let turn = number.wrapping_add(u64::from(producer).wrapping_mul(KEYS / 7)) % KEYS;
    let key = format!("{turn:08x}");
    debug_assert_eq!(key.len(), KEY_BYTES);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_says_where_it_comes_from_and_has_the_size_that_was_asked_for() {
        for record_bytes in [RECORD_BYTES_MIN, RECORD_BYTES_MIN + 1, 1024] {
            let payload = Payload::new(7, record_bytes);
            assert_eq!(payload.record_bytes(), record_bytes);
            let batch = payload.batch(3, 100, 5, 42);
            for (number, record) in (100..).zip(&batch) {
                assert_eq!(record.bytes(), record_bytes);
                let expected = Stamp { run: 7, producer: 3, number, due_nanos: 42 };
                assert_eq!(Stamp::decode(&record.data, 7), Some(expected));
                assert!(payload.is_intact(&record.data));
            }
            assert_eq!(batch.len(), 5);
        }
    }

    #[test]
    fn what_others_put_is_not_taken_for_ours() {
        let payload = Payload::new(7, 100);
        let record = payload.batch(0, 0, 1, 0).remove(0);
        assert_eq!(Stamp::decode(&record.data, 8), None);
        assert_eq!(Stamp::decode(b"a line of text", 7), None);
        let mut changed = record.data.to_vec();
        *changed.last_mut().unwrap() ^= 1;
        assert!(!payload.is_intact(&changed));
        assert!(!payload.is_intact(&changed[..60]));
    }
}
