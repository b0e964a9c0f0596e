//! Row R18. Clocks that jump, while the true time passes as it does: nothing is deleted before it
//! is as old as it may get, everything is once it is, and arrival times never fall.
//!
//! The simulated machine has two clocks, of which the wall clock is made to jump, once or every
//! second, and perhaps back; the monotonic one is the truth. Between the jumps come restarts of
//! all kinds. After the last jump the server has to run for as long as records are kept and for
//! the ten minutes in which a jump is confirmed: the next sweep frees everything.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anabranch_engine::clock::Clock;
use anabranch_engine::limits::{CLOCK_JUMP_CONFIRM_MS, CLOCK_STEP_MS_MAX};
use anabranch_engine::{Durability, Engine, SegmentBytes, Shard, StreamSettings};
use anyhow::Result;
use parking_lot::Mutex;

use crate::support::{Random, START_MS, World, name, put_now, read_over_damage};
use crate::torture::{Check, Figures, Plan};

pub(in crate::torture) const CHECK: Check = Check {
    name: "clocks",
    tier: "A",
    rows: &["R18"],
    about: "clocks jump by years, to 1970, each second, over restarts: retention is right",
    needs: &[],
    run,
};

const HOUR_MS: u64 = 3_600_000;
const YEAR_MS: u64 = 8760 * HOUR_MS;
const RETENTION_MS: u64 = 24 * HOUR_MS;
const SHARDS: u32 = 2;

/// What the wall clock does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Jump {
    Forward(u64),
    Backward(u64),
    /// To where a machine without a clock begins.
    To(u64),
    /// A second comes twice.
    LeapSecond,
    /// Forth and back, every second.
    EverySecond(u64),
    /// Further every second.
    Away(u64),
}

const JUMPS: [Jump; 10] = [
    Jump::Forward(YEAR_MS),
    Jump::Backward(YEAR_MS),
    Jump::To(0),
    Jump::To(253_402_300_799_000),
    Jump::LeapSecond,
    Jump::EverySecond(YEAR_MS),
    Jump::EverySecond(CLOCK_STEP_MS_MAX),
    Jump::Away(HOUR_MS),
    Jump::Forward(26 * HOUR_MS),
    Jump::Backward(HOUR_MS),
];

/// How the server ends before it starts again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    None,
    Stop,
    Kill,
    Cut,
}

const ENDS: [End; 4] = [End::None, End::Stop, End::Kill, End::Cut];

/// One life with a jump.
#[derive(Clone, Copy, Debug)]
struct Cycle {
    seed: u64,
    jump: Jump,
    /// Before the jump, and behind it.
    ends: [End; 2],
    /// The clock is put right again after so many minutes.
    right_after: Option<u64>,
    /// The very first start sees the wrong clock already.
    is_wrong_from_the_start: bool,
}

/// What is counted over all lives.
#[derive(Default)]
struct Tally {
    cycles: u64,
    early: u64,
    fell: u64,
    stuck: u64,
    lost: u64,
    unalarmed: u64,
    alarms: u64,
    records: u64,
    trimmed: u64,
    found: Option<String>,
}

fn run(plan: &Plan) -> Result<Figures> {
    let seeds = plan.size(1, 50);
    // In CI every third, which has still every jump, and every end before and behind one.
    let step = plan.size(3, 1) as usize;
    let cycles = (0..seeds).flat_map(|offset| cycles(plan.seed() + offset)).step_by(step);
    let cycles: Vec<Cycle> = cycles.collect();
    plan.total(cycles.len() as u64);
    let (tally, next) = (Mutex::new(Tally::default()), AtomicUsize::new(0));
    let work = || -> Result<()> {
        while let Some(cycle) = cycles.get(next.fetch_add(1, Ordering::Relaxed)) {
            let mut of_one = Tally::default();
            cycle.run(&mut of_one)?;
            plan.advance(1);
            let mut tally = tally.lock();
            tally.add(of_one);
            if tally.found.is_some() {
                break;
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..plan.threads()).map(|_| scope.spawn(work)).collect();
        let ended = threads.into_iter().map(|thread| thread.join().expect("its panic is ours"));
        ended.collect::<Result<()>>()
    })?;
    let tally = tally.into_inner();
    let mut figures = Figures::default();
    let bar = if tally.found.is_some() { 0 } else { cycles.len() as u64 };
    figures.at_least("lives with a jump", tally.cycles, bar);
    figures.zero("records deleted early", tally.early);
    figures.zero("records or bytes not freed in the sweep after", tally.stuck);
    figures.zero("arrival times that fell", tally.fell);
    figures.zero("records lost", tally.lost);
    figures.zero("jumps without an alarm", tally.unalarmed);
    figures.told("alarms seen", tally.alarms);
    figures.told("records put", tally.records);
    figures.told("records freed", tally.trimmed);
    if let Some(words) = tally.found {
        figures.remark(words);
    }
    Ok(figures)
}

