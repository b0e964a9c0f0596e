//! How records are put: routed, appended shard by shard, and waited for.
//!
//! ```text
//!   batch --route--> runs, one per shard --append--> tickets --durable--> outcome
//!                          |
//!                          +--busy--> wait for room: a call 1 s, if not too many wait already;
//!                                     a batch of a `Produce` call 5 s
//! ```
//!
//! The first half, [`Staged::new`], never waits: it appends every run whose shard has room. A
//! run that found none is tried again by [`Staged::find_room`], which needs the records once
//! more, and for a call of its own only where the [`WaitingRoom`] has a place for it. From then
//! on a [`Staged`] owns nothing but tickets and is a future of its [`Outcome`], so that a
//! pipeline can hold many of them.
//!
//! Records of one batch for one shard keep their order, and so do batches that are staged one
//! after the other.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use anabranch_engine::error::Error;
use anabranch_engine::ids::ShardId;
use anabranch_engine::record::RecordView;
use anabranch_engine::{AppendTicket, Stream};

use super::batch::Batch;
use super::error::{Kind, OpError, Result};
use super::waiting_room::WaitingRoom;
use crate::metrics::Metrics;

/// For how long a batch of a `Produce` call waits for room in all its shards together, before its
/// records fail. Its client is held up meanwhile and can do nothing better.
const ROOM_WAIT: Duration = Duration::from_secs(5);

/// The same for a batch that is a call of its own. Where a shard commits at all, what waits
/// for it has its turn long before.
const CALL_ROOM_WAIT: Duration = Duration::from_secs(1);

/// A batch whose records are appended, or were refused, and not durable yet.
#[must_use = "records count as put once the outcome is known"]
pub struct Staged {
    stream: Arc<Stream>,
    metrics: Arc<Metrics>,
    since: Instant,
    bytes: usize,
    /// Shard and index of every record, by shard and then by index.
    order: Vec<Routed>,
    /// One per shard that is concerned, by shard.
    runs: Vec<Run>,
    /// The first run whose fate is not known yet.
    waiting: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Routed {
    shard: u32,
    index: u32,
}

/// The records of a batch that go to one shard: a range of `order`.
struct Run {
    start: u32,
    end: u32,
    state: RunState,
}

enum RunState {
    /// The shard had no room.
    Busy,
    /// Appended and not durable yet.
    Appended(AppendTicket),
    /// Durable, from this number on.
    Durable(u64),
    /// Refused or failed: nothing of the run is acknowledged.
    Failed(Arc<OpError>),
}

/// What became of a batch.
#[derive(Debug)]
pub struct Outcome {
    /// The number of every record, in the order of the request; 0 where it failed.
    pub numbers: Vec<u64>,
    /// The shard of every record, in the order of the request.
    pub shards: Vec<ShardId>,
    /// The records that failed, by index.
    pub failures: Vec<Failure>,
}

/// A record that was not put.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Its index in the request.
    pub index: u32,
    /// Why.
    pub error: Arc<OpError>,
}

impl Failure {
    /// Kinesis knows two reasons for which a record of a batch can fail.
    pub fn code(&self) -> &'static str {
        match self.error.kind {
            Kind::Throttled => Kind::Throttled.reason(),
            _ => Kind::InternalFailure.reason(),
        }
    }
}

impl Outcome {
    /// The refusal of a whole batch, where nothing was put for a reason that has a name of its
    /// own. Throttled records are reported one by one, as the service does.
    pub fn refusal(&self) -> Option<&OpError> {
        if self.failures.len() < self.numbers.len() {
            return None;
        }
        let mut errors = self.failures.iter().map(|failure| &*failure.error);
        errors.find(|error| error.kind != Kind::Throttled)
    }
}

impl Staged {
    /// Routes the records and appends those whose shards have room.
    pub fn new(stream: Arc<Stream>, batch: &Batch<'_>, metrics: Arc<Metrics>) -> Self {
        let since = Instant::now();
        let records = batch.records();
        let mut order = Vec::with_capacity(records.len());
        for (index, record) in records.iter().enumerate() {
            order.push(Routed {
                shard: stream.route(record.hash_key()) as u32,
                index: index as u32,
            });
        }
        order.sort_unstable();
        let mut staged = Staged {
            runs: runs(&order),
            stream,
            metrics,
            since,
            bytes: batch.bytes(),
            order,
            waiting: 0,
        };
        for run in 0..staged.runs.len() {
            staged.append(run, batch);
        }
        staged
    }

    /// Whether records wait for room in their shards.
    pub fn is_busy(&self) -> bool {
        let busy = |run: &Run| matches!(run.state, RunState::Busy);
        self.runs.iter().any(busy)
    }

    /// Waits for room for the records that found none, and appends them. `batch` is the one
    /// that was staged.
    pub async fn find_room(&mut self, batch: &Batch<'_>) {
        self.wait_for_room(batch, ROOM_WAIT).await;
    }

