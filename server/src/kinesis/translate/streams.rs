//! Streams: made, described, listed, changed, deleted.

use anabranch_proto::v1::{self, EncryptionType, StreamStatus};

use super::{FromMembers, IntoMembers, choice, count, empty, monitoring, shards};
use super::{stream_arn, stream_name, text};
use crate::kinesis::value::{Members, Value};

impl FromMembers for v1::CreateStreamRequest {
    fn from_members(mut members: Members) -> Self {
        v1::CreateStreamRequest {
            stream_name: stream_name(&mut members),
            shard_count: count(&members, "ShardCount").unwrap_or(0),
            stream_mode: stream_mode(&members),
            warm_throughput_mibps: count(&members, "WarmThroughputMiBps"),
            max_record_size_in_kib: count(&members, "MaxRecordSizeInKiB"),
            record_distribution_strategy: distribution(&members),
            tags: super::tags::tags(&mut members),
            quotas: 0,
        }
    }
}

impl FromMembers for v1::DeleteStreamRequest {
    fn from_members(mut members: Members) -> Self {
        v1::DeleteStreamRequest {
            stream_name: stream_name(&mut members),
            stream_arn: stream_arn(&mut members),
            enforce_consumer_deletion: members.flag("EnforceConsumerDeletion").unwrap_or(false),
        }
    }
}

impl FromMembers for v1::DescribeStreamRequest {
    fn from_members(mut members: Members) -> Self {
        v1::DescribeStreamRequest {
            stream_name: stream_name(&mut members),
            stream_arn: stream_arn(&mut members),
            limit: count(&members, "Limit"),
            exclusive_start_shard_id: members.take_text("ExclusiveStartShardId"),
        }
    }
}

impl IntoMembers for v1::DescribeStreamResponse {
    fn into_members(self) -> Members {
        let stream = self.stream_description.unwrap_or_default();
        let description = Members::new()
            .with("StreamName", stream.stream_name)
            .with("StreamARN", stream.stream_arn)
            .with("StreamStatus", status(stream.stream_status))
            .with("StreamModeDetails", mode_details(stream.stream_mode))
            .with("Shards", shards::shards(stream.shards))
            .with("HasMoreShards", stream.has_more_shards)
            .with("RetentionPeriodHours", stream.retention_period_hours)
            .with("StreamCreationTimestamp", time(stream.stream_creation_timestamp_ms))
            .with("EnhancedMonitoring", monitoring::enhanced(stream.enhanced_monitoring))
            .with("EncryptionType", encryption(stream.encryption_type));
        Members::new().with("StreamDescription", description)
    }
}

impl FromMembers for v1::DescribeStreamSummaryRequest {
    fn from_members(mut members: Members) -> Self {
        v1::DescribeStreamSummaryRequest {
            stream_name: stream_name(&mut members),
            stream_arn: stream_arn(&mut members),
        }
    }
}

impl IntoMembers for v1::DescribeStreamSummaryResponse {
    fn into_members(self) -> Members {
        let stream = self.stream_description_summary.unwrap_or_default();
        let distribution =
            v1::RecordDistributionStrategy::try_from(stream.record_distribution_strategy);
        // Only on-demand streams have a strategy to tell of.
        let is_on_demand = stream.stream_mode == i32::from(v1::StreamMode::OnDemand);
        let distribution = distribution.ok().filter(|_| is_on_demand);
        let summary = Members::new()
            .with("StreamName", stream.stream_name)
            .with("StreamARN", stream.stream_arn)
            .with("StreamStatus", status(stream.stream_status))
            .with("StreamModeDetails", mode_details(stream.stream_mode))
            .with("RetentionPeriodHours", stream.retention_period_hours)
            .with("StreamCreationTimestamp", time(stream.stream_creation_timestamp_ms))
            .with("EnhancedMonitoring", monitoring::enhanced(stream.enhanced_monitoring))
            .with("EncryptionType", encryption(stream.encryption_type))
            .with("OpenShardCount", stream.open_shard_count)
            .with("ConsumerCount", stream.consumer_count)
            .with_some("WarmThroughput", stream.warm_throughput.map(warm_throughput))
            .with("MaxRecordSizeInKiB", stream.max_record_size_in_kib)
            .with_some("RecordDistributionStrategy", distribution.map(|of| of.as_str_name()));
        Members::new().with("StreamDescriptionSummary", summary)
    }
}

impl FromMembers for v1::ListStreamsRequest {
    fn from_members(mut members: Members) -> Self {
        v1::ListStreamsRequest {
            limit: count(&members, "Limit"),
            exclusive_start_stream_name: members.take_text("ExclusiveStartStreamName"),
            next_token: members.take_text("NextToken"),
        }
    }
}

impl IntoMembers for v1::ListStreamsResponse {
    fn into_members(self) -> Members {
        let summary = |stream: v1::StreamSummary| {
            Members::new()
                .with("StreamName", stream.stream_name)
                .with("StreamARN", stream.stream_arn)
                .with("StreamStatus", status(stream.stream_status))
                .with("StreamModeDetails", mode_details(stream.stream_mode))
                .with("StreamCreationTimestamp", time(stream.stream_creation_timestamp_ms))
        };
        let summaries: Vec<_> = self.stream_summaries.into_iter().map(summary).collect();
        Members::new()
            .with("StreamNames", self.stream_names)
            .with("HasMoreStreams", self.has_more_streams)
            .with_some("NextToken", self.next_token)
            .with("StreamSummaries", summaries)
    }
}

