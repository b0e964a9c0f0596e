//! Streams that change shape, over a disk that loses power, fails and fills up.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::*;
use crate::fs::{Fault, Op};
use crate::hash_key::{HashKey, HashKeyRange};
use crate::record::{PartitionKey, RecordView};
use crate::tests::{World, name, put, put_now, read_all};
use crate::{Engine, EngineOptions, Environment, ReadLimit, StreamSettings};

const HALF: HashKey = HashKey(1 << 127);
const WHOLE: ReadLimit = ReadLimit { records: 100, bytes: 1 << 20 };

fn split(shard: u32, at: HashKey) -> Step {
    Step::Split { shard: ShardId(shard), at }
}

fn merge(shard: u32, adjacent: u32) -> Step {
    Step::Merge { shard: ShardId(shard), adjacent: ShardId(adjacent) }
}

fn ids(shards: &Shards) -> Vec<u32> {
    shards.iter().map(|shard| shard.id().0).collect()
}

/// The data of all records, shard by shard.
fn contents(stream: &Stream) -> BTreeMap<u32, Vec<Vec<u8>>> {
    let shards = stream.shards();
    let data = |shard| read_all(shard).unwrap().into_iter().map(|(_, data)| data).collect();
    shards.iter().map(|shard| (shard.id().0, data(shard))).collect()
}

#[test]
fn records_go_to_the_children_and_readers_find_the_end_and_who_goes_on() {
    let world = World::new(1);
    let engine = world.open().unwrap();
    let stream = engine.create_stream(&name("s"), 1, StreamSettings::default()).unwrap();
    let parent = stream.shards()[0].clone();
    put_now(&engine, &parent, &[b"one", b"two"]).unwrap();
    let mut reader = parent.cursor(SequenceNumber(0));
    assert!(!reader.read(WHOLE).unwrap().is_end);
    let progress = parent.progress();

    engine.reshard(&stream, &[split(0, HALF)]).unwrap();
    assert!(progress.has_changed().unwrap() && progress.borrow().closed);
    let page = reader.read(WHOLE).unwrap();
    assert!(page.is_end && page.records == 0 && page.next == SequenceNumber(3));
    let closed = parent.closed().unwrap();
    assert_eq!(closed.last_sequence, SequenceNumber(2));
    let shards = stream.shards();
    assert_eq!(ids(&shards), [0, 1, 2]);
    let children = shards.children(ShardId(0));
    assert_eq!(children.iter().map(|child| child.id().0).collect::<Vec<_>>(), [1, 2]);
    for child in children {
        assert_eq!(child.parents(), [Some(ShardId(0)), None]);
        assert_eq!(child.created_ms(), closed.at_ms);
        assert!(child.created_ms() / 1000 > parent.created_ms() / 1000);
        let appended = put_now(&engine, child, &[b"three"]).unwrap();
        assert_eq!(appended.first, SequenceNumber(3));
    }
    assert!(matches!(put(&parent, &[b"late"]), Err(Error::ShardClosed { .. })));
    assert_eq!(shards.route(HashKey(0)), 1);
    assert_eq!(shards.route(HALF), 2);

    engine.reshard(&stream, &[merge(2, 1)]).unwrap();
    let shards = stream.shards();
    let child = shards.get(ShardId(3)).unwrap();
    assert_eq!(child.parents(), [Some(ShardId(2)), Some(ShardId(1))]);
    assert_eq!(child.hash_key_range(), HashKeyRange::tile(1).next().unwrap());
    assert_eq!(child.first_sequence(), SequenceNumber(4));
    assert_eq!(shards.open().len(), 1);
}

