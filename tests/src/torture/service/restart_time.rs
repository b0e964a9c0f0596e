//! Starts after a crash: how long until the first put is acknowledged, with more and more stored.
//!
//! ```text
//!   fill -> (load on all shards -> SIGKILL -> start -> first put -> a put to every shard) x 3
//!    ^                                                                          |
//!    +-------------------------- more is stored, up to the last size <----------+
//! ```
//!
//! The clock starts before the process does, so that all counts: loading the program, the
//! catalog, the tails of a thousand logs, the ports. A server is killed in the middle of puts to
//! all shards, so each shard has a tail to be judged. What the clients were told is held against
//! the server that starts: it goes on above every number that was acknowledged, and the last
//! acknowledged record of each shard stands.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anabranch_client::{Client, Position, v1};
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt};
use parking_lot::Mutex;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use super::measure::{largest, median};
use super::wide::Wide;
use crate::support::Random;
use crate::torture::server::{Durability, Server, connect};
use crate::torture::{Bar, Check, Figures, Missing, Need, Plan};

pub(in crate::torture) const CHECK: Check = Check {
    name: "restart-time",
    tier: "real",
    rows: &["R26"],
    about: "1,000 shards killed under load: time to the first acknowledgement, by bytes stored",
    needs: &[Need::Space { bytes: 5 << 30 }],
    run,
};

const SHARDS: u32 = 1000;
/// Crashes with so much stored. The middle one of their times stands for a size.
const RESTARTS: usize = 5;
/// For how long there is load before a crash: long enough for durable ends to be recorded in it.
const LIFE: Duration = Duration::from_millis(1500);
/// Connections of the load, batches in flight on each, records of a batch, bytes of a record.
const CONNECTIONS: usize = 4;
const IN_FLIGHT: usize = 8;
const BATCH_RECORDS: usize = 100;
const RECORD_BYTES: usize = 12 << 10;
/// So much is stored evenly in all shards, and what is beyond it in one of so many.
const EVEN_BYTES: u64 = 256 << 20;
const FILLED_EVERY: usize = 10;
/// Bytes of a record that fills, and how many of them make a batch.
const FILLING_BYTES: usize = (1 << 20) - 1024;
const FILLING_RECORDS: usize = 9;

/// Seconds to the first acknowledgement, at most.
const FIRST_MAX_S: f64 = 1.0;
/// Seconds that the largest size may take longer than the smallest: far below what reading the
/// bytes would take.
const GROWTH_MAX_S: f64 = 0.5;

fn run(plan: &Plan) -> Result<Figures> {
    let sizes: [u64; 3] = match plan.is_long() {
        true => [1 << 30, 4 << 30, 16 << 30],
        false => [256 << 20, 512 << 20, 1 << 30],
    };
    // Segments are taken whole from the disk, and the load comes on top.
    let space = Need::Space { bytes: sizes[2] + sizes[2] / 4 + (4 << 30) };
    if let Some(missing) = space.missing(plan.scratch()) {
        return Err(Missing::new(missing).into());
    }
    plan.total((sizes.len() * RESTARTS) as u64);
    let mut course = Course::begin(plan)?;
    let mut sized = Vec::new();
    for size in sizes {
        plan.say(format!("{} MiB", size >> 20));
        course.fill(size)?;
        let mut starts = Vec::new();
        for _ in 0..RESTARTS {
            course.crash()?;
            starts.push(course.start()?);
            plan.advance(1);
        }
        sized.push((size, starts));
    }
    Ok(figures(&sized))
}

fn figures(sized: &[(u64, Vec<Start>)]) -> Figures {
    let mut figures = Figures::default();
    let all = || sized.iter().flat_map(|(_, starts)| starts);
    figures.told("shards", u64::from(SHARDS));
    figures.told("crashes", all().count() as u64);
    figures.zero("lost", all().map(|start| start.lost).sum());
    let seconds =
        |starts: &[Start], of: fn(&Start) -> f64| starts.iter().map(of).collect::<Vec<_>>();
    let mut quickest = Vec::new();
    for (size, starts) in sized {
        let first = seconds(starts, |start| start.first_s);
        let name = format!("first acknowledgement, {} MiB stored", size >> 20);
        figures.add(name, median(&first), "s", Bar::AtMost(FIRST_MAX_S));
        quickest.push(first.into_iter().fold(f64::INFINITY, f64::min));
    }
    let starts: Vec<_> = all().cloned().collect();
    let worst = largest(&seconds(&starts, |start| start.first_s));
    figures.add("first acknowledgement, the slowest", worst, "s", Bar::Told);
    // Of each size the quickest: what else a machine and its disk do only adds to a start.
    let growth = quickest.last().copied().unwrap_or_default() - quickest[0];
    figures.add("longer with the most than with the least", growth, "s", Bar::AtMost(GROWTH_MAX_S));
    let every = largest(&seconds(&starts, |start| start.every_s));
    figures.add("a put to every shard, the slowest", every, "s", Bar::Told);
    let scanned = largest(&seconds(&starts, |start| start.scanned_bytes as f64));
    figures.add("scanned, the most", scanned / f64::from(1 << 20), "MiB", Bar::Told);
    figures
}

