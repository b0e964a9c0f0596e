//! More than the server can take: three times the clients that keep it busy.
//!
//! ```text
//!   lone | 1x | 3x | 1x | 3x | ... | lone        each put is a call of its own, of 500 KiB
//! ```
//!
//! At *1x* so many calls are under way that the server never waits for work: what it does then
//! is its capacity. At *3x* there are three times the connections and the calls, more than its
//! memory for requests holds. A server that collapses does less then, because it spends
//! its time on what nobody waits for any more. Ours is to do as much as before, to tell whom it
//! cannot serve at once so that he comes again, and to be its old self as soon as the crowd has
//! gone. Server and clients have cores of their own ([`Cores`]): sending three times the load
//! takes three times the work, and that is not to be the server's loss. Where there is room its
//! data is in memory: what a shared disk gives from one second to the next differs by more than
//! what is measured, and syncs are other checks' business.
//!
//! A call is given two seconds. A record counts where it was acknowledged in them.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anabranch_client::{Client, Record, v1};
use anyhow::Result;
use bytes::Bytes;
use rustix::process::Pid;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tonic::{Code, Request};

use super::cores::Cores;
use super::measure::{anonymous_bytes, largest, median, micros, quantile};
use super::runtime;
use super::wide::Wide;
use crate::support::Random;
use crate::torture::server::{Durability, Server, connect};
use crate::torture::{Bar, Check, Figures, Need, Plan, interrupt, program};

pub(in crate::torture) const CHECK: Check = Check {
    name: "overload",
    tier: "real",
    rows: &["R22"],
    about: "three times the clients that keep the server busy: goodput, refusals, memory, recovery",
    needs: &[Need::Space { bytes: 8 << 30 }],
    run,
};

const SHARDS: u32 = 4;
/// Connections and calls under way at 1x, and how many times that is too much.
const CONNECTIONS: usize = 8;
const CALLS: usize = 32;
const TIMES: usize = 3;
const ROUNDS: u64 = 5;
/// So many times as many rounds tell more where the first ones leave it open: one round's ratio
/// differs from the next one's by a tenth, and the median of five by a twentieth.
const ROUNDS_MORE: usize = 3;
/// Memory for requests: what is sent at 1x fits, and half as much again.
const REQUEST_MIB: u32 = 24;
/// A put of one call.
const BATCH_RECORDS: usize = 500;
const RECORD_BYTES: usize = 1000;
/// For how long it counts what a crowd puts.
const PHASE: Duration = Duration::from_millis(1_500);
/// What a crowd puts at first does not count: until the first are answered it is no crowd yet.
const WARM_UP: Duration = Duration::from_millis(800);
/// For how long a client waits for its answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// After a refusal it comes again when it was asked to, or up to as much later.
const BACK_OFF_MS: u64 = 500;
/// Puts of a client that is alone, of which one looks at the median.
const LONE_PUTS: usize = 100;
/// The streams of one who is alone, and of a crowd, whose goes with it.
const LONE: &str = "lone";
const CROWDED: &str = "crowded";

/// Where a file system in memory is, and the room that the streams of two crowds take there.
const MEMORY_DIR: &str = "/dev/shm";
const MEMORY_DIR_BYTES_MIN: u64 = 5 << 30;

/// What of the goodput at 1x has to be left at 3x.
const GOODPUT_MIN: f64 = 0.95;
/// Milliseconds within which one who is refused is told so, at the median: what he has sent has to
/// come in first, among what the others send. And seconds, at worst: who waits for room in vain
/// has waited for one.
const REFUSED_MEDIAN_MAX_MS: f64 = 200.0;
const REFUSED_MAX_S: f64 = 2.0;
/// Memory: 64 MiB of staging, 96 MiB of calls at 3x, and as much again for what holds them.
const MEMORY_MAX_MIB: f64 = 384.0;
/// Seconds after which a lone client is served as before. The disk has to be done with what was
/// put: it writes back for a while.
const RECOVERED_MAX_S: f64 = 10.0;
/// What counts as before; a disk alone changes that much.
const LONE_MAX: f64 = 1.5;

fn run(plan: &Plan) -> Result<Figures> {
    plan.total(2 * plan.size(ROUNDS, 6 * ROUNDS));
    let memory = in_memory()?;
    let data = memory.as_ref().map_or(plan.scratch(), TempDir::path).join("data");
    let cores = Cores::divide()?;
    cores.as_ref().map_or(Ok(()), Cores::for_server)?;
    let mut command = program();
    command.env("ANABRANCH_REQUEST_MIB", REQUEST_MIB.to_string());
    let log = plan.scratch().join("server.log");
    let mut server = Server::spawn_by(command, &data, Durability::Fsync, &log)?;
    cores.as_ref().map_or(Ok(()), Cores::for_clients)?;
    let address = server.ready()?;
    let runtime = runtime()?;
    let pid = server.pid();
    let mut figures = runtime.block_on(play(plan, address, pid))?;
    server.stop()?;
    if memory.is_none() {
        figures.remark(format!("{MEMORY_DIR} has no room: the disk is measured, too"));
    }
    Ok(figures)
}

