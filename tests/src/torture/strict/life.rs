//! A client of one engine on a simulated disk: it does things, and tells the checkers of what
//! it did and was told. Whatever goes wrong without cause ends its life with words.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anabranch_engine::clock::Clock;
use anabranch_engine::fs::Fs;
use anabranch_engine::offline::{FindingKind, Mode, verify};
use anabranch_engine::{AppendTicket, Durability, Engine, SegmentBytes};

use super::tally::Tally;
use super::trouble::Trouble;
use crate::checker::{Event, ShardChecker, Violation};
use crate::damage::subject::DATA;
use crate::support::{Random, World, name};

/// Why a life ends before its script does.
pub(in crate::torture) enum Stop {
    /// The power has gone, as it was meant to.
    PowerCut,
    /// The engine does not start, and has cause for it.
    NoStart(String),
    /// A promise was not kept, or something failed without cause.
    Found(String),
}

pub(in crate::torture) type Lived<T = ()> = Result<T, Stop>;

/// Whether something is there, as far as a client knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::torture) enum Presence {
    Sure,
    /// Asked for, and never answered.
    InDoubt,
}

pub(in crate::torture) struct KnownStream {
    /// `None` until someone has seen it.
    pub(in crate::torture) id: Option<u64>,
    pub(in crate::torture) presence: Presence,
    /// Hours that may be in force; more than one where a change was never answered.
    pub(in crate::torture) retention_hours: Vec<u32>,
    /// What arrived before this was old enough once: it may go at any time, also if it was kept
    /// for longer since.
    pub(in crate::torture) expired_ms: u64,
    pub(in crate::torture) consumers: BTreeMap<String, Presence>,
    pub(in crate::torture) shards: Vec<KnownShard>,
}

#[derive(Default)]
pub(in crate::torture) struct KnownShard {
    pub(in crate::torture) checker: ShardChecker,
    /// Where its reader stands.
    pub(in crate::torture) position: u64,
    pub(in crate::torture) horizon: u64,
    pub(in crate::torture) is_halted: bool,
    /// What its readers were told of when the last run ended: the number behind it.
    told: u64,
}

pub(in crate::torture) struct Ticket {
    pub(in crate::torture) stream: String,
    pub(in crate::torture) shard: usize,
    pub(in crate::torture) put: u64,
    pub(in crate::torture) outcome: AppendTicket,
}

/// The client.
pub(in crate::torture) struct Life {
    pub(in crate::torture) world: World,
    pub(in crate::torture) random: Random,
    /// What goes wrong by intent.
    pub(in crate::torture) trouble: Trouble,
    /// The reads of each start, and whether it followed a clean stop.
    pub(in crate::torture) starts: Vec<(Range<u64>, bool)>,
    /// What the disk had counted when all was well the last time: failures, reads that failed,
    /// and operations without space.
    pub(in crate::torture) failed_before: usize,
    pub(in crate::torture) unread_before: u64,
    pub(in crate::torture) refused_before: u64,
    pub(in crate::torture) tally: Tally,
    engine: Option<Engine>,
    pub(in crate::torture) streams: BTreeMap<String, KnownStream>,
    pub(in crate::torture) tickets: Vec<Ticket>,
    pub(in crate::torture) next_record: u64,
    pub(in crate::torture) next_put: u64,
    undurable_slices: u64,
}

pub(in crate::torture) const RETENTION_HOURS: u32 = 24;

impl Life {
    /// A client without a server, before an empty disk. Segments are as small as they get.
    pub(in crate::torture) fn new(seed: u64, durability: Durability) -> Life {
        let segment_bytes = SegmentBytes { first: 64 << 10, max: 64 << 10 };
        Life {
            world: World { durability, segment_bytes, ..World::new(seed) },
            random: Random(seed ^ 0x6c69_6665),
            trouble: Trouble::None,
            starts: Vec::new(),
            failed_before: 0,
            unread_before: 0,
            refused_before: 0,
            tally: Tally::default(),
            engine: None,
            streams: BTreeMap::new(),
            tickets: Vec::new(),
            next_record: 1,
            next_put: 1,
            undurable_slices: 0,
        }
    }

    pub(in crate::torture) fn engine(&self) -> &Engine {
        self.engine.as_ref().expect("it was opened")
    }