/// A start after a crash.
#[derive(Clone, Debug)]
struct Start {
    /// Seconds to the first acknowledgement.
    first_s: f64,
    /// Seconds until every shard had acknowledged one.
    every_s: f64,
    scanned_bytes: u64,
    /// Acknowledged records that do not stand, and numbers used again.
    lost: u64,
}

/// One data directory, through all of its crashes.
struct Course {
    runtime: Runtime,
    data: PathBuf,
    log: PathBuf,
    server: Option<Server>,
    client: Client,
    wide: Wide,
    /// The highest number that was acknowledged, by shard.
    acknowledged: Arc<Mutex<Vec<u64>>>,
    stored_bytes: u64,
    random: Random,
}

impl Course {
    fn begin(plan: &Plan) -> Result<Course> {
        let runtime = super::runtime()?;
        let (data, log) = (plan.scratch().join("data"), plan.scratch().join("server.log"));
        let mut server = Server::spawn(&data, Durability::Fsync, &log)?;
        let client = runtime.block_on(connect(server.ready()?))?;
        let wide = runtime.block_on(Wide::make(&client, "wide", SHARDS))?;
        let acknowledged = Arc::new(Mutex::new(vec![0; wide.shards()]));
        Ok(Course {
            runtime,
            data,
            log,
            server: Some(server),
            client,
            wide,
            acknowledged,
            stored_bytes: 0,
            random: Random(plan.seed()),
        })
    }

    /// Puts large records until so much is stored: something into every shard, the rest into
    /// some. A segment takes its whole size from the disk, and a thousand large ones take more
    /// than most machines have to spare.
    fn fill(&mut self, bytes: u64) -> Result<()> {
        if self.stored_bytes == 0 {
            self.fill_every(1, bytes.min(EVEN_BYTES))?;
        }
        self.fill_every(FILLED_EVERY, bytes.saturating_sub(self.stored_bytes))
    }

    /// Puts so much evenly into every so manyth shard.
    fn fill_every(&mut self, step: usize, bytes: u64) -> Result<()> {
        let shards = self.wide.shards().div_ceil(step) as u64;
        let missing = usize::try_from(bytes / shards).context("too much for this machine")?;
        let mut filling = vec![0; FILLING_BYTES];
        filling.fill_with(|| self.random.next() as u8);
        let filling = Bytes::from(filling);
        let sizes: Vec<_> = (0..missing.div_ceil(FILLING_BYTES))
            .map(|index| (missing - index * FILLING_BYTES).min(FILLING_BYTES))
            .collect();
        let batches = |wide: Wide, half: usize| {
            let sizes: Vec<_> = sizes.chunks(FILLING_RECORDS).map(<[usize]>::to_vec).collect();
            let filling = filling.clone();
            let shards = (half * step..wide.shards()).step_by(2 * step);
            shards.flat_map(move |shard| {
                let batch = |sizes: &Vec<usize>| {
                    let data = sizes.iter().map(|&size| filling.slice(..size));
                    data.map(|data| wide.record(shard, &data)).collect::<Vec<_>>()
                };
                sizes.iter().map(batch).collect::<Vec<_>>()
            })
        };
        let halves = async {
            let pours = [0, 1].map(|half| {
                let noted = note(&self.acknowledged);
                self.wide.pour(&self.client, 2, batches(self.wide.clone(), half), noted)
            });
            let mut pours: FuturesUnordered<_> = pours.into_iter().collect();
            while let Some(poured) = pours.next().await {
                poured?;
            }
            anyhow::Ok(())
        };
        self.runtime.block_on(halves)?;
        self.stored_bytes += missing as u64 * shards;
        Ok(())
    }

