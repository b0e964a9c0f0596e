//! Memory maps of files: the one file of the workspace that may hold `unsafe`.
//!
//! A map is raw: nothing here ever makes a Rust reference to bytes that may still change.
//! A reference exists only to one range that [`Map::slice`] hands out, and the caller of
//! `slice` promises that the range is durable and is not written again while the result
//! lives. Three facts, kept elsewhere, make that promise good:
//!
//! - readers learn how far they may read from the published durable end, and bytes below it
//!   are never rewritten, except when a whole segment is recycled, which needs that nobody
//!   but its owner holds its map (every slice holds a clone of the `Arc`);
//! - the data directory is locked, so no other server writes its files;
//! - a file that was ever mapped is never shrunk. Removing it only takes its name.
//!
//! What no promise covers is a stranger who truncates a file, or a disk that fails to read
//! it: touching such a page would end the process. So a slice first compares the file's
//! length, and has the kernel bring in pages that are not in memory and that this map has not
//! seen before, which reports an error where a fault would be a signal. That narrows the
//! window and does not close it; [`ReadMode::Pread`](super::ReadMode) does. Where the kernel
//! has no such call (Linux before 5.14, other systems), a slice is a copy.

#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use memmap2::{MmapOptions, MmapRaw};

use super::Map;

/// What is populated at once, in bytes: a multiple of every page size in use, and as much as
/// Linux maps around a fault anyway. A reader at the tip so pays once per 64 KiB and not
/// once per slice. To populate 1 MiB takes 45 to 80 us, and 43 to 50 where all of it is mapped
/// already, hence the bits; a slice of populated blocks takes 0.4 us, and nearly all of that is
/// asking for the length.
const BLOCK_BYTES: usize = 64 << 10;

/// Bytes of the smallest page in use.
const PAGE_BYTES: usize = 4 << 10;

/// Pages about which the kernel is asked at once: 1 MiB.
const PAGES_ASKED: usize = 256;

/// A read-only map of the first bytes of a file.
pub(super) struct MappedFile {
    map: MmapRaw,
    /// Asked for its length, and kept open for that.
    file: Arc<File>,
    /// One bit per block: whether it was populated, or found in memory, once. A hint, so
    /// `Relaxed` is enough: the kernel may have dropped the pages since, and two threads may
    /// populate the same block.
    populated: Box<[AtomicU64]>,
    /// Whether the kernel tells us which pages are in memory. Of a file that is not ours it says
    /// that all are.
    tells_residency: bool,
}

impl MappedFile {
    /// Maps the first `len` bytes, which the caller has checked to lie inside the file.
    pub(super) fn new(file: Arc<File>, len: usize) -> io::Result<MappedFile> {
        let map = MmapOptions::new().len(len).map_raw_read_only(&*file)?;
        let words = len.div_ceil(BLOCK_BYTES).div_ceil(64);
        let populated = (0..words).map(|_| AtomicU64::new(0)).collect();
        let owner = rustix::fs::fstat(&*file)?.st_uid;
        let tells_residency = owner == rustix::process::geteuid().as_raw();
        Ok(MappedFile { map, file, populated, tells_residency })
    }

    fn is_populated(&self, block: usize) -> bool {
        self.populated[block / 64].load(Ordering::Relaxed) & (1 << (block % 64)) != 0
    }

    /// Fails where the file no longer reaches `end`: somebody truncated it under us.
    fn check_length(&self, end: usize) -> io::Result<u64> {
        let len = rustix::fs::fstat(&self.file)?.st_size as u64;
        if len < end as u64 {
            return Err(truncated(len, end));
        }
        Ok(len)
    }

    /// Brings in the blocks of `range` that this map has not brought in before; false where
    /// the kernel cannot.
    fn populate(&self, range: &Range<usize>, file_len: u64) -> io::Result<bool> {
        let blocks = range.start / BLOCK_BYTES..range.end.div_ceil(BLOCK_BYTES);
        let Some(first) = blocks.clone().find(|block| !self.is_populated(*block)) else {
            return Ok(true);
        };
        let start = first * BLOCK_BYTES;
        let map_end = (blocks.end * BLOCK_BYTES).min(self.map.len());
        let end = usize::try_from(file_len).map_or(map_end, |len| len.min(map_end));
        // To ask takes 15 to 28 us a MiB, and what is in memory needs no more: its pages are
        // mapped where they are touched, sixteen at a time, which takes 9 us.
        if !self.are_pages_resident(start..end) {
            match self.populate_read(start..end) {
                Ok(true) => {}
                Ok(false) => return Ok(false),
                Err(error) => {
                    // The file may have been cut just now; then that is the better message.
                    self.check_length(range.end)?;
                    return Err(error);
                }
            }
        }
        self.note_populated(first..blocks.end);
        Ok(true)
    }

    fn note_populated(&self, blocks: Range<usize>) {
        for block in blocks {
            self.populated[block / 64].fetch_or(1 << (block % 64), Ordering::Relaxed);
        }
    }

