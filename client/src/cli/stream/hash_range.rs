//! Hash keys and their ranges: decimal numbers below 2^128 in the API, and positions on a line.

use anabranch_proto::v1;

/// A range of hash keys, both ends included.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct HashRange {
    pub(super) first: u128,
    pub(super) last: u128,
}

impl HashRange {
    /// Every hash key there is.
    pub(super) const ALL: HashRange = HashRange { first: 0, last: u128::MAX };

    /// A range as the API writes it; all keys where it does not make sense, which only a server
    /// of another make could send.
    pub(super) fn of(range: Option<&v1::HashKeyRange>) -> HashRange {
        let number = |text: &str| text.parse().ok();
        range
            .and_then(|range| {
                let first = number(&range.starting_hash_key)?;
                let last = number(&range.ending_hash_key)?;
                (first <= last).then_some(HashRange { first, last })
            })
            .unwrap_or(HashRange::ALL)
    }

    /// The hash key at which its second half begins; none where there are too few for two
    /// children of two keys, which is the least that the API accepts.
    pub(super) fn middle(self) -> Option<u128> {
        let half = (self.last - self.first) / 2;
        (half >= 1).then(|| self.first + half + 1).filter(|middle| self.may_split_at(*middle))
    }

    /// Whether the API splits a shard of this range at a hash key.
    pub(super) fn may_split_at(self, key: u128) -> bool {
        key > self.first.saturating_add(1) && key < self.last
    }

    /// Whether the other range begins where this one ends, or the other way round.
    pub(super) fn touches(self, other: HashRange) -> bool {
        self.last.checked_add(1) == Some(other.first)
            || other.last.checked_add(1) == Some(self.first)
    }

    /// The part of all hash keys that lies in it, 0 to 1.
    pub(super) fn share(self) -> f64 {
        ((self.last - self.first) as f64 + 1.0) / SPACE
    }
}

/// How many hash keys there are.
const SPACE: f64 = 340_282_366_920_938_463_463_374_607_431_768_211_456.0;

/// Where a hash key lies among all, 0 to 1.
pub(super) fn place(key: u128) -> f64 {
    key as f64 / SPACE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_halves_a_range_and_small_ones_have_none() {
        assert_eq!(HashRange::ALL.middle(), Some(1 << 127));
        let of = |first, last| HashRange { first, last };
        assert_eq!(of(10, 19).middle(), Some(15));
        assert_eq!(of(0, 3).middle(), Some(2));
        assert_eq!(of(0, 2).middle(), None);
        assert_eq!(of(7, 7).middle(), None);
        assert_eq!(of(u128::MAX - 3, u128::MAX).middle(), Some(u128::MAX - 1));
    }

    #[test]
    fn neighbours_touch_and_the_ends_of_the_space_do_not() {
        let (left, right) = (HashRange { first: 0, last: 9 }, HashRange { first: 10, last: 20 });
        assert!(left.touches(right) && right.touches(left));
        let far = HashRange { first: 21, last: u128::MAX };
        assert!(!left.touches(far) && !far.touches(left) && right.touches(far));
        assert!((HashRange::ALL.share() - 1.0).abs() < 1e-12);
        assert!((place(1 << 126) - 0.25).abs() < 1e-12);
    }
}
