//! How a stream is to be read, and how reading starts: positions in all shards are fixed before
//! the first record is handed over.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use anabranch_proto::v1;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use tokio::sync::Semaphore;

use super::Position;
use super::lineage::{self, Lineage};
use super::reader::Reader;
use super::tip::Tip;
use crate::client::Client;
use crate::error::{Error, Result};
use crate::retry::RetryPolicy;

/// Up to this many shards each have a long poll of their own; more take turns.
pub(super) const LONG_POLLS_MAX: usize = 32;
/// Control calls made at the same time while starting.
const STARTS_AT_ONCE: usize = 32;

#[derive(Clone, Debug)]
pub(super) enum Mode {
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
pub(super) struct Plan {
    pub(super) client: Client,
    /// For subscriptions alone.
    pub(super) subscriber: Client,
    pub(super) stream_name: String,
    pub(super) mode: Mode,
    pub(super) retry: RetryPolicy,
    /// Shards that are being read: their number changes when shards are split and merged.
    pub(super) active: AtomicUsize,
    /// Where there are too many shards for a long poll each: whose turn it is to read.
    pub(super) turns: Semaphore,
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

    /// Reads one shard only, and ends where it ends: [`Item::End`](super::Item::End) then names
    /// its children. By default all are read, and the children of those that end.
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
        // Before all shards are listed: so that of these no child is missing there.
        let at_time = match (&self.shard_id, self.position) {
            (None, Position::AtTimestamp(timestamp_ms)) => Some(self.open_at(timestamp_ms).await?),
            _ => None,
        };
        let all = self.client.list_shards(&self.stream_name).await?;
        let first = match (&self.shard_id, at_time) {
            (Some(shard_id), _) => HashSet::from([find_shard(&all, shard_id)?]),
            (None, Some(first)) => first,
            // Behind the newest record there is nothing in a closed shard.
            (None, None) if self.position == Position::Latest => {
                ids(all.iter().filter(|shard| is_open(shard)))
            }
            (None, None) => lineage::roots(&all),
        };
        let lineage = match &self.shard_id {
            // A lineage of its own, which nothing follows.
            Some(_) => Lineage::new(&[], &first, true),
            None => Lineage::new(&all, &first, self.until_tip),
        };
        let tips = if self.until_tip { self.tips(&all).await? } else { HashMap::new() };
        let is_pull = matches!(self.mode, Mode::Pull);
        let plan = Arc::new(Plan {
            subscriber: self.client.with_own_connection(),
            client: self.client,
            stream_name: self.stream_name,
            mode: self.mode,
            retry: self.retry,
            active: AtomicUsize::new(0),
            turns: Semaphore::new(LONG_POLLS_MAX / 2),
        });
        let position = self.position;
        let chosen: Vec<Arc<str>> = lineage.reading().iter().cloned().collect();
        let tokens: HashMap<Arc<str>, Option<String>> = if is_pull {
            // Owned, here and below: a future that borrows in such a closure is not `Send` for
            // every lifetime, and then nobody could spawn a task that starts a reader.
            stream::iter(chosen.clone())
                .map(|shard_id| {
                    let plan = Arc::clone(&plan);
                    async move {
                        match plan.token_of(&shard_id, position).await {
                            Ok(token) => Ok((shard_id, Some(token))),
                            // It may have expired since it was listed: the reader finds out.
                            Err(Error::NotFound { .. }) => Ok((shard_id, None)),
                            Err(error) => Err(error),
                        }
                    }
                })
                .buffer_unordered(STARTS_AT_ONCE)
                .try_collect()
                .await?
        } else {
            HashMap::new()
        };
        let mut reader = Reader::new(plan, lineage, self.shard_id.is_none(), tips);
        for shard_id in chosen {
            let token = tokens.get(&shard_id).cloned().flatten();
            reader.open(shard_id, position, token);
        }
        Ok(reader)
    }

    /// The shards that were open at a time.
    async fn open_at(&self, timestamp_ms: u64) -> Result<HashSet<Arc<str>>> {
        let filter = v1::ShardFilter {
            r#type: v1::ShardFilterType::AtTimestamp.into(),
            timestamp_ms: Some(timestamp_ms),
            shard_id: None,
        };
        let shards = self.client.list_shards_filtered(&self.stream_name, filter).await?;
        Ok(ids(shards.iter()))
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
    pub(super) async fn token_of(&self, shard_id: &str, position: Position) -> Result<String> {
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

fn ids<'a>(shards: impl Iterator<Item = &'a v1::Shard>) -> HashSet<Arc<str>> {
    shards.map(|shard| Arc::from(shard.shard_id.as_str())).collect()
}

/// The shard of this id, which may be given in a shorter form such as `0`.
fn find_shard(all: &[v1::Shard], shard_id: &str) -> Result<Arc<str>> {
    let index = |text: &str| -> Option<u64> {
        let digits = text.strip_prefix("shardId-").unwrap_or(text);
        digits.parse().ok()
    };
    let wanted = index(shard_id);
    all.iter()
        .find(|shard| {
            shard.shard_id == shard_id || (wanted.is_some() && index(&shard.shard_id) == wanted)
        })
        .map(|shard| Arc::from(shard.shard_id.as_str()))
        .ok_or_else(|| Error::NotFound {
            message: format!("there is no shard {shard_id} in the stream"),
        })
}
