//! The engine over a simulated disk: what a user of the crate may rely on.

mod catalog;
mod ends;
mod large;
mod medium;
mod starts;
mod strangers;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::ManualClock;
use crate::entropy::Entropy;
use crate::fs::{Fault, Moment, Op, SimFs};
use crate::ids::StreamName;
use crate::record::{EncodedRecord, PartitionKey, RecordView};
use crate::sequence::SequenceNumber;
use crate::*;

const START_MS: u64 = 1_700_000_000_000;

/// Randomness from a seed: splitmix64.
pub(crate) struct Seeded(parking_lot::Mutex<u64>);

impl Entropy for Seeded {
    fn fill(&self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            let mut state = self.0.lock();
            *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = *state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..chunk.len()]);
        }
    }
}

pub(crate) struct World {
    pub(crate) fs: SimFs,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) entropy: Arc<Seeded>,
    pub(crate) durability: Durability,
}

impl World {
    /// The same machine with another disk.
    pub(crate) fn with(&self, fs: SimFs) -> World {
        let (clock, entropy) = (self.clock.clone(), self.entropy.clone());
        World { fs, clock, entropy, durability: self.durability }
    }

    /// The segment files with their lengths, in order.
    pub(crate) fn segments(&self) -> Vec<(PathBuf, u64)> {
        let all = self.fs.files().into_iter();
        all.filter(|(path, _)| path.starts_with("/data/shards")).collect()
    }

    pub(crate) fn new(seed: u64) -> World {
        World {
            fs: SimFs::new(seed),
            clock: Arc::new(ManualClock::new(START_MS)),
            entropy: Arc::new(Seeded(parking_lot::Mutex::new(seed))),
            durability: Durability::Fsync,
        }
    }

    pub(crate) fn open(&self) -> Result<Engine> {
        let options = EngineOptions {
            durability: self.durability,
            recovery_threads: 1,
            ..EngineOptions::new("/data")
        };
        Engine::open(options, self.environment())
    }

    pub(crate) fn environment(&self) -> Environment {
        Environment {
            fs: Arc::new(self.fs.clone()),
            clock: self.clock.clone(),
            entropy: self.entropy.clone(),
        }
    }
}

pub(crate) fn name(text: &str) -> StreamName {
    text.parse().unwrap()
}

pub(crate) fn put(shard: &Arc<Shard>, data: &[&[u8]]) -> Result<AppendTicket> {
    let key = PartitionKey::from_bytes(b"key").unwrap();
    shard.append(data.iter().map(|data| RecordView::new(key, None, data).unwrap()))
}

pub(crate) fn put_now(engine: &Engine, shard: &Arc<Shard>, data: &[&[u8]]) -> Result<Appended> {
    let ticket = put(shard, data)?;
    while engine.commit_step() {}
    ticket.wait()
}

fn records(page: &Page) -> Vec<(u64, u64, Vec<u8>)> {
    let mut records = Vec::new();
    for range in &page.ranges {
        let mut rest = &range[..];
        while !rest.is_empty() {
            let record = EncodedRecord::decode(rest).unwrap();
            records.push((record.sequence.0, record.arrival_ms, record.data.to_vec()));
            rest = &rest[record.entry_bytes..];
        }
    }
    assert_eq!(records.len(), page.records);
    records
}

pub(crate) fn read_all(shard: &Arc<Shard>) -> Result<Vec<(u64, Vec<u8>)>> {
    read_from(shard, 0)
}

pub(crate) fn read_from(shard: &Arc<Shard>, from: u64) -> Result<Vec<(u64, Vec<u8>)>> {
    let mut cursor = shard.cursor(SequenceNumber(from));
    let mut all = Vec::new();
    loop {
        let page = cursor.read(ReadLimit { records: 7, bytes: 1000 })?;
        if page.records == 0 {
            return Ok(all);
        }
        all.extend(records(&page).into_iter().map(|(sequence, _, data)| (sequence, data)));
    }
}

