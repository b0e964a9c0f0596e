//! What a directory takes on the disk, told apart: bytes that were written, room that is reserved
//! and was never written, and files that wait to be used again.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::SeekFrom;
use rustix::io::Errno;

/// Bytes on the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Space {
    /// That were written, whatever they hold.
    pub(super) written: u64,
    /// Allocated ahead and never written.
    pub(super) reserved: u64,
    /// In files below a directory named `spare`.
    pub(super) spare: u64,
}

impl Space {
    /// Of everything below `dir`. Files that go meanwhile do not count.
    pub(super) fn of(dir: &Path) -> io::Result<Space> {
        let mut space = Space::default();
        space.walk(dir, false)?;
        Ok(space)
    }

    fn walk(&mut self, dir: &Path, is_spare: bool) -> io::Result<()> {
        for entry in std::fs::read_dir(dir)? {
            let path = entry?.path();
            let counted = if path.is_dir() {
                self.walk(&path, is_spare || path.ends_with("spare"))
            } else {
                self.file(&path, is_spare)
            };
            match counted {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other?,
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, is_spare: bool) -> io::Result<()> {
        let file = File::open(path)?;
        let allocated = file.metadata()?.blocks() * 512;
        if is_spare {
            self.spare += allocated;
            return Ok(());
        }
        let written = written_bytes(&file)?;
        self.written += written;
        self.reserved += allocated.saturating_sub(written);
        Ok(())
    }
}

/// Bytes that the file system holds as data: what was allocated and never written is a hole.
fn written_bytes(file: &File) -> io::Result<u64> {
    let (mut written, mut at) = (0, 0);
    loop {
        let data = match rustix::fs::seek(file, SeekFrom::Data(at)) {
            // No data behind it.
            Err(Errno::NXIO) => return Ok(written),
            data => data?,
        };
        let hole = rustix::fs::seek(file, SeekFrom::Hole(data))?;
        written += hole - data;
        at = hole;
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn what_was_never_written_is_reserved() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("spare")).unwrap();
        let file = File::create(dir.path().join("0.seg")).unwrap();
        let flags = rustix::fs::FallocateFlags::empty();
        if rustix::fs::fallocate(&file, flags, 0, 1 << 20).is_err() {
            // Not every file system reserves.
            return;
        }
        file.write_all_at(&[1; 8192], 4096).unwrap();
        file.sync_all().unwrap();
        let spare = File::create(dir.path().join("spare/1.seg")).unwrap();
        spare.write_all_at(&[1; 4096], 0).unwrap();
        spare.sync_all().unwrap();
        let space = Space::of(dir.path()).unwrap();
        assert_eq!(space.spare, 4096);
        // Memory file systems have what they reserve as pages.
        if space.written < 1 << 20 {
            assert_eq!((space.written, space.reserved), (8192, (1 << 20) - 8192));
        }
    }
}
