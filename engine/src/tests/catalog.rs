//! A catalog that cannot be written: no promise is given that the next start would break.

use std::sync::{Arc, Barrier};
use std::time::Duration;

use super::{World, name, put_now, read_all};
use crate::fs::{Fault, Fs, Op, SimFs};
use crate::ids::ConsumerName;
use crate::settings::{
    AccountSettings, Commitment, CommitmentStatus, Distribution, QuotaProfile, ShardMetrics,
    StreamMode, Tags,
};
use crate::{Consumer, Engine, Error, Stream, StreamSettings};

/// A running engine with a stream of one record.
fn one_record(world: &World) -> (Engine, Arc<Stream>) {
    let engine = world.open().unwrap();
    let stream = engine.create_stream(&name("s"), 1, StreamSettings::default()).unwrap();
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
    assert!(matches!(
        engine.create_stream(&name("t"), 1, StreamSettings::default()),
        Err(Error::DiskFull)
    ));
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
fn of_concurrent_registrations_one_of_a_name_and_20_in_all_are_made() {
    for seed in 0..8 {
        let world = World::new(seed);
        let (engine, stream) = one_record(&world);
        let start = Barrier::new(6);
        // Three threads want the same names, each in an order of its own, and three more others.
        let names = |thread: u32| {
            (0..8).map(
                move |number| if thread < 3 { (number + thread) % 8 } else { number + 8 * thread },
            )
        };
        std::thread::scope(|scope| {
            for thread in 0..6 {
                let (engine, stream, start) = (&engine, &stream, &start);
                scope.spawn(move || {
                    start.wait();
                    for number in names(thread) {
                        let name: ConsumerName = format!("c{number}").parse().unwrap();
                        match engine.register_consumer(stream, &name, Tags::new()) {
                            Ok(_) | Err(Error::LimitExceeded { max: 20, .. }) => {}
                            // Whoever is told that it exists finds it.
                            Err(Error::ConsumerExists { .. }) => {
                                stream.consumer(&name).unwrap();
                            }
                            Err(error) => panic!("{error}"),
                        }
                    }
                });
            }
        });
        let registered = stream.consumers();
        assert_eq!(registered.len(), 20);
        drop((stream, engine));
        let world = world.with(world.fs.kill());
        let again = world.open().unwrap().stream(&name("s")).unwrap();
        assert_eq!(again.consumers(), registered);
    }
}

/// A change of everything that can be set.
fn set_all(settings: &mut StreamSettings) {
    *settings = StreamSettings {
        mode: StreamMode::OnDemand,
        warm_throughput_mib_s: 200,
        max_record_kib: 5_000,
        distribution: Distribution::Auto,
        quotas: Some(QuotaProfile::Aws),
        monitoring: ShardMetrics::ALL,
        tags: tags("team", "a"),
        policy: Some("{}".to_owned()),
    };
}

fn tags(key: &str, value: &str) -> Tags {
    Tags::from([(key.to_owned(), value.to_owned())])
}

#[test]
fn settings_consumers_and_the_account_survive_a_stop_a_kill_and_a_power_cut() {
    let ends: [fn(&World, &Engine) -> SimFs; 3] = [
        |world, engine| {
            engine.shut_down().unwrap();
            world.fs.kill()
        },
        |world, _| world.fs.kill(),
        |world, _| world.fs.crash(),
    ];
    for end in ends {
        let world = World::new(3);
        let engine = world.open().unwrap();
        assert_eq!(engine.account(), AccountSettings::default());
        let mut settings = StreamSettings::default();
        set_all(&mut settings);
        engine.create_stream(&name("made"), 2, settings.clone()).unwrap();
        let plain = engine.create_stream(&name("changed"), 1, StreamSettings::default()).unwrap();
        assert_eq!(*plain.settings(), StreamSettings::default());
        engine.change_settings(&plain, set_all).unwrap();
        engine.change_settings(&plain, |settings| settings.tags.clear()).unwrap();
        let consumer: ConsumerName = "audit".parse().unwrap();
        engine.register_consumer(&plain, &consumer, tags("team", "b")).unwrap();
        let policy = Some("{\"Version\": 1}".to_owned());
        let set_policy = |consumer: &mut Consumer| consumer.policy.clone_from(&policy);
        engine.change_consumer(&plain, &consumer, set_policy).unwrap();
        let commitment = Commitment {
            status: CommitmentStatus::Enabled,
            started_ms: Some(engine.now_ms()),
            ..Commitment::default()
        };
        engine.set_account(AccountSettings { commitment }).unwrap();
        let fs = end(&world, &engine);
        drop((plain, engine));
        let engine = world.with(fs).open().unwrap();
        assert_eq!(engine.account(), AccountSettings { commitment });
        assert_eq!(*engine.stream(&name("made")).unwrap().settings(), settings);
        let changed = engine.stream(&name("changed")).unwrap();
        let expected = StreamSettings { tags: Tags::new(), ..settings };
        assert_eq!(*changed.settings(), expected);
        let consumer = changed.consumer(&consumer).unwrap();
        assert_eq!((consumer.tags, consumer.policy), (tags("team", "b"), policy));
    }
}

#[test]
fn a_change_of_settings_that_failed_is_seen_neither_now_nor_after_a_start() {
    let mut failures = 0;
    for nth in 1..8 {
        let world = World::new(nth);
        let (engine, stream) = one_record(&world);
        let consumer: ConsumerName = "audit".parse().unwrap();
        engine.register_consumer(&stream, &consumer, Tags::new()).unwrap();
        let before = stream.consumers();
        let fails = Fault::Fails { op: Op::Sync, nth, is_full: false };
        world.fs.inject(fails.clone());
        let is_set = engine.change_settings(&stream, set_all).is_ok();
        world.fs.clear_faults();
        world.fs.inject(fails.clone());
        let set_tags = |consumer: &mut Consumer| consumer.tags = tags("a", "b");
        let is_tagged = engine.change_consumer(&stream, &consumer, set_tags).is_ok();
        world.fs.clear_faults();
        world.fs.inject(fails);
        let (status, started_ms) = (CommitmentStatus::Enabled, Some(7));
        let commitment = Commitment { status, started_ms, ..Commitment::default() };
        let is_committed = engine.set_account(AccountSettings { commitment }).is_ok();
        world.fs.clear_faults();
        failures += [is_set, is_tagged, is_committed].iter().filter(|is_made| !**is_made).count();
        assert_eq!(*stream.settings() == StreamSettings::default(), !is_set);
        assert_eq!(stream.consumers() == before, !is_tagged);
        assert_eq!(engine.account() == AccountSettings::default(), !is_committed);
        engine.housekeeping_step();
        let held = (stream.settings(), stream.consumers(), engine.account());
        drop((stream, engine));
        let engine = world.with(world.fs.crash()).open().unwrap();
        let stream = engine.stream(&name("s")).unwrap();
        assert_eq!((stream.settings(), stream.consumers(), engine.account()), held, "{nth}");
    }
    assert!(failures >= 6, "{failures}");
}

#[test]
fn no_change_of_settings_is_lost_among_others() {
    for seed in 0..8 {
        let world = World::new(seed);
        let (engine, stream) = one_record(&world);
        let start = Barrier::new(5);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (engine, stream, start) = (&engine, &stream, &start);
                scope.spawn(move || {
                    start.wait();
                    for number in 0..4 {
                        let tag = (format!("{thread}-{number}"), String::new());
                        engine
                            .change_settings(stream, |settings| {
                                settings.tags.insert(tag.0, tag.1);
                            })
                            .unwrap();
                    }
                });
            }
            start.wait();
            engine.set_retention_hours(&stream, 48).unwrap();
        });
        assert_eq!(stream.settings().tags.len(), 16);
        let held = stream.settings();
        drop((stream, engine));
        let engine = world.with(world.fs.kill()).open().unwrap();
        let stream = engine.stream(&name("s")).unwrap();
        assert_eq!((stream.settings(), stream.retention_hours()), (held, 48));
    }
}

