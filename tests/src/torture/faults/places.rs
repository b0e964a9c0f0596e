//! Lives with one fault each, at every place that a life has, on all cores.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anabranch_engine::Durability;
use anabranch_engine::fs::Op;
use parking_lot::Mutex;

use crate::torture::strict::life::{Life, Lived};
use crate::torture::strict::tally::Tally;
use crate::torture::{Figures, Plan};

/// The mode of a life: both, by turns.
pub(super) fn durability(seed: u64) -> Durability {
    if seed.is_multiple_of(2) { Durability::Os } else { Durability::Fsync }
}

/// What came of a life with a fault.
pub(super) struct Came {
    pub(super) tally: Tally,
    /// The fault came to pass.
    pub(super) is_met: bool,
    /// The kind of operation that it hit, where that is known.
    pub(super) op: Option<Op>,
    /// A promise that was not kept.
    pub(super) found: Option<String>,
}

/// The sums of all lives.
#[derive(Default)]
pub(super) struct Sums {
    pub(super) tally: Tally,
    pub(super) cycles: u64,
    /// Faults that came to pass.
    pub(super) met: u64,
    /// Those at each kind of operation.
    pub(super) of_kind: [u64; Op::ALL.len()],
    /// Lives all of whose places were met.
    pub(super) seeds: u64,
    /// The first promise that was not kept.
    pub(super) found: Option<String>,
}

/// Sweeps life after life until `goal` cycles are done, or one finds something. `places` are
/// the faults that a seed has; `cycle` lives with one of them, which has a number.
pub(super) fn sweep<P>(
    plan: &Plan,
    goal: u64,
    places: impl Fn(u64) -> Result<Vec<P>, String> + Sync,
    cycle: impl Fn(u64, u64, P) -> Came + Sync,
) -> Sums {
    plan.total(goal);
    let next_seed = AtomicU64::new(plan.seed());
    let begun = AtomicU64::new(0);
    let is_over = AtomicBool::new(false);
    let sums = Mutex::new(Sums::default());
    let one_seed = || {
        let seed = next_seed.fetch_add(1, Ordering::Relaxed);
        let places = match places(seed) {
            Ok(places) => places,
            Err(words) => {
                is_over.store(true, Ordering::Relaxed);
                sums.lock().found.get_or_insert(words);
                return;
            }
        };
        for (turn, place) in (0..).zip(places) {
            if is_over.load(Ordering::Relaxed) {
                return;
            }
            let came = cycle(seed, turn, place);
            begun.fetch_add(1, Ordering::Relaxed);
            plan.advance(1);
            let mut sums = sums.lock();
            sums.cycles += 1;
            sums.tally.add(&came.tally);
            sums.met += u64::from(came.is_met);
            if let Some(op) = came.op {
                sums.of_kind[op as usize] += 1;
            }
            if let Some(words) = came.found {
                is_over.store(true, Ordering::Relaxed);
                sums.found.get_or_insert(words);
            }
        }
        sums.lock().seeds += 1;
    };
    std::thread::scope(|scope| {
        for _ in 0..plan.threads() {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) && begun.load(Ordering::Relaxed) < goal {
                    one_seed();
                }
            });
        }
    });
    sums.into_inner()
}

impl Came {
    /// The end of a life.
    pub(super) fn of(life: Life, is_met: bool, op: Option<Op>, lived: Lived) -> Came {
        let found = lived.err().map(|stop| stop.to_string());
        Came { tally: life.tally(), is_met, op, found }
    }
}

impl Sums {
    /// The figures that all sweeps have.
    pub(super) fn figures(&self, goal: u64) -> Figures {
        let mut figures = Figures::default();
        let is_found = self.found.is_some();
        figures.zero("promises broken", u64::from(is_found));
        // A run that found something ends there.
        figures.at_least("cycles", self.cycles, if is_found { 0 } else { goal });
        figures.told("lives swept whole", self.seeds);
        figures.zero("faults that did not come", self.cycles - self.met);
        figures.zero("acknowledged and lost", self.tally.lost);
        figures.told("records acknowledged", self.tally.acknowledged);
        figures.told("records compared", self.tally.compared);
        figures.told("unsynced records lost, as mode os may", self.tally.lost_unsynced);
        if let Some(words) = &self.found {
            figures.remark(words);
        }
        figures
    }
}
