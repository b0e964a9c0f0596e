//! Row R6. Every operation that changes the disk fails once with an I/O error, and nothing that
//! was not durable is acknowledged.
//!
//! After the failure one of four things happens: the life goes on, with the log that failed
//! halted and all others as before, until its script ends; or the power goes at one of the next
//! operations, the very next one among them. Then the fault is over, the engine is opened again,
//! which reads the disk again, and everything acknowledged is there and takes records.

use anabranch_engine::fs::{Fault, Op};
use anyhow::Result;

use super::places::{Came, Sums, durability, sweep};
use crate::torture::strict::life::{Life, Lived, Stop};
use crate::torture::strict::script;
use crate::torture::strict::trouble::Trouble;
use crate::torture::{Check, Figures, Plan};

pub(in crate::torture) const CHECK: Check = Check {
    name: "sync-errors",
    tier: "A",
    rows: &["R6"],
    about: "every sync, write and rename fails once: nothing is acknowledged, the log halts",
    needs: &[],
    run,
};

/// What comes after the failure: the power goes at an operation behind it, or stays.
const AFTERMATHS: u64 = 4;

/// One failure and what follows.
#[derive(Clone, Copy, Debug)]
struct Cycle {
    seed: u64,
    /// The operation that fails, counted over all kinds.
    place: u64,
    /// How many operations later the power goes; 0 is the very next one.
    cut_after: Option<u64>,
    /// The disk says that it is full, instead: of a sync that is as final as any other error.
    is_full: bool,
    /// The end before the first new start, and before the second: a cut, or a kill and a stop.
    is_cut: [bool; 2],
}

#[expect(clippy::unnecessary_wraps, reason = "every check has this shape")]
fn run(plan: &Plan) -> Result<Figures> {
    let goal = plan.size(1_500, 300_000);
    // In CI every place has two of the four aftermaths.
    let is_due = |turn: &u64| plan.is_long() || (turn / AFTERMATHS + turn).is_multiple_of(2);
    let turns = |seed| places(seed).map(|places| (0..places * AFTERMATHS).filter(is_due).collect());
    let sums = sweep(plan, goal, turns, |seed, _, turn| Cycle::new(seed, turn).run());
    Ok(figures(&sums, goal))
}

fn figures(sums: &Sums, goal: u64) -> Figures {
    let mut figures = sums.figures(goal);
    for (op, words) in [
        (Op::Sync, "syncs failed"),
        (Op::Write, "writes failed"),
        (Op::Rename, "renames failed"),
        (Op::SyncDir, "syncs of a directory failed"),
    ] {
        figures.at_least(words, sums.of_kind[op as usize], u64::from(sums.found.is_none()));
    }
    let tally = &sums.tally;
    figures.zero("acknowledgements by a log that had failed", tally.late);
    figures.at_least("failures after which a log must halt", tally.must_halt, 1);
    figures.zero("of them neither halted nor reported", tally.must_halt - tally.reported);
    figures.told("errors that clients were told", tally.errors);
    figures
}

/// The operations of a life without trouble.
fn places(seed: u64) -> Result<u64, String> {
    let mut life = Life::new(seed, durability(seed));
    script::live(&mut life).map_err(|stop| format!("seed {seed}: {stop}"))?;
    Ok(life.world.fs.ops())
}

impl Cycle {
    fn new(seed: u64, turn: u64) -> Cycle {
        let (place, aftermath) = (turn / AFTERMATHS, turn % AFTERMATHS);
        let cut_after = match aftermath {
            0 => None,
            1 => Some(0),
            2 => Some(1 + place % 3),
            _ => Some(4 + (seed + place) % 16),
        };
        let is_full = (seed + place).is_multiple_of(5);
        let is_cut = [turn.is_multiple_of(3), (seed + turn).is_multiple_of(2)];
        Cycle { seed, place, cut_after, is_full, is_cut }
    }

    fn run(self) -> Came {
        let mut life = Life::new(self.seed, durability(self.seed));
        life.trouble = Trouble::Errors;
        life.world.fs.inject(Fault::NthFails { nth: self.place + 1, is_full: self.is_full });
        if let Some(after) = self.cut_after {
            life.world.fs.crash_at(self.place + 1 + after);
        }
        let lived = self.live(&mut life);
        let failed = life.world.fs.failed();
        let op = failed.first().map(|failed| failed.op);
        // A directory that is there needs no space: nothing fails in making it.
        let is_met = op.is_some() || self.is_full;
        let mut came = Came::of(life, is_met, op, lived);
        came.found = came.found.map(|words| format!("{words}; {self:?}, {failed:?}"));
        came
    }

    fn live(self, life: &mut Life) -> Lived {
        match script::live(life) {
            Err(Stop::PowerCut) => life.cut()?,
            Ok(()) | Err(Stop::NoStart(_)) if self.is_cut[0] => life.cut()?,
            Ok(()) | Err(Stop::NoStart(_)) => life.kill()?,
            Err(found) => return Err(found),
        }
        life.world.fs.clear_faults();
        life.world.fs.crash_at(u64::MAX);
        life.trouble = Trouble::None;
        life.open()?;
        script::go_on(life)?;
        life.restart(self.is_cut[1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_acknowledged_after_some_failures_of_two_lives() {
        for seed in [1, 2] {
            for turn in (0..places(seed).unwrap() * AFTERMATHS).step_by(23) {
                assert_eq!(Cycle::new(seed, turn).run().found, None);
            }
        }
    }
}
