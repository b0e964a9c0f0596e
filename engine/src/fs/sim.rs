//! A simulated disk that forgets what was not synced.
//!
//! It keeps two states of everything, what is and what would survive, and a power cut mixes
//! them: of each file, every 512-byte sector written since the last sync survives or not, by
//! itself; its length is the old one or the new one; and of each directory, every name made,
//! renamed or removed since its last sync is so or is not. That is stricter than any real
//! file system, which is the point: what the engine relies on is only what [`super`] says.
//!
//! A sweep runs the same work once for every mutating operation, loses power during it, and
//! looks at what a restart finds:
//!
//! ```text
//!     let disk = SimFs::new(seed);
//!     disk.crash_at(ordinal);      // that operation, and all after it, fail
//!     work(&disk);
//!     let restarted = disk.crash();
//!     check(&restarted);
//! ```
//!
//! [`SimFs::cut_at`] does the same for every kind of operation, directly before and directly
//! behind it. Reads can fail, too, or return a wrong bit.
//!
//! Chance comes from the seed alone, so that the same calls give the same disk. Bytes are
//! kept sparsely and shared between the states, so that a crash costs microseconds.

mod content;
mod disk;
mod fault;
mod file;
mod names;
mod random;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use rustix::io::Errno;

use self::disk::{Disk, Subject};
use self::fault::{Cut, Power};
pub use self::fault::{Failed, Fault, Moment, Op};
use self::names::{Ino, ROOT};
use super::map::checked_range;
use super::{Access, Entry, File, Fs, Lock, Map, Space};
use crate::mutant::Mutant;

/// A simulated disk. Clones are the same disk.
#[derive(Clone)]
pub struct SimFs {
    disk: Arc<Mutex<Disk>>,
}

impl SimFs {
    /// An empty disk with its root directory.
    pub fn new(seed: u64) -> SimFs {
        SimFs::from_disk(Disk::new(seed))
    }

    fn from_disk(disk: Disk) -> SimFs {
        SimFs { disk: Arc::new(Mutex::new(disk)) }
    }

    /// Cuts the power: the disk as a restart finds it. Everything that was open on this one
    /// fails from now on, and locks are free.
    #[must_use = "this disk is dead now; the result is the one to go on with"]
    pub fn crash(&self) -> SimFs {
        SimFs::from_disk(self.disk.lock().after_power_cut())
    }

    /// Ends the process: the disk as the next process finds it. Everything that was written
    /// is there, durable or not; everything that was open fails, and locks are free. The machine
    /// goes on: operations are counted on, and a cut that is still to come stays.
    #[must_use = "this disk is dead now; the result is the one to go on with"]
    pub fn kill(&self) -> SimFs {
        SimFs::from_disk(self.disk.lock().after_kill())
    }

    /// How many mutating operations (create, write, zero, release, change of length, sync,
    /// rename, remove, making a directory, syncing one) were tried so far.
    pub fn ops(&self) -> u64 {
        self.disk.lock().ops
    }

    /// Loses power during the mutating operation with this ordinal; the first of a disk is 0.
    /// It happens in part or not at all and fails, and so does everything after it, until
    /// [`SimFs::crash`] restarts the disk.
    pub fn crash_at(&self, op: u64) {
        self.disk.lock().cut = Some(Cut::Any(op));
    }

    /// How many operations of a kind were tried so far.
    pub fn ops_of(&self, op: Op) -> u64 {
        self.disk.lock().ops_of[op as usize]
    }

    /// How many reads were tried so far, of maps too.
    pub fn reads(&self) -> u64 {
        self.disk.lock().reads
    }

    /// Loses power at an operation of a kind; the first of a disk is 0. Like
    /// [`SimFs::crash_at`], but chance has no part in whether it happens.
    pub fn cut_at(&self, op: Op, ordinal: u64, moment: Moment) {
        self.disk.lock().cut = Some(Cut::Kind(op, ordinal, moment));
    }

    /// Begins to take note of what is read, over restarts too.
    pub fn watch_reads(&self) {
        self.disk.lock().watched = Some(Vec::new());
    }

    /// The file of each read since [`SimFs::watch_reads`]; empty for one without a name.
    pub fn watched_reads(&self) -> Vec<PathBuf> {
        self.disk.lock().watched.clone().unwrap_or_default()
    }

