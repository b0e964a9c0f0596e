//! Damage, done on purpose: flipped bits, cut files, stale bytes, lost metadata.
//!
//! Each module harms copies of a small data directory in one way, as often as there are ways,
//! and holds the engine, `verify` and `repair` to what `engine/FORMAT.md` says of the place that
//! was harmed. What to expect is derived from that page ([`layout`]), never from what was
//! observed. The test binary runs small instances of them, the torture command whole ones.
//!
//! A violation is counted and told ([`Tally`]); a few of them end the run.

pub mod by_hand;
pub mod bytes;
pub mod catalog_bits;
pub mod flipped;
pub mod index;
pub mod layout;
pub mod metadata;
pub mod readers;
pub mod segment_bits;
pub mod stale;
pub mod subject;
pub mod tokens;
pub mod truncations;

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// Violations that are told; more would help nobody, so the run ends there.
const EXAMPLES_MAX: usize = 5;

/// What was done and what went wrong, counted from several threads.
#[derive(Default)]
pub struct Tally {
    done: AtomicU64,
    violations: AtomicU64,
    examples: Mutex<Vec<String>>,
}

impl Tally {
    /// Counts one case.
    pub fn case(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts so many cases.
    pub fn add_cases(&self, count: usize) {
        self.done.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// Counts a violation unless `holds`.
    pub fn expect(&self, holds: bool, words: impl FnOnce() -> String) {
        if holds {
            return;
        }
        self.violations.fetch_add(1, Ordering::Relaxed);
        let mut examples = self.examples.lock();
        if examples.len() < EXAMPLES_MAX {
            examples.push(words());
        }
    }

    /// Cases that were counted.
    pub fn cases(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Violations that were counted.
    pub fn violations(&self) -> u64 {
        self.violations.load(Ordering::Relaxed)
    }

    /// Whether so much went wrong that going on would tell nothing new.
    pub fn is_enough(&self) -> bool {
        self.violations() >= EXAMPLES_MAX as u64
    }

    /// The first violations, in words.
    pub fn examples(&self) -> Vec<String> {
        self.examples.lock().clone()
    }

    /// Panics with the examples if there was a violation: for tests.
    #[track_caller]
    pub fn assert_none(&self) {
        assert_eq!(self.violations(), 0, "{:#?}", self.examples());
    }
}

/// Calls `work` with every number below `count`, on as many threads as there are cores, until
/// it is told that this is enough. Each thread makes itself a state first.
pub fn in_parallel<S>(
    count: u64,
    is_enough: impl Fn() -> bool + Sync,
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, u64) + Sync,
) {
    let next = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut state = state();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count || is_enough() {
                        return;
                    }
                    work(&mut state, number);
                }
            });
        }
    });
}
