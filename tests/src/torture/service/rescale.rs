//! A stream of very many busy shards that is scaled to twice as many, and back, while batches of
//! random keys are put into all of them: how long the puts wait, and whether one fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anabranch_client::{Client, v1};
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::runtime;
use crate::support::Random;
use crate::torture::server::{Durability, Server, connect, verify};
use crate::torture::{Bar, Check, Figures, Need, Plan};

pub(in crate::torture) const CHECK: Check = Check {
    name: "rescale",
    tier: "real",
    rows: &["R28"],
    about: "very many busy shards, twice as many and half as many: the wait of puts",
    needs: &[Need::Space { bytes: 6 << 30 }],
    run,
};

const STREAM: &str = "rescale";
/// Calls under way at a time, and the records of one: together they reach all shards soon.
const CALLS: usize = 16;
const BATCH_RECORDS: usize = 100;
const RECORD_BYTES: usize = 200;
/// How long puts are looked at without a change, and for how long after one.
const QUIET: Duration = Duration::from_secs(4);
const AFTERWARDS: Duration = Duration::from_secs(2);
/// Milliseconds that a call of its own waits for a shard at most: beyond, its records fail.
const WAIT_MAX_MS: f64 = 1000.0;

/// What the producers have in common.
#[derive(Default)]
struct Course {
    is_over: AtomicBool,
    /// The longest wait of a put since this was last asked, in microseconds.
    longest_us: AtomicU64,
    put: AtomicU64,
    failed: AtomicU64,
}

impl Course {
    fn longest_ms(&self) -> f64 {
        self.longest_us.swap(0, Ordering::SeqCst) as f64 / 1e3
    }
}

fn run(plan: &Plan) -> Result<Figures> {
    let shards = plan.size(200, 1000) as u32;
    plan.total(3);
    let (data, log) = (plan.scratch().join("data"), plan.scratch().join("server.log"));
    let mut server = Server::spawn(&data, Durability::Fsync, &log)?;
    let address = server.ready()?;
    let mut figures = Figures::default();
    runtime()?.block_on(async {
        let client = connect(address).await?;
        client.create_stream(STREAM, shards).await?;
        let course = Arc::new(Course::default());
        let mut producers = JoinSet::new();
        for number in 0..CALLS as u64 {
            let client = connect(address).await?;
            let random = Random(plan.seed() + number);
            producers.spawn(pour(client, Arc::clone(&course), random));
        }
        play(plan, &client, &course, shards, &mut figures).await?;
        course.is_over.store(true, Ordering::SeqCst);
        while let Some(producer) = producers.join_next().await {
            producer??;
        }
        figures.at_least("records put", course.put.load(Ordering::SeqCst), 1000);
        figures.zero("records that failed", course.failed.load(Ordering::SeqCst));
        anyhow::Ok(())
    })?;
    server.stop()?;
    let damage = verify(&data)?;
    figures.zero("damage found by verify", u64::from(damage.is_some()));
    Ok(figures)
}

async fn play(
    plan: &Plan,
    client: &Client,
    course: &Course,
    shards: u32,
    figures: &mut Figures,
) -> Result<()> {
    // Every shard has its first segment.
    sleep(QUIET).await;
    course.longest_ms();
    sleep(QUIET).await;
    let name = format!("longest wait of a put into {shards} shards");
    figures.add(name, course.longest_ms(), "ms", Bar::Told);
    plan.advance(1);
    for target in [2 * shards, shards] {
        let before = course.put.load(Ordering::SeqCst);
        let begun = Instant::now();
        let request = v1::UpdateShardCountRequest {
            stream_name: STREAM.to_owned(),
            target_shard_count: target,
            ..Default::default()
        };
        client.stub().update_shard_count(request).await.context("it was not scaled")?;
        let took_ms = begun.elapsed().as_secs_f64() * 1e3;
        figures.add(format!("UpdateShardCount to {target}"), took_ms, "ms", Bar::Told);
        sleep(AFTERWARDS).await;
        let name = format!("longest wait of a put, to {target}");
        figures.add(name, course.longest_ms(), "ms", Bar::AtMost(WAIT_MAX_MS));
        ensure!(course.put.load(Ordering::SeqCst) > before, "nothing is put any more");
        plan.advance(1);
    }
    Ok(())
}

/// Puts batches of random keys, one behind the other.
async fn pour(client: Client, course: Arc<Course>, mut random: Random) -> Result<()> {
    let data = Bytes::from(vec![b'r'; RECORD_BYTES]);
    while !course.is_over.load(Ordering::SeqCst) {
        let mut record = || v1::PutRecordsRequestEntry {
            data: data.clone(),
            partition_key: random.next().to_string(),
            explicit_hash_key: None,
        };
        let records = (0..BATCH_RECORDS).map(|_| record()).collect();
        let stream_name = STREAM.to_owned();
        let request = v1::PutRecordsRequest { stream_name, records, ..Default::default() };
        let begun = Instant::now();
        let answer = client.stub().put_records(request).await.context("a put was refused")?;
        let waited_us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        course.longest_us.fetch_max(waited_us, Ordering::SeqCst);
        let failed = u64::from(answer.into_inner().failed_record_count);
        course.failed.fetch_add(failed, Ordering::SeqCst);
        course.put.fetch_add(BATCH_RECORDS as u64 - failed, Ordering::SeqCst);
    }
    Ok(())
}
