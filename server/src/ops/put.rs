//! How records are put: routed, appended shard by shard, and waited for.
//!
//! ```text
//!   batch --route--> runs, one per shard --append--> tickets --durable--> outcome
//!            ^             |
//!            |             +--busy--> wait for room: a call 1 s, if not too many wait already;
//!            |             |          a batch of a `Produce` call 5 s
//!            +--closed-----+
//! ```
//!
//! Where the stream has quotas, a run is admitted as far as its shard's throughput goes before it
//! is appended, and the rest of it fails: see [`admission`].
//!
//! A shard that is split or merged has no room until its children are there; then its records
//! are routed once more.
//!
//! The first half, [`Staged::new`], never waits: it appends every run whose shard has room. A
//! run that found none is tried again by [`Staged::find_room`], which needs the records once
//! more, and for a call of its own only where the [`WaitingRoom`] has a place for it. From then
//! on a [`Staged`] owns nothing but tickets and is a future of its [`Outcome`], so that a
//! pipeline can hold many of them.
//!
//! Records of one batch for one shard keep their order, and so do batches that are staged one
//! after the other.

mod admission;

use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use anabranch_engine::error::Error;
use anabranch_engine::hash_key::HashKey;
use anabranch_engine::ids::ShardId;
use anabranch_engine::record::RecordView;
use anabranch_engine::sequence::SequenceNumber;
use anabranch_engine::settings::{Distribution, QuotaProfile};
use anabranch_engine::{AppendTicket, Appended, Shard, Shards, Stream};

use super::batch::Batch;
use super::throughput::Throughput;
use super::waiting_room::WaitingRoom;
use super::{Kind, OpError, Result};
use crate::aws::sequence::{KinesisNumber, Origin};
use crate::metrics::Metrics;
use crate::traffic::StreamTraffic;

/// For how long a batch of a `Produce` call waits for room in all its shards together, before its
/// records fail. Its client is held up meanwhile and can do nothing better.
const ROOM_WAIT: Duration = Duration::from_secs(5);

/// The same for a batch that is a call of its own. Where a shard commits at all, what waits
/// for it has its turn long before.
const CALL_ROOM_WAIT: Duration = Duration::from_secs(1);

/// Records that one shard gets in its turn, where no key routes them: a shard that is concerned
/// costs a batch about as much as a dozen small records do.
const TURN_RECORDS_MAX: usize = 16;

/// Bytes that it gets, if that is fewer: as many go to the disk in little more time than one.
const TURN_BYTES: usize = 64 << 10;

/// What all puts of a server share.
pub(super) struct Puts {
    pub(super) metrics: Arc<Metrics>,
    pub(super) throughput: Arc<Throughput>,
    pub(super) room: Arc<WaitingRoom>,
}

/// A batch whose records are appended, or were refused, and not durable yet.
#[must_use = "records count as put once the outcome is known"]
pub struct Staged {
    stream: Arc<Stream>,
    /// The shards as they stood when the batch was routed.
    shards: Shards,
    /// Shards that took the place of some of these meanwhile. Their indexes follow.
    children: Vec<Arc<Shard>>,
    shared: Arc<Puts>,
    traffic: Arc<StreamTraffic>,
    /// Whether the stream's shards have quotas.
    is_limited: bool,
    since: Instant,
    puts: usize,
    bytes: usize,
    routed: Routed,
    /// The first run whose fate is not known yet.
    waiting: usize,
}

/// Which records go to which shard.
#[derive(Default)]
struct Routed {
    /// One for every record, in the order of the batch.
    links: Vec<Link>,
    /// One for every shard that is concerned, in the order in which the batch comes to them.
    runs: Vec<Run>,
}

/// The records of a run are a chain through the batch: that keeps their order and needs no sort.
#[derive(Clone, Copy)]
struct Link {
    run: u32,
    /// The index of the run's next record, or [`NONE`].
    next: u32,
}

