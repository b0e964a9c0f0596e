//! A stream: its shards, where records go, and who is registered to be pushed to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::hash_key::HashKey;
use crate::ids::{ConsumerName, ShardId, StreamId, StreamName};
use crate::limits::CONSUMERS_PER_STREAM_MAX;
use crate::shard::Shard;

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
    /// By id. The ranges of the open ones tile the hash space.
    shards: Vec<Arc<Shard>>,
    /// The first hash key of each open shard, rising, and where the shard stands in `shards`.
    routes: Vec<(HashKey, usize)>,
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
        let mut routes: Vec<_> = shards
            .iter()
            .enumerate()
            .map(|(index, shard)| (shard.hash_key_range().start, index))
            .collect();
        routes.sort_unstable();
        let registered = consumers.into_iter().map(|each| (each.name.clone(), each)).collect();
        Stream {
            id,
            name,
            created_ms,
            retention_hours: AtomicU32::new(retention_hours),
            is_deleted: AtomicBool::new(false),
            shards,
            routes,
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

    /// The shards, by id.
    pub fn shards(&self) -> &[Arc<Shard>] {
        &self.shards
    }

    /// The shard of that id.
    pub fn shard(&self, id: ShardId) -> Result<&Arc<Shard>> {
        let position = self.shards.binary_search_by_key(&id, |shard| shard.id());
        let not_found = |_| Error::ShardNotFound { name: self.name.clone(), shard: id };
        position.map(|position| &self.shards[position]).map_err(not_found)
    }

    /// Which of [`Stream::shards`] takes records of that hash key.
    pub fn route(&self, key: HashKey) -> usize {
        let behind = self.routes.partition_point(|(start, _)| *start <= key);
        self.routes[behind - 1].1
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
        for shard in &self.shards {
            shard.set_retention_hours(hours);
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
        self.shards.iter().for_each(|shard| shard.suspend(cause.clone()));
    }

    pub(crate) fn resume(&self) {
        self.shards.iter().for_each(|shard| shard.resume());
    }

    pub(crate) fn delete(&self) {
        self.is_deleted.store(true, Ordering::Release);
        for shard in &self.shards {
            shard.delete();
        }
    }
}
