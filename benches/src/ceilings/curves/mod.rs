//! Curves: how throughput and the slowest hundredth change with one thing at a time.
//!
//! Each curve is a row of points, and each point is measured by a server of its own, so that
//! none inherits from the one before; only the bytes stored grow in one server. Points are
//! repeated in turn, as rounds are, and what is drawn and told is their median.

mod draw;

use std::path::Path;

use anyhow::{Context, Result};

use super::child::Child;
use super::figure::{Better, Costs, Row, row_of};
use super::group::{Bench, MESSAGES_IN_FLIGHT, microseconds};
use super::load::{self, DATA_BYTES, Outcome, Puts};

/// Shards where it is not they that vary.
const SHARDS: u32 = 4;

/// Bytes of a message, about, where records vary in size, and bytes under way.
const MESSAGE_BYTES: usize = 100 << 10;
const BYTES_IN_FLIGHT: usize = MESSAGES_IN_FLIGHT * MESSAGE_BYTES;

/// Bytes that stay free on the disk.
const DISK_LEFT: u64 = 4 << 30;

/// What is measured at a point.
#[derive(Clone, Copy, Debug)]
struct Measured {
    records_per_second: f64,
    p99_us: f64,
    costs: Costs,
}

/// A point: where it lies, and what was measured there in each round.
#[derive(Clone, Debug)]
struct Point {
    at: u32,
    rounds: Vec<Measured>,
}

impl Point {
    fn median(&self, of: fn(&Measured) -> f64) -> f64 {
        row_of(String::new(), "", Better::Higher, None, self.values(of))
            .map_or(0.0, |row| row.value)
    }

    fn values(&self, of: fn(&Measured) -> f64) -> Vec<f64> {
        self.rounds.iter().map(of).collect()
    }
}

/// What varies.
struct Curve {
    name: &'static str,
    title: &'static str,
    /// What stands below the axis.
    axis: &'static str,
    at: &'static [u32],
    measure: fn(&Bench<'_>, u32) -> Result<Measured>,
}

const CURVES: &[Curve] = &[
    Curve {
        name: "shards",
        title: "Produce, 100 records of 1 KiB a message, 32 messages under way, durable",
        axis: "shards",
        at: &[1, 4, 16, 64, 256, 1000],
        measure: shards,
    },
    Curve {
        name: "producers",
        title: "Produce, each producer with a connection and one message of 100 under way, durable",
        axis: "producers",
        at: &[1, 4, 16, 64, 256],
        measure: producers,
    },
    Curve {
        name: "subscribers",
        title: "Replay by all subscribers together; p99 from put to push at 1,000 records/s",
        axis: "subscribers",
        at: &[1, 4, 16, 64],
        measure: subscribers,
    },
    Curve {
        name: "record-bytes",
        title: "Produce, messages of 100 KiB (one record at least), 3.2 MB under way, durable",
        axis: "bytes of a record",
        at: &[16, 64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20],
        measure: record_bytes,
    },
];

/// Measures all curves, each `rounds` times, draws them into `dir`, and tells them as rows.
pub(super) fn measure(
    bench: &Bench<'_>,
    rounds: u32,
    stored_gib_max: u32,
    dir: &Path,
    tell: impl Fn(String),
) -> Result<Vec<Row>> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let mut rows = Vec::new();
    for curve in CURVES {
        let mut points: Vec<Point> =
            curve.at.iter().map(|at| Point { at: *at, rounds: Vec::new() }).collect();
        for round in 1..=rounds {
            for (point, at) in points.iter_mut().zip(curve.at) {
                tell(format!("curve {}, {at}, round {round}", curve.name));
                let measured = (curve.measure)(bench, *at);
                let measured = measured.with_context(|| format!("curve {}, {at}", curve.name));
                point.rounds.push(measured?);
            }
        }
        rows.extend(finish(curve.name, curve.title, curve.axis, &points, dir)?);
        if curve.name == "shards" {
            rows.extend(against_four_shards(&points));
        }
    }
    let points = stored(bench, stored_gib_max, &tell)?;
    let title = "Produce into one stream that grows, 100 records of 1 KiB a message, durable";
    rows.extend(finish("stored", title, "GiB stored", &points, dir)?);
    rows.extend(cpu_against_the_first(&points));
    Ok(rows)
}

/// Draws a curve, and makes its rows.
fn finish(name: &str, title: &str, axis: &str, points: &[Point], dir: &Path) -> Result<Vec<Row>> {
    let file = dir.join(format!("{name}.svg"));
    draw::draw(title, axis, points, &file)
        .map_err(|error| anyhow::anyhow!("cannot draw {}: {error}", file.display()))?;
    let mut rows = Vec::new();
    for point in points {
        let figure = format!("{name} {}", point.at);
        let rate = point.values(|measured| measured.records_per_second);
        let row = row_of(figure.clone(), "records/s", Better::Higher, None, rate);
        let costs = point.rounds.get(point.rounds.len() / 2).map(|middle| middle.costs);
        rows.extend(row.map(|row| Row { beside: costs.unwrap_or_default(), ..row }));
        let slowest = point.values(|measured| measured.p99_us);
        rows.extend(row_of(figure + ", p99", "us", Better::Lower, None, slowest));
    }
    Ok(rows)
}

