//! Space kept back, so that the catalog can still be written when the disk is full: without it
//! a stream could not even be deleted to make room.

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::Result;
use crate::fs::{Fs, Space};
use crate::limits::RESERVE_BYTES;

/// The reserve file.
pub(crate) struct Reserve {
    fs: Arc<dyn Fs>,
    path: PathBuf,
    is_held: Mutex<bool>,
}

impl Reserve {
    pub(crate) fn new(fs: Arc<dyn Fs>, path: PathBuf) -> Reserve {
        let is_held = fs.open(&path, crate::fs::Access::Read).is_ok();
        let reserve = Reserve { fs, path, is_held: Mutex::new(is_held) };
        reserve.renew();
        reserve
    }

    /// Makes a change of the catalog, for which the space is given up if the disk is full.
    pub(crate) fn back<T>(&self, change: impl Fn() -> Result<T>) -> Result<T> {
        match change() {
            Err(error) if error.is_full() && self.give_up() => change(),
            result => result,
        }
    }

    /// Gives the space back to the file system. False: it was given up before.
    pub(crate) fn give_up(&self) -> bool {
        let mut is_held = self.is_held.lock();
        if !*is_held {
            return false;
        }
        *is_held = false;
        tracing::warn!("the disk is full; the reserved space is given up for the catalog");
        self.fs.remove(&self.path).is_ok()
    }

    /// Takes the space back once there is plenty.
    pub(crate) fn renew(&self) {
        let mut is_held = self.is_held.lock();
        let dir = self.path.parent().expect("the reserve stands in the data directory");
        let is_plenty = || self.fs.space(dir).is_ok_and(can_reserve);
        if !*is_held && is_plenty() {
            *is_held = self.fs.create(&self.path, RESERVE_BYTES).is_ok();
        }
    }
}

/// A small disk is not taken for a reserve: at most an eighth of what is free.
fn can_reserve(space: Space) -> bool {
    space.free / 8 >= RESERVE_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::{Access, ReadMode, RealFs};

    #[test]
    fn the_reserve_is_held_on_a_real_disk_and_given_up_once() {
        let dir = tempfile::tempdir().unwrap();
        let fs: Arc<dyn Fs> = Arc::new(RealFs::new(ReadMode::Mmap));
        let path = dir.path().join("reserve");
        let reserve = Reserve::new(fs.clone(), path.clone());
        assert_eq!(fs.open(&path, Access::Read).unwrap().len().unwrap(), RESERVE_BYTES);
        assert!(reserve.give_up());
        assert!(fs.open(&path, Access::Read).is_err());
        assert!(!reserve.give_up());
        reserve.renew();
        assert!(reserve.give_up());
    }
}
