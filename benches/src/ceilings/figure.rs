//! The figures: each a number that is measured, or a ratio of two that are measured in the same
//! round, with a bar.

use std::collections::BTreeMap;

use serde::Serialize;

use super::load::Outcome;

/// Everything that is measured, by round.
#[derive(Debug, Default)]
pub(super) struct Samples {
    rounds: BTreeMap<&'static str, Vec<f64>>,
    costs: BTreeMap<&'static str, Vec<Costs>>,
}

/// What a server spends under a load.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Costs {
    /// Seconds of CPU time for a million records.
    pub(super) server_cpu_s_per_million: Option<f64>,
    /// Mebibytes in its address space, pages of files that it maps included.
    pub(super) resident_mib: Option<f64>,
    /// Bytes that were written to the disk, for each record.
    pub(super) disk_bytes_per_record: Option<f64>,
    /// Bytes on the disk that are reserved or spare, for each record.
    pub(super) reserved_bytes_per_record: Option<f64>,
}

impl Samples {
    pub(super) fn add(&mut self, name: &'static str, value: f64) {
        self.rounds.entry(name).or_default().push(value);
    }

    /// What came of a load: records per second, and what they cost.
    pub(super) fn load(&mut self, name: &'static str, outcome: &Outcome) {
        self.add(name, outcome.rate());
        self.costs.entry(name).or_default().push(Costs::of(outcome));
    }

    /// What stands beside a figure: the medians of what its load cost, of a ratio the first one's.
    fn beside(&self, source: Source) -> Costs {
        let (Source::Value(name) | Source::Ratio(name, _) | Source::Difference(name, _)) = source;
        let rounds = self.costs.get(name).map_or(&[][..], Vec::as_slice);
        let middle = |cost: fn(&Costs) -> Option<f64>| {
            let mut values: Vec<f64> = rounds.iter().filter_map(cost).collect();
            values.sort_by(f64::total_cmp);
            median(&values)
        };
        Costs {
            server_cpu_s_per_million: middle(|costs| costs.server_cpu_s_per_million),
            resident_mib: middle(|costs| costs.resident_mib),
            disk_bytes_per_record: middle(|costs| costs.disk_bytes_per_record),
            reserved_bytes_per_record: middle(|costs| costs.reserved_bytes_per_record),
        }
    }

    /// The values of a figure, in the order of the rounds.
    fn of(&self, source: Source) -> Vec<f64> {
        let values = |name| self.rounds.get(name).map_or(&[][..], Vec::as_slice);
        match source {
            Source::Value(name) => values(name).to_vec(),
            Source::Ratio(name, reference) => {
                let pairs = values(name).iter().zip(values(reference));
                pairs.map(|(value, reference)| value / reference).collect()
            }
            Source::Difference(name, reference) => {
                let pairs = values(name).iter().zip(values(reference));
                pairs.map(|(value, reference)| value - reference).collect()
            }
        }
    }
}

impl Costs {
    pub(super) fn of(outcome: &Outcome) -> Costs {
        Costs {
            server_cpu_s_per_million: Some(outcome.server_cpu_per_million()),
            resident_mib: Some(mib(outcome.resident)),
            disk_bytes_per_record: outcome.disk.map(|disk| disk.written),
            reserved_bytes_per_record: outcome.disk.map(|disk| disk.reserved),
        }
    }
}

/// Where a figure comes from.
#[derive(Clone, Copy, Debug)]
enum Source {
    Value(&'static str),
    Ratio(&'static str, &'static str),
    Difference(&'static str, &'static str),
}

/// Which way is good.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Better {
    Higher,
    Lower,
}

/// A figure and what is asked of it.
#[derive(Debug)]
struct Definition {
    figure: &'static str,
    source: Source,
    unit: &'static str,
    better: Better,
    /// What it must reach, and what we want; `None`: it stands beside others.
    asked: Option<(f64, f64)>,
}

const fn ratio(
    figure: &'static str,
    (name, reference): (&'static str, &'static str),
    bar: f64,
    goal: f64,
) -> Definition {
    let source = Source::Ratio(name, reference);
    Definition { figure, source, unit: "x", better: Better::Higher, asked: Some((bar, goal)) }
}

const fn at_most(mut definition: Definition) -> Definition {
    definition.better = Better::Lower;
    definition
}

const fn value(
    name: &'static str,
    unit: &'static str,
    better: Better,
    asked: Option<(f64, f64)>,
) -> Definition {
    Definition { figure: name, source: Source::Value(name), unit, better, asked }
}

use Better::{Higher, Lower};

