//! The catalog: which streams, shards and consumers there are, and how far each shard is
//! known to be durable. `DATA/catalog.redb`, in the layout that `codec` tells.
//!
//! It is the durable form of what the engine holds in memory: read once, at open, and from
//! then on only written, never on a data path. The engine decides; the catalog remembers.
//! So it checks no limit and resolves no name, and a change that is asked for twice is made
//! once.
//!
//! - Each change is one transaction, durable when the call returns.
//! - Marks rise. What is stored for a shard is the highest of what was ever recorded.
//! - An I/O error or a full disk fails the call it met and nothing else: redb refuses to go
//!   on after one, so the database is dropped and the next call opens it again.
//! - A change that failed is not made. A commit that failed may have been made all the same:
//!   it is taken back before anything else is changed, at once where the disk lets us
//!   (`redress`). Until then [`Catalog::is_in_doubt`] says so.
//! - A catalog that is missing or cannot be trusted while there are records is never replaced
//!   by an empty one. [`Catalog::rebuild`] makes a new one from what the segments say.

mod backend;
mod codec;
mod contents;
#[cfg(test)]
mod crash_tests;
mod redress;
mod store;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use redb::{ReadableTable, WriteTransaction};

use crate::clock::TimelineState;
use crate::entropy::Entropy;
use crate::error::{Error, IoContext, Result};
use crate::fs::{Access, Fs};
use crate::ids::{ConsumerName, ShardId, StreamId};
use crate::mutant::Mutant;
use crate::settings::{AccountSettings, StreamSettings};

pub use codec::FORMAT;
use codec::Run;
pub(crate) use contents::Pin;
pub use contents::{ConsumerEntry, Contents, ShardClosed, ShardEntry, ShardMark, StreamEntry};
use redress::Redress;
use store::{Failure, Fault, OpenTable, Store};

/// The file. **Frozen.**
const FILE_NAME: &str = "catalog.redb";
/// The file while it is being made; found at an open, it is what a crash left. **Frozen.**
const NEW_FILE_NAME: &str = "catalog.redb.new";

/// The durable memory of an engine. Calls wait for the disk, and for each other.
pub struct Catalog {
    fs: Arc<dyn Fs>,
    path: PathBuf,
    /// Held across I/O, as an exception to the house's rule: it orders the few calls that
    /// change the catalog, each of which waits for the disk anyway, and nothing else takes it.
    slot: Mutex<Slot>,
}

struct Slot {
    /// None after a failure, and after an open on a full disk, until the next call.
    store: Option<Store>,
    /// Takes back the changes that were reported as failed and may have been made. The next
    /// transaction does so first.
    redress: Vec<Redress>,
}

impl Catalog {
    /// Opens the catalog of the directory `data`, or makes one if there is none and there are
    /// no records either.
    ///
    /// Missing or unreadable while `has_records` is [`Error::CatalogLost`], unreadable without
    /// records [`Error::Catalog`]; nothing is made or changed then.
    pub fn open(
        fs: Arc<dyn Fs>,
        data: &Path,
        has_records: bool,
        entropy: &dyn Entropy,
    ) -> Result<(Catalog, Contents)> {
        let path = data.join(FILE_NAME);
        let is_missing = match fs.open(&path, Access::Read) {
            Ok(_) => false,
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            Err(error) => return Err(error).at("open", &path, None),
        };
        if is_missing && has_records {
            let found = "the file is missing".to_owned();
            return Err(Error::CatalogLost { path, found });
        }
        if is_missing {
            let mut iterator_key = [0; 32];
            entropy.fill(&mut iterator_key);
            make_new(&*fs, data, &Contents::empty(iterator_key))?;
            put_in_place(&*fs, data)?;
        }
        let opened = match Store::open(&*fs, &path, contents::read) {
            // Opening writes. Until there is space, what the catalog says is enough.
            Err(error) if error.is_full() => Catalog::look(&*fs, data).map(|seen| (None, seen)),
            opened => opened.map(|(store, contents)| (Some(store), contents)),
        };
        let (store, contents) = opened.map_err(|error| match error {
            Error::Catalog { path, found } if has_records => Error::CatalogLost { path, found },
            error => error,
        })?;
        remove_if_there(&*fs, &data.join(NEW_FILE_NAME))?;
        let slot = Slot { store, redress: Vec::new() };
        let catalog = Catalog { fs, path, slot: Mutex::new(slot) };
        Ok((catalog, contents))
    }

