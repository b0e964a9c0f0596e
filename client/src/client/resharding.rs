//! The shape of streams while they run, what they take, and what they are loaded with.

use anabranch_proto::v1;

use super::Client;
use crate::error::Result;

impl Client {
    /// Splits an open shard in two. The second child begins at `new_starting_hash_key`, a decimal
    /// number within the shard's range. The children take records when the call returns; the
    /// parent's stay readable, and a [`Client::read`] goes on with the children by itself.
    pub async fn split_shard(
        &self,
        stream_name: &str,
        shard_id: &str,
        new_starting_hash_key: &str,
    ) -> Result<()> {
        let request = v1::SplitShardRequest {
            stream_name: stream_name.to_owned(),
            shard_to_split: shard_id.to_owned(),
            new_starting_hash_key: new_starting_hash_key.to_owned(),
            ..Default::default()
        };
        self.reply(self.stub().split_shard(request).await)?;
        Ok(())
    }

    /// Merges two open shards whose hash ranges touch. The child takes records when the call
    /// returns.
    pub async fn merge_shards(
        &self,
        stream_name: &str,
        shard_id: &str,
        adjacent_shard_id: &str,
    ) -> Result<()> {
        let request = v1::MergeShardsRequest {
            stream_name: stream_name.to_owned(),
            shard_to_merge: shard_id.to_owned(),
            adjacent_shard_to_merge: adjacent_shard_id.to_owned(),
            ..Default::default()
        };
        self.reply(self.stub().merge_shards(request).await)?;
        Ok(())
    }

    /// Splits and merges until there are so many open shards of even size: at least half and at
    /// most twice as many as there are.
    pub async fn update_shard_count(
        &self,
        stream_name: &str,
        target_shard_count: u32,
    ) -> Result<v1::UpdateShardCountResponse> {
        let request = v1::UpdateShardCountRequest {
            stream_name: stream_name.to_owned(),
            target_shard_count,
            scaling_type: v1::ScalingType::UniformScaling.into(),
            ..Default::default()
        };
        self.reply(self.stub().update_shard_count(request).await)
    }

    /// Changes who decides on the number of shards: the user, or the server by the load.
    pub async fn update_stream_mode(
        &self,
        stream_name: &str,
        stream_mode: v1::StreamMode,
    ) -> Result<()> {
        let request = v1::UpdateStreamModeRequest {
            stream_name: stream_name.to_owned(),
            stream_mode: stream_mode.into(),
            ..Default::default()
        };
        self.reply(self.stub().update_stream_mode(request).await)?;
        Ok(())
    }

    /// Gives a stream quotas of its own, or with `QUOTA_PROFILE_UNSPECIFIED` those of the server
    /// again. Gives the profile that is in force then.
    pub async fn set_quotas(
        &self,
        stream_name: &str,
        quotas: v1::QuotaProfile,
    ) -> Result<v1::QuotaProfile> {
        let request = v1::SetQuotasRequest {
            stream_name: stream_name.to_owned(),
            quotas: quotas.into(),
            ..Default::default()
        };
        Ok(self.reply(self.stub().set_quotas(request).await)?.quotas())
    }

    /// The load of a stream's open shards over the last minute, and what the server decided about
    /// their number in the last hour.
    pub async fn describe_shard_load(
        &self,
        stream_name: &str,
    ) -> Result<v1::DescribeShardLoadResponse> {
        let request = v1::DescribeShardLoadRequest {
            stream_name: stream_name.to_owned(),
            ..Default::default()
        };
        self.reading(|mut stub| {
            let request = request.clone();
            async move { stub.describe_shard_load(request).await }
        })
        .await
    }
}
