//! A stream: its shards, where records go, and who is registered to be pushed to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use parking_lot::{Mutex, RwLock};

use crate::catalog::ShardEntry;
use crate::error::{Error, Result};
use crate::ids::{ConsumerName, ShardId, StreamId, StreamName};
use crate::limits::CONSUMERS_PER_STREAM_MAX;
use crate::log::header::ShardIdentity;
use crate::shard::Shard;
use crate::shards::Shards;

/// A consumer registered for enhanced fan-out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Consumer {
    /// Its name, unique on the stream.
    pub name: ConsumerName,
    /// When it was registered, milliseconds since 1970.
    pub created_ms: u64,
}

/// One incarnation of a stream.
pub struct Stream {
    id: StreamId,
    name: StreamName,
    created_ms: u64,
    retention_hours: AtomicU32,
    is_deleted: AtomicBool,
    /// The shards it was made with, as far as they are known.
    first_shards: u32,
    /// Replaced as a whole by a reshard, and when a shard has expired.
    shards: RwLock<Shards>,
    /// Whether a call changes the shards.
    is_updating: AtomicBool,
    consumers: Mutex<Consumers>,
}

/// The consumers of a stream.
struct Consumers {
    registered: BTreeMap<ConsumerName, Consumer>,
    /// Names that are being registered: the catalog is written without the lock. They count.
    registering: BTreeSet<ConsumerName>,
}

impl Stream {
    pub(crate) fn new(
        id: StreamId,
        name: StreamName,
        created_ms: u64,
        retention_hours: u32,
        shards: Vec<Arc<Shard>>,
        consumers: impl IntoIterator<Item = Consumer>,
    ) -> Stream {
        let is_first = |shard: &&Arc<Shard>| shard.parents() == [None, None];
        let first_shards = shards.iter().filter(is_first).count() as u32;
        let registered = consumers.into_iter().map(|each| (each.name.clone(), each)).collect();
        Stream {
            id,
            name,
            created_ms,
            retention_hours: AtomicU32::new(retention_hours),
            is_deleted: AtomicBool::new(false),
            first_shards,
            shards: RwLock::new(Shards::new(shards, &[])),
            is_updating: AtomicBool::new(false),
            consumers: Mutex::new(Consumers { registered, registering: BTreeSet::new() }),
        }
    }

    /// The stream's incarnation.
    pub fn id(&self) -> StreamId {
        self.id
    }

    /// The stream's name.
    pub fn name(&self) -> &StreamName {
        &self.name
    }

    /// When it was made, milliseconds since 1970.
    pub fn created_ms(&self) -> u64 {
        self.created_ms
    }

    /// Hours that records are kept.
    pub fn retention_hours(&self) -> u32 {
        self.retention_hours.load(Ordering::Relaxed)
    }

    /// Whether the stream was deleted since this handle was taken.
    pub fn is_deleted(&self) -> bool {
        self.is_deleted.load(Ordering::Acquire)
    }

    /// The shards as they stand now, by id, closed ones among them until their last record has
    /// expired.
    pub fn shards(&self) -> Shards {
        self.shards.read().clone()
    }

    /// The shard of that id.
    pub fn shard(&self, id: ShardId) -> Result<Arc<Shard>> {
        let not_found = || Error::ShardNotFound { name: self.name.clone(), shard: id };
        self.shards().get(id).cloned().ok_or_else(not_found)
    }

    /// Whether its shards are being changed.
    pub fn is_updating(&self) -> bool {
        self.is_updating.load(Ordering::Acquire)
    }

    /// The registered consumers, by name.
    pub fn consumers(&self) -> Vec<Consumer> {
        self.consumers.lock().registered.values().cloned().collect()
    }

    /// The consumer of that name.
    pub fn consumer(&self, name: &ConsumerName) -> Result<Consumer> {
        let consumer = self.consumers.lock().registered.get(name).cloned();
        consumer.ok_or_else(|| Error::ConsumerNotFound {
            name: self.name.clone(),
            consumer: name.clone(),
        })
    }

