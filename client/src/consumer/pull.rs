//! Reading by GetRecords: page after page, with a long poll at the tip.

use std::sync::atomic::Ordering;
use std::time::Duration;

use anabranch_proto::v1;

use super::builder::LONG_POLLS_MAX;
use super::shard::{Done, ShardReader, Then};
use crate::error::{Error, Result};

/// How long the server may wait for a record before it answers with an empty page.
const WAIT_MS: u32 = 20_000;

/// How long a shard without new records rests where the shards take turns.
const REST: Duration = Duration::from_millis(500);

impl ShardReader {
    pub(super) async fn pull(&mut self, token: Option<String>) -> Done {
        match self.pull_pages(token).await {
            Ok(children) => Done::Ended(children),
            Err(done) => done,
        }
    }

    async fn pull_pages(&mut self, token: Option<String>) -> Result<Vec<v1::ChildShard>, Done> {
        let plan = self.plan.clone();
        let mut token = token;
        loop {
            let current = match token.take() {
                Some(current) => current,
                None => plan.token_of(&self.shard_id, self.position).await?,
            };
            // A turn lasts until the page is handed over, so that the pages in memory are as
            // many as there are turns, and not as many as there are shards.
            let turn = match plan.active.load(Ordering::Relaxed) > LONG_POLLS_MAX {
                true => Some(plan.turns.acquire().await.map_err(|_| Done::Dropped)?),
                false => None,
            };
            let waits = turn.is_none() && self.tip.is_none();
            let request = v1::GetRecordsRequest {
                shard_iterator: current.clone(),
                wait_ms: waits.then_some(WAIT_MS),
                ..v1::GetRecordsRequest::default()
            };
            match plan.client.get_records(request).await {
                Ok(page) => {
                    self.retry.reset();
                    let is_empty = page.records.is_empty();
                    let then = self.deliver(page.records, page.millis_behind_latest).await?;
                    if page.next_shard_iterator.is_empty() {
                        return Ok(page.child_shards);
                    }
                    if matches!(then, Then::Stop) {
                        return Ok(Vec::new());
                    }
                    token = Some(page.next_shard_iterator);
                    if is_empty && turn.is_some() {
                        drop(turn);
                        tokio::time::sleep(REST).await;
                    }
                }
                // The position is known, so a new token is all that is needed.
                Err(Error::ExpiredIterator) => {}
                Err(Error::DataLoss(loss)) => {
                    token = Some(loss.next_shard_iterator.clone()).filter(|text| !text.is_empty());
                    self.report(*loss).await?;
                }
                Err(error) => {
                    drop(turn);
                    self.retry.pause(error).await?;
                    token = Some(current);
                }
            }
        }
    }
}
