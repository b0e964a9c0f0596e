//! Life after life of one server, each ended by a cut.
//!
//! The server is killed, and in the next moment the file system is shut down: what clients
//! were told until then, they were told of a whole file system. One cut in [`CUTS_PER_AFTERLIFE`]
//! comes the other way round, so that the server meets the errors of a file system that is
//! gone. What it says then is not held against it: a sync that is under way when ext4 is shut
//! down may return success for a transaction that was dropped (jbd2 takes one that is neither
//! running nor being committed for a committed one), and in a power cut nobody is there to
//! hear of it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::timeout;

use super::event::Event;
use super::ground::Ground;
use super::inspect::{Inspector, Running};
use super::load;
use super::tally::Tally;
use crate::support::Random;
use crate::torture::server::{Durability, PATIENCE, Server, verify};

/// What to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Order {
    /// Cuts under load.
    pub(super) cuts: u64,
    pub(super) durability: Durability,
    /// Decides when cuts come, as far as anything can that runs on a clock.
    pub(super) seed: u64,
}

/// Cuts between two fresh starts: enough for segments to roll a few times.
const CUTS_OF_A_DISK: u64 = 12;
/// One cut in so many is followed by one while the server starts again.
pub(super) const CUTS_PER_CUT_IN_START: u64 = 4;
/// One cut in so many is followed by one as soon as everything was read again, with nothing
/// put in between: what a server shows after a start may be gone after no other cut.
pub(super) const CUTS_PER_SECOND_CUT: u64 = 4;
/// One cut in so many leaves the server alive for a moment.
const CUTS_PER_AFTERLIFE: u64 = 5;
/// Answers after which the rest of a life begins are below this.
const ANSWERS: u64 = 64;
/// Milliseconds of the rest of a life are below this.
const LIFE_MS: u64 = 150;
/// Milliseconds of that moment are below this.
const AFTERLIFE_MS: u64 = 8;
/// Milliseconds after which a cut during a start comes are below this.
const START_MS: u64 = 40;

/// Does what is ordered; ends at the first violation.
pub(super) fn run(order: &Order, ground: &mut dyn Ground, advance: &dyn Fn()) -> Result<Tally> {
    let began = Instant::now();
    let mut lives = Lives {
        inspector: Inspector::new(order.durability, ground.forgets(), Some(&ground.log()))?,
        random: Random(order.seed),
        life: 0,
        ground,
    };
    let ended = lives.of_all_disks(order.cuts, advance);
    if ended.is_err() || lives.tally().is_violated() {
        lives.inspector.keep_evidence();
    }
    ended.with_context(|| lives.inspector.tally.remarks.join("; "))?;
    lives.tally().millis = began.elapsed().as_millis() as u64;
    Ok(std::mem::take(lives.tally()))
}

struct Lives<'a> {
    inspector: Inspector,
    random: Random,
    life: u32,
    ground: &'a mut dyn Ground,
}

impl Lives<'_> {
    fn tally(&mut self) -> &mut Tally {
        &mut self.inspector.tally
    }

    fn of_all_disks(&mut self, cuts: u64, advance: &dyn Fn()) -> Result<()> {
        while self.tally().cuts < cuts && !self.tally().is_violated() {
            let cuts_of_disk = (cuts - self.tally().cuts).min(CUTS_OF_A_DISK);
            self.of_one_disk(cuts_of_disk, advance)?;
        }
        Ok(())
    }

    /// So many cuts of one file system, and a clean stop.
    fn of_one_disk(&mut self, cuts: u64, advance: &dyn Fn()) -> Result<()> {
        let data = self.ground.fresh()?;
        self.inspector.forget();
        let log = self.ground.log();
        let mut running = self.inspector.inspect(self.life, &[], &data, &log)?;
        for _ in 0..cuts {
            let Some(Running { server, address }) = running else {
                return Ok(());
            };
            self.life += 1;
            let events = self.live(Running { server, address })?;
            while self.random.below(CUTS_PER_CUT_IN_START) == 0 {
                self.cut_in_start(&data)?;
            }
            running = self.inspector.inspect(self.life, &events, &data, &log)?;
            if self.random.below(CUTS_PER_SECOND_CUT) == 0
                && let Some(Running { server, .. }) = running
            {
                self.second_cut(server)?;
                running = self.inspector.inspect(self.life, &[], &data, &log)?;
            }
            advance();
            if self.tally().is_violated() {
                return Ok(());
            }
        }
        let Some(Running { server, .. }) = running else {
            return Ok(());
        };
        server.stop()?;
        if let Some(words) = verify(&data)? {
            self.tally().damage += 1;
            self.tally().remark(format!("after a clean stop: {words}"));
        }
        Ok(())
    }

    /// A life under load, to its end, and what clients were told in it.
    fn live(&mut self, Running { server, address }: Running) -> Result<Vec<Event>> {
        self.ground.arm()?;
        let (sender, mut receiver) = unbounded_channel();
        let load = self.inspector.runtime.spawn(load::run(address, self.life, sender));
        let answers = 1 + self.random.below(ANSWERS);
        let mut events = Vec::new();
        let first_answers = async {
            let mut seen = 0;
            while seen < answers {
                let Some(event) = receiver.recv().await else {
                    bail!("the load ended by itself after {seen} answers");
                };
                seen += u64::from(matches!(event, Event::Acknowledged { .. }));
                events.push(event);
            }
            Ok(())
        };
        let first_answers = async { timeout(PATIENCE, first_answers).await };
        let waited = self.inspector.runtime.block_on(first_answers);
        waited.context("puts get no answers")??;
        self.pause(LIFE_MS);
        while let Ok(event) = receiver.try_recv() {
            events.push(event);
        }
        let has_afterlife = self.cut(server)?;
        let ended = async { timeout(PATIENCE, load).await };
        let ended = self.inspector.runtime.block_on(ended);
        ended.context("clients do not notice that their server is gone")???;
        while let Ok(event) = receiver.try_recv() {
            if event.is_attempt() || !has_afterlife {
                events.push(event);
            }
        }
        self.ground.settle()?;
        self.tally().cuts += 1;
        Ok(events)
    }

    /// A cut while the server starts: what recovery has half done must be no harm.
    fn cut_in_start(&mut self, data: &Path) -> Result<()> {
        self.ground.arm()?;
        let server = Server::spawn(data, self.inspector.durability, &self.log_of_start())?;
        self.pause(START_MS);
        self.cut(server)?;
        self.ground.settle()?;
        self.tally().cuts_in_start += 1;
        Ok(())
    }

    /// A cut of a server that has been read and nothing else: all that it has shown, it has
    /// recovered.
    fn second_cut(&mut self, server: Server) -> Result<()> {
        self.ground.arm()?;
        self.cut(server)?;
        self.ground.settle()?;
        self.tally().second_cuts += 1;
        Ok(())
    }

    /// The end of a server and of the ground under it; whether it outlived the ground.
    fn cut(&mut self, mut server: Server) -> Result<bool> {
        let has_afterlife = self.ground.forgets() && self.random.below(CUTS_PER_AFTERLIFE) == 0;
        if has_afterlife {
            self.ground.pull()?;
            self.pause(AFTERLIFE_MS);
            server.kill()?;
        } else {
            server.kill()?;
            self.ground.pull()?;
        }
        server.wait()?;
        Ok(has_afterlife)
    }

    fn log_of_start(&self) -> PathBuf {
        self.ground.log().with_extension("start.log")
    }

    /// A moment that nothing else decides.
    fn pause(&mut self, below_ms: u64) {
        std::thread::sleep(Duration::from_micros(self.random.below(1000 * below_ms)));
    }
}