    pub(crate) fn set_retention_hours(&self, hours: u32) {
        self.retention_hours.store(hours, Ordering::Relaxed);
        for shard in self.shards().iter() {
            shard.set_retention_hours(hours);
        }
    }

    /// Begins a change of the shards, of which there is one at a time.
    pub(crate) fn begin_update(&self) -> Result<Updating<'_>> {
        if self.is_updating.swap(true, Ordering::AcqRel) {
            return Err(Error::StreamUpdating { name: self.name.clone() });
        }
        Ok(Updating { stream: self })
    }

    /// Changes the list of shards; those in `closing` get no more records. Only for whoever holds
    /// [`Updating`].
    pub(crate) fn reshape(&self, closing: &[ShardId], change: impl FnOnce(&mut Vec<Arc<Shard>>)) {
        {
            let mut shards = self.shards.write();
            let mut changed = shards.to_vec();
            change(&mut changed);
            let changed = Shards::new(changed, closing);
            assert!(changed.is_tiled() || !shards.is_tiled(), "a reshard leaves no gap");
            *shards = changed;
        }
        // What is changed for all shards may have passed the new ones by.
        self.set_retention_hours(self.retention_hours());
        if self.is_deleted() {
            self.delete();
        }
    }

    /// What the segments of a shard say about it.
    pub(crate) fn identity(&self, shard: &ShardEntry) -> ShardIdentity {
        ShardIdentity {
            stream: self.id,
            stream_name: self.name.clone(),
            stream_created_ms: self.created_ms,
            retention_hours: self.retention_hours(),
            stream_shards: self.first_shards,
            shard: shard.id,
            range: shard.range,
            parents: shard.parents,
            shard_created_ms: shard.created_ms,
            first_sequence: shard.first_sequence,
        }
    }

    /// Takes one of the places for consumers, and the name: for [`Stream::add_consumer`], or
    /// until [`Stream::give_up_registration`].
    pub(crate) fn begin_registration(&self, name: &ConsumerName) -> Result<()> {
        let mut consumers = self.consumers.lock();
        let Consumers { registered, registering } = &mut *consumers;
        if registered.contains_key(name) || registering.contains(name) {
            let (name, consumer) = (self.name.clone(), name.clone());
            return Err(Error::ConsumerExists { name, consumer });
        }
        if registered.len() + registering.len() >= CONSUMERS_PER_STREAM_MAX {
            let max = CONSUMERS_PER_STREAM_MAX as u64;
            return Err(Error::LimitExceeded { what: "consumers of a stream", max });
        }
        registering.insert(name.clone());
        Ok(())
    }

    /// The registration has failed.
    pub(crate) fn give_up_registration(&self, name: &ConsumerName) {
        self.consumers.lock().registering.remove(name);
    }

    pub(crate) fn add_consumer(&self, consumer: Consumer) {
        let mut consumers = self.consumers.lock();
        consumers.registering.remove(&consumer.name);
        consumers.registered.insert(consumer.name.clone(), consumer);
    }

    pub(crate) fn remove_consumer(&self, name: &ConsumerName) {
        self.consumers.lock().registered.remove(name);
    }

    /// Refuses records for a cause that passes, until [`Stream::resume`].
    pub(crate) fn suspend(&self, cause: &Error) {
        self.shards().iter().for_each(|shard| shard.suspend(cause.clone()));
    }

    pub(crate) fn resume(&self) {
        self.shards().iter().for_each(|shard| shard.resume());
    }

    pub(crate) fn delete(&self) {
        self.is_deleted.store(true, Ordering::Release);
        for shard in self.shards().iter() {
            shard.delete();
        }
    }
}

/// A change of a stream's shards under way.
pub(crate) struct Updating<'a> {
    stream: &'a Stream,
}

impl Drop for Updating<'_> {
    fn drop(&mut self) {
        self.stream.is_updating.store(false, Ordering::Release);
    }
}