    /// Reads the catalog of the directory `data` and changes nothing: what a crash interrupted
    /// is finished in a copy in memory. Takes no lock, so a server may change the file at the
    /// same time, and the copy be none that can be read.
    pub(crate) fn look(fs: &dyn Fs, data: &Path) -> Result<Contents> {
        let path = data.join(FILE_NAME);
        let file = fs.open(&path, Access::Read).at("open", &path, None)?;
        let mut bytes = vec![0; file.len().at("measure", &path, None)? as usize];
        file.read_at(0, &mut bytes).at("read", &path, 0)?;
        Ok(Store::open_copy(&bytes, &path, contents::read)?.1)
    }

    /// Notes that a run begins, and so that the last stop was not clean until [`finish`] says
    /// otherwise; `unsynced` is whether this run acknowledges before the sync. A catalog of an
    /// older format is one of ours from then on: what a run writes an older program may not read.
    ///
    /// [`finish`]: Catalog::finish
    pub fn begin(&self, unsynced: bool) -> Result<()> {
        let clean = false;
        self.change(|transaction| {
            put_run(transaction, Run { clean, unsynced })?;
            put_format(transaction)
        })
    }

    /// Adds a stream with all its shards. Its id is never handed out again.
    pub fn create_stream(&self, stream: &StreamEntry) -> Result<()> {
        self.change_or_redress(|transaction| {
            raise_next_stream_id(transaction, stream.id)?;
            store::put_streams(transaction, [stream])?;
            Ok(Some(Redress::Created(stream.id)))
        })
    }

    /// Turns a stream into a tombstone, which frees its name.
    pub fn mark_deleting(&self, id: StreamId) -> Result<()> {
        self.update_stream(id, |stream| stream.is_deleting = true, || ())
    }

    /// Drops a stream, or its tombstone, and all that belongs to it.
    pub fn forget_stream(&self, id: StreamId) -> Result<()> {
        self.change(|transaction| forget_stream(transaction, id))
    }

    /// Changes for how long a stream keeps its records. `then` runs once that is durable, and
    /// before any other change: what it does in memory has the order of the catalog.
    pub fn set_retention(&self, id: StreamId, hours: u32, then: impl FnOnce()) -> Result<()> {
        self.update_stream(id, |stream| stream.retention_hours = hours, then)
    }

    /// Adds shards to a stream, or replaces those of their ids, and raises marks with that: a
    /// closed shard's end and its children are one change. `then` as in
    /// [`set_retention`](Catalog::set_retention).
    pub fn put_shards(
        &self,
        stream: StreamId,
        shards: &[ShardEntry],
        marks: &[(ShardId, ShardMark)],
        then: impl FnOnce(),
    ) -> Result<()> {
        let change = |transaction: &WriteTransaction| {
            store::get_stream(&transaction.open_table(codec::STREAMS)?, stream)?;
            let mut table = transaction.open_table(codec::SHARDS)?;
            let mut before = Vec::with_capacity(shards.len());
            for shard in shards {
                let key = codec::shard_key(stream, shard.id);
                let value = codec::encode_shard(shard);
                let replaced = table.insert(key.as_slice(), value.as_slice())?;
                before.push((key, replaced.map(|value| value.value().to_vec())));
            }
            let mut table = transaction.open_table(codec::MARKS)?;
            for (shard, mark) in marks {
                raise_mark(&mut table, &codec::shard_key(stream, *shard), *mark)?;
            }
            Ok(Some(Redress::Shards(before)))
        };
        self.change_then(change, then)
    }

    /// Changes what is set on a stream. `then` as in [`set_retention`](Catalog::set_retention).
    pub fn set_settings(
        &self,
        id: StreamId,
        settings: &StreamSettings,
        then: impl FnOnce(),
    ) -> Result<()> {
        self.update_stream(id, |stream| stream.settings = settings.clone(), then)
    }

