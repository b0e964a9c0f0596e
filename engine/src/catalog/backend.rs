//! redb's view of a file of ours.
//!
//! redb asks for a file that grows, shrinks and can be synced, and says which write is in
//! which order only by syncing; [`File`] gives just that, and so a simulated power cut reaches
//! the catalog like any other file. No lock is taken here: the whole data directory is locked
//! by the engine. redb passes errors on without a place, and after the first one it answers
//! every call with another, so the first is kept here with operation and offset.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use redb::StorageBackend;

use crate::error::IoFailure;
use crate::fs::File;

/// The first failure of a file, shared between a [`Backend`] and the one who looks.
pub(super) type FirstFailure = Arc<Mutex<Option<IoFailure>>>;

/// A file as redb wants it.
pub(super) struct Backend {
    file: Arc<dyn File>,
    path: PathBuf,
    failure: FirstFailure,
}

impl Backend {
    /// A backend over `file`, whose path is only for errors.
    pub(super) fn new(file: Arc<dyn File>, path: PathBuf, failure: FirstFailure) -> Backend {
        Backend { file, path, failure }
    }

    fn note<T>(
        &self,
        result: io::Result<T>,
        operation: &'static str,
        offset: Option<u64>,
    ) -> io::Result<T> {
        result.inspect_err(|error| {
            // `io::Error` is not `Clone`; the copy keeps what callers ask for, kind and text.
            let source = match error.raw_os_error() {
                Some(code) => io::Error::from_raw_os_error(code),
                None => io::Error::new(error.kind(), error.to_string()),
            };
            self.failure.lock().get_or_insert(IoFailure {
                operation,
                path: self.path.clone(),
                offset,
                source: Arc::new(source),
            });
        })
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Backend").field(&self.path).finish()
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.note(self.file.len(), "measure", None)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.note(self.file.read_at(offset, out), "read", Some(offset))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.note(self.file.set_len(len), "set the length of", Some(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.note(self.file.sync(), "sync", None)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.note(self.file.write_at(offset, data), "write", Some(offset))
    }
}
