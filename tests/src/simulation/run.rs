//! A simulated run: applies operations to the engine and to the model, and compares. How the
//! engine ends and starts again meanwhile stands in [`restarts`], how streams change shape in
//! [`shapes`].

mod restarts;
mod shapes;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anabranch_engine::clock::Clock;
use anabranch_engine::fs::{Fault, Op};
use anabranch_engine::ids::{ShardId, StreamName};
use anabranch_engine::record::{PartitionKey, RecordView};
use anabranch_engine::sequence::SequenceNumber;
use anabranch_engine::{
    AppendTicket, Cursor, Engine, Error, ReadLimit, Shard, Stream, StreamSettings,
};

use self::shapes::StreamModel;
use super::model::{Ended, Entry, ShardModel, State};

use super::operation::{Batch, Operation, Restart, Trouble};
use crate::support::{Random, World, for_each, name, poll};

const NAMES: u8 = 3;
const READERS: usize = 4;
/// Records that one shard of a run may hold, in bytes; past it only small batches are put.
const SHARD_BYTES_MAX: u64 = 24 << 20;
const RETENTION_MS: u64 = 24 * 3_600_000;

/// What kind of run it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// Syncs, writes and reads fail, and the disk is full at times.
    pub faults: bool,
}

/// What a run did: a test that checks little says so.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// How often the engine was opened.
    pub restarts: u64,
    /// How many of them followed a power cut.
    pub cuts: u64,
    /// Records put.
    pub put: u64,
    /// Records read back and compared.
    pub read: u64,
    /// Records that mode `os` acknowledged and a power cut took.
    pub lost_in_os: u64,
    /// Times that a stream changed shape.
    pub reshards: u64,
    /// Closed shards that went when their records had expired.
    pub expired: u64,
    /// A hash of everything that happened.
    pub trace: u64,
}

impl Totals {
    /// Counts another run in.
    pub fn add(&mut self, other: &Totals) {
        self.restarts += other.restarts;
        self.cuts += other.cuts;
        self.put += other.put;
        self.read += other.read;
        self.lost_in_os += other.lost_in_os;
        self.reshards += other.reshards;
        self.expired += other.expired;
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Totals { restarts, cuts, put, read, lost_in_os, reshards, expired, .. } = self;
        write!(f, "{restarts} restarts, {cuts} of them power cuts; {put} records put, ")?;
        write!(f, "{read} read and compared; {lost_in_os} unsynced ones lost in mode os; ")?;
        write!(f, "{reshards} reshards; {expired} closed shards expired")
    }
}

/// A change of the catalog whose outcome nobody was told.
enum Unsure {
    Created(StreamName),
    Deleted(StreamName),
    Resharded(u64),
}

struct Ticket {
    stream: u64,
    shard: ShardId,
    first: u64,
    count: u64,
    outcome: AppendTicket,
}

struct Reader {
    stream: u64,
    shard: ShardId,
    cursor: Option<Cursor>,
    position: u64,
}

/// One disk, its engine and what is known of both.
pub struct Simulation {
    seed: u64,
    world: World,
    engine: Option<Engine>,
    streams: BTreeMap<StreamName, StreamModel>,
    unsure: Vec<Unsure>,
    tickets: Vec<Ticket>,
    readers: Vec<Option<Reader>>,
    next_id: u64,
    next_batch: u64,
    last_sync: Duration,
    cut_at: Option<u64>,
    is_full: bool,
    /// A write, a sync or a read was made to fail: puts may fail, and logs halt.
    is_failing: bool,
    /// Reads that had failed when the engine was opened.
    misread: u64,
    /// This run syncs before it acknowledges.
    is_synced: bool,
    undurable_slices: u64,
    totals: Totals,
}

impl Simulation {
    /// A new disk with an engine on it.
    pub fn new(seed: u64) -> Simulation {
        let world = World::new(seed);
        let mut simulation = Simulation {
            seed,
            world,
            engine: None,
            streams: BTreeMap::new(),
            unsure: Vec::new(),
            tickets: Vec::new(),
            readers: (0..READERS).map(|_| None).collect(),
            next_id: 1,
            next_batch: 1,
            last_sync: Duration::ZERO,
            cut_at: None,
            is_full: false,
            is_failing: false,
            misread: 0,
            is_synced: true,
            undurable_slices: 0,
            totals: Totals { trace: 0xcbf2_9ce4_8422_2325, ..Totals::default() },
        };
        simulation.open(Ended::Stopped);
        simulation
    }

