//! Directories of streams that were split and merged.

use super::*;
use crate::catalog::Catalog;
use crate::hash_key::HashKey;
use crate::ids::ShardId;
use crate::reshard::Step;
use crate::sequence::SequenceNumber;
use crate::{ReadLimit, Stream};

/// Splits and merges, some of whose shards never take a record, until only a part of the lineage
/// can be seen in the segments.
#[test]
fn a_resharded_stream_comes_back_from_its_segments_with_one_way_for_each_record() {
    let half = HashKey(1 << 127);
    let split = |shard, at| Step::Split { shard: ShardId(shard), at: HashKey(at) };
    let merge = |shard, other| Step::Merge { shard: ShardId(shard), adjacent: ShardId(other) };
    let reshards: [&[Step]; 4] = [
        &[split(0, 1 << 126)],
        &[merge(3, 1)],
        &[Step::Split { shard: ShardId(4), at: half }, split(2, 99)],
        &[merge(7, 8), merge(9, 5), merge(10, 6)],
    ];
    for seed in 0..40u64 {
        let world = World::new(seed);
        let engine = world.open().unwrap();
        let stream = engine.create_stream(&name("s"), 2, StreamSettings::default()).unwrap();
        let mut bits = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for steps in reshards {
            for shard in stream.shards().open() {
                if bits & 1 == 1 {
                    put_now(&engine, shard, &[b"one", b"two"]).unwrap();
                }
                bits = bits.rotate_right(1);
            }
            engine.reshard(&stream, steps).unwrap();
        }
        let records = |stream: &Stream| {
            let shards = stream.shards();
            let all = shards.iter().map(|shard| (shard.id(), read_all(shard).unwrap()));
            all.filter(|(_, records)| !records.is_empty()).collect::<BTreeMap<_, _>>()
        };
        let before = records(&stream);
        drop((engine, stream));
        let world = world.with(world.fs.kill());
        assert_eq!(damage(&check(&world)), Vec::<&Finding>::new(), "seed {seed}");
        if before.is_empty() {
            continue;
        }
        world.fs.remove(Path::new("/data/catalog.redb")).unwrap();
        rebuild_catalog(&world.environment(), Path::new(DATA), true).unwrap();
        let engine = world.open().unwrap();
        assert_eq!(engine.report().damage, [], "seed {seed}");
        let stream = engine.stream(&name("s")).unwrap();
        assert_eq!(records(&stream), before, "seed {seed}");
        let shards = stream.shards();
        assert!(shards.is_tiled(), "seed {seed}");
        for shard in &shards {
            let mut cursor = shard.cursor(SequenceNumber(0));
            let limit = ReadLimit { records: 100, bytes: 1 << 20 };
            cursor.read(limit).unwrap();
            let is_end = cursor.read(limit).unwrap().is_end;
            assert_eq!(is_end, shard.closed().is_some(), "seed {seed}: {}", shard.id());
            assert_eq!(is_end, !shards.children(shard.id()).is_empty(), "seed {seed}");
            if !is_end {
                put_now(&engine, shard, &[b"more"]).unwrap();
            }
        }
        let first = shards.open().next().unwrap().clone();
        let at = HashKey(first.hash_key_range().start.0 + 1);
        engine.reshard(&stream, &[Step::Split { shard: first.id(), at }]).unwrap();
        engine.shut_down().unwrap();
        drop((engine, stream, shards, first));
        assert_eq!(damage(&check(&world)), Vec::<&Finding>::new(), "seed {seed}");
    }
}

#[test]
fn an_expired_shard_whose_files_are_half_gone_is_no_damage() {
    let world = World::new(15);
    let engine = world.open().unwrap();
    let stream = engine.create_stream(&name("s"), 1, StreamSettings::default()).unwrap();
    for _ in 0..20 {
        put_now(&engine, &stream.shards()[0], &[&vec![1; 60_000]]).unwrap();
    }
    let split = Step::Split { shard: ShardId(0), at: HashKey(1) };
    engine.reshard(&stream, &[split]).unwrap();
    let tombstone = stream.shards()[0].tombstone().unwrap();
    drop((engine, stream));
    let fs: Arc<dyn Fs> = Arc::new(world.fs.clone());
    let entropy = &*world.environment().entropy;
    let (catalog, contents) = Catalog::open(fs, Path::new(DATA), true, entropy).unwrap();
    catalog.put_shards(contents.streams[0].id, &[tombstone], &[], || ()).unwrap();
    drop(catalog);
    let paths = segments(&world);
    assert!(paths.len() > 1);
    world.fs.remove(&paths[0]).unwrap();
    let report = check(&world);
    assert_eq!(damage(&report), Vec::<&Finding>::new());
    assert_eq!((report.shards, report.count(FindingKind::Note)), (2, 1));
    assert_eq!(repair(&world.environment(), Path::new(DATA), true).unwrap().steps, []);
    let engine = world.open().unwrap();
    assert_eq!(engine.report().damage, []);
    world.clock.advance(std::time::Duration::from_secs(20));
    engine.housekeeping_step();
    assert_eq!(world.segments(), []);
}