    /// Tells the checker of a shard.
    pub(in crate::torture) fn see(&mut self, stream: &str, shard: usize, event: &Event) -> Lived {
        let Some(known) = self.streams.get_mut(stream) else { return Ok(()) };
        let checker = &mut known.shards[shard].checker;
        checker.see(event);
        match checker.violations().first() {
            None => Ok(()),
            Some(violation) => {
                self.tally.lost += u64::from(matches!(violation, Violation::Lost { .. }));
                Err(Stop::Found(format!("shard {shard} of {stream}: {violation} at {event:?}")))
            }
        }
    }

    pub(in crate::torture) fn advance(&mut self, seconds: u64) {
        self.world.clock.advance(Duration::from_secs(seconds));
    }

    /// The background.
    pub(in crate::torture) fn keep_house(&mut self) -> Lived {
        self.watch(false, |life| life.engine().housekeeping_step())?;
        self.resume();
        if self.world.fs.is_dead() {
            return Err(Stop::PowerCut);
        }
        let stats = self.engine().stats();
        self.tally.spare = self.tally.spare.max(stats.spare_segments);
        if stats.damage_found > 0 && !self.may_be_damaged() {
            return Err(Stop::Found("damage is reported, and there is none".to_owned()));
        }
        self.look_at_horizons()
    }

    pub(in crate::torture) fn look_at_horizons(&mut self) -> Lived {
        for (stream, shard) in self.all_shards() {
            let Some(found) = self.find(&stream)? else { continue };
            let to = found.shards()[shard].watermarks().trim_horizon.0;
            let cutoff_ms = self.expire(&stream);
            let known = self.streams.get_mut(&stream).expect("it was listed");
            let known = &mut known.shards[shard];
            self.tally.trimmed += u64::from(known.horizon < to && known.horizon > 0);
            if to < known.horizon {
                let words = format!("shard {shard} of {stream} falls to {to}");
                return Err(Stop::Found(format!("the horizon of {words}")));
            }
            known.horizon = to;
            self.see(&stream, shard, &Event::Horizon { to, cutoff_ms })?;
        }
        Ok(())
    }

    /// Time passes for a stream: what arrived before the result is old enough.
    pub(in crate::torture) fn expire(&mut self, stream: &str) -> u64 {
        let now_ms = self.world.clock.wall_ms();
        let known = self.streams.get_mut(stream).expect("it is known");
        let hours = known.retention_hours.iter().min().copied().unwrap_or(RETENTION_HOURS);
        known.expired_ms = known.expired_ms.max(now_ms - u64::from(hours) * 3_600_000);
        known.expired_ms
    }

    /// Starts the engine, and looks at everything it has.
    pub(in crate::torture) fn open(&mut self) -> Lived {
        let (failed, unread) = (self.world.fs.failed().len(), self.world.fs.failed_reads());
        let reads = self.world.fs.reads();
        let opened = self.world.open();
        let is_clean = opened.as_ref().is_ok_and(|engine| engine.report().clean);
        self.starts.push((reads..self.world.fs.reads(), is_clean));
        // What failed before the start is no excuse any more; what failed during it is.
        (self.failed_before, self.unread_before) = (failed, unread);
        let engine = match opened {
            Ok(engine) => engine,
            Err(error) => {
                self.failed("a start", &error)?;
                return Err(Stop::NoStart(error.to_string()));
            }
        };
        self.tally.starts += 1;
        let report = engine.report();
        if !report.damage.is_empty() || !report.lost_and_found.is_empty() {
            let found = format!("{:?}, {:?}", report.damage, report.lost_and_found);
            let is_excused = self.has_failed() || self.may_be_damaged();
            if !report.lost_and_found.is_empty() || !is_excused {
                return Err(Stop::Found(format!("a start finds what is not there: {found}")));
            }
            if !self.may_be_damaged() {
                // What fails during a start may cost a shard until the next one, with a word.
                self.engine = Some(engine);
                return Err(Stop::NoStart(found));
            }
        }
        self.undurable_slices = self.world.fs.undurable_slices();
        self.engine = Some(engine);
        self.settle_streams()?;
        let is_unsynced = self.world.durability == Durability::Os;
        for known in self.streams.values_mut().flat_map(|known| &mut known.shards) {
            known.is_halted = false;
            known.checker.see(&Event::Opened { is_unsynced });
        }
        self.look_at_horizons()?;
        for (stream, shard) in self.all_shards() {
            if !self.whole(&stream, shard)? {
                continue;
            }
            let Some(found) = self.find(&stream)? else { continue };
            let next = found.shards()[shard].watermarks().durable.0;
            let told = self.streams[&stream].shards[shard].told;
            if next < told {
                let words = format!("ends at {next}, and its readers were told of {told}");
                return Err(Stop::Found(format!("shard {shard} of {stream} {words}")));
            }
            self.see(&stream, shard, &Event::Settled)?;
            self.see(&stream, shard, &Event::Tip { next })?;
        }
        let stands = self.world.segments().len() as u64;
        self.tally.segments = self.tally.segments.max(stands);
        Ok(())
    }

