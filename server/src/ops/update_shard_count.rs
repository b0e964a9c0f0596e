//! UpdateShardCount.

use anabranch_engine::limits::SHARDS_PER_STREAM_MAX;
use anabranch_engine::reshard;
use anabranch_proto::v1::{ScalingType, UpdateShardCountRequest, UpdateShardCountResponse};

use super::{Kind, OpError, Operation, Ops, Result, names};

const FIELD: &str = "target_shard_count";

impl Ops {
    /// Splits and merges, all at once, until so many shards tile the hash space evenly.
    pub(super) async fn update_shard_count(
        &self,
        request: UpdateShardCountRequest,
    ) -> Result<UpdateShardCountResponse> {
        let target = request.target_shard_count;
        names::within(FIELD, Some(target), 1..=SHARDS_PER_STREAM_MAX, 1)?;
        let scaling = ScalingType::try_from(request.scaling_type);
        if scaling.is_err() {
            return Err(OpError::invalid("scaling_type", "is unknown; it is UNIFORM_SCALING"));
        }
        let stream = self.provisioned_stream(&request)?;
        let shards = stream.shards();
        let current = shards.open().len() as u32;
        let refused = |message: String| {
            OpError::in_its_words(Kind::LimitExceeded, FIELD, message)
                .with("value", target.to_string())
                .with("min", current.div_ceil(2).to_string())
                .with("max", (current * 2).to_string())
        };
        if target > current * 2 {
            return Err(refused(format!(
                "UpdateShardCount cannot scale up over double your current open shard count. \
                 Current open shard count: {current} Target shard count: {target}"
            )));
        }
        if target < current.div_ceil(2) {
            return Err(refused(format!(
                "UpdateShardCount cannot scale down below half your current open shard count. \
                 Current open shard count: {current} Target shard count: {target}"
            )));
        }
        self.check_shard_quota(target.saturating_sub(current))?;
        self.admit(Operation::UpdateShardCount, Some(&stream))?;
        let steps = reshard::uniform(&shards, target)?;
        if !steps.is_empty() {
            self.reshard(stream.clone(), FIELD, steps).await?;
            self.succeeded(Operation::UpdateShardCount, &stream);
        }
        Ok(UpdateShardCountResponse {
            stream_name: stream.name().as_str().to_owned(),
            current_shard_count: current,
            target_shard_count: target,
            stream_arn: self.owner.stream_arn(stream.name()),
        })
    }
}