    /// Load on all shards, and the server killed in it.
    fn crash(&mut self) -> Result<()> {
        let server = self.server.as_mut().context("the server is there")?;
        let data = Bytes::from(vec![7; RECORD_BYTES]);
        let mut load = JoinSet::new();
        for connection in 0..CONNECTIONS {
            let (client, wide) = (self.client.clone(), self.wide.clone());
            let (noted, data) = (note(&self.acknowledged), data.clone());
            let task = async move {
                let client = connect_again(&client).await?;
                let shards = wide.shards();
                let batches = (0..).map(|batch| {
                    let first = (batch * CONNECTIONS + connection) * BATCH_RECORDS;
                    let shards = (first..first + BATCH_RECORDS).map(|shard| shard % shards);
                    shards.map(|shard| wide.record(shard, &data)).collect::<Vec<_>>()
                });
                wide.pour(&client, IN_FLIGHT, batches, noted).await
            };
            load.spawn_on(task, self.runtime.handle());
        }
        let before: u64 = self.acknowledged.lock().iter().sum();
        std::thread::sleep(LIFE);
        server.kill()?;
        if let Some(server) = self.server.take() {
            server.wait()?;
        }
        // It ends with the server, so what its tasks say of it is no news.
        self.runtime.block_on(async { while load.join_next().await.is_some() {} });
        let acknowledged = self.acknowledged.lock().iter().sum::<u64>() - before;
        if acknowledged == 0 {
            bail!("the load was never answered");
        }
        self.stored_bytes += acknowledged * RECORD_BYTES as u64;
        Ok(())
    }

    fn start(&mut self) -> Result<Start> {
        let told = self.acknowledged.lock().clone();
        let first_shard = self.random.below(u64::from(SHARDS)) as usize;
        let data = Bytes::from_static(b"after the crash");
        let begun = Instant::now();
        let mut server = Server::spawn(&self.data, Durability::Fsync, &self.log)?;
        let address = server.ready()?;
        let wide = &self.wide;
        let put = |client: Client, shards: Vec<usize>| {
            let records = shards.into_iter().map(|shard| wide.record(shard, &data)).collect();
            let request = v1::PutRecordsRequest {
                stream_name: wide.name().to_owned(),
                records,
                ..Default::default()
            };
            async move { client.stub().put_records(request).await }
        };
        let asked = async {
            let client = connect(address).await?;
            put(client.clone(), vec![first_shard]).await.context("the first put failed")?;
            let first_s = begun.elapsed().as_secs_f64();
            let mut lost = 0;
            let shards: Vec<_> = (0..wide.shards()).collect();
            for shards in shards.chunks(500) {
                let answer = put(client.clone(), shards.to_vec()).await.context("a put failed")?;
                let results = answer.into_inner().records;
                let numbers = results.iter().zip(shards).map(|(result, &shard)| {
                    // Refused, it has the number 0; used again, one that was acknowledged.
                    u64::from(result.sequence_number <= told[shard])
                });
                lost += numbers.sum::<u64>();
            }
            let every_s = begun.elapsed().as_secs_f64();
            lost += missing(&client, wide, &told).await?;
            anyhow::Ok((client, first_s, every_s, lost))
        };
        let (client, first_s, every_s, lost) = self.runtime.block_on(asked)?;
        self.client = client;
        self.server = Some(server);
        Ok(Start { first_s, every_s, lost, scanned_bytes: self.scanned_bytes() })
    }

    /// What the server's log says of the start.
    fn scanned_bytes(&self) -> u64 {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        super::logged(&log, "scanned_bytes").and_then(|word| word.parse().ok()).unwrap_or_default()
    }
}

/// Takes note of the numbers in answers.
fn note(acknowledged: &Arc<Mutex<Vec<u64>>>) -> impl FnMut(v1::ProduceResponse) + Send + 'static {
    let acknowledged = Arc::clone(acknowledged);
    move |answer| {
        let mut acknowledged = acknowledged.lock();
        for (shard, number) in answer.shard_indexes.into_iter().zip(answer.sequence_numbers) {
            let highest = &mut acknowledged[shard as usize];
            *highest = number.max(*highest);
        }
    }
}

async fn connect_again(client: &Client) -> Result<Client> {
    let address = client.server().trim_start_matches("http://").parse()?;
    connect(address).await
}

/// How many shards do not have the last record that was acknowledged.
async fn missing(client: &Client, wide: &Wide, told: &[u64]) -> Result<u64> {
    let stands = |shard: usize| async move {
        let shard_id = format!("shardId-{shard:012}");
        let position = Position::AtSequenceNumber(told[shard]);
        let iterator = client.get_shard_iterator(wide.name(), &shard_id, position).await?;
        let request = v1::GetRecordsRequest {
            shard_iterator: iterator,
            limit: Some(1),
            ..v1::GetRecordsRequest::default()
        };
        let page = client.get_records(request).await?;
        let found = page.records.first().map(|record| record.sequence_number);
        anyhow::Ok(found == Some(told[shard]))
    };
    let mut asked = FuturesUnordered::new();
    let mut shards = (0..wide.shards()).filter(|&shard| told[shard] > 0);
    let mut missing = 0;
    for shard in shards.by_ref().take(64) {
        asked.push(stands(shard));
    }
    while let Some(stood) = asked.next().await {
        missing += u64::from(!stood.context("a shard cannot be read")?);
        if let Some(shard) = shards.next() {
            asked.push(stands(shard));
        }
    }
    Ok(missing)
}
