//! What is measured together in a round, one after the other: a figure and what it is held
//! against are seconds apart.

use std::path::Path;

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::child::Child;
use super::engine;
use super::figure::{Samples, mib};
use super::load::{self, Outcome, Puts, Settings};
use super::null::Shape;
use super::peer::{self, Peers};
use super::raw;

/// Bytes of a record, key included.
const RECORD_BYTES: f64 = 1024.0;

/// Messages of 100 under way in `Produce`: 3.2 MB.
pub(super) const MESSAGES_IN_FLIGHT: usize = 32;

/// Messages, or calls, of one record under way.
const SINGLES_IN_FLIGHT: usize = 256;

/// Records that are replayed: they are all in memory.
const REPLAYED: u64 = 1_000_000;

/// What a group works with.
#[derive(Debug)]
pub(super) struct Bench<'a> {
    pub(super) runtime: &'a Runtime,
    /// Where data directories are made.
    pub(super) dir: &'a Path,
    /// How long a load is counted.
    pub(super) seconds: f64,
    pub(super) peers: &'a Peers,
}

/// A part of a round.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) run: fn(&Bench<'_>, &mut Samples) -> Result<()>,
}

/// All groups, in their order.
pub(super) const GROUPS: &[Group] = &[
    Group { name: "produce", about: "batches of 100 by Produce", run: produce },
    Group { name: "singles", about: "records one by one", run: singles },
    Group { name: "calls", about: "100 records a call", run: calls },
    Group { name: "latency", about: "how long one record takes", run: latency },
    Group { name: "reads", about: "replays and pages", run: reads },
    Group { name: "shards", about: "the same load into 1, 64 and 256 shards", run: shards },
    Group { name: "engine", about: "the engine without a server", run: engine_alone },
    #[cfg(feature = "count-allocations")]
    Group {
        name: "allocations",
        about: "how often a put record allocates",
        run: super::allocations::group,
    },
    Group { name: "space", about: "disk and memory", run: space },
    Group {
        name: "redis",
        about: "the same load into redis-server (--peer redis)",
        run: peer::redis,
    },
    Group { name: "nats", about: "the same load into nats-server (--peer nats)", run: peer::nats },
    Group {
        name: "kafka",
        about: "the same load into a Kafka broker (--peer kafka)",
        run: peer::kafka,
    },
];

impl Bench<'_> {
    pub(super) fn data(&self) -> Result<TempDir> {
        let dir = tempfile::tempdir_in(self.dir);
        dir.with_context(|| format!("cannot make a directory in {}", self.dir.display()))
    }

    pub(super) fn puts(&self, batch: usize, in_flight: usize) -> Puts {
        Puts { batch, in_flight, connections: 1, seconds: self.seconds }
    }

    /// A new server of ours with a stream of so many shards, and what `load` makes of it.
    pub(super) fn ours<T>(
        &self,
        durability: &str,
        shards: u32,
        load: impl AsyncFnOnce(&Child) -> Result<T>,
    ) -> Result<T> {
        let data = self.data()?;
        let child = Child::ours(data.path(), durability)?;
        let came = self.runtime.block_on(async {
            load::create(&child, shards).await?;
            load(&child).await
        })?;
        child.stop()?;
        Ok(came)
    }

    /// A new server that does nothing, and what `load` makes of it.
    fn null<T>(&self, shape: Shape, load: impl AsyncFnOnce(&Child) -> Result<T>) -> Result<T> {
        let child = Child::null(shape)?;
        let came = self.runtime.block_on(load(&child))?;
        child.stop()?;
        Ok(came)
    }
}