impl Tally {
    fn add(&mut self, other: Tally) {
        self.cycles += other.cycles;
        self.early += other.early;
        self.fell += other.fell;
        self.stuck += other.stuck;
        self.lost += other.lost;
        self.unalarmed += other.unalarmed;
        self.alarms += other.alarms;
        self.records += other.records;
        self.trimmed += other.trimmed;
        self.found = self.found.take().or(other.found);
    }
}

/// All jumps with all restarts of one seed.
fn cycles(seed: u64) -> impl Iterator<Item = Cycle> {
    let ends = ENDS.iter().flat_map(|before| ENDS.map(|behind| [*before, behind]));
    let all = JUMPS.iter().flat_map(move |jump| ends.clone().map(move |ends| (*jump, ends)));
    all.enumerate().map(move |(turn, (jump, ends))| {
        let turn = turn as u64 + seed;
        Cycle {
            seed: turn,
            jump,
            ends,
            right_after: [None, Some(5), Some(45)][(turn % 3) as usize],
            is_wrong_from_the_start: turn.is_multiple_of(7),
        }
    })
}

/// A server, its client, and the true time.
struct Life<'a> {
    world: World,
    engine: Option<Engine>,
    /// Of each shard: number to when it was truly put, and its stamp once it was read.
    put: Vec<BTreeMap<u64, (Duration, Option<u64>)>>,
    random: Random,
    tally: &'a mut Tally,
    cycle: Cycle,
}

impl Cycle {
    fn run(self, tally: &mut Tally) -> Result<()> {
        let durability =
            if self.seed.is_multiple_of(5) { Durability::Os } else { Durability::Fsync };
        let segment_bytes = SegmentBytes { first: 64 << 10, max: 64 << 10 };
        let mut life = Life {
            world: World { durability, segment_bytes, ..World::new(self.seed) },
            engine: None,
            put: vec![BTreeMap::new(); SHARDS as usize],
            random: Random(self.seed),
            tally,
            cycle: self,
        };
        life.run()?;
        tally.cycles += 1;
        Ok(())
    }
}

