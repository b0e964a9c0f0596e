//! A stream: its shards, where records go, and who is registered to be pushed to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::hash_key::HashKey;
use crate::ids::{ConsumerName, ShardId, StreamId, StreamName};
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
    consumers: Mutex<BTreeMap<ConsumerName, Consumer>>,
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
        let consumers = consumers.into_iter().map(|each| (each.name.clone(), each)).collect();
        Stream {
            id,
            name,
            created_ms,
            retention_hours: AtomicU32::new(retention_hours),
            is_deleted: AtomicBool::new(false),
            shards,
            routes,
            consumers: Mutex::new(consumers),
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
        self.consumers.lock().values().cloned().collect()
    }

    /// The consumer of that name.
    pub fn consumer(&self, name: &ConsumerName) -> Result<Consumer> {
        self.consumers.lock().get(name).cloned().ok_or_else(|| Error::ConsumerNotFound {
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

    pub(crate) fn add_consumer(&self, consumer: Consumer) {
        self.consumers.lock().insert(consumer.name.clone(), consumer);
    }

    pub(crate) fn remove_consumer(&self, name: &ConsumerName) {
        self.consumers.lock().remove(name);
    }

    pub(crate) fn delete(&self) {
        self.is_deleted.store(true, Ordering::Release);
        for shard in &self.shards {
            shard.delete();
        }
    }
}
