//! What statuses streams and consumers are shown in, and the delays of the real service for those
//! who ask for them.
//!
//! Here a control operation is done when its call returns: a stream is ACTIVE, but for the moments
//! in which a caller's reshard changes its shards, and a consumer is. What the server does by
//! itself, on-demand scaling and the removal of expired shards, is nobody's wait and not shown.
//! With `--control-delays aws` they are shown for a while in the status in which the service would
//! show them, so that waiters have something to wait for, and refused what it refuses them; what
//! was asked for is done and durable all the same. A restart ends all delays.

use std::collections::{BTreeMap, HashMap};

use anabranch_engine::ids::{ConsumerName, StreamId, StreamName};
use anabranch_engine::{Consumer, Stream};
use anabranch_proto::v1::{self, ConsumerStatus, StreamStatus};
use parking_lot::Mutex;

use super::Ops;

/// For how long a new stream is CREATING, a changed one UPDATING and a deleted one DELETING. The
/// service publishes no figures; these are what its users report of small streams.
const CREATING_MS: u64 = 10_000;
const UPDATING_MS: u64 = 15_000;
const DELETING_MS: u64 = 10_000;

/// The same for a consumer.
const CONSUMER_CREATING_MS: u64 = 10_000;
const CONSUMER_DELETING_MS: u64 = 10_000;

/// What is shown in another status than its own. Nothing is in it without delays.
#[derive(Debug, Default)]
pub(super) struct Statuses {
    is_delaying: bool,
    shown: Mutex<Shown>,
}

/// What is over is swept whenever something is added: so much is in it as was changed in one delay.
#[derive(Debug, Default)]
struct Shown {
    streams: HashMap<StreamId, Until<StreamStatus>>,
    /// Deleted streams. Their names are not free yet.
    deleted: BTreeMap<StreamName, Until<DeletedStream>>,
    /// Consumers that are CREATING.
    registered: HashMap<(StreamId, ConsumerName), Until<()>>,
    /// Consumers that were deregistered. Their names are not free yet.
    deregistered: BTreeMap<(StreamId, ConsumerName), Until<v1::Consumer>>,
}

/// A stream that is gone, as it is described while it is DELETING.
#[derive(Clone, Debug)]
pub(super) struct DeletedStream {
    pub(super) description: v1::StreamDescription,
    pub(super) summary: v1::StreamDescriptionSummary,
}

/// Something that holds before a time, in milliseconds since 1970.
#[derive(Debug)]
struct Until<T> {
    end_ms: u64,
    what: T,
}

impl<T> Until<T> {
    fn at(&self, now_ms: u64) -> Option<&T> {
        (now_ms < self.end_ms).then_some(&self.what)
    }
}

impl Shown {
    fn sweep(&mut self, now_ms: u64) {
        self.streams.retain(|_, shown| now_ms < shown.end_ms);
        self.deleted.retain(|_, shown| now_ms < shown.end_ms);
        self.registered.retain(|_, shown| now_ms < shown.end_ms);
        self.deregistered.retain(|_, shown| now_ms < shown.end_ms);
    }
}

impl Statuses {
    /// With the service's delays, or with none.
    pub(super) fn new(is_delaying: bool) -> Statuses {
        Statuses { is_delaying, shown: Mutex::default() }
    }

    /// Changes what is shown, if anything is.
    fn change(&self, now_ms: u64, change: impl FnOnce(&mut Shown)) {
        if self.is_delaying {
            let mut shown = self.shown.lock();
            shown.sweep(now_ms);
            change(&mut shown);
        }
    }

    /// Looks something up in what is shown, if anything is.
    fn look<T>(&self, find: impl FnOnce(&Shown) -> Option<T>) -> Option<T> {
        if !self.is_delaying {
            return None;
        }
        find(&self.shown.lock())
    }
}

impl Ops {
    /// The status in which a stream is shown.
    pub(super) fn status(&self, stream: &Stream) -> StreamStatus {
        let own = match stream.is_updating() {
            true => StreamStatus::Updating,
            false => StreamStatus::Active,
        };
        let now_ms = self.engine.now_ms();
        let find = |shown: &Shown| shown.streams.get(&stream.id())?.at(now_ms).copied();
        self.statuses.look(find).unwrap_or(own)
    }

    fn show(&self, stream: &Stream, status: StreamStatus, delay_ms: u64) {
        let now_ms = self.engine.now_ms();
        self.statuses.change(now_ms, |shown| {
            let until = Until { end_ms: now_ms + delay_ms, what: status };
            shown.streams.insert(stream.id(), until);
        });
    }

    /// A stream was made.
    pub(super) fn show_creating(&self, stream: &Stream) {
        self.show(stream, StreamStatus::Creating, CREATING_MS);
    }

    /// A stream was changed in a way that takes the service some time: its shards, its mode, its
    /// warm throughput or its encryption.
    pub(super) fn show_updating(&self, stream: &Stream) {
        self.show(stream, StreamStatus::Updating, UPDATING_MS);
    }

