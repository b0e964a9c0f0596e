//! A catalog that cannot be written: no promise is given that the next start would break.

use std::sync::{Arc, Barrier};
use std::time::Duration;

use super::{World, name, put_now, read_all};
use crate::fs::{Fault, Fs, Op};
use crate::ids::ConsumerName;
use crate::{Engine, Error, Stream};

/// A running engine with a stream of one record.
fn one_record(world: &World) -> (Engine, Arc<Stream>) {
    let engine = world.open().unwrap();
    let stream = engine.create_stream(&name("s"), 1).unwrap();
    put_now(&engine, &stream.shards()[0], &[b"before"]).unwrap();
    (engine, stream)
}

#[test]
fn what_is_acknowledged_after_a_failed_deletion_outlives_the_next_start() {
    let (mut failures, mut doubts) = (0, 0);
    // The nth sync of the deletion fails, alone or with all that follow.
    for (nth, more) in (1..8).flat_map(|nth| [0, 20].map(|more| (nth, more))) {
        let world = World::new(nth);
        let (engine, stream) = one_record(&world);
        (nth..=nth + more)
            .for_each(|nth| world.fs.inject(Fault::Fails { op: Op::Sync, nth, is_full: false }));
        if engine.delete_stream(&name("s")).is_ok() {
            continue;
        }
        failures += 1;
        world.fs.clear_faults();
        let acknowledged = match put_now(&engine, &stream.shards()[0], &[b"after"]) {
            Ok(_) => 2,
            Err(error) => {
                assert!(matches!(error, Error::StreamInDoubt { .. }), "{error}");
                doubts += 1;
                1
            }
        };
        let at_a_start = world.with(world.fs.kill()).open().unwrap();
        match at_a_start.stream(&name("s")) {
            Ok(stream) => assert_eq!(read_all(&stream.shards()[0]).unwrap().len(), acknowledged),
            Err(error) => assert_eq!(acknowledged, 1, "{nth}, {more}: {error}"),
        }
    }
    assert!(failures >= 4 && doubts > 0, "{failures}, {doubts}");
}

#[test]
fn a_stream_in_doubt_takes_records_again_once_the_catalog_can_be_written() {
    for nth in 1..8 {
        let world = World::new(nth);
        let (engine, stream) = one_record(&world);
        (nth..nth + 20)
            .for_each(|nth| world.fs.inject(Fault::Fails { op: Op::Sync, nth, is_full: false }));
        let is_deleted = engine.delete_stream(&name("s")).is_ok();
        world.fs.clear_faults();
        engine.housekeeping_step();
        let put = put_now(&engine, &stream.shards()[0], &[b"after"]);
        assert_eq!(put.is_ok(), !is_deleted);
        drop((stream, engine));
        let engine = world.with(world.fs.crash()).open().unwrap();
        let read =
            engine.stream(&name("s")).map(|stream| read_all(&stream.shards()[0]).unwrap().len());
        assert_eq!(read.ok(), (!is_deleted).then_some(2));
    }
}

#[test]
fn a_server_starts_on_a_full_disk_and_serves_what_there_is() {
    for is_stopped in [true, false] {
        let world = World::new(1);
        let (engine, stream) = one_record(&world);
        if is_stopped {
            engine.shut_down().unwrap();
        }
        drop((stream, engine));
        let world = world.with(world.fs.kill());
        // Once with its reserve, then with a catalog that cannot grow by a byte.
        for _ in 0..2 {
            world.fs.inject(Fault::Full { free_bytes: 0 });
            let engine = world.open().unwrap();
            let stream = engine.stream(&name("s")).unwrap();
            assert_eq!(read_all(&stream.shards()[0]).unwrap().len(), 1);
        }
        world.fs.clear_faults();
        let engine = world.open().unwrap();
        let stream = engine.stream(&name("s")).unwrap();
        put_now(&engine, &stream.shards()[0], &[b"after"]).unwrap();
    }
}

#[test]
fn a_run_whose_start_could_not_be_recorded_takes_no_record_before_it_is() {
    let world = World::new(1);
    let (engine, stream) = one_record(&world);
    engine.shut_down().unwrap();
    drop((stream, engine));
    world.fs.inject(Fault::FullFor { path: "/data/catalog.redb".into() });
    let engine = world.open().unwrap();
    let stream = engine.stream(&name("s")).unwrap();
    let refused = put_now(&engine, &stream.shards()[0], &[b"early"]);
    assert!(matches!(refused, Err(Error::DiskFull)), "{refused:?}");
    assert!(matches!(engine.create_stream(&name("t"), 1), Err(Error::DiskFull)));
    world.fs.clear_faults();
    engine.housekeeping_step();
    put_now(&engine, &stream.shards()[0], &[b"after"]).unwrap();
    drop((stream, engine));
    let engine = world.with(world.fs.crash()).open().unwrap();
    assert!(!engine.report().clean);
    let stream = engine.stream(&name("s")).unwrap();
    assert_eq!(read_all(&stream.shards()[0]).unwrap().len(), 2);
}

