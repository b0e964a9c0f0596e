//! Enhanced monitoring: which metrics of single shards are on, as requests and replies say it.

use anabranch_engine::StreamSettings;
use anabranch_engine::settings::{ShardMetric, ShardMetrics};
use anabranch_proto::v1::{self, MetricsName as Name};

use super::names::NamesStream;
use super::{OpError, Operation, Ops, Result};

const FIELD: &str = "shard_level_metrics";

/// What was on before a change, what is on behind it, and whose it is.
pub(super) struct Changed {
    pub(super) stream_name: String,
    pub(super) stream_arn: String,
    pub(super) current: Vec<i32>,
    pub(super) desired: Vec<i32>,
}

/// The metrics that a request names: 1 to 7 of them, or all by one word.
pub(super) fn requested(values: &[i32]) -> Result<ShardMetrics> {
    let max = ShardMetric::ALL.len();
    if !(1..=max).contains(&values.len()) {
        return Err(OpError::out_of_range(FIELD, values.len() as u64, 1, max as u64));
    }
    let mut metrics = ShardMetrics::NONE;
    for value in values {
        metrics = metrics.union(named(Name::try_from(*value).unwrap_or(Name::Unspecified))?);
    }
    Ok(metrics)
}

fn named(name: Name) -> Result<ShardMetrics> {
    let metric = match name {
        Name::All => return Ok(ShardMetrics::ALL),
        Name::IncomingBytes => ShardMetric::IncomingBytes,
        Name::IncomingRecords => ShardMetric::IncomingRecords,
        Name::OutgoingBytes => ShardMetric::OutgoingBytes,
        Name::OutgoingRecords => ShardMetric::OutgoingRecords,
        Name::WriteProvisionedThroughputExceeded => ShardMetric::WriteProvisionedThroughputExceeded,
        Name::ReadProvisionedThroughputExceeded => ShardMetric::ReadProvisionedThroughputExceeded,
        Name::IteratorAgeMilliseconds => ShardMetric::IteratorAgeMilliseconds,
        Name::Unspecified => return Err(OpError::invalid(FIELD, "name an unknown metric")),
    };
    Ok([metric].into_iter().collect())
}

/// Metrics as replies list them.
fn shown(metrics: ShardMetrics) -> Vec<i32> {
    let show = |metric| match metric {
        ShardMetric::IncomingBytes => Name::IncomingBytes,
        ShardMetric::IncomingRecords => Name::IncomingRecords,
        ShardMetric::OutgoingBytes => Name::OutgoingBytes,
        ShardMetric::OutgoingRecords => Name::OutgoingRecords,
        ShardMetric::WriteProvisionedThroughputExceeded => Name::WriteProvisionedThroughputExceeded,
        ShardMetric::ReadProvisionedThroughputExceeded => Name::ReadProvisionedThroughputExceeded,
        ShardMetric::IteratorAgeMilliseconds => Name::IteratorAgeMilliseconds,
    };
    metrics.iter().map(|metric| show(metric).into()).collect()
}

/// Metrics as descriptions of a stream list them.
pub(super) fn described(metrics: ShardMetrics) -> Vec<v1::EnhancedMetrics> {
    vec![v1::EnhancedMetrics { shard_level_metrics: shown(metrics) }]
}

impl Ops {
    /// Changes which metrics of the shards of a stream are on: what `change` makes of those
    /// before and those that are named.
    pub(super) async fn change_monitoring(
        &self,
        operation: Operation,
        request: &impl NamesStream,
        metrics: &[i32],
        change: fn(ShardMetrics, ShardMetrics) -> ShardMetrics,
    ) -> Result<Changed> {
        let metrics = requested(metrics)?;
        let stream = self.active_stream(request)?;
        self.admit(operation, Some(&stream))?;
        let change = move |settings: &mut StreamSettings| {
            let before = settings.monitoring;
            settings.monitoring = change(before, metrics);
            Ok((before, settings.monitoring))
        };
        let (before, after) = self.change_stream(&stream, change).await?;
        Ok(Changed {
            stream_name: stream.name().as_str().to_owned(),
            stream_arn: self.owner.stream_arn(stream.name()),
            current: shown(before),
            desired: shown(after),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_named_one_by_one_or_all_together() {
        let values = |names: &[Name]| names.iter().map(|name| (*name).into()).collect::<Vec<_>>();
        let all = requested(&values(&[Name::All])).unwrap();
        assert_eq!(all, ShardMetrics::ALL);
        assert_eq!(shown(all), (1..=7).collect::<Vec<i32>>());
        assert_eq!(requested(&shown(all)).unwrap(), all);
        let two = requested(&values(&[Name::OutgoingBytes, Name::IncomingBytes])).unwrap();
        assert_eq!(shown(two), values(&[Name::IncomingBytes, Name::OutgoingBytes]));
        for bad in [vec![], vec![0], vec![99], vec![1; 8]] {
            assert_eq!(requested(&bad).unwrap_err().field.as_deref(), Some(FIELD));
        }
    }
}
