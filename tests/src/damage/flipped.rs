//! A disk with wrong bits in some of its segments, which costs nothing to make.
//!
//! The segments are given from one buffer that all such disks share, as a map of a real file
//! gives them: a slice is no copy, unless a wrong bit lies in it. Everything else, the catalog
//! above all, stands on the simulated disk below. Nothing here may change a segment: one that was
//! stopped cleanly is not written until the first put.

use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anabranch_engine::fs::{Access, Entry, File, Fs, Lock, Map, SimFs, Space};
use bytes::Bytes;

/// The disk.
pub struct FlippedFs {
    below: SimFs,
    segments: HashMap<PathBuf, Segment>,
}

/// A segment with wrong bits.
#[derive(Clone)]
struct Segment {
    whole: Bytes,
    bits: Vec<u64>,
}

impl Segment {
    fn bytes(&self, range: Range<usize>) -> io::Result<Bytes> {
        if range.end > self.whole.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if !self.bits.iter().any(|bit| range.contains(&(*bit as usize / 8))) {
            return Ok(self.whole.slice(range));
        }
        let mut bytes = self.whole[range.clone()].to_vec();
        self.harm(range.start, &mut bytes);
        Ok(bytes.into())
    }

    /// Flips what is wrong in `bytes`, which stand at `start`.
    fn harm(&self, start: usize, bytes: &mut [u8]) {
        for bit in &self.bits {
            let at = (*bit as usize / 8).checked_sub(start);
            if let Some(byte) = at.and_then(|at| bytes.get_mut(at)) {
                *byte ^= 1 << (bit % 8);
            }
        }
    }
}

impl FlippedFs {
    /// The disk `below`, on which no segment is harmed yet.
    pub fn new(below: SimFs) -> FlippedFs {
        FlippedFs { below, segments: HashMap::new() }
    }

    /// Gives `whole` as the segment at `path`, with those bits of it wrong.
    pub fn flip(&mut self, path: &Path, whole: Bytes, bits: &[u64]) {
        self.segments.insert(path.to_owned(), Segment { whole, bits: bits.to_vec() });
    }
}

impl Fs for FlippedFs {
    fn create(&self, path: &Path, len: u64) -> io::Result<Arc<dyn File>> {
        self.below.create(path, len)
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn File>> {
        match self.segments.get(path) {
            Some(segment) => Ok(Arc::new(segment.clone())),
            None => self.below.open(path, access),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.below.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.below.remove(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.below.create_dir(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.below.remove_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.below.list(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.below.sync_dir(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        self.below.lock(path)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        self.below.space(path)
    }

    fn overwrites_in_place(&self, path: &Path) -> bool {
        self.below.overwrites_in_place(path)
    }
}

fn refused() -> io::Result<()> {
    Err(io::Error::other("a segment that was stopped cleanly was to be changed"))
}

impl File for Segment {
    fn len(&self) -> io::Result<u64> {
        Ok(self.whole.len() as u64)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let start = offset as usize;
        let bytes = self.whole.get(start..start + buffer.len());
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        self.harm(start, buffer);
        Ok(())
    }

    fn write_some_at(&self, _offset: u64, _bytes: &[u8]) -> io::Result<usize> {
        refused().map(|()| 0)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn zero(&self, _offset: u64, _len: u64) -> io::Result<()> {
        refused()
    }

    fn release(&self, _offset: u64, _len: u64) -> io::Result<()> {
        refused()
    }

    fn set_len(&self, _len: u64) -> io::Result<()> {
        refused()
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<u64>> {
        Ok((offset < self.whole.len() as u64).then_some(offset))
    }

    fn next_hole(&self, _offset: u64) -> io::Result<u64> {
        Ok(self.whole.len() as u64)
    }

    fn let_go(&self, _offset: u64) -> io::Result<()> {
        Ok(())
    }

    fn map(self: Arc<Self>, len: u64) -> io::Result<Arc<dyn Map>> {
        if len > self.whole.len() as u64 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(self)
    }
}

impl Map for Segment {
    fn slice(self: Arc<Self>, offset: u64, len: usize) -> io::Result<Bytes> {
        self.bytes(offset as usize..offset as usize + len)
    }
}