    /// Changes the settings of the account. `then` as in
    /// [`set_retention`](Catalog::set_retention).
    pub fn set_account(&self, account: &AccountSettings, then: impl FnOnce()) -> Result<()> {
        let change = |transaction: &WriteTransaction| {
            let mut meta = transaction.open_table(codec::META)?;
            let value = codec::encode_account(account);
            let before = meta.insert(codec::ACCOUNT_KEY, value.as_slice())?;
            Ok(Some(Redress::account(before.as_ref())))
        };
        self.change_then(change, then)
    }

    /// Drops shards whose files are gone, and their marks.
    pub fn forget_shards(&self, stream: StreamId, shards: &[ShardId]) -> Result<()> {
        self.change(|transaction| {
            for table in [codec::SHARDS, codec::MARKS] {
                let mut table = transaction.open_table(table)?;
                for shard in shards {
                    table.remove(codec::shard_key(stream, *shard).as_slice())?;
                }
            }
            Ok(())
        })
    }

    /// Adds a consumer, or replaces the one of that name. `then` as in
    /// [`set_retention`](Catalog::set_retention).
    pub fn put_consumer(
        &self,
        stream: StreamId,
        consumer: &ConsumerEntry,
        then: impl FnOnce(),
    ) -> Result<()> {
        let change = |transaction: &WriteTransaction| {
            store::get_stream(&transaction.open_table(codec::STREAMS)?, stream)?;
            let key = codec::consumer_key(stream, &consumer.name);
            let mut consumers = transaction.open_table(codec::CONSUMERS)?;
            let value = codec::encode_consumer(consumer);
            let before = consumers.insert(key.as_slice(), value.as_slice())?;
            Ok(Some(Redress::consumer(key, before.as_ref())))
        };
        self.change_then(change, then)
    }

    /// Removes a consumer, if it is there. `then` as in
    /// [`set_retention`](Catalog::set_retention).
    pub fn remove_consumer(
        &self,
        stream: StreamId,
        name: &ConsumerName,
        then: impl FnOnce(),
    ) -> Result<()> {
        let change = |transaction: &WriteTransaction| {
            let key = codec::consumer_key(stream, name);
            let mut consumers = transaction.open_table(codec::CONSUMERS)?;
            let before = consumers.remove(key.as_slice())?;
            Ok(Some(Redress::consumer(key, before.as_ref())))
        };
        self.change_then(change, then)
    }

    /// Whether a change that was reported as failed may have been made, so that a start would
    /// find it.
    pub fn is_in_doubt(&self) -> bool {
        !self.slot.lock().redress.is_empty()
    }

    /// Takes back what was reported as failed and may have been made, if there is any. Any other
    /// change does so too.
    pub fn settle(&self) -> Result<()> {
        if self.is_in_doubt() { self.change(|_| Ok(())) } else { Ok(()) }
    }

    /// Raises marks, and notes where the timeline stands. A mark of a stream that was
    /// forgotten meanwhile is left out.
    pub fn record(
        &self,
        marks: &[(StreamId, ShardId, ShardMark)],
        timeline: &TimelineState,
    ) -> Result<()> {
        self.change(|transaction| put_marks(transaction, marks, timeline))
    }

    /// [`record`](Catalog::record), and notes that the stop was clean: the last call of a run
    /// that shuts down.
    pub fn finish(
        &self,
        marks: &[(StreamId, ShardId, ShardMark)],
        timeline: &TimelineState,
    ) -> Result<()> {
        self.change(|transaction| {
            put_marks(transaction, marks, timeline)?;
            let run = get_run(transaction)?;
            put_run(transaction, Run { clean: true, ..run })
        })
    }

    /// Writes a whole catalog into the place of `DATA/catalog.redb`, whatever that is, and
    /// keeps it as `catalog.redb.damaged-N`. The caller holds the lock on the directory, and
    /// no [`Catalog`] of it is open.
    pub fn rebuild(fs: Arc<dyn Fs>, data: &Path, contents: &Contents) -> Result<()> {
        make_new(&*fs, data, contents)?;
        let entries = fs.list(data).at("list", data, None)?;
        let names: BTreeSet<_> = entries.into_iter().map(|entry| entry.name).collect();
        if names.contains(FILE_NAME) {
            // One of so many names is free.
            let damaged = (1..=names.len() + 1)
                .map(|number| format!("{FILE_NAME}.damaged-{number}"))
                .find(|name| !names.contains(name))
                .expect("more names were tried than there are");
            let path = data.join(FILE_NAME);
            fs.rename(&path, &data.join(damaged)).at("rename", &path, None)?;
        }
        put_in_place(&*fs, data)
    }