/// What is asked comes from the project's table of targets; each row says who is compared.
const DEFINITIONS: &[Definition] = &[
    ratio(
        "produce, 100 a message : stock no-op client stream",
        ("produce", "null-swallow"),
        0.85,
        1.1,
    ),
    ratio("produce, 100 a message : tuned no-op", ("produce", "null-produce"), 0.55, 0.75),
    ratio("produce, 100 a message : durability os", ("produce", "produce-os"), 0.75, 0.9),
    ratio(
        "produce, 1 a message : stock no-op unary, 256 in flight",
        ("produce-1", "null-put-1"),
        7.0,
        14.0,
    ),
    ratio(
        "PutRecords, 100 a call, 32 in flight : stock no-op",
        ("put-100", "null-put-100"),
        0.8,
        1.0,
    ),
    ratio(
        "PutRecord, 256 in flight : stock no-op",
        ("put-1", "null-put-1-one-connection"),
        0.65,
        0.8,
    ),
    at_most(ratio(
        "one put, p50 : write+fdatasync of 4 KiB",
        ("one-put-p50", "sync-4k-p50"),
        3.5,
        2.5,
    )),
    at_most(ratio(
        "one put, p99 : write+fdatasync of 4 KiB",
        ("one-put-p99", "sync-4k-p99"),
        3.5,
        3.0,
    )),
    Definition {
        figure: "put to push, p50, minus the put's own acknowledgement",
        source: Source::Difference("push-p50", "push-ack-p50"),
        unit: "us",
        better: Lower,
        asked: Some((60.0, 0.0)),
    },
    ratio("replay, our client : loopback TCP, 64 KiB writes", ("replay-bytes", "tcp"), 0.7, 0.95),
    ratio(
        "replay, stock client : raw stream of that client",
        ("replay-stock", "null-stream-raw"),
        0.85,
        0.95,
    ),
    ratio("GetRecords, 100 a page, 8 in flight : raw body", ("get", "null-get"), 0.85, 0.95),
    // A record has 1,024 bytes: 150,000 a second are 154 MB/s.
    value("kinesis-put", "records/s", Higher, Some((150e3, 300e3))),
    value("kinesis-put-cbor", "records/s", Higher, Some((300e3, 450e3))),
    value("kinesis-get", "records/s", Higher, Some((150e3, 300e3))),
    value("kinesis-get-cbor", "records/s", Higher, Some((300e3, 450e3))),
    value("kinesis-push", "records/s", Higher, Some((200e3, 400e3))),
    ratio(
        "kinesis PutRecords, JSON, 500 a call, 8 in flight : no-op HTTP",
        ("kinesis-put", "null-kinesis-put"),
        0.6,
        0.8,
    ),
    ratio(
        "kinesis PutRecords, CBOR, the same : no-op HTTP",
        ("kinesis-put-cbor", "null-kinesis-put-cbor"),
        0.6,
        0.8,
    ),
    ratio(
        "kinesis GetRecords, JSON, 500 a page, 8 in flight : no-op HTTP",
        ("kinesis-get", "null-kinesis-get"),
        0.6,
        0.8,
    ),
    ratio(
        "kinesis GetRecords, CBOR, the same : no-op HTTP",
        ("kinesis-get-cbor", "null-kinesis-get-cbor"),
        0.6,
        0.8,
    ),
    ratio(
        "kinesis SubscribeToShard, an event stream : no-op HTTP",
        ("kinesis-push", "null-kinesis-push"),
        0.6,
        0.8,
    ),
    ratio("produce into 64 shards : 1 shard", ("produce-64-shards", "produce-1-shard"), 0.8, 0.95),
    ratio("produce into 256 shards : 1 shard", ("produce-256-shards", "produce-1-shard"), 0.7, 0.9),
    value("produce-cpu", "s of server CPU per million", Lower, Some((1.2, 0.8))),
    at_most(ratio(
        "replay, server CPU : stock server stream",
        ("replay-cpu", "null-stream-cpu"),
        0.5,
        0.35,
    )),
    ratio(
        "engine, batches of 100, 8 appenders : write+fdatasync, 8 files",
        ("engine-synced", "sync-100k-records"),
        0.75,
        0.9,
    ),
    value("engine-no-sync", "records/s", Higher, Some((3e6, 4.5e6))),
    value("engine-walk", "records/s", Higher, Some((8e6, 15e6))),
    value("engine-walk, headers and borders only", "records/s", Higher, Some((10e6, 30e6))),
    value("disk-bytes", "per byte of record", Lower, Some((1.08, 1.05))),
    value("allocations-produce", "per record, 100 a message", Lower, Some((0.1, 0.0))),
    value("memory-idle", "MiB anonymous", Lower, Some((20.0, 10.0))),
    value("memory-10-gib-100-subscribers", "MiB anonymous", Lower, Some((96.0, 48.0))),
    value("memory-10000-shards", "MiB anonymous", Lower, Some((300.0, 150.0))),
    value("produce", "records/s", Higher, None),
    ratio(
        "durable, 100 a batch : redis, appendfsync always",
        ("redis-ours", "redis-always"),
        8.0,
        20.0,
    ),
    ratio(
        "durable, 100 a batch : nats, sync_interval always",
        ("nats-ours", "nats-always"),
        80.0,
        150.0,
    ),
    ratio(
        "durable, 100 a batch : redis by default, everysec",
        ("redis-ours", "redis-default"),
        3.0,
        5.0,
    ),
    ratio(
        "durable, 100 a batch : nats by default, 2 minutes",
        ("nats-ours", "nats-default"),
        3.0,
        6.0,
    ),
    ratio(
        "durable, 100 a batch : kafka, flush.messages=1",
        ("kafka-ours", "kafka-flush"),
        4.0,
        8.0,
    ),
    ratio("durable, 100 a batch : kafka by default", ("kafka-ours", "kafka-default"), 1.0, 2.0),
    ratio(
        "kinesis PutRecords, JSON : kinesalite",
        ("kinesalite-ours-put", "kinesalite-put"),
        10.0,
        30.0,
    ),
    ratio(
        "kinesis GetRecords, JSON : kinesalite",
        ("kinesalite-ours-get", "kinesalite-get"),
        10.0,
        30.0,
    ),
    ratio(
        "kinesis PutRecords, JSON : kinesis-mock",
        ("kinesis-mock-ours-put", "kinesis-mock-put"),
        10.0,
        30.0,
    ),
    ratio(
        "kinesis GetRecords, JSON : kinesis-mock",
        ("kinesis-mock-ours-get", "kinesis-mock-get"),
        10.0,
        30.0,
    ),
    value("kafka-ours", "records/s", Higher, None),
    value("kafka-flush", "records/s", Higher, None),
    value("kafka-default", "records/s", Higher, None),
    value("redis-ours", "records/s", Higher, None),
    value("redis-always", "records/s", Higher, None),
    value("redis-default", "records/s", Higher, None),
    value("nats-ours", "records/s", Higher, None),
    value("nats-always", "records/s", Higher, None),
    value("nats-default", "records/s", Higher, None),
    value("nats-always-4-streams", "records/s", Higher, None),
    value("nats-default-4-streams", "records/s", Higher, None),
    value("kinesalite-put", "records/s", Higher, None),
    value("kinesalite-get", "records/s", Higher, None),
    value("kinesis-mock-put", "records/s", Higher, None),
    value("kinesis-mock-get", "records/s", Higher, None),
    value("disk-reserved", "per byte of record", Lower, None),
    value("disk-spare", "MiB", Lower, None),
    value("produce-p50", "us", Lower, None),
    value("produce-p99", "us", Lower, None),
    value("produce-client-cpu", "s of client CPU per million", Lower, None),
    value("produce-recycled", "records/s", Higher, None),
    value("produce-os", "records/s", Higher, None),
    value("produce-1", "records/s", Higher, None),
    value("allocations-produce-1", "per record, 1 a message", Lower, None),
    value("produce-1-cpu", "s of server CPU per million", Lower, None),
    value("produce-1-shard", "records/s", Higher, None),
    value("produce-64-shards", "records/s", Higher, None),
    value("produce-256-shards", "records/s", Higher, None),
    value("put-100", "records/s", Higher, None),
    value("put-100-cpu", "s of server CPU per million", Lower, None),
    value("put-1", "records/s", Higher, None),
    value("put-1-cpu", "s of server CPU per million", Lower, None),
    value("one-put-p50", "us", Lower, None),
    value("one-put-p99", "us", Lower, None),
    value("push-p50", "us", Lower, None),
    value("push-ack-p50", "us", Lower, None),
    value("replay", "records/s", Higher, None),
    value("replay-cpu", "s of server CPU per million", Lower, None),
    value("replay-stock", "records/s", Higher, None),
    value("get", "records/s", Higher, None),
    value("get-cpu", "s of server CPU per million", Lower, None),
    value("kinesis-put-p50", "us", Lower, None),
    value("kinesis-put-p99", "us", Lower, None),
    value("kinesis-put-cpu", "s of server CPU per million", Lower, None),
    value("kinesis-put-cbor-cpu", "s of server CPU per million", Lower, None),
    value("kinesis-get-cpu", "s of server CPU per million", Lower, None),
    value("kinesis-get-cbor-cpu", "s of server CPU per million", Lower, None),
    value("kinesis-push-cpu", "s of server CPU per million", Lower, None),
    value("memory-produce", "MiB resident", Lower, None),
    value("null-swallow", "records/s", Higher, None),
    value("null-swallow-cpu", "s of server CPU per million", Lower, None),
    value("null-produce", "records/s", Higher, None),
    value("null-produce-cpu", "s of server CPU per million", Lower, None),
    value("null-put-100", "records/s", Higher, None),
    value("null-put-1", "records/s", Higher, None),
    value("null-put-1-one-connection", "records/s", Higher, None),
    value("null-stream", "records/s", Higher, None),
    value("null-stream-cpu", "s of server CPU per million", Lower, None),
    value("null-stream-raw", "records/s", Higher, None),
    value("null-get", "records/s", Higher, None),
    value("null-kinesis-put", "records/s", Higher, None),
    value("null-kinesis-put-cbor", "records/s", Higher, None),
    value("null-kinesis-get", "records/s", Higher, None),
    value("null-kinesis-get-cbor", "records/s", Higher, None),
    value("null-kinesis-push", "records/s", Higher, None),
    value("sync-4k-p50", "us", Lower, None),
    value("sync-4k-p99", "us", Lower, None),
    value("sync-100k-records", "records/s", Higher, None),
    value("tcp", "bytes/s", Higher, None),
    value("engine-synced", "records/s", Higher, None),
];

