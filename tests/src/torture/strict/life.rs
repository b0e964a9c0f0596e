//! A client of one engine on a simulated disk: it does things, and tells the checkers of what
//! it did and was told. Whatever goes wrong without cause ends its life with words.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anabranch_engine::clock::Clock;
use anabranch_engine::fs::Fs;
use anabranch_engine::offline::{FindingKind, Mode, verify};
use anabranch_engine::{AppendTicket, Durability, Engine, Error, SegmentBytes};

use super::tally::Tally;
use crate::checker::{Event, ShardChecker};
use crate::damage::subject::DATA;
use crate::support::{Random, World, name};

/// Why a life ends before its script does.
pub(super) enum Stop {
    /// The power has gone, as it was meant to.
    PowerCut,
    /// A promise was not kept, or something failed without cause.
    Found(String),
}

pub(super) type Lived<T = ()> = Result<T, Stop>;

/// Whether something is there, as far as a client knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Presence {
    Sure,
    /// Asked for, and never answered.
    InDoubt,
}

pub(super) struct KnownStream {
    /// `None` until someone has seen it.
    pub(super) id: Option<u64>,
    pub(super) presence: Presence,
    /// Hours that may be in force; more than one where a change was never answered.
    pub(super) retention_hours: Vec<u32>,
    pub(super) consumers: BTreeMap<String, Presence>,
    pub(super) shards: Vec<KnownShard>,
}

#[derive(Default)]
pub(super) struct KnownShard {
    pub(super) checker: ShardChecker,
    /// Where its reader stands.
    pub(super) position: u64,
    pub(super) horizon: u64,
    pub(super) is_halted: bool,
    /// What its readers were told of when the last run ended: the number behind it.
    told: u64,
}

pub(super) struct Ticket {
    pub(super) stream: String,
    pub(super) shard: usize,
    pub(super) put: u64,
    pub(super) outcome: AppendTicket,
}

/// The client.
pub(super) struct Life {
    pub(super) world: World,
    pub(super) random: Random,
    /// Things are expected to fail: an error is then an answer like any other.
    pub(super) is_troubled: bool,
    pub(super) tally: Tally,
    engine: Option<Engine>,
    pub(super) streams: BTreeMap<String, KnownStream>,
    pub(super) tickets: Vec<Ticket>,
    pub(super) next_record: u64,
    pub(super) next_put: u64,
    undurable_slices: u64,
}

pub(super) const RETENTION_HOURS: u32 = 24;

impl Life {
    /// A client without a server, before an empty disk. Segments are as small as they get.
    pub(super) fn new(seed: u64, durability: Durability) -> Life {
        let segment_bytes = SegmentBytes { first: 64 << 10, max: 64 << 10 };
        Life {
            world: World { durability, segment_bytes, ..World::new(seed) },
            random: Random(seed ^ 0x6c69_6665),
            is_troubled: false,
            tally: Tally::default(),
            engine: None,
            streams: BTreeMap::new(),
            tickets: Vec::new(),
            next_record: 1,
            next_put: 1,
            undurable_slices: 0,
        }
    }

    pub(super) fn engine(&self) -> &Engine {
        self.engine.as_ref().expect("it was opened")
    }

    /// Something failed: the power has gone, or it is an answer, or it should not have.
    pub(super) fn failed(&mut self, what: &str, error: &Error) -> Lived {
        if self.world.fs.is_dead() {
            return Err(Stop::PowerCut);
        }
        if !self.is_troubled {
            return Err(Stop::Found(format!("{what} fails without cause: {error}")));
        }
        self.tally.errors += 1;
        Ok(())
    }

    /// Tells the checker of a shard.
    pub(super) fn see(&mut self, stream: &str, shard: usize, event: &Event) -> Lived {
        let Some(known) = self.streams.get_mut(stream) else { return Ok(()) };
        let checker = &mut known.shards[shard].checker;
        checker.see(event);
        match checker.violations().first() {
            None => Ok(()),
            Some(violation) => {
                Err(Stop::Found(format!("shard {shard} of {stream}: {violation} at {event:?}")))
            }
        }
    }

    pub(super) fn advance(&mut self, seconds: u64) {
        self.world.clock.advance(Duration::from_secs(seconds));
    }

    /// The background.
    pub(super) fn keep_house(&mut self) -> Lived {
        self.engine().housekeeping_step();
        if self.world.fs.is_dead() {
            return Err(Stop::PowerCut);
        }
        let stats = self.engine().stats();
        self.tally.spare = self.tally.spare.max(stats.spare_segments);
        if stats.damage_found > 0 {
            return Err(Stop::Found("damage is reported, and there is none".to_owned()));
        }
        self.look_at_horizons()
    }

    pub(super) fn look_at_horizons(&mut self) -> Lived {
        for (stream, shard) in self.all_shards() {
            let Some(found) = self.find(&stream)? else { continue };
            let to = found.shards()[shard].watermarks().trim_horizon.0;
            let known = self.streams.get_mut(&stream).expect("it was listed");
            let hours = known.retention_hours.iter().min().copied().unwrap_or(RETENTION_HOURS);
            let known = &mut known.shards[shard];
            self.tally.trimmed += u64::from(known.horizon < to && known.horizon > 0);
            if to < known.horizon {
                let words = format!("shard {shard} of {stream} falls to {to}");
                return Err(Stop::Found(format!("the horizon of {words}")));
            }
            known.horizon = to;
            let cutoff_ms = self.world.clock.wall_ms() - u64::from(hours) * 3_600_000;
            self.see(&stream, shard, &Event::Horizon { to, cutoff_ms })?;
        }
        Ok(())
    }

    /// Starts the engine, and looks at everything it has.
    pub(super) fn open(&mut self) -> Lived {
        let engine = match self.world.open() {
            Ok(engine) => engine,
            Err(error) => {
                self.failed("a start", &error)?;
                return Err(Stop::Found(format!("a start fails: {error}")));
            }
        };
        self.tally.starts += 1;
        let report = engine.report();
        if !report.damage.is_empty() || !report.lost_and_found.is_empty() {
            let found = format!("{:?}, {:?}", report.damage, report.lost_and_found);
            return Err(Stop::Found(format!("a start finds what is not there: {found}")));
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
            self.whole(&stream, shard)?;
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
    pub(super) fn verify(&mut self) -> Lived {
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
    pub(super) fn stop(&mut self) -> Lived {
        let outcome = self.engine().shut_down();
        self.collect()?;
        if let Err(error) = outcome {
            self.failed("a stop", &error)?;
        }
        self.end(false)?;
        // The catalog is closed when the engine goes.
        if self.world.fs.is_dead() { Err(Stop::PowerCut) } else { Ok(()) }
    }

    /// The process dies; what it had written stays written.
    pub(super) fn kill(&mut self) -> Lived {
        // A process that is killed runs no more code: its disk goes first.
        let fs = self.world.fs.kill();
        self.end(false)?;
        self.world = self.world.with(fs);
        Ok(())
    }

    /// The power goes, if it has not gone yet.
    pub(super) fn cut(&mut self) -> Lived {
        self.end(true)?;
        self.world = self.world.with(self.world.fs.crash());
        Ok(())
    }

    /// Lets go of everything that belongs to the process.
    fn end(&mut self, is_cut: bool) -> Lived {
        self.tickets.clear();
        self.note_told(is_cut);
        self.engine = None;
        for shard in self.streams.values_mut().flat_map(|known| &mut known.shards) {
            shard.checker.see(&Event::Ended { is_cut });
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
    pub(super) fn tally(mut self) -> Tally {
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
            Stop::Found(words) => f.write_str(words),
        }
    }
}
