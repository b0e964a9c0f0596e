//! Files as a seam. The engine touches the disk only through [`Fs`], so that the same code
//! runs on a real file system and on a simulated one that loses power at any operation.
//!
//! What the engine relies on, and `sim` therefore models:
//!
//! - bytes written by [`File::write_at`] are *written*; they are *durable* once a later
//!   [`File::sync`] of that file has returned, and until then any subset of their 512-byte
//!   sectors may survive a power cut, each whole or not at all;
//! - a name made, renamed or removed is durable once [`Fs::sync_dir`] of its directory has
//!   returned;
//! - a rename is one change, also from one directory to another: a power cut leaves the old name
//!   or the new one, never both and never neither, and the sync of the new directory makes it
//!   durable. Journaling file systems keep it so. (The writer syncs `spare/` all the same when a
//!   file has left it, which costs little; leaving that out would break nothing here.)
//! - after a failed sync the kernel may hold the unsynced pages as clean: a retry proves
//!   nothing, so a caller never retries.
//!
//! What is left to others: deciding what to write ([`crate::log`]), and when (`commit`).

mod map;
mod real;
mod sim;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::error::{IoContext, Result};
use crate::mutant::Mutant;

pub use real::{ReadMode, RealFs};
pub use sim::{Failed, Fault, Moment, Op, SimFs};

/// A file system.
pub trait Fs: Send + Sync + 'static {
    /// Creates a file that must not exist, readable and writable, `len` bytes long and with
    /// its blocks reserved: a later write inside it cannot fail for want of space. Bytes not
    /// yet written read as zeros.
    fn create(&self, path: &Path, len: u64) -> io::Result<Arc<dyn File>>;

    /// Opens an existing file.
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn File>>;

    /// Renames a file or directory, replacing what `to` named.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file's name. Open files and maps of it stay readable.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Creates a directory; one that exists already is no error. Parents must exist.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty directory.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;

    /// Names of a directory's entries, in no order. A missing directory is `NotFound`.
    fn list(&self, path: &Path) -> io::Result<Vec<Entry>>;

    /// Makes the directory's entries durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Takes an exclusive lock on the file at `path`, made if missing, until the result is
    /// dropped or the process ends. `WouldBlock` where another process holds it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>>;

    /// Space of the file system that holds `path`.
    fn space(&self, path: &Path) -> io::Result<Space>;

    /// Whether overwriting written blocks happens in place, so that recycling a file pays.
    /// False on copy-on-write file systems.
    fn overwrites_in_place(&self, path: &Path) -> bool;
}

/// An open file. All methods may be called from several threads at once.
#[expect(clippy::len_without_is_empty, reason = "no one asks whether a segment is empty")]
pub trait File: Send + Sync {
    /// Bytes of the file.
    fn len(&self) -> io::Result<u64>;

    /// Fills `buffer` from `offset`; `UnexpectedEof` where the file ends before.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// Writes at `offset`, and says how many of `bytes` were taken: fewer than all where a disk
    /// gets full. One call of the system. After an error any part of them may be written.
    fn write_some_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize>;

    /// Writes all of `bytes` at `offset`. After an error any part of them may be written.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut written = 0;
        while written < bytes.len() {
            match self.write_some_at(offset + written as u64, &bytes[written..]) {
                Ok(_) if Mutant::ShortWrite.is_on() => return Ok(()),
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Makes all that was written, and the file's length, durable (`fdatasync`).
    fn sync(&self) -> io::Result<()>;

    /// Zeroes `len` bytes from `offset`, inside the file, keeping its blocks reserved.
    fn zero(&self, offset: u64, len: u64) -> io::Result<()>;

    /// Gives the blocks of `len` bytes from `offset` back; they read as zeros. The file's
    /// length stays. Where the file system cannot, nothing happens.
    fn release(&self, offset: u64, len: u64) -> io::Result<()>;

    /// Sets the length. Only for files that are never mapped (the catalog).
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// The first offset at or after `offset` that may hold anything but zeros; `None` where
    /// the rest of the file is known to be zeros. A hint: it saves reading holes.
    fn next_data(&self, offset: u64) -> io::Result<Option<u64>>;

    /// The first offset at or after `offset` where zeros are known to begin; the file's length
    /// where nothing is known. A hint as well.
    fn next_hole(&self, offset: u64) -> io::Result<u64>;

    /// Lets memory go that holds bytes from `offset` on as they stand in the file, and reads
    /// nothing ahead through this handle any more. A file system may count a hole as data once
    /// somebody has read it, be it ahead: afterwards the hints know better.
    fn let_go(&self, offset: u64) -> io::Result<()>;

    /// A read-only view of the first `len` bytes, which lie inside the file.
    fn map(self: Arc<Self>, len: u64) -> io::Result<Arc<dyn Map>>;
}

/// A read-only view of a file.
pub trait Map: Send + Sync {
    /// The bytes of one range, without a copy where the platform allows it.
    ///
    /// The caller promises that the range lies inside the view, is **durable**, and will not
    /// be written again while the result or a clone of it lives.
    fn slice(self: Arc<Self>, offset: u64, len: usize) -> io::Result<Bytes>;

    /// Whether a range is in memory, so that touching it waits for no disk: true only where that
    /// is known now. A hint; the next moment may be different.
    fn is_resident(&self, _offset: u64, _len: usize) -> bool {
        false
    }
}

/// How a file is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Reading only.
    Read,
    /// Reading and writing.
    Write,
}

/// An entry of a directory.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Entry {
    /// The last part of the path. A name that is not UTF-8 is none of ours and is left out.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
}

/// Space of a file system, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Space {
    /// Free to this user.
    pub free: u64,
    /// Altogether.
    pub total: u64,
}

/// A held lock; dropping it releases it.
pub trait Lock: Send + Sync {}

/// Syncs a directory in which directories were made.
///
/// If that fails the empty ones among them are taken away again, as far as that is possible: no
/// later sync would prove that their names are durable, and whoever found them would build on
/// them. The next try makes them anew.
pub(crate) fn sync_new_dirs(fs: &dyn Fs, parent: &Path, dirs: &[PathBuf]) -> Result<()> {
    let synced = fs.sync_dir(parent).at("sync", parent, None);
    if synced.is_err() && !Mutant::NamesKept.is_on() {
        for dir in dirs {
            let _ = fs.remove_dir(dir);
        }
    }
    synced
}
