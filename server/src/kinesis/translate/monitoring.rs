//! Metrics of shards, switched on and off.

use anabranch_proto::v1::{self, MetricsName};

use super::{FromMembers, IntoMembers, stream_arn, stream_name};
use crate::kinesis::value::Members;

/// The metrics, as the API names them.
const METRICS: [(MetricsName, &str); 8] = [
    (MetricsName::IncomingBytes, "IncomingBytes"),
    (MetricsName::IncomingRecords, "IncomingRecords"),
    (MetricsName::OutgoingBytes, "OutgoingBytes"),
    (MetricsName::OutgoingRecords, "OutgoingRecords"),
    (MetricsName::WriteProvisionedThroughputExceeded, "WriteProvisionedThroughputExceeded"),
    (MetricsName::ReadProvisionedThroughputExceeded, "ReadProvisionedThroughputExceeded"),
    (MetricsName::IteratorAgeMilliseconds, "IteratorAgeMilliseconds"),
    (MetricsName::All, "ALL"),
];

/// Requests to switch metrics, and their replies.
macro_rules! switches {
    ($($request:ident -> $reply:ident,)*) => {
        $(impl FromMembers for v1::$request {
            fn from_members(mut members: Members) -> Self {
                let metrics = members.take_texts("ShardLevelMetrics").unwrap_or_default();
                v1::$request {
                    stream_name: stream_name(&mut members),
                    stream_arn: stream_arn(&mut members),
                    shard_level_metrics: metrics.iter().map(|name| metric(name).into()).collect(),
                }
            }
        }

        impl IntoMembers for v1::$reply {
            fn into_members(self) -> Members {
                Members::new()
                    .with("StreamName", self.stream_name)
                    .with("CurrentShardLevelMetrics", names(&self.current_shard_level_metrics))
                    .with("DesiredShardLevelMetrics", names(&self.desired_shard_level_metrics))
                    .with("StreamARN", self.stream_arn)
            }
        })*
    };
}

switches! {
    DisableEnhancedMonitoringRequest -> DisableEnhancedMonitoringResponse,
    EnableEnhancedMonitoringRequest -> EnableEnhancedMonitoringResponse,
}

/// What a description of a stream says of its metrics: one entry, whether there are any or not.
pub(super) fn enhanced(monitoring: Vec<v1::EnhancedMetrics>) -> Vec<Members> {
    let metrics: Vec<i32> =
        monitoring.into_iter().flat_map(|entry| entry.shard_level_metrics).collect();
    vec![Members::new().with("ShardLevelMetrics", names(&metrics))]
}

fn metric(name: &str) -> MetricsName {
    let named = METRICS.iter().find(|(_, is)| *is == name);
    named.map_or(MetricsName::Unspecified, |(metric, _)| *metric)
}

fn names(metrics: &[i32]) -> Vec<&'static str> {
    let name = |metric: &i32| METRICS.iter().find(|(is, _)| i32::from(*is) == *metric);
    metrics.iter().filter_map(name).map(|(_, name)| *name).collect()
}
