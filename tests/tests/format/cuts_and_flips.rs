//! A small shard, cut at every byte and with bits flipped everywhere: it opens, nothing panics,
//! nothing wrong is served, and no more than the damaged frame is lost.

use std::collections::BTreeMap;

use anabranch_engine::StreamSettings;
use anabranch_engine::fs::Fault;

use anabranch_tests::support::{World, name, put_now, read_over_damage};

const SEGMENT: &str = "/data/shards/1/0/00000000000000000001.seg";
const FRAMES: u64 = 16;

struct Small {
    world: World,
    /// Number -> data; a frame each.
    put: BTreeMap<u64, Vec<u8>>,
    end: u64,
    is_clean: bool,
}

/// A directory with a few frames, stopped cleanly or killed.
fn small(is_clean: bool) -> Small {
    let world = World::new(5);
    let engine = world.open().unwrap();
    let stream = engine.create_stream(&name("s"), 1, StreamSettings::default()).unwrap();
    let mut put = BTreeMap::new();
    let mut end = 8192;
    for number in 1..=FRAMES {
        let data = vec![number as u8; 10 + (number as usize * 7) % 50];
        put_now(&engine, &stream.shards()[0], &[&data]).unwrap();
        end += (80 + 2 + 18 + 5 + 2 + data.len() as u64).next_multiple_of(8);
        put.insert(number, data);
    }
    if is_clean {
        engine.shut_down().unwrap();
    }
    drop((stream, engine));
    let world = world.with(world.fs.kill());
    Small { world, put, end, is_clean }
}

/// Opens a copy of the directory with something done to it. Returns the numbers that are lost
/// and the damage.
fn look(small: &Small, harm: impl FnOnce(&World), what: &str) -> (Vec<u64>, usize) {
    let world = small.world.with(small.world.fs.kill());
    harm(&world);
    let engine = world.open().unwrap();
    let stream = engine.stream(&name("s")).unwrap();
    let shard = &stream.shards()[0];
    let (read, damage) = read_over_damage(shard, 0);
    let mut last = 0;
    for read in &read {
        assert!(read.sequence > last, "{what}: order");
        last = read.sequence;
        assert_eq!(small.put.get(&last), Some(&read.data), "{what}: wrong bytes at {last}");
    }
    let lost: Vec<u64> = small
        .put
        .keys()
        .copied()
        .filter(|number| !read.iter().any(|read| read.sequence == *number))
        .collect();
    for number in &lost {
        let is_told = damage
            .iter()
            .any(|damage| (damage.first_lost.0..damage.next_readable.0).contains(number));
        let is_tail = !small.is_clean && *number > last;
        assert!(is_told || is_tail, "{what}: {number} is gone without a word");
    }
    let appended = put_now(&engine, shard, &[b"after"]).unwrap();
    let (after, _) = read_over_damage(shard, appended.first.0);
    assert_eq!(after.len(), 1, "{what}: puts go on");
    assert!(read.last().is_none_or(|read| read.sequence < appended.first.0), "{what}");
    (lost, damage.len())
}

#[test]
fn a_shard_cut_at_any_byte_keeps_the_frames_before_the_cut() {
    for is_clean in [true, false] {
        let small = small(is_clean);
        let start = small.end.saturating_sub(2048).max(8192);
        for len in start..=small.end {
            let what = format!("cut at {len}, clean stop: {is_clean}");
            let (lost, _) = look(&small, |world| world.fs.truncate(SEGMENT, len), &what);
            // Frames end where their bytes do; the zeros that fill the last 8 are no loss.
            let kept = FRAMES as usize - lost.len();
            let is_suffix = lost.first().is_none_or(|first| *first == kept as u64 + 1);
            assert!(is_suffix, "{what}: {lost:?}");
            assert!(len < small.end || lost.is_empty(), "{what}: {lost:?}");
        }
    }
}

#[test]
fn a_flipped_bit_costs_one_frame_at_most() {
    for is_clean in [true, false] {
        let small = small(is_clean);
        let mut found = 0;
        let one_frame = 8192 + 512..8192 + 640;
        for offset in (0..512).step_by(7).chain(8192..small.end + 16) {
            let bits = if one_frame.contains(&offset) { 0..8 } else { offset % 8..offset % 8 + 1 };
            for bit in bits {
                let what = format!("bit {bit} of byte {offset}, clean stop: {is_clean}");
                let path = SEGMENT.into();
                let flip = Fault::FlipBit { path, offset, bit: bit as u8 };
                let (lost, damage) = look(&small, |world| world.fs.inject(flip), &what);
                assert!(lost.len() <= 1, "{what}: {lost:?}");
                assert!(offset >= 8192 || lost.is_empty(), "{what}: one header is enough");
                found += damage;
            }
        }
        assert!(found > 1000, "{found}");
    }
}