    /// A whole run from one seed; it prints the seed where it fails.
    pub fn from_seed(seed: u64, restarts: u64, settings: Settings) -> Totals {
        struct Tell(u64, Settings);
        impl Drop for Tell {
            fn drop(&mut self) {
                if std::thread::panicking() {
                    println!("simulation failed: seed {}, {:?}", self.0, self.1);
                }
            }
        }
        let _tell = Tell(seed, settings);
        if std::env::var_os("ANABRANCH_SIM_VERBOSE").is_some() {
            println!("seed {seed}, {settings:?}");
        }
        let mut simulation = Simulation::new(seed);
        let mut random = Random(seed ^ 0x5151_5151);
        while simulation.totals.restarts < restarts {
            simulation.apply(Operation::draw(&mut random, settings.faults));
        }
        simulation.finish()
    }

    /// Ends the run with a clean stop, and looks at everything once more.
    pub fn finish(mut self) -> Totals {
        self.apply(Operation::Fault(Trouble::Clear));
        self.apply(Operation::Restart { how: Restart::Stop, os: false });
        self.totals
    }

    /// Does one thing to the engine and to the model, and compares.
    pub fn apply(&mut self, operation: Operation) {
        if std::env::var_os("ANABRANCH_SIM_VERBOSE").is_some() {
            println!("{operation:?}");
        }
        match operation {
            Operation::Create { name, shards } => self.create(name, shards),
            Operation::Delete { name } => self.delete(name),
            Operation::Append { shard, batch } => self.append(shard, batch),
            Operation::CommitOne => self.commit(false),
            Operation::CommitAll => self.commit(true),
            Operation::Housekeep => self.keep_house(),
            Operation::Advance(by) => self.world.clock.advance(by),
            Operation::Reader { slot, shard, from } => self.open_reader(slot, shard, from),
            Operation::Read { slot, records, bytes } => {
                let limit = ReadLimit { records: records.into(), bytes: bytes as usize };
                self.read(slot, limit);
            }
            Operation::Seek { shard, ago_s } => self.seek_time(shard, ago_s),
            Operation::CutAt { operations } => {
                let at = self.world.fs.ops() + u64::from(operations);
                if self.cut_at.is_none() {
                    self.world.fs.crash_at(at);
                    self.cut_at = Some(at);
                }
            }
            Operation::Restart { how, os } => self.restart(how, os),
            Operation::Reshard(reshard) => self.reshard(reshard),
            Operation::FailingReshard { reshard, nth } => self.failing_reshard(reshard, nth),
            Operation::Fault(trouble) => self.trouble(trouble),
        }
        self.collect_tickets();
        if self.is_dead() {
            self.power_cut();
        }
    }

    /// The power has gone in the middle of something.
    fn is_dead(&self) -> bool {
        self.cut_at.is_some_and(|at| self.world.fs.ops() > at)
    }

    fn engine(&self) -> &Engine {
        self.engine.as_ref().expect("between two operations an engine runs")
    }

    fn note(&mut self, what: u64) {
        self.totals.trace = (self.totals.trace ^ what).wrapping_mul(0x0100_0000_01b3);
    }

    // ---- streams -------------------------------------------------------------------------

    fn create(&mut self, number: u8, shards: u8) {
        let name = name(&format!("stream-{}", number % NAMES));
        let shards = u32::from(shards % 3) + 1;
        match self.engine().create_stream(&name, shards, StreamSettings::default()) {
            Ok(stream) => {
                assert!(!self.streams.contains_key(&name));
                self.adopt(stream);
            }
            Err(Error::StreamExists { .. }) => assert!(self.streams.contains_key(&name)),
            Err(error) => {
                self.expect_trouble(&error);
                self.unsure.push(Unsure::Created(name));
            }
        }
    }

    fn adopt(&mut self, stream: Arc<Stream>) {
        let id = stream.id().0;
        let known = self.streams.values().any(|model| model.id == id);
        assert!(!known, "a stream's id is never used again");
        self.note(id);
        self.streams.insert(stream.name().clone(), StreamModel::new(stream));
    }

