//! An open redb database over a file of ours: opening, making, and one transaction at a time.
//!
//! Every transaction commits in redb's two phases: pages, sync, then the switch to them and a
//! second sync. In one phase redb could not tell a damaged last transaction from a torn one and
//! would go back to the one before, which here means a stream less and nobody told. It also
//! keeps a failed sync harmless: what the switch points to was synced, and pages that were
//! not, even if the kernel believes they were, are free and written again before they are used.
//!
//! Every open walks all pages and checks their checksums, a clean one too: redb promises not
//! to trust a damaged file only then. It costs a read of the file, which is read anyway.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::backends::InMemoryBackend;
use redb::{Builder, Database, ReadableTable, StorageBackend, Table, WriteTransaction};

use super::backend::{Backend, FirstFailure};
use super::codec::{self, Run, Undecodable};
use super::contents::{Contents, StreamEntry};
use crate::error::{Error, IoContext, Result};
use crate::fs::{Access, Fs};
use crate::ids::StreamId;

/// Bytes of pages that redb may keep in memory. Nothing on a data path reads the catalog, so
/// this only has to hold the pages of one transaction.
const CACHE_BYTES: usize = 8 << 20;

/// A table of a transaction.
pub(super) type OpenTable<'a> = Table<'a, &'static [u8], &'static [u8]>;

/// Why the catalog could not be read or changed, before it is known what that means.
#[derive(Debug)]
pub(super) enum Fault {
    /// redb failed, or the file below it.
    Redb(redb::Error),
    /// The bytes are intact, or not, but are no catalog of ours; the text says what was found.
    Unreadable(String),
    /// A newer program wrote it; this is its version.
    Newer(u32),
    /// A change to a stream that is not there: the caller's bug, and no fault of the file.
    NoStream(StreamId),
}

impl From<Undecodable> for Fault {
    fn from(undecodable: Undecodable) -> Fault {
        match undecodable {
            Undecodable::Newer(version) => Fault::Newer(u32::from(version)),
            Undecodable::Damaged(what) => Fault::Unreadable(format!("{what} is malformed")),
        }
    }
}

macro_rules! from_redb {
    ($($error:ident),*) => {
        $(impl From<redb::$error> for Fault {
            fn from(error: redb::$error) -> Fault {
                Fault::Redb(error.into())
            }
        })*
    };
}

from_redb!(StorageError, TableError, TransactionError, CommitError, DatabaseError);

/// Why a transaction failed, and what that says about its change.
#[derive(Debug)]
pub(super) enum Failure<T> {
    /// Before the commit: nothing was changed.
    Unchanged(Fault),
    /// During the commit: the change may have been made. With what the change has noted.
    InDoubt(Fault, T),
}

impl<T> Failure<T> {
    /// The fault alone.
    fn fault(self) -> Fault {
        match self {
            Failure::Unchanged(fault) | Failure::InDoubt(fault, _) => fault,
        }
    }
}

/// The open database.
pub(super) struct Store {
    database: Database,
    path: PathBuf,
    failure: FirstFailure,
}

impl Store {
    /// Opens the file at `path`, which must exist, checks all of it and finishes or undoes
    /// what a crash interrupted. `look` reads what the caller needs before anything relies on it.
    pub(super) fn open<T>(
        fs: &dyn Fs,
        path: &Path,
        look: impl FnOnce(&Store) -> Result<T, Fault>,
    ) -> Result<(Store, T)> {
        let file = fs.open(path, Access::Write).at("open", path, None)?;
        if file.len().at("measure", path, None)? == 0 {
            // redb would take it for a new database.
            let fault = Fault::Unreadable("the file is empty".to_owned());
            return Err(error_of(fault, path, &FirstFailure::default()));
        }
        let failure = FirstFailure::default();
        let backend = Backend::new(file, path.to_owned(), Arc::clone(&failure));
        Store::open_backend(backend, path, failure, look)
    }

