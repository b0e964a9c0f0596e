//! DescribeStream.

use anabranch_proto::v1::{self, DescribeStreamRequest, DescribeStreamResponse, StreamDescription};

use super::list_shards::page_of_shards;
use super::{Ops, Result, describe, monitoring, names};

impl Ops {
    /// Describes a stream and a page of its shards.
    pub fn describe_stream(
        &self,
        request: DescribeStreamRequest,
    ) -> Result<DescribeStreamResponse> {
        let limit = names::within("limit", request.limit, 1..=10_000, 100)?;
        let stream = self.named_stream(&request)?;
        let after = request.exclusive_start_shard_id.as_deref();
        let after =
            after.map(|text| names::shard_id("exclusive_start_shard_id", text)).transpose()?;
        let shards = stream.shards();
        let (shards, has_more_shards) = page_of_shards(&shards, after, limit, |_| true);
        Ok(DescribeStreamResponse {
            stream_description: Some(StreamDescription {
                stream_name: stream.name().as_str().to_owned(),
                stream_arn: self.owner.stream_arn(stream.name()),
                stream_status: describe::status(&stream).into(),
                stream_mode: describe::mode(&stream),
                shards: shards.iter().map(|shard| describe::shard(shard)).collect(),
                has_more_shards,
                retention_period_hours: stream.retention_hours(),
                stream_creation_timestamp_ms: stream.created_ms(),
                enhanced_monitoring: monitoring::described(stream.settings().monitoring),
                encryption_type: v1::EncryptionType::None.into(),
            }),
        })
    }
}