#[test]
fn what_was_put_is_read_back_in_order_and_again_after_a_clean_stop() {
    let world = World::new(1);
    let engine = world.open().unwrap();
    let stream = engine.create_stream(&name("s"), 1, StreamSettings::default()).unwrap();
    let shard = &stream.shards()[0];
    let mut expected = Vec::new();
    for number in 1..=500u64 {
        let data = vec![number as u8; (number * 7 % 900) as usize];
        let appended = put_now(&engine, shard, &[&data]).unwrap();
        assert_eq!(appended.first, SequenceNumber(number));
        expected.push((number, data));
    }
    assert_eq!(read_all(shard).unwrap(), expected);
    engine.shut_down().unwrap();
    drop((stream, engine));

    let engine = world.open().unwrap();
    assert!(engine.report().clean);
    assert_eq!(engine.report().scanned_bytes, 0);
    let stream = engine.stream(&name("s")).unwrap();
    assert_eq!(read_all(&stream.shards()[0]).unwrap(), expected);
    let appended = put_now(&engine, &stream.shards()[0], &[b"more"]).unwrap();
    assert_eq!(appended.first, SequenceNumber(501));
    assert_eq!(read_from(&stream.shards()[0], 501).unwrap(), [(501, b"more".to_vec())]);
    assert_eq!(world.fs.undurable_slices(), 0);
}

#[test]
fn a_segment_keeps_the_name_that_a_process_gave_it_before_it_died() {
    for seed in 0..20 {
        let world = World::new(seed);
        let engine = world.open().unwrap();
        let stream = engine.create_stream(&name("s"), 1, StreamSettings::default()).unwrap();
        // The process dies between the rename and the sync of the directory.
        world.fs.cut_at(Op::Rename, world.fs.ops_of(Op::Rename), Moment::After);
        assert!(put_now(&engine, &stream.shards()[0], &[b"before"]).is_err());
        drop((stream, engine));
        let world = world.with(world.fs.kill());
        let engine = world.open().unwrap();
        let stream = engine.stream(&name("s")).unwrap();
        assert_eq!(world.segments().len(), 1);
        put_now(&engine, &stream.shards()[0], &[b"after"]).unwrap();
        drop((stream, engine));
        let world = world.with(world.fs.crash());
        let engine = world.open().unwrap();
        assert_eq!(engine.report().damage, []);
        let stream = engine.stream(&name("s")).unwrap();
        assert_eq!(read_all(&stream.shards()[0]).unwrap(), [(1, b"after".to_vec())]);
    }
}

#[test]
fn nothing_acknowledged_is_lost_whenever_the_power_goes() {
    let mut cycles = 0;
    for seed in 0..20 {
        let mut ops = 0;
        loop {
            let world = World::new(seed);
            let engine = world.open().unwrap();
            let stream = engine.create_stream(&name("s"), 2, StreamSettings::default()).unwrap();
            engine.housekeeping_step();
            ops += 1 + seed % 3;
            world.fs.crash_at(world.fs.ops() + ops);
            let mut acknowledged: Vec<BTreeMap<u64, Vec<u8>>> = vec![BTreeMap::new(); 2];
            let mut sent = 0;
            let mut is_cut = false;
            for round in 0..12u64 {
                let shard = &stream.shards()[(round % 2) as usize];
                let data = vec![round as u8; 20_000 * (round as usize % 5)];
                let Ok(ticket) = put(shard, &[&data, b"", &data]) else {
                    is_cut = true;
                    break;
                };
                sent += 1;
                while engine.commit_step() {}
                match ticket.wait() {
                    Ok(appended) => {
                        let base = appended.first.0;
                        let of_shard = &mut acknowledged[(round % 2) as usize];
                        for (index, data) in [&data[..], b"", &data[..]].into_iter().enumerate() {
                            of_shard.insert(base + index as u64, data.to_vec());
                        }
                    }
                    Err(_) => {
                        is_cut = true;
                        break;
                    }
                }
            }
            drop((stream, engine));
            let world = World { fs: world.fs.crash(), ..world };
            let engine = world.open().unwrap();
            assert_eq!(engine.report().damage, [], "seed {seed} op {ops} sent {sent}");
            let stream = engine.stream(&name("s")).unwrap();
            for (shard, acknowledged) in stream.shards().iter().zip(&acknowledged) {
                let found: BTreeMap<_, _> = read_all(shard).unwrap().into_iter().collect();
                for (sequence, data) in acknowledged {
                    assert_eq!(found.get(sequence), Some(data), "seed {seed} op {ops}");
                }
                let appended = put_now(&engine, shard, &[b"after"]).unwrap();
                assert!(found.keys().all(|&sequence| sequence < appended.first.0));
            }
            assert_eq!(world.fs.undurable_slices(), 0);
            cycles += 1;
            if !is_cut {
                break;
            }
        }
    }
    println!("{cycles} cycles");
}