fn produce(bench: &Bench<'_>, samples: &mut Samples) -> Result<()> {
    let puts = bench.puts(100, MESSAGES_IN_FLIGHT);
    let swallowed = bench.null(Shape::Stock, async |child| load::swallow(child, puts).await)?;
    samples.load("null-swallow", &swallowed);
    samples.add("null-swallow-cpu", swallowed.server_cpu_per_million());
    let (durable, resident) = bench.ours("fsync", 4, async |child| {
        Ok((load::produce(child, puts).await?, child.resident_bytes()?))
    })?;
    samples.load("produce", &durable);
    samples.add("produce-cpu", durable.server_cpu_per_million());
    samples.add("produce-client-cpu", durable.client_cpu_per_million());
    samples.add("produce-p50", microseconds(&durable.latency, 0.5));
    samples.add("produce-p99", microseconds(&durable.latency, 0.99));
    samples.add("memory-produce", mib(resident));
    let tuned = bench.null(Shape::Tuned, async |child| load::produce(child, puts).await)?;
    samples.load("null-produce", &tuned);
    samples.add("null-produce-cpu", tuned.server_cpu_per_million());
    let unsynced = bench.ours("os", 4, async |child| load::produce(child, puts).await)?;
    samples.load("produce-os", &unsynced);
    let recycled = bench.ours("fsync", 4, async |child| {
        load::produce(child, puts).await?;
        load::delete(child).await?;
        load::create(child, 4).await?;
        load::produce(child, puts).await
    })?;
    samples.load("produce-recycled", &recycled);
    Ok(())
}

fn singles(bench: &Bench<'_>, samples: &mut Samples) -> Result<()> {
    let puts = bench.puts(1, SINGLES_IN_FLIGHT);
    let spread = Puts { connections: 4, ..puts };
    let one = bench.null(Shape::Stock, async |child| load::put_one(child, puts).await)?;
    let four = bench.null(Shape::Stock, async |child| load::put_one(child, spread).await)?;
    samples.load("null-put-1-one-connection", &one);
    samples.add("null-put-1", one.rate().max(four.rate()));
    let streamed = bench.ours("fsync", 4, async |child| load::produce(child, puts).await)?;
    samples.load("produce-1", &streamed);
    samples.add("produce-1-cpu", streamed.server_cpu_per_million());
    let called = bench.ours("fsync", 4, async |child| load::put_one(child, puts).await)?;
    samples.load("put-1", &called);
    samples.add("put-1-cpu", called.server_cpu_per_million());
    Ok(())
}

fn calls(bench: &Bench<'_>, samples: &mut Samples) -> Result<()> {
    let puts = bench.puts(100, 32);
    let null = bench.null(Shape::Stock, async |child| load::put_records(child, puts).await)?;
    samples.load("null-put-100", &null);
    let ours = bench.ours("fsync", 4, async |child| load::put_records(child, puts).await)?;
    samples.load("put-100", &ours);
    samples.add("put-100-cpu", ours.server_cpu_per_million());
    Ok(())
}

fn latency(bench: &Bench<'_>, samples: &mut Samples) -> Result<()> {
    let data = bench.data()?;
    let synced = raw::write_and_sync(data.path(), 4096, 1, bench.seconds)?;
    samples.add("sync-4k-p50", microseconds(&synced.latency, 0.5));
    samples.add("sync-4k-p99", microseconds(&synced.latency, 0.99));
    drop(data);
    let puts = (bench.seconds * 1000.0) as usize;
    let one = bench.ours("fsync", 1, async |child| load::one_at_a_time(child, puts).await)?;
    samples.add("one-put-p50", microseconds(&one, 0.5));
    samples.add("one-put-p99", microseconds(&one, 0.99));
    let (acknowledged, pushed) =
        bench.ours("fsync", 1, async |child| load::put_to_push(child, bench.seconds).await)?;
    samples.add("push-ack-p50", microseconds(&acknowledged, 0.5));
    samples.add("push-p50", microseconds(&pushed, 0.5));
    Ok(())
}

