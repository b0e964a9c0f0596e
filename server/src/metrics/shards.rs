//! The series of single shards: for streams whose enhanced monitoring asks for them, and only the
//! metrics that it asks for.
//!
//! Their number is the user's choice, and may be large: seven for each shard of each such stream.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anabranch_engine::ids::{ShardId, StreamName};
use anabranch_engine::settings::{ShardMetric, ShardMetrics};
use anabranch_engine::{Engine, Stream};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use crate::ops::Throughput;
use crate::traffic::load::{Sums, WINDOW_SECONDS};

/// Streams that are taken from the engine at a time, so that its list is not locked for long.
const STREAMS_AT_ONCE: usize = 1000;

/// Reads the traffic of monitored shards when asked.
pub(super) struct ShardScrape {
    pub(super) engine: Engine,
    pub(super) throughput: Arc<Throughput>,
}

/// A shard that is monitored.
struct Monitored {
    stream: StreamName,
    shard: ShardId,
    metrics: ShardMetrics,
    total: Sums,
    last_minute: Sums,
}

/// A metric, as it is shown.
struct Shown {
    metric: ShardMetric,
    name: &'static str,
    help: &'static str,
    unit: Option<Unit>,
    value: Value,
}

enum Value {
    /// Counted since the start of the server.
    Counter(fn(&Sums) -> u64),
    /// Seconds, of the last minute.
    Gauge(fn(&Sums) -> f64),
}

const SHOWN: [Shown; 7] = [
    Shown {
        metric: ShardMetric::IncomingBytes,
        name: "shard_incoming",
        help: "Bytes of keys and data put to a shard",
        unit: Some(Unit::Bytes),
        value: Value::Counter(|sums| sums.bytes_in),
    },
    Shown {
        metric: ShardMetric::IncomingRecords,
        name: "shard_incoming_records",
        help: "Records put to a shard",
        unit: None,
        value: Value::Counter(|sums| sums.records_in),
    },
    Shown {
        metric: ShardMetric::OutgoingBytes,
        name: "shard_outgoing",
        help: "Encoded bytes of the records read from a shard",
        unit: Some(Unit::Bytes),
        value: Value::Counter(|sums| sums.bytes_out),
    },
    Shown {
        metric: ShardMetric::OutgoingRecords,
        name: "shard_outgoing_records",
        help: "Records read from a shard",
        unit: None,
        value: Value::Counter(|sums| sums.records_out),
    },
    Shown {
        metric: ShardMetric::WriteProvisionedThroughputExceeded,
        name: "shard_write_throttled_records",
        help: "Records that a shard refused for want of throughput",
        unit: None,
        value: Value::Counter(|sums| sums.throttled_records),
    },
    Shown {
        metric: ShardMetric::ReadProvisionedThroughputExceeded,
        name: "shard_read_throttled_calls",
        help: "Calls of GetRecords that a shard refused for want of throughput",
        unit: None,
        value: Value::Counter(|sums| sums.throttled_polls),
    },
    Shown {
        metric: ShardMetric::IteratorAgeMilliseconds,
        name: "shard_iterator_age_max",
        help: "How far the slowest read of a shard in the last minute was behind its newest record",
        unit: Some(Unit::Seconds),
        value: Value::Gauge(|sums| sums.iterator_age_ms_max as f64 / 1000.0),
    },
];

impl fmt::Debug for ShardScrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardScrape").finish_non_exhaustive()
    }
}

impl Collector for ShardScrape {
    fn encode(&self, mut out: DescriptorEncoder<'_>) -> fmt::Result {
        let monitored = self.monitored();
        for Shown { metric, name, help, unit, value } in &SHOWN {
            let kind = match value {
                Value::Counter(_) => MetricType::Counter,
                Value::Gauge(_) => MetricType::Gauge,
            };
            let mut encoder = out.encode_descriptor(name, help, unit.as_ref(), kind)?;
            for shard in monitored.iter().filter(|shard| shard.metrics.contains(*metric)) {
                let id = shard.shard.to_string();
                let labels = [("stream", shard.stream.as_str()), ("shard", id.as_str())];
                let mut series = encoder.encode_family(&labels)?;
                match value {
                    Value::Counter(of) => {
                        series.encode_counter::<NoLabelSet, _, u64>(&of(&shard.total), None)?;
                    }
                    Value::Gauge(of) => series.encode_gauge(&of(&shard.last_minute))?,
                }
            }
        }
        Ok(())
    }
}

impl ShardScrape {
    fn monitored(&self) -> Vec<Monitored> {
        let now = self.throughput.now();
        let mut monitored = Vec::new();
        let mut last: Option<StreamName> = None;
        loop {
            let streams = self.engine.streams(last.as_ref(), STREAMS_AT_ONCE);
            for stream in &streams {
                let metrics = stream.settings().monitoring;
                if !metrics.is_empty() {
                    self.add(stream, metrics, now, &mut monitored);
                }
            }
            match streams.last() {
                Some(stream) if streams.len() == STREAMS_AT_ONCE => {
                    last = Some(stream.name().clone());
                }
                _ => return monitored,
            }
        }
    }

    fn add(
        &self,
        stream: &Stream,
        metrics: ShardMetrics,
        now: Duration,
        monitored: &mut Vec<Monitored>,
    ) {
        let traffic = self.throughput.traffic(stream);
        for shard in &stream.shards() {
            let known = traffic.known_shard(shard.id());
            let (total, last_minute) = known.map_or_else(Default::default, |traffic| {
                (traffic.total(), traffic.over(WINDOW_SECONDS, now))
            });
            let (stream, shard) = (stream.name().clone(), shard.id());
            monitored.push(Monitored { stream, shard, metrics, total, last_minute });
        }
    }
}
