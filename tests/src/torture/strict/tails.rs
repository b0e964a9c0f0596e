//! Unclean tails of all kinds: what recovery shows of them stays, and what it cuts never returns.
//!
//! The sweep meets a tail where its script happens to leave one. Here every cycle leaves one on
//! purpose, be it by a process that died before the sync, by a sync that failed, if only the last
//! one of a stop, or by a power cut that tore some frames and left others behind them, in a
//! segment that is nearly empty or full to the last byte. Recovery then shows what there is, and
//! the power goes: at once, when nothing has been synced since, or after the log has gone on.

use anyhow::Result;

use anabranch_engine::Durability;
use anabranch_engine::fs::{Fault, Moment, Op};

use super::life::{Life, Lived, Stop};
use super::trouble::Trouble;
use crate::damage::layout::Layout;
use crate::damage::{Tally, in_parallel};
use crate::torture::{Check, Figures, Plan};

pub(in crate::torture) const CHECK: Check = Check {
    name: "tails",
    tier: "A",
    rows: &["R2", "R6"],
    about: "unclean tails of all kinds, recovered, shown, and cut again",
    needs: &[],
    run,
};

/// The one stream, with one shard.
const STREAM: &str = "a";

/// How a run ends with a tail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Leave {
    /// The process dies between the write and the sync.
    Death,
    /// The sync fails, and the kernel takes the pages for clean; then the process dies.
    FailedSync,
    /// The process stops, and the first sync of the stop fails.
    FailedStop,
    /// The power goes instead of the sync.
    Cut,
}

#[expect(clippy::unnecessary_wraps, reason = "every check has this shape")]
fn run(plan: &Plan) -> Result<Figures> {
    let count = plan.size(3_000, 200_000);
    plan.total(count);
    let tails = Tally::default();
    in_parallel(
        count,
        || tails.violations() > 0,
        || (),
        |(), number| {
            let seed = plan.seed().wrapping_add(number);
            let outcome = cycle(seed);
            tails.case();
            tails.expect(outcome.is_ok(), || format!("seed {seed}: {}", outcome.unwrap_err()));
            plan.advance(1);
        },
    );
    let mut figures = Figures::default();
    figures.told("unclean tails", tails.cases());
    figures.zero("of them lost what was shown, or brought back what was cut", tails.violations());
    figures.remark_all(tails.examples());
    Ok(figures)
}

/// The life of one disk.
fn cycle(seed: u64) -> Result<(), String> {
    let durability = if seed.is_multiple_of(3) { Durability::Os } else { Durability::Fsync };
    let mut life = Life::new(seed, durability);
    live(&mut life).map_err(|stop| format!("{stop}, {durability:?}"))
}

fn live(life: &mut Life) -> Lived {
    life.open()?;
    life.create_stream(STREAM, 1)?;
    some(life, 3)?;
    if life.random.below(2) == 0 {
        // What is behind this mark alone is walked.
        life.advance(61);
        life.keep_house()?;
    }
    let leave = [Leave::Death, Leave::FailedSync, Leave::FailedStop, Leave::Cut];
    let leave = leave[life.random.below(4) as usize];
    match life.random.below(4) {
        0 => {
            let size = fill_up(life)?;
            leave_tail(life, leave, &[size])?;
        }
        _ => {
            let sizes = sizes(life);
            leave_tail(life, leave, &sizes)?;
        }
    }
    // Recovery shows what there is, and may be cut short.
    if life.random.below(4) == 0 {
        let op = life.world.fs.ops() + life.random.below(12);
        life.world.fs.crash_at(op);
    }
    match life.open() {
        Err(Stop::PowerCut) => {
            life.cut()?;
            life.open()?;
        }
        opened => opened?,
    }
    life.world.fs.crash_at(u64::MAX);
    if life.random.below(2) == 0 {
        some(life, 3)?;
        life.advance(2);
        life.keep_house()?;
    }
    life.cut()?;
    life.open()?;
    some(life, 2)?;
    life.cut()?;
    life.open()
}

/// Commits of a record or two, each read back.
fn some(life: &mut Life, most: u64) -> Lived {
    for _ in 0..=life.random.below(most) {
        let sizes = sizes(life);
        life.put_now(STREAM, 0, &sizes)?;
        life.read(STREAM, 0)?;
    }
    Ok(())
}

fn sizes(life: &mut Life) -> Vec<usize> {
    let most = if life.random.below(3) == 0 { 9_000 } else { 700 };
    (0..=life.random.below(2)).map(|_| life.random.below(most) as usize).collect()
}

/// Fills the segment but for one frame. Returns the size of the record that fills it up to the
/// last byte: behind that frame there is nothing to zero.
fn fill_up(life: &mut Life) -> Lived<usize> {
    loop {
        life.put_now(STREAM, 0, &[1_000])?;
        let (path, _) = life.world.segments().pop().expect("it was just written");
        let layout = Layout::of(&life.world.fs.read_file(&path).expect("it was listed"));
        let room = layout.footer.start - layout.end();
        let last = layout.frames.last().expect("it was just written");
        if (500..16_000).contains(&room) {
            // The header, what encodes a record, and half of what rounding up forgives.
            return Ok(room - 80 - (last.payload().len() - 1_000) - 4);
        }
        let size = if room < 500 { 2_000 } else { (room - 10_000).min(20_000) };
        life.put_now(STREAM, 0, &[size])?;
    }
}

/// Commits frames whose last sync never works, and ends the run.
fn leave_tail(life: &mut Life, leave: Leave, sizes: &[usize]) -> Lived {
    if life.world.durability == Durability::Os {
        // Nothing is synced before the background comes round.
        for _ in 0..life.random.below(4) {
            life.put_now(STREAM, 0, &[sizes[0].min(700)])?;
        }
        life.put_now(STREAM, 0, sizes)?;
        // What is due of the background now, only a second later syncs.
        life.keep_house()?;
        life.advance(2);
    }
    let fs = life.world.fs.clone();
    match leave {
        Leave::Death | Leave::Cut => fs.cut_at(Op::Sync, fs.ops_of(Op::Sync), Moment::Before),
        Leave::FailedSync | Leave::FailedStop => {
            fs.inject(Fault::Fails { op: Op::Sync, nth: 1, is_full: false });
        }
    }
    life.trouble = match leave {
        Leave::FailedSync | Leave::FailedStop => Trouble::Errors,
        Leave::Death | Leave::Cut => Trouble::None,
    };
    let outcome = match (leave, life.world.durability) {
        (Leave::FailedStop, _) => life.stop(),
        (_, Durability::Fsync) => life.put_now(STREAM, 0, sizes),
        (_, Durability::Os) => life.keep_house(),
    };
    life.trouble = Trouble::None;
    match outcome {
        Ok(()) | Err(Stop::PowerCut) => {}
        found => return found,
    }
    fs.clear_faults();
    match leave {
        Leave::Cut => life.cut(),
        Leave::Death | Leave::FailedSync => life.kill(),
        Leave::FailedStop => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_unclean_tails_keep_what_was_shown() {
        for seed in 0..60 {
            cycle(seed).unwrap_or_else(|words| panic!("seed {seed}: {words}"));
        }
    }
}