    /// Whether the power has gone.
    pub fn is_dead(&self) -> bool {
        self.disk.lock().is_dead
    }

    /// Lets something go wrong. Faults add up.
    pub fn inject(&self, fault: Fault) {
        let mut disk = self.disk.lock();
        match fault {
            Fault::Fails { op, nth, is_full } => {
                disk.fails.push((Some(op), nth.max(1), errno(is_full)));
            }
            Fault::NthFails { nth, is_full } => {
                disk.fails.push((None, nth.max(1), errno(is_full)));
            }
            Fault::NthWriteIsShort { nth } => {
                disk.short_at = Some(disk.ops_of[Op::Write as usize] + nth.max(1) - 1);
            }
            Fault::FullFrom { nth, lasts } => {
                let from = disk.ops + nth.max(1) - 1;
                disk.full = Some(from..from.saturating_add(lasts));
            }
            Fault::NthReadFails { nth } => disk.read_fails_at = Some(disk.reads + nth.max(1) - 1),
            Fault::NthReadFlips { nth } => disk.read_flips_at = Some(disk.reads + nth.max(1) - 1),
            Fault::Full { free_bytes } => disk.set_free(Some(free_bytes)),
            Fault::FullFor { path } => {
                let ino = disk.look_up(&path);
                disk.refuse_space(ino.expect("the file of an injected fault exists"));
            }
            Fault::FlipBit { path, offset, bit } => {
                let ino = disk.look_up(&path);
                let flipped = ino.and_then(|ino| disk.flip_bit(ino, offset, bit));
                flipped.expect("the file of an injected fault exists");
            }
            Fault::RangeFails { path, offset, bytes } => {
                let ino = disk.look_up(&path).expect("the file of an injected fault exists");
                disk.fail_range(ino, offset..offset + bytes);
            }
            Fault::ReadFails { path } => {
                let ino = disk.look_up(&path);
                disk.fail_reads(ino.expect("the file of an injected fault exists"));
            }
        }
    }

    /// What was made to fail so far, over the whole life of the disk and the ones it was
    /// restarted from.
    pub fn failed(&self) -> Vec<Failed> {
        self.disk.lock().failed.clone()
    }

    /// How many syncs of a file came after a failed one through the same handle, over the whole
    /// life of the disk and the ones it was restarted from. More than none is a bug.
    pub fn retried_syncs(&self) -> u64 {
        self.disk.lock().retried_syncs
    }

    /// How many reads failed or returned a wrong bit, over the whole life of the disk and the
    /// ones it was restarted from.
    pub fn failed_reads(&self) -> u64 {
        self.disk.lock().failed_reads
    }

    /// How many operations found no space, over the whole life of the disk and the ones it was
    /// restarted from.
    pub fn refusals(&self) -> u64 {
        self.disk.lock().refusals
    }

    /// Takes all faults back, except for flipped bits.
    pub fn clear_faults(&self) {
        self.disk.lock().clear_faults();
    }

    /// How many slices of maps showed bytes that a power cut could have changed, over the
    /// whole life of the disk and the ones it was restarted from. More than none is a bug.
    pub fn undurable_slices(&self) -> u64 {
        self.disk.lock().undurable_slices
    }

    /// The bytes of a file as they read now, past all faults.
    pub fn read_file(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        let disk = self.disk.lock();
        let ino = disk.look_up(path.as_ref()).ok()?;
        let content = disk.file(ino).ok()?.current();
        let mut bytes = vec![0; content.len() as usize];
        content.read(0, &mut bytes);
        Some(bytes)
    }

    /// Puts a whole file in place, durably and past all faults, with its directories.
    pub fn write_file(&self, path: impl AsRef<Path>, bytes: &[u8]) {
        let placed = self.disk.lock().place(path.as_ref(), bytes);
        placed.expect("the path names no directory and leads through none but directories");
    }

    /// Cuts or grows a file that exists, durably, as a stranger would.
    pub fn truncate(&self, path: impl AsRef<Path>, len: u64) {
        let mut disk = self.disk.lock();
        let ino = disk.look_up(path.as_ref());
        let cut = ino.and_then(|ino| disk.truncate(ino, len));
        cut.expect("the file to truncate exists");
    }

