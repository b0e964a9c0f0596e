//! Shards: listed, split, merged, counted.

use anabranch_engine::ids::ShardId;
use anabranch_engine::sequence::SequenceNumber;
use anabranch_proto::v1::{self, ScalingType, ShardFilterType};

use super::{
    FromMembers, IntoMembers, choice, count, empty, stream_arn, stream_name, text, time_ms,
};
use crate::aws::sequence::Origin;
use crate::kinesis::value::Members;

impl FromMembers for v1::ListShardsRequest {
    fn from_members(mut members: Members) -> Self {
        let filter = members.take_map("ShardFilter").map(|mut filter| v1::ShardFilter {
            r#type: choice(&filter, "Type", |name| {
                ShardFilterType::from_str_name(&format!("SHARD_FILTER_TYPE_{name}"))
            }),
            timestamp_ms: time_ms(&filter, "Timestamp"),
            shard_id: filter.take_text("ShardId"),
        });
        v1::ListShardsRequest {
            stream_name: stream_name(&mut members),
            stream_arn: stream_arn(&mut members),
            exclusive_start_shard_id: members.take_text("ExclusiveStartShardId"),
            max_results: count(&members, "MaxResults"),
            stream_creation_timestamp_ms: time_ms(&members, "StreamCreationTimestamp"),
            shard_filter: filter,
            next_token: members.take_text("NextToken"),
        }
    }
}

impl IntoMembers for v1::ListShardsResponse {
    fn into_members(self) -> Members {
        Members::new().with("Shards", shards(self.shards)).with_some("NextToken", self.next_token)
    }
}

impl FromMembers for v1::SplitShardRequest {
    fn from_members(mut members: Members) -> Self {
        v1::SplitShardRequest {
            stream_name: stream_name(&mut members),
            stream_arn: stream_arn(&mut members),
            shard_to_split: text(&mut members, "ShardToSplit"),
            new_starting_hash_key: text(&mut members, "NewStartingHashKey"),
        }
    }
}

impl FromMembers for v1::MergeShardsRequest {
    fn from_members(mut members: Members) -> Self {
        v1::MergeShardsRequest {
            stream_name: stream_name(&mut members),
            stream_arn: stream_arn(&mut members),
            shard_to_merge: text(&mut members, "ShardToMerge"),
            adjacent_shard_to_merge: text(&mut members, "AdjacentShardToMerge"),
        }
    }
}

impl FromMembers for v1::UpdateShardCountRequest {
    fn from_members(mut members: Members) -> Self {
        v1::UpdateShardCountRequest {
            stream_name: stream_name(&mut members),
            stream_arn: stream_arn(&mut members),
            target_shard_count: count(&members, "TargetShardCount").unwrap_or(0),
            scaling_type: choice(&members, "ScalingType", ScalingType::from_str_name),
        }
    }
}

impl IntoMembers for v1::UpdateShardCountResponse {
    fn into_members(self) -> Members {
        Members::new()
            .with("StreamName", self.stream_name)
            .with("CurrentShardCount", self.current_shard_count)
            .with("TargetShardCount", self.target_shard_count)
            .with("StreamARN", self.stream_arn)
    }
}

empty! {
    MergeShardsResponse,
    SplitShardResponse,
}

/// Shards as they are listed.
pub(super) fn shards(shards: Vec<v1::Shard>) -> Vec<Members> {
    shards.into_iter().map(shard).collect()
}

fn shard(shard: v1::Shard) -> Members {
    let numbers = numbers(&shard);
    Members::new()
        .with("ShardId", shard.shard_id)
        .with_some("ParentShardId", shard.parent_shard_id)
        .with_some("AdjacentParentShardId", shard.adjacent_parent_shard_id)
        .with("HashKeyRange", hash_key_range(shard.hash_key_range))
        .with("SequenceNumberRange", numbers)
}

/// The numbers between which those of a shard's records lie.
fn numbers(shard: &v1::Shard) -> Members {
    let id: ShardId = shard.shard_id.parse().expect("a reply names shards in full");
    let origin = Origin::new(id, shard.creation_timestamp_ms.unwrap_or(0));
    let start = shard.sequence_number_range.map_or(0, |range| range.starting_sequence_number);
    let starting = origin.starting(SequenceNumber(start));
    let ending = shard.closing_timestamp_ms.map(|closed_ms| origin.ending(closed_ms).to_string());
    Members::new()
        .with("StartingSequenceNumber", starting.to_string())
        .with_some("EndingSequenceNumber", ending)
}

/// The shards that follow a closed one.
pub(in crate::kinesis) fn child_shards(children: Vec<v1::ChildShard>) -> Vec<Members> {
    let child = |child: v1::ChildShard| {
        Members::new()
            .with("ShardId", child.shard_id)
            .with("ParentShards", child.parent_shards)
            .with("HashKeyRange", hash_key_range(child.hash_key_range))
    };
    children.into_iter().map(child).collect()
}

fn hash_key_range(range: Option<v1::HashKeyRange>) -> Members {
    let range = range.unwrap_or_default();
    Members::new()
        .with("StartingHashKey", range.starting_hash_key)
        .with("EndingHashKey", range.ending_hash_key)
}
