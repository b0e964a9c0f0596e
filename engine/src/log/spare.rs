//! Files in waiting: retired segments that are used again, and new ones before they get their
//! place.
//!
//! Overwriting written blocks halves the cost of a sync against growing a file, so a retired
//! full-size segment is kept here under a number of its own. What stands in it is harmless: a
//! new life has a new incarnation. `spare/` is the only directory from which files may be
//! deleted unasked.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::error::{IoContext, Result};
use crate::fs::{Access, File, Fs};
use crate::limits::SPARE_SEGMENTS_MAX;
use crate::log::paths::parse_number;

/// A file in waiting, taken to begin a life.
pub(crate) struct Taken {
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn File>,
    /// Its blocks were written in another life, but for a quarter at its end perhaps.
    pub(crate) is_used: bool,
}

/// The files of `spare/`.
pub(crate) struct Spare {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    next_number: AtomicU64,
    waiting: Mutex<Vec<PathBuf>>,
    /// False on copy-on-write file systems, where overwriting gains nothing.
    is_recycling: bool,
    /// Bytes of a full-size segment.
    full_bytes: u64,
}

impl Spare {
    /// Keeps the full-size segments that stand in `dir` and removes everything else.
    pub(crate) fn open(fs: Arc<dyn Fs>, dir: PathBuf, full_bytes: u64) -> Result<Spare> {
        let is_recycling = fs.overwrites_in_place(&dir);
        let mut waiting = Vec::new();
        let mut next_number = 0;
        for entry in fs.list(&dir).at("list", &dir, None)? {
            let path = dir.join(&entry.name);
            let number = entry.name.strip_suffix(".seg").and_then(parse_number);
            next_number = next_number.max(number.map_or(0, |number| number + 1));
            let bytes = fs.open(&path, Access::Read).and_then(|file| file.len());
            let is_whole = number.is_some() && bytes.is_ok_and(|len| len == full_bytes);
            if is_recycling && is_whole && waiting.len() < SPARE_SEGMENTS_MAX {
                waiting.push(path);
            } else if !entry.is_dir {
                fs.remove(&path).at("remove", &path, None)?;
            }
        }
        let next_number = AtomicU64::new(next_number);
        Ok(Spare { fs, dir, next_number, waiting: Mutex::new(waiting), is_recycling, full_bytes })
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether blocks are overwritten where they stand, so that it pays to have written them.
    pub(crate) fn is_recycling(&self) -> bool {
        self.is_recycling
    }

    /// A file of `bytes` under a name in `spare/`: a used one where there is one of that size.
    pub(crate) fn take(&self, bytes: u64) -> Result<Taken> {
        let used = match bytes == self.full_bytes {
            true => self.waiting.lock().pop(),
            false => None,
        };
        if let Some(path) = used {
            let file = self.fs.open(&path, Access::Write).at("open", &path, None)?;
            return Ok(Taken { path, file, is_used: true });
        }
        let path = self.fresh_path();
        let file = self.fs.create(&path, bytes).at("create", &path, None)?;
        Ok(Taken { path, file, is_used: false })
    }

    /// Takes a retired segment, of which no reader holds a part, or removes it.
    pub(crate) fn give(&self, segment: &Path, bytes: u64) -> Result<()> {
        let keep = self.is_recycling
            && bytes == self.full_bytes
            && self.waiting.lock().len() < SPARE_SEGMENTS_MAX;
        if !keep {
            return self.fs.remove(segment).at("remove", segment, None);
        }
        let path = self.fresh_path();
        self.fs.rename(segment, &path).at("rename", segment, None)?;
        self.waiting.lock().push(path);
        Ok(())
    }

    /// Gives up all waiting files: the disk is full.
    pub(crate) fn clear(&self) -> Result<()> {
        let waiting = std::mem::take(&mut *self.waiting.lock());
        for path in waiting {
            self.fs.remove(&path).at("remove", &path, None)?;
        }
        Ok(())
    }

    /// Files waiting to be used again.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.lock().len()
    }

    fn fresh_path(&self) -> PathBuf {
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        self.dir.join(format!("{number}.seg"))
    }
}