    fn delete(&mut self, number: u8) {
        let name = name(&format!("stream-{}", number % NAMES));
        match self.engine().delete_stream(&name) {
            Ok(()) => {
                self.streams.remove(&name).expect("it was there");
            }
            Err(Error::StreamNotFound { .. }) => assert!(!self.streams.contains_key(&name)),
            Err(error) => {
                self.expect_trouble(&error);
                self.unsure.push(Unsure::Deleted(name));
            }
        }
    }

    /// The shard that a number chooses, open or not.
    fn choose(&self, number: u8) -> Option<(StreamName, Arc<Shard>)> {
        self.choose_from(number, |model| model.stream.shards().to_vec())
    }

    /// The open shard that a number chooses.
    fn choose_open(&self, number: u8) -> Option<(StreamName, Arc<Shard>)> {
        self.choose_from(number, |model| model.stream.shards().open().cloned().collect())
    }

    fn choose_from(
        &self,
        number: u8,
        shards: impl Fn(&StreamModel) -> Vec<Arc<Shard>>,
    ) -> Option<(StreamName, Arc<Shard>)> {
        let all = self
            .streams
            .iter()
            .flat_map(|(name, model)| shards(model).into_iter().map(move |shard| (name, shard)));
        let all: Vec<_> = all.collect();
        let (name, shard) = all.get(usize::from(number) % all.len().max(1))?;
        Some(((*name).clone(), shard.clone()))
    }

    fn shard_model(&mut self, stream: u64, shard: ShardId) -> Option<&mut ShardModel> {
        let model = self.streams.values_mut().find(|model| model.id == stream)?;
        model.shards.get_mut(&shard)
    }

    // ---- putting -------------------------------------------------------------------------