#[test]
fn a_failed_sync_halts_the_log_and_is_never_acknowledged() {
    let world = World::new(3);
    let engine = world.open().unwrap();
    let stream = engine.create_stream(&name("s"), 1, StreamSettings::default()).unwrap();
    let shard = &stream.shards()[0];
    put_now(&engine, shard, &[b"one"]).unwrap();
    world.fs.inject(Fault::Fails { op: Op::Sync, nth: 1, is_full: false });
    assert!(matches!(put_now(&engine, shard, &[b"two"]), Err(Error::Halted { .. })));
    world.fs.clear_faults();
    assert!(matches!(put_now(&engine, shard, &[b"three"]), Err(Error::Halted { .. })));
    assert_eq!(read_all(shard).unwrap(), [(1, b"one".to_vec())]);
    engine.shut_down().unwrap();
    drop((stream, engine));

    let engine = world.open().unwrap();
    assert!(!engine.report().clean);
    let stream = engine.stream(&name("s")).unwrap();
    let appended = put_now(&engine, &stream.shards()[0], &[b"four"]).unwrap();
    let read = read_all(&stream.shards()[0]).unwrap();
    assert!(read.contains(&(appended.first.0, b"four".to_vec())), "{read:?}");
    assert_eq!(read[0], (1, b"one".to_vec()));
}

#[test]
fn a_full_disk_refuses_puts_and_takes_them_again_by_itself() {
    let world = World::new(4);
    let engine = world.open().unwrap();
    let stream = engine.create_stream(&name("s"), 1, StreamSettings::default()).unwrap();
    let shard = &stream.shards()[0];
    world.fs.inject(Fault::Full { free_bytes: 2 << 20 });
    let data = vec![1; 100_000];
    let mut put = 0;
    let error = loop {
        match put_now(&engine, shard, &[&data]) {
            Ok(_) => put += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::DiskFull), "{error}");
    assert!(engine.stats().is_disk_full);
    assert_eq!(read_all(shard).unwrap().len(), put);
    world.fs.clear_faults();
    let appended = put_now(&engine, shard, &[b"again"]).unwrap();
    let read = read_all(shard).unwrap();
    assert_eq!(read.len(), put + 1);
    assert_eq!(read[put], (appended.first.0, b"again".to_vec()));
    assert!(!engine.stats().is_disk_full);
}

#[test]
fn damage_is_an_explicit_error_and_the_rest_is_served() {
    let world = World::new(5);
    let engine = world.open().unwrap();
    let stream = engine.create_stream(&name("s"), 1, StreamSettings::default()).unwrap();
    for number in 1..=9u8 {
        put_now(&engine, &stream.shards()[0], &[&[number; 1000]]).unwrap();
    }
    engine.shut_down().unwrap();
    drop((stream, engine));
    let path = PathBuf::from("/data/shards/1/0/00000000000000000001.seg");
    let bytes = world.fs.read_file(&path).unwrap();
    let frame = 8192 + 3 * (80 + 1030_usize).next_multiple_of(8);
    assert_eq!(&bytes[frame..frame + 4], b"AFRM");
    for (offset, what) in [(frame + 500, "payload"), (frame + 50, "header")] {
        world.fs.inject(Fault::FlipBit { path: path.clone(), offset: offset as u64, bit: 3 });
        let engine = world.open().unwrap();
        let stream = engine.stream(&name("s")).unwrap();
        let shard = &stream.shards()[0];
        let mut cursor = shard.cursor(SequenceNumber(1));
        let limit = ReadLimit { records: 100, bytes: 1 << 20 };
        assert_eq!(cursor.read(limit).unwrap().records, 3, "{what}");
        let Err(Error::Damage(damage)) = cursor.read(limit) else { panic!("{what}") };
        assert_eq!(damage.first_lost, SequenceNumber(4), "{what}");
        assert_eq!(damage.next_readable, SequenceNumber(5), "{what}");
        assert_eq!(damage.offset, frame as u64);
        cursor.seek(damage.next_readable);
        assert_eq!(cursor.read(limit).unwrap().records, 5, "{what}");
        assert_eq!(engine.stats().damage_found, 1);
        put_now(&engine, shard, &[b"more"]).unwrap();
        assert_eq!(read_from(shard, 5).unwrap().last().unwrap().1, b"more");
        drop((cursor, stream, engine));
        world.fs.write_file(&path, &bytes);
        // The catalog knows of more than the restored file holds: only the damage matters here.
        world.fs.inject(Fault::FlipBit { path: path.clone(), offset: 0, bit: 0 });
        world.fs.inject(Fault::FlipBit { path: path.clone(), offset: 0, bit: 0 });
    }
}