#[test]
fn registrations_under_way_count_against_the_limit() {
    let world = World::new(1);
    let (engine, stream) = one_record(&world);
    let consumer = |number: u32| -> ConsumerName { format!("c{number}").parse().unwrap() };
    for number in 0..18 {
        engine.register_consumer(&stream, &consumer(number)).unwrap();
    }
    // Two calls that write the catalog now.
    for number in 18..20 {
        stream.begin_registration(&consumer(number)).unwrap();
    }
    let error = engine.register_consumer(&stream, &consumer(20)).unwrap_err();
    assert!(matches!(error, Error::LimitExceeded { max: 20, .. }), "{error}");
    let error = engine.register_consumer(&stream, &consumer(19)).unwrap_err();
    assert!(matches!(error, Error::ConsumerExists { .. }), "{error}");
    stream.give_up_registration(&consumer(19));
    engine.register_consumer(&stream, &consumer(20)).unwrap();
    assert_eq!(stream.consumers().len(), 19);
}

#[test]
fn after_concurrent_changes_of_the_retention_memory_and_catalog_agree() {
    for seed in 0..20 {
        let world = World::new(seed);
        let (engine, stream) = one_record(&world);
        let start = Barrier::new(4);
        std::thread::scope(|scope| {
            for hours in [24, 48, 72, 96] {
                let (engine, stream, start) = (&engine, &stream, &start);
                scope.spawn(move || {
                    start.wait();
                    engine.set_retention_hours(stream, hours).unwrap();
                });
            }
        });
        drop(engine);
        let world = world.with(world.fs.kill());
        let again = world.open().unwrap().stream(&name("s")).unwrap();
        assert_eq!(again.retention_hours(), stream.retention_hours());
    }
}

#[test]
fn files_of_a_deleted_stream_that_cannot_be_removed_do_not_keep_the_server_from_starting() {
    let world = World::new(1);
    let (engine, stream) = one_record(&world);
    engine.delete_stream(&name("s")).unwrap();
    drop((stream, engine));
    let world = world.with(world.fs.kill());
    let stranger = std::path::Path::new("/data/shards/1/0/left");
    world.fs.create_dir(stranger).unwrap();
    let engine = world.open().unwrap();
    assert!(engine.report().lost_and_found.is_empty());
    world.fs.remove_dir(stranger).unwrap();
    world.clock.advance(std::time::Duration::from_secs(11));
    engine.housekeeping_step();
    assert!(world.segments().is_empty(), "{:?}", world.segments());
}

#[test]
fn a_catalog_whose_name_was_not_synced_is_made_again() {
    let mut failures = 0;
    for (nth, is_full) in (1..12).flat_map(|nth| [false, true].map(|is_full| (nth, is_full))) {
        for seed in 0..8 {
            let world = World::new(seed);
            world.fs.inject(Fault::Fails { op: Op::SyncDir, nth, is_full });
            if world.open().is_err() {
                failures += 1;
            }
            let world = world.with(world.fs.kill());
            world.fs.clear_faults();
            drop(one_record(&world));
            let world = world.with(world.fs.crash());
            let engine = world.open().unwrap_or_else(|error| panic!("{nth}, {seed}: {error}"));
            let stream = engine.stream(&name("s")).unwrap();
            assert_eq!(read_all(&stream.shards()[0]).unwrap().len(), 1, "{nth}, {seed}");
        }
    }
    assert!(failures > 0);
}

#[test]
fn a_deleted_stream_gives_its_space_back_although_the_catalog_cannot_forget_it() {
    let world = World::new(1);
    let (engine, stream) = one_record(&world);
    assert_eq!(read_all(&stream.shards()[0]).unwrap().len(), 1);
    engine.delete_stream(&name("s")).unwrap();
    world.fs.inject(Fault::FullFor { path: "/data/catalog.redb".into() });
    let free = || world.fs.space(std::path::Path::new("/")).unwrap().free;
    let before = free();
    engine.housekeeping_step();
    assert!(free() >= before + (256 << 10), "its files are closed, too");
}

#[test]
fn a_deleted_stream_whose_removal_was_not_synced_does_not_come_back() {
    for seed in 0..16 {
        let world = World::new(seed);
        let (engine, stream) = one_record(&world);
        engine.delete_stream(&name("s")).unwrap();
        drop(stream);
        world.fs.inject(Fault::Fails { op: Op::SyncDir, nth: 1, is_full: false });
        engine.housekeeping_step();
        assert_eq!(world.fs.failed().len(), 1);
        world.clock.advance(Duration::from_secs(11));
        engine.housekeeping_step();
        drop(engine);
        let engine = world.with(world.fs.crash()).open().unwrap();
        assert_eq!(engine.report().lost_and_found, Vec::<std::path::PathBuf>::new(), "{seed}");
    }
}
