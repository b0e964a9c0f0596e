//! A stream: its shards, where records go, what is set on it, and who is registered to be pushed
//! to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};

use crate::catalog::{ConsumerEntry, ShardEntry, StreamEntry};
use crate::error::{Error, Result};
use crate::ids::{ConsumerName, ShardId, StreamId, StreamName};
use crate::limits::CONSUMERS_PER_STREAM_MAX;
use crate::log::header::ShardIdentity;
use crate::settings::{StreamSettings, Tags};
use crate::shard::Shard;
use crate::shards::Shards;

/// A consumer registered for enhanced fan-out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Consumer {
    /// Its name, unique on the stream.
    pub name: ConsumerName,
    /// When it was registered, milliseconds since 1970.
    pub created_ms: u64,
    /// Its tags.
    pub tags: Tags,
    /// Its resource policy, if it has one: text of up to 20 KiB.
    pub policy: Option<String>,
}

impl From<&ConsumerEntry> for Consumer {
    fn from(entry: &ConsumerEntry) -> Self {
        let ConsumerEntry { name, created_ms, tags, policy } = entry.clone();
        Consumer { name, created_ms, tags, policy }
    }
}

impl From<&Consumer> for ConsumerEntry {
    fn from(consumer: &Consumer) -> Self {
        let Consumer { name, created_ms, tags, policy } = consumer.clone();
        ConsumerEntry { name, created_ms, tags, policy }
    }
}

/// For how long a caller's change of the shards waits for one of the server's own, which takes
/// milliseconds. A disk that is stuck is not waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Who changes the shards of a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Changer {
    /// A caller. The stream is UPDATING, and a second one is refused.
    Caller,
    /// The server, by the load that it sees, or because shards have expired. Nobody asked for it,
    /// so nobody is refused for it: the stream is not UPDATING, and callers wait their turn.
    Server,
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
    /// Who changes the shards, if somebody does.
    changer: Mutex<Option<Changer>>,
    /// Woken when nobody does any more.
    unchanging: Condvar,
    /// The turn from which records that no key routes go on.
    turn: AtomicUsize,
    settings: Mutex<Arc<StreamSettings>>,
    consumers: Mutex<BTreeMap<ConsumerName, Consumer>>,
    /// Held across I/O like that of the catalog, which is taken below it: it orders the changes of
    /// settings and consumers, each of which waits for the disk, and nothing else takes it.
    changing: Mutex<()>,
}

impl Stream {
    /// The stream of an entry of the catalog, with its shards.
    pub(crate) fn new(entry: &StreamEntry, shards: Vec<Arc<Shard>>) -> Stream {
        let consumers = entry.consumers.iter().map(|each| (each.name.clone(), each.into()));
        Stream {
            id: entry.id,
            name: entry.name.clone(),
            created_ms: entry.created_ms,
            retention_hours: AtomicU32::new(entry.retention_hours),
            is_deleted: AtomicBool::new(false),
            first_shards: entry.first_shards(),
            shards: RwLock::new(Shards::new(shards, &[])),
            changer: Mutex::new(None),
            unchanging: Condvar::new(),
            turn: AtomicUsize::new(0),
            settings: Mutex::new(Arc::new(entry.settings.clone())),
            consumers: Mutex::new(consumers.collect()),
            changing: Mutex::new(()),
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

    /// Whether a caller changes its shards. What the server does by itself does not count.
    pub fn is_updating(&self) -> bool {
        *self.changer.lock() == Some(Changer::Caller)
    }

    /// Takes so many turns for records that no key routes, and gives the first of them: the next
    /// caller goes on behind them.
    pub fn take_turns(&self, count: usize) -> usize {
        self.turn.fetch_add(count, Ordering::Relaxed)
    }

    /// What is set on the stream, as of now.
    pub fn settings(&self) -> Arc<StreamSettings> {
        self.settings.lock().clone()
    }

    /// The registered consumers, by name.
    pub fn consumers(&self) -> Vec<Consumer> {
        self.consumers.lock().values().cloned().collect()
    }

    /// The consumer of that name.
    pub fn consumer(&self, name: &ConsumerName) -> Result<Consumer> {
        let consumer = self.consumers.lock().get(name).cloned();
        consumer.ok_or_else(|| Error::ConsumerNotFound {
            name: self.name.clone(),
            consumer: name.clone(),
        })
    }

    pub(crate) fn set_retention_hours(&self, hours: u32) {
        self.retention_hours.store(hours, Ordering::Relaxed);
        for shard in &self.shards() {
            shard.set_retention_hours(hours);
        }
    }

    /// Begins a change of the shards, of which there is one at a time. A caller waits for the
    /// server's own, five seconds at most; for a caller's nobody waits.
    pub(crate) fn begin_update(&self, by: Changer) -> Result<Updating<'_>> {
        let mut changer = self.changer.lock();
        if by == Changer::Caller {
            let is_the_servers = |changer: &mut Option<Changer>| *changer == Some(Changer::Server);
            self.unchanging.wait_while_for(&mut changer, is_the_servers, PATIENCE);
        }
        if changer.is_some() {
            return Err(Error::StreamUpdating { name: self.name.clone() });
        }
        *changer = Some(by);
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

    pub(crate) fn set_settings(&self, settings: StreamSettings) {
        *self.settings.lock() = Arc::new(settings);
    }

    /// Waits until no other call changes settings or consumers, and keeps them out until the guard
    /// goes.
    pub(crate) fn change_in_turn(&self) -> MutexGuard<'_, ()> {
        self.changing.lock()
    }

    /// Whether a consumer of that name may be registered.
    pub(crate) fn check_registration(&self, name: &ConsumerName) -> Result<()> {
        let consumers = self.consumers.lock();
        if consumers.contains_key(name) {
            let (name, consumer) = (self.name.clone(), name.clone());
            return Err(Error::ConsumerExists { name, consumer });
        }
        if consumers.len() >= CONSUMERS_PER_STREAM_MAX {
            let max = CONSUMERS_PER_STREAM_MAX as u64;
            return Err(Error::LimitExceeded { what: "consumers of a stream", max });
        }
        Ok(())
    }

    /// Adds a consumer, or puts it in the place of the one of its name.
    pub(crate) fn put_consumer(&self, consumer: Consumer) {
        self.consumers.lock().insert(consumer.name.clone(), consumer);
    }

    pub(crate) fn remove_consumer(&self, name: &ConsumerName) {
        self.consumers.lock().remove(name);
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
        for shard in &self.shards() {
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
        *self.stream.changer.lock() = None;
        self.stream.unchanging.notify_all();
    }
}