#[test]
fn old_records_go_and_their_files_with_them() {
    let world = World::new(6);
    let engine = world.open().unwrap();
    let stream = engine.create_stream(&name("s"), 1, StreamSettings::default()).unwrap();
    let shard = &stream.shards()[0];
    let data = vec![9; 200_000];
    for _ in 0..48 {
        put_now(&engine, shard, &[&data]).unwrap();
        world.clock.advance(Duration::from_secs(3600));
        engine.housekeeping_step();
    }
    let read = read_all(shard).unwrap();
    assert!((24..=26).contains(&read.len()), "{}", read.len());
    assert_eq!(read[0].0, shard.watermarks().trim_horizon.0);
    let segments = world
        .fs
        .files()
        .into_iter()
        .filter(|(path, _)| path.ends_with("0") || path.starts_with("/data/shards"));
    assert!(segments.count() <= 28);
    // A horizon never falls, and what is behind it does not come back.
    engine.set_retention_hours(&stream, 100).unwrap();
    engine.housekeeping_step();
    assert_eq!(read_all(shard).unwrap().len(), read.len());
    let horizon = shard.watermarks().trim_horizon;
    drop((stream, engine));
    let world = World { fs: world.fs.crash(), ..world };
    let engine = world.open().unwrap();
    let stream = engine.stream(&name("s")).unwrap();
    assert_eq!(stream.shards()[0].watermarks().trim_horizon, horizon);
    assert_eq!(read_all(&stream.shards()[0]).unwrap().len(), read.len());
}

#[test]
fn a_time_finds_the_first_record_that_arrived_at_or_after_it() {
    let world = World::new(7);
    let engine = world.open().unwrap();
    let stream = engine.create_stream(&name("s"), 1, StreamSettings::default()).unwrap();
    let shard = &stream.shards()[0];
    assert_eq!(shard.sequence_at_time(START_MS).unwrap(), SequenceNumber(1));
    let data = vec![1; 30_000];
    let mut times = Vec::new();
    for _ in 0..40 {
        world.clock.advance(Duration::from_secs(1));
        times.push(engine.now_ms());
        put_now(&engine, shard, &[&data, &data]).unwrap();
    }
    for (index, time) in times.iter().enumerate() {
        let first = SequenceNumber(index as u64 * 2 + 1);
        assert_eq!(shard.sequence_at_time(*time).unwrap(), first);
        assert_eq!(shard.sequence_at_time(*time - 1).unwrap(), first);
        assert_eq!(shard.sequence_at_time(*time + 1).unwrap(), first.plus(2));
    }
}

#[test]
fn a_deleted_stream_is_gone_and_its_namesake_starts_anew() {
    let world = World::new(8);
    let engine = world.open().unwrap();
    let stream = engine.create_stream(&name("s"), 1, StreamSettings::default()).unwrap();
    put_now(&engine, &stream.shards()[0], &[b"old"]).unwrap();
    let mut cursor = stream.shards()[0].cursor(SequenceNumber(1));
    engine.delete_stream(&name("s")).unwrap();
    let limit = ReadLimit { records: 1, bytes: 1 };
    assert!(matches!(cursor.read(limit), Err(Error::StreamDeleted { .. })));
    assert!(matches!(put(&stream.shards()[0], &[b"x"]), Err(Error::StreamDeleted { .. })));
    assert!(stream.shards()[0].progress().borrow().deleted);
    let again = engine.create_stream(&name("s"), 1, StreamSettings::default()).unwrap();
    assert_eq!(read_all(&again.shards()[0]).unwrap(), []);
    engine.housekeeping_step();
    assert!(!world.fs.files().iter().any(|(path, _)| path.starts_with("/data/shards/1")));
}

#[test]
fn what_is_staged_when_the_engine_stops_is_committed() {
    let world = World::new(10);
    let engine = world.open().unwrap();
    let stream = engine.create_stream(&name("s"), 1, StreamSettings::default()).unwrap();
    let ticket = put(&stream.shards()[0], &[b"staged"]).unwrap();
    engine.shut_down().unwrap();
    assert_eq!(ticket.wait().unwrap().first, SequenceNumber(1));
    assert!(matches!(put(&stream.shards()[0], &[b"late"]), Err(Error::ShuttingDown)));
    drop((stream, engine));
    let engine = world.open().unwrap();
    assert!(engine.report().clean);
    let stream = engine.stream(&name("s")).unwrap();
    assert_eq!(read_all(&stream.shards()[0]).unwrap(), [(1, b"staged".to_vec())]);
}

