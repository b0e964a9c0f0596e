//! Records in: a stream of batches from one shard or from all of them, by pull or by push.
//!
//! A [`Reader`] has one task per shard, and a queue of one place in front of its owner, so a
//! task has at most one page in hand: a slow owner makes the tasks wait, and the server holds
//! nothing for them, because their place is a position in the log.
//!
//! Order is that of the shard. Between shards there is none, except that a child's records
//! never come before all of its parents'. What interrupts reading does not lose the place: an
//! expired iterator is renewed, a subscription that ends after its five minutes or with its
//! connection is made again behind the last record. Damage is an [`Item`] of its own, and
//! reading goes on behind it.
//!
//! With [`ReaderBuilder::until_tip`] the reader ends at the tip as it was at the start,
//! however much is put meanwhile. How it knows is told in [`tip`].

mod pull;
mod push;
mod shard;
mod tip;

use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use anabranch_proto::v1;
use futures_util::stream::{self, Stream, StreamExt, TryStreamExt};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use crate::client::Client;
use crate::error::{DataLoss, Error, Result};
use crate::retry::RetryPolicy;
use shard::{Event, ShardReader};
use tip::Tip;

/// Up to this many shards each have a long poll of their own; more take turns.
const LONG_POLLS_MAX: usize = 32;
/// Control calls made at the same time while starting.
const STARTS_AT_ONCE: usize = 32;

/// Where to start in a shard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Position {
    /// At the oldest record that is kept.
    TrimHorizon,
    /// Behind the newest record.
    Latest,
    /// At this number, or the next one that exists.
    AtSequenceNumber(u64),
    /// Behind this number.
    AfterSequenceNumber(u64),
    /// At the first record that arrived at this time or later, in milliseconds since 1970.
    AtTimestamp(u64),
}

impl Position {
    pub(crate) fn to_starting_position(self) -> v1::StartingPosition {
        use v1::ShardIteratorType as Type;
        let (kind, sequence_number, timestamp_ms) = match self {
            Position::TrimHorizon => (Type::TrimHorizon, None, None),
            Position::Latest => (Type::Latest, None, None),
            Position::AtSequenceNumber(number) => (Type::AtSequenceNumber, Some(number), None),
            Position::AfterSequenceNumber(number) => {
                (Type::AfterSequenceNumber, Some(number), None)
            }
            Position::AtTimestamp(timestamp_ms) => (Type::AtTimestamp, None, Some(timestamp_ms)),
        };
        v1::StartingPosition { r#type: kind.into(), sequence_number, timestamp_ms }
    }
}

/// Records of one shard, in order.
#[derive(Clone, PartialEq, Debug)]
pub struct Batch {
    /// The shard, as the API writes it.
    pub shard_id: Arc<str>,
    /// The records; never empty.
    pub records: Vec<v1::Record>,
    /// How far behind the newest record this is, in milliseconds; 0 at the tip.
    pub millis_behind_latest: u64,
    /// Where reading goes on.
    pub next: Position,
}

/// A range of a shard that cannot be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Damage {
    /// The shard, as the API writes it.
    pub shard_id: Arc<str>,
    /// What is lost, and where.
    pub loss: DataLoss,
}

/// What a [`Reader`] gives.
#[derive(Clone, PartialEq, Debug)]
pub enum Item {
    /// Records.
    Batch(Batch),
    /// Records that are lost. Reading goes on behind them.
    Damage(Damage),
}

#[derive(Clone, Debug)]
enum Mode {
    Pull,
    Push { consumer_name: String },
}

/// How a stream is to be read.
#[derive(Clone, Debug)]
pub struct ReaderBuilder {
    client: Client,
    stream_name: String,
    shard_id: Option<String>,
    position: Position,
    mode: Mode,
    until_tip: bool,
    retry: RetryPolicy,
}

/// What all shard readers of one reader share.
#[derive(Debug)]
struct Plan {
    client: Client,
    /// For subscriptions alone.
    subscriber: Client,
    stream_name: String,
    mode: Mode,
    retry: RetryPolicy,
    /// Where there are too many shards for a long poll each: whose turn it is to read.
    turns: Option<Semaphore>,
}

impl ReaderBuilder {
    pub(crate) fn new(client: Client, stream_name: &str) -> Self {
        ReaderBuilder {
            retry: client.retry_policy(),
            client,
            stream_name: stream_name.to_owned(),
            shard_id: None,
            position: Position::Latest,
            mode: Mode::Pull,
            until_tip: false,
        }
    }

    /// Where to start: [`Position::Latest`] by default. A sequence number needs
    /// [`ReaderBuilder::shard`].
    #[must_use]
    pub fn from(mut self, position: Position) -> Self {
        self.position = position;
        self
    }

