//! The reader itself: it starts a task for each shard that may be read, and gives what they find.

use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use anabranch_proto::v1;
use futures_util::stream::{Stream, StreamExt};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::builder::Plan;
use super::lineage::Lineage;
use super::shard::{Event, ShardReader};
use super::tip::Tip;
use super::{Damage, Item, Position, ShardEnd};
use crate::error::{Error, Result};

/// Gives the records of a stream; see the [module](super). It is a [`Stream`] too.
///
/// After an error the reader is at its end. Dropping it ends its tasks.
#[derive(Debug)]
pub struct Reader {
    plan: Arc<Plan>,
    /// Which shards are being read, and which wait for their parents.
    lineage: Lineage,
    follows_children: bool,
    /// Where to stop, for the shards that were there at the start.
    tips: HashMap<String, Option<Tip>>,
    events: mpsc::Receiver<(Arc<str>, Event)>,
    sender: mpsc::Sender<(Arc<str>, Event)>,
    tasks: JoinSet<()>,
    /// Whether a list of all shards is on its way.
    is_looking: bool,
    /// Shards that were not found, and what was said. A list tells whether they have expired.
    missing: HashMap<Arc<str>, Error>,
    is_over: bool,
}

impl Reader {
    pub(super) fn new(
        plan: Arc<Plan>,
        lineage: Lineage,
        follows_children: bool,
        tips: HashMap<String, Option<Tip>>,
    ) -> Self {
        let (sender, events) = mpsc::channel(1);
        Reader {
            plan,
            lineage,
            follows_children,
            tips,
            events,
            sender,
            tasks: JoinSet::new(),
            is_looking: false,
            missing: HashMap::new(),
            is_over: false,
        }
    }

    /// The next batch, the next damage or the next end of a shard; none when every shard is at
    /// its end.
    pub async fn next(&mut self) -> Option<Result<Item>> {
        StreamExt::next(self).await
    }

    pub(super) fn open(&mut self, shard_id: Arc<str>, position: Position, token: Option<String>) {
        let tip = self.tips.remove(&*shard_id).flatten();
        let (plan, sender) = (self.plan.clone(), self.sender.clone());
        let reader = ShardReader::new(plan, shard_id, position, tip, sender);
        self.plan.active.fetch_add(1, Ordering::Relaxed);
        self.tasks.spawn(reader.run(token));
    }

    /// Starts shards that had to wait: all of their records are new to this reader.
    fn follow(&mut self, ready: Vec<Arc<str>>) {
        for shard_id in ready {
            self.open(shard_id, Position::TrimHorizon, None);
        }
        if !self.is_looking && (self.lineage.needs_look() || !self.missing.is_empty()) {
            self.look();
        }
    }

    /// Asks for a list of all shards, which comes as an event.
    fn look(&mut self) {
        self.is_looking = true;
        let look = self.lineage.look();
        let (plan, sender) = (self.plan.clone(), self.sender.clone());
        self.tasks.spawn(async move {
            let found = plan.client.list_shards(&plan.stream_name).await;
            // A reader that is gone has no use for it.
            let _ = sender.send((Arc::from(""), Event::Found { look, found })).await;
        });
    }

    fn found(&mut self, look: u64, all: &[v1::Shard]) -> Result<()> {
        self.is_looking = false;
        let listed: HashSet<&str> = all.iter().map(|shard| shard.shard_id.as_str()).collect();
        let mut gone = HashSet::new();
        for (shard_id, error) in std::mem::take(&mut self.missing) {
            if listed.contains(&*shard_id) {
                // Not the shard was meant, but a consumer, say.
                return Err(error);
            }
            gone.insert(shard_id);
        }
        let ready = self.lineage.found(look, all, &gone);
        self.follow(ready);
        Ok(())
    }

    /// What the owner is to hear of an event, if anything.
    fn hear(&mut self, shard_id: Arc<str>, event: Event) -> Option<Result<Item>> {
        match event {
            Event::Batch(batch) => Some(Ok(Item::Batch(batch))),
            Event::Damage(loss) => Some(Ok(Item::Damage(Damage { shard_id, loss }))),
            Event::Found { look, found } => {
                let followed = found.and_then(|all| self.found(look, &all));
                followed.err().map(|error| self.end_with(error))
            }
            Event::Failed(error @ Error::NotFound { .. }) if self.follows_children => {
                // A shard expires when its last record does, and so may this one.
                self.plan.active.fetch_sub(1, Ordering::Relaxed);
                self.missing.insert(shard_id, error);
                self.follow(Vec::new());
                None
            }
            Event::Failed(error) => Some(self.end_with(error)),
            Event::Ended(children) => {
                self.plan.active.fetch_sub(1, Ordering::Relaxed);
                let ready = self.lineage.end(&shard_id, &children);
                self.follow(ready);
                let end = ShardEnd { shard_id, children };
                (!end.children.is_empty()).then_some(Ok(Item::End(end)))
            }
        }
    }

    fn end_with(&mut self, error: Error) -> Result<Item> {
        self.is_over = true;
        self.tasks.abort_all();
        Err(error)
    }
}

impl Stream for Reader {
    type Item = Result<Item>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        while !self.is_over && !self.lineage.is_over() {
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
            if let Some(item) = self.hear(shard_id, event) {
                return Poll::Ready(Some(item));
            }
        }
        Poll::Ready(None)
    }
}