/// Throughput at 256 shards against 4, within each round.
fn against_four_shards(points: &[Point]) -> Option<Row> {
    let at = |shards: u32| points.iter().find(|point| point.at == shards);
    let rate = |measured: &Measured| measured.records_per_second;
    let pairs = at(256)?.values(rate).into_iter().zip(at(4)?.values(rate));
    let ratios = pairs.map(|(many, few)| many / few).collect();
    let figure = "throughput at 256 shards : 4 shards".to_owned();
    row_of(figure, "x", Better::Higher, Some((0.7, 0.9)), ratios)
}

/// CPU time of a record at the most bytes stored against the fewest. A tenth is what two
/// measurements of the same differ by.
fn cpu_against_the_first(points: &[Point]) -> Option<Row> {
    let cpu = |measured: &Measured| measured.costs.server_cpu_s_per_million.unwrap_or(0.0);
    let (first, last) = (points.first()?, points.last()?);
    let ratios = last.values(cpu).iter().map(|last| last / first.median(cpu)).collect();
    let figure = format!("server CPU a record at {} GiB stored : at 1 GiB", last.at);
    row_of(figure, "x", Better::Lower, Some((1.1, 1.0)), ratios)
}

fn shards(bench: &Bench<'_>, shards: u32) -> Result<Measured> {
    let puts = bench.puts(100, MESSAGES_IN_FLIGHT);
    put(bench, shards, puts)
}

fn producers(bench: &Bench<'_>, producers: u32) -> Result<Measured> {
    let producers = producers as usize;
    put(bench, SHARDS, Puts { connections: producers, ..bench.puts(100, producers) })
}

fn record_bytes(bench: &Bench<'_>, record_bytes: u32) -> Result<Measured> {
    // A key has eight bytes; a message 500 records at most.
    let data_bytes = record_bytes as usize - 8;
    let batch = (MESSAGE_BYTES / record_bytes as usize).clamp(1, 500);
    let in_flight = (BYTES_IN_FLIGHT / (batch * record_bytes as usize)).clamp(2, 256);
    put(bench, SHARDS, Puts { data_bytes, ..bench.puts(batch, in_flight) })
}

fn put(bench: &Bench<'_>, shards: u32, puts: Puts) -> Result<Measured> {
    let came = bench.ours("fsync", shards, async |child| load::produce(child, puts).await)?;
    Ok(measured(&came))
}

fn measured(came: &Outcome) -> Measured {
    Measured {
        records_per_second: came.rate(),
        p99_us: microseconds(&came.latency, 0.99),
        costs: Costs::of(came),
    }
}

fn subscribers(bench: &Bench<'_>, subscribers: u32) -> Result<Measured> {
    /// Records of each shard, and those that all subscribers together are pushed, at most.
    const RECORDS: u64 = 250_000;
    const PUSHED: u64 = 4_000_000;
    let each = RECORDS.min(PUSHED / u64::from(subscribers));
    let mut replayed = bench.ours("os", SHARDS, async |child| {
        // Keys are spread evenly, but not to the record.
        load::fill(child, RECORDS * u64::from(SHARDS) * 21 / 20, 250).await?;
        load::fan_out(child, subscribers, SHARDS, each).await
    })?;
    // A stream has 20 consumers: where there are more subscribers, their shards share the load.
    let (_, pushed) = bench.ours("fsync", SHARDS, async |child| {
        load::put_to_push(child, subscribers, SHARDS, bench.seconds).await
    })?;
    replayed.latency = pushed;
    Ok(measured(&replayed))
}

/// One server into which more and more is put; at each point the usual load is measured three
/// times.
fn stored(bench: &Bench<'_>, gib_max: u32, tell: &impl Fn(String)) -> Result<Vec<Point>> {
    const MEASUREMENTS: usize = 3;
    const RECORDS_PER_GIB: u64 = (1 << 30) / (DATA_BYTES as u64 + 8);
    let puts = bench.puts(100, MESSAGES_IN_FLIGHT);
    bench.ours("fsync", SHARDS, async |child: &Child| {
        let (mut points, mut put) = (Vec::new(), 0);
        for gib in [1, 2, 4, 8, 16, 32].into_iter().filter(|gib| *gib <= gib_max) {
            tell(format!("curve stored, {gib} GiB"));
            let missing = (u64::from(gib) * RECORDS_PER_GIB).saturating_sub(put);
            let disk = rustix::fs::statvfs(bench.dir)?;
            let free = (disk.f_bavail * disk.f_frsize).saturating_sub(DISK_LEFT);
            if missing * 1100 > free {
                eprintln!("ceilings: the curve of bytes stored ends before {gib} GiB: disk full");
                break;
            }
            // What is measured is put, too.
            load::fill(child, missing / 250 * 250, 250).await?;
            put += missing;
            let mut rounds = Vec::new();
            for _ in 0..MEASUREMENTS {
                let came = load::produce(child, puts).await?;
                put += came.total;
                rounds.push(measured(&came));
            }
            points.push(Point { at: gib, rounds });
        }
        Ok(points)
    })
}
