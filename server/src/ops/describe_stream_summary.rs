//! DescribeStreamSummary.

use anabranch_proto::v1::{
    self, DescribeStreamSummaryRequest, DescribeStreamSummaryResponse, StreamDescriptionSummary,
};

use super::{Ops, Result, describe};

impl Ops {
    /// Describes a stream without its shards.
    pub fn describe_stream_summary(
        &self,
        request: DescribeStreamSummaryRequest,
    ) -> Result<DescribeStreamSummaryResponse> {
        let stream = self.named_stream(&request)?;
        Ok(DescribeStreamSummaryResponse {
            stream_description_summary: Some(StreamDescriptionSummary {
                stream_name: stream.name().as_str().to_owned(),
                stream_arn: self.owner.stream_arn(stream.name()),
                stream_status: describe::status(&stream).into(),
                stream_mode: describe::mode(&stream),
                retention_period_hours: stream.retention_hours(),
                stream_creation_timestamp_ms: stream.created_ms(),
                open_shard_count: stream.shards().open().len() as u32,
                consumer_count: stream.consumers().len() as u32,
                enhanced_monitoring: vec![v1::EnhancedMetrics::default()],
                encryption_type: v1::EncryptionType::None.into(),
                warm_throughput: None,
                max_record_size_in_kib: 1024,
                record_distribution_strategy: v1::RecordDistributionStrategy::Unspecified.into(),
                quotas: v1::QuotaProfile::Open.into(),
                has_own_quotas: false,
            }),
        })
    }
}
