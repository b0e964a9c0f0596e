//! SplitShard.

use anabranch_engine::hash_key::HashKey;
use anabranch_engine::reshard::Step;
use anabranch_proto::v1::{SplitShardRequest, SplitShardResponse};

use super::{Kind, OpError, Operation, Ops, Result};

impl Ops {
    /// Closes a shard, whose records two others take from now on. Puts wait for it.
    pub(super) async fn split_shard(
        &self,
        request: SplitShardRequest,
    ) -> Result<SplitShardResponse> {
        const FIELD: &str = "new_starting_hash_key";
        let text = &request.new_starting_hash_key;
        let at: HashKey = text.parse().map_err(|why| OpError::invalid_text(FIELD, text, why))?;
        let stream = self.provisioned_stream(&request)?;
        let shard = self.open_shard(&stream, "shard_to_split", &request.shard_to_split)?;
        let (id, range) = (shard.id(), shard.hash_key_range());
        if at.0.saturating_sub(1) <= range.start.0 || at >= range.end {
            let message = format!(
                "NewStartingHashKey {at} used in SplitShard() on shard {id} in stream {} under \
                 account {} is not both greater than one plus the shard's StartingHashKey {} and \
                 less than the shard's EndingHashKey {}.",
                stream.name(),
                self.owner.account,
                range.start,
                range.end
            );
            return Err(OpError::in_its_words(Kind::InvalidArgument, FIELD, message)
                .with("value", at.to_string())
                .with("starting_hash_key", range.start.to_string())
                .with("ending_hash_key", range.end.to_string()));
        }
        self.check_shard_quota(1)?;
        self.admit(Operation::SplitShard, Some(&stream))?;
        self.reshard(stream, "shard_to_split", vec![Step::Split { shard: id, at }]).await?;
        Ok(SplitShardResponse {})
    }
}
