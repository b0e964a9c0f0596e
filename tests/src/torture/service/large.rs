//! Many shards in a stream and many streams in a server: what it takes to make, list and split
//! them, and to start with them.

use std::time::Instant;

use anabranch_client::{Client, v1};
use anyhow::{Context, Result, ensure};

use super::measure::{largest, median};
use super::runtime;
use crate::torture::server::{Durability, Server, connect};
use crate::torture::{Bar, Check, Figures, Need, Plan};

pub(in crate::torture) const CHECK: Check = Check {
    name: "large",
    tier: "real",
    rows: &["R26", "R28"],
    about: "10,000 shards in a stream, thousands of streams: making, listing, splitting, starting",
    needs: &[Need::Space { bytes: 2 << 30 }],
    run,
};

const SHARDS_MOST: u32 = 10_000;
const SHARDS_MADE: u32 = 1000;
/// How often each thing is done; the middle one counts.
const TIMES: usize = 5;
/// Splits one after the other while nothing else happens.
const SPLITS: usize = 30;
/// Streams of a page, and streams that are being made at once.
const PAGE: u32 = 10_000;
const AT_ONCE: usize = 16;

/// Milliseconds to list 10,000 shards, and to make a stream of 1,000.
const LIST_MAX_MS: f64 = 50.0;
const MAKE_MAX_MS: f64 = 1000.0;

fn run(plan: &Plan) -> Result<Figures> {
    let streams = plan.size(500, 10_000);
    plan.total(2 * TIMES as u64 + SPLITS as u64 + streams);
    let (data, log) = (plan.scratch().join("data"), plan.scratch().join("server.log"));
    let mut server = Server::spawn(&data, Durability::Fsync, &log)?;
    let address = server.ready()?;
    let runtime = runtime()?;
    let mut figures = Figures::default();
    runtime.block_on(async {
        let client = connect(address).await?;
        shards(plan, &client, &mut figures).await?;
        splits(plan, &client, &mut figures).await?;
        many(plan, &client, streams, &mut figures).await
    })?;
    server.stop()?;
    let begun = Instant::now();
    let mut server = Server::spawn(&data, Durability::Fsync, &log)?;
    server.ready()?;
    let name = format!("a start with {streams} streams and their shards");
    figures.add(name, millis(begun), "ms", Bar::Told);
    server.stop()?;
    Ok(figures)
}

fn millis(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1e3
}

async fn shards(plan: &Plan, client: &Client, figures: &mut Figures) -> Result<()> {
    let mut made = Vec::new();
    for _ in 0..TIMES {
        let begun = Instant::now();
        client.create_stream("made", SHARDS_MADE).await?;
        made.push(millis(begun));
        client.delete_stream("made", false).await?;
        plan.advance(1);
    }
    let bar = Bar::AtMost(MAKE_MAX_MS);
    figures.add("CreateStream of 1,000 shards", median(&made), "ms", bar);
    let begun = Instant::now();
    client.create_stream("most", SHARDS_MOST).await?;
    figures.add("CreateStream of 10,000 shards", millis(begun), "ms", Bar::Told);
    let mut listed = Vec::new();
    for _ in 0..TIMES {
        let begun = Instant::now();
        let count = client.list_shards("most").await?.len();
        listed.push(millis(begun));
        ensure!(count == SHARDS_MOST as usize, "{count} shards are listed");
        plan.advance(1);
    }
    let bar = Bar::AtMost(LIST_MAX_MS);
    figures.add("ListShards of 10,000 shards, all pages", median(&listed), "ms", bar);
    Ok(())
}

/// Splits of the last shard again and again.
async fn splits(plan: &Plan, client: &Client, figures: &mut Figures) -> Result<()> {
    client.create_stream("split", 1).await?;
    let (mut end, mut start) = (u128::MAX, 0);
    let mut took = Vec::new();
    for split in 0..SPLITS {
        // The first child is split next: its id is the one behind the shards of before.
        let id = if split == 0 { 0 } else { 2 * split - 1 };
        start += 2;
        let at = (end - start) / 2 + start;
        let request = v1::SplitShardRequest {
            stream_name: "split".to_owned(),
            shard_to_split: format!("shardId-{id:012}"),
            new_starting_hash_key: at.to_string(),
            ..Default::default()
        };
        let begun = Instant::now();
        client.stub().split_shard(request).await.context("a split was refused")?;
        took.push(millis(begun));
        (end, start) = (at - 1, 0);
        plan.advance(1);
    }
    figures.add("SplitShard while nothing else happens, median", median(&took), "ms", Bar::Told);
    figures.add("the slowest", largest(&took), "ms", Bar::Told);
    Ok(())
}

async fn many(plan: &Plan, client: &Client, streams: u64, figures: &mut Figures) -> Result<()> {
    let begun = Instant::now();
    let mut made = tokio::task::JoinSet::new();
    for number in 0..streams {
        if made.len() >= AT_ONCE {
            made.join_next().await.context("some are under way")???;
        }
        let client = client.clone();
        made.spawn(async move {
            client.create_stream(&format!("stream-{number}"), 1).await?;
            anyhow::Ok(())
        });
        plan.advance(1);
    }
    while let Some(made) = made.join_next().await {
        made??;
    }
    let each = millis(begun) / streams as f64;
    figures.add(format!("CreateStream, {streams} times, each"), each, "ms", Bar::Told);
    let begun = Instant::now();
    let request = v1::ListStreamsRequest { limit: Some(PAGE), ..Default::default() };
    let page = client.stub().list_streams(request).await?.into_inner();
    let first = millis(begun);
    let begun = Instant::now();
    let listed = client.list_streams().await?.len() as u64;
    ensure!(listed == streams + 2, "{listed} streams are listed");
    figures.add("ListStreams, all pages", millis(begun), "ms", Bar::Told);
    figures.add("the largest page alone", first, "ms", Bar::Told);
    figures.told("streams of that page", page.stream_summaries.len() as u64);
    Ok(())
}