impl Life<'_> {
    fn run(&mut self) -> Result<()> {
        if self.cycle.is_wrong_from_the_start {
            self.jump(0);
        }
        self.engine = Some(self.world.open()?);
        self.engine().create_stream(&name("s"), SHARDS, StreamSettings::default())?;
        // An hour of segments of known age.
        self.pass_minutes(60, 3)?;
        self.end(self.cycle.ends[0])?;
        if self.cycle.is_wrong_from_the_start {
            self.put_right();
        } else {
            self.jump(0);
        }
        self.alarm(self.cycle.ends[0] == End::None)?;
        let is_stepping = matches!(self.cycle.jump, Jump::EverySecond(_) | Jump::Away(_));
        for second in 1..if is_stepping { 1_500 } else { 0 } {
            self.pass(1);
            self.jump(second);
            self.keep_house()?;
        }
        self.pass_minutes(self.cycle.right_after.unwrap_or(20), 2)?;
        self.end(self.cycle.ends[1])?;
        if self.cycle.right_after.is_some() {
            self.put_right();
        }
        // Most of a day, in which nothing gets old.
        self.pass_minutes(20 * 60, 20)?;
        self.look()?;
        // Now it does. What was put last sets the time; the server runs for all of it.
        self.pass_quietly(RETENTION_MS + CLOCK_JUMP_CONFIRM_MS + 60_000)?;
        self.look()?;
        self.expect_freed();
        self.engine().shut_down()?;
        Ok(())
    }

    fn engine(&self) -> &Engine {
        self.engine.as_ref().expect("it was opened")
    }

    fn shards(&self) -> Result<Vec<Arc<Shard>>> {
        Ok(self.engine().stream(&name("s"))?.shards().to_vec())
    }

    fn found(&mut self, words: &str) {
        let words = format!("{words}; {:?}", self.cycle);
        self.tally.found.get_or_insert(words);
    }

    // ---- time ----------------------------------------------------------------------------

    fn now(&self) -> Duration {
        self.world.clock.monotonic()
    }

    fn pass(&self, seconds: u64) {
        self.world.clock.advance(Duration::from_secs(seconds));
    }

    /// What the wall clock would show if nobody had touched it.
    fn right_ms(&self) -> u64 {
        START_MS + self.now().as_millis() as u64
    }

    fn put_right(&self) {
        self.world.clock.set_wall_ms(self.right_ms());
    }

    fn jump(&self, second: u64) {
        let right = self.right_ms();
        self.world.clock.set_wall_ms(match self.cycle.jump {
            Jump::Forward(ms) => right + ms,
            Jump::Backward(ms) => right.saturating_sub(ms),
            Jump::To(ms) => ms,
            Jump::LeapSecond => right - 1000,
            Jump::EverySecond(ms) if second.is_multiple_of(2) => right + ms,
            Jump::EverySecond(ms) => right - ms,
            Jump::Away(ms) => right + ms * (second + 1),
        });
    }

    /// Time in which records are put and the background works.
    fn pass_minutes(&mut self, minutes: u64, every: u64) -> Result<()> {
        for minute in 0..minutes {
            self.pass(60);
            if minute.is_multiple_of(every) {
                self.put()?;
            }
            self.keep_house()?;
        }
        Ok(())
    }

    /// Time in which nothing is put.
    fn pass_quietly(&mut self, ms: u64) -> Result<()> {
        for _ in 0..ms / 60_000 {
            self.pass(60);
            self.keep_house()?;
        }
        Ok(())
    }

    // ---- the client ----------------------------------------------------------------------

    fn put(&mut self) -> Result<()> {
        for (index, shard) in self.shards()?.iter().enumerate() {
            let data = vec![index as u8; self.random.below(9_000) as usize];
            let appended = put_now(self.engine(), shard, &[&data])?;
            let now = self.now();
            self.put[index].insert(appended.first.0, (now, None));
            self.tally.records += 1;
        }
        Ok(())
    }

    /// The background; and nothing goes that has not reached its age.
    fn keep_house(&mut self) -> Result<()> {
        self.engine().housekeeping_step();
        let now = self.now();
        for (index, shard) in self.shards()?.iter().enumerate() {
            let horizon = shard.watermarks().trim_horizon.0;
            let kept = self.put[index].split_off(&horizon);
            let gone = std::mem::replace(&mut self.put[index], kept);
            self.tally.trimmed += gone.len() as u64;
            let retention = Duration::from_millis(RETENTION_MS);
            let early =
                gone.values().filter(|(put, _)| now.saturating_sub(*put) < retention).count();
            if early > 0 {
                self.tally.early += early as u64;
                self.found(&format!("{early} records of shard {index} go early, at {now:?}"));
            }
        }
        Ok(())
    }

    /// Everything that is kept is there, and stamps rise and stay.
    fn look(&mut self) -> Result<()> {
        for (index, shard) in self.shards()?.iter().enumerate() {
            let (read, damage) = read_over_damage(shard, 0);
            let numbers = read.iter().map(|read| read.sequence);
            if !damage.is_empty() || !numbers.eq(self.put[index].keys().copied()) {
                self.tally.lost += 1;
                self.found(&format!("shard {index} is not what was put"));
                continue;
            }
            let mut newest = 0;
            for read in read {
                let (_, stamp) = self.put[index].get_mut(&read.sequence).expect("compared");
                let is_same = *stamp.get_or_insert(read.arrival_ms) == read.arrival_ms;
                if read.arrival_ms < newest || !is_same {
                    self.tally.fell += 1;
                    self.found(&format!("the stamp of {} of shard {index}", read.sequence));
                }
                newest = read.arrival_ms;
            }
        }
        Ok(())
    }

    /// A wall clock that is far off is told of, until stamps follow it.
    fn alarm(&mut self, is_running: bool) -> Result<()> {
        self.put()?;
        let off_by = self.world.clock.wall_ms().abs_diff(self.engine().now_ms());
        let is_pending = self.engine().stats().is_clock_jump_pending;
        self.tally.alarms += u64::from(is_pending);
        if is_running && off_by > CLOCK_STEP_MS_MAX && !is_pending {
            self.tally.unalarmed += 1;
            self.found("no alarm");
        }
        Ok(())
    }

    /// Everything is old: nothing is shown any more, and no file is left but the one that each
    /// shard writes to.
    fn expect_freed(&mut self) {
        let left: usize = self.put.iter().map(BTreeMap::len).sum();
        let files = self.world.segments().len();
        if left > 0 || files > SHARDS as usize {
            self.tally.stuck += left.max(files) as u64;
            self.found(&format!("{left} records and {files} files are still there"));
        }
    }

    /// The server ends and starts again. In mode `os` a cut may take what was put last.
    fn end(&mut self, end: End) -> Result<()> {
        match end {
            End::None => return Ok(()),
            End::Stop => self.engine().shut_down()?,
            End::Kill | End::Cut => {}
        }
        let fs = match end {
            End::Kill => Some(self.world.fs.kill()),
            End::Cut => Some(self.world.fs.crash()),
            End::None | End::Stop => None,
        };
        self.engine = None;
        if let Some(fs) = fs {
            self.world = self.world.with(fs);
        }
        // For a while nothing runs.
        let seconds = self.random.below(7_200);
        self.pass(seconds);
        self.engine = Some(self.world.open()?);
        if end == End::Cut && self.world.durability == Durability::Os {
            for (index, shard) in self.shards()?.iter().enumerate() {
                let tip = shard.watermarks().durable.0;
                self.put[index].split_off(&tip);
            }
        }
        self.look()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_jumps_delete_nothing_early_and_keep_nothing_for_ever() {
        let mut tally = Tally::default();
        for cycle in cycles(1).step_by(13) {
            cycle.run(&mut tally).unwrap();
        }
        assert_eq!(tally.found, None);
        assert!(tally.alarms > 0 && tally.trimmed > 0);
    }
}