    /// [`open`](Store::open) for a copy of the file's bytes, which is thrown away afterwards.
    pub(super) fn open_copy<T>(
        bytes: &[u8],
        path: &Path,
        look: impl FnOnce(&Store) -> Result<T, Fault>,
    ) -> Result<(Store, T)> {
        let failure = FirstFailure::default();
        if bytes.is_empty() {
            let fault = Fault::Unreadable("the file is empty".to_owned());
            return Err(error_of(fault, path, &failure));
        }
        let backend = InMemoryBackend::new();
        let filled = backend.set_len(bytes.len() as u64).and_then(|()| backend.write(0, bytes));
        filled.at("copy", path, None)?;
        Store::open_backend(backend, path, failure, look)
    }

    fn open_backend<T>(
        backend: impl StorageBackend,
        path: &Path,
        failure: FirstFailure,
        look: impl FnOnce(&Store) -> Result<T, Fault>,
    ) -> Result<(Store, T)> {
        // On a damaged file redb may meet one of its own assertions.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let store = Store {
                database: build(backend)?,
                path: path.to_owned(),
                failure: Arc::clone(&failure),
            };
            let seen = look(&store)?;
            Ok((store, seen))
        }));
        let opened = opened.unwrap_or_else(|_| {
            let found = "its pages contradict each other".to_owned();
            Err(Fault::Unreadable(found))
        });
        opened.map_err(|fault| error_of(fault, path, &failure))
    }

    /// Makes a file at `path`, which must not exist, that holds `contents` and is synced; its
    /// name is not.
    pub(super) fn make(fs: &dyn Fs, path: &Path, contents: &Contents) -> Result<()> {
        let file = fs.create(path, 0).at("create", path, None)?;
        let failure = FirstFailure::default();
        let fill = || -> Result<(), Fault> {
            let store = Store {
                database: build(Backend::new(
                    Arc::clone(&file),
                    path.to_owned(),
                    Arc::clone(&failure),
                ))?,
                path: path.to_owned(),
                failure: Arc::clone(&failure),
            };
            store.commit(|transaction| fill(transaction, contents)).map_err(Failure::fault)?;
            Ok(store.database.close()?)
        };
        fill().map_err(|fault| error_of(fault, path, &failure))?;
        // Closing writes that the file was closed; redb need not have synced that.
        file.sync().at("sync", path, None)
    }

    /// For reading.
    pub(super) fn database(&self) -> &Database {
        &self.database
    }

    /// Makes one durable change, and gives what `change` has noted. After a failure for which
    /// [`is_lost`] holds this value is of no more use.
    pub(super) fn commit<T>(
        &self,
        change: impl FnOnce(&WriteTransaction) -> Result<T, Fault>,
    ) -> Result<T, Failure<T>> {
        let changed = || {
            // Durable on return is redb's default.
            let mut transaction = self.database.begin_write()?;
            transaction.set_two_phase_commit(true);
            let noted = change(&transaction)?;
            Ok((transaction, noted))
        };
        let (transaction, noted) = changed().map_err(Failure::Unchanged)?;
        match transaction.commit() {
            Ok(()) => Ok(noted),
            Err(error) => Err(Failure::InDoubt(error.into(), noted)),
        }
    }

    /// What a fault of this store means to a caller.
    pub(super) fn error_of(&self, fault: Fault) -> Error {
        error_of(fault, &self.path, &self.failure)
    }
}

/// Whether the database must be opened again before it can be used.
pub(super) fn is_lost(fault: &Fault) -> bool {
    !matches!(fault, Fault::NoStream(_))
}

fn build(backend: impl StorageBackend) -> Result<Database, Fault> {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    builder.set_check_integrity_on_open(true);
    Ok(builder.create_with_backend(backend)?)
}

