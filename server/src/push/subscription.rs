//! One subscription: a cursor that waits at the tip, with an end.
//!
//! ```text
//!            +--> event with records (whenever there are any; in the profile `aws` not sooner than
//!            |      2 MiB a second allow)
//!   start ---+--> heartbeat without (after 5 s of silence)
//!            +--> the last event of a closed shard, with its children; then the end
//!            +--> end: 5 minutes over | taken over | deregistered
//!                      stream deleted | damage | shutting down
//! ```

use std::sync::Arc;
use std::time::Duration;

use anabranch_engine::{Cursor, Page, Progress, ReadLimit, Stream};
use anabranch_proto::v1::ChildShard;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::registry::Lease;
use crate::aws::sequence::Origin;
use crate::metrics::{Metrics, SubscriberGuard};
use crate::ops::error::OpError;
use crate::ops::{ColdReads, Pacer, describe};

/// How long a subscription lasts (service: 5 minutes); then the client subscribes again.
const LIFE: Duration = Duration::from_mins(5);
/// The longest silence: then an event without records is sent.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// What a subscription is made of.
pub(crate) struct Source {
    /// Tells who comes after a closed shard.
    pub stream: Arc<Stream>,
    /// The shard, and what the numbers of its records have in common.
    pub origin: Origin,
    /// News of the shard.
    pub progress: watch::Receiver<Progress>,
    /// Where reading stands.
    pub cursor: Cursor,
    /// Reads where that may wait for the disk.
    pub reads: ColdReads,
    /// How large an event may be.
    pub limit: ReadLimit,
    /// Counts the events, and holds them back where there are limits.
    pub pacer: Pacer,
    /// The place in the registry.
    pub lease: Lease,
    /// Ends the subscription with the server.
    pub shutdown: CancellationToken,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// Records, or none in a heartbeat.
#[derive(Debug)]
pub struct Event {
    /// The records, encoded.
    pub page: Page,
    /// Subscribe again behind this number: everything up to it has been handed out. 0 at the end
    /// of a closed shard.
    pub continuation_sequence_number: u64,
    /// At the end of a closed shard: where reading goes on.
    pub child_shards: Vec<ChildShard>,
}

/// A running subscription.
pub struct Subscription {
    source: Source,
    ends_at: Instant,
    heartbeat_at: Instant,
    ended: bool,
    _counted: SubscriberGuard,
}

/// What a wait at the tip brought.
enum News {
    Progress,
    Heartbeat,
    End(Option<OpError>),
}

impl Subscription {
    /// Starts now.
    pub(crate) fn new(source: Source) -> Self {
        let now = Instant::now();
        Subscription {
            _counted: source.metrics.subscribed(),
            source,
            ends_at: now + LIFE,
            // Whoever begins at the tip is told at once where that is.
            heartbeat_at: now,
            ended: false,
        }
    }

    /// What the numbers of the shard's records have in common.
    pub fn origin(&self) -> Origin {
        self.source.origin
    }

    /// The next event, as soon as there is one; `None` at the end of the subscription's life.
    /// An error is the last thing it gives.
    pub async fn next(&mut self) -> Option<Result<Event, OpError>> {
        if self.ended {
            return None;
        }
        let next = self.next_or_end().await;
        self.ended = !matches!(&next, Some(Ok(event)) if !event.page.is_end);
        next
    }

    async fn next_or_end(&mut self) -> Option<Result<Event, OpError>> {
        let mut heartbeat_due = false;
        loop {
            if let Some(refusal) = self.refusal() {
                return Some(Err(refusal));
            }
            if Instant::now() >= self.ends_at {
                return None;
            }
            // What becomes durable after this line wakes the wait below.
            self.source.progress.borrow_and_update();
            let Source { reads, cursor, limit, .. } = &mut self.source;
            let page = match reads.read(cursor, *limit).await {
                Ok(page) => page,
                Err(error) => return Some(Err(error.into())),
            };
            if page.records > 0 || page.is_end || heartbeat_due {
                let delay = self.source.pacer.take(&self.source.stream, &page);
                if !delay.is_zero()
                    && let Some(refusal) = self.pause(delay).await
                {
                    return Some(Err(refusal));
                }
                return Some(Ok(self.event(page)));
            }
            match self.news().await {
                News::Progress => {}
                News::Heartbeat => heartbeat_due = true,
                News::End(end) => return end.map(Err),
            }
        }
    }

    /// Why the subscription is over, if it is before its time.
    fn refusal(&self) -> Option<OpError> {
        let Source { lease, shutdown, .. } = &self.source;
        let ended = lease.state().map(|ended| lease.refusal(ended));
        ended.or_else(|| shutdown.is_cancelled().then(OpError::shutting_down))
    }

    /// Lets the time pass that an event has to wait; tells why if the subscription ends meanwhile.
    /// The event is not sent then, and is read again by whoever goes on.
    async fn pause(&mut self, delay: Duration) -> Option<OpError> {
        let Source { lease, shutdown, .. } = &mut self.source;
        tokio::select! {
            ended = lease.lost() => Some(lease.refusal(ended)),
            () = shutdown.cancelled() => Some(OpError::shutting_down()),
            () = tokio::time::sleep(delay) => None,
        }
    }

    async fn news(&mut self) -> News {
        let Source { progress, lease, shutdown, .. } = &mut self.source;
        tokio::select! {
            ended = lease.lost() => News::End(Some(lease.refusal(ended))),
            () = shutdown.cancelled() => News::End(Some(OpError::shutting_down())),
            // The engine is gone only after a shutdown.
            changed = progress.changed() => match changed {
                Ok(()) => News::Progress,
                Err(_) => News::End(Some(OpError::shutting_down())),
            },
            () = tokio::time::sleep_until(self.ends_at) => News::End(None),
            () = tokio::time::sleep_until(self.heartbeat_at) => News::Heartbeat,
        }
    }

    fn event(&mut self, page: Page) -> Event {
        self.source.metrics.read(&page);
        self.heartbeat_at = Instant::now() + HEARTBEAT;
        if page.is_end {
            let Source { stream, origin, .. } = &self.source;
            let child_shards = describe::child_shards(&stream.shards(), origin.shard);
            return Event { continuation_sequence_number: 0, page, child_shards };
        }
        let continuation_sequence_number = page.next.0.saturating_sub(1);
        Event { continuation_sequence_number, page, child_shards: Vec::new() }
    }
}