    /// Puts marks in place of others, be they higher: what they told of is lost, and the log
    /// was mended. For the offline tools alone.
    pub(crate) fn replace_marks(&self, marks: &[(StreamId, ShardId, ShardMark)]) -> Result<()> {
        self.change(|transaction| {
            let mut table = transaction.open_table(codec::MARKS)?;
            for (stream, shard, mark) in marks {
                let key = codec::shard_key(*stream, *shard);
                table.insert(key.as_slice(), codec::encode_mark(mark).as_slice())?;
            }
            Ok(())
        })
    }

    fn update_stream(
        &self,
        id: StreamId,
        update: impl FnOnce(&mut codec::StreamValue),
        then: impl FnOnce(),
    ) -> Result<()> {
        let change = |transaction: &WriteTransaction| {
            let mut streams = transaction.open_table(codec::STREAMS)?;
            let before = store::get_stream(&streams, id)?;
            let mut stream = before.clone();
            update(&mut stream);
            store::put_stream(&mut streams, id, &stream)?;
            Ok(Some(Redress::Stream(id, before)))
        };
        self.change_then(change, then)
    }

    /// A change that does no harm if it is made although it was reported as failed.
    fn change(&self, change: impl FnOnce(&WriteTransaction) -> Result<(), Fault>) -> Result<()> {
        self.change_or_redress(|transaction| change(transaction).map(|()| None))
    }

    fn change_or_redress(
        &self,
        change: impl FnOnce(&WriteTransaction) -> Result<Option<Redress>, Fault>,
    ) -> Result<()> {
        self.change_then(change, || ())
    }

    /// One transaction, which begins with what is to be taken back. `change` says how it is
    /// taken back itself; `then` runs after it, before the next one.
    fn change_then(
        &self,
        change: impl FnOnce(&WriteTransaction) -> Result<Option<Redress>, Fault>,
        then: impl FnOnce(),
    ) -> Result<()> {
        let mut slot = self.slot.lock();
        let result = slot.commit(&*self.fs, &self.path, change);
        match &result {
            Ok(()) => then(),
            // The doubt is best settled while nobody acts on it. Where the disk does not let
            // us, the next change does it, or whoever calls `settle`.
            Err(_) if !slot.redress.is_empty() => {
                let _ = slot.commit(&*self.fs, &self.path, |_| Ok(None));
            }
            Err(_) => {}
        }
        result
    }
}

impl Slot {
    fn commit(
        &mut self,
        fs: &dyn Fs,
        path: &Path,
        change: impl FnOnce(&WriteTransaction) -> Result<Option<Redress>, Fault>,
    ) -> Result<()> {
        let store = match self.store.take() {
            Some(store) => store,
            None => Store::open(fs, path, |_| Ok(()))?.0,
        };
        let redress = &self.redress;
        let committed = store.commit(|transaction| {
            redress.iter().try_for_each(|each| each.apply(transaction))?;
            change(transaction)
        });
        match committed {
            Ok(_) => {
                self.redress.clear();
                self.store = Some(store);
                Ok(())
            }
            Err(Failure::Unchanged(fault)) => {
                let is_lost = store::is_lost(&fault);
                let error = store.error_of(fault);
                self.store = Some(store).filter(|_| !is_lost);
                Err(error)
            }
            Err(Failure::InDoubt(fault, redress)) => {
                self.redress.extend(redress);
                Err(store.error_of(fault))
            }
        }
    }
}

fn make_new(fs: &dyn Fs, data: &Path, contents: &Contents) -> Result<()> {
    let path = data.join(NEW_FILE_NAME);
    remove_if_there(fs, &path)?;
    Store::make(fs, &path, contents)
}

