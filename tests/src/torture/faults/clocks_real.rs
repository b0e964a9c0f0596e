//! Row R18. A server whose wall clock is not the machine's: it starts a year late, a year early or
//! in 1970, and then its clock jumps while it runs.
//!
//! `libfaketime` stands between the server and the clock; the monotonic clock stays true, as it
//! does on a machine whose time is set. In each life records are put before, between and after
//! the jumps and restarts: all of them are minutes old at most, so all of them are there, in the
//! order of their stamps, and the metric tells of a clock that nobody follows.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use parking_lot::Mutex;

use super::served::{Account, Served, Told, record};
use crate::torture::{Check, Figures, Missing, Need, Plan, program};

pub(in crate::torture) const CHECK: Check = Check {
    name: "clocks-real",
    tier: "real",
    rows: &["R18"],
    about: "a server under libfaketime: starts and jumps by years, and to 1970",
    needs: &[Need::Program { name: "faketime", package: "faketime" }],
    run,
};

/// Where a clock stands, in the words of libfaketime.
const CLOCKS: [&str; 4] = ["+365d", "-365d", "@1970-01-01 00:00:01", "+0"];
const STREAM: &str = "s";
const PATIENCE: Duration = Duration::from_secs(10);
/// Longer than it takes until retention has looked: it does so every ten seconds.
const SWEEP: Duration = Duration::from_secs(11);
/// Most of the time lives wait.
const LIVES_AT_ONCE: usize = 4;

/// One life.
#[derive(Clone, Copy)]
struct Pair {
    start: &'static str,
    jump: &'static str,
    /// Retention looks at what there is, after the jump while the server runs and after it has
    /// started where the clock jumped to.
    is_swept: [bool; 2],
}

#[derive(Default)]
struct Tally {
    lives: u64,
    alarms: u64,
    unalarmed: u64,
    lost: u64,
    acknowledged: u64,
    remarks: Vec<String>,
}

fn run(plan: &Plan) -> Result<Figures> {
    // In CI two of them wait for retention, once each.
    let mut pairs: Vec<_> = CLOCKS
        .iter()
        .flat_map(|&start| CLOCKS.map(|jump| (start, jump)))
        .filter(|(start, jump)| start != jump)
        .map(|(start, jump)| {
            let is_swept = [("+0", "+365d"), ("-365d", "+0")].map(|pair| pair == (start, jump));
            Pair { start, jump, is_swept: is_swept.map(|swept| swept || plan.is_long()) }
        })
        .collect();
    pairs.sort_by_key(|pair| pair.is_swept == [false; 2]);
    plan.total(pairs.len() as u64);
    let preloaded = library()?;
    let (tally, next) = (Mutex::new(Tally::default()), AtomicUsize::new(0));
    let work = || -> Result<()> {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(pair) = pairs.get(number) else { return Ok(()) };
            let dir = plan.scratch().join(format!("life-{number}"));
            std::fs::create_dir(&dir)?;
            let mut life = Life { preloaded: &preloaded, dir, next: 1, tally: Tally::default() };
            let Pair { start, jump, .. } = pair;
            let lived = life.run(*pair);
            lived.with_context(|| format!("a clock at {start} that jumps to {jump}"))?;
            plan.advance(1);
            let mut tally = tally.lock();
            tally.add(life.tally);
            if !tally.remarks.is_empty() {
                return Ok(());
            }
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..LIVES_AT_ONCE).map(|_| scope.spawn(work)).collect();
        let ended = threads.into_iter().map(|thread| thread.join().expect("its panic is ours"));
        ended.collect::<Result<()>>()
    })?;
    let tally = tally.into_inner();
    let mut figures = Figures::default();
    let is_found = !tally.remarks.is_empty();
    figures.zero("promises broken", u64::from(is_found));
    let bar = if is_found { 0 } else { pairs.len() as u64 };
    figures.at_least("lives with wrong clocks", tally.lives, bar);
    figures.zero("records deleted early, lost, or with a stamp that fell", tally.lost);
    figures.told("alarms seen", tally.alarms);
    figures.zero("jumps without an alarm", tally.unalarmed);
    figures.told("records acknowledged", tally.acknowledged);
    figures.remark_all(tally.remarks);
    Ok(figures)
}

