//! The machine's own file system.
//!
//! Thin on purpose: each call is one system call, and what is decided here is only what to
//! do where a file system lacks one. A missing `fallocate` costs time: zeros are written in its
//! place. A missing hole punch costs space; nothing else. Where nothing is overwritten in place, no
//! one can promise that a write inside a new file finds its blocks.

use std::fs;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use rustix::io::{Errno, retry_on_intr};

use super::map::{MappedFile, checked_range, copy};
use super::{Access, Entry, File, Fs, Lock, Map, Space};
use crate::mutant::Mutant;

/// How [`Map::slice`] gets at the bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ReadMode {
    /// From a memory map, without a copy. A disk that fails to give back a page that was
    /// read before ends the process.
    #[default]
    Mmap,
    /// With a system call and a copy. Every failure is an error and never a signal.
    Pread,
}

/// The machine's file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealFs {
    read_mode: ReadMode,
}

impl RealFs {
    /// The file system, read in the given way.
    pub fn new(read_mode: ReadMode) -> RealFs {
        RealFs { read_mode }
    }

    fn file(self, file: fs::File) -> Arc<dyn File> {
        Arc::new(RealFile { file: Arc::new(file), read_mode: self.read_mode })
    }
}

impl Fs for RealFs {
    fn create(&self, path: &Path, len: u64) -> io::Result<Arc<dyn File>> {
        let file = fs::OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        let made = match reserve(&file, len) {
            Ok(false) if self.overwrites_in_place(path) => fill(&file, len),
            Ok(false) => file.set_len(len),
            Ok(true) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = made {
            // Half a file is of no use to anyone and would be in the way of the next try.
            // Should removing it fail as well, the first error is still the one to tell.
            drop(file);
            let _ = fs::remove_file(path);
            return Err(error);
        }
        Ok(self.file(file))
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn File>> {
        // A pipe put in a file's place would keep us waiting for its other end.
        let file = fs::OpenOptions::new()
            .read(true)
            .write(access == Access::Write)
            .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
            .open(path)?;
        let kind = file.metadata()?.file_type();
        match () {
            () if kind.is_file() => Ok(self.file(file)),
            () if kind.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
            () => Err(io::Error::new(io::ErrorKind::InvalidData, "it is no regular file")),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        match fs::create_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            result => result,
        }
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let kind = entry.file_type()?;
            // A link stands for what it leads to, and for nothing where it leads nowhere.
            let kind = match kind.is_symlink() {
                true => match fs::metadata(entry.path()) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    target => target.map_or(kind, |target| target.file_type()),
                },
                false => kind,
            };
            entries.push(Entry { name, is_dir: kind.is_dir() });
        }
        Ok(entries)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        Mutant::NoDirectorySync.skips(|| fs::File::open(path)?.sync_all())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        let file = fs::OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        // `flock`: the kernel releases it with the process, however that ends, and children
        // do not inherit it because the descriptor closes on exec.
        match file.try_lock() {
            Ok(()) => Ok(Box::new(RealLock { file })),
            Err(fs::TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        let stat = retry_on_intr(|| rustix::fs::statvfs(path))?;
        Ok(Space {
            free: stat.f_bavail.saturating_mul(stat.f_frsize),
            total: stat.f_blocks.saturating_mul(stat.f_frsize),
        })
    }

    #[cfg(target_os = "linux")]
    fn overwrites_in_place(&self, path: &Path) -> bool {
        /// The magic numbers, from `linux/magic.h` and the file systems' own sources: btrfs,
        /// zfs, bcachefs, and overlayfs, which hides what lies below.
        const COPY_ON_WRITE: [u64; 4] = [0x9123_683E, 0x2FC1_2FC1, 0xCA45_1A4E, 0x794C_7630];
        retry_on_intr(|| rustix::fs::statfs(path))
            .map_or(true, |stat| !COPY_ON_WRITE.contains(&(stat.f_type as u64 & 0xFFFF_FFFF)))
    }

    #[cfg(not(target_os = "linux"))]
    fn overwrites_in_place(&self, _path: &Path) -> bool {
        // APFS, the one file system to expect here, copies on write.
        false
    }
}

/// A file of the machine.
struct RealFile {
    file: Arc<fs::File>,
    read_mode: ReadMode,
}

impl File for RealFile {
    fn len(&self) -> io::Result<u64> {
        Ok(rustix::fs::fstat(&self.file)?.st_size as u64)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    fn write_some_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        // `fdatasync` on Linux; on macOS the call that reaches the platter.
        self.file.sync_data()
    }

    fn zero(&self, offset: u64, len: u64) -> io::Result<()> {
        if len == 0 || zero_range(&self.file, offset, len)? {
            return Ok(());
        }
        write_zeros(&self.file, offset, len)
    }

    fn release(&self, offset: u64, len: u64) -> io::Result<()> {
        if len == 0 {
            return Ok(());
        }
        punch_hole(&self.file, offset, len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<u64>> {
        // It moves the descriptor's position, which nothing else here looks at.
        match retry_on_intr(|| rustix::fs::seek(&self.file, rustix::fs::SeekFrom::Data(offset))) {
            Ok(found) => Ok(Some(found)),
            Err(Errno::NXIO) => Ok(None),
            Err(error) if is_unsupported(error) => Ok(Some(offset)),
            Err(error) => Err(error.into()),
        }
    }

    fn next_hole(&self, offset: u64) -> io::Result<u64> {
        match retry_on_intr(|| rustix::fs::seek(&self.file, rustix::fs::SeekFrom::Hole(offset))) {
            Ok(found) => Ok(found),
            // There is nothing from the end on.
            Err(Errno::NXIO) => Ok(offset),
            Err(error) if is_unsupported(error) => Ok(self.len()?.max(offset)),
            Err(error) => Err(error.into()),
        }
    }

    fn let_go(&self, offset: u64) -> io::Result<()> {
        advise_let_go(&self.file, offset)
    }

    fn map(self: Arc<Self>, len: u64) -> io::Result<Arc<dyn Map>> {
        checked_range(0, address_space(len)?, self.len()?)?;
        let file = Arc::clone(&self.file);
        Ok(match self.read_mode {
            ReadMode::Mmap => Arc::new(MappedFile::new(file, address_space(len)?)?),
            ReadMode::Pread => Arc::new(CopiedFile { file, len }),
        })
    }
}

/// A view that copies: what [`ReadMode::Pread`] gives.
struct CopiedFile {
    file: Arc<fs::File>,
    len: u64,
}

impl Map for CopiedFile {
    fn slice(self: Arc<Self>, offset: u64, len: usize) -> io::Result<Bytes> {
        checked_range(offset, len, self.len)?;
        copy(&self.file, offset, len)
    }
}

/// A lock is released by unlocking and not by closing: a child that another thread is about to
/// start has a copy of the descriptor until its exec, and would keep it for as long.
struct RealLock {
    file: fs::File,
}

impl Drop for RealLock {
    fn drop(&mut self) {
        // It cannot fail on a descriptor that is open; if it did, the close would do it.
        let _ = self.file.unlock();
    }
}

impl Lock for RealLock {}

fn address_space(len: u64) -> io::Result<usize> {
    usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge.into())
}

/// What file systems answer to a call, or a mode of it, that they do not have.
fn is_unsupported(error: Errno) -> bool {
    matches!(error, Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL)
}

/// Makes a new file `len` bytes long, with its blocks; false where the file system cannot.
#[cfg(target_os = "linux")]
fn reserve(file: &fs::File, len: u64) -> io::Result<bool> {
    use rustix::fs::{FallocateFlags, fallocate};
    if len == 0 {
        return Ok(true);
    }
    match retry_on_intr(|| fallocate(file, FallocateFlags::empty(), 0, len)) {
        Ok(()) => Ok(true),
        Err(error) if is_unsupported(error) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(target_os = "linux"))]
#[expect(clippy::unnecessary_wraps)]
fn reserve(_file: &fs::File, len: u64) -> io::Result<bool> {
    Ok(len == 0)
}

/// Makes a new file `len` bytes long by writing all of it. The system may look for the blocks of
/// what is written no sooner than at a sync. A commit whose sync finds none halts its log for
/// good; here only a file is lost that nobody has used yet.
fn fill(file: &fs::File, len: u64) -> io::Result<()> {
    file.set_len(len)?;
    write_zeros(file, 0, len)?;
    file.sync_data()
}

fn write_zeros(file: &fs::File, offset: u64, len: u64) -> io::Result<()> {
    let zeros = vec![0; 64 << 10];
    let mut done = 0;
    while done < len {
        let count = (len - done).min(zeros.len() as u64) as usize;
        file.write_all_at(&zeros[..count], offset + done)?;
        done += count as u64;
    }
    Ok(())
}

/// Drops the clean pages from `offset` to the end of the file, and keeps reads through the
/// descriptor from bringing in more than they ask for.
#[cfg(target_os = "linux")]
fn advise_let_go(file: &fs::File, offset: u64) -> io::Result<()> {
    use rustix::fs::{Advice, fadvise};
    for advice in [Advice::Random, Advice::DontNeed] {
        match fadvise(file, offset, None, advice) {
            Err(error) if !is_unsupported(error) => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
#[expect(clippy::unnecessary_wraps)]
fn advise_let_go(_file: &fs::File, _offset: u64) -> io::Result<()> {
    Ok(())
}

/// Zeroes without writing; false where the file system cannot.
#[cfg(target_os = "linux")]
fn zero_range(file: &fs::File, offset: u64, len: u64) -> io::Result<bool> {
    use rustix::fs::{FallocateFlags, fallocate};
    let mode = FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE;
    match retry_on_intr(|| fallocate(file, mode, offset, len)) {
        Ok(()) => Ok(true),
        Err(error) if is_unsupported(error) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(target_os = "linux"))]
#[expect(clippy::unnecessary_wraps)]
fn zero_range(_file: &fs::File, _offset: u64, _len: u64) -> io::Result<bool> {
    Ok(false)
}

#[cfg(target_os = "linux")]
fn punch_hole(file: &fs::File, offset: u64, len: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    let mode = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    match retry_on_intr(|| fallocate(file, mode, offset, len)) {
        Err(error) if !is_unsupported(error) => Err(error.into()),
        _ => Ok(()),
    }
}

#[cfg(not(target_os = "linux"))]
#[expect(clippy::unnecessary_wraps)]
fn punch_hole(_file: &fs::File, _offset: u64, _len: u64) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests;
