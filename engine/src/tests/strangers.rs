//! Files that are not of this program: of a newer one, or placed by hand.

use super::{World, name, put_now, read_all};
use crate::error::Error;
use crate::log::header::HEADER_OFFSETS;

#[test]
fn a_newer_segment_is_refused_with_its_version_however_the_last_run_ended() {
    for is_stopped in [true, false] {
        let world = World::new(1);
        let engine = world.open().unwrap();
        for text in ["old", "new"] {
            let stream = engine.create_stream(&name(text), 1).unwrap();
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
        let stream = engine.create_stream(&name("s"), 1).unwrap();
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
