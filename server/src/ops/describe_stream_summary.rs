//! DescribeStreamSummary.

use anabranch_engine::Stream;
use anabranch_engine::settings::StreamMode;
use anabranch_proto::v1::{
    self, DescribeStreamSummaryRequest, DescribeStreamSummaryResponse, StreamDescriptionSummary,
};

use super::names::NamesStream;
use super::{Operation, Ops, Result, describe, monitoring, settings};

impl Ops {
    /// Describes a stream without its shards.
    pub(super) fn describe_stream_summary(
        &self,
        request: DescribeStreamSummaryRequest,
    ) -> Result<DescribeStreamSummaryResponse> {
        let name = request.stream_fields().stream_name()?;
        if let Some(deleting) = self.deleting(&name) {
            let stream_description_summary = Some(deleting.summary);
            return Ok(DescribeStreamSummaryResponse { stream_description_summary });
        }
        let stream = self.stream_of_name(&name)?;
        self.admit(Operation::DescribeStreamSummary, Some(&stream))?;
        Ok(DescribeStreamSummaryResponse {
            stream_description_summary: Some(self.summary(&stream)),
        })
    }

    /// What is said of a stream without its shards.
    pub(super) fn summary(&self, stream: &Stream) -> StreamDescriptionSummary {
        let set = stream.settings();
        let is_on_demand = set.mode == StreamMode::OnDemand;
        let strategy = match is_on_demand {
            true => settings::shown_distribution(set.distribution),
            false => v1::RecordDistributionStrategy::Unspecified,
        };
        StreamDescriptionSummary {
            stream_name: stream.name().as_str().to_owned(),
            stream_arn: self.owner.stream_arn(stream.name()),
            stream_status: self.status(stream).into(),
            stream_mode: describe::mode(stream),
            retention_period_hours: stream.retention_hours(),
            stream_creation_timestamp_ms: stream.created_ms(),
            open_shard_count: stream.shards().open().len() as u32,
            consumer_count: stream.consumers().len() as u32,
            enhanced_monitoring: monitoring::described(set.monitoring),
            encryption_type: v1::EncryptionType::None.into(),
            warm_throughput: is_on_demand.then(|| settings::shown_warm_throughput(stream)),
            max_record_size_in_kib: set.max_record_kib,
            record_distribution_strategy: strategy.into(),
            quotas: settings::shown_quotas(self.quotas_of(&set)).into(),
            has_own_quotas: set.quotas.is_some(),
        }
    }
}
