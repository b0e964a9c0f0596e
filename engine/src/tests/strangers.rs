//! Files that are not of this program: of a newer one, or placed by hand.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::{World, name, put_now, read_all, records};
use crate::error::Error;
use crate::fs::Fs;
use crate::ids::StreamId;
use crate::log::header::HEADER_OFFSETS;
use crate::log::paths::Paths;
use crate::offline::{FindingKind, Mode, verify};
use crate::removal::remove_tree;
use crate::sequence::SequenceNumber;
use crate::{ReadLimit, Shard, StreamSettings};

#[test]
fn a_newer_segment_is_refused_with_its_version_however_the_last_run_ended() {
    for is_stopped in [true, false] {
        let world = World::new(1);
        let engine = world.open().unwrap();
        for text in ["old", "new"] {
            let stream = engine.create_stream(&name(text), 1, StreamSettings::default()).unwrap();
            put_now(&engine, &stream.shards()[0], &[b"record"]).unwrap();
        }
        if is_stopped {
            engine.shut_down().unwrap();
        }
        drop(engine);
        let world = world.with(world.fs.kill());
        let path = "/data/shards/2/0/00000000000000000001.seg";
        let mut bytes = world.fs.read_file(path).unwrap();
        for offset in HEADER_OFFSETS {
            bytes[offset as usize + 8] = 2;
        }
        world.fs.write_file(path, &bytes);
        let is_refused = |error: Error| matches!(error, Error::NewerFormat { found: 2, .. });
        let engine = match world.open() {
            Ok(engine) => engine,
            Err(error) => {
                assert!(!is_stopped && is_refused(error));
                continue;
            }
        };
        assert!(is_stopped);
        let shard = |text| engine.stream(&name(text)).unwrap().shards()[0].clone();
        assert!(is_refused(read_all(&shard("new")).unwrap_err()));
        assert!(is_refused(put_now(&engine, &shard("new"), &[b"more"]).unwrap_err()));
        put_now(&engine, &shard("old"), &[b"more"]).unwrap();
        assert_eq!(read_all(&shard("old")).unwrap().len(), 2);
        assert!(world.fs.read_file(path).unwrap() == bytes);
    }
}

#[test]
fn a_file_whose_name_no_log_can_reach_is_left_alone() {
    for base in [u64::MAX, u64::MAX - 5, 1 << 63] {
        let world = World::new(1);
        let engine = world.open().unwrap();
        let stream = engine.create_stream(&name("s"), 1, StreamSettings::default()).unwrap();
        put_now(&engine, &stream.shards()[0], &[b"before"]).unwrap();
        drop((stream, engine));
        let world = world.with(world.fs.kill());
        let path = format!("/data/shards/1/0/{base:020}.seg");
        world.fs.write_file(&path, b"a stranger's");
        let engine = world.open().unwrap();
        let stream = engine.stream(&name("s")).unwrap();
        put_now(&engine, &stream.shards()[0], &[b"after"]).unwrap();
        assert_eq!(read_all(&stream.shards()[0]).unwrap().len(), 2);
        assert_eq!(world.fs.read_file(&path).unwrap(), b"a stranger's");
    }
}

