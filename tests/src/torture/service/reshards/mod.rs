//! A stream that is split and merged at random under full load, with the server killed meanwhile.
//!
//! ```text
//!   quiet | splits | quiet | splits | ...      the longest wait of a put, in turn
//!   reshard, reshard + SIGKILL, start, ...     until there were so many
//!          \_ producers put unique records all the while, readers follow shards to their children
//! ```
//!
//! Readers know nothing of the stream's shape but the shards that it began with: at the end of one
//! they are told of its children, and begin one when they have read all that it came from. What
//! was acknowledged is read once, under the number that was told, and the records of a key in the
//! order in which they were put. No put may fail in another way than by the kill.
//!
//! How much longer a put waits at worst with splits than without is measured in rounds that take
//! turns, and judged by the median over the rounds: on a machine with other things to do one round
//! says little.

mod follower;
mod producer;
mod shape;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anabranch_client::v1;
use anyhow::{Context, Result};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use self::follower::Follower;
use self::producer::Producer;
use self::shape::Shape;
use super::measure::{largest, median, quantile};
use super::runtime;
use crate::support::Random;
use crate::torture::server::{Durability, Server, connect, verify};
use crate::torture::{Bar, Check, Figures, Need, Plan};

pub(in crate::torture) const CHECK: Check = Check {
    name: "reshards",
    tier: "real",
    rows: &["R28"],
    about: "random splits and merges under load, with kills: records, their order, the wait of puts",
    needs: &[Need::Space { bytes: 6 << 30 }],
    run,
};

const STREAM: &str = "reshards";
/// The shards that it begins with.
const SHARDS: u32 = 4;
const PRODUCERS: usize = 4;
/// Readers that follow while records are put. Another one comes when all is over.
const LIVE_READERS: usize = 1;

/// Rounds of each kind, how long one is, and between two of them.
const ROUNDS: usize = 4;
const ROUND: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_millis(100);
/// So many times as many rounds tell more where the first ones leave it open.
const ROUNDS_MORE: usize = 4;
/// Between two reshards, so that there is load in between.
const BETWEEN_MS: u64 = 40;
/// Milliseconds after the start of a reshard within which the server is killed.
const KILL_WITHIN_MS: u64 = 25;
/// Milliseconds by which the longest wait of a put may grow.
const STALL_MAX_MS: f64 = 20.0;

fn run(plan: &Plan) -> Result<Figures> {
    let reshards = plan.size(40, 200);
    let kills = plan.size(4, 25);
    plan.total(reshards);
    let runtime = runtime()?;
    runtime.block_on(play(plan, reshards, kills))
}

/// What everybody knows of the run.
struct Course {
    /// Where the server is, and which of its lives it is in.
    server: watch::Sender<(u64, SocketAddr)>,
    /// Lives up to this one have been ended.
    killed: AtomicU64,
    /// Producers put no more.
    is_over: AtomicBool,
    /// Nothing is put any more, and all that is there is to be read.
    is_settled: AtomicBool,
    /// The longest wait of a put since this was last asked, in microseconds.
    longest_us: AtomicU64,
    /// What went wrong, in words.
    troubles: Mutex<Vec<String>>,
}

impl Course {
    fn trouble(&self, words: String) {
        self.troubles.lock().push(words);
    }

    fn is_killed(&self, life: u64) -> bool {
        self.killed.load(Ordering::SeqCst) >= life
    }

    /// The server in its next life, if this one was ended; at once if it was not.
    async fn after(&self, life: u64) -> Result<(u64, SocketAddr)> {
        let mut server = self.server.subscribe();
        let now = *server.wait_for(|now| now.0 != life || !self.is_killed(life)).await?;
        Ok(now)
    }
}

/// The process, and the directory in which it lives again and again.
struct Lives {
    data: PathBuf,
    log: PathBuf,
    server: Server,
}

impl Lives {
    /// SIGKILL, and another start.
    fn kill(&mut self, course: &Course) -> Result<()> {
        let life = course.server.borrow().0;
        course.killed.store(life, Ordering::SeqCst);
        self.server.kill()?;
        let next = Server::spawn(&self.data, Durability::Fsync, &self.log);
        // The lock goes with the process: the next one comes when it is gone.
        std::mem::replace(&mut self.server, next?).wait()?;
        let address = match self.server.ready() {
            Ok(address) => address,
            Err(_) => {
                self.server = Server::spawn(&self.data, Durability::Fsync, &self.log)?;
                self.server.ready()?
            }
        };
        course.server.send_replace((life + 1, address));
        Ok(())
    }
}