    /// The same for a call of its own: for shards for which too many wait already its records
    /// fail at once.
    async fn find_room_in_turn(&mut self, batch: &Batch<'_>, room: &Arc<WaitingRoom>) {
        let mut places = Vec::new();
        for run in 0..self.runs.len() {
            if matches!(self.runs[run].state, RunState::Busy) {
                let bytes = self.encoded_len(run, batch);
                match room.enter(self.stream.id(), self.shard(run).id(), bytes) {
                    Some(place) => places.push(place),
                    None => self.throttle(run),
                }
            }
        }
        self.wait_for_room(batch, CALL_ROOM_WAIT).await;
    }

    async fn wait_for_room(&mut self, batch: &Batch<'_>, patience: Duration) {
        let deadline = tokio::time::Instant::now() + patience;
        for run in 0..self.runs.len() {
            let shard = Arc::clone(self.shard(run));
            while matches!(self.runs[run].state, RunState::Busy) {
                let bytes = self.encoded_len(run, batch);
                if tokio::time::timeout_at(deadline, shard.room(bytes)).await.is_ok() {
                    self.append(run, batch);
                } else {
                    self.throttle(run);
                }
            }
        }
    }

    fn throttle(&mut self, run: usize) {
        self.metrics.throttled(self.records_of(run).len() as u64);
        let busy = OpError::from(Error::Busy { shard: self.shard(run).id() });
        self.runs[run].state = RunState::Failed(Arc::new(busy));
    }

    /// Bytes of keys and data of the batch.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The outcome, once every record is durable or has failed.
    pub fn poll_outcome(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        while let Some(run) = self.runs.get_mut(self.waiting) {
            if let RunState::Appended(ticket) = &mut run.state {
                run.state = match ready!(Pin::new(ticket).poll(cx)) {
                    Ok(appended) => RunState::Durable(appended.first.0),
                    Err(error) => RunState::Failed(Arc::new(error.into())),
                };
            }
            self.waiting += 1;
        }
        self.metrics.acknowledged(self.since.elapsed());
        Poll::Ready(self.outcome())
    }

    fn append(&mut self, run: usize, batch: &Batch<'_>) {
        let state = match self.shard(run).append(self.views(run, batch)) {
            Ok(ticket) => RunState::Appended(ticket),
            Err(Error::Busy { .. }) => RunState::Busy,
            Err(error) => RunState::Failed(Arc::new(error.into())),
        };
        self.runs[run].state = state;
    }

    fn views<'a>(
        &'a self,
        run: usize,
        batch: &'a Batch<'_>,
    ) -> impl Iterator<Item = RecordView<'a>> + Clone {
        let records = batch.records();
        self.records_of(run).iter().map(|routed| records[routed.index as usize])
    }

    fn encoded_len(&self, run: usize, batch: &Batch<'_>) -> usize {
        self.views(run, batch).map(|record| record.encoded_len()).sum()
    }

    fn records_of(&self, run: usize) -> &[Routed] {
        let Run { start, end, .. } = self.runs[run];
        &self.order[start as usize..end as usize]
    }

    fn shard(&self, run: usize) -> &Arc<anabranch_engine::Shard> {
        let first = self.order[self.runs[run].start as usize];
        &self.stream.shards()[first.shard as usize]
    }

    fn outcome(&self) -> Outcome {
        let count = self.order.len();
        let mut outcome = Outcome {
            numbers: vec![0; count],
            shards: vec![ShardId(0); count],
            failures: Vec::new(),
        };
        for (index, run) in self.runs.iter().enumerate() {
            let shard = self.shard(index).id();
            for (offset, routed) in self.records_of(index).iter().enumerate() {
                let record = routed.index as usize;
                outcome.shards[record] = shard;
                match &run.state {
                    RunState::Durable(first) => {
                        outcome.numbers[record] = first + offset as u64;
                    }
                    RunState::Failed(error) => outcome
                        .failures
                        .push(Failure { index: routed.index, error: Arc::clone(error) }),
                    RunState::Busy | RunState::Appended(_) => {
                        unreachable!("an outcome is made when every run has one")
                    }
                }
            }
        }
        outcome.failures.sort_unstable_by_key(|failure| failure.index);
        outcome
    }
}

impl Future for Staged {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        self.poll_outcome(cx)
    }
}

/// The runs of equal shards in `order`, none of them tried yet.
fn runs(order: &[Routed]) -> Vec<Run> {
    let mut runs = Vec::new();
    let mut start = 0;
    for run in order.chunk_by(|a, b| a.shard == b.shard) {
        let end = start + run.len() as u32;
        runs.push(Run { start, end, state: RunState::Busy });
        start = end;
    }
    runs
}

/// Puts a batch and waits until its records are durable or have failed.
pub(super) async fn put(
    stream: Arc<Stream>,
    batch: &Batch<'_>,
    metrics: &Arc<Metrics>,
    room: &Arc<WaitingRoom>,
) -> Result<Outcome> {
    let mut staged = Staged::new(stream, batch, Arc::clone(metrics));
    if staged.is_busy() {
        staged.find_room_in_turn(batch, room).await;
    }
    let outcome = staged.await;
    match outcome.refusal() {
        Some(error) => Err(error.clone()),
        None => Ok(outcome),
    }
}