#[test]
fn a_shape_outlives_a_clean_stop_and_a_kill() {
    for is_killed in [false, true] {
        let world = World::new(2);
        let engine = world.open().unwrap();
        let stream = engine.create_stream(&name("s"), 2, StreamSettings::default()).unwrap();
        put_now(&engine, &stream.shards()[0], &[b"parent"]).unwrap();
        engine.reshard(&stream, &[split(0, HashKey(1000)), merge(3, 1)]).unwrap();
        assert_eq!(ids(&stream.shards()), [0, 1, 2, 3, 4]);
        put_now(&engine, &stream.shards()[4], &[b"child"]).unwrap();
        let before = contents(&stream);
        let told: Vec<_> = stream.shards().iter().map(|shard| shard.entry()).collect();
        let ends: Vec<_> = stream.shards().iter().map(|shard| shard.closed()).collect();
        if !is_killed {
            engine.shut_down().unwrap();
        }
        drop((stream, engine));
        let world = world.with(if is_killed { world.fs.crash() } else { world.fs.kill() });
        let engine = world.open().unwrap();
        assert_eq!(engine.report().damage, []);
        let stream = engine.stream(&name("s")).unwrap();
        assert_eq!(contents(&stream), before);
        let shards = stream.shards();
        assert_eq!(shards.iter().map(|shard| shard.entry()).collect::<Vec<_>>(), told);
        assert_eq!(shards.iter().map(|shard| shard.closed()).collect::<Vec<_>>(), ends);
        assert_eq!(shards.open().map(|shard| shard.id().0).collect::<Vec<_>>(), [2, 4]);
        // The one in between was closed before it had a record, and says where reading goes on.
        let mut passing = shards[3].cursor(SequenceNumber(0));
        assert!(passing.read(WHOLE).unwrap().is_end);
        assert!(matches!(put(&shards[0], &[b"late"]), Err(Error::ShardClosed { .. })));
        put_now(&engine, &shards[4], &[b"more"]).unwrap();
    }
}

/// What was acknowledged, by shard and number.
type Acknowledged = Vec<(u32, u64, Vec<u8>)>;

/// Puts one record to every open shard, until the disk is gone.
fn put_everywhere(engine: &Engine, stream: &Stream, round: u8, acknowledged: &mut Acknowledged) {
    for shard in stream.shards().open() {
        let data = [round, shard.id().0 as u8];
        if let Ok(appended) = put_now(engine, shard, &[&data]) {
            acknowledged.push((shard.id().0, appended.first.0, data.to_vec()));
        }
    }
}

/// A life with reshards in it, until the disk is gone.
fn live(world: &World, acknowledged: &mut Acknowledged) -> Result<()> {
    let engine = world.open()?;
    let stream = engine.create_stream(&name("s"), 2, StreamSettings::default())?;
    let reshards: [&[Step]; 4] = [
        &[split(0, HashKey(5))],
        &[merge(3, 1)],
        &[split(4, HALF), split(2, HashKey(3))],
        &[merge(7, 8), merge(9, 5), merge(10, 6)],
    ];
    for (round, steps) in (0u8..).zip(reshards) {
        put_everywhere(&engine, &stream, round, acknowledged);
        engine.reshard(&stream, steps)?;
        put_everywhere(&engine, &stream, round + 100, acknowledged);
    }
    engine.shut_down()
}

/// Every record is there under its number, and nothing else; the shape is one that was reached.
fn check(world: &World, acknowledged: &Acknowledged, cut: &str) {
    let engine = world.open().unwrap();
    assert_eq!(engine.report().damage, [], "{cut}");
    assert_eq!(engine.report().lost_and_found, Vec::<std::path::PathBuf>::new(), "{cut}");
    let Ok(stream) = engine.stream(&name("s")) else {
        assert!(acknowledged.is_empty(), "{cut}");
        return;
    };
    let shards = stream.shards();
    for (shard, number, data) in acknowledged {
        let shard = shards.get(ShardId(*shard)).unwrap_or_else(|| panic!("{cut}: no {shard}"));
        let mut cursor = shard.cursor(SequenceNumber(*number));
        let found = cursor.read(ReadLimit { records: 1, ..WHOLE }).unwrap();
        assert!(found.ranges.iter().any(|range| range.ends_with(data)), "{cut}");
    }
    for shard in &shards {
        let records = read_all(shard).unwrap();
        if let Some(closed) = shard.closed() {
            assert!(records.iter().all(|(number, _)| *number <= closed.last_sequence.0), "{cut}");
            assert!(!shards.children(shard.id()).is_empty(), "{cut}");
            for child in shards.children(shard.id()) {
                assert!(child.first_sequence() > closed.last_sequence, "{cut}");
            }
        }
        // At most what was under way when the power went was kept without a word.
        let mut numbers = records.iter().map(|(number, _)| *number);
        assert!(numbers.all(|number| number >= shard.first_sequence().0), "{cut}");
    }
    let mut again = Vec::new();
    put_everywhere(&engine, &stream, 200, &mut again);
    assert_eq!(again.len(), shards.open().len(), "{cut}");
}