impl Tally {
    fn add(&mut self, other: Tally) {
        self.lives += other.lives;
        self.alarms += other.alarms;
        self.unalarmed += other.unalarmed;
        self.lost += other.lost;
        self.acknowledged += other.acknowledged;
        self.remarks.extend(other.remarks);
    }
}

/// The library that the program of its package loads.
fn library() -> Result<PathBuf> {
    for dir in ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"]
    {
        let library = Path::new(dir).join("faketime/libfaketimeMT.so.1");
        if library.exists() {
            return Ok(library);
        }
    }
    Err(Missing::new("needs libfaketimeMT.so.1, which is where nobody looked").into())
}

struct Life<'a> {
    /// What stands between the server and the clock.
    preloaded: &'a Path,
    dir: PathBuf,
    next: u64,
    tally: Tally,
}

impl Life<'_> {
    fn run(&mut self, pair: Pair) -> Result<()> {
        let Pair { start, jump, is_swept } = pair;
        let mut account = Account::default();
        let served = self.start(start)?;
        served.create_stream(STREAM)?;
        self.put(&served, &mut account)?;
        self.expect_alarm(&served, false)?;
        self.set(jump)?;
        self.put(&served, &mut account)?;
        self.expect_alarm(&served, true)?;
        if is_swept[0] {
            std::thread::sleep(SWEEP);
        }
        self.look(&served, &mut account)?;
        served.stop()?;
        // The clock stands where it jumped to, and it is believed; then it is put back.
        let served = self.start(jump)?;
        self.put(&served, &mut account)?;
        if is_swept[1] {
            std::thread::sleep(SWEEP);
        }
        self.look(&served, &mut account)?;
        self.set(start)?;
        self.put(&served, &mut account)?;
        self.look(&served, &mut account)?;
        served.kill()?;
        let served = self.start("+0")?;
        self.put(&served, &mut account)?;
        self.look(&served, &mut account)?;
        served.stop()?;
        self.tally.lives += 1;
        self.tally.acknowledged += account.acknowledged;
        Ok(())
    }

    fn clock(&self) -> PathBuf {
        self.dir.join("clock")
    }

    /// Sets the clock.
    fn set(&self, clock: &str) -> Result<()> {
        // Whoever reads it meanwhile sees the one or the other.
        let new = self.dir.join("clock.new");
        std::fs::write(&new, format!("{clock}\n"))?;
        Ok(std::fs::rename(new, self.clock())?)
    }

    fn start(&self, clock: &str) -> Result<Served> {
        self.set(clock)?;
        let mut command: Command = program();
        command
            .env("LD_PRELOAD", self.preloaded)
            .env("FAKETIME_TIMESTAMP_FILE", self.clock())
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        Served::start(command, &self.dir.join("data"), &self.dir.join("server.log"))
    }

    fn put(&mut self, served: &Served, account: &mut Account) -> Result<()> {
        for _ in 0..5 {
            self.next += 1;
            if let Told::Refused(word, why) =
                account.put(served, STREAM, &[record(self.next, 100)])?
            {
                self.tally.remarks.push(format!("a put is refused with {word}: {why}"));
            }
        }
        Ok(())
    }

    fn look(&mut self, served: &Served, account: &mut Account) -> Result<()> {
        let found = account.look(served, STREAM)?;
        self.tally.lost += found.len() as u64;
        self.tally.remarks.extend(found);
        Ok(())
    }

    /// The metric says whether the wall clock is somewhere else.
    fn expect_alarm(&mut self, served: &Served, is_due: bool) -> Result<()> {
        let began = Instant::now();
        let expected = f64::from(u8::from(is_due));
        while (served.metric("anabranch_clock_jump_pending ")? - expected).abs() > 0.1 {
            if began.elapsed() > PATIENCE {
                self.tally.unalarmed += 1;
                self.tally.remarks.push(format!("the alarm is not {is_due}"));
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        self.tally.alarms += u64::from(is_due);
        Ok(())
    }
}
