//! Logs that cannot go on in their last segment: their end is pinned, so that a stop is clean,
//! the horizon moves, and no number is used again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::{World, name, put_now, read_all};
use crate::fs::{Fault, Fs, Moment, Op};
use crate::sequence::SequenceNumber;
use crate::{Durability, Engine, Error, Shard, StreamSettings};

fn open(world: &World) -> (Engine, Arc<Shard>) {
    let engine = world.open().unwrap();
    let shard = engine.stream(&name("s")).unwrap().shards()[0].clone();
    (engine, shard)
}

/// A segment for each of `count` records, two hours apart.
fn segments(world: &World, count: usize) -> Vec<PathBuf> {
    let engine = world.open().unwrap();
    let stream = engine.create_stream(&name("s"), 1, StreamSettings::default()).unwrap();
    for _ in 0..count {
        put_now(&engine, &stream.shards()[0], &[b"one a segment"]).unwrap();
        world.clock.advance(Duration::from_secs(2 * 3600));
        engine.housekeeping_step();
    }
    let paths = world.segments().into_iter().map(|(path, _)| path).collect::<Vec<_>>();
    assert_eq!(paths.len(), count);
    paths
}

fn lose_header(world: &World, path: &Path) {
    for offset in [20, 4096 + 20] {
        world.fs.inject(Fault::FlipBit { path: path.to_owned(), offset, bit: 1 });
    }
}

#[test]
fn a_stop_after_a_leap_is_clean_and_keeps_the_leap() {
    let world = World { durability: Durability::Os, ..World::new(1) };
    let engine = world.open().unwrap();
    let stream = engine.create_stream(&name("s"), 1, StreamSettings::default()).unwrap();
    put_now(&engine, &stream.shards()[0], &[b"before"]).unwrap();
    drop((stream, engine));
    let world = world.with(world.fs.kill());
    let (engine, shard) = open(&world);
    let tip = shard.watermarks().durable;
    assert!(tip.0 > 1 << 20);
    engine.shut_down().unwrap();
    drop((shard, engine));
    for _ in 0..2 {
        let (engine, shard) = open(&world);
        assert!(engine.report().clean);
        assert_eq!(shard.watermarks().durable, tip);
        assert_eq!(read_all(&shard).unwrap(), [(1, b"before".to_vec())]);
        engine.shut_down().unwrap();
    }
    let (engine, shard) = open(&world);
    assert_eq!(put_now(&engine, &shard, &[b"after"]).unwrap().first, tip);
    let expected = [(1, b"before".to_vec()), (tip.0, b"after".to_vec())];
    assert_eq!(read_all(&shard).unwrap(), expected);
    drop((shard, engine));
    let (engine, shard) = open(&world.with(world.fs.kill()));
    assert_eq!(engine.report().damage, []);
    assert_eq!(read_all(&shard).unwrap(), expected);
}

#[test]
fn a_log_that_ends_in_damage_stops_cleanly_and_tells_of_it_at_every_start() {
    for is_header in [true, false] {
        let world = World::new(1);
        let paths = segments(&world, 3);
        let world = world.with(world.fs.kill());
        if is_header {
            lose_header(&world, &paths[2]);
        } else {
            world.fs.remove(&paths[2]).unwrap();
        }
        let mut first = None;
        for start in 0..3 {
            let (engine, shard) = open(&world);
            assert_eq!(engine.report().clean, start > 0);
            let damage = engine.report().damage.clone();
            assert_eq!((damage.len(), damage[0].first_lost.0), (1, 3), "{damage:?}");
            let Err(Error::Damage(found)) = super::read_from(&shard, 3) else {
                panic!("lost records are passed over")
            };
            assert_eq!(found.next_readable, shard.watermarks().durable);
            assert_eq!(*first.get_or_insert(found.next_readable), found.next_readable);
            engine.shut_down().unwrap();
        }
        let (engine, shard) = open(&world);
        assert_eq!(put_now(&engine, &shard, &[b"after"]).unwrap().first, first.unwrap());
        drop((shard, engine));
        let (_engine, shard) = open(&world.with(world.fs.kill()));
        assert!(matches!(super::read_from(&shard, 3), Err(Error::Damage(_))));
        assert_eq!(super::read_from(&shard, first.unwrap().0).unwrap().len(), 1);
    }
}

#[test]
fn the_horizon_of_a_log_that_ends_in_damage_moves_and_stays() {
    let world = World::new(1);
    let paths = segments(&world, 3);
    let world = world.with(world.fs.kill());
    lose_header(&world, &paths[2]);
    let (engine, shard) = open(&world);
    world.clock.advance(Duration::from_secs(19 * 3600));
    engine.housekeeping_step();
    assert_eq!(shard.watermarks().trim_horizon, SequenceNumber(2));
    assert_eq!(world.fs.read_file(&paths[0]), None);
    drop((shard, engine));
    let (_engine, shard) = open(&world.with(world.fs.crash()));
    assert_eq!(shard.watermarks().trim_horizon, SequenceNumber(2));
}

#[test]
fn a_log_of_which_all_is_trimmed_stops_cleanly() {
    let world = World::new(1);
    let paths = segments(&world, 2);
    let (engine, shard) = open(&world);
    world.clock.advance(Duration::from_secs(30 * 3600));
    engine.housekeeping_step();
    assert!(paths.iter().all(|path| world.fs.read_file(path).is_none()));
    drop((shard, engine));
    let world = world.with(world.fs.crash());
    for is_clean in [false, true] {
        let (engine, shard) = open(&world);
        assert_eq!(engine.report().clean, is_clean);
        assert!(read_all(&shard).unwrap().is_empty());
        engine.shut_down().unwrap();
    }
    let (engine, shard) = open(&world);
    let first = put_now(&engine, &shard, &[b"after"]).unwrap().first.0;
    assert!(first > 2);
    assert_eq!(read_all(&shard).unwrap().len(), 1);
}