    /// Reads one shard only, and ends where it ends. By default all are read, and the
    /// children of those that end.
    #[must_use]
    pub fn shard(mut self, shard_id: &str) -> Self {
        self.shard_id = Some(shard_id.to_owned());
        self
    }

    /// Lets the server push to this consumer, which is registered if it is missing. By
    /// default the reader pulls.
    #[must_use]
    pub fn push(mut self, consumer_name: &str) -> Self {
        self.mode = Mode::Push { consumer_name: consumer_name.to_owned() };
        self
    }

    /// Ends at the tip as it is at the start.
    #[must_use]
    pub fn until_tip(mut self, until_tip: bool) -> Self {
        self.until_tip = until_tip;
        self
    }

    /// How failed calls are tried again: as the client's are, by default.
    #[must_use]
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// Fixes the positions in all shards and starts reading. A pull from
    /// [`Position::Latest`] gives every record that is put after this has returned.
    pub async fn start(self) -> Result<Reader> {
        let needs_shard = matches!(
            self.position,
            Position::AtSequenceNumber(_) | Position::AfterSequenceNumber(_)
        );
        if needs_shard && self.shard_id.is_none() {
            return Err(Error::invalid(
                "shard_id",
                "a sequence number means something in one shard only; name the shard",
            ));
        }
        if let Mode::Push { consumer_name } = &self.mode {
            register_if_missing(&self.client, &self.stream_name, consumer_name).await?;
        }
        let all = self.client.list_shards(&self.stream_name).await?;
        let chosen = match &self.shard_id {
            Some(shard_id) => vec![find_shard(&all, shard_id)?.shard_id.clone()],
            None => starting_shards(&all, self.position),
        };
        let tips = if self.until_tip { self.tips(&all).await? } else { HashMap::new() };
        let is_pull = matches!(self.mode, Mode::Pull);
        let turns =
            (is_pull && all.len() > LONG_POLLS_MAX).then(|| Semaphore::new(LONG_POLLS_MAX / 2));
        let plan = Arc::new(Plan {
            subscriber: self.client.with_own_connection(),
            client: self.client,
            stream_name: self.stream_name,
            mode: self.mode,
            retry: self.retry,
            turns,
        });
        let position = self.position;
        let tokens: HashMap<String, String> = if is_pull {
            // Owned, here and below: a future that borrows in such a closure is not `Send` for
            // every lifetime, and then nobody could spawn a task that starts a reader.
            stream::iter(chosen.clone())
                .map(|shard_id| {
                    let plan = Arc::clone(&plan);
                    async move {
                        let token = plan.token_of(&shard_id, position).await?;
                        Ok((shard_id, token))
                    }
                })
                .buffer_unordered(STARTS_AT_ONCE)
                .try_collect()
                .await?
        } else {
            HashMap::new()
        };
        let mut reader = Reader::new(plan, self.until_tip, self.shard_id.is_none(), tips);
        for shard_id in chosen {
            let token = tokens.get(&shard_id).cloned();
            reader.open(&shard_id, position, token);
        }
        Ok(reader)
    }

    /// The tips of all shards that can still grow.
    async fn tips(&self, all: &[v1::Shard]) -> Result<HashMap<String, Option<Tip>>> {
        stream::iter(all.to_vec())
            .map(|shard| {
                let (client, stream_name) = (self.client.clone(), self.stream_name.clone());
                async move {
                    let tip = if is_open(&shard) {
                        Some(Tip::now(&client, &stream_name, &shard.shard_id).await?)
                    } else {
                        None
                    };
                    Ok((shard.shard_id, tip))
                }
            })
            .buffer_unordered(STARTS_AT_ONCE)
            .try_collect()
            .await
    }
}

impl Plan {
    async fn token_of(&self, shard_id: &str, position: Position) -> Result<String> {
        self.client.get_shard_iterator(&self.stream_name, shard_id, position).await
    }
}

