//! MergeShards.

use anabranch_engine::reshard::Step;
use anabranch_proto::v1::{MergeShardsRequest, MergeShardsResponse};

use super::{Operation, Ops, Result};

impl Ops {
    /// Closes two shards whose ranges meet, and whose records one takes from now on. Puts wait
    /// for it.
    pub(super) async fn merge_shards(
        &self,
        request: MergeShardsRequest,
    ) -> Result<MergeShardsResponse> {
        let stream = self.provisioned_stream(&request)?;
        let open = |field, id| self.open_shard(&stream, field, id).map(|shard| shard.id());
        let shard = open("shard_to_merge", &request.shard_to_merge)?;
        let adjacent = open("adjacent_shard_to_merge", &request.adjacent_shard_to_merge)?;
        self.admit(Operation::MergeShards, Some(&stream))?;
        let steps = vec![Step::Merge { shard, adjacent }];
        self.reshard(stream, "adjacent_shard_to_merge", steps).await?;
        Ok(MergeShardsResponse {})
    }
}
