//! Row R12. A server on a small disk that is filled and freed, again and again.
//!
//! A cycle: a stream is made and filled until puts are refused, with a word that says why. While
//! the disk is full, everything is read; in some cycles the server is stopped or killed and
//! started again on the full disk. Then there is room, because a file of someone else's is
//! removed or because an old stream is deleted, and puts go on: by themselves, and in how many
//! milliseconds is measured. Half of the cycles have an ext4 under them that cannot reserve space.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::served::{Account, Served, Told, record};
use super::small_disk::{Kind, SmallDisk};
use crate::support::Random;
use crate::torture::{Bar, Check, Figures, Need, Plan};

pub(in crate::torture) const CHECK: Check = Check {
    name: "full-disk-real",
    tier: "real",
    rows: &["R12"],
    about: "a server on a small disk, filled and freed: refusals with a word, and it resumes",
    needs: &[
        Need::Root,
        Need::LoopDevices,
        Need::Program { name: "unshare", package: "util-linux" },
        Need::Program { name: "nsenter", package: "util-linux" },
        Need::Program { name: "mount", package: "mount" },
        Need::Program { name: "mkfs.ext4", package: "e2fsprogs" },
    ],
    run,
};

const DISK_BYTES: u64 = 24 << 20;
/// What is left for a stream of a cycle.
const ROOM_BYTES: u64 = 3 << 20;
/// Records of a put, and bytes of each are below this.
const BATCH: usize = 24;
const RECORD_BYTES: u64 = 8_000;
/// Far more puts than fill the room.
const PUTS_MAX: usize = 2_000;
/// A cycle in so many starts the server again on the full disk.
const CYCLES_PER_START: u64 = 5;
/// Longer than it may ever take until puts go on.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Default)]
struct Tally {
    cycles: u64,
    acknowledged: u64,
    refused: u64,
    unclear: u64,
    lost: u64,
    starts: u64,
    deletions: u64,
    deletions_refused: u64,
    slowest: Duration,
    remarks: Vec<String>,
}

fn run(plan: &Plan) -> Result<Figures> {
    let cycles = plan.size(24, 1_000);
    plan.total(cycles);
    let mut tally = Tally::default();
    for (kind, cycles) in [(Kind::Memory, cycles / 2), (Kind::WithoutReservation, cycles / 2)] {
        plan.say(format!("{kind:?}"));
        if tally.lost + tally.unclear == 0 {
            of_one_disk(plan, kind, cycles, &mut tally)?;
        }
    }
    let mut figures = Figures::default();
    figures.zero("promises broken", tally.lost);
    let bar = if tally.lost + tally.unclear > 0 { 0 } else { cycles };
    figures.at_least("fill-and-free cycles", tally.cycles, bar);
    figures.told("records acknowledged", tally.acknowledged);
    figures.at_least("puts refused", tally.refused, bar);
    figures.zero("of them without the word that the disk is full", tally.unclear);
    figures.told("starts on the full disk", tally.starts);
    figures.told("times a deleted stream made the room", tally.deletions);
    figures.told("deletions that the full disk refused", tally.deletions_refused);
    let slowest = tally.slowest.as_secs_f64() * 1000.0;
    figures.add("slowest resumption", slowest, "ms", Bar::AtMost(1000.0));
    figures.remark_all(tally.remarks);
    Ok(figures)
}

struct Cycles<'a> {
    disk: SmallDisk,
    served: Served,
    random: Random,
    next_record: u64,
    last_refusal: String,
    tally: &'a mut Tally,
}

