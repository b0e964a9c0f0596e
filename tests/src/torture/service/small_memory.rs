//! A server with little memory: in a control group, under puts of the largest batches, readers
//! of all that stands, and subscribers.
//!
//! The group's limit counts the page cache too, which the kernel takes back when it has to, and
//! what the server itself holds, which it cannot. When that does not fit, the kernel kills the
//! process. The limit here is the one that `docs/operations.md` tells operators to give at least.
//!
//! Every record says who it is by its first bytes, and the rest of it is made of them. In the
//! end all that was acknowledged is read back.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anabranch_client::{Client, Position, v1};
use anyhow::{Context, Result};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::cgroup::Cgroup;
use super::measure::{anonymous_bytes, largest};
use super::mute::{Mute, Window};
use super::read::each_record;
use super::runtime;
use super::wide::Wide;
use crate::torture::server::{Durability, PATIENCE, Server, connect};
use crate::torture::{Bar, Check, Figures, Need, Plan};

pub(in crate::torture) const CHECK: Check = Check {
    name: "small-memory",
    tier: "real",
    rows: &["R23"],
    about: "a server in a small memory control group: 10 MiB batches, readers, subscribers",
    needs: &[Need::Root, Need::Space { bytes: 8 << 30 }],
    run,
};

/// What operators are told to give at least (docs/operations.md).
const LIMIT_MIB: u64 = 384;
const SHARDS: u32 = 4;
/// Producers of the largest batches, and batches in flight of each.
const PRODUCERS: usize = 4;
const IN_FLIGHT: usize = 2;
/// A record, and how many make a batch: 10 MiB with its keys.
const RECORD_BYTES: usize = (1 << 20) - 256;
const BATCH_RECORDS: usize = 10;
/// Readers of everything, from the beginning, again and again.
const READERS: usize = 4;
/// Subscribers that read, and those that never do.
const SUBSCRIBERS: usize = 4;
const MUTES: usize = 12;
/// Where a batch is not put any more: what was put is read back.
const BYTES_MAX: u64 = 2 << 30;

fn run(plan: &Plan) -> Result<Figures> {
    plan.total(1);
    let group = Cgroup::new("small-memory", LIMIT_MIB << 20)?;
    let (data, log) = (plan.scratch().join("data"), plan.scratch().join("server.log"));
    let command = group.program(plan.scratch())?;
    let mut server = Server::spawn_by(command, &data, Durability::Fsync, &log)?;
    let address = server.ready()?;
    let runtime = runtime()?;
    let scene = Scene {
        address,
        acknowledged: Arc::default(),
        until: Instant::now() + Duration::from_millis(plan.size(8_000, 120_000)),
    };
    let load = runtime.spawn(scene.clone().load());
    let mut anonymous = Vec::new();
    while !load.is_finished() {
        // A process that was killed has no memory to tell of.
        anonymous.push(anonymous_bytes(server.pid()).unwrap_or_default() as f64);
        std::thread::sleep(Duration::from_millis(50));
    }
    let ended = runtime.block_on(load)?;
    let (kills, peak) = (group.kills()?, group.peak_bytes());

    let mut figures = Figures::default();
    figures.add("limit", LIMIT_MIB as f64, "MiB", Bar::Told);
    figures.zero("killed for want of memory", kills);
    if kills == 0 {
        // Otherwise all that is to be said was said by its end.
        ended.context("the load broke off")?;
        server.stop()?;
    } else {
        server.wait()?;
    }
    let mib = |bytes: f64| bytes / f64::from(1 << 20);
    figures.add("its own memory, the most", mib(largest(&anonymous)), "MiB", Bar::Told);
    figures.add("with cached files, the most", mib(peak.unwrap_or(0) as f64), "MiB", Bar::Told);
    // What stands is read without the limit: it is the same whoever reads it.
    let mut server = Server::spawn(&data, Durability::Fsync, &log)?;
    let address = server.ready()?;
    let (compared, lost) = runtime.block_on(scene.compare(address))?;
    figures.at_least("acknowledged records compared", compared, BATCH_RECORDS as u64);
    figures.zero("lost", lost);
    server.stop()?;
    plan.advance(1);
    Ok(figures)
}

const STREAM: &str = "small";

/// The load, and what it was told: shard and number of each record that was acknowledged.
#[derive(Clone)]
struct Scene {
    address: SocketAddr,
    acknowledged: Arc<Mutex<HashMap<(u32, u64), u64>>>,
    until: Instant,
}

