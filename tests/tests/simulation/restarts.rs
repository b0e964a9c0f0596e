//! What the simulation has found at the edges of a restart, as small as it gets.

use std::time::Duration;

use anabranch_engine::fs::{Fault, Op};
use anabranch_engine::sequence::SequenceNumber;
use anabranch_engine::{Durability, Error, StreamSettings};

use anabranch_tests::support::{
    START_MS, World, name, poll, put, put_now, read_all, read_over_damage,
};

/// A world in mode `os` that has made its shard with 5 synced records, and more that are not.
fn unsynced_world() -> World {
    let world = World { durability: Durability::Os, ..World::new(1) };
    let engine = world.open().unwrap();
    let stream = engine.create_stream(&name("s"), 1, StreamSettings::default()).unwrap();
    let shard = &stream.shards()[0];
    for _ in 0..5 {
        put_now(&engine, shard, &[b"synced"]).unwrap();
    }
    world.clock.advance(Duration::from_secs(61));
    engine.housekeeping_step();
    for _ in 0..5 {
        put_now(&engine, shard, &[b"unsynced"]).unwrap();
    }
    world
}

#[test]
fn a_clean_stop_after_a_kill_in_mode_os_keeps_every_record() {
    let world = unsynced_world();
    let mut world = world.with(world.fs.kill());
    world.durability = Durability::Os;
    for _ in 0..3 {
        let engine = world.open().unwrap();
        let stream = engine.stream(&name("s")).unwrap();
        assert_eq!(read_all(&stream.shards()[0], 0).len(), 10);
        engine.shut_down().unwrap();
    }
}

#[test]
fn numbers_that_mode_os_lost_are_not_used_again_after_a_switch_to_fsync() {
    for stops in [[false, false], [true, false], [false, true], [true, true]] {
        let world = unsynced_world();
        let mut world = world.with(world.fs.crash());
        world.durability = Durability::Fsync;
        for is_clean in stops {
            let engine = world.open().unwrap();
            if is_clean {
                engine.shut_down().unwrap();
            }
            drop(engine);
            world = world.with(world.fs.crash());
        }
        let engine = world.open().unwrap();
        let stream = engine.stream(&name("s")).unwrap();
        let appended = put_now(&engine, &stream.shards()[0], &[b"new"]).unwrap();
        assert!(appended.first.0 > 10, "{stops:?}: {}", appended.first);
    }
}

#[test]
fn a_log_that_halts_while_the_engine_stops_is_not_synced_again() {
    let world = World::new(1);
    let engine = world.open().unwrap();
    let stream = engine.create_stream(&name("s"), 1, StreamSettings::default()).unwrap();
    let shard = &stream.shards()[0];
    put_now(&engine, shard, &[b"one"]).unwrap();
    let mut ticket = put(shard, &[b"two"]).unwrap();
    world.fs.inject(Fault::Fails { op: Op::Sync, nth: 1, is_full: false });
    engine.shut_down().unwrap();
    assert!(matches!(poll(&mut ticket), Some(Err(Error::Halted { .. }))));
    drop((stream, engine));
    let world = world.with(world.fs.crash());
    assert!(!world.open().unwrap().report().clean);
}

#[test]
fn a_clean_restart_does_not_seal_a_young_segment() {
    let world = World::new(1);
    for round in 1..=4 {
        let engine = world.open().unwrap();
        if round == 1 {
            engine.create_stream(&name("s"), 1, StreamSettings::default()).unwrap();
        }
        let stream = engine.stream(&name("s")).unwrap();
        put_now(&engine, &stream.shards()[0], &[b"one"]).unwrap();
        engine.shut_down().unwrap();
        drop((stream, engine));
        let engine = world.open().unwrap();
        world.clock.advance(Duration::from_secs(11));
        engine.housekeeping_step();
        engine.shut_down().unwrap();
        assert_eq!(world.segments().len(), 1);
    }
}

