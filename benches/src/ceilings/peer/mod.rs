//! Peers: other servers that keep streams, under the same load in the same run.
//!
//! Each is started anew with its data in our directory, in its default durability and with a
//! sync before every acknowledgement, and otherwise as it comes. Over one connection it gets
//! batches of 100 records of 1,024 bytes, as many under way as `Produce` has with us, encoded
//! before: its client is nearly free. What it acknowledges counts.
//!
//! Stand-ins for Kinesis get the calls of an AWS SDK instead, as our own door for those does.

mod kafka;
mod kinesalite;
mod kinesis_mock;
mod nats;
mod npm;
mod redis;

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use bytes::Bytes;
use clap::ValueEnum;

use super::child::Child;
use super::figure::Samples;
use super::group::{Bench, MESSAGES_IN_FLIGHT};
use super::load::{self, DATA_BYTES, Encoding, Outcome, Puts};
use kafka::Kafka;
use nats::Nats;
use npm::Npm;
use redis::Redis;

/// Records of a batch.
const BATCH: usize = 100;

/// Batches that are encoded before, as many as ours.
const BATCHES: usize = 64;

/// Shards of a stream that a stand-in for Kinesis has, as many as ours.
const SHARDS: u32 = 4;

/// Until a stand-in for Kinesis is compiled.
const WARM_UP_SECONDS: f64 = 1.5;

/// Connections to a stand-in, each with a call under way. They have one thread, which two keep
/// busy; where there are more, calls are worked on side by side and answered together, late.
const STAND_IN_CONNECTIONS: usize = 2;

/// How long a stand-in is counted, at least: a call of 500 records takes one of them half a second.
const STAND_IN_SECONDS: f64 = 5.0;

/// A server to be compared with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum Peer {
    /// redis-server, streams
    Redis,
    /// nats-server 2.12 or later, JetStream in files
    Nats,
    /// A Kafka broker in KRaft mode; needs Java 17 or later
    Kafka,
    /// kinesalite; needs Node.js and npm
    Kinesalite,
    /// kinesis-mock; needs Node.js and npm
    KinesisMock,
}

impl Peer {
    /// The group that measures it.
    pub(super) fn group(self) -> &'static str {
        match self {
            Peer::Redis => "redis",
            Peer::Nats => "nats",
            Peer::Kafka => "kafka",
            Peer::Kinesalite => "kinesalite",
            Peer::KinesisMock => "kinesis-mock",
        }
    }
}

/// The programs of the peers that are asked for.
#[derive(Debug, Default)]
pub(super) struct Peers {
    redis: Option<Redis>,
    nats: Option<Nats>,
    kafka: Option<Kafka>,
    npm: Option<Npm>,
}

impl Peers {
    /// Finds them before anything is measured; what is not installed is fetched into `cache`
    /// where that can be done, else it is said what to install.
    pub(super) fn find(asked: &[Peer], cache: &Path) -> Result<Peers> {
        let mut peers = Peers::default();
        if !asked.is_empty() {
            std::fs::create_dir_all(cache)
                .with_context(|| format!("cannot make {}", cache.display()))?;
        }
        for peer in asked {
            match peer {
                Peer::Redis => peers.redis = Some(Redis::find()?),
                Peer::Nats => peers.nats = Some(Nats::find(cache)?),
                Peer::Kafka => peers.kafka = Some(Kafka::find(cache)?),
                Peer::Kinesalite | Peer::KinesisMock => peers.npm = Some(Npm::find(cache)?),
            }
        }
        Ok(peers)
    }
}

/// Against Redis.
pub(super) fn redis(bench: &Bench<'_>, samples: &mut Samples) -> Result<()> {
    let redis = bench.peers.redis.as_ref().context("redis was not asked for")?;
    let puts = bench.puts(BATCH, MESSAGES_IN_FLIGHT);
    let put = |appendfsync| {
        let dir = bench.data()?;
        bench.runtime.block_on(redis.put(dir.path(), appendfsync, puts))
    };
    samples.load("redis-always", &put("always")?);
    let ours = bench.ours("fsync", 4, async |child| load::produce(child, puts).await)?;
    samples.load("redis-ours", &ours);
    samples.load("redis-default", &put("everysec")?);
    Ok(())
}

/// Against NATS.
pub(super) fn nats(bench: &Bench<'_>, samples: &mut Samples) -> Result<()> {
    let nats = bench.peers.nats.as_ref().context("nats was not asked for")?;
    let puts = bench.puts(BATCH, MESSAGES_IN_FLIGHT);
    let put = |sync_interval, streams| {
        let dir = bench.data()?;
        bench.runtime.block_on(nats.put(dir.path(), sync_interval, streams, puts))
    };
    samples.load("nats-always", &put(Some("always"), 1)?);
    let ours = bench.ours("fsync", 4, async |child| load::produce(child, puts).await)?;
    samples.load("nats-ours", &ours);
    samples.load("nats-default", &put(None, 1)?);
    samples.load("nats-always-4-streams", &put(Some("always"), 4)?);
    samples.load("nats-default-4-streams", &put(None, 4)?);
    Ok(())
}