#[test]
fn numbers_of_a_last_segment_that_is_gone_are_not_used_again() {
    for is_clean in [true, false] {
        let world = World::new(1);
        let engine = world.open().unwrap();
        let stream = engine.create_stream(&name("s"), 1, StreamSettings::default()).unwrap();
        for round in 0..10 {
            put_now(&engine, &stream.shards()[0], &[b"acknowledged"]).unwrap();
            if round == 4 {
                // The end is recorded, and then not for some time.
                world.clock.advance(Duration::from_secs(61));
                engine.housekeeping_step();
            }
        }
        if is_clean {
            engine.shut_down().unwrap();
        }
        drop((stream, engine));
        let world = world.with(world.fs.kill());
        let (last, _) = world.segments().pop().unwrap();
        world.fs.remove(&last).unwrap();
        let (engine, shard) = open(&world);
        assert!(matches!(read_all(&shard), Err(Error::Damage(_))));
        let appended = put_now(&engine, &shard, &[b"after"]).unwrap().first.0;
        assert!(appended > 10, "{appended}");
        assert_eq!(appended == 11, is_clean, "{appended}");
    }
}

#[test]
fn a_segment_that_lost_its_frames_behind_a_pin_hides_neither_a_gap_nor_damage() {
    for is_damage in [false, true] {
        let mut world = World::new(1);
        let paths = segments(&world, 3);
        if !is_damage {
            world.durability = Durability::Os;
            let engine = world.with(world.fs.kill());
            world = engine;
            open(&world).0.shut_down().unwrap();
            drop(open(&world));
        }
        world = world.with(world.fs.kill());
        if is_damage {
            lose_header(&world, &paths[2]);
        }
        // The next segment gets its name, and then its first frame is lost.
        let (engine, shard) = open(&world);
        let tip = shard.watermarks().durable;
        put_now(&engine, &shard, &[b"lost"]).unwrap();
        drop((shard, engine));
        world = world.with(world.fs.kill());
        let (last, bytes) = world.segments().pop().unwrap();
        let mut content = world.fs.read_file(&last).unwrap();
        assert_eq!(content.len() as u64, bytes);
        content[8192..].fill(0);
        world.fs.write_file(&last, &content);
        for is_stopped in [false, true, false] {
            let (engine, shard) = open(&world);
            assert!(shard.watermarks().durable >= tip);
            assert_eq!(super::read_from(&shard, 3).is_err(), is_damage, "told at each start");
            if is_stopped {
                engine.shut_down().unwrap();
            }
            drop((shard, engine));
            world = world.with(world.fs.kill());
        }
        let (engine, shard) = open(&world);
        put_now(&engine, &shard, &[b"after"]).unwrap();
        drop((shard, engine));
        let (_engine, shard) = open(&world.with(world.fs.kill()));
        assert_eq!(super::read_from(&shard, 3).is_err(), is_damage);
    }
}

#[test]
fn numbers_that_were_refused_are_not_called_lost_when_the_frame_that_says_so_is() {
    let world = World::new(1);
    let (engine, shard) = {
        let engine = world.open().unwrap();
        let stream = engine.create_stream(&name("s"), 1, StreamSettings::default()).unwrap();
        (engine, stream.shards()[0].clone())
    };
    world.fs.inject(Fault::Fails { op: Op::CreateDir, nth: 1, is_full: false });
    put_now(&engine, &shard, &[b"refused"]).unwrap_err();
    // The head of the segment is written, its name is durable, its first frame is not.
    world.fs.cut_at(Op::Write, world.fs.ops_of(Op::Write) + 1, Moment::Before);
    put_now(&engine, &shard, &[b"cut"]).unwrap_err();
    assert!(world.fs.is_dead());
    drop((shard, engine));

    let world = world.with(world.fs.crash());
    let (engine, shard) = open(&world);
    assert_eq!(engine.report().damage, []);
    let first = put_now(&engine, &shard, &[b"after"]).unwrap().first;
    let expected = [(first.0, b"after".to_vec())];
    assert_eq!(read_all(&shard).unwrap(), expected);
    drop((shard, engine));
    let (_engine, shard) = open(&world.with(world.fs.kill()));
    assert_eq!(read_all(&shard).unwrap(), expected);
}

#[test]
fn a_catalog_from_a_backup_does_not_cut_what_came_later() {
    let world = World::new(1);
    let engine = world.open().unwrap();
    let stream = engine.create_stream(&name("s"), 1, StreamSettings::default()).unwrap();
    put_now(&engine, &stream.shards()[0], &[b"before"]).unwrap();
    engine.shut_down().unwrap();
    drop((stream, engine));
    let backup = world.fs.read_file("/data/catalog.redb").unwrap();
    let (engine, shard) = open(&world);
    put_now(&engine, &shard, &[b"later"]).unwrap();
    engine.shut_down().unwrap();
    drop((shard, engine));
    world.fs.write_file("/data/catalog.redb", &backup);
    for count in [2, 3] {
        let (engine, shard) = open(&world);
        assert!(engine.report().damage.is_empty());
        assert_eq!(read_all(&shard).unwrap().len(), count);
        put_now(&engine, &shard, &[b"more"]).unwrap();
        engine.shut_down().unwrap();
    }
}
