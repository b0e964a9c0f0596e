//! What a check is told: how much to do, from which seed, and where to say how far it is.

use std::path::{Path, PathBuf};

use indicatif::ProgressBar;

/// The order for one check. It may be shared among threads.
pub struct Plan {
    pub(super) is_long: bool,
    pub(super) seed: u64,
    pub(super) scratch: PathBuf,
    pub(super) bar: ProgressBar,
}

impl Plan {
    /// How much to do: `ci` in CI, `long` with `--long`.
    pub fn size(&self, ci: u64, long: u64) -> u64 {
        if self.is_long { long } else { ci }
    }

    /// Whether it is the run of a night.
    pub fn is_long(&self) -> bool {
        self.is_long
    }

    /// Where all chance comes from.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// A directory for this check alone, empty at first and removed afterwards.
    pub fn scratch(&self) -> &Path {
        &self.scratch
    }

    /// Threads for work that only computes: one for each core.
    pub fn threads(&self) -> usize {
        std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
    }

    /// There is so much to do.
    pub fn total(&self, steps: u64) {
        self.bar.set_length(steps);
    }

    /// So much more of it is done.
    pub fn advance(&self, steps: u64) {
        self.bar.inc(steps);
    }

    /// A few words beside the bar.
    pub fn say(&self, words: impl Into<String>) {
        self.bar.set_message(words.into());
    }
}