#[test]
fn a_blocking_put_is_durable_without_the_help_of_a_committer() {
    let world = World::new(23);
    let engine = world.open().unwrap();
    let stream = engine.create_stream(&name("s"), 1, StreamSettings::default()).unwrap();
    let shard = &stream.shards()[0];
    let key = PartitionKey::from_bytes(b"key").unwrap();
    let records = [b"a", b"b"].map(|data| RecordView::new(key, None, data).unwrap());
    let put = shard.put(records.into_iter()).unwrap();
    assert_eq!((put.first, put.last), (SequenceNumber(1), SequenceNumber(2)));
    assert!(!engine.commit_step(), "nothing is left to a committer");
    drop((stream, engine));
    let engine = world.with(world.fs.crash()).open().unwrap();
    let stream = engine.stream(&name("s")).unwrap();
    assert_eq!(read_all(&stream.shards()[0]).unwrap().len(), 2);
}

#[test]
fn stopping_waits_for_blocking_puts_and_refuses_the_next() {
    for seed in 0..20 {
        let world = World::new(seed);
        let engine = world.open().unwrap();
        engine.start();
        let stream = engine.create_stream(&name("s"), 1, StreamSettings::default()).unwrap();
        let shard = &stream.shards()[0];
        let key = PartitionKey::from_bytes(b"key").unwrap();
        let record = RecordView::new(key, None, b"data").unwrap();
        let put = std::thread::scope(|scope| {
            let putting = scope.spawn(|| {
                let mut put = 0;
                while shard.put(std::iter::once(record)).is_ok() {
                    put += 1;
                }
                put
            });
            while shard.watermarks().durable <= SequenceNumber(seed) {
                std::thread::yield_now();
            }
            engine.shut_down().unwrap();
            putting.join().unwrap()
        });
        drop((stream, engine));
        let engine = world.open().unwrap();
        assert!(engine.report().clean);
        let stream = engine.stream(&name("s")).unwrap();
        assert_eq!(read_all(&stream.shards()[0]).unwrap().len(), put);
    }
}

#[test]
fn two_engines_cannot_have_one_directory() {
    let world = World::new(9);
    let engine = world.open().unwrap();
    assert!(matches!(world.open(), Err(Error::Locked { .. })));
    drop(engine);
    world.open().unwrap();
}

#[test]
fn a_segment_without_a_frame_that_is_replaced_is_not_dropped_in_place_of_the_new_one() {
    let mut replaced = 0;
    for op in 1..30 {
        let world = World::new(11);
        let engine = world.open().unwrap();
        let stream = engine.create_stream(&name("s"), 1, StreamSettings::default()).unwrap();
        world.fs.crash_at(world.fs.ops() + op);
        let _ = put_now(&engine, &stream.shards()[0], &[b"cut"]);
        drop((stream, engine));
        let world = World { fs: world.fs.crash(), ..world };
        let engine = world.open().unwrap();
        let stream = engine.stream(&name("s")).unwrap();
        let shard = &stream.shards()[0];
        let before = shard.view().segments().last().map(|last| last.base());
        // More than the empty segment has room for.
        let first = put_now(&engine, shard, &[&vec![1; 150_000], &vec![2; 150_000]]).unwrap().first;
        replaced += u32::from(before == Some(first));
        let bases: Vec<_> = shard.view().segments().iter().map(|each| each.base()).collect();
        assert!(bases.is_sorted_by(|one, next| one < next), "{bases:?}");
        for _ in 0..5 {
            world.clock.advance(Duration::from_secs(600));
            put_now(&engine, shard, &[b"in the same segment"]).unwrap();
        }
        world.clock.advance(Duration::from_secs(7200));
        put_now(&engine, shard, &[b"in another one"]).unwrap();
        // A day and 25 minutes behind the first of them.
        world.clock.advance(Duration::from_secs(21 * 3600 + 35 * 60));
        engine.housekeeping_step();
        let kept: Vec<_> = (first.0 + 4..first.0 + 8).collect();
        let read = |shard: &Arc<Shard>| -> Vec<u64> {
            read_all(shard).unwrap().iter().map(|(sequence, _)| *sequence).collect()
        };
        assert_eq!(read(shard), kept, "op {op}");
        drop((stream, engine));
        let engine = world.open().unwrap();
        assert_eq!(engine.report().damage, []);
        let stream = engine.stream(&name("s")).unwrap();
        assert_eq!(read(&stream.shards()[0]), kept);
    }
    assert!(replaced > 0);
}