    /// How many streams are there and shown as if they were still being made.
    pub(super) fn shown_creating(&self) -> u32 {
        let now_ms = self.engine.now_ms();
        let count = |shown: &Shown| {
            let statuses = shown.streams.values().filter_map(|shown| shown.at(now_ms));
            Some(statuses.filter(|status| **status == StreamStatus::Creating).count() as u32)
        };
        self.statuses.look(count).unwrap_or(0)
    }

    /// How a stream that is about to be deleted will be shown.
    pub(super) fn as_deleting(&self, stream: &Stream) -> DeletedStream {
        let stream_status = StreamStatus::Deleting.into();
        DeletedStream {
            description: v1::StreamDescription { stream_status, ..self.description(stream) },
            summary: v1::StreamDescriptionSummary { stream_status, ..self.summary(stream) },
        }
    }

    /// A stream was deleted.
    pub(super) fn show_deleting(&self, name: &StreamName, what: DeletedStream) {
        let now_ms = self.engine.now_ms();
        self.statuses.change(now_ms, |shown| {
            shown.deleted.insert(name.clone(), Until { end_ms: now_ms + DELETING_MS, what });
        });
    }

    /// The stream of that name that is gone and still shown.
    pub(super) fn deleting(&self, name: &StreamName) -> Option<DeletedStream> {
        let now_ms = self.engine.now_ms();
        self.statuses.look(|shown| shown.deleted.get(name)?.at(now_ms).cloned())
    }

    /// At most `limit` streams by name, behind `after`, that are gone and still shown.
    pub(super) fn deleting_streams(
        &self,
        after: Option<&StreamName>,
        limit: usize,
    ) -> Vec<v1::StreamDescription> {
        use std::ops::Bound::{Excluded, Unbounded};
        let now_ms = self.engine.now_ms();
        let start = after.map_or(Unbounded, Excluded);
        let find = |shown: &Shown| {
            let behind = shown.deleted.range::<StreamName, _>((start, Unbounded));
            let streams = behind.filter_map(|(_, shown)| shown.at(now_ms));
            Some(streams.take(limit).map(|stream| stream.description.clone()).collect())
        };
        self.statuses.look(find).unwrap_or_default()
    }

    /// The status in which a consumer that is there is shown.
    pub(super) fn consumer_status(&self, stream: &Stream, consumer: &Consumer) -> ConsumerStatus {
        let now_ms = self.engine.now_ms();
        let key = (stream.id(), consumer.name.clone());
        let is_creating =
            self.statuses.look(|shown| shown.registered.get(&key)?.at(now_ms).copied());
        match is_creating {
            Some(()) => ConsumerStatus::ConsumerCreating,
            None => ConsumerStatus::ConsumerActive,
        }
    }

    /// A consumer was registered.
    pub(super) fn show_registered(&self, stream: &Stream, consumer: &Consumer) {
        let now_ms = self.engine.now_ms();
        self.statuses.change(now_ms, |shown| {
            let key = (stream.id(), consumer.name.clone());
            let end_ms = now_ms + CONSUMER_CREATING_MS;
            shown.registered.insert(key, Until { end_ms, what: () });
        });
    }

    /// How many consumers of a stream are CREATING.
    pub(super) fn consumers_creating(&self, stream: &Stream) -> u32 {
        let now_ms = self.engine.now_ms();
        let count = |shown: &Shown| {
            let of_it = shown.registered.iter().filter(|((id, _), _)| *id == stream.id());
            Some(of_it.filter(|(_, shown)| shown.at(now_ms).is_some()).count() as u32)
        };
        self.statuses.look(count).unwrap_or(0)
    }

    /// A consumer was deregistered.
    pub(super) fn show_deregistered(&self, stream: &Stream, consumer: &Consumer) {
        let now_ms = self.engine.now_ms();
        let consumer_status = ConsumerStatus::ConsumerDeleting.into();
        let what = v1::Consumer { consumer_status, ..self.show_consumer(stream, consumer) };
        self.statuses.change(now_ms, |shown| {
            let key = (stream.id(), consumer.name.clone());
            shown.registered.remove(&key);
            let end_ms = now_ms + CONSUMER_DELETING_MS;
            shown.deregistered.insert(key, Until { end_ms, what });
        });
    }

    /// The consumer of that name that is gone and still shown.
    pub(super) fn deregistered(
        &self,
        stream: &Stream,
        name: &ConsumerName,
    ) -> Option<v1::Consumer> {
        let now_ms = self.engine.now_ms();
        let key = (stream.id(), name.clone());
        self.statuses.look(|shown| shown.deregistered.get(&key)?.at(now_ms).cloned())
    }

    /// The consumers of a stream that are gone and still shown, by name.
    pub(super) fn deregistered_consumers(&self, stream: &Stream) -> Vec<v1::Consumer> {
        let now_ms = self.engine.now_ms();
        let find = |shown: &Shown| {
            let of_it = shown.deregistered.iter().filter(|((id, _), _)| *id == stream.id());
            Some(of_it.filter_map(|(_, shown)| shown.at(now_ms).cloned()).collect())
        };
        self.statuses.look(find).unwrap_or_default()
    }
}
