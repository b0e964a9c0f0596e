//! Sequence numbers: the position of a record in its shard.

use std::fmt;

/// A record's number in its shard: from 1, rising along a lineage, never used twice.
///
/// 0 is never a record; as a position it stands before the first one. Numbers are dense but
/// for flagged gaps, which damage and failed commits leave behind.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct SequenceNumber(pub u64);

impl SequenceNumber {
    /// The number of the first record of a shard without parents.
    pub const FIRST: SequenceNumber = SequenceNumber(1);

    /// The number that follows this one.
    #[must_use]
    pub fn next(self) -> SequenceNumber {
        self.plus(1)
    }

    /// The number `count` further on. A shard cannot hold 2^64 records: at ten million a
    /// second that is 58,000 years, so an overflow is a bug and panics.
    #[must_use]
    pub fn plus(self, count: u64) -> SequenceNumber {
        SequenceNumber(self.0.checked_add(count).expect("a shard holds fewer than 2^64 records"))
    }
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