/// The records of a batch that go to one shard.
struct Run {
    /// The shard's index in [`Staged::shards`], or behind them in [`Staged::children`].
    shard: u32,
    /// The indexes of its first record and of its last.
    first: u32,
    last: u32,
    count: u32,
    /// Bytes of their keys and data.
    bytes: u64,
    /// Whether the shard's throughput admits them.
    is_admitted: bool,
    state: RunState,
}

/// No index: a batch has fewer records.
const NONE: u32 = u32::MAX;

enum RunState {
    /// The shard had no room.
    Busy,
    /// The shard was closed. Its records are those of other runs.
    Closed,
    /// Appended and not durable yet.
    Appended(AppendTicket),
    /// Durable.
    Durable(Appended),
    /// Refused or failed: nothing of the run is acknowledged.
    Failed(Arc<OpError>),
}

/// What staging works with, kept by a call that stages again and again, so that it allocates
/// nothing for it.
#[derive(Default)]
pub struct Tables {
    /// The run of each shard of the stream; [`NONE`] in all of them between two batches.
    runs: Vec<u32>,
    spare: Vec<Routed>,
}

/// Batches of a call that are under way and leave their tables behind: more are rare.
const SPARE_MAX: usize = 64;

/// What became of a batch.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The number of every record, in the order of the batch; 0 where it failed.
    pub numbers: Vec<u64>,
    /// The run of every record, in the order of the batch: its index in `runs`.
    pub run_of: Vec<u32>,
    /// What the records of a shard have in common. Those of shards that were closed meanwhile have
    /// no record.
    pub runs: Vec<PutRun>,
    /// The records that failed, by index.
    pub failures: Vec<Failure>,
}

/// The records of a batch that went to one shard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PutRun {
    /// The shard.
    pub shard: ShardId,
    /// When it was made, milliseconds since 1970.
    pub shard_created_ms: u64,
    /// When they arrived, milliseconds since 1970; 0 where they failed.
    pub arrival_ms: u64,
}

/// The same for some of its records: those of one put.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// Their numbers; 0 where a record failed.
    pub numbers: &'a [u64],
    run_of: &'a [u32],
    runs: &'a [PutRun],
    failures: &'a [Failure],
    /// The index of the first of them.
    start: u32,
}

/// A record that was not put.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Its index in the batch.
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
    /// The whole, for a batch of one put.
    pub fn whole(&self) -> Part<'_> {
        self.part(0..self.numbers.len())
    }

    /// What a record has in common with the others of its shard.
    pub fn run(&self, record: usize) -> &PutRun {
        &self.runs[self.run_of[record] as usize]
    }

    /// The sequence number of a record that was put, as Kinesis writes it.
    pub fn kinesis_number(&self, record: usize) -> KinesisNumber {
        let run = self.run(record);
        let origin = Origin::new(run.shard, run.shard_created_ms);
        origin.number(SequenceNumber(self.numbers[record]), run.arrival_ms)
    }

    /// What became of the records with these indexes.
    pub fn part(&self, records: Range<usize>) -> Part<'_> {
        let failures = |end| self.failures.partition_point(|failed| (failed.index as usize) < end);
        Part {
            numbers: &self.numbers[records.clone()],
            run_of: &self.run_of[records.clone()],
            runs: &self.runs,
            failures: &self.failures[failures(records.start)..failures(records.end)],
            start: records.start as u32,
        }
    }

    fn clear(&mut self) {
        self.numbers.clear();
        self.run_of.clear();
        self.runs.clear();
        self.failures.clear();
    }
}

impl<'a> Part<'a> {
    /// The shards of the records.
    pub fn shards(self) -> impl ExactSizeIterator<Item = ShardId> {
        self.run_of.iter().map(move |&run| self.runs[run as usize].shard)
    }

    /// The records that failed, by their index in the put.
    pub fn failures(self) -> impl ExactSizeIterator<Item = (u32, &'a Failure)> {
        self.failures.iter().map(move |failure| (failure.index - self.start, failure))
    }