/// A figure as it is printed.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    pub(super) figure: String,
    /// The median of the rounds.
    pub(super) value: f64,
    pub(super) unit: &'static str,
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) bar: Option<f64>,
    pub(super) goal: Option<f64>,
    pub(super) better: Better,
    /// Whether the median reaches the bar.
    pub(super) holds: Option<bool>,
    #[serde(flatten)]
    pub(super) beside: Costs,
}

/// The figures for which something was measured.
pub(super) fn rows(samples: &Samples) -> Vec<Row> {
    let row = |definition: &Definition| {
        let (figure, values) = (definition.figure.to_owned(), samples.of(definition.source));
        let row = row_of(figure, definition.unit, definition.better, definition.asked, values)?;
        Some(Row { beside: samples.beside(definition.source), ..row })
    };
    DEFINITIONS.iter().filter_map(row).collect()
}

/// The row of these values, and of what is asked of their median; nothing where there are none.
pub(super) fn row_of(
    figure: String,
    unit: &'static str,
    better: Better,
    asked: Option<(f64, f64)>,
    mut values: Vec<f64>,
) -> Option<Row> {
    values.sort_by(f64::total_cmp);
    let value = median(&values)?;
    let holds = asked.map(|(bar, _)| match better {
        Higher => value >= bar,
        Lower => value <= bar,
    });
    Some(Row {
        figure,
        value,
        unit,
        min: *values.first()?,
        max: *values.last()?,
        bar: asked.map(|(bar, _)| bar),
        goal: asked.map(|(_, goal)| goal),
        better,
        holds,
        beside: Costs::default(),
    })
}

pub(super) fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// The middle of sorted values.
fn median(sorted: &[f64]) -> Option<f64> {
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_taken_within_each_round() {
        let mut samples = Samples::default();
        // The machine is twice as fast in the second round.
        for (ours, reference) in [(80.0, 100.0), (180.0, 200.0), (70.0, 100.0)] {
            samples.add("produce", ours);
            samples.add("null-swallow", reference);
        }
        let rows = rows(&samples);
        let row = &rows[0];
        assert_eq!((row.value, row.min, row.max), (0.8, 0.7, 0.9));
        assert_eq!(row.holds, Some(false));
        assert!(rows.iter().any(|row| row.figure == "produce" && row.holds.is_none()));
    }

    #[test]
    fn of_two_values_the_median_lies_between() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[1.0, 2.0]), Some(1.5));
        assert_eq!(median(&[1.0, 2.0, 9.0]), Some(2.0));
    }

    #[test]
    fn lower_is_better_where_it_says_so() {
        let mut samples = Samples::default();
        samples.add("push-p50", 350.0);
        samples.add("push-ack-p50", 300.0);
        let rows = rows(&samples);
        assert_eq!((rows[0].value, rows[0].holds), (50.0, Some(true)));
    }
}
