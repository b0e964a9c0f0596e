//! ListShards.

use std::sync::Arc;

use anabranch_engine::Shard;
use anabranch_engine::ids::ShardId;
use anabranch_proto::v1::{ListShardsRequest, ListShardsResponse};

use super::page_token::PageToken;
use super::{OpError, Ops, Result, describe, names};

impl Ops {
    /// Lists the shards of a stream by index.
    pub fn list_shards(&self, request: ListShardsRequest) -> Result<ListShardsResponse> {
        let limit = names::within("max_results", request.max_results, 1..=10_000, 1000)?;
        let (stream, after) = if let Some(token) = &request.next_token {
            if !request.stream_name.is_empty() || request.exclusive_start_shard_id.is_some() {
                let why = "NextToken and StreamName or ExclusiveStartShardId cannot be provided \
                           together.";
                return Err(OpError::invalid("next_token", why));
            }
            let token = PageToken::<ShardId>::open(&self.engine, &self.seal, token)?;
            (token.stream, Some(token.last))
        } else {
            let stream = names::stream(&self.engine, &request.stream_name)?;
            let after = request.exclusive_start_shard_id.as_deref();
            let after = after.map(|text| names::shard_id("exclusive_start_shard_id", text));
            (stream, after.transpose()?)
        };
        let shards = stream.shards();
        let (shards, has_more) = page_of_shards(&shards, after, limit);
        let last = shards.last().filter(|_| has_more);
        let next_token =
            last.map(|last| PageToken::seal(&self.engine, &self.seal, &stream, &last.id()));
        Ok(ListShardsResponse {
            shards: shards.iter().map(|shard| describe::shard(shard)).collect(),
            next_token,
        })
    }
}

/// Up to `limit` shards behind `after`, and whether there are more.
pub(super) fn page_of_shards(
    shards: &[Arc<Shard>],
    after: Option<ShardId>,
    limit: usize,
) -> (&[Arc<Shard>], bool) {
    let start = after.map_or(0, |after| shards.partition_point(|shard| shard.id() <= after));
    let end = shards.len().min(start + limit);
    (&shards[start..end], end < shards.len())
}
