//! How streams, shards and consumers are shown.

use std::sync::Arc;

use anabranch_engine::hash_key::HashKeyRange;
use anabranch_engine::ids::ShardId;
use anabranch_engine::{Consumer, Shard, Shards, Stream};
use anabranch_proto::v1;

use super::shard_filter::ShardLife;
use super::{Ops, settings};
use crate::aws::sequence::Origin;

/// Who decides how many shards a stream has.
pub(super) fn mode(stream: &Stream) -> i32 {
    settings::shown_mode(stream.settings().mode).into()
}

/// A hash range, both ends inclusive.
pub(super) fn hash_key_range(range: HashKeyRange) -> v1::HashKeyRange {
    v1::HashKeyRange {
        starting_hash_key: range.start.to_string(),
        ending_hash_key: range.end.to_string(),
    }
}

/// From when to when a shard takes records. That of a child begins where those of its parents end,
/// though it may count as made a second later: at any time one of them is open. What a parent has
/// held that is gone lies beyond the horizon.
pub(super) fn shard_life(shards: &Shards, shard: &Shard) -> ShardLife {
    let parents = shard.parents().into_iter().flatten();
    let ends = parents.map(|id| shards.get(id)?.closed()).map(|end| end.map_or(0, |end| end.at_ms));
    let opened_ms = ends.max().map_or_else(|| shard.created_ms(), |end_ms| end_ms + 1);
    ShardLife { opened_ms, closed_ms: shard.closed().map(|closed| closed.at_ms) }
}

/// A shard.
pub(super) fn shard(shard: &Shard) -> v1::Shard {
    let [parent, adjacent_parent] = shard.parents();
    let closed = shard.closed();
    v1::Shard {
        shard_id: shard.id().to_string(),
        parent_shard_id: parent.map(|id| id.to_string()),
        adjacent_parent_shard_id: adjacent_parent.map(|id| id.to_string()),
        hash_key_range: Some(hash_key_range(shard.hash_key_range())),
        sequence_number_range: Some(v1::SequenceNumberRange {
            // The first record's number lies above the start, as the service has it.
            starting_sequence_number: shard.first_sequence().0.saturating_sub(1),
            ending_sequence_number: closed.map(|closed| closed.last_sequence.0),
        }),
        creation_timestamp_ms: Some(shard.created_ms()),
        closing_timestamp_ms: closed.map(|closed| closed.at_ms),
        is_open: closed.is_none(),
    }
}

/// What the numbers of a shard's records have in common.
pub(crate) fn origin(shard: &Shard) -> Origin {
    Origin::new(shard.id(), shard.created_ms())
}

/// Where reading goes on behind the end of a shard.
pub(crate) fn child_shards(shards: &Shards, parent: ShardId) -> Vec<v1::ChildShard> {
    let show = |child: &Arc<Shard>| v1::ChildShard {
        shard_id: child.id().to_string(),
        parent_shards: child.parents().into_iter().flatten().map(|id| id.to_string()).collect(),
        hash_key_range: Some(hash_key_range(child.hash_key_range())),
    };
    shards.children(parent).into_iter().map(show).collect()
}

impl Ops {
    /// A consumer.
    pub(super) fn show_consumer(&self, stream: &Stream, consumer: &Consumer) -> v1::Consumer {
        let created_seconds = consumer.created_ms / 1000;
        let name = &consumer.name;
        v1::Consumer {
            consumer_name: name.as_str().to_owned(),
            consumer_arn: self.owner.consumer_arn(stream.name(), name, created_seconds),
            consumer_status: self.consumer_status(stream, consumer).into(),
            consumer_creation_timestamp_ms: consumer.created_ms,
            stream_arn: self.owner.stream_arn(stream.name()),
        }
    }
}