#[test]
fn settings_outside_their_limits_and_those_of_a_deleted_stream_are_refused() {
    let world = World::new(1);
    let (engine, stream) = one_record(&world);
    let large = |settings: &mut StreamSettings| settings.max_record_kib = 10_241;
    let refused = engine.change_settings(&stream, large);
    assert!(matches!(refused, Err(Error::OutOfRange { value: 10_241, .. })), "{refused:?}");
    assert_eq!(*stream.settings(), StreamSettings::default());
    let mut settings = StreamSettings::default();
    large(&mut settings);
    let refused = engine.create_stream(&name("t"), 1, settings).err();
    assert!(matches!(refused, Some(Error::OutOfRange { .. })), "{refused:?}");
    let consumer: ConsumerName = "audit".parse().unwrap();
    let refused = engine.register_consumer(&stream, &consumer, tags("", "")).err();
    assert!(matches!(refused, Some(Error::OutOfRange { .. })), "{refused:?}");
    let refused = engine.change_consumer(&stream, &consumer, |_| ());
    assert!(matches!(refused, Err(Error::ConsumerNotFound { .. })), "{refused:?}");
    engine.delete_stream(&name("s")).unwrap();
    engine.housekeeping_step();
    let refused = engine.change_settings(&stream, set_all);
    assert!(matches!(refused, Err(Error::StreamDeleted { .. })), "{refused:?}");
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
