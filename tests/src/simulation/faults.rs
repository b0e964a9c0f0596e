//! Bits that flip while the server is stopped: the damage is reported, the rest is served,
//! nothing wrong is served, and puts go on.

use std::collections::BTreeMap;

use anabranch_engine::StreamSettings;
use anabranch_engine::fs::Fault;

use crate::support::{Random, World, name, put_now, read_over_damage};

/// Batches put before the bits flip.
const BATCHES: u64 = 60;

/// Puts, stops or is killed, flips a few bits, and looks. True: there was damage.
pub fn flip_some(seed: u64) -> bool {
    let world = World::new(seed);
    let mut random = Random(seed);
    let engine = world.open().unwrap();
    let stream = engine.create_stream(&name("s"), 1, StreamSettings::default()).unwrap();
    let shard = &stream.shards()[0];
    // Number -> data, and number -> the first number of its frame.
    let mut put = BTreeMap::new();
    let mut frames = BTreeMap::new();
    for batch in 0..BATCHES {
        let data: Vec<Vec<u8>> = (0..=random.below(5))
            .map(|_| vec![batch as u8; random.below(12_000) as usize])
            .collect();
        let views: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
        let appended = put_now(&engine, shard, &views).unwrap();
        for (number, data) in (appended.first.0..).zip(data) {
            put.insert(number, data);
            frames.insert(number, appended.first.0);
        }
    }
    let is_clean = !seed.is_multiple_of(3);
    if is_clean {
        engine.shut_down().unwrap();
    }
    drop((stream, engine));
    let world = if is_clean { world } else { world.with(world.fs.kill()) };

    let segments = world.segments();
    let flips = 1 + random.below(3);
    for _ in 0..flips {
        let (path, len) = segments[random.below(segments.len() as u64) as usize].clone();
        // Most of the time where the frames are, else anywhere.
        let offset = match random.below(4) {
            0 => random.below(len),
            _ => random.below(len.min(8192 + 200_000)),
        };
        world.fs.inject(Fault::FlipBit { path, offset, bit: random.below(8) as u8 });
    }

    let mut found_before = None;
    for restart in 0..2 {
        let engine = world.open().unwrap();
        let stream = engine.stream(&name("s")).unwrap();
        let shard = &stream.shards()[0];
        let (read, damage) = read_over_damage(shard, 0);
        let read: BTreeMap<u64, Vec<u8>> =
            read.into_iter().map(|read| (read.sequence, read.data)).collect();
        for (number, data) in &read {
            assert!(put.get(number) == Some(data), "seed {seed}: wrong bytes at {number}");
        }
        let mut frames_lost: Vec<u64> = Vec::new();
        for (number, frame) in frames.clone() {
            if read.contains_key(&number) {
                continue;
            }
            let is_told = damage
                .iter()
                .any(|damage| (damage.first_lost.0..damage.next_readable.0).contains(&number));
            // Without a clean stop, and with no valid frame behind it, it looks like a torn tail.
            let is_tail = !is_clean && read.range(number..).next().is_none();
            assert!(is_told || is_tail, "seed {seed}: {number} is gone without a word");
            frames_lost.push(frame);
            if is_tail && !is_told {
                // It was cut: from now on it was never put.
                frames.remove(&number);
                put.remove(&number);
            }
        }
        frames_lost.dedup();
        assert!(frames_lost.len() as u64 <= flips, "seed {seed}: {flips} cost {frames_lost:?}");
        for damage in &damage {
            assert!(segments.iter().any(|(path, _)| *path == damage.file), "seed {seed}");
            let lost = damage.first_lost.0..damage.next_readable.0;
            assert!(read.range(lost.clone()).next().is_none(), "seed {seed}: {damage}");
            assert!(frames.range(lost).next().is_some(), "seed {seed}: for nothing: {damage}");
        }
        if let Some(before) = &found_before {
            assert_eq!(&read, before, "seed {seed}: a restart changes what is read");
        }
        let appended = put_now(&engine, shard, &[b"after"]).unwrap();
        assert!(appended.first.0 > BATCHES && !put.contains_key(&appended.first.0));
        let (after, _) = read_over_damage(shard, appended.first.0);
        assert_eq!(after.len(), 1, "seed {seed}: puts go on and are read");
        put.insert(appended.first.0, b"after".to_vec());
        frames.insert(appended.first.0, appended.first.0);
        let mut read = read;
        read.insert(appended.first.0, b"after".to_vec());
        found_before = Some(read);
        if restart == 1 {
            return !damage.is_empty();
        }
        engine.shut_down().unwrap();
    }
    unreachable!("the second restart returns");
}