#[test]
fn a_segment_without_a_valid_header_hides_no_other_from_a_time_or_from_retention() {
    let world = World::new(1);
    let engine = world.open().unwrap();
    let stream = engine.create_stream(&name("s"), 1, StreamSettings::default()).unwrap();
    // Three segments, an hour and more apart.
    for _ in 0..3 {
        for _ in 0..4 {
            world.clock.advance(Duration::from_secs(10));
            put_now(&engine, &stream.shards()[0], &[b"data"]).unwrap();
        }
        world.clock.advance(Duration::from_secs(4000));
        engine.housekeeping_step();
    }
    engine.shut_down().unwrap();
    drop((stream, engine));
    let segments = world.segments();
    assert_eq!(segments.len(), 3);
    let (middle, _) = segments[1].clone();
    for offset in [20, 4096 + 20] {
        world.fs.inject(Fault::FlipBit { path: middle.clone(), offset, bit: 0 });
    }
    let engine = world.open().unwrap();
    let stream = engine.stream(&name("s")).unwrap();
    let shard = &stream.shards()[0];
    assert_eq!(shard.sequence_at_time(START_MS + 10_001).unwrap(), SequenceNumber(2));
    let (read, damage) = read_over_damage(shard, 0);
    assert_eq!(read.len(), 8);
    assert_eq!(damage.len(), 1);
    assert_eq!(damage[0].file, middle);
    assert_eq!((damage[0].first_lost.0, damage[0].next_readable.0), (5, 9));
    // Two records of the first segment are old enough, and no more.
    world.clock.advance(Duration::from_secs(24 * 3600 - 12_110));
    engine.housekeeping_step();
    let horizon = shard.watermarks().trim_horizon.0;
    assert!(horizon <= 4, "{horizon}");
}

#[test]
fn a_reader_ends_at_a_last_segment_that_lost_its_frames() {
    let world = unsynced_world();
    let mut world = world.with(world.fs.crash());
    world.durability = Durability::Os;
    let engine = world.open().unwrap();
    let stream = engine.stream(&name("s")).unwrap();
    put_now(&engine, &stream.shards()[0], &[b"lost at once"]).unwrap();
    drop((stream, engine));
    let mut world = world.with(world.fs.crash());
    world.durability = Durability::Os;
    for is_old in [false, true] {
        let engine = world.open().unwrap();
        let stream = engine.stream(&name("s")).unwrap();
        let shard = &stream.shards()[0];
        assert_eq!(read_all(shard, 0).len() >= 5, !is_old);
        world.clock.advance(Duration::from_secs(3 * 24 * 3600));
        engine.housekeeping_step();
        world.clock.advance(Duration::from_secs(11));
        engine.housekeeping_step();
        read_all(shard, 0);
    }
}

#[test]
fn a_position_at_the_tip_after_a_cut_misses_nothing_after_another_crash() {
    let world = World::new(1);
    let engine = world.open().unwrap();
    let stream = engine.create_stream(&name("s"), 1, StreamSettings::default()).unwrap();
    put_now(&engine, &stream.shards()[0], &[b"kept"]).unwrap();
    put_now(&engine, &stream.shards()[0], &[b"torn", b"torn", b"torn"]).unwrap();
    drop((stream, engine));
    let mut world = world.with(world.fs.kill());
    let (path, _) = world.segments()[0].clone();
    let bytes = world.fs.read_file(&path).unwrap();
    let last = bytes.windows(4).rposition(|window| window == b"torn").unwrap();
    world.fs.inject(Fault::FlipBit { path, offset: last as u64, bit: 0 });
    let mut shown = 0;
    for _ in 0..2 {
        let engine = world.open().unwrap();
        let stream = engine.stream(&name("s")).unwrap();
        let shard = &stream.shards()[0];
        let tip = shard.watermarks().durable.0;
        assert!(shown <= tip, "the tip falls from {shown} to {tip}");
        shown = tip;
        drop((stream, engine));
        world = world.with(world.fs.kill());
    }
    let engine = world.open().unwrap();
    let stream = engine.stream(&name("s")).unwrap();
    let appended = put_now(&engine, &stream.shards()[0], &[b"new"]).unwrap();
    assert!(appended.first.0 >= shown, "{} is missed from {shown} on", appended.first);
}
