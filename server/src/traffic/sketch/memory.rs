//! The memory of all sketches together.
//!
//! Few busy shards have full samples. Of many each has fewer: a share is known less exactly then,
//! and the memory of a server with 10,000 of them is bounded all the same. A sketch takes its room
//! bit by bit and gives back what is above its share, which is divided anew whenever the busy
//! sketches were counted; what is taken in between never goes beyond the whole.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::SAMPLES_MAX;

/// Samples of all sketches together, beside those that each may have in any case: 32 MiB, which is
/// what 1,092 full sketches take.
pub const SAMPLES_TOTAL: usize = 1 << 20;

/// Samples that a sketch may have in any case, 2 KiB: a share is then known to about 12 percentage
/// points (two deviations), which still tells a half from a tenth. Also how many it takes at a time.
pub const SAMPLES_LEAST: usize = 64;

/// Room for samples, shared by sketches.
#[derive(Debug)]
pub struct SampleMemory {
    total: usize,
    taken: AtomicUsize,
    share: AtomicUsize,
}

impl Default for SampleMemory {
    fn default() -> Self {
        SampleMemory::new(SAMPLES_TOTAL)
    }
}

impl SampleMemory {
    /// Of so many samples beside those that every sketch may have.
    pub fn new(total: usize) -> SampleMemory {
        SampleMemory { total, taken: AtomicUsize::new(0), share: AtomicUsize::new(SAMPLES_MAX) }
    }

    /// Samples that a sketch may have at present.
    pub fn share(&self) -> usize {
        self.share.load(Ordering::Relaxed)
    }

    /// Samples that are taken beside those that every sketch may have.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// So many sketches have samples: divides the room among them.
    pub fn divide(&self, sketches: usize) {
        let share = SAMPLES_LEAST + self.total / sketches.max(1);
        let share = share / SAMPLES_LEAST * SAMPLES_LEAST;
        self.share.store(share.min(SAMPLES_MAX), Ordering::Relaxed);
    }

    /// Takes room for [`SAMPLES_LEAST`] more. False: there is none.
    pub(super) fn take(&self) -> bool {
        let more = |taken: usize| Some(taken + SAMPLES_LEAST).filter(|taken| *taken <= self.total);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// Gives back room that was taken.
    pub(super) fn give_back(&self, samples: usize) {
        self.taken.fetch_sub(samples, Ordering::Relaxed);
    }
}