/// A directory in memory, if there is room for what a crowd puts.
fn in_memory() -> Result<Option<TempDir>> {
    let has_room = rustix::fs::statvfs(MEMORY_DIR)
        .is_ok_and(|space| space.f_bavail * space.f_frsize >= MEMORY_DIR_BYTES_MIN);
    if !has_room {
        return Ok(None);
    }
    let dir = tempfile::Builder::new().prefix("anabranch-torture-").tempdir_in(MEMORY_DIR)?;
    interrupt::scratch_too(dir.path());
    Ok(Some(dir))
}

async fn play(plan: &Plan, address: SocketAddr, pid: Pid) -> Result<Figures> {
    let client = connect(address).await?;
    Wide::make(&client, LONE, SHARDS).await?;
    let crowd = Crowd { address, pid, client: client.clone() };
    // The first segments, the first pages of memory.
    crowd.come(1).await?;
    let before = lone(&client).await?;
    let (mut once, mut thrice) = (Vec::new(), Vec::new());
    let least = plan.size(ROUNDS, 6 * ROUNDS) as usize;
    while thrice.len() < least
        || thrice.len() < least * ROUNDS_MORE && median(&kept(&once, &thrice)) < GOODPUT_MIN
    {
        for (times, seen) in [(1, &mut once), (TIMES, &mut thrice)] {
            plan.say(format!("{times}x"));
            seen.push(crowd.come(times).await?);
            plan.advance(1);
        }
    }
    let (recovered, after) = recovery(&client, before).await?;

    let mut figures = Figures::default();
    let (one, three) = (rounds(&once), rounds(&thrice));
    figures.add("goodput at 1x, median", median(&one), "records/s", Bar::Told);
    figures.add("goodput at 3x, median", median(&three), "records/s", Bar::Told);
    let kept = kept(&once, &thrice);
    figures.add("goodput at 3x, of 1x", median(&kept), "", Bar::AtLeast(GOODPUT_MIN));
    let spread = kept.iter().map(|kept| format!("{kept:.2}")).collect::<Vec<_>>().join(" ");
    figures.remark(format!("goodput at 3x, of 1x, by round: {spread}"));
    for (name, seen) in [("1x", &once), ("3x", &thrice)] {
        let all =
            |of: fn(&Seen) -> &Vec<f64>| seen.iter().flat_map(of).copied().collect::<Vec<_>>();
        let answered = quantile(&all(|seen| &seen.answered_us), 0.99) / 1e6;
        figures.add(format!("acknowledged at {name}, p99"), answered, "s", Bar::Told);
        let refused = all(|seen| &seen.refused_us);
        if name == "3x" {
            // Otherwise nothing is said by how quickly they are told.
            figures.at_least("calls refused at 3x", refused.len() as u64, 1);
        } else {
            figures.told(format!("calls refused at {name}"), refused.len() as u64);
        }
        let bar = Bar::AtMost(REFUSED_MEDIAN_MAX_MS);
        figures.add(format!("refused at {name}, median"), median(&refused) / 1e3, "ms", bar);
        let slowest = largest(&refused) / 1e6;
        figures.add(
            format!("refused at {name}, slowest"),
            slowest,
            "s",
            Bar::AtMost(REFUSED_MAX_S),
        );
        let late = seen.iter().map(|seen| seen.late).sum();
        figures.told(format!("calls too late at {name}"), late);
        let failed = seen.iter().map(|seen| seen.failed).sum();
        figures.zero(format!("calls failed otherwise at {name}"), failed);
        let memory = largest(&seen.iter().map(|seen| seen.memory_mib).collect::<Vec<_>>());
        let bar = Bar::AtMost(MEMORY_MAX_MIB);
        figures.add(format!("memory at {name}, the most"), memory, "MiB", bar);
    }
    figures.add("lone put before", before, "us", Bar::Told);
    figures.add("lone put after", after, "us", Bar::Told);
    figures.add("as before again, after", recovered, "s", Bar::AtMost(RECOVERED_MAX_S));
    let words = once.iter().chain(&thrice).find_map(|seen| seen.words.clone());
    if let Some(words) = words {
        figures.remark(words);
    }
    Ok(figures)
}

/// What of the goodput at 1x was left at 3x, by round.
fn kept(once: &[Seen], thrice: &[Seen]) -> Vec<f64> {
    rounds(once).iter().zip(rounds(thrice)).map(|(one, three)| three / one).collect()
}

