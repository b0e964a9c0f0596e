//! The power goes before and behind every operation of a life, and nothing is lost.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anabranch_engine::Durability;
use anabranch_engine::fs::{Moment, Op};
use anyhow::Result;
use parking_lot::Mutex;

use super::life::{Life, Lived, Stop};
use super::script;
use super::tally::Tally;
use crate::torture::{Check, Figures, Plan};

pub(crate) const CHECK: Check = Check {
    name: "sweep",
    tier: "A",
    rows: &["R2", "R9", "R14", "R15"],
    about: "the power goes before and behind every operation of the disk, in recovery too",
    needs: &[],
    run,
};

/// One place at which the power goes, and what happens afterwards.
#[derive(Clone, Copy, Debug)]
struct Cycle {
    seed: u64,
    durability: Durability,
    cut: Option<(Op, u64, Moment)>,
    /// Only the process dies there: what it had written stays written.
    is_kill: bool,
    /// `anabranch verify` looks at what is left before anything else does.
    is_verified: bool,
    /// The operation of the first recovery at which the power goes again, counted over all
    /// kinds. Beyond its end nothing happens.
    again: Option<u64>,
    then: Then,
}

/// What the second run does.
#[derive(Clone, Copy, Debug)]
enum Then {
    /// It goes on, and stops.
    Stop,
    /// It goes on, and loses power.
    GoOnAndCut,
    /// It has shown what there is, and loses power at once.
    Cut,
}

/// What came of a cycle.
struct Came {
    tally: Tally,
    /// Operations of each kind, where nothing was cut.
    ops: [u64; Op::ALL.len()],
    /// The power went where it was to go.
    was_cut: bool,
    /// And again during the recovery.
    was_cut_again: bool,
}

/// The sums of all threads.
#[derive(Default)]
struct Sums {
    tally: Tally,
    cycles: u64,
    kills: u64,
    nested: u64,
    unsynced: u64,
    seeds: u64,
    /// Places of the smallest and largest life.
    places: Option<(u64, u64)>,
    missed: u64,
    found: Option<String>,
}

#[expect(clippy::unnecessary_wraps, reason = "every check has this shape")]
fn run(plan: &Plan) -> Result<Figures> {
    let goal = plan.size(20_000, 1_000_000);
    plan.total(goal);
    let next_seed = AtomicU64::new(plan.seed());
    let begun = AtomicU64::new(0);
    let is_over = AtomicBool::new(false);
    let sums = Mutex::new(Sums::default());
    std::thread::scope(|scope| {
        for _ in 0..plan.threads() {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) && begun.load(Ordering::Relaxed) < goal {
                    let seed = next_seed.fetch_add(1, Ordering::Relaxed);
                    if let Err(words) = sweep(seed, plan, &begun, &is_over, &sums) {
                        is_over.store(true, Ordering::Relaxed);
                        sums.lock().found.get_or_insert(words);
                    }
                }
            });
        }
    });
    Ok(figures(sums.into_inner(), goal))
}

fn figures(sums: Sums, goal: u64) -> Figures {
    let mut figures = Figures::default();
    let tally = sums.tally;
    let (least, most) = sums.places.unwrap_or_default();
    let is_found = sums.found.is_some();
    figures.zero("promises broken", u64::from(is_found));
    // A run that found something ends there.
    figures.at_least("cycles", sums.cycles, if is_found { 0 } else { goal });
    figures.told("lives swept whole", sums.seeds);
    figures.told("places swept in the shortest life", least);
    figures.told("places swept in the longest life", most);
    figures.zero("places that were not reached", sums.missed);
    figures.told("cycles in which only the process died", sums.kills);
    figures.told("second cuts during recovery", sums.nested);
    figures.told("cycles in mode os", sums.unsynced);
    figures.told("starts", tally.starts);
    figures.told("records acknowledged", tally.acknowledged);
    figures.told("records compared", tally.compared);
    figures.told("unsynced records lost, as mode os may", tally.lost_unsynced);
    let bar = u64::from(!is_found);
    figures.at_least("horizons raised", tally.trimmed, bar);
    figures.at_least("files waiting to be used again, at most", tally.spare, bar);
    figures.told("segments on one disk, at most", tally.segments);
    if let Some(words) = sums.found {
        figures.remark(words);
    }
    figures
}