    fn append(&mut self, number: u8, batch: Batch) {
        // Closed ones are many, and have nothing to say but that they are.
        let chosen = if number.is_multiple_of(16) {
            self.choose(number / 16)
        } else {
            self.choose_open(number)
        };
        let Some((name, shard)) = chosen else { return };
        let index = shard.id();
        let model = &self.streams[&name].shards[&index];
        let is_closed = model.closed.is_some();
        let held: u64 = model.entries.values().map(|entry| u64::from(entry.len)).sum();
        let bytes_max = if held > SHARD_BYTES_MAX { 100 } else { u32::MAX };
        let mut random = Random(batch.seed.into());
        let now_ms = self.world.clock.wall_ms();
        let entries: Vec<Entry> = (0..u64::from(batch.records))
            .map(|offset| {
                let len = match random.below(8) {
                    0 => 0,
                    1..4 => random.below(u64::from(batch.bytes) + 1) as u32,
                    _ => batch.bytes,
                };
                let len = len.min(bytes_max);
                Entry {
                    id: self.next_id + offset,
                    batch: self.next_batch,
                    at: random.below((1 << 20) - u64::from(len)) as u32,
                    len,
                    arrival_ms: now_ms,
                    state: State::Staged,
                    durable: false,
                }
            })
            .collect();
        let keys: Vec<String> = entries.iter().map(Entry::key).collect();
        let views = entries.iter().zip(&keys).map(|(entry, key)| {
            let key = PartitionKey::from_bytes(key.as_bytes()).unwrap();
            RecordView::new(key, None, entry.data()).unwrap()
        });
        match shard.append(views) {
            Ok(outcome) => {
                let (first, count) = (outcome.first().0, outcome.count());
                assert_eq!(count, entries.len() as u64);
                self.next_id += count;
                self.next_batch += 1;
                self.totals.put += count;
                self.note(first);
                let stream = self.streams.get_mut(&name).expect("it was chosen from them");
                assert!(!is_closed, "a closed shard takes records");
                stream.shards.get_mut(&index).expect("it was chosen").staged(first, entries);
                let stream = stream.id;
                self.tickets.push(Ticket { stream, shard: index, first, count, outcome });
            }
            Err(Error::Busy { .. }) => assert!(self.tickets.iter().any(|t| t.shard == index)),
            Err(Error::ShardClosed { .. }) => {
                assert!(is_closed, "an open shard says that it is closed");
            }
            Err(Error::Halted { .. } | Error::StreamInDoubt { .. }) => {
                assert!(self.is_failing || self.is_dead(), "seed {}", self.seed);
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn commit(&mut self, all: bool) {
        while self.engine().commit_step() && all {}
        self.collect_tickets();
        if all {
            assert!(self.tickets.is_empty(), "a ticket was forgotten");
        }
    }

    fn collect_tickets(&mut self) {
        let mut waiting = Vec::new();
        for mut ticket in std::mem::take(&mut self.tickets) {
            let Some(outcome) = poll(&mut ticket.outcome) else {
                waiting.push(ticket);
                continue;
            };
            let is_synced = self.is_synced;
            let (state, durable) = match &outcome {
                Ok(appended) => {
                    assert_eq!(appended.first.0, ticket.first);
                    assert_eq!(appended.last.0, ticket.first + ticket.count - 1);
                    (State::Kept, is_synced)
                }
                Err(Error::DiskFull) => {
                    assert!(self.is_full, "the disk is not full");
                    (State::Refused, false)
                }
                Err(Error::StreamDeleted { .. }) => (State::Staged, false),
                Err(error) => {
                    self.expect_trouble(error);
                    (State::Staged, false)
                }
            };
            self.note(ticket.first << 2 | u64::from(outcome.is_ok()));
            if let Some(model) = self.shard_model(ticket.stream, ticket.shard)
                && state != State::Staged
            {
                model.resolve(ticket.first, ticket.count, state, durable);
            }
        }
        self.tickets = waiting;
    }

    /// A read has failed since the engine was opened: readers may be told so.
    fn is_misread(&self) -> bool {
        self.world.fs.failed_reads() > self.misread
    }

    fn expect_trouble(&self, error: &Error) {
        let is_due = self.is_dead() || self.is_failing || (self.is_full && error.is_full());
        assert!(is_due, "seed {}: without cause: {error}", self.seed);
    }

    // ---- reading -------------------------------------------------------------------------

    fn open_reader(&mut self, slot: u8, number: u8, from: u16) {
        let Some((name, shard)) = self.choose(number) else {
            return;
        };
        let tip = shard.watermarks().durable.0;
        let from = u64::from(from) % (tip + 2);
        let cursor = Some(shard.cursor(SequenceNumber(from)));
        let stream = self.streams[&name].id;
        self.readers[usize::from(slot) % READERS] =
            Some(Reader { stream, shard: shard.id(), cursor, position: from });
    }

    fn read(&mut self, slot: u8, limit: ReadLimit) {
        let slot = usize::from(slot) % READERS;
        let Some(mut reader) = self.readers[slot].take() else {
            return;
        };
        let cursor = reader.cursor.as_mut().expect("a reader of this run has a cursor");
        let outcome = cursor.read(limit);
        let (is_dead, is_misread) = (self.is_dead(), self.is_misread());
        if self.streams.values().all(|model| model.id != reader.stream) {
            // A shard that had expired before is not told any more.
            let is_told = match &outcome {
                Ok(page) => page.is_end && page.records == 0,
                Err(error) => matches!(error, Error::StreamDeleted { .. }),
            };
            assert!(is_told, "{outcome:?}");
            return;
        }
        let Some(model) = self.shard_model(reader.stream, reader.shard) else {
            // It has expired. Whoever stood in it finds its end.
            let is_end = outcome.as_ref().is_ok_and(|page| page.records == 0 && page.is_end);
            assert!(is_end || is_dead, "{outcome:?}");
            return;
        };
        let page = match outcome {
            Ok(page) => page,
            Err(error) => {
                let is_due = match &error {
                    Error::Io(_) => is_dead || is_misread,
                    Error::Damage(_) => is_misread,
                    _ => false,
                };
                assert!(is_due, "{error}");
                return;
            }
        };
        let mut expected = model
            .visible(reader.position, page.next.0.max(reader.position))
            .map(|(number, _)| number);
        for_each(&page, |record| {
            model.check(&record);
            assert_eq!(
                expected.next(),
                Some(record.sequence.0),
                "records are read in order, none left out"
            );
        });
        assert_eq!(expected.next(), None, "a visible record was passed over");
        drop(expected);
        assert!(page.records <= limit.records, "more records than asked for");
        assert!(page.bytes <= limit.bytes || page.records == 1, "more bytes than asked for");
        let is_behind = model.visible(page.next.0, u64::MAX).next().is_some();
        assert!(page.records > 0 || !is_behind, "an empty page before the tip");
        let is_end = model.closed.is_some_and(|closed| page.next > closed.last_sequence);
        assert_eq!(page.is_end, is_end, "the end is told where it is");
        let is_through = page.records == 0 && model.closed.is_some();
        assert!(page.is_end || !is_through, "no end of a closed shard");
        reader.position = page.next.0;
        self.totals.read += page.records as u64;
        self.note(page.next.0 << 8 ^ page.records as u64);
        self.readers[slot] = if page.is_end { self.follow(&reader, slot) } else { Some(reader) };
    }

    fn seek_time(&mut self, number: u8, ago_s: u32) {
        let Some((name, shard)) = self.choose(number) else {
            return;
        };
        let wanted_ms = self.world.clock.wall_ms() - u64::from(ago_s) * 1000;
        let found = match shard.sequence_at_time(wanted_ms) {
            Ok(found) => found.0,
            Err(error) => {
                assert!(self.is_dead() || self.is_misread(), "{error}");
                return;
            }
        };
        let model = &self.streams[&name].shards[&shard.id()];
        let due = model.visible(0, u64::MAX).find(|(_, entry)| entry.arrival_ms >= wanted_ms);
        let due = due.map_or(shard.watermarks().durable.0, |(number, _)| number);
        assert_eq!(found, due, "the first record at or after {wanted_ms}");
        self.note(found);
    }

    // ---- the background ------------------------------------------------------------------

    fn keep_house(&mut self) {
        self.engine().housekeeping_step();
        let monotonic = self.world.clock.monotonic();
        if monotonic.saturating_sub(self.last_sync) >= Duration::from_secs(1) {
            self.last_sync = monotonic;
            if !self.is_dead() && !self.is_failing {
                let shards = self.streams.values_mut().flat_map(|model| model.shards.values_mut());
                shards.for_each(ShardModel::synced);
            }
        }
        self.look_at_shapes(&[]);
        self.look_at_horizons();
        let is_told = self.engine().stats().damage_found > 0;
        assert!(!is_told || self.is_misread(), "seed {}: damage that nobody did", self.seed);
    }

    /// A horizon never falls, and passes only what is old enough.
    fn look_at_horizons(&mut self) {
        let now_ms = self.world.clock.wall_ms();
        for model in self.streams.values_mut() {
            for (shard, model) in model.stream.shards().iter().zip(model.shards.values_mut()) {
                let watermarks = shard.watermarks();
                let horizon = watermarks.trim_horizon.0;
                assert!(horizon >= model.horizon, "the horizon falls");
                assert!(horizon <= watermarks.durable.0);
                for (number, entry) in model.visible(0, horizon) {
                    let age_ms = now_ms - entry.arrival_ms;
                    assert!(age_ms >= RETENTION_MS, "{number} goes after {age_ms} ms");
                }
                model.horizon = horizon;
            }
        }
    }

    fn trouble(&mut self, trouble: Trouble) {
        let fs = &self.world.fs;
        match trouble {
            Trouble::Sync { nth } => {
                fs.inject(Fault::Fails { op: Op::Sync, nth: nth.into(), is_full: false });
            }
            Trouble::Write { nth } => {
                fs.inject(Fault::Fails { op: Op::Write, nth: nth.into(), is_full: false });
            }
            Trouble::Read { nth } => fs.inject(Fault::NthReadFails { nth: nth.into() }),
            Trouble::Full { free_kib } => {
                let free_bytes = u64::from(free_kib) << 10;
                fs.inject(Fault::Full { free_bytes });
            }
            Trouble::Clear => fs.clear_faults(),
        }
        match trouble {
            Trouble::Sync { .. } | Trouble::Write { .. } | Trouble::Read { .. } => {
                self.is_failing = true;
            }
            Trouble::Full { .. } => self.is_full = true,
            // What has halted stays so.
            Trouble::Clear => self.is_full = false,
        }
    }
}