async fn register_if_missing(client: &Client, stream_name: &str, consumer: &str) -> Result<()> {
    match client.register_stream_consumer(stream_name, consumer).await {
        // Somebody has registered it before, which is all that is needed.
        Ok(_) | Err(Error::InUse { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

fn is_open(shard: &v1::Shard) -> bool {
    let range = shard.sequence_number_range.as_ref();
    range.is_none_or(|range| range.ending_sequence_number.is_none())
}

/// The shard of this id, which may be given in a shorter form such as `0`.
fn find_shard<'a>(all: &'a [v1::Shard], shard_id: &str) -> Result<&'a v1::Shard> {
    let index = |text: &str| -> Option<u64> {
        let digits = text.strip_prefix("shardId-").unwrap_or(text);
        digits.parse().ok()
    };
    let wanted = index(shard_id);
    all.iter()
        .find(|shard| {
            shard.shard_id == shard_id || (wanted.is_some() && index(&shard.shard_id) == wanted)
        })
        .ok_or_else(|| Error::NotFound {
            message: format!("there is no shard {shard_id} in the stream"),
        })
}

/// The shards to begin with. Their children follow when they end.
fn starting_shards(all: &[v1::Shard], position: Position) -> Vec<String> {
    let known: HashSet<&str> = all.iter().map(|shard| shard.shard_id.as_str()).collect();
    let has_parent = |shard: &v1::Shard| {
        let parents = [&shard.parent_shard_id, &shard.adjacent_parent_shard_id];
        parents.into_iter().flatten().any(|parent| known.contains(parent.as_str()))
    };
    all.iter()
        .filter(|shard| match position {
            // Behind the newest record there is nothing in a closed shard.
            Position::Latest => is_open(shard),
            _ => !has_parent(shard),
        })
        .map(|shard| shard.shard_id.clone())
        .collect()
}

/// Gives the records of a stream; see the [module](self). It is a [`Stream`] too.
///
/// After an error the reader is at its end. Dropping it ends its tasks.
#[derive(Debug)]
pub struct Reader {
    plan: Arc<Plan>,
    follows_children: bool,
    until_tip: bool,
    /// Where to stop, for the shards that were there at the start.
    tips: HashMap<String, Option<Tip>>,
    events: mpsc::Receiver<(Arc<str>, Event)>,
    sender: mpsc::Sender<(Arc<str>, Event)>,
    tasks: JoinSet<()>,
    /// Shards that were opened, whether they are at their end or not.
    opened: HashSet<String>,
    /// Opened shards that are not at their end.
    active: HashSet<String>,
}

impl Reader {
    fn new(
        plan: Arc<Plan>,
        until_tip: bool,
        follows_children: bool,
        tips: HashMap<String, Option<Tip>>,
    ) -> Self {
        let (sender, events) = mpsc::channel(1);
        Reader {
            plan,
            follows_children,
            until_tip,
            tips,
            events,
            sender,
            tasks: JoinSet::new(),
            opened: HashSet::new(),
            active: HashSet::new(),
        }
    }

    /// The next batch or the next damage; none when every shard is at its end.
    pub async fn next(&mut self) -> Option<Result<Item>> {
        StreamExt::next(self).await
    }

    fn open(&mut self, shard_id: &str, position: Position, token: Option<String>) {
        if !self.opened.insert(shard_id.to_owned()) {
            return;
        }
        self.active.insert(shard_id.to_owned());
        let reader = ShardReader::new(
            self.plan.clone(),
            shard_id,
            position,
            self.tips.remove(shard_id).flatten(),
            self.sender.clone(),
        );
        self.tasks.spawn(reader.run(token));
    }

    /// Opens the children of which no parent is being read any more.
    fn follow(&mut self, children: Vec<v1::ChildShard>) {
        for child in children {
            let is_waiting = child.parent_shards.iter().any(|parent| self.active.contains(parent));
            // A shard made after the start lies beyond the tip.
            let is_beyond_tip = self.until_tip && !self.tips.contains_key(&child.shard_id);
            if !is_waiting && !is_beyond_tip {
                self.open(&child.shard_id, Position::TrimHorizon, None);
            }
        }
    }

    fn end_with(&mut self, error: Error) -> Result<Item> {
        self.active.clear();
        self.tasks.abort_all();
        Err(error)
    }
}

impl Stream for Reader {
    type Item = Result<Item>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        while !self.active.is_empty() {
            let Poll::Ready(event) = self.events.poll_recv(context) else {
                // A task that panics sends no last event.
                while let Poll::Ready(Some(ended)) = self.tasks.poll_join_next(context) {
                    if ended.is_err() {
                        return Poll::Ready(Some(self.end_with(Error::Closed)));
                    }
                }
                return Poll::Pending;
            };
            let (shard_id, event) = event.expect("the reader holds a sender itself");
            return Poll::Ready(Some(match event {
                Event::Batch(batch) => Ok(Item::Batch(batch)),
                Event::Damage(loss) => Ok(Item::Damage(Damage { shard_id, loss })),
                Event::Failed(error) => self.end_with(error),
                Event::Ended(children) => {
                    self.active.remove(&*shard_id);
                    if self.follows_children {
                        self.follow(children);
                    }
                    continue;
                }
            }));
        }
        Poll::Ready(None)
    }
}

#[cfg(test)]
mod tests;