    /// All files and their lengths, in the order of their paths.
    pub fn files(&self) -> Vec<(PathBuf, u64)> {
        let disk = self.disk.lock();
        let mut files = Vec::new();
        let mut open = vec![(PathBuf::from("/"), ROOT)];
        while let Some((path, dir)) = open.pop() {
            for (name, ino, is_dir) in disk.list(dir).unwrap_or_default() {
                let path = path.join(name);
                if is_dir {
                    open.push((path, ino));
                } else if let Ok(file) = disk.file(ino) {
                    files.push((path, file.current().len()));
                }
            }
        }
        files.sort();
        files
    }

    fn look<T>(&self, work: impl FnOnce(&mut Disk) -> io::Result<T>) -> io::Result<T> {
        look(&self.disk, work)
    }

    fn mutate<T>(
        &self,
        op: Op,
        path: &Path,
        work: impl FnOnce(&mut Disk) -> io::Result<T>,
    ) -> io::Result<T> {
        mutate(&self.disk, op, Subject::Path(path), work)
    }

    fn handle(&self, ino: Ino, access: Access) -> Arc<dyn File> {
        let disk = Arc::clone(&self.disk);
        Arc::new(SimFile { disk, ino, access, has_failed_sync: AtomicBool::new(false) })
    }
}

impl fmt::Debug for SimFs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimFs").field("ops", &self.ops()).finish_non_exhaustive()
    }
}

/// Something that changes nothing on the disk.
fn look<T>(disk: &Mutex<Disk>, work: impl FnOnce(&mut Disk) -> io::Result<T>) -> io::Result<T> {
    let mut disk = disk.lock();
    if disk.is_dead {
        return Err(power_cut());
    }
    work(&mut disk)
}

/// Something that changes the disk: it may fail, and the power may go during it.
fn mutate<T>(
    disk: &Mutex<Disk>,
    op: Op,
    subject: Subject<'_>,
    work: impl FnOnce(&mut Disk) -> io::Result<T>,
) -> io::Result<T> {
    let mut disk = disk.lock();
    if disk.is_dead {
        return Err(power_cut());
    }
    match disk.begin(op, subject) {
        Power::Stays => {
            return match disk.failing {
                // What a failure leaves half done is known where it is done.
                Some(errno) if !matches!(op, Op::Write | Op::Sync | Op::SyncDir) => {
                    Err(errno.into())
                }
                _ => work(&mut disk),
            };
        }
        Power::GoesBefore => disk.is_dead = true,
        // Whether it succeeds is nobody's business: nobody learns of it.
        Power::GoesDuring => {
            disk.is_dead = true;
            if disk.random.next_u64() & 1 == 1 {
                // A write is torn: the disk is dead already.
                let _ = work(&mut disk);
            }
        }
        Power::GoesAfter => {
            let _ = work(&mut disk);
            disk.is_dead = true;
        }
    }
    Err(power_cut())
}

fn errno(is_full: bool) -> Errno {
    if is_full { Errno::NOSPC } else { Errno::IO }
}

fn power_cut() -> io::Error {
    io::Error::other("power cut")
}

