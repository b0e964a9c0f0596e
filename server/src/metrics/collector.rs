//! What a scrape shows: the server's counters and the engine's figures, under their names.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anabranch_engine::{Durability, Engine, Histogram};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use super::histogram::BOUNDS_US;
use super::{Counters, OUTCOME_DEADLINE, OUTCOME_OK, Operation, kind};

/// Reads everything when asked.
pub(super) struct Scrape {
    pub(super) counters: Arc<Counters>,
    pub(super) engine: Engine,
    pub(super) durability: Durability,
}

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scrape").finish_non_exhaustive()
    }
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut out = Out(encoder);
        self.server(&mut out)?;
        self.engine(&mut out)
    }
}

impl Scrape {
    fn server(&self, out: &mut Out<'_>) -> fmt::Result {
        let counters = &self.counters;
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut encoder = out.0.encode_descriptor(
            "requests",
            "Calls that ended, by operation and outcome",
            None,
            MetricType::Counter,
        )?;
        for operation in Operation::ALL {
            for (index, counter) in counters.requests[operation as usize].iter().enumerate() {
                let outcome = match index {
                    OUTCOME_OK => "OK",
                    OUTCOME_DEADLINE => "DeadlineExceeded",
                    index => kind::TABLE[index - 2].reason,
                };
                let count = load(counter);
                if count > 0 {
                    let labels = [("operation", operation.name()), ("outcome", outcome)];
                    let mut series = encoder.encode_family(&labels)?;
                    series.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
                }
            }
        }
        let in_flight = counters.in_flight.load(Ordering::Relaxed);
        out.gauge("requests_in_flight", "Calls that have not ended", None, in_flight)?;
        let subscribers = counters.subscribers.load(Ordering::Relaxed);
        out.gauge("subscribers", "Running subscriptions", None, subscribers)?;
        let (counts, sum_us) = counters.put_duration.read();
        out.micros(
            "put_duration",
            "From the arrival of a batch to its acknowledgement",
            &BOUNDS_US,
            &counts,
            sum_us,
        )?;
        out.counter(
            "throttled_records",
            "Records refused because their shard had no room for too long, or by a quota",
            None,
            load(&counters.throttled_records),
        )?;
        out.counter(
            "read_records",
            "Records handed out, by pull and push",
            None,
            load(&counters.read_records),
        )?;
        out.counter(
            "read",
            "Encoded bytes of the records handed out",
            Some(Unit::Bytes),
            load(&counters.read_bytes),
        )?;
        let age_ms = counters.iterator_age_ms_max.swap(0, Ordering::Relaxed);
        out.gauge(
            "iterator_age_max",
            "How far the slowest read since the last scrape was behind the newest record",
            Some(Unit::Seconds),
            age_ms as f64 / 1000.0,
        )
    }

    fn engine(&self, out: &mut Out<'_>) -> fmt::Result {
        let stats = self.engine.stats();
        let mode = match self.durability {
            Durability::Fsync => "fsync",
            Durability::Os => "os",
        };
        out.0
            .encode_descriptor("durability", "When a put is acknowledged", None, MetricType::Info)?
            .encode_info(&[("mode", mode)])?;
        let counters = [
            ("appends", "Appends to shards", None, stats.puts),
            ("put_records", "Records appended", None, stats.records),
            ("put", "Encoded bytes of the records appended", Some(Unit::Bytes), stats.bytes),
            ("commits", "Frames committed", None, stats.commits),
            (
                "committed",
                "Bytes of the frames committed",
                Some(Unit::Bytes),
                stats.committed_bytes,
            ),
            (
                "disk_full_commits",
                "Commits refused because the disk was full",
                None,
                stats.refused_full,
            ),
            ("busy_appends", "Appends that found no room and were asked to wait", None, stats.busy),
        ];
        for (name, help, unit, value) in counters {
            out.counter(name, help, unit, value)?;
        }
        let gauges = [
            ("streams", "Streams", None, stats.streams),
            ("shards", "Shards of all streams", None, stats.shards),
            ("open_segments", "Segment files held open for reading", None, stats.open_segments),
            ("spare_segments", "Retired segments kept for reuse", None, stats.spare_segments),
            (
                "staged",
                "Encoded bytes appended and not committed yet",
                Some(Unit::Bytes),
                stats.staged_bytes,
            ),
            (
                "halted_logs",
                "Logs that refuse writes until the server is restarted",
                None,
                stats.halted_logs,
            ),
            ("damage_found", "Damaged ranges found since the start", None, stats.damage_found),
            (
                "disk_free",
                "Space left in the data directory",
                Some(Unit::Bytes),
                stats.disk_free_bytes,
            ),
            (
                "disk_total",
                "Size of the data directory's file system",
                Some(Unit::Bytes),
                stats.disk_total_bytes,
            ),
            (
                "disk_full",
                "1 while puts are refused because the disk is full",
                None,
                u64::from(stats.is_disk_full),
            ),
            (
                "clock_jump_pending",
                "1 while the wall clock stands where arrival times do not follow",
                None,
                u64::from(stats.is_clock_jump_pending),
            ),
        ];
        for (name, help, unit, value) in gauges {
            out.gauge(name, help, unit, value)?;
        }
        let Histogram { bounds, counts, sum } = &stats.sync_us;
        out.micros("sync_duration", "Syncs of segments", bounds, counts, *sum)?;
        let Histogram { bounds, counts, sum } = &stats.commit_records;
        let bounds = bounds.iter().map(|bound| *bound as f64);
        out.histogram(
            "commit_records",
            "Records in one commit",
            None,
            &buckets(bounds, counts),
            *sum as f64,
        )
    }
}

/// Writes metrics without labels.
struct Out<'a>(DescriptorEncoder<'a>);

impl Out<'_> {
    fn counter(&mut self, name: &str, help: &str, unit: Option<Unit>, value: u64) -> fmt::Result {
        self.0
            .encode_descriptor(name, help, unit.as_ref(), MetricType::Counter)?
            .encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    fn gauge(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<Unit>,
        value: impl EncodeGaugeValue,
    ) -> fmt::Result {
        self.0.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?.encode_gauge(&value)
    }

    /// A histogram of microseconds, shown in seconds as OpenMetrics wants them.
    fn micros(
        &mut self,
        name: &str,
        help: &str,
        bounds_us: &[u64],
        counts: &[u64],
        sum_us: u64,
    ) -> fmt::Result {
        let seconds = |us: u64| us as f64 / 1e6;
        let bounds = bounds_us.iter().map(|bound| seconds(*bound));
        let buckets = buckets(bounds, counts);
        self.histogram(name, help, Some(Unit::Seconds), &buckets, seconds(sum_us))
    }

    fn histogram(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<Unit>,
        buckets: &[(f64, u64)],
        sum: f64,
    ) -> fmt::Result {
        let count = buckets.iter().map(|(_, count)| count).sum();
        self.0
            .encode_descriptor(name, help, unit.as_ref(), MetricType::Histogram)?
            .encode_histogram::<NoLabelSet>(sum, count, buckets, None)
    }
}

/// Buckets by upper bound; the last holds what is above every bound.
fn buckets(bounds: impl Iterator<Item = f64>, counts: &[u64]) -> Vec<(f64, u64)> {
    let bounds = bounds.chain(std::iter::once(f64::INFINITY));
    let counts = counts.iter().copied().chain(std::iter::repeat(0));
    bounds.zip(counts).collect()
}