/// All places of one life.
fn sweep(
    seed: u64,
    plan: &Plan,
    begun: &AtomicU64,
    is_over: &AtomicBool,
    sums: &Mutex<Sums>,
) -> Result<(), String> {
    let durability = if seed.is_multiple_of(3) { Durability::Os } else { Durability::Fsync };
    let whole = Cycle::whole(seed, durability);
    let came = whole.run()?;
    let mut places = 0;
    for op in Op::ALL {
        for ordinal in 0..came.ops[op as usize] {
            for moment in [Moment::Before, Moment::After] {
                if is_over.load(Ordering::Relaxed) {
                    return Ok(());
                }
                let cut = Some((op, ordinal, moment));
                let cycle = Cycle { cut, ..whole }.at_turn(seed.wrapping_mul(7) + places);
                let came = cycle.run()?;
                places += 1;
                begun.fetch_add(1, Ordering::Relaxed);
                plan.advance(1);
                let mut sums = sums.lock();
                sums.tally.add(&came.tally);
                sums.cycles += 1;
                sums.kills += u64::from(cycle.is_kill);
                sums.nested += u64::from(came.was_cut_again);
                sums.unsynced += u64::from(durability == Durability::Os);
                sums.missed += u64::from(!came.was_cut);
            }
        }
    }
    let mut sums = sums.lock();
    sums.seeds += 1;
    let (least, most) = sums.places.unwrap_or((places, places));
    sums.places = Some((least.min(places), most.max(places)));
    Ok(())
}

impl Cycle {
    /// A life that nothing cuts short.
    fn whole(seed: u64, durability: Durability) -> Cycle {
        Cycle {
            seed,
            durability,
            cut: None,
            is_kill: false,
            is_verified: false,
            again: None,
            then: Then::Stop,
        }
    }

    /// What happens besides the cut changes from place to place and from seed to seed.
    fn at_turn(self, turn: u64) -> Cycle {
        Cycle {
            is_kill: turn % 4 == 3,
            is_verified: turn % 7 == 2,
            again: turn.is_multiple_of(3).then_some(turn / 3 % 40),
            then: [Then::Stop, Then::GoOnAndCut, Then::Cut, Then::Cut, Then::GoOnAndCut]
                [(turn % 5) as usize],
            ..self
        }
    }

    fn run(&self) -> Result<Came, String> {
        let mut life = Life::new(self.seed, self.durability);
        if let Some((op, ordinal, moment)) = self.cut {
            life.world.fs.cut_at(op, ordinal, moment);
        }
        let outcome = script::live(&mut life);
        let was_cut = matches!(outcome, Err(Stop::PowerCut));
        let ops = Op::ALL.map(|op| life.world.fs.ops_of(op));
        let mut was_cut_again = false;
        let lived = outcome.or_else(|stop| match stop {
            Stop::PowerCut => self.restart(&mut life, &mut was_cut_again),
            found => Err(found),
        });
        match lived {
            Ok(()) => Ok(Came { tally: life.tally(), ops, was_cut, was_cut_again }),
            Err(stop) => Err(format!("{stop}; {self:?}")),
        }
    }

    fn restart(&self, life: &mut Life, was_cut_again: &mut bool) -> Lived {
        match self.is_kill {
            true => life.kill()?,
            false => life.cut()?,
        }
        if self.is_verified {
            life.verify()?;
        }
        if let Some(op) = self.again {
            life.world.fs.crash_at(life.world.fs.ops() + op);
        }
        match life.open() {
            Err(Stop::PowerCut) => {
                *was_cut_again = true;
                life.cut()?;
                life.open()?;
            }
            opened => opened?,
        }
        life.world.fs.crash_at(u64::MAX);
        match self.then {
            Then::Stop => {
                script::go_on(life)?;
                life.stop()?;
            }
            Then::GoOnAndCut => {
                script::go_on(life)?;
                life.cut()?;
            }
            Then::Cut => {
                life.cut()?;
                life.open()?;
                script::go_on(life)?;
                life.cut()?;
            }
        }
        life.open()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_cuts_of_two_lives_lose_nothing() {
        let mut turn = 0;
        for (seed, durability) in [(1, Durability::Fsync), (3, Durability::Os)] {
            let whole = Cycle::whole(seed, durability);
            let ops = whole.run().unwrap_or_else(|words| panic!("{words}")).ops;
            for op in Op::ALL {
                for ordinal in (0..ops[op as usize]).step_by(17) {
                    for moment in [Moment::Before, Moment::After] {
                        turn += 1;
                        let cut = Some((op, ordinal, moment));
                        let came = Cycle { cut, ..whole }.at_turn(turn).run();
                        assert!(came.unwrap_or_else(|words| panic!("{words}")).was_cut);
                    }
                }
            }
        }
    }
}
