//! Reading by SubscribeToShard, subscribing again whenever a subscription ends.
//!
//! A subscription ends after five minutes, with its connection, with the server, or at
//! damage; each time the next one starts behind what was last handed over. The server refuses
//! a second subscription within five seconds of the first, which is what a client meets that
//! comes back at once after its connection broke: that refusal is waited out. A subscription
//! that was running and then ends with the same refusal was taken over by somebody else, and
//! is not fought for.

use std::time::Duration;

use anabranch_proto::v1;
use tokio::time::Instant;
use tonic::Streaming;

use super::Position;
use super::shard::{Done, ShardReader, Then};
use crate::error::{Error, Result};

/// How long a refused subscription is tried again: the server's five seconds and some.
const REFUSED_FOR: Duration = Duration::from_secs(8);
/// Between two such attempts.
const REFUSED_PAUSE: Duration = Duration::from_millis(500);

/// Why a subscription ended, where reading goes on.
enum Over {
    /// By itself, or because the server is going away.
    Naturally,
    /// At the end of the shard.
    Shard(Vec<v1::ChildShard>),
    /// With an error, after so many events.
    Error { error: Error, events: u64 },
}

impl ShardReader {
    pub(super) async fn push(&mut self, consumer_name: &str) -> Done {
        match self.push_events(consumer_name).await {
            Ok(children) => Done::Ended(children),
            Err(done) => done,
        }
    }

    async fn push_events(&mut self, consumer_name: &str) -> Result<Vec<v1::ChildShard>, Done> {
        let plan = self.plan.clone();
        let mut refused_since: Option<Instant> = None;
        loop {
            let subscription = plan.subscriber.subscribe_to_shard(
                &plan.stream_name,
                consumer_name,
                &self.shard_id,
                self.position,
            );
            let over = match subscription.await {
                Ok(events) => self.listen(events).await?,
                Err(error) => Over::Error { error, events: 0 },
            };
            match over {
                Over::Naturally => refused_since = None,
                Over::Shard(children) => return Ok(children),
                Over::Error { error: Error::DataLoss(loss), .. } => self.report(*loss).await?,
                Over::Error { error: error @ Error::InUse { .. }, events: 0 } => {
                    let since = *refused_since.get_or_insert_with(Instant::now);
                    if since.elapsed() > REFUSED_FOR {
                        return Err(Done::Failed(error));
                    }
                    tokio::time::sleep(REFUSED_PAUSE).await;
                }
                Over::Error { error, events } => {
                    if events > 0 {
                        refused_since = None;
                    }
                    self.retry.pause(error).await?;
                }
            }
        }
    }

    async fn listen(
        &mut self,
        mut events: Streaming<v1::SubscribeToShardEvent>,
    ) -> Result<Over, Done> {
        let mut count = 0;
        loop {
            let event = match events.message().await {
                Ok(Some(event)) => event,
                Ok(None) => return Ok(Over::Naturally),
                Err(status) => {
                    return Ok(Over::Error {
                        error: self.plan.client.error(status),
                        events: count,
                    });
                }
            };
            count += 1;
            self.retry.reset();
            let then = self.deliver(event.records, event.millis_behind_latest).await?;
            if !event.child_shards.is_empty() {
                return Ok(Over::Shard(event.child_shards));
            }
            if event.continuation_sequence_number != 0 {
                self.position = Position::AfterSequenceNumber(event.continuation_sequence_number);
            } else if self.position == Position::Latest {
                // An empty shard: whatever comes is new.
                self.position = Position::TrimHorizon;
            }
            // The numbers behind the last record may be lost, up to the tip.
            let last = event.continuation_sequence_number;
            let is_over = matches!(then, Then::Stop)
                || (last != 0 && self.tip.is_some_and(|tip| tip.is_reached(last)));
            if is_over {
                return Ok(Over::Shard(Vec::new()));
            }
        }
    }
}
