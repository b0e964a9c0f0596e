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
use super::load::{self, CALL_RECORDS, DATA_BYTES, Encoding, Outcome, Puts, Settings};
use super::null::Shape;
use super::peer::{self, Peers};
use super::raw;
use super::space::Space;

/// Bytes of a record, key included.
const RECORD_BYTES: f64 = 1024.0;

/// Messages of 100 under way in `Produce`: 3.2 MB.
pub(super) const MESSAGES_IN_FLIGHT: usize = 32;

/// Messages, or calls, of one record under way.
const SINGLES_IN_FLIGHT: usize = 256;

/// Records that are replayed: they are all in memory.
const REPLAYED: u64 = 1_000_000;

/// Connections of an AWS SDK, each with one call at a time.
const KINESIS_CONNECTIONS: usize = 8;

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

/// Room on the disk: what a group puts whatever the time, and what its loads put a second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Disk {
    pub(super) fixed_gib: f64,
    pub(super) gib_per_second: f64,
}

impl Disk {
    /// Bytes that loads of this many seconds need.
    pub(super) fn bytes(self, seconds: f64) -> u64 {
        let gib = self.fixed_gib + self.gib_per_second * seconds;
        (gib * f64::from(1 << 30)) as u64
    }
}

/// A part of a round.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    /// Measured in the last round alone, because it takes long and hardly varies.
    pub(super) is_once: bool,
    /// What it takes on the disk at a time, at most.
    pub(super) disk: Disk,
    pub(super) run: fn(&Bench<'_>, &mut Samples) -> Result<()>,
}

/// All groups, in their order.
pub(super) const GROUPS: &[Group] = &[
    Group::of("produce", "batches of 100 by Produce", produce),
    Group::of("singles", "records one by one", singles),
    Group::of("calls", "100 records a call", calls),
    Group::of("latency", "how long one record takes", latency),
    Group::of("reads", "replays and pages", reads),
    Group::of("kinesis", "PutRecords and GetRecords as an AWS SDK calls them", kinesis),
    Group::of("kinesis-push", "SubscribeToShard as an AWS SDK calls it", kinesis_push),
    Group::of("shards", "the same load into 1, 64 and 256 shards", shards),
    Group::of("engine", "the engine without a server", engine_alone),
    #[cfg(feature = "count-allocations")]
    Group::of("allocations", "how often a put record allocates", super::allocations::group),
    Group::of("space", "what records take on the disk", space),
    Group {
        is_once: true,
        disk: Disk { fixed_gib: 14.0, gib_per_second: 0.0 },
        ..Group::of(
            "memory",
            "10 GiB and 100 subscribers, 10,000 shards; in the last round",
            memory,
        )
    },
    Group::of("redis", "the same load into redis-server (--peer redis)", peer::redis),
    Group::of("nats", "the same load into nats-server (--peer nats)", peer::nats),
    Group::of("kafka", "the same load into a Kafka broker (--peer kafka)", peer::kafka),
    Group::of(
        "kinesalite",
        "the calls of an SDK to kinesalite (--peer kinesalite)",
        peer::kinesalite,
    ),
    Group::of(
        "kinesis-mock",
        "the calls of an SDK to kinesis-mock (--peer kinesis-mock)",
        peer::kinesis_mock,
    ),
];

impl Group {
    const fn of(
        name: &'static str,
        about: &'static str,
        run: fn(&Bench<'_>, &mut Samples) -> Result<()>,
    ) -> Group {
        // A million records to replay and the files made ahead, and loads of up to 4 GiB/s.
        let disk = Disk { fixed_gib: 2.0, gib_per_second: 4.0 };
        Group { name, about, is_once: false, disk, run }
    }
}

impl Bench<'_> {
    pub(super) fn data(&self) -> Result<TempDir> {
        let dir = tempfile::tempdir_in(self.dir);
        dir.with_context(|| format!("cannot make a directory in {}", self.dir.display()))
    }

    pub(super) fn puts(&self, batch: usize, in_flight: usize) -> Puts {
        Puts { batch, in_flight, connections: 1, data_bytes: DATA_BYTES, seconds: self.seconds }
    }