/// Against Kafka. A broker runs compiled only after some seconds, so one serves both durabilities,
/// which its topics have.
pub(super) fn kafka(bench: &Bench<'_>, samples: &mut Samples) -> Result<()> {
    let kafka = bench.peers.kafka.as_ref().context("kafka was not asked for")?;
    let puts = bench.puts(BATCH, MESSAGES_IN_FLIGHT);
    let dir = bench.data()?;
    let broker = kafka.start(dir.path())?;
    let put =
        |topic, flush_messages| bench.runtime.block_on(broker.put(topic, flush_messages, puts));
    bench.runtime.block_on(broker.warm_up(puts))?;
    samples.load("kafka-default", &put("default", None)?);
    samples.load("kafka-flush", &put("flush", Some(1))?);
    drop((broker, dir));
    let ours = bench.ours("fsync", 4, async |child| load::produce(child, puts).await)?;
    samples.load("kafka-ours", &ours);
    Ok(())
}

/// Against kinesalite.
pub(super) fn kinesalite(bench: &Bench<'_>, samples: &mut Samples) -> Result<()> {
    let peer = stand_in(bench, kinesalite::start)?;
    samples.load("kinesalite-put", &peer.put);
    samples.load("kinesalite-get", &peer.get);
    let ours = bench
        .ours("fsync", SHARDS, async |child| put_and_get(child, bench.kinesis_puts()).await)?;
    samples.load("kinesalite-ours-put", &ours.put);
    samples.load("kinesalite-ours-get", &ours.get);
    Ok(())
}

/// Against kinesis-mock.
pub(super) fn kinesis_mock(bench: &Bench<'_>, samples: &mut Samples) -> Result<()> {
    let peer = stand_in(bench, kinesis_mock::start)?;
    samples.load("kinesis-mock-put", &peer.put);
    samples.load("kinesis-mock-get", &peer.get);
    let ours = bench
        .ours("fsync", SHARDS, async |child| put_and_get(child, bench.kinesis_puts()).await)?;
    samples.load("kinesis-mock-ours-put", &ours.put);
    samples.load("kinesis-mock-ours-get", &ours.get);
    Ok(())
}

/// What a server makes of the calls of an AWS SDK.
struct PutAndGet {
    put: Outcome,
    get: Outcome,
}

/// A new stand-in with a stream, and what it makes of them.
fn stand_in(
    bench: &Bench<'_>,
    start: impl FnOnce(&Npm, &Path) -> Result<Child>,
) -> Result<PutAndGet> {
    let npm = bench.peers.npm.as_ref().context("it was not asked for")?;
    let dir = bench.data()?;
    let child = start(npm, dir.path())?;
    bench.runtime.block_on(async {
        load::create_by_kinesis(&child, SHARDS).await?;
        let connections = STAND_IN_CONNECTIONS;
        let seconds = bench.seconds.max(STAND_IN_SECONDS);
        put_and_get(&child, Puts { connections, seconds, ..bench.kinesis_puts() }).await
    })
}

/// Puts in JSON, and reads what was put. Node.js compiles what is used often, so nobody counts at
/// first.
async fn put_and_get(child: &Child, puts: Puts) -> Result<PutAndGet> {
    let (json, readers) = (Encoding::Json, puts.connections);
    load::put_by_kinesis(child, json, Puts { seconds: WARM_UP_SECONDS, ..puts }).await?;
    let put = load::put_by_kinesis(child, json, puts).await?;
    load::get_by_kinesis(child, json, readers, WARM_UP_SECONDS).await?;
    let get = load::get_by_kinesis(child, json, readers, puts.seconds).await?;
    Ok(PutAndGet { put, get })
}

/// Where a command is: in `PATH`, or where Debian keeps what only root is thought to run.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/go/bin".into()]);
    dirs.map(|dir| dir.join(name)).find(|program| program.is_file())
}

/// An address that nobody listens on.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}

/// Batches of `batch` records with keys of their own, each as `one` encodes it.
fn encoded(batch: usize, mut one: impl FnMut(&str, &[u8]) -> Vec<u8>) -> Vec<Bytes> {
    let data = [b'x'; DATA_BYTES];
    let mut key = 0..;
    let mut records = || {
        let keys = key.by_ref().take(batch);
        keys.flat_map(|key: u32| one(&format!("{key:08}"), &data)).collect::<Vec<u8>>().into()
    };
    (0..BATCHES).map(|_| records()).collect()
}

/// Bytes of the first line, its end included, if it is complete.
fn line(bytes: &[u8]) -> Option<usize> {
    bytes.windows(2).position(|end| end == b"\r\n").map(|at| at + 2)
}