    /// `anabranch verify` takes nothing that a dead process or a power cut leaves for damage.
    pub(in crate::torture) fn verify(&mut self) -> Lived {
        let fs: Arc<dyn Fs> = Arc::new(self.world.fs.clone());
        // Where there is no data directory yet, the start has to make one.
        let Ok(report) = verify(&fs, Path::new(DATA), Mode::Offline, &mut |_| {}) else {
            return Ok(());
        };
        let mut damage = report.findings.iter().filter(|it| it.kind == FindingKind::Damage);
        match damage.next() {
            None => Ok(()),
            Some(found) => Err(Stop::Found(format!("verify finds what is not there: {found:?}"))),
        }
    }

    /// A clean stop.
    pub(in crate::torture) fn stop(&mut self) -> Lived {
        let outcome = self.watch(false, |life| life.engine().shut_down())?;
        self.collect()?;
        if let Err(error) = outcome {
            self.failed("a stop", &error)?;
        }
        self.end(false)?;
        // The catalog is closed when the engine goes.
        if self.world.fs.is_dead() { Err(Stop::PowerCut) } else { Ok(()) }
    }

    /// The process dies; what it had written stays written.
    pub(in crate::torture) fn kill(&mut self) -> Lived {
        // A process that is killed runs no more code: its disk goes first.
        let fs = self.world.fs.kill();
        self.end(false)?;
        self.world = self.world.with(fs);
        Ok(())
    }

    /// The power goes, if it has not gone yet.
    pub(in crate::torture) fn cut(&mut self) -> Lived {
        self.end(true)?;
        self.world = self.world.with(self.world.fs.crash());
        Ok(())
    }

    /// The power goes, or else the engine is stopped; and then it starts.
    pub(in crate::torture) fn restart(&mut self, is_cut: bool) -> Lived {
        match is_cut {
            true => self.cut()?,
            false => self.stop()?,
        }
        self.open()
    }

    /// Lets go of everything that belongs to the process.
    fn end(&mut self, is_cut: bool) -> Lived {
        self.tickets.clear();
        self.note_told(is_cut);
        self.engine = None;
        for shard in self.streams.values_mut().flat_map(|known| &mut known.shards) {
            shard.checker.see(&Event::Ended { is_cut });
        }
        if self.world.fs.retried_syncs() > 0 {
            return Err(Stop::Found("a sync that failed was tried again".to_owned()));
        }
        let shown = self.world.fs.undurable_slices() - self.undurable_slices;
        self.undurable_slices += shown;
        if shown > 0 && self.world.durability == Durability::Fsync {
            let words = format!("{shown} reads showed what a power cut could take");
            return Err(Stop::Found(words));
        }
        Ok(())
    }

    /// What readers were told of is there after the next start, unless mode `os` may lose it.
    fn note_told(&mut self, is_cut: bool) {
        let may_lose = is_cut && self.world.durability == Durability::Os;
        for (stream, known) in &mut self.streams {
            let found = self.engine.as_ref().and_then(|engine| engine.stream(&name(stream)).ok());
            let found = found.filter(|found| known.id == Some(found.id().0));
            for (position, known) in known.shards.iter_mut().enumerate() {
                if let Some(found) = &found {
                    let shown = found.shards()[position].watermarks();
                    known.told = shown.durable.0;
                    known.horizon = known.horizon.max(shown.trim_horizon.0);
                }
                if may_lose {
                    known.told = 0;
                }
            }
        }
    }

    /// The tally of the whole life.
    pub(in crate::torture) fn tally(mut self) -> Tally {
        let named: Vec<String> = self.streams.keys().cloned().collect();
        for known in self.streams.values().flat_map(|known| &known.shards) {
            self.tally.due += known.checker.due();
        }
        for stream in named {
            self.forget(&stream);
        }
        self.tally
    }
}

impl Display for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Stop::PowerCut => f.write_str("the power has gone where it was not cut"),
            Stop::NoStart(words) => write!(f, "a start fails: {words}"),
            Stop::Found(words) => f.write_str(words),
        }
    }
}