/// The records that a reader gets, and how often it is told of damage on the way.
fn read_over(shard: &Arc<Shard>) -> (Vec<Vec<u8>>, usize) {
    let mut cursor = shard.cursor(SequenceNumber(0));
    let (mut read, mut damage) = (Vec::new(), 0);
    loop {
        match cursor.read(ReadLimit { records: 10, bytes: 1 << 20 }) {
            Ok(page) if page.records == 0 => return (read, damage),
            Ok(page) => read.extend(records(&page).into_iter().map(|(_, _, data)| data)),
            Err(Error::Damage(found)) => {
                assert!(found.next_readable > cursor.position(), "no way forward: {found}");
                cursor.seek(found.next_readable);
                damage += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_segment_of_another_log_is_neither_served_nor_written_to() {
    for is_stopped in [true, false] {
        let world = World::new(1);
        let engine = world.open().unwrap();
        for text in ["a", "b"] {
            let stream = engine.create_stream(&name(text), 1, StreamSettings::default()).unwrap();
            put_now(&engine, &stream.shards()[0], &[text.as_bytes()]).unwrap();
        }
        if is_stopped {
            engine.shut_down().unwrap();
        }
        drop(engine);
        let world = world.with(world.fs.kill());
        let of = |stream: u64| format!("/data/shards/{stream}/0/00000000000000000001.seg");
        let foreign = world.fs.read_file(of(2)).unwrap();
        world.fs.write_file(of(1), &foreign);
        for round in 1..=2 {
            let engine = world.open().unwrap();
            let shard = engine.stream(&name("a")).unwrap().shards()[0].clone();
            assert_eq!(read_over(&shard), (vec![b"mine".to_vec(); round - 1], 1));
            assert!(put_now(&engine, &shard, &[b"mine"]).unwrap().first > SequenceNumber(1));
            assert_eq!(read_over(&shard), (vec![b"mine".to_vec(); round], 1));
            assert!(world.fs.read_file(of(1)).unwrap() == foreign, "it is left alone");
            engine.shut_down().unwrap();
        }
    }
}

#[test]
fn a_directory_in_the_place_of_a_segment_loses_no_more_than_the_segment() {
    for missing in [0, 1] {
        let world = World::new(1);
        let engine = world.open().unwrap();
        let stream = engine.create_stream(&name("s"), 1, StreamSettings::default()).unwrap();
        for _ in 0..2 {
            put_now(&engine, &stream.shards()[0], &[b"one a segment"]).unwrap();
            world.clock.advance(Duration::from_secs(2 * 3600));
            engine.housekeeping_step();
        }
        engine.shut_down().unwrap();
        drop((stream, engine));
        let path = world.segments()[missing].0.clone();
        world.fs.remove(&path).unwrap();
        world.fs.create_dir(&path).unwrap();
        let engine = world.open().unwrap();
        let shard = engine.stream(&name("s")).unwrap().shards()[0].clone();
        assert_eq!(read_over(&shard), (vec![b"one a segment".to_vec()], 1), "{missing}");
        put_now(&engine, &shard, &[b"more"]).unwrap();
        assert_eq!(read_over(&shard).0.len(), 2, "{missing}");
        assert!(world.fs.list(&path).is_ok(), "it is left alone");
    }
}

#[test]
fn a_start_says_what_is_in_the_way_and_verify_goes_on() {
    for (path, is_dir) in
        [("/data/spare", true), ("/data/lost+found", true), ("/data/shards/1", false)]
    {
        let world = World::new(1);
        let engine = world.open().unwrap();
        for text in ["a", "b"] {
            let stream = engine.create_stream(&name(text), 1, StreamSettings::default()).unwrap();
            put_now(&engine, &stream.shards()[0], &[text.as_bytes()]).unwrap();
        }
        engine.shut_down().unwrap();
        drop(engine);
        if is_dir {
            world.fs.remove_dir(Path::new(path)).unwrap();
        } else {
            let fs: Arc<dyn Fs> = Arc::new(world.fs.clone());
            let paths = Paths::new(Path::new("/data"));
            remove_tree(fs.as_ref(), &paths, StreamId(1)).unwrap();
        }
        world.fs.write_file(path, b"a stranger's");
        let fs: Arc<dyn Fs> = Arc::new(world.fs.clone());
        let found = verify(&fs, Path::new("/data"), Mode::Offline, &mut |_| {}).unwrap();
        assert!(found.records > 0);
        match world.open() {
            Err(Error::InTheWay { path: named, .. }) => assert_eq!(named, Path::new(path)),
            Err(error) => panic!("{error}"),
            Ok(engine) => {
                assert!(!is_dir && found.count(FindingKind::Damage) > 0);
                let shard = engine.stream(&name("b")).unwrap().shards()[0].clone();
                assert_eq!(read_all(&shard).unwrap().len(), 1);
            }
        }
        assert_eq!(world.fs.read_file(path).unwrap(), b"a stranger's");
    }
}