    /// PutRecords as an AWS SDK calls it, with as many records as it takes.
    pub(super) fn kinesis_puts(&self) -> Puts {
        let puts = self.puts(CALL_RECORDS, KINESIS_CONNECTIONS);
        Puts { connections: KINESIS_CONNECTIONS, ..puts }
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
    let (acknowledged, pushed) = bench
        .ours("fsync", 1, async |child| load::put_to_push(child, 1, 1, bench.seconds).await)?;
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
        load::fill(child, REPLAYED, 250).await?;
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

/// The door for AWS SDKs, and HTTP handlers that do nothing behind the same port. What is put is
/// durable.
fn kinesis(bench: &Bench<'_>, samples: &mut Samples) -> Result<()> {
    use Encoding::{Cbor, Json};
    let puts = bench.kinesis_puts();
    let readers = puts.connections;
    let json =
        bench.null(Shape::Kinesis, async |child| load::put_by_kinesis(child, Json, puts).await)?;
    samples.load("null-kinesis-put", &json);
    let json =
        bench.ours("fsync", 4, async |child| load::put_by_kinesis(child, Json, puts).await)?;
    samples.load("kinesis-put", &json);
    samples.add("kinesis-put-cpu", json.server_cpu_per_million());
    samples.add("kinesis-put-p50", microseconds(&json.latency, 0.5));
    samples.add("kinesis-put-p99", microseconds(&json.latency, 0.99));
    let cbor =
        bench.null(Shape::Kinesis, async |child| load::put_by_kinesis(child, Cbor, puts).await)?;
    samples.load("null-kinesis-put-cbor", &cbor);
    let cbor =
        bench.ours("fsync", 4, async |child| load::put_by_kinesis(child, Cbor, puts).await)?;
    samples.load("kinesis-put-cbor", &cbor);
    samples.add("kinesis-put-cbor-cpu", cbor.server_cpu_per_million());

    let read = async |child: &Child| {
        Ok([
            load::get_by_kinesis(child, Json, readers, bench.seconds).await?,
            load::get_by_kinesis(child, Cbor, readers, bench.seconds).await?,
        ])
    };
    let [json, cbor] = bench.null(Shape::Kinesis, async |child| read(child).await)?;
    samples.load("null-kinesis-get", &json);
    samples.load("null-kinesis-get-cbor", &cbor);
    let [json, cbor] = bench.ours("os", 1, async |child| {
        load::fill(child, REPLAYED, 250).await?;
        read(child).await
    })?;
    samples.load("kinesis-get", &json);
    samples.add("kinesis-get-cpu", json.server_cpu_per_million());
    samples.load("kinesis-get-cbor", &cbor);
    samples.add("kinesis-get-cbor-cpu", cbor.server_cpu_per_million());
    Ok(())
}

/// The event stream of that door, and constant bytes.
fn kinesis_push(bench: &Bench<'_>, samples: &mut Samples) -> Result<()> {
    let pushed = bench.null(Shape::Kinesis, async |child| {
        load::subscribe_by_kinesis(child, true, REPLAYED).await
    })?;
    samples.load("null-kinesis-push", &pushed);
    let pushed = bench.ours("os", 1, async |child| {
        load::fill(child, REPLAYED, 250).await?;
        load::subscribe_by_kinesis(child, false, REPLAYED).await
    })?;
    samples.load("kinesis-push", &pushed);
    samples.add("kinesis-push-cpu", pushed.server_cpu_per_million());
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

/// What a million records take on the disk: what was written is held against what is in them, and
/// room that was reserved for them is told beside it.
fn space(bench: &Bench<'_>, samples: &mut Samples) -> Result<()> {
    const RECORDS: u64 = 1_000_000;
    let data = bench.data()?;
    let child = Child::ours(data.path(), "fsync")?;
    samples.add("memory-idle", mib(child.anonymous_bytes()?));
    bench.runtime.block_on(async {
        load::create(&child, 1).await?;
        load::fill(&child, RECORDS, 100).await
    })?;
    child.stop()?;
    let space = Space::of(data.path())?;
    let record_bytes = RECORDS as f64 * RECORD_BYTES;
    samples.add("disk-bytes", space.written as f64 / record_bytes);
    samples.add("disk-reserved", space.reserved as f64 / record_bytes);
    samples.add("disk-spare", mib(space.spare));
    Ok(())
}

/// Memory of the server's own where there is much: much stored and many who read, many shards.
fn memory(bench: &Bench<'_>, samples: &mut Samples) -> Result<()> {
    const SUBSCRIBERS: u32 = 100;
    // A stream has 20 consumers at most, each of which is pushed all shards.
    const SHARDS: u32 = 5;
    const IDLE_SHARDS: u32 = 10_000;
    let records = (10 << 30) / RECORD_BYTES as u64;
    let stored = bench.ours("fsync", SHARDS, async |child| {
        load::fill(child, records, 250).await?;
        load::follow(child, SUBSCRIBERS, SHARDS, bench.seconds).await
    })?;
    samples.add("memory-10-gib-100-subscribers", mib(stored));
    let idle = bench.ours("fsync", IDLE_SHARDS, async |child| {
        load::touch(child, IDLE_SHARDS).await?;
        child.anonymous_bytes()
    })?;
    samples.add("memory-10000-shards", mib(idle));
    Ok(())
}

pub(super) fn microseconds(latency: &Histogram<u64>, quantile: f64) -> f64 {
    latency.value_at_quantile(quantile) as f64 / 1e3
}
