//! How a run of the engine ends, and what the next one has to find.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anabranch_engine::Durability;
use anabranch_engine::clock::Clock;
use anabranch_engine::fs::Fs;
use anabranch_engine::offline::{self, Finding, FindingKind, Mode};
use anabranch_engine::sequence::SequenceNumber;

use super::{RETENTION_MS, Simulation, Unsure};
use crate::simulation::model::{Ended, ShardModel, State};
use crate::simulation::operation::Restart;
use crate::support::{WHOLE, World, for_each};

/// Looking at all that stands on the disk takes longer than a start.
const VERIFY_EVERY: u64 = 8;

impl Simulation {
    /// The offline tools find nothing wrong either.
    fn verify(&self) {
        let fs: Arc<dyn Fs> = Arc::new(self.world.fs.clone());
        match offline::verify(&fs, Path::new("/data"), Mode::Offline, &mut |_| ()) {
            Ok(report) => {
                let is_damage = |finding: &&Finding| finding.kind == FindingKind::Damage;
                let damage: Vec<_> = report.findings.iter().filter(is_damage).collect();
                assert!(damage.is_empty() || self.is_dead(), "seed {}: {damage:?}", self.seed);
            }
            // Before the first start there is no directory.
            Err(error) => {
                assert!(self.is_dead() || self.totals.restarts == 0, "seed {}: {error}", self.seed);
            }
        }
    }

    pub(super) fn restart(&mut self, how: Restart, os: bool) {
        self.world.durability = if os { Durability::Os } else { Durability::Fsync };
        match how {
            Restart::Stop => self.stop(),
            Restart::Kill => {
                self.end();
                self.world = self.world.with(self.world.fs.kill());
                self.world.fs.crash_at(u64::MAX);
                self.cut_at = None;
                self.open(Ended::Killed);
            }
            Restart::Cut => self.power_cut(),
        }
    }

    fn stop(&mut self) {
        let outcome = self.engine().shut_down();
        self.collect_tickets();
        if self.is_dead() {
            return self.power_cut();
        }
        if let Err(error) = &outcome {
            self.expect_trouble(error);
        }
        assert!(self.tickets.is_empty() || self.is_failing, "a stop leaves no ticket waiting");
        let ended = if outcome.is_ok() { Ended::Stopped } else { Ended::Killed };
        self.end();
        // Faults that are still due would meet the next run; a process that ends takes none.
        self.world.fs.clear_faults();
        self.is_full = false;
        self.open(ended);
    }

    pub(super) fn power_cut(&mut self) {
        self.end();
        self.world = self.world.with(self.world.fs.crash());
        self.cut_at = None;
        self.totals.cuts += 1;
        self.open(Ended::PowerCut);
    }

    /// Lets go of everything that belongs to the process.
    fn end(&mut self) {
        self.tickets.clear();
        for reader in self.readers.iter_mut().flatten() {
            reader.cursor = None;
        }
        self.engine = None;
        if self.is_synced {
            // The disk counts over all restarts, runs in mode `os` included.
            let shown = self.world.fs.undurable_slices() - self.undurable_slices;
            assert_eq!(shown, 0, "seed {}: readers saw what a power cut could take", self.seed);
        }
    }

    pub(super) fn open(&mut self, ended: Ended) {
        self.is_failing = false;
        self.is_full = false;
        self.world.fs.clear_faults();
        self.is_synced = self.world.durability == Durability::Fsync;
        self.undurable_slices = self.world.fs.undurable_slices();
        self.misread = self.world.fs.failed_reads();
        if self.totals.restarts.is_multiple_of(VERIFY_EVERY) {
            self.verify();
        }
        let engine = match self.world.open() {
            Ok(engine) => engine,
            Err(error) => {
                assert!(self.is_dead(), "seed {}: {error}", self.seed);
                return self.power_cut();
            }
        };
        self.totals.restarts += 1;
        let report = engine.report();
        assert_eq!(report.damage, [], "seed {}: no damage was done", self.seed);
        assert_eq!(report.lost_and_found, Vec::<PathBuf>::new());
        self.note(report.scanned_bytes);
        self.last_sync = self.world.clock.monotonic();
        self.engine = Some(engine);
        self.settle_streams();
        if self.recover_all(ended) {
            self.look_at_horizons();
            self.reopen_readers();
        } else {
            assert!(self.is_dead());
            self.power_cut();
        }
    }