#[test]
fn a_last_segment_without_a_header_keeps_its_file_and_its_numbers() {
    let world = World::new(12);
    let engine = world.open().unwrap();
    let stream = engine.create_stream(&name("s"), 1, StreamSettings::default()).unwrap();
    for _ in 0..5 {
        put_now(&engine, &stream.shards()[0], &[b"acknowledged", b"as well"]).unwrap();
    }
    drop((stream, engine));
    let path = PathBuf::from("/data/shards/1/0/00000000000000000001.seg");
    for offset in [20, 4096 + 20] {
        world.fs.inject(Fault::FlipBit { path: path.clone(), offset, bit: 1 });
    }
    let bytes = world.fs.read_file(&path).unwrap();
    let engine = world.open().unwrap();
    let damage = &engine.report().damage[0];
    assert_eq!((damage.first_lost, damage.next_readable), (SequenceNumber(1), SequenceNumber(11)));
    let stream = engine.stream(&name("s")).unwrap();
    let shard = &stream.shards()[0];
    assert!(matches!(read_all(shard), Err(Error::Damage(_))));
    // Above all that its frames claim, and above what lost ones may have claimed.
    let more = put_now(&engine, shard, &[b"more"]).unwrap().first;
    assert_eq!(more, SequenceNumber(11).plus(limits::LOST_NUMBERS_SKIPPED));
    assert_eq!(world.fs.read_file(&path).unwrap(), bytes);
    assert!(matches!(read_all(shard), Err(Error::Damage(_))));
    assert_eq!(read_from(shard, more.0).unwrap(), [(more.0, b"more".to_vec())]);
    // No one knows how old the lost ones are: they go with the record behind them.
    for hours in [1, 22] {
        world.clock.advance(Duration::from_secs(hours * 3600));
        engine.housekeeping_step();
        assert_eq!(world.fs.read_file(&path).unwrap(), bytes);
        assert!(matches!(read_all(shard), Err(Error::Damage(_))));
        assert_eq!(shard.sequence_at_time(START_MS).unwrap(), SequenceNumber(1));
    }
    world.clock.advance(Duration::from_secs(2 * 3600));
    put_now(&engine, shard, &[b"a day later"]).unwrap();
    engine.housekeeping_step();
    assert_eq!(world.fs.read_file(&path), None);
    assert_eq!(read_all(shard).unwrap(), [(more.0 + 1, b"a day later".to_vec())]);
}

#[test]
fn retention_goes_on_where_a_file_was_taken_away() {
    let world = World::new(13);
    let engine = world.open().unwrap();
    let stream = engine.create_stream(&name("s"), 1, StreamSettings::default()).unwrap();
    let shard = &stream.shards()[0];
    for _ in 0..3 {
        put_now(&engine, shard, &[b"one a segment"]).unwrap();
        world.clock.advance(Duration::from_secs(2 * 3600));
    }
    let path = PathBuf::from("/data/shards/1/0/00000000000000000002.seg");
    world.environment().fs.remove(&path).unwrap();
    world.clock.advance(Duration::from_secs(21 * 3600));
    engine.housekeeping_step();
    assert_eq!(shard.watermarks().trim_horizon, SequenceNumber(2));
    assert!(matches!(read_all(shard), Err(Error::Damage(_))));
    put_now(&engine, shard, &[b"later"]).unwrap();
    world.clock.advance(Duration::from_secs(2 * 3600));
    engine.housekeeping_step();
    assert_eq!(read_all(shard).unwrap(), [(4, b"later".to_vec())]);
}

#[test]
fn files_of_a_deleted_stream_do_not_come_back_after_two_crashes() {
    for (seed, op) in (0..10).flat_map(|seed| (1..8).map(move |op| (seed, op))) {
        let world = World::new(seed);
        let engine = world.open().unwrap();
        let stream = engine.create_stream(&name("s"), 1, StreamSettings::default()).unwrap();
        put_now(&engine, &stream.shards()[0], &[b"x"]).unwrap();
        engine.delete_stream(&name("s")).unwrap();
        world.fs.crash_at(world.fs.ops() + op);
        engine.housekeeping_step();
        drop((stream, engine));
        let world = World { fs: world.fs.kill(), ..world };
        drop(world.open().unwrap());
        let world = World { fs: world.fs.crash(), ..world };
        let engine = world.open().unwrap();
        assert!(engine.report().lost_and_found.is_empty(), "seed {seed} op {op}");
    }
}