#[test]
fn a_power_cut_or_a_kill_at_any_operation_loses_nothing_and_leaves_a_whole_shape() {
    for is_killed in [false, true] {
        for ordinal in 2.. {
            let world = World::new(ordinal);
            world.fs.crash_at(ordinal);
            let mut acknowledged = Vec::new();
            let lived = live(&world, &mut acknowledged);
            let fs = if is_killed { world.fs.kill() } else { world.fs.crash() };
            fs.crash_at(u64::MAX);
            check(&world.with(fs), &acknowledged, &format!("cut at {ordinal}"));
            if lived.is_ok() {
                assert!(ordinal > 200, "{ordinal} operations are no life");
                break;
            }
        }
    }
}

#[test]
fn a_reshard_that_failed_is_not_made_and_its_parents_go_on() {
    let (mut failures, mut doubts) = (0, 0);
    for (op, is_full) in [(Op::Sync, false), (Op::Write, true), (Op::Write, false)] {
        for (nth, more) in (1..12).flat_map(|nth| [0, 40].map(|more| (nth, more))) {
            let world = World::new(nth);
            let engine = world.open().unwrap();
            let stream = engine.create_stream(&name("s"), 1, StreamSettings::default()).unwrap();
            let parent = stream.shards()[0].clone();
            put_now(&engine, &parent, &[b"before"]).unwrap();
            (nth..=nth + more).for_each(|nth| world.fs.inject(Fault::Fails { op, nth, is_full }));
            let resharded = engine.reshard(&stream, &[split(0, HALF)]);
            world.fs.clear_faults();
            if resharded.is_ok() {
                assert_eq!(stream.shards().open().len(), 2);
                continue;
            }
            failures += 1;
            assert_eq!(ids(&stream.shards()), [0]);
            assert!(!stream.is_updating());
            let acknowledged = match put_now(&engine, &parent, &[b"after"]) {
                Ok(_) => 2,
                Err(error) => {
                    let is_expected =
                        matches!(error, Error::StreamInDoubt { .. } | Error::Halted { .. });
                    assert!(is_expected, "{error}");
                    doubts += 1;
                    1
                }
            };
            let again = world.with(world.fs.kill()).open().unwrap();
            let found = again.stream(&name("s")).unwrap();
            assert_eq!(read_all(&found.shards()[0]).unwrap().len(), acknowledged);
            if acknowledged == 2 {
                assert_eq!(ids(&found.shards()), [0], "{nth}, {more}");
            }
        }
    }
    assert!(failures > 10 && doubts > 0, "{failures}, {doubts}");
}

#[test]
fn a_closed_shard_goes_when_its_last_record_has_expired() {
    let world = World::new(3);
    let engine = world.open().unwrap();
    let stream = engine.create_stream(&name("s"), 1, StreamSettings::default()).unwrap();
    put_now(&engine, &stream.shards()[0], &[b"old"]).unwrap();
    engine.reshard(&stream, &[split(0, HALF)]).unwrap();
    let pass = |hours: u64| {
        for _ in 0..hours * 60 {
            world.clock.advance(Duration::from_secs(60));
            engine.housekeeping_step();
        }
    };
    pass(23);
    assert_eq!(ids(&stream.shards()), [0, 1, 2]);
    put_now(&engine, &stream.shards()[1], &[b"new"]).unwrap();
    let reader = stream.shards()[0].clone();
    pass(2);
    assert_eq!(ids(&stream.shards()), [1, 2]);
    let gone = stream.shard(ShardId(0));
    assert!(matches!(gone, Err(Error::ShardNotFound { .. })));
    // Whoever was on his way finds the end, and the children.
    let page = reader.cursor(SequenceNumber(0)).read(WHOLE).unwrap();
    assert!(page.is_end && page.records == 0);
    let files = |world: &World| world.segments().len();
    assert_eq!(files(&world), 1);
    // The ids of the others stay, and no number comes back.
    drop((stream, engine));
    let world = world.with(world.fs.crash());
    let engine = world.open().unwrap();
    let stream = engine.stream(&name("s")).unwrap();
    assert_eq!(ids(&stream.shards()), [1, 2]);
    engine.reshard(&stream, &[merge(1, 2)]).unwrap();
    assert_eq!(ids(&stream.shards()), [1, 2, 3]);
}