fn error_of(fault: Fault, path: &Path, failure: &FirstFailure) -> Error {
    let catalog_error = |found: String| Error::Catalog { path: path.to_owned(), found };
    match fault {
        Fault::Redb(error) => match failure.lock().take() {
            // A file that ends too early is damaged; the disk did what it was asked to.
            Some(failure) if failure.source.kind() != std::io::ErrorKind::UnexpectedEof => {
                Error::Io(failure)
            }
            _ => catalog_error(error.to_string()),
        },
        Fault::Unreadable(found) => catalog_error(found),
        Fault::Newer(found) => {
            Error::NewerFormat { path: path.to_owned(), found, known: codec::FORMAT }
        }
        Fault::NoStream(id) => catalog_error(format!("stream {id} is not in it")),
    }
}

/// Writes a whole catalog into an empty one.
fn fill(transaction: &WriteTransaction, contents: &Contents) -> Result<(), Fault> {
    let mut meta = transaction.open_table(codec::META)?;
    let run = Run { clean: contents.clean, unsynced: contents.unsynced };
    let values = [
        (codec::FORMAT_KEY, codec::encode_format(codec::FORMAT)),
        (codec::RUN_KEY, codec::encode_run(run)),
        (codec::ITERATOR_KEY_KEY, codec::encode_iterator_key(&contents.iterator_key)),
        (codec::NEXT_STREAM_ID_KEY, codec::encode_next_stream_id(contents.next_stream_id)),
        (codec::TIMELINE_KEY, codec::encode_timeline(&contents.timeline)),
        (codec::ACCOUNT_KEY, codec::encode_account(&contents.account)),
    ];
    for (key, value) in values {
        meta.insert(key, value.as_slice())?;
    }
    put_streams(transaction, &contents.streams)?;
    let mut marks = transaction.open_table(codec::MARKS)?;
    for (&(stream, shard), mark) in &contents.marks {
        let key = codec::shard_key(stream, shard);
        marks.insert(key.as_slice(), codec::encode_mark(mark).as_slice())?;
    }
    Ok(())
}

/// Writes streams with all their shards and consumers.
pub(super) fn put_streams<'a>(
    transaction: &WriteTransaction,
    entries: impl IntoIterator<Item = &'a StreamEntry>,
) -> Result<(), Fault> {
    let mut streams = transaction.open_table(codec::STREAMS)?;
    let mut shards = transaction.open_table(codec::SHARDS)?;
    let mut consumers = transaction.open_table(codec::CONSUMERS)?;
    for stream in entries {
        let value = codec::StreamValue {
            name: stream.name.clone(),
            created_ms: stream.created_ms,
            retention_hours: stream.retention_hours,
            is_deleting: stream.is_deleting,
            settings: stream.settings.clone(),
        };
        put_stream(&mut streams, stream.id, &value)?;
        for shard in &stream.shards {
            let key = codec::shard_key(stream.id, shard.id);
            shards.insert(key.as_slice(), codec::encode_shard(shard).as_slice())?;
        }
        for consumer in &stream.consumers {
            let key = codec::consumer_key(stream.id, &consumer.name);
            consumers.insert(key.as_slice(), codec::encode_consumer(consumer).as_slice())?;
        }
    }
    Ok(())
}

/// Writes a stream, without what belongs to it.
pub(super) fn put_stream(
    streams: &mut OpenTable<'_>,
    id: StreamId,
    stream: &codec::StreamValue,
) -> Result<(), Fault> {
    let key = codec::stream_key(id);
    streams.insert(key.as_slice(), codec::encode_stream(stream).as_slice())?;
    Ok(())
}

/// Reads a stream that must be there.
pub(super) fn get_stream(
    streams: &OpenTable<'_>,
    id: StreamId,
) -> Result<codec::StreamValue, Fault> {
    let value = streams.get(codec::stream_key(id).as_slice())?;
    let value = value.ok_or(Fault::NoStream(id))?;
    Ok(codec::decode_stream(value.value())?)
}