/// Requests for another retention period.
macro_rules! retention {
    ($($request:ident,)*) => {
        $(impl FromMembers for v1::$request {
            fn from_members(mut members: Members) -> Self {
                v1::$request {
                    stream_name: stream_name(&mut members),
                    stream_arn: stream_arn(&mut members),
                    retention_period_hours: count(&members, "RetentionPeriodHours").unwrap_or(0),
                }
            }
        })*
    };
}

retention! {
    DecreaseStreamRetentionPeriodRequest,
    IncreaseStreamRetentionPeriodRequest,
}

impl FromMembers for v1::UpdateStreamModeRequest {
    fn from_members(mut members: Members) -> Self {
        v1::UpdateStreamModeRequest {
            stream_name: String::new(),
            stream_arn: stream_arn(&mut members),
            stream_mode: stream_mode(&members),
            warm_throughput_mibps: count(&members, "WarmThroughputMiBps"),
        }
    }
}

impl FromMembers for v1::UpdateStreamWarmThroughputRequest {
    fn from_members(mut members: Members) -> Self {
        v1::UpdateStreamWarmThroughputRequest {
            stream_name: stream_name(&mut members),
            stream_arn: stream_arn(&mut members),
            warm_throughput_mibps: count(&members, "WarmThroughputMiBps").unwrap_or(0),
        }
    }
}

impl IntoMembers for v1::UpdateStreamWarmThroughputResponse {
    fn into_members(self) -> Members {
        Members::new()
            .with("StreamARN", self.stream_arn)
            .with("StreamName", self.stream_name)
            .with_some("WarmThroughput", self.warm_throughput.map(warm_throughput))
    }
}

impl FromMembers for v1::UpdateMaxRecordSizeRequest {
    fn from_members(mut members: Members) -> Self {
        v1::UpdateMaxRecordSizeRequest {
            stream_name: String::new(),
            stream_arn: stream_arn(&mut members),
            max_record_size_in_kib: count(&members, "MaxRecordSizeInKiB").unwrap_or(0),
        }
    }
}

impl FromMembers for v1::UpdateStreamRecordDistributionStrategyRequest {
    fn from_members(mut members: Members) -> Self {
        v1::UpdateStreamRecordDistributionStrategyRequest {
            stream_name: String::new(),
            stream_arn: stream_arn(&mut members),
            record_distribution_strategy: distribution(&members),
        }
    }
}

/// Requests about encryption at rest.
macro_rules! encryption_requests {
    ($($request:ident,)*) => {
        $(impl FromMembers for v1::$request {
            fn from_members(mut members: Members) -> Self {
                v1::$request {
                    stream_name: stream_name(&mut members),
                    stream_arn: stream_arn(&mut members),
                    encryption_type: choice(&members, "EncryptionType", |name| {
                        EncryptionType::from_str_name(&format!("ENCRYPTION_TYPE_{name}"))
                    }),
                    key_id: text(&mut members, "KeyId"),
                }
            }
        })*
    };
}

encryption_requests! {
    StartStreamEncryptionRequest,
    StopStreamEncryptionRequest,
}

empty! {
    CreateStreamResponse,
    DecreaseStreamRetentionPeriodResponse,
    DeleteStreamResponse,
    IncreaseStreamRetentionPeriodResponse,
    StartStreamEncryptionResponse,
    StopStreamEncryptionResponse,
    UpdateMaxRecordSizeResponse,
    UpdateStreamModeResponse,
    UpdateStreamRecordDistributionStrategyResponse,
}

fn stream_mode(members: &Members) -> i32 {
    let details = members.map("StreamModeDetails");
    details.map_or(0, |details| choice(details, "StreamMode", v1::StreamMode::from_str_name))
}

fn distribution(members: &Members) -> i32 {
    let name = "RecordDistributionStrategy";
    choice(members, name, v1::RecordDistributionStrategy::from_str_name)
}

fn mode_details(mode: i32) -> Members {
    let mode = v1::StreamMode::try_from(mode).unwrap_or_default();
    Members::new().with("StreamMode", mode.as_str_name())
}

fn status(status: i32) -> &'static str {
    StreamStatus::try_from(status).unwrap_or_default().as_str_name()
}

fn encryption(of: i32) -> &'static str {
    match EncryptionType::try_from(of) {
        Ok(EncryptionType::Kms) => "KMS",
        _ => "NONE",
    }
}

fn warm_throughput(warm: v1::WarmThroughput) -> Members {
    Members::new().with("TargetMiBps", warm.target_mibps).with("CurrentMiBps", warm.current_mibps)
}

/// A time of a reply.
pub(super) fn time(time_ms: u64) -> Value {
    Value::Time(i64::try_from(time_ms).unwrap_or(i64::MAX))
}