#[test]
fn a_power_cut_while_a_shard_expires_leaves_it_or_takes_it() {
    for ordinal in 0.. {
        let world = World::new(ordinal);
        let engine = world.open().unwrap();
        let stream = engine.create_stream(&name("s"), 1, StreamSettings::default()).unwrap();
        put_now(&engine, &stream.shards()[0], &[b"old"]).unwrap();
        engine.reshard(&stream, &[split(0, HALF)]).unwrap();
        world.clock.advance(Duration::from_hours(26));
        let ops = world.fs.ops();
        world.fs.crash_at(ops + ordinal);
        for _ in 0..3 {
            engine.housekeeping_step();
            world.clock.advance(Duration::from_secs(20));
        }
        let is_through = world.fs.ops() <= ops + ordinal;
        drop((stream, engine));
        let after = world.with(world.fs.crash());
        after.fs.crash_at(u64::MAX);
        let engine = after.open().unwrap();
        let report = engine.report();
        assert!(report.damage.is_empty() && report.lost_and_found.is_empty(), "{ordinal}");
        let stream = engine.stream(&name("s")).unwrap();
        for _ in 0..3 {
            after.clock.advance(Duration::from_secs(20));
            engine.housekeeping_step();
        }
        assert_eq!(ids(&stream.shards()), [1, 2], "{ordinal}");
        assert_eq!(after.segments(), [], "{ordinal}");
        if is_through {
            assert!(ordinal > 10, "{ordinal} operations are too few");
            return;
        }
    }
}

#[test]
fn one_reshard_at_a_time_and_none_of_what_is_not_open() {
    let engine = World::new(4).open().unwrap();
    let stream = engine.create_stream(&name("s"), 3, StreamSettings::default()).unwrap();
    {
        let _updating = stream.begin_update(Changer::Caller).unwrap();
        assert!(stream.is_updating());
        let refused = engine.reshard(&stream, &[split(0, HashKey(9))]);
        assert!(matches!(refused, Err(Error::StreamUpdating { .. })));
        let unasked = engine.reshard_unasked(&stream, &[split(0, HashKey(9))]);
        assert!(matches!(unasked, Err(Error::StreamUpdating { .. })));
    }
    for (step, is_expected) in [
        (split(9, HALF), true),
        (merge(0, 9), true),
        (merge(0, 2), false),
        (split(0, HashKey(u128::MAX)), false),
    ] {
        let error = engine.reshard(&stream, &[step]).unwrap_err();
        assert_eq!(matches!(error, Error::ShardClosed { .. }), is_expected, "{error}");
    }
    // One that is refused as a whole changes nothing, and the shards take records.
    let half_right = [split(0, HashKey(9)), merge(1, 9)];
    assert!(engine.reshard(&stream, &half_right).is_err());
    assert_eq!(ids(&stream.shards()), [0, 1, 2]);
    put_now(&engine, &stream.shards()[0], &[b"on"]).unwrap();
}

