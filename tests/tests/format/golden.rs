//! Golden directories ([`anabranch_tests::golden`]): read as recorded, and written as before.
//!
//! `ANABRANCH_WRITE_GOLDEN=1` writes the one of the version at hand anew: only together with
//! `engine/FORMAT.md`.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anabranch_engine::fs::Fault;
use anabranch_engine::{Error, FORMAT_VERSION};

use anabranch_tests::golden::{PAGE_BYTES, SHARDS, STREAM, dir, line, records, unpack};
use anabranch_tests::support::{Random, World, name, put, put_now, read_over_damage};

/// The run that made the files: sealed and unsealed segments, and a flagged gap.
fn run() -> World {
    let world = World::new(20_231_114);
    let engine = world.open().unwrap();
    let stream = engine.create_stream(&name(STREAM), SHARDS as u32).unwrap();
    let shards = stream.shards();
    let [left, right] = &shards[..] else { panic!("two shards") };
    let mut random = Random(7);
    let mut batch = |shard, records: u64, bytes: u64| {
        let data: Vec<Vec<u8>> = (0..records)
            .map(|_| vec![b'a' + random.below(26) as u8; random.below(bytes) as usize])
            .collect();
        let views: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
        world.clock.advance(Duration::from_millis(1 + random.below(900)));
        put_now(&engine, shard, &views)
    };
    for _ in 0..6 {
        batch(left, 20, 100).unwrap();
        batch(right, 3, 700).unwrap();
    }
    // More than the first segment holds, on a full disk: its numbers are lost, and flagged.
    world.fs.inject(Fault::Full { free_bytes: 0 });
    let refused = put(right, &[&vec![0; 300 << 10]]).unwrap();
    while engine.commit_step() {}
    assert!(matches!(refused.wait(), Err(Error::DiskFull)));
    world.fs.clear_faults();
    batch(right, 5, 50).unwrap();
    // An hour and more seals the segments.
    world.clock.advance(Duration::from_secs(4000));
    engine.housekeeping_step();
    for _ in 0..3 {
        batch(left, 4, 300).unwrap();
    }
    engine.shut_down().unwrap();
    drop((stream, engine));
    world.with(world.fs.kill())
}

fn pack(world: &World) -> (String, Vec<u8>) {
    let (mut manifest, mut pages) = (String::new(), Vec::new());
    for (path, len) in world.fs.files() {
        writeln!(manifest, "file {} {len}", path.display()).unwrap();
        let bytes = world.fs.read_file(&path).unwrap();
        for (number, page) in bytes.chunks(PAGE_BYTES).enumerate() {
            if page.iter().any(|&byte| byte != 0) {
                writeln!(manifest, "page {number} {}", page.len()).unwrap();
                pages.extend_from_slice(page);
            }
        }
    }
    (manifest, pages)
}

fn listing(world: &World) -> String {
    let engine = world.open().unwrap();
    assert!(engine.report().clean);
    assert_eq!(engine.report().damage, []);
    let stream = engine.stream(&name(STREAM)).unwrap();
    let mut listing = String::new();
    for shard in &stream.shards() {
        let (read, damage) = read_over_damage(shard, 0);
        assert_eq!(damage, []);
        for record in read {
            let shard = shard.id().to_string();
            listing += &line(&shard, record.sequence, record.arrival_ms, &record.data);
        }
    }
    listing
}

#[test]
fn the_golden_files_of_every_version_are_read_as_recorded() {
    if std::env::var_os("ANABRANCH_WRITE_GOLDEN").is_some() {
        let world = run();
        let (manifest, pages) = pack(&world);
        std::fs::create_dir_all(dir(FORMAT_VERSION)).unwrap();
        std::fs::write(dir(FORMAT_VERSION).join("manifest.txt"), manifest).unwrap();
        std::fs::write(dir(FORMAT_VERSION).join("pages.bin"), pages).unwrap();
        std::fs::write(dir(FORMAT_VERSION).join("records.txt"), listing(&world)).unwrap();
    }
    for version in 1..=FORMAT_VERSION {
        let world = World::new(1);
        for (path, bytes) in unpack(version) {
            world.fs.write_file(path, &bytes);
        }
        world.clock.advance(Duration::from_secs(5000));
        assert_eq!(listing(&world), records(version), "version {version}");
        // It is written on as any other, too.
        let engine = world.open().unwrap();
        let stream = engine.stream(&name(STREAM)).unwrap();
        put_now(&engine, &stream.shards()[1], &[b"more"]).unwrap();
    }
}

#[test]
fn the_same_run_writes_the_bytes_of_the_golden_segments() {
    let world = run();
    let is_segment = |path: &Path| path.starts_with("/data/shards");
    let golden: Vec<_> =
        unpack(FORMAT_VERSION).into_iter().filter(|(path, _)| is_segment(path)).collect();
    assert_eq!(golden.len(), world.segments().len());
    for (path, bytes) in golden {
        let now = world.fs.read_file(&path).unwrap();
        assert!(now == bytes, "{}: the format is frozen", path.display());
    }
}

#[test]
fn a_segment_of_a_newer_format_is_refused_with_its_version() {
    let world = run();
    let (path, _) = world.segments()[0].clone();
    let mut bytes = world.fs.read_file(&path).unwrap();
    for copy in [0, 4096] {
        bytes[copy + 8] = 2;
    }
    world.fs.write_file(&path, &bytes);
    let engine = world.open().unwrap();
    let stream = engine.stream(&name(STREAM)).unwrap();
    let mut cursor = stream.shards()[0].cursor(anabranch_engine::sequence::SequenceNumber(1));
    let Err(Error::NewerFormat { found, known, .. }) = cursor.read(anabranch_tests::support::WHOLE)
    else {
        panic!("a newer segment was read")
    };
    assert_eq!((found, known), (2, FORMAT_VERSION));
    assert_eq!(world.fs.read_file(&path), Some(bytes), "nothing was changed");
}