    /// What has become of changes that nobody was told of; everything else is as it was.
    fn settle_streams(&mut self) {
        let engine = self.engine().clone();
        let mut resharded = Vec::new();
        for unsure in std::mem::take(&mut self.unsure) {
            match unsure {
                Unsure::Created(name) => {
                    if let Ok(stream) = engine.stream(&name)
                        && !self.streams.contains_key(&name)
                    {
                        self.adopt(stream);
                    }
                }
                Unsure::Resharded(stream) => resharded.push(stream),
                Unsure::Deleted(name) => {
                    if engine.stream(&name).is_err() {
                        self.streams.remove(&name);
                    }
                }
            }
        }
        let found: Vec<_> = engine.streams(None, 100).iter().map(|s| s.name().clone()).collect();
        let known: Vec<_> = self.streams.keys().cloned().collect();
        assert_eq!(found, known, "seed {}", self.seed);
        for (name, model) in &mut self.streams {
            model.stream = engine.stream(name).expect("it was just listed");
            assert_eq!(model.stream.id().0, model.id);
        }
        self.look_at_shapes(&resharded);
    }

    /// Reads every shard whole. False where the power goes meanwhile.
    fn recover_all(&mut self, ended: Ended) -> bool {
        let is_dead =
            |world: &World, cut_at: Option<u64>| cut_at.is_some_and(|at| world.fs.ops() > at);
        for model in self.streams.values_mut() {
            for (shard, model) in model.stream.shards().iter().zip(model.shards.values_mut()) {
                let horizon = shard.watermarks().trim_horizon.0;
                assert!(horizon >= model.horizon, "the horizon falls over a restart");
                let now_ms = self.world.clock.wall_ms();
                for (number, entry) in model.visible(0, horizon) {
                    let is_old = now_ms - entry.arrival_ms >= RETENTION_MS;
                    assert!(is_old, "{number} goes early");
                }
                model.horizon = horizon;
                let mut found = Vec::new();
                let mut cursor = shard.cursor(SequenceNumber(0));
                loop {
                    let page = match cursor.read(WHOLE) {
                        Ok(page) => page,
                        Err(error) => {
                            assert!(is_dead(&self.world, self.cut_at), "{error}");
                            return false;
                        }
                    };
                    if page.records == 0 {
                        assert_eq!(page.is_end, model.closed.is_some(), "the end of a shard");
                        break;
                    }
                    for_each(&page, |record| {
                        model.check(&record);
                        found.push(record.sequence.0);
                    });
                    self.totals.read += page.records as u64;
                }
                let kept = |model: &ShardModel| {
                    model.entries.values().filter(|entry| entry.state == State::Lost).count() as u64
                };
                let lost = kept(model);
                model.recovered(&found, ended);
                self.totals.lost_in_os += kept(model) - lost;
                let hash = found.iter().fold(found.len() as u64, |hash, number| {
                    (hash ^ number).wrapping_mul(0x0100_0000_01b3)
                });
                self.totals.trace ^= hash.rotate_left(found.len() as u32);
                let tip = shard.watermarks().durable.0;
                assert!(found.last().is_none_or(|&last| last < tip));
            }
        }
        true
    }

    /// Readers go on where they were: what they were shown is still behind them.
    fn reopen_readers(&mut self) {
        for slot in &mut self.readers {
            let Some(reader) = slot else { continue };
            let model = self.streams.values().find(|model| model.id == reader.stream);
            let Some(model) = model else {
                *slot = None;
                continue;
            };
            let Ok(shard) = model.stream.shard(reader.shard) else {
                *slot = None;
                continue;
            };
            reader.cursor = Some(shard.cursor(SequenceNumber(reader.position)));
        }
    }
}
