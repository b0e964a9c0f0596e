//! Splits and merges at random, and whether the open shards tile the hash space.

use std::time::{Duration, Instant};

use anabranch_client::v1;
use anyhow::{Context, Result};
use tonic::Code;

use super::{Course, STREAM, index_of, open};
use crate::support::Random;
use crate::torture::server::{PATIENCE, connect};

/// Open shards at least and at most: in between chance decides what comes next.
const OPEN_MIN: usize = 3;
const OPEN_MAX: usize = 12;

/// What was done to the stream.
pub(super) struct Shape {
    random: Random,
    took_ms: Vec<f64>,
    made: u64,
    highest: u32,
}

impl Shape {
    pub(super) fn new(random: Random) -> Shape {
        Shape { random, took_ms: Vec::new(), made: 0, highest: 0 }
    }

    /// Splits and merges that were made.
    pub(super) fn made(&self) -> u64 {
        self.made
    }

    /// How long they took.
    pub(super) fn took_ms(&self) -> &[f64] {
        &self.took_ms
    }

    /// Shards that there ever were.
    pub(super) fn shards(&self) -> u64 {
        u64::from(self.highest) + 1
    }

    /// Splits a shard or merges two. A server that is killed is waited for.
    pub(super) async fn change(&mut self, course: &Course) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut life = 0;
        loop {
            let server = tokio::time::timeout(PATIENCE, course.after(life)).await??;
            life = server.0;
            match self.try_change(server.1).await {
                Ok(true) => return Ok(()),
                Ok(false) => tokio::time::sleep(Duration::from_millis(5)).await,
                Err(_) if course.is_killed(life) => return Ok(()),
                Err(error) => {
                    course.trouble(format!("a reshard: {error:#}"));
                    return Ok(());
                }
            }
            anyhow::ensure!(Instant::now() < deadline, "no reshard comes to its end");
        }
    }

    /// False: the stream is being changed by something else.
    async fn try_change(&mut self, address: std::net::SocketAddr) -> Result<bool> {
        let client = connect(address).await?;
        let mut open = open(client.list_shards(STREAM).await?);
        open.sort_by_key(|shard| range_of(shard).unwrap_or_default().0);
        let is_split = open.len() <= OPEN_MIN || open.len() < OPEN_MAX && self.random.below(2) == 0;
        let chosen = self.random.below(open.len() as u64 - u64::from(!is_split)) as usize;
        let shard = &open[chosen];
        let begun = Instant::now();
        let changed = if is_split {
            let (start, end) = range_of(shard)?;
            let width = end - start;
            anyhow::ensure!(width > 16, "a shard has become too narrow");
            // Anywhere in the middle half.
            let random = u128::from(self.random.next()) << 64 | u128::from(self.random.next());
            let at = start + width / 4 + random % (width / 2) + 1;
            let request = v1::SplitShardRequest {
                stream_name: STREAM.to_owned(),
                shard_to_split: shard.shard_id.clone(),
                new_starting_hash_key: at.to_string(),
                ..Default::default()
            };
            client.stub().split_shard(request).await.map(drop)
        } else {
            let request = v1::MergeShardsRequest {
                stream_name: STREAM.to_owned(),
                shard_to_merge: shard.shard_id.clone(),
                adjacent_shard_to_merge: open[chosen + 1].shard_id.clone(),
                ..Default::default()
            };
            client.stub().merge_shards(request).await.map(drop)
        };
        match changed {
            Ok(()) => {
                self.took_ms.push(begun.elapsed().as_secs_f64() * 1e3);
                self.made += 1;
                Ok(true)
            }
            Err(status) if status.code() == Code::FailedPrecondition => Ok(false),
            Err(status) => Err(status.into()),
        }
    }

    /// Looks at the stream once more, when all is over.
    pub(super) async fn look(&mut self, course: &Course) -> Result<()> {
        let (_, address) = *course.server.borrow();
        let shards = connect(address).await?.list_shards(STREAM).await?;
        for shard in &shards {
            self.highest = self.highest.max(index_of(&shard.shard_id)?);
        }
        let mut ranges = open(shards).iter().map(range_of).collect::<Result<Vec<_>>>()?;
        ranges.sort_unstable();
        let mut next = Some(0);
        for (start, end) in ranges {
            if next != Some(start) {
                course.trouble(format!("the open shards do not tile: {start} is not {next:?}"));
            }
            next = end.checked_add(1);
        }
        if next.is_some() {
            course.trouble("the open shards do not reach to the end".to_owned());
        }
        Ok(())
    }
}

fn range_of(shard: &v1::Shard) -> Result<(u128, u128)> {
    let range = shard.hash_key_range.as_ref().context("a shard without a range")?;
    Ok((range.starting_hash_key.parse()?, range.ending_hash_key.parse()?))
}