/// What was put in each round.
fn rounds(seen: &[Seen]) -> Vec<f64> {
    seen.iter().map(|seen| seen.goodput).collect()
}

/// What a crowd met.
#[derive(Default)]
struct Seen {
    /// Records acknowledged in time, by the second.
    goodput: f64,
    records: u64,
    answered_us: Vec<f64>,
    /// Refusals that say: come again.
    refused_us: Vec<f64>,
    /// Calls whose answer did not come in time.
    late: u64,
    /// Any other outcome, and the first of them in words.
    failed: u64,
    words: Option<String>,
    memory_mib: f64,
}

#[derive(Clone)]
struct Crowd {
    address: SocketAddr,
    pid: Pid,
    client: Client,
}

impl Crowd {
    /// So many times the clients of 1x, for one phase, with a stream of their own.
    async fn come(&self, times: usize) -> Result<Seen> {
        let wide = Arc::new(Wide::make(&self.client, CROWDED, SHARDS).await?);
        let mut clients = Vec::new();
        for _ in 0..CONNECTIONS * times {
            clients.push(connect(self.address).await?);
        }
        let from = Instant::now() + WARM_UP;
        let until = from + PHASE;
        let mut calls = JoinSet::new();
        for number in 0..CALLS * times {
            let client = clients[number % clients.len()].clone();
            calls.spawn(caller(client, wide.clone(), number, from..until));
        }
        let mut sum = Seen::default();
        while Instant::now() < until {
            let memory = anonymous_bytes(self.pid)? as f64 / f64::from(1 << 20);
            sum.memory_mib = sum.memory_mib.max(memory);
            sleep(Duration::from_millis(50)).await;
        }
        while let Some(seen) = calls.join_next().await {
            let seen = seen?;
            sum.records += seen.records;
            sum.answered_us.extend(seen.answered_us);
            sum.refused_us.extend(seen.refused_us);
            sum.late += seen.late;
            sum.failed += seen.failed;
            sum.words = sum.words.or(seen.words);
        }
        sum.goodput = sum.records as f64 / PHASE.as_secs_f64();
        self.client.delete_stream(CROWDED, false).await?;
        Ok(sum)
    }
}

/// Puts again and again, until it is time; what is answered within it counts.
async fn caller(client: Client, wide: Arc<Wide>, number: usize, time: Range<Instant>) -> Seen {
    let mut seen = Seen::default();
    let mut random = Random(number as u64);
    let data = Bytes::from(vec![b'o'; RECORD_BYTES]);
    let shard = number % wide.shards();
    let records: Vec<_> = (0..BATCH_RECORDS).map(|_| wide.record(shard, &data)).collect();
    while Instant::now() < time.end {
        let records = records.clone();
        let message = v1::PutRecordsRequest {
            stream_name: wide.name().to_owned(),
            records,
            ..Default::default()
        };
        let mut request = Request::new(message);
        request.set_timeout(PATIENCE);
        let begun = Instant::now();
        let answer = client.stub().put_records(request).await;
        let took_us = micros(begun.elapsed());
        match answer {
            Ok(answer) => {
                let results = answer.into_inner().records;
                let put = results.iter().filter(|result| result.error_code.is_empty()).count();
                if begun.elapsed() <= PATIENCE && time.contains(&Instant::now()) {
                    seen.records += put as u64;
                }
                // Told record by record.
                let times =
                    if put < results.len() { &mut seen.refused_us } else { &mut seen.answered_us };
                times.push(took_us);
                if put == results.len() {
                    continue;
                }
            }
            Err(status) => match status.code() {
                Code::ResourceExhausted | Code::Unavailable => seen.refused_us.push(took_us),
                Code::DeadlineExceeded | Code::Cancelled => seen.late += 1,
                _ => {
                    seen.failed += 1;
                    seen.words.get_or_insert(status.to_string());
                }
            },
        }
        sleep(Duration::from_millis(BACK_OFF_MS + random.below(BACK_OFF_MS))).await;
    }
    seen
}

/// Seconds until a lone client is served as before, and its median then.
async fn recovery(client: &Client, before: f64) -> Result<(f64, f64)> {
    let begun = Instant::now();
    loop {
        let after = lone(client).await?;
        let took = begun.elapsed().as_secs_f64();
        if after <= before * LONE_MAX || took > 2.0 * RECOVERED_MAX_S {
            return Ok((took, after));
        }
    }
}

/// The median of puts, one after the other, while nobody else is there.
async fn lone(client: &Client) -> Result<f64> {
    let mut times = Vec::new();
    for _ in 0..LONE_PUTS {
        let begun = Instant::now();
        client.put_record(LONE, Record::new("key", vec![b'l'; RECORD_BYTES]), None).await?;
        times.push(micros(begun.elapsed()));
    }
    Ok(median(&times))
}
