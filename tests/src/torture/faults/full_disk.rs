//! Row R12. The disk gets full at every operation, for a moment or for long, and has room again:
//! nothing is lost, what stands is read meanwhile, and everything goes on by itself.
//!
//! On the simulated disk the fault is one of four, by turns: no space for one operation, for
//! some, or until the end of the script, and a write that takes a part of its bytes before the
//! space ends. What is refused has to be refused with a word, no log may halt, a start must work
//! on a disk on which a start worked before, and once there is room and the background has had
//! its turn, a refusal is a broken promise. Then come disks that are filled with records to the
//! last byte and freed, again and again: see [`fills`](super::fills).

use anabranch_engine::fs::{Fault, Op};
use anyhow::Result;

use super::fills::{Filled, fill_and_free};
use super::places::{Came, Sums, durability, sweep};
use crate::torture::strict::life::{Life, Lived, Stop};
use crate::torture::strict::script;
use crate::torture::strict::trouble::Trouble;
use crate::torture::{Check, Figures, Plan};

pub(in crate::torture) const CHECK: Check = Check {
    name: "full-disk",
    tier: "A",
    rows: &["R12"],
    about: "the disk gets full at every operation and has room again: nothing lost, all resumes",
    needs: &[],
    run,
};

/// The kinds of operation that may find no space. A sync may, too; that is no full disk but a
/// failed sync, and is in `sync-errors`.
const KINDS: [Op; 6] = [Op::Create, Op::Write, Op::Zero, Op::SetLen, Op::Rename, Op::CreateDir];

/// How the disk gets full.
#[derive(Clone, Copy, Debug)]
enum Full {
    /// An operation of its kind finds no space, be it reserved or not.
    Once(Op, u64),
    /// A write takes a part of its bytes; and there is no space for the rest, or there is.
    Short { write: u64, is_full: bool },
    /// Nothing can be reserved from an operation on, for so many.
    From { op: u64, lasts: u64 },
}

/// One fault and what follows.
#[derive(Clone, Copy, Debug)]
struct Cycle {
    seed: u64,
    full: Full,
    /// The end before the first new start, and before the second: a cut, or a stop.
    is_cut: [bool; 2],
}

#[expect(clippy::unnecessary_wraps, reason = "every check has this shape")]
fn run(plan: &Plan) -> Result<Figures> {
    let goal = plan.size(1_500, 200_000);
    let cycle = |seed, turn, full| Cycle::new(seed, turn, full).run();
    let mut sums = sweep(plan, goal, places, cycle);
    let fills = if sums.found.is_none() { plan.size(100, 2_000) } else { 0 };
    let filled = fill_and_free(plan.seed(), fills);
    sums.tally.add(&filled.tally);
    sums.found = sums.found.take().or_else(|| filled.found.clone());
    Ok(figures(&sums, goal, &filled, fills))
}

fn figures(sums: &Sums, goal: u64, filled: &Filled, fills: u64) -> Figures {
    let mut figures = sums.figures(goal);
    let tally = &sums.tally;
    let bar = u64::from(sums.found.is_none());
    figures.at_least("fill-and-free cycles", filled.cycles, fills * bar);
    figures.told("of them freed by deleting a stream", filled.by_deletion);
    figures.told("of them freed by retention", filled.by_retention);
    figures.at_least("puts refused for want of space", tally.refused, bar);
    figures.told("errors that clients were told", tally.errors);
    figures.zero("logs halted by a full disk", tally.halted);
    figures
}

/// All faults of a life.
fn places(seed: u64) -> Result<Vec<Full>, String> {
    let mut life = Life::new(seed, durability(seed));
    script::live(&mut life).map_err(|stop| format!("seed {seed}: {stop}"))?;
    let fs = &life.world.fs;
    let mut places = Vec::new();
    for op in KINDS {
        places.extend((0..fs.ops_of(op)).map(|ordinal| Full::Once(op, ordinal)));
    }
    for write in 0..fs.ops_of(Op::Write) {
        places.push(Full::Short { write, is_full: write.is_multiple_of(2) });
    }
    for op in 0..fs.ops() {
        // A moment, a while, to the end.
        let lasts = [1 + op % 3, 5 + op % 40, u64::MAX][(op % 3) as usize];
        places.push(Full::From { op, lasts });
    }
    Ok(places)
}

impl Cycle {
    fn new(seed: u64, turn: u64, full: Full) -> Cycle {
        let is_cut = [turn.is_multiple_of(3), (seed + turn).is_multiple_of(2)];
        Cycle { seed, full, is_cut }
    }

    fn run(self) -> Came {
        let mut life = Life::new(self.seed, durability(self.seed));
        life.trouble = Trouble::Full;
        let fs = &life.world.fs;
        match self.full {
            Full::Once(op, ordinal) => {
                fs.inject(Fault::Fails { op, nth: ordinal + 1, is_full: true });
            }
            Full::Short { write, is_full } => {
                fs.inject(Fault::NthWriteIsShort { nth: write + 1 });
                if is_full {
                    fs.inject(Fault::Fails { op: Op::Write, nth: write + 2, is_full: true });
                }
            }
            Full::From { op, lasts } => fs.inject(Fault::FullFrom { nth: op + 1, lasts }),
        }
        let lived = self.live(&mut life);
        let mut came = Came::of(life, true, None, lived);
        came.found = came.found.map(|words| format!("{words}; {self:?}"));
        came
    }

    /// Whether space is missing that was reserved: as on a disk that overwrites nothing in place.
    fn is_in_reserved(self) -> bool {
        !matches!(self.full, Full::From { .. })
    }

    fn live(self, life: &mut Life) -> Lived {
        let is_up = match script::live_on(life) {
            Ok(()) => true,
            // The very first start may find no room for a catalog, and any start may have to
            // write where it thought that it had room.
            Err(Stop::NoStart(_)) if life.tally.starts == 0 || self.is_in_reserved() => false,
            Err(found) => return Err(found),
        };
        life.world.fs.clear_faults();
        if is_up {
            // Room again, without a start: after a turn of the background nothing is refused.
            life.read_all()?;
            life.keep_house()?;
            life.trouble = Trouble::None;
            script::go_on(life)?;
        }
        life.trouble = Trouble::None;
        life.restart(self.is_cut[0] || !is_up)?;
        script::go_on(life)?;
        life.restart(self.is_cut[1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_is_filled_and_freed_takes_everything_again() {
        for seed in [1, 2] {
            assert_eq!(fill_and_free(seed, 12).found, None);
        }
    }

    #[test]
    fn nothing_is_lost_on_some_full_disks_of_two_lives() {
        for seed in [1, 2] {
            for (turn, full) in (0..).zip(places(seed).unwrap()).step_by(13) {
                assert_eq!(Cycle::new(seed, turn, full).run().found, None);
            }
        }
    }
}