    /// The refusal of a whole put, where nothing was put for a reason that has a name of its
    /// own. Throttled records are reported one by one, as the service does.
    pub fn refusal(self) -> Option<&'a OpError> {
        if self.failures.len() < self.numbers.len() {
            return None;
        }
        let mut errors = self.failures.iter().map(|failure| &*failure.error);
        errors.find(|error| error.kind != Kind::Throttled)
    }
}

impl Routed {
    fn route(
        &mut self,
        stream: &Stream,
        shards: &Shards,
        batch: &Batch<'_>,
        run_of: &mut Vec<u32>,
    ) {
        self.links.clear();
        self.runs.clear();
        run_of.resize(shards.len(), NONE);
        match stream.settings().distribution {
            Distribution::UserPartitionKey => {
                let hash_keys = HashKey::of_records(batch.records());
                let shards = hash_keys.map(|hash_key| shards.route(hash_key));
                self.link(shards, batch, run_of);
            }
            Distribution::Auto => self.link(in_turn(stream, shards, batch), batch, run_of),
        }
    }

    /// Makes the chains of records that go to these shards.
    fn link(&mut self, shards: impl Iterator<Item = usize>, batch: &Batch<'_>, run_of: &mut [u32]) {
        for (index, (shard, record)) in (0u32..).zip(shards.zip(batch.records())) {
            let bytes = record.bytes() as u64;
            let run = run_of[shard];
            if let Some(known) = self.runs.get_mut(run as usize) {
                self.links[known.last as usize].next = index;
                known.last = index;
                known.count += 1;
                known.bytes += bytes;
                self.links.push(Link { run, next: NONE });
            } else {
                let run = self.runs.len() as u32;
                run_of[shard] = run;
                self.links.push(Link { run, next: NONE });
                self.runs.push(Run::new(shard as u32, index, bytes));
            }
        }
        for run in &self.runs {
            run_of[run.shard as usize] = NONE;
        }
    }

    /// The records of a run, in their order.
    fn records<'a>(
        &'a self,
        run: usize,
        records: &'a [RecordView<'a>],
    ) -> impl Iterator<Item = RecordView<'a>> + Clone {
        let mut next = self.runs[run].first;
        std::iter::from_fn(move || {
            let index = next as usize;
            next = self.links.get(index)?.next;
            Some(records[index])
        })
    }
}

impl Run {
    /// Of one record, by its index.
    fn new(shard: u32, index: u32, bytes: u64) -> Run {
        let (first, last) = (index, index);
        Run { shard, first, last, count: 1, bytes, is_admitted: false, state: RunState::Busy }
    }
}

/// The shards of records that no key routes. Batches begin at one open shard after the other, and
/// a batch goes on to the next one every few records, so that each shard gets as much as the others
/// and a batch does not wait for more of them than it is worth.
fn in_turn<'a>(
    stream: &Stream,
    shards: &'a Shards,
    batch: &Batch<'_>,
) -> impl Iterator<Item = usize> + 'a {
    let records = batch.records().len();
    let record_bytes = (batch.bytes() / records.max(1)).max(1);
    let turn_records = (TURN_BYTES / record_bytes).clamp(1, TURN_RECORDS_MAX);
    let first = stream.take_turns(records.div_ceil(turn_records));
    (0..records).map(move |index| shards.in_turn(first.wrapping_add(index / turn_records)))
}

impl Staged {
    /// Routes the records and appends those whose shards have room.
    pub(super) fn new(
        stream: Arc<Stream>,
        batch: &Batch<'_>,
        shared: &Arc<Puts>,
        tables: &mut Tables,
    ) -> Self {
        let since = Instant::now();
        let mut routed = tables.spare.pop().unwrap_or_default();
        let shards = stream.shards();
        routed.route(&stream, &shards, batch, &mut tables.runs);
        let mut staged = Staged {
            traffic: shared.throughput.traffic(&stream),
            is_limited: shared.throughput.quotas(&stream) == QuotaProfile::Aws,
            stream,
            shards,
            children: Vec::new(),
            shared: Arc::clone(shared),
            since,
            puts: batch.puts(),
            bytes: batch.bytes(),
            routed,
            waiting: 0,
        };
        let mut run = 0;
        // A run whose shard was closed leaves others behind.
        while run < staged.runs().len() {
            staged.append(run, batch);
            run += 1;
        }
        staged
    }

