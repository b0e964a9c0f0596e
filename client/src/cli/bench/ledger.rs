//! What was acknowledged, in little memory: a bit for each record, and one sum over where all
//! of them went.
//!
//! A read of everything gives the same bits and the same sum if every acknowledged record
//! stands once, under the number that its producer was told. The sum is of a hash of (number,
//! shard, sequence number), so the order in which answers come does not matter.

use crate::producer::Placed;

/// The acknowledged records of one producer.
#[derive(Clone, Default, Debug)]
pub(super) struct Ledger {
    acknowledged: Vec<u64>,
    count: u64,
    sum: u64,
}

impl Ledger {
    /// Notes that a record stands there. False if it was noted before.
    pub(super) fn note(&mut self, number: u64, placed: Placed) -> bool {
        let (word, bit) = ((number / 64) as usize, 1 << (number % 64));
        if self.acknowledged.len() <= word {
            self.acknowledged.resize(word + 1, 0);
        }
        if self.acknowledged[word] & bit != 0 {
            return false;
        }
        self.acknowledged[word] |= bit;
        self.count += 1;
        self.sum = self.sum.wrapping_add(hash(number, placed));
        true
    }

    /// Whether this record is noted.
    pub(super) fn has(&self, number: u64) -> bool {
        let word = self.acknowledged.get((number / 64) as usize);
        word.is_some_and(|word| word & (1 << (number % 64)) != 0)
    }

    /// How many are noted.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Whether both note the same records at the same places.
    pub(super) fn agrees(&self, other: &Ledger) -> bool {
        (self.count, self.sum) == (other.count, other.sum)
    }

    /// How many are noted here and not there.
    pub(super) fn missing_in(&self, other: &Ledger) -> u64 {
        let there = other.acknowledged.iter().copied().chain(std::iter::repeat(0));
        self.acknowledged
            .iter()
            .zip(there)
            .map(|(here, there)| u64::from((here & !there).count_ones()))
            .sum()
    }
}

/// Three rounds of multiplying and folding, as the finalisers of common hashes do.
fn hash(number: u64, placed: Placed) -> u64 {
    [number, u64::from(placed.shard_index), placed.sequence_number].into_iter().fold(
        0x9e37_79b9_7f4a_7c15,
        |hash: u64, word| {
            let mixed = (hash ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd);
            mixed ^ (mixed >> 32)
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(sequence_number: u64) -> Placed {
        Placed { shard_index: 1, sequence_number }
    }

    #[test]
    fn ledgers_agree_whatever_the_order_and_differ_in_a_place() {
        let (mut here, mut there) = (Ledger::default(), Ledger::default());
        for number in 0..200 {
            assert!(here.note(number, placed(number + 1)));
            assert!(there.note(199 - number, placed(200 - number)));
        }
        assert!(here.agrees(&there));
        assert_eq!(here.missing_in(&there), 0);
        assert!(!here.note(5, placed(6)), "noted before");

        here.note(200, placed(201));
        there.note(200, placed(202));
        assert_eq!(here.missing_in(&there), 0);
        assert!(!here.agrees(&there), "one stands elsewhere");
    }

    #[test]
    fn what_is_missing_is_counted() {
        let (mut here, mut there) = (Ledger::default(), Ledger::default());
        for number in 0..1000 {
            here.note(number, placed(number));
        }
        there.note(500, placed(500));
        assert_eq!(here.missing_in(&there), 999);
        assert_eq!(there.missing_in(&here), 0);
        assert!(there.has(500) && !there.has(501) && !there.has(1 << 40));
        assert_eq!(here.count(), 1000);
    }
}
