//! Records in: a stream of batches from one shard or from all of them, by pull or by push.
//!
//! A [`Reader`] has one task per shard, and a queue of one place in front of its owner, so a
//! task has at most one page in hand: a slow owner makes the tasks wait, and the server holds
//! nothing for them, because their place is a position in the log.
//!
//! Order is that of the shard. Between shards there is none, except that a child's records
//! never come before all of its parents', so a key's records keep their order when shards are
//! split and merged. [`lineage`] decides which shard may be read when. What interrupts reading
//! does not lose the place: an expired iterator is renewed, a subscription that ends after its
//! five minutes or with its connection is made again behind the last record. Damage is an
//! [`Item`] of its own, and reading goes on behind it; so is the end of a shard.
//!
//! With [`ReaderBuilder::until_tip`] the reader ends at the tip as it was at the start,
//! however much is put meanwhile. How it knows is told in [`tip`].

mod builder;
mod lineage;
mod pull;
mod push;
mod reader;
mod shard;
mod tip;

use std::sync::Arc;

use anabranch_proto::v1;

pub use self::builder::ReaderBuilder;
pub use self::reader::Reader;
use crate::error::DataLoss;

/// Where to start in a shard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Position {
    /// At the oldest record that is kept.
    TrimHorizon,
    /// Behind the newest record.
    Latest,
    /// At this number, or the next one that exists.
    AtSequenceNumber(u64),
    /// Behind this number.
    AfterSequenceNumber(u64),
    /// At the first record that arrived at this time or later, in milliseconds since 1970.
    AtTimestamp(u64),
}

impl Position {
    pub(crate) fn to_starting_position(self) -> v1::StartingPosition {
        use v1::ShardIteratorType as Type;
        let (kind, sequence_number, timestamp_ms) = match self {
            Position::TrimHorizon => (Type::TrimHorizon, None, None),
            Position::Latest => (Type::Latest, None, None),
            Position::AtSequenceNumber(number) => (Type::AtSequenceNumber, Some(number), None),
            Position::AfterSequenceNumber(number) => {
                (Type::AfterSequenceNumber, Some(number), None)
            }
            Position::AtTimestamp(timestamp_ms) => (Type::AtTimestamp, None, Some(timestamp_ms)),
        };
        v1::StartingPosition {
            r#type: kind.into(),
            sequence_number,
            timestamp_ms,
            kinesis_sequence_number: None,
        }
    }
}

/// Records of one shard, in order.
#[derive(Clone, PartialEq, Debug)]
pub struct Batch {
    /// The shard, as the API writes it.
    pub shard_id: Arc<str>,
    /// The records; never empty.
    pub records: Vec<v1::Record>,
    /// How far behind the newest record this is, in milliseconds; 0 at the tip.
    pub millis_behind_latest: u64,
    /// Where reading goes on.
    pub next: Position,
}

/// A range of a shard that cannot be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Damage {
    /// The shard, as the API writes it.
    pub shard_id: Arc<str>,
    /// What is lost, and where.
    pub loss: DataLoss,
}

/// The end of a closed shard: a reader has been given all of its records.
#[derive(Clone, PartialEq, Debug)]
pub struct ShardEnd {
    /// The shard, as the API writes it.
    pub shard_id: Arc<str>,
    /// The shards that follow it: two after a split, one after a merge.
    pub children: Vec<v1::ChildShard>,
}

/// What a [`Reader`] gives.
#[derive(Clone, PartialEq, Debug)]
pub enum Item {
    /// Records.
    Batch(Batch),
    /// Records that are lost. Reading goes on behind them.
    Damage(Damage),
    /// A closed shard is at its end. A reader of all shards goes on with its children by itself.
    /// Where a reader ends at a tip there is no such item.
    End(ShardEnd),
}

#[cfg(test)]
mod tests;
