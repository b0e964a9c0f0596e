//! DescribeStream.

use anabranch_engine::Stream;
use anabranch_proto::v1::{self, DescribeStreamRequest, DescribeStreamResponse, StreamDescription};

use super::list_shards::page_of_shards;
use super::names::NamesStream;
use super::{Operation, Ops, Result, describe, monitoring, names};

impl Ops {
    /// Describes a stream and a page of its shards.
    pub(super) fn describe_stream(
        &self,
        request: DescribeStreamRequest,
    ) -> Result<DescribeStreamResponse> {
        let limit = names::within("limit", request.limit, 1..=10_000, 100)?;
        let name = request.stream_fields().stream_name()?;
        if let Some(deleting) = self.deleting(&name) {
            let stream_description = Some(deleting.description);
            return Ok(DescribeStreamResponse { stream_description });
        }
        let stream = self.stream_of_name(&name)?;
        let after = request.exclusive_start_shard_id.as_deref();
        let after =
            after.map(|text| names::shard_id("exclusive_start_shard_id", text)).transpose()?;
        self.admit(Operation::DescribeStream, Some(&stream))?;
        let mut described = self.description(&stream);
        // A stream that is being made has no shards yet.
        if self.status(&stream) != v1::StreamStatus::Creating {
            let shards = stream.shards();
            let (shards, has_more_shards) = page_of_shards(&shards, after, limit, |_| true);
            described.shards = shards.iter().map(|shard| describe::shard(shard)).collect();
            described.has_more_shards = has_more_shards;
        }
        Ok(DescribeStreamResponse { stream_description: Some(described) })
    }

    /// All but the shards.
    pub(super) fn description(&self, stream: &Stream) -> StreamDescription {
        StreamDescription {
            stream_name: stream.name().as_str().to_owned(),
            stream_arn: self.owner.stream_arn(stream.name()),
            stream_status: self.status(stream).into(),
            stream_mode: describe::mode(stream),
            shards: Vec::new(),
            has_more_shards: false,
            retention_period_hours: stream.retention_hours(),
            stream_creation_timestamp_ms: stream.created_ms(),
            enhanced_monitoring: monitoring::described(stream.settings().monitoring),
            encryption_type: v1::EncryptionType::None.into(),
        }
    }
}