fn of_one_disk(plan: &Plan, kind: Kind, cycles: u64, tally: &mut Tally) -> Result<()> {
    let scratch = plan.scratch().join(format!("{kind:?}"));
    std::fs::create_dir_all(&scratch)?;
    let log = plan.scratch().join("server.log");
    let disk = SmallDisk::new(&scratch, kind, DISK_BYTES)?;
    let served = Served::start(disk.server()?, &disk.data(), &log)?;
    let random = Random(plan.seed());
    let last_refusal = String::new();
    let mut of = Cycles { disk, served, random, next_record: 1, last_refusal, tally };
    let mut before: Option<(String, Account)> = None;
    for cycle in 0..cycles {
        let stream = format!("s{cycle}");
        let mut account = Account::default();
        of.served.create_stream(&stream).context("creating a stream while there is room")?;
        of.disk.fill_up_to(ROOM_BYTES)?;
        of.fill(&stream, &mut account)?;
        of.look(cycle, &stream, &mut account)?;
        if cycle % CYCLES_PER_START == CYCLES_PER_START - 1 {
            of = of.start_again(cycle, &log)?;
            of.look(cycle, &stream, &mut account)?;
        }
        if let Some((name, account)) = &mut before {
            of.look(cycle, name, account)?;
            of.tally.acknowledged += account.acknowledged;
        }
        let is_deletion = cycle % 2 == 1;
        if let Some((name, _)) = before.take() {
            let is_deleted = is_deletion && of.delete(&name)?;
            if !is_deleted {
                of.disk.free_up()?;
                of.served.delete_stream(&name).context("deleting a stream")?;
            }
        } else {
            of.disk.free_up()?;
        }
        of.resume(cycle, &stream, &mut account)?;
        of.disk.free_up()?;
        of.put(&stream, &mut account)?;
        of.look(cycle, &stream, &mut account)?;
        of.tally.cycles += 1;
        plan.advance(1);
        if of.tally.lost + of.tally.unclear > 0 {
            return Ok(());
        }
        before = Some((stream, account));
    }
    of.served.stop()
}

impl Cycles<'_> {
    fn put(&mut self, stream: &str, account: &mut Account) -> Result<bool> {
        let records: Vec<_> = (0..BATCH)
            .map(|_| {
                self.next_record += 1;
                record(self.next_record, self.random.below(RECORD_BYTES) as usize)
            })
            .collect();
        match account.put(&self.served, stream, &records)? {
            Told::Kept(_) => Ok(true),
            Told::Refused(word, why) => {
                self.tally.refused += 1;
                self.last_refusal = format!("{word}: {why}");
                // Of one record, or of the whole call.
                let is_known = ["DiskFullException", "ResourceExhausted"].contains(&word.as_str());
                if !is_known || !why.contains("disk is full") {
                    self.tally.unclear += 1;
                    self.tally.remarks.push(format!("a put is refused with {word}: {why}"));
                }
                Ok(false)
            }
        }
    }

    fn fill(&mut self, stream: &str, account: &mut Account) -> Result<()> {
        for _ in 0..PUTS_MAX {
            if !self.put(stream, account)? {
                return Ok(());
            }
        }
        bail!("the disk does not get full")
    }

    fn look(&mut self, cycle: u64, stream: &str, account: &mut Account) -> Result<()> {
        let found = account.look(&self.served, stream)?;
        self.tally.lost += found.len() as u64;
        for words in found.iter().take(3) {
            self.tally.remarks.push(format!("cycle {cycle}, {stream}: {words}"));
        }
        Ok(())
    }

    /// The server ends on the full disk, and starts there.
    fn start_again(self, cycle: u64, log: &std::path::Path) -> Result<Self> {
        match cycle / CYCLES_PER_START % 2 {
            0 => self.served.kill()?,
            _ => match self.served.stop() {
                // It cannot note that the stop was clean, and says so.
                Err(error) if format!("{error:#}").contains("No space left") => {}
                stopped => stopped?,
            },
        }
        let served = Served::start(self.disk.server()?, &self.disk.data(), log);
        let served = served.context("starting on a full disk")?;
        self.tally.starts += 1;
        Ok(Cycles { served, ..self })
    }

    /// Deletes a stream while the disk is full. False: there is no room even for that.
    fn delete(&mut self, stream: &str) -> Result<bool> {
        match self.served.delete_stream(stream) {
            Ok(()) => {
                self.tally.deletions += 1;
                Ok(true)
            }
            Err(error) if error.to_string().contains("disk is full") => {
                self.tally.deletions_refused += 1;
                Ok(false)
            }
            Err(error) => Err(error).context("deleting a stream on a full disk"),
        }
    }

    /// Puts small records until one is taken.
    fn resume(&mut self, cycle: u64, stream: &str, account: &mut Account) -> Result<()> {
        let began = Instant::now();
        while !self.put(stream, account)? {
            if began.elapsed() > PATIENCE {
                let free = self.disk.free()? >> 10;
                let why = &self.last_refusal;
                bail!("cycle {cycle}: {free} KiB are free, and puts are refused: {why}");
            }
            // A client does not ask without end either.
            std::thread::sleep(Duration::from_millis(2));
        }
        self.tally.slowest = self.tally.slowest.max(began.elapsed());
        Ok(())
    }
}