#[test]
fn what_the_server_changes_by_itself_is_waited_for_and_seen_by_nobody() {
    let engine = World::new(4).open().unwrap();
    let stream = engine.create_stream(&name("s"), 1, StreamSettings::default()).unwrap();
    let changing = stream.begin_update(Changer::Server).unwrap();
    assert!(!stream.is_updating());
    let unasked = engine.reshard_unasked(&stream, &[split(0, HALF)]);
    assert!(matches!(unasked, Err(Error::StreamUpdating { .. })), "it does not wait for itself");
    let is_calling = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let caller = scope.spawn(|| {
            is_calling.store(true, Ordering::SeqCst);
            engine.reshard(&stream, &[split(0, HALF)])
        });
        // It has all the time to be refused, if it does not wait.
        let mut turns = 0;
        while !is_calling.load(Ordering::SeqCst) || turns < 10_000 {
            turns += 1;
            std::thread::yield_now();
        }
        assert!(!caller.is_finished());
        assert_eq!(ids(&stream.shards()), [0]);
        drop(changing);
        caller.join().unwrap().unwrap();
    });
    assert_eq!(ids(&stream.shards()), [0, 1, 2]);
}

/// Threads put with keys of their own while the stream is split and merged: each key's records
/// are found in order along the lineage, and every one of them once.
#[test]
fn what_races_with_reshards_is_put_once_and_in_order() {
    const KEYS: u128 = 4;
    const ROUNDS: u64 = 40;
    let dir = tempfile::tempdir().unwrap();
    let environment = Environment::system(crate::fs::ReadMode::Pread);
    let engine = Engine::open(EngineOptions::new(dir.path()), environment).unwrap();
    engine.start();
    let stream = engine.create_stream(&name("s"), 1, StreamSettings::default()).unwrap();
    let is_over = AtomicBool::new(false);
    let done: Vec<_> = (0..KEYS).map(|_| AtomicU64::new(0)).collect();
    let puts = std::thread::scope(|scope| {
        let put_all = |key: u128| {
            let mut number = 0u64;
            while !is_over.load(Ordering::Relaxed) {
                let data = [&key.to_be_bytes()[..], &number.to_be_bytes()].concat();
                let partition_key = PartitionKey::from_bytes(b"k").unwrap();
                let hash_key = HashKey(u128::MAX / KEYS * key + 7);
                let record = RecordView::new(partition_key, Some(hash_key), &data).unwrap();
                let shards = stream.shards();
                match shards[shards.route(hash_key)].put(std::iter::once(record)) {
                    Ok(_) => {
                        number += 1;
                        done[key as usize].store(number, Ordering::Relaxed);
                    }
                    Err(Error::ShardClosing { .. } | Error::ShardClosed { .. }) => {
                        std::thread::yield_now();
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            number
        };
        let producers: Vec<_> = (0..KEYS).map(|key| scope.spawn(move || put_all(key))).collect();
        for round in 0..ROUNDS {
            // Everybody has put something since the last one.
            while done.iter().any(|done| done.load(Ordering::Relaxed) <= round) {
                std::thread::yield_now();
            }
            let open: Vec<_> = stream.shards().open().cloned().collect();
            let step = match round % 2 {
                0 => {
                    let HashKeyRange { start, end } = open[0].hash_key_range();
                    split(open[0].id().0, HashKey(start.0 + (end.0 - start.0) / 2 + 1))
                }
                _ => merge(open[0].id().0, open[1].id().0),
            };
            engine.reshard(&stream, &[step]).unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
        producers.into_iter().map(|producer| producer.join().unwrap()).collect::<Vec<_>>()
    });
    // By number: a child's are above its parents'.
    let mut found: BTreeMap<u128, Vec<(u64, u64)>> = BTreeMap::new();
    for shard in &stream.shards() {
        for (sequence, data) in read_all(shard).unwrap() {
            let key = u128::from_be_bytes(data[..16].try_into().unwrap());
            let number = u64::from_be_bytes(data[16..].try_into().unwrap());
            found.entry(key).or_default().push((sequence, number));
        }
    }
    for (key, count) in (0..KEYS).zip(puts) {
        let mut records = found.remove(&key).unwrap_or_default();
        records.sort_unstable();
        let numbers: Vec<_> = records.iter().map(|(_, number)| *number).collect();
        assert_eq!(numbers, (0..count).collect::<Vec<_>>(), "key {key}");
        assert!(count >= ROUNDS);
    }
    engine.shut_down().unwrap();
}
