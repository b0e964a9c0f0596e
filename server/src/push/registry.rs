//! Who is subscribed: at most one subscription per consumer and shard.
//!
//! A second one within five seconds of the first's start is refused, a later one takes over,
//! as the real service has it: a consumer that lost its connection gets its place back, and two
//! that fight for one place do so slowly. A subscription that has ended holds no place.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use anabranch_engine::ids::{ConsumerName, ShardId, StreamId};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::ops::{Kind, OpError};

/// For how long a subscription cannot be taken over (service: 5 s).
const PROTECTED: Duration = Duration::from_secs(5);

type Place = (StreamId, ConsumerName, ShardId);

/// The running subscriptions. The lock is held for a few lines and never while waiting.
#[derive(Debug, Default)]
pub struct Registry {
    places: Mutex<HashMap<Place, Holder>>,
}

#[derive(Debug)]
struct Holder {
    since: Instant,
    /// Tells the holder that it has lost its place. Also tells holders apart.
    ended: watch::Sender<Option<Ended>>,
}

/// Why a subscription lost its place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// Another subscription took over.
    TakenOver,
    /// The consumer was deregistered.
    Deregistered,
}

/// What happens to somebody who wants a place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Decision {
    Take,
    TakeOver,
    Refuse { wait: Duration },
}

fn decide(holder_since: Option<Instant>, now: Instant) -> Decision {
    let Some(since) = holder_since else {
        return Decision::Take;
    };
    let held = now.saturating_duration_since(since);
    match PROTECTED.checked_sub(held) {
        Some(wait) if !wait.is_zero() => Decision::Refuse { wait },
        _ => Decision::TakeOver,
    }
}

impl Registry {
    /// Takes the place of a consumer on a shard, or takes it over.
    pub fn subscribe(
        self: &Arc<Self>,
        stream: StreamId,
        consumer: &ConsumerName,
        shard: ShardId,
    ) -> Result<Lease, OpError> {
        let place = (stream, consumer.clone(), shard);
        let now = Instant::now();
        let mut places = self.places.lock();
        let entry = places.entry(place.clone());
        let since = match &entry {
            Entry::Occupied(holder) => Some(holder.get().since),
            Entry::Vacant(_) => None,
        };
        let (sender, ended) = watch::channel(None);
        let holder = Holder { since: now, ended: sender };
        match decide(since, now) {
            Decision::Refuse { wait } => {
                let message = format!(
                    "consumer {consumer} is subscribed to {shard} already; its place can be \
                     taken over in {} ms",
                    wait.as_millis()
                );
                let mut error = OpError::new(Kind::ResourceInUse, message)
                    .with("consumer_name", consumer.as_str())
                    .with("shard_id", shard.to_string());
                error.retry_after = Some(wait);
                return Err(error);
            }
            Decision::Take => {
                entry.insert_entry(holder);
            }
            Decision::TakeOver => {
                if let Entry::Occupied(mut former) = entry {
                    let former = former.insert(holder);
                    former.ended.send_replace(Some(Ended::TakenOver));
                }
            }
        }
        Ok(Lease { registry: Arc::clone(self), place, ended })
    }

    /// Ends every subscription of a consumer.
    pub fn deregister(&self, stream: StreamId, consumer: &ConsumerName) {
        self.places.lock().retain(|(of_stream, of_consumer, _), holder| {
            let concerned = *of_stream == stream && of_consumer == consumer;
            if concerned {
                holder.ended.send_replace(Some(Ended::Deregistered));
            }
            !concerned
        });
    }

    /// How many subscriptions run.
    pub fn len(&self) -> usize {
        self.places.lock().len()
    }

    /// Whether none runs.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A place in the registry, given back when it is dropped.
#[derive(Debug)]
pub struct Lease {
    registry: Arc<Registry>,
    place: Place,
    ended: watch::Receiver<Option<Ended>>,
}

impl Lease {
    /// Why the place was lost, if it was.
    pub fn state(&self) -> Option<Ended> {
        *self.ended.borrow()
    }

    /// Waits until the place is lost.
    pub async fn lost(&mut self) -> Ended {
        loop {
            if let Some(ended) = *self.ended.borrow_and_update() {
                return ended;
            }
            if self.ended.changed().await.is_err() && self.state().is_none() {
                // The holder is only dropped after it was told; this keeps a bug harmless.
                return Ended::TakenOver;
            }
        }
    }

    /// The refusal with which the subscription ends.
    pub fn refusal(&self, ended: Ended) -> OpError {
        let (_, consumer, shard) = &self.place;
        let error = match ended {
            Ended::TakenOver => OpError::new(
                Kind::ResourceInUse,
                format!("another subscription of consumer {consumer} took {shard} over"),
            ),
            Ended::Deregistered => OpError::new(
                Kind::ResourceNotFound,
                format!("consumer {consumer} was deregistered"),
            ),
        };
        error.with("consumer_name", consumer.as_str()).with("shard_id", shard.to_string())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut places = self.registry.places.lock();
        if let Entry::Occupied(holder) = places.entry(self.place.clone()) {
            // The place may belong to another by now.
            if holder.get().ended.subscribe().same_channel(&self.ended) {
                holder.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: StreamId = StreamId(1);
    const SHARD: ShardId = ShardId(0);

    fn consumer() -> ConsumerName {
        "analytics".parse().unwrap()
    }

    #[test]
    fn a_place_is_protected_for_five_seconds() {
        let since = Instant::now();
        assert_eq!(decide(None, since), Decision::Take);
        let wait = Duration::from_millis(1);
        let now = since + PROTECTED - wait;
        assert_eq!(decide(Some(since), now), Decision::Refuse { wait });
        assert_eq!(decide(Some(since), since + PROTECTED), Decision::TakeOver);
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_subscription_is_refused_and_a_later_one_takes_over() {
        let registry = Arc::<Registry>::default();
        let mut first = registry.subscribe(STREAM, &consumer(), SHARD).unwrap();
        let refused = registry.subscribe(STREAM, &consumer(), SHARD).unwrap_err();
        assert_eq!(refused.kind, Kind::ResourceInUse);
        assert_eq!(refused.retry_after, Some(PROTECTED));
        assert_eq!(first.state(), None);

        tokio::time::advance(PROTECTED).await;
        let second = registry.subscribe(STREAM, &consumer(), SHARD).unwrap();
        assert_eq!(first.lost().await, Ended::TakenOver);
        assert_eq!(first.refusal(Ended::TakenOver).kind, Kind::ResourceInUse);
        // The first one's end does not take the second one's place.
        drop(first);
        assert_eq!(registry.len(), 1);
        assert!(registry.subscribe(STREAM, &consumer(), SHARD).is_err());
        drop(second);
        assert!(registry.is_empty());
        assert!(registry.subscribe(STREAM, &consumer(), SHARD).is_ok());
    }

    #[tokio::test]
    async fn deregistering_ends_the_subscriptions_of_that_consumer_only() {
        let registry = Arc::<Registry>::default();
        let other: ConsumerName = "other".parse().unwrap();
        let mut ended = registry.subscribe(STREAM, &consumer(), SHARD).unwrap();
        let kept = registry.subscribe(STREAM, &other, SHARD).unwrap();
        registry.deregister(STREAM, &consumer());
        assert_eq!(ended.lost().await, Ended::Deregistered);
        let refusal = ended.refusal(Ended::Deregistered);
        assert_eq!(refusal.kind, Kind::ResourceNotFound);
        assert_eq!(kept.state(), None);
        drop(ended);
        assert_eq!(registry.len(), 1);
    }
}