    /// Gives back what staging worked with, for the next batch.
    pub fn recycle(mut self, tables: &mut Tables) {
        if tables.spare.len() < SPARE_MAX {
            // Tickets and errors go now.
            self.routed.runs.clear();
            tables.spare.push(self.routed);
        }
    }

    /// Whether records wait for room in their shards.
    pub fn is_busy(&self) -> bool {
        (0..self.runs().len()).any(|run| self.is_run_busy(run))
    }

    /// Waits for room for the records that found none, and appends them. `batch` is the one
    /// that was staged.
    pub async fn find_room(&mut self, batch: &Batch<'_>) {
        self.wait_for_room(batch, ROOM_WAIT).await;
    }

    /// The same for a call of its own: for shards for which too many wait already its records
    /// fail at once.
    async fn find_room_in_turn(&mut self, batch: &Batch<'_>) {
        let room = Arc::clone(&self.shared.room);
        let mut places = Vec::new();
        for run in 0..self.runs().len() {
            if self.is_run_busy(run) {
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
        let mut run = 0;
        while run < self.runs().len() {
            let shard = Arc::clone(self.shard(run));
            while self.is_run_busy(run) {
                let bytes = self.encoded_len(run, batch);
                if tokio::time::timeout_at(deadline, shard.room(bytes)).await.is_ok() {
                    self.append(run, batch);
                } else {
                    self.throttle(run);
                }
            }
            run += 1;
        }
    }

    fn throttle(&mut self, run: usize) {
        self.shared.metrics.throttled(u64::from(self.runs()[run].count));
        self.give_back(run);
        let busy = OpError::from(Error::Busy { shard: self.shard(run).id() });
        self.routed.runs[run].state = RunState::Failed(Arc::new(busy));
    }

    /// Bytes of keys and data of the batch.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many records the batch holds.
    pub fn records(&self) -> usize {
        self.routed.links.len()
    }

    /// How many puts the batch holds.
    pub fn puts(&self) -> usize {
        self.puts
    }

    /// Writes the outcome in place of another one, once every record is durable or has failed. It
    /// is asked for once.
    pub fn poll_outcome(&mut self, cx: &mut Context<'_>, outcome: &mut Outcome) -> Poll<()> {
        while let Some(run) = self.routed.runs.get_mut(self.waiting) {
            if let RunState::Appended(ticket) = &mut run.state {
                run.state = match ready!(Pin::new(ticket).poll(cx)) {
                    Ok(appended) => RunState::Durable(appended),
                    Err(error) => RunState::Failed(Arc::new(error.into())),
                };
            }
            self.waiting += 1;
        }
        self.shared.metrics.acknowledged(self.since.elapsed(), self.puts as u64);
        self.tell(outcome);
        Poll::Ready(())
    }

    fn append(&mut self, run: usize, batch: &Batch<'_>) {
        self.admit(run, batch);
        if !self.is_run_busy(run) {
            return;
        }
        let records = self.routed.records(run, batch.records());
        let state = match self.shard(run).append(records) {
            Ok(ticket) => {
                self.count(run, batch);
                RunState::Appended(ticket)
            }
            Err(Error::Busy { .. } | Error::ShardClosing { .. }) => RunState::Busy,
            Err(Error::ShardClosed { .. }) => {
                self.reroute(run, batch);
                RunState::Closed
            }
            Err(error) => {
                self.give_back(run);
                RunState::Failed(Arc::new(error.into()))
            }
        };
        self.routed.runs[run].state = state;
    }

    /// Makes runs for the records of one whose shard was closed, behind the others. They keep
    /// their order.
    fn reroute(&mut self, run: usize, batch: &Batch<'_>) {
        let shards = self.stream.shards();
        let by_key = self.stream.settings().distribution == Distribution::UserPartitionKey;
        // Without a key, any open shard will do, and one is enough.
        let any = (!by_key).then(|| shards.in_turn(self.stream.take_turns(1)));
        let first_new = self.routed.runs.len();
        let first_child = self.shards.len() + self.children.len();
        let mut next = self.routed.runs[run].first;
        while next != NONE {
            let index = next;
            next = self.routed.links[index as usize].next;
            let record = &batch.records()[index as usize];
            let shard = &shards[any.unwrap_or_else(|| shards.route(record.hash_key()))];
            let bytes = record.bytes() as u64;
            let child = self.children[first_child - self.shards.len()..]
                .iter()
                .position(|child| child.id() == shard.id());
            let run = first_new + child.unwrap_or(self.routed.runs.len() - first_new);
            self.routed.links[index as usize] = Link { run: run as u32, next: NONE };
            if let Some(known) = self.routed.runs.get_mut(run) {
                self.routed.links[known.last as usize].next = index;
                known.last = index;
                known.count += 1;
                known.bytes += bytes;
            } else {
                let shard_index = (self.shards.len() + self.children.len()) as u32;
                self.children.push(Arc::clone(shard));
                self.routed.runs.push(Run::new(shard_index, index, bytes));
            }
        }
    }

    fn encoded_len(&self, run: usize, batch: &Batch<'_>) -> usize {
        let records = self.routed.records(run, batch.records());
        records.map(|record| record.encoded_len()).sum()
    }

    fn runs(&self) -> &[Run] {
        &self.routed.runs
    }

    fn is_run_busy(&self, run: usize) -> bool {
        matches!(self.runs()[run].state, RunState::Busy)
    }

    fn shard(&self, run: usize) -> &Arc<Shard> {
        shard(&self.shards, &self.children, &self.runs()[run])
    }

    fn tell(&mut self, outcome: &mut Outcome) {
        outcome.clear();
        let Routed { links, runs } = &mut self.routed;
        outcome.runs.extend(runs.iter().map(|run| {
            let shard = shard(&self.shards, &self.children, run);
            let arrival_ms = match &run.state {
                RunState::Durable(appended) => appended.arrival_ms,
                _ => 0,
            };
            PutRun { shard: shard.id(), shard_created_ms: shard.created_ms(), arrival_ms }
        }));
        for (index, link) in (0u32..).zip(links) {
            outcome.run_of.push(link.run);
            outcome.numbers.push(match &mut runs[link.run as usize].state {
                RunState::Durable(Appended { first: next, .. }) => {
                    let number = next.0;
                    *next = next.next();
                    number
                }
                RunState::Failed(error) => {
                    outcome.failures.push(Failure { index, error: Arc::clone(error) });
                    0
                }
                RunState::Busy | RunState::Closed | RunState::Appended(_) => {
                    unreachable!("an outcome is told when every run has one")
                }
            });
        }
    }
}

fn shard<'a>(shards: &'a Shards, children: &'a [Arc<Shard>], run: &Run) -> &'a Arc<Shard> {
    let index = run.shard as usize;
    <[_]>::get(shards, index).unwrap_or_else(|| &children[index - shards.len()])
}

impl Future for Staged {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        let mut outcome = Outcome::default();
        self.poll_outcome(cx, &mut outcome).map(|()| outcome)
    }
}

/// Puts a batch and waits until its records are durable or have failed.
pub(super) async fn put(
    stream: Arc<Stream>,
    batch: &Batch<'_>,
    shared: &Arc<Puts>,
) -> Result<Outcome> {
    let mut staged = Staged::new(stream, batch, shared, &mut Tables::default());
    if staged.is_busy() {
        staged.find_room_in_turn(batch).await;
    }
    let outcome = staged.await;
    match outcome.whole().refusal() {
        Some(error) => Err(error.clone()),
        None => Ok(outcome),
    }
}