    /// Whether all pages of `range`, which starts at a block, are in memory as far as is known.
    #[cfg(target_os = "linux")]
    fn are_pages_resident(&self, range: Range<usize>) -> bool {
        if !self.tells_residency {
            return false;
        }
        range.clone().step_by(PAGES_ASKED * PAGE_BYTES).all(|start| {
            let len = (range.end - start).min(PAGES_ASKED * PAGE_BYTES);
            // Where pages are larger, fewer of these are written.
            let mut resident = [1u8; PAGES_ASKED];
            let at = self.map.as_mut_ptr().wrapping_add(start).cast();
            // SAFETY: the call reads page tables and writes one byte for each page of the range
            // into `resident`, which has one for each of the smallest pages of as many bytes as
            // `len` is at most. The range lies inside the map: `start` is a block below its end,
            // and its last page is the map's. What stands in the pages is not touched.
            let told = unsafe { libc::mincore(at, len, resident.as_mut_ptr()) };
            told == 0 && resident.iter().all(|page| page & 1 == 1)
        })
    }

    #[cfg(not(target_os = "linux"))]
    #[expect(clippy::unused_self)]
    fn are_pages_resident(&self, _range: Range<usize>) -> bool {
        false
    }

    /// Asks the kernel to map the pages of `range`, which starts at a block, for reading;
    /// false where it does not know how.
    #[cfg(target_os = "linux")]
    fn populate_read(&self, range: Range<usize>) -> io::Result<bool> {
        use rustix::io::Errno;
        use rustix::mm::{Advice, madvise};

        let start = self.map.as_mut_ptr().wrapping_add(range.start).cast();
        loop {
            // SAFETY: this advice reads pages in and never changes or unmaps any, so that no
            // reference into the map is affected. The range lies inside the map: `start` is a
            // block below its end and `range.end` is at most its length; what the kernel
            // rounds up stays in the last page, which the map owns.
            match unsafe { madvise(start, range.len(), Advice::LinuxPopulateRead) } {
                Ok(()) => return Ok(true),
                // Before Linux 5.14 the advice is unknown. A page that the kernel cannot bring in
                // is read instead: a memory file system that is full has no page left for the
                // holes of a block, but gives the bytes; a failing disk says so.
                Err(Errno::INVAL | Errno::FAULT | Errno::NOMEM) => return Ok(false),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    #[cfg(not(target_os = "linux"))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps)]
    fn populate_read(&self, _range: Range<usize>) -> io::Result<bool> {
        Ok(false)
    }
}

impl Map for MappedFile {
    fn slice(self: Arc<Self>, offset: u64, len: usize) -> io::Result<Bytes> {
        let range = checked_range(offset, len, self.map.len() as u64)?;
        let range = range.start as usize..range.end as usize;
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let file_len = self.check_length(range.end)?;
        if !self.populate(&range, file_len)? {
            return copy(&self.file, offset, len);
        }
        Ok(Bytes::from_owner(DurableRange { map: self, range }))
    }

    fn is_resident(&self, offset: u64, len: usize) -> bool {
        let Ok(range) = checked_range(offset, len, self.map.len() as u64) else { return false };
        let blocks = range.start as usize / BLOCK_BYTES..(range.end as usize).div_ceil(BLOCK_BYTES);
        let end = (blocks.end * BLOCK_BYTES).min(self.map.len());
        let is_resident = self.are_pages_resident(blocks.start * BLOCK_BYTES..end);
        if is_resident {
            self.note_populated(blocks);
        }
        is_resident
    }
}

/// The owner behind one slice: exactly one range, fixed when it is made, and the map.
struct DurableRange {
    map: Arc<MappedFile>,
    /// Lies inside the map.
    range: Range<usize>,
}

impl AsRef<[u8]> for DurableRange {
    fn as_ref(&self) -> &[u8] {
        let start = self.map.map.as_ptr().wrapping_add(self.range.start);
        // SAFETY: `start` and the length lie inside one mapping (checked by `slice`, which
        // alone makes this type), and the mapping lives as long as `self.map`. Nobody writes
        // these bytes meanwhile: the caller of `slice` promised that the range lies below the
        // published durable end, where bytes are final, and that the file is recycled only
        // when no slice holds its map; the map itself is read-only, the data directory is
        // locked against other servers, and our own files are never shrunk, so the pages
        // stay backed. The reference covers this range and nothing else of the file.
        unsafe { slice::from_raw_parts(start, self.range.len()) }
    }
}

/// A range of a file, read into memory of our own.
pub(super) fn copy(file: &File, offset: u64, len: usize) -> io::Result<Bytes> {
    let mut buffer = vec![0; len];
    file.read_exact_at(&mut buffer, offset)?;
    Ok(buffer.into())
}

/// The range as ends, where it lies inside the first `len_max` bytes.
pub(super) fn checked_range(offset: u64, len: usize, len_max: u64) -> io::Result<Range<u64>> {
    match offset.checked_add(len as u64) {
        Some(end) if end <= len_max => Ok(offset..end),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{len} bytes at {offset} lie outside of a view of {len_max} bytes"),
        )),
    }
}

fn truncated(len: u64, end: usize) -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        format!("the file was truncated to {len} bytes, at least {end} were expected"),
    )
}
