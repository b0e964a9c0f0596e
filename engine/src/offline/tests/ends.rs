//! Repair at the end of a log: what stood there is put on record, and no number of it comes back.

use super::*;
use crate::limits::LOST_NUMBERS_SKIPPED;
use crate::{Durability, StreamSettings};

/// What happens to a disk, and a word for it.
type Injury<'a> = (&'a str, &'a dyn Fn(&World));

#[test]
fn a_segment_that_was_cut_is_recorded_as_lost_from_the_cut_on() {
    let whole = one_shard(7, 30, 40_000);
    let before = image(&whole.fs);
    for path in segments(&whole) {
        for len in [0, 100, 8192, 8200, 60_000, 8192 + 3 * 40_112] {
            restore(&whole.fs, &before);
            whole.fs.truncate(&path, len);
            let found = check(&whole);
            assert_eq!(damage(&found).len(), 1, "{len} {:?}", found.findings);
            let gone = gone(&mend(&whole));
            assert_eq!(gone.len(), 1);
            assert_mended(&whole);
            let (read, next) = serve(&whole);
            let rest: Vec<_> =
                (1..=30).filter(|number| !(gone[0].0..gone[0].1).contains(number)).collect();
            assert_eq!(read, rest, "{} {len}", path.display());
            assert_eq!(next, 31);
            assert_eq!(damage(&check(&whole)), Vec::<&Finding>::new());
        }
    }
}

#[test]
fn numbers_of_a_killed_log_whose_end_was_lost_are_not_used_again_after_a_repair() {
    // The mark of a killed log knows of no record: what was acknowledged stands in the file alone.
    let killed = World::new(9);
    let engine = killed.open().unwrap();
    let stream = engine.create_stream(&name("s"), 1, StreamSettings::default()).unwrap();
    for number in 1..=5 {
        put_now(&engine, &stream.shards()[0], &[&vec![number as u8; 3000]]).unwrap();
    }
    drop((stream, engine));
    let killed = killed.with(killed.fs.kill());
    let before = image(&killed.fs);
    let path = segments(&killed).pop().unwrap();
    let cut = |fs: &SimFs, len| fs.truncate(&path, len);
    let in_a_frame = 8192 + 2 * (80 + 3000) + 100;
    let injuries: [Injury<'_>; 4] = [
        ("cut in a frame", &|world| cut(&world.fs, in_a_frame)),
        ("cut in the header", &|world| cut(&world.fs, 100)),
        ("without a header", &|world| {
            for offset in [20, 4096 + 20] {
                world.fs.inject(Fault::FlipBit { path: path.clone(), offset, bit: 1 });
            }
        }),
        ("cut, and found so by a start that was killed", &|world| {
            cut(&world.fs, in_a_frame);
            drop(world.open().unwrap());
        }),
    ];
    for (what, injure) in injuries {
        let world = World::new(9);
        restore(&world.fs, &before);
        injure(&world);
        let world = world.with(world.fs.kill());
        let gone = gone(&mend(&world));
        assert_eq!(gone.len(), 1, "{what}: {gone:?}");
        assert!(gone[0].1 > LOST_NUMBERS_SKIPPED, "{what}: {gone:?}");
        assert_mended(&world);
        let (read, next) = serve(&world);
        assert_eq!(read, (1..gone[0].0).collect::<Vec<_>>(), "{what}");
        assert!(next >= gone[0].1, "{what}: {next} after {gone:?}");
        assert_eq!(damage(&check(&world)), Vec::<&Finding>::new(), "{what}");
    }
}

#[test]
fn a_pin_is_no_damage_where_it_follows_a_gap_and_is_mended_where_it_follows_damage() {
    // A leap: the mark tells of numbers that no frame has.
    let world = World { durability: Durability::Os, ..World::new(1) };
    let engine = world.open().unwrap();
    let stream = engine.create_stream(&name("s"), 1, StreamSettings::default()).unwrap();
    put_now(&engine, &stream.shards()[0], &[b"kept"]).unwrap();
    drop((stream, engine));
    let world = world.with(world.fs.kill());
    world.open().unwrap().shut_down().unwrap();
    for mode in [Mode::Offline, Mode::Online] {
        assert_eq!(damage(&check_as(&world, mode)), Vec::<&Finding>::new());
    }

    // Damage at the end: told, mended, and then no more.
    let world = one_shard(2, 3, 100);
    let (path, _) = world.segments().pop().unwrap();
    world.fs.remove(&path).unwrap();
    world.open().unwrap().shut_down().unwrap();
    assert!(!damage(&check(&world)).is_empty());
    mend(&world);
    assert_mended(&world);
    let engine = world.open().unwrap();
    assert_eq!(engine.report().damage, []);
    let stream = engine.stream(&name("s")).unwrap();
    let shard = &stream.shards()[0];
    assert_eq!(read_all(shard).unwrap(), []);
    put_now(&engine, shard, &[b"after"]).unwrap();
    assert_eq!(read_all(shard).unwrap(), [(4, b"after".to_vec())]);
}

#[test]
fn a_torn_frame_behind_a_leap_is_no_damage() {
    let mut torn = 0;
    for seed in 0..40 {
        let world = World { durability: Durability::Os, ..World::new(seed) };
        let engine = world.open().unwrap();
        let stream = engine.create_stream(&name("s"), 1, StreamSettings::default()).unwrap();
        put_now(&engine, &stream.shards()[0], &[b"before the leap"]).unwrap();
        drop((stream, engine));
        let world = world.with(world.fs.kill());
        // Two frames in a new segment, and of their sectors the power leaves what it likes.
        let engine = world.open().unwrap();
        let stream = engine.stream(&name("s")).unwrap();
        for _ in 0..2 {
            put_now(&engine, &stream.shards()[0], &[&[7; 600]]).unwrap();
        }
        drop((stream, engine));
        let world = world.with(world.fs.crash());
        let found = check(&world);
        assert_eq!(damage(&found), Vec::<&Finding>::new(), "seed {seed}");
        torn += usize::from(found.findings.iter().any(|it| it.found.starts_with("torn tail")));
    }
    assert!(torn > 0);
}