async fn play(plan: &Plan, reshards: u64, kills: u64) -> Result<Figures> {
    let (data, log) = (plan.scratch().join("data"), plan.scratch().join("server.log"));
    let mut server = Server::spawn(&data, Durability::Fsync, &log)?;
    let address = server.ready()?;
    let mut lives = Lives { data, log, server };
    let client = connect(address).await?;
    client.create_stream(STREAM, SHARDS).await?;
    let first: Vec<_> =
        client.list_shards(STREAM).await?.into_iter().map(|shard| shard.shard_id).collect();
    let course = Arc::new(Course {
        server: watch::Sender::new((1, address)),
        killed: AtomicU64::new(0),
        is_over: AtomicBool::new(false),
        is_settled: AtomicBool::new(false),
        longest_us: AtomicU64::new(0),
        troubles: Mutex::default(),
    });
    let mut producers = JoinSet::new();
    for number in 0..PRODUCERS {
        producers.spawn(Producer::new(number).run(course.clone()));
    }
    let mut readers = JoinSet::new();
    for _ in 0..LIVE_READERS {
        readers.spawn(Follower::new(first.clone()).run(course.clone()));
    }

    let mut shape = Shape::new(Random(plan.seed()));
    let waits = rounds(plan, &course, &mut shape).await?;
    // A reshard is under way when the server is killed, or was just before.
    let mut random = Random(plan.seed() ^ 0x5151);
    for number in 0..kills {
        let due = (reshards.saturating_sub(shape.made()) / (kills - number)).max(1);
        for _ in 1..due {
            shape.change(&course).await?;
            plan.advance(1);
            sleep(Duration::from_millis(random.below(BETWEEN_MS))).await;
        }
        let within = Duration::from_millis(random.below(KILL_WITHIN_MS));
        let (changed, killed) = tokio::join!(shape.change(&course), async {
            sleep(within).await;
            lives.kill(&course)
        });
        killed?;
        changed?;
        plan.advance(1);
    }
    sleep(PAUSE).await;

    course.is_over.store(true, Ordering::SeqCst);
    let mut put = Vec::new();
    while let Some(producer) = producers.join_next().await {
        put.push(producer??);
    }
    course.is_settled.store(true, Ordering::SeqCst);
    readers.spawn(Follower::new(first).run(course.clone()));
    let mut read = Vec::new();
    while let Some(reader) = readers.join_next().await {
        read.push(reader??);
    }
    shape.look(&course).await?;
    lives.server.stop()?;
    let damage = verify(&lives.data)?;

    let mut figures = Figures::default();
    figures.at_least("splits and merges", shape.made(), reshards);
    figures.told("kills", kills);
    figures.told("shards of its life", shape.shards());
    let (sent, acknowledged) = (sum(&put, |put| put.sent()), sum(&put, |put| put.acknowledged()));
    figures.told("records put", sent);
    figures.at_least("records acknowledged", acknowledged, 1000);
    figures.zero("puts failed otherwise than by a kill", sum(&put, |put| put.failed()));
    let compared: Vec<_> = read.iter().map(|read| read.compare(&put)).collect();
    figures.told("records read", sum(&compared, |found| found.read));
    figures.zero("acknowledged and not read", sum(&compared, |found| found.lost));
    figures.zero("read twice", sum(&compared, |found| found.twice));
    figures.zero("read and never put", sum(&compared, |found| found.unknown));
    figures.zero("read under another number", sum(&compared, |found| found.elsewhere));
    figures.zero("out of order along the lineage", sum(&compared, |found| found.unordered));
    let shards = read.iter().map(|read| read.shards()).min().unwrap_or(0);
    figures.at_least("shards followed", shards, shape.shards());
    figures.zero("otherwise wrong", course.troubles.lock().len() as u64);
    figures.zero("damage found by verify", u64::from(damage.is_some()));
    let (quiet, split): (Vec<_>, Vec<_>) = waits.iter().copied().unzip();
    figures.add("longest wait of a put, median of rounds", median(&quiet), "ms", Bar::Told);
    figures.add("the same with splits", median(&split), "ms", Bar::Told);
    let longer = median(&longer(&waits));
    figures.add("longer with splits", longer, "ms", Bar::AtMost(STALL_MAX_MS));
    figures.add("a split or merge, median", median(shape.took_ms()), "ms", Bar::Told);
    figures.add("the slowest of a hundred", quantile(shape.took_ms(), 0.99), "ms", Bar::Told);
    figures.add("the slowest", largest(shape.took_ms()), "ms", Bar::Told);
    let told = waits.iter().map(|(quiet, split)| format!("{quiet:.0}/{split:.0}"));
    let told = told.collect::<Vec<_>>().join(" ");
    figures.remark(format!("longest waits in ms, without and with splits, by round: {told}"));
    for words in course.troubles.lock().iter().take(5).chain(&damage) {
        figures.remark(words.clone());
    }
    Ok(figures)
}

fn sum<T>(all: &[T], of: impl Fn(&T) -> u64) -> u64 {
    all.iter().map(of).sum()
}

fn longer(waits: &[(f64, f64)]) -> Vec<f64> {
    waits.iter().map(|(quiet, split)| split - quiet).collect()
}

/// The longest waits of puts, in milliseconds, without reshards and with them.
async fn rounds(plan: &Plan, course: &Course, shape: &mut Shape) -> Result<Vec<(f64, f64)>> {
    let least = plan.size(ROUNDS as u64, 4 * ROUNDS as u64) as usize;
    let mut waits = Vec::new();
    // The first segments, the first pages of memory.
    sleep(ROUND).await;
    while waits.len() < least
        || waits.len() < least * ROUNDS_MORE && median(&longer(&waits)) > STALL_MAX_MS
    {
        sleep(PAUSE).await;
        course.longest_us.store(0, Ordering::SeqCst);
        sleep(ROUND).await;
        let quiet = course.longest_us.swap(0, Ordering::SeqCst) as f64 / 1e3;
        sleep(PAUSE).await;
        course.longest_us.store(0, Ordering::SeqCst);
        let until = tokio::time::Instant::now() + ROUND;
        while tokio::time::Instant::now() < until {
            shape.change(course).await?;
            plan.advance(1);
            sleep(Duration::from_millis(BETWEEN_MS)).await;
        }
        let split = course.longest_us.swap(0, Ordering::SeqCst) as f64 / 1e3;
        waits.push((quiet, split));
    }
    Ok(waits)
}

/// The number of a shard, out of its id.
fn index_of(shard_id: &str) -> Result<u32> {
    let digits = shard_id.strip_prefix("shardId-").context("no id of a shard")?;
    Ok(digits.parse()?)
}

/// The open ones.
fn open(shards: Vec<v1::Shard>) -> Vec<v1::Shard> {
    shards.into_iter().filter(|shard| shard.is_open).collect()
}