impl Scene {
    async fn load(self) -> Result<()> {
        let client = connect(self.address).await?;
        let wide = Wide::make(&client, STREAM, SHARDS).await?;
        let mut tasks = JoinSet::new();
        let mut mutes = Vec::new();
        for index in 0..SUBSCRIBERS + MUTES {
            let (shard, name) = (index % SHARDS as usize, format!("consumer-{index}"));
            client.register_stream_consumer(STREAM, &name).await?;
            if index < SUBSCRIBERS {
                tasks.spawn(self.clone().subscribe(name, shard));
            } else {
                let window = Window::ALL[index % Window::ALL.len()];
                mutes.push(Mute::subscribe(self.address, window, STREAM, &name, shard).await?);
            }
        }
        for reader in 0..READERS {
            tasks.spawn(self.clone().read_all(reader % SHARDS as usize));
        }
        for producer in 0..PRODUCERS {
            tasks.spawn(self.clone().put(wide.clone(), producer as u64));
        }
        while let Some(task) = tasks.join_next().await {
            task??;
        }
        drop(mutes);
        Ok(())
    }

    /// Puts the largest batches over one connection.
    async fn put(self, wide: Wide, producer: u64) -> Result<()> {
        let client = connect(self.address).await?;
        let shard = producer as usize % wide.shards();
        let identity = |batch: u64, index: u64| (producer << 48) | (batch << 8) | index;
        let batches_max = BYTES_MAX / (PRODUCERS * BATCH_RECORDS * RECORD_BYTES) as u64;
        let batches = (0..batches_max).take_while(|_| Instant::now() < self.until).map(|batch| {
            let records = (0..BATCH_RECORDS as u64).map(|index| data(identity(batch, index)));
            records.map(|data| wide.record(shard, &data)).collect::<Vec<_>>()
        });
        let mut answered = 0;
        let note = |answer: v1::ProduceResponse| {
            let mut acknowledged = self.acknowledged.lock();
            let places = answer.shard_indexes.into_iter().zip(answer.sequence_numbers);
            for (index, place) in places.enumerate() {
                acknowledged.insert(place, identity(answered, index as u64));
            }
            answered += 1;
        };
        wide.pour(&client, IN_FLIGHT, batches, note).await
    }

    async fn read_all(self, shard: usize) -> Result<()> {
        let (client, shard_id) = (connect(self.address).await?, shard_id(shard));
        while Instant::now() < self.until {
            let pass = each_record(&client, STREAM, &shard_id, drop);
            // Where puts are faster than a reader, a pass has no end.
            let left = self.until.saturating_duration_since(Instant::now());
            if let Ok(pass) = timeout(left, pass).await {
                pass?;
            }
        }
        Ok(())
    }

    async fn subscribe(self, consumer: String, shard: usize) -> Result<()> {
        let client = connect(self.address).await?;
        let start = Position::TrimHorizon;
        let events = client.subscribe_to_shard(STREAM, &consumer, &shard_id(shard), start).await;
        let mut events = events.context("cannot subscribe")?;
        loop {
            let left = self.until.saturating_duration_since(Instant::now());
            match timeout(left, events.message()).await {
                Err(_) => return Ok(()),
                Ok(event) => drop(event.context("a subscription broke off")?),
            }
        }
    }

    /// How many acknowledged records there were, and how many of them do not stand.
    async fn compare(self, address: SocketAddr) -> Result<(u64, u64)> {
        let client: Client = connect(address).await?;
        let told = std::mem::take(&mut *self.acknowledged.lock());
        let mut stand = 0;
        for shard in 0..SHARDS {
            let each = |record: v1::Record| {
                let identity = told.get(&(shard, record.sequence_number));
                stand += u64::from(identity.is_some_and(|&identity| data(identity) == record.data));
            };
            timeout(PATIENCE, each_record(&client, STREAM, &shard_id(shard as usize), each))
                .await
                .context("reading everything takes too long")??;
        }
        Ok((told.len() as u64, told.len() as u64 - stand))
    }
}

fn shard_id(shard: usize) -> String {
    format!("shardId-{shard:012}")
}

/// The data of a record, of which any part says who it is.
fn data(identity: u64) -> Bytes {
    let mut data = Vec::with_capacity(RECORD_BYTES);
    while data.len() < RECORD_BYTES {
        data.extend_from_slice(&identity.to_le_bytes());
    }
    data.into()
}
