//! The task that reads one shard: what pull and push have in common.

use std::sync::Arc;

use anabranch_proto::v1;
use tokio::sync::mpsc;

use super::builder::{Mode, Plan};
use super::tip::Tip;
use super::{Batch, Position};
use crate::error::{DataLoss, Error, Result};
use crate::retry::Retry;

/// What a shard reader tells its [`Reader`](super::Reader).
#[derive(Debug)]
pub(super) enum Event {
    Batch(Batch),
    Damage(DataLoss),
    /// The shard, or its part below the tip, has been read.
    Ended(Vec<v1::ChildShard>),
    Failed(Error),
    /// All shards of the stream, which the reader asked for, and not one that is read.
    Found {
        look: u64,
        found: Result<Vec<v1::Shard>>,
    },
}

/// Why a shard reader is done.
#[derive(Debug)]
pub(super) enum Done {
    /// There is nothing more to read.
    Ended(Vec<v1::ChildShard>),
    Failed(Error),
    /// Nobody listens any more.
    Dropped,
}

impl From<Error> for Done {
    fn from(error: Error) -> Self {
        Done::Failed(error)
    }
}

/// What to do after a page or an event.
pub(super) enum Then {
    GoOn,
    Stop,
}

pub(super) struct ShardReader {
    pub(super) plan: Arc<Plan>,
    pub(super) shard_id: Arc<str>,
    /// Behind the last record or the last damage that was handed over.
    pub(super) position: Position,
    /// Where to stop, if not at the end of the shard.
    pub(super) tip: Option<Tip>,
    pub(super) retry: Retry,
    events: mpsc::Sender<(Arc<str>, Event)>,
}

impl ShardReader {
    pub(super) fn new(
        plan: Arc<Plan>,
        shard_id: Arc<str>,
        position: Position,
        tip: Option<Tip>,
        events: mpsc::Sender<(Arc<str>, Event)>,
    ) -> Self {
        ShardReader { retry: Retry::new(plan.retry), plan, shard_id, position, tip, events }
    }

    /// Reads until there is nothing more to read. `token` is a shard iterator for the
    /// position, where there is one already.
    pub(super) async fn run(mut self, token: Option<String>) {
        let done = match self.plan.clone().mode {
            Mode::Pull => self.pull(token).await,
            Mode::Push { ref consumer_name } => self.push(consumer_name).await,
        };
        let last = match done {
            Done::Ended(children) => Event::Ended(children),
            Done::Failed(error) => Event::Failed(error),
            Done::Dropped => return,
        };
        // A reader that is gone has no use for it.
        let _ = self.events.send((self.shard_id.clone(), last)).await;
    }

    async fn tell(&self, event: Event) -> Result<(), Done> {
        let told = self.events.send((self.shard_id.clone(), event)).await;
        told.map_err(|_| Done::Dropped)
    }

    /// Hands records over, as far as they lie below the tip.
    pub(super) async fn deliver(
        &mut self,
        mut records: Vec<v1::Record>,
        millis_behind_latest: u64,
    ) -> Result<Then, Done> {
        let mut then = Then::GoOn;
        if let Some(tip) = self.tip {
            let is_caught_up = records.is_empty() && millis_behind_latest == 0;
            let last = records.last().map(|record| record.sequence_number);
            if is_caught_up || last.is_some_and(|last| tip.is_reached(last)) {
                then = Then::Stop;
            }
            tip.cut(&mut records);
        }
        if let Some(last) = records.last() {
            self.position = Position::AfterSequenceNumber(last.sequence_number);
            let batch = Batch {
                shard_id: self.shard_id.clone(),
                next: self.position,
                records,
                millis_behind_latest,
            };
            self.tell(Event::Batch(batch)).await?;
        }
        Ok(then)
    }

    /// Reports lost records; reading is to go on behind them.
    pub(super) async fn report(&mut self, loss: DataLoss) -> Result<(), Done> {
        if loss.next_readable <= loss.first_lost {
            // Going on from there would meet the same damage for ever.
            return Err(Done::Failed(Error::DataLoss(Box::new(loss))));
        }
        self.position = Position::AtSequenceNumber(loss.next_readable);
        self.tell(Event::Damage(loss)).await
    }
}