fn put_in_place(fs: &dyn Fs, data: &Path) -> Result<()> {
    let path = data.join(FILE_NAME);
    let new = data.join(NEW_FILE_NAME);
    fs.rename(&new, &path).at("rename", &path, None)?;
    let synced = Mutant::CatalogUnsynced.skips(|| fs.sync_dir(data)).at("sync", data, None);
    if synced.is_err() && !Mutant::NamesKept.is_on() {
        // A second sync would prove nothing, and whoever finds the name would build on it: the
        // next try makes another file, and another name.
        let _ = fs.rename(&path, &new);
    }
    synced
}

fn remove_if_there(fs: &dyn Fs, path: &Path) -> Result<()> {
    match fs.remove(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.at("remove", path, None),
    }
}

fn get_run(transaction: &WriteTransaction) -> Result<Run, Fault> {
    let meta = transaction.open_table(codec::META)?;
    let value = meta.get(codec::RUN_KEY)?;
    let value = value.ok_or_else(|| Fault::Unreadable("the key run is missing".to_owned()))?;
    Ok(codec::decode_run(value.value())?)
}

fn put_run(transaction: &WriteTransaction, run: Run) -> Result<(), Fault> {
    let mut meta = transaction.open_table(codec::META)?;
    meta.insert(codec::RUN_KEY, codec::encode_run(run).as_slice())?;
    Ok(())
}

fn put_format(transaction: &WriteTransaction) -> Result<(), Fault> {
    let mut meta = transaction.open_table(codec::META)?;
    meta.insert(codec::FORMAT_KEY, codec::encode_format(codec::FORMAT).as_slice())?;
    Ok(())
}

fn raise_next_stream_id(transaction: &WriteTransaction, id: StreamId) -> Result<(), Fault> {
    let mut meta = transaction.open_table(codec::META)?;
    let stored = match meta.get(codec::NEXT_STREAM_ID_KEY)? {
        Some(value) => codec::decode_next_stream_id(value.value())?,
        None => 0,
    };
    // At one stream a nanosecond the numbers last for 584 years.
    let above = id.0.checked_add(1).expect("fewer than 2^64 streams are ever made");
    let value = codec::encode_next_stream_id(stored.max(above));
    meta.insert(codec::NEXT_STREAM_ID_KEY, value.as_slice())?;
    Ok(())
}

fn forget_stream(transaction: &WriteTransaction, id: StreamId) -> Result<(), Fault> {
    let tables = [codec::STREAMS, codec::SHARDS, codec::CONSUMERS, codec::MARKS];
    let start = codec::stream_key(id);
    for table in tables {
        let mut table = transaction.open_table(table)?;
        match id.0.checked_add(1).map(|next| codec::stream_key(StreamId(next))) {
            Some(end) => table.retain_in(start.as_slice()..end.as_slice(), |_, _| false)?,
            None => table.retain_in(start.as_slice().., |_, _| false)?,
        }
    }
    Ok(())
}

fn put_marks(
    transaction: &WriteTransaction,
    marks: &[(StreamId, ShardId, ShardMark)],
    timeline: &TimelineState,
) -> Result<(), Fault> {
    let value = codec::encode_timeline(timeline);
    let mut meta = transaction.open_table(codec::META)?;
    meta.insert(codec::TIMELINE_KEY, value.as_slice())?;
    let streams = transaction.open_table(codec::STREAMS)?;
    let mut table = transaction.open_table(codec::MARKS)?;
    for (stream, shard, mark) in marks {
        if streams.get(codec::stream_key(*stream).as_slice())?.is_some() {
            raise_mark(&mut table, &codec::shard_key(*stream, *shard), *mark)?;
        }
    }
    Ok(())
}

fn raise_mark(table: &mut OpenTable<'_>, key: &[u8], mark: ShardMark) -> Result<(), Fault> {
    let stored = match table.get(key)? {
        Some(value) => Some(codec::decode_mark(value.value())?),
        None => None,
    };
    let mark = stored.map_or(mark, |stored| mark.risen(stored));
    if stored != Some(mark) {
        table.insert(key, codec::encode_mark(&mark).as_slice())?;
    }
    Ok(())
}