fn reads(bench: &Bench<'_>, samples: &mut Samples) -> Result<()> {
    samples.add("tcp", raw::one_way(bench.seconds)?);
    let stream = bench.null(Shape::Stock, async |child| {
        load::replay_raw(child, Settings::Stock, REPLAYED).await
    })?;
    samples.load("null-stream", &stream);
    samples.add("null-stream-cpu", stream.server_cpu_per_million());
    let raw_stream = bench.null(Shape::Tuned, async |child| {
        load::replay_raw(child, Settings::Stock, REPLAYED).await
    })?;
    samples.load("null-stream-raw", &raw_stream);
    let pages =
        bench.null(Shape::Tuned, async |child| load::get(child, 8, true, bench.seconds).await)?;
    samples.load("null-get", &pages);

    let read: [Outcome; 3] = bench.ours("os", 1, async |child| {
        load::fill(child, REPLAYED).await?;
        Ok([
            load::replay_by_our_client(child, REPLAYED).await?,
            load::replay_stock(child, REPLAYED).await?,
            load::get(child, 8, false, bench.seconds).await?,
        ])
    })?;
    let [ours, stock, pages] = &read;
    samples.load("replay", ours);
    samples.add("replay-bytes", ours.rate() * RECORD_BYTES);
    samples.add("replay-cpu", ours.server_cpu_per_million());
    samples.load("replay-stock", stock);
    samples.load("get", pages);
    samples.add("get-cpu", pages.server_cpu_per_million());
    Ok(())
}

fn shards(bench: &Bench<'_>, samples: &mut Samples) -> Result<()> {
    let puts = bench.puts(100, MESSAGES_IN_FLIGHT);
    for (name, shards) in
        [("produce-1-shard", 1), ("produce-64-shards", 64), ("produce-256-shards", 256)]
    {
        let put = bench.ours("fsync", shards, async |child| load::produce(child, puts).await)?;
        samples.add(name, put.rate());
    }
    Ok(())
}

fn engine_alone(bench: &Bench<'_>, samples: &mut Samples) -> Result<()> {
    const APPENDERS: u32 = 8;
    let batch_bytes = 100 * RECORD_BYTES as usize;
    let data = bench.data()?;
    let raw = raw::write_and_sync(data.path(), batch_bytes, APPENDERS as usize, bench.seconds)?;
    samples.add("sync-100k-records", raw.rate * 100.0);
    let data = bench.data()?;
    samples.add("engine-synced", engine::synced(data.path(), APPENDERS, bench.seconds)?);
    let data = bench.data()?;
    // Two spares of the largest size hold them.
    let unsynced = engine::unsynced(data.path(), 400_000)?;
    samples.add("engine-no-sync", unsynced.appended);
    samples.add("engine-walk", unsynced.walked);
    samples.add("engine-walk, headers and borders only", unsynced.walked_borders);
    Ok(())
}

fn space(bench: &Bench<'_>, samples: &mut Samples) -> Result<()> {
    let data = bench.data()?;
    let child = Child::ours(data.path(), "fsync")?;
    samples.add("memory-idle", mib(child.anonymous_bytes()?));
    bench.runtime.block_on(async {
        load::create(&child, 1).await?;
        load::fill(&child, 400_000).await
    })?;
    child.stop()?;
    samples.add("disk-bytes", bytes_per_byte(data.path())?);
    Ok(())
}

/// Bytes on the disk for each byte of a record, in the segments that are full: those that another
/// one follows, whose name says how many records they hold. Reserved and spare space stands
/// elsewhere.
fn bytes_per_byte(data: &Path) -> Result<f64> {
    use std::os::unix::fs::MetadataExt;
    let mut segments = Vec::new();
    for entry in std::fs::read_dir(data.join("shards/1/0"))? {
        let path = entry?.path();
        let base = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
        segments.push((base.context("a segment without a number")?, path));
    }
    segments.sort();
    let [(first, _), .., (last, _)] = &segments[..] else {
        anyhow::bail!("no segment was filled");
    };
    let mut bytes = 0;
    for (_, path) in &segments[..segments.len() - 1] {
        bytes += std::fs::metadata(path)?.blocks() * 512;
    }
    Ok(bytes as f64 / ((last - first) as f64 * RECORD_BYTES))
}

fn microseconds(latency: &Histogram<u64>, quantile: f64) -> f64 {
    latency.value_at_quantile(quantile) as f64 / 1e3
}