impl Fs for SimFs {
    fn create(&self, path: &Path, len: u64) -> io::Result<Arc<dyn File>> {
        let ino = self.mutate(Op::Create, path, |disk| {
            let ino = disk.create(path, len)?;
            disk.open(ino)?;
            Ok(ino)
        })?;
        Ok(self.handle(ino, Access::Write))
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn File>> {
        let ino = self.look(|disk| {
            let ino = disk.look_up(path)?;
            disk.open(ino)?;
            Ok(ino)
        })?;
        Ok(self.handle(ino, access))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.mutate(Op::Rename, from, |disk| disk.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.mutate(Op::Remove, path, |disk| disk.remove(path))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.mutate(Op::CreateDir, path, |disk| disk.create_dir(path))
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.mutate(Op::RemoveDir, path, |disk| disk.remove_dir(path))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let entries = self.look(|disk| disk.list(disk.look_up(path)?))?;
        let entry = |(name, _, is_dir): (std::ffi::OsString, Ino, bool)| {
            let name = name.into_string().ok()?;
            Some(Entry { name, is_dir })
        };
        Ok(entries.into_iter().filter_map(entry).collect())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let sync = || self.mutate(Op::SyncDir, path, |disk| disk.sync_dir(path));
        Mutant::NoDirectorySync.skips(sync)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        let ino = match self.look(|disk| disk.look_up(path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.mutate(Op::Create, path, |disk| disk.create(path, 0))?
            }
            found => found?,
        };
        if !self.look(|disk| Ok(disk.lock(ino)))? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let disk = Arc::clone(&self.disk);
        Ok(Box::new(SimLock { disk, ino }))
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        self.look(|disk| {
            disk.look_up(path)?;
            Ok(disk.space())
        })
    }

    fn overwrites_in_place(&self, _path: &Path) -> bool {
        true
    }
}

/// A file of a simulated disk, whatever becomes of its name.
struct SimFile {
    disk: Arc<Mutex<Disk>>,
    ino: Ino,
    access: Access,
    has_failed_sync: AtomicBool,
}

impl SimFile {
    fn mutate<T>(&self, op: Op, work: impl FnOnce(&mut Disk) -> io::Result<T>) -> io::Result<T> {
        if self.access == Access::Read {
            return Err(Errno::BADF.into());
        }
        mutate(&self.disk, op, Subject::File(self.ino), work)
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        self.disk.lock().close(self.ino);
    }
}

impl File for SimFile {
    fn len(&self) -> io::Result<u64> {
        look(&self.disk, |disk| Ok(disk.file(self.ino)?.current().len()))
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        look(&self.disk, |disk| disk.read(self.ino, offset, buffer))
    }

    fn write_some_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        self.mutate(Op::Write, |disk| disk.write(self.ino, offset, bytes))
    }

    fn sync(&self) -> io::Result<()> {
        let is_retry = self.has_failed_sync.load(Ordering::Relaxed);
        // Syncing needs no right to write, as on the real one.
        let synced = mutate(&self.disk, Op::Sync, Subject::File(self.ino), |disk| {
            disk.retried_syncs += u64::from(is_retry);
            disk.sync(self.ino)
        });
        self.has_failed_sync.fetch_or(synced.is_err(), Ordering::Relaxed);
        synced
    }

    fn zero(&self, offset: u64, len: u64) -> io::Result<()> {
        self.mutate(Op::Zero, |disk| disk.zero(self.ino, offset, len))
    }

    fn release(&self, offset: u64, len: u64) -> io::Result<()> {
        self.mutate(Op::Release, |disk| disk.release(self.ino, offset, len))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.mutate(Op::SetLen, |disk| disk.set_len(self.ino, len))
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<u64>> {
        look(&self.disk, |disk| Ok(disk.file(self.ino)?.current().next_data(offset)))
    }

    fn next_hole(&self, offset: u64) -> io::Result<u64> {
        look(&self.disk, |disk| Ok(disk.file(self.ino)?.current().next_hole(offset)))
    }

    fn let_go(&self, _offset: u64) -> io::Result<()> {
        // Its hints are always right.
        Ok(())
    }

    fn map(self: Arc<Self>, len: u64) -> io::Result<Arc<dyn Map>> {
        checked_range(0, len as usize, self.len()?)?;
        Ok(Arc::new(SimMap { file: self, len }))
    }
}

/// A view of a simulated file. Its slices are copies, and hold the view all the same, so
/// that they count as a real map's do.
struct SimMap {
    file: Arc<SimFile>,
    len: u64,
}

impl Map for SimMap {
    fn slice(self: Arc<Self>, offset: u64, len: usize) -> io::Result<Bytes> {
        checked_range(offset, len, self.len)?;
        if len == 0 {
            return Ok(Bytes::new());
        }
        let mut bytes = vec![0; len];
        let ino = self.file.ino;
        look(&self.file.disk, |disk| disk.slice(ino, offset, &mut bytes))?;
        Ok(Bytes::from_owner(SimSlice { bytes, _map: self }))
    }
}

struct SimSlice {
    bytes: Vec<u8>,
    _map: Arc<SimMap>,
}

impl AsRef<[u8]> for SimSlice {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

struct SimLock {
    disk: Arc<Mutex<Disk>>,
    ino: Ino,
}

impl Lock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.disk.lock().unlock(self.ino);
    }
}

#[cfg(test)]
mod tests;
