//! Row R7. Every read of a life fails once, or returns one wrong bit: during recovery, while
//! serving, in the background.
//!
//! What a reader is given is right or it is an error, recovery cuts nothing that it could not
//! read, and when everything can be read again, everything is there. A start that could not read
//! the end of a log leaves out as many numbers as may have stood there. That they were never used
//! is not known, so it is not said: later, too, readers are told of damage there, and find behind
//! it what is put from then on. The check counts such reports, and none of what was acknowledged
//! may lie in one.
//!
//! Two things are left out. A bit that is wrong only on its way, while an end is read that was
//! not left by a clean stop, makes of the last frame what a torn write makes of it; a read of it
//! again would find the same page in the kernel's cache. And a wrong bit in a page of the catalog
//! may end the process: the library looks at the checksums when it opens the file, and trusts
//! its pages from then on.

use anabranch_engine::fs::Fault;
use anyhow::Result;

use super::places::{Came, Sums, durability, sweep};
use crate::torture::strict::life::{Life, Lived, Stop};
use crate::torture::strict::script;
use crate::torture::strict::trouble::Trouble;
use crate::torture::{Check, Figures, Plan};

pub(in crate::torture) const CHECK: Check = Check {
    name: "read-errors",
    tier: "A",
    rows: &["R7"],
    about: "every read fails once, or returns a wrong bit: right bytes or an error, nothing cut",
    needs: &[],
    run,
};

/// One fault and what follows.
#[derive(Clone, Copy, Debug)]
struct Cycle {
    seed: u64,
    /// The read, counted over the whole life.
    place: u64,
    /// It returns a wrong bit, and otherwise fails.
    is_flipped: bool,
    is_cut: bool,
}

#[expect(clippy::unnecessary_wraps, reason = "every check has this shape")]
fn run(plan: &Plan) -> Result<Figures> {
    let goal = plan.size(2_000, 200_000);
    let sums = sweep(plan, goal, places, |seed, turn, read| Cycle::new(seed, turn, read).run());
    Ok(figures(&sums, goal))
}

fn figures(sums: &Sums, goal: u64) -> Figures {
    let mut figures = sums.figures(goal);
    let bar = u64::from(sums.found.is_none());
    figures.at_least("errors that clients were told", sums.tally.errors, bar);
    figures.told("reports of damage where nothing was lost", sums.tally.false_alarms);
    figures
}

/// The reads of a life without trouble, each with whether it is to fail or to be flipped.
fn places(seed: u64) -> Result<Vec<(u64, bool)>, String> {
    let mut life = Life::new(seed, durability(seed));
    life.world.fs.watch_reads();
    script::live(&mut life).map_err(|stop| format!("seed {seed}: {stop}"))?;
    let files = life.world.fs.watched_reads();
    let reads = 0..life.world.fs.reads();
    let unclean = life.starts.iter().filter(|(_, is_clean)| !is_clean);
    let may_flip = |read: &u64| {
        let is_of_a_log = !files[*read as usize].starts_with("/data/catalog.redb");
        is_of_a_log && !unclean.clone().any(|(reads, _)| reads.contains(read))
    };
    let fails = reads.clone().map(|read| (read, false));
    let flips = reads.filter(may_flip).map(|read| (read, true));
    Ok(fails.chain(flips).collect())
}

impl Cycle {
    fn new(seed: u64, turn: u64, (place, is_flipped): (u64, bool)) -> Cycle {
        let is_cut = (seed + turn).is_multiple_of(3);
        Cycle { seed, place, is_flipped, is_cut }
    }

    fn run(self) -> Came {
        let mut life = Life::new(self.seed, durability(self.seed));
        life.trouble = Trouble::Reads;
        let nth = self.place + 1;
        life.world.fs.inject(match self.is_flipped {
            true => Fault::NthReadFlips { nth },
            false => Fault::NthReadFails { nth },
        });
        let lived = self.live(&mut life);
        let is_met = life.world.fs.failed_reads() > 0;
        let mut came = Came::of(life, is_met, None, lived);
        came.found = came.found.map(|words| format!("{words}; {self:?}"));
        came
    }

    fn live(self, life: &mut Life) -> Lived {
        match script::live(life) {
            Ok(()) | Err(Stop::NoStart(_)) if self.is_cut => life.cut()?,
            Ok(()) | Err(Stop::NoStart(_)) => life.kill()?,
            Err(found) => return Err(found),
        }
        life.world.fs.clear_faults();
        life.trouble = Trouble::Doubt;
        life.open()?;
        script::go_on(life)?;
        life.cut()?;
        life.open()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_by_some_reads_that_fail_in_two_lives() {
        for seed in [1, 2] {
            for (turn, read) in (0..).zip(places(seed).unwrap()).step_by(37) {
                assert_eq!(Cycle::new(seed, turn, read).run().found, None);
            }
        }
    }
}
