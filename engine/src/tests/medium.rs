//! A disk that cannot read some bytes: readers are told and go on, nothing is cut on account of
//! it, and what can be read again is served again.

use std::time::Duration;

use super::{World, name, put_now, read_all, records};
use crate::error::{Damage, Error};
use crate::fs::Fault;
use crate::sequence::SequenceNumber;
use crate::{Engine, ReadLimit, Shard, StreamSettings};

const SEGMENT: &str = "/data/shards/1/0/00000000000000000001.seg";
const FRAMES_START: u64 = 8192;

/// Puts 30 records of 3,000 bytes, one a frame.
fn thirty(engine: &Engine) -> std::sync::Arc<Shard> {
    let stream = engine.create_stream(&name("s"), 1, StreamSettings::default()).unwrap();
    let shard = stream.shards()[0].clone();
    for number in 1..=30 {
        put_now(engine, &shard, &[&[number; 3000]]).unwrap();
    }
    shard
}

fn bad(offset: u64, bytes: u64) -> Fault {
    Fault::RangeFails { path: SEGMENT.into(), offset, bytes }
}

/// The numbers that can be read, each with the right data, and the damage met on the way.
fn read_over(shard: &std::sync::Arc<Shard>) -> (Vec<u64>, Vec<Damage>) {
    let mut cursor = shard.cursor(SequenceNumber(0));
    let (mut read, mut damage) = (Vec::new(), Vec::new());
    loop {
        match cursor.read(ReadLimit { records: 7, bytes: 1 << 20 }) {
            Ok(page) if page.records == 0 => return (read, damage),
            Ok(page) => {
                for (number, _, data) in records(&page) {
                    assert_eq!(data, [number as u8; 3000]);
                    read.push(number);
                }
            }
            Err(Error::Damage(found)) => {
                assert!(found.next_readable > cursor.position(), "no way forward: {found}");
                cursor.seek(found.next_readable);
                damage.push(found);
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Each of the thirty is read or reported.
fn check(shard: &std::sync::Arc<Shard>) -> (Vec<u64>, Vec<Damage>) {
    let (read, damage) = read_over(shard);
    for number in 1..=30 {
        let is_lost = |damage: &Damage| {
            (damage.first_lost..damage.next_readable).contains(&SequenceNumber(number))
        };
        let is_told = damage.iter().any(is_lost);
        assert!(read.contains(&number) != is_told, "{number}: told {is_told}");
    }
    (read, damage)
}

#[test]
fn what_the_disk_cannot_read_is_damage_for_as_long_as_it_cannot() {
    for is_reopened in [false, true] {
        let world = World::new(1);
        let mut engine = world.open().unwrap();
        let mut shard = thirty(&engine);
        if is_reopened {
            engine.shut_down().unwrap();
            drop((shard, engine));
            engine = world.open().unwrap();
            shard = engine.stream(&name("s")).unwrap().shards()[0].clone();
        }
        world.fs.inject(bad(FRAMES_START + 40_000, 5000));
        let (read, damage) = check(&shard);
        assert!((26..=28).contains(&read.len()), "{read:?}");
        assert_eq!(damage[0].file.to_str(), Some(SEGMENT));
        assert!(damage[0].offset > FRAMES_START + 36_000, "{}", damage[0]);
        assert!(matches!(shard.sequence_at_time(0), Ok(SequenceNumber(1))));
        check(&shard);
        assert_eq!(engine.stats().damage_found, damage.len() as u64, "told of once");
        put_now(&engine, &shard, &[&[31; 3000]]).unwrap();
        world.fs.clear_faults();
        let (read, damage) = read_over(&shard);
        assert_eq!((read.len(), damage), (31, vec![]));
    }
}

#[test]
fn a_segment_whose_header_cannot_be_read_is_served_again_when_it_can() {
    let world = World::new(1);
    let engine = world.open().unwrap();
    drop(thirty(&engine));
    engine.shut_down().unwrap();
    drop(engine);
    world.fs.inject(bad(0, FRAMES_START));
    let engine = world.open().unwrap();
    let shard = engine.stream(&name("s")).unwrap().shards()[0].clone();
    assert_eq!(check(&shard).0, []);
    // Puts go on, in another segment.
    assert_eq!(put_now(&engine, &shard, &[&[31; 3000]]).unwrap().first.0, 31);
    assert_eq!(check(&shard).0, [31]);
    world.fs.clear_faults();
    assert_eq!(check(&shard).0.len(), 31);
}

#[test]
fn retention_goes_on_over_what_cannot_be_read() {
    let world = World::new(1);
    let engine = world.open().unwrap();
    let shard = thirty(&engine);
    for number in [31, 32] {
        world.clock.advance(Duration::from_secs(2 * 3600));
        put_now(&engine, &shard, &[&[number; 3000]]).unwrap();
    }
    for range in [bad(FRAMES_START, 5000), bad(FRAMES_START + 40_000, 5000), bad(0, 8192)] {
        world.fs.inject(range);
    }
    world.clock.advance(Duration::from_secs(23 * 3600));
    engine.housekeeping_step();
    assert_eq!(shard.watermarks().trim_horizon.0, 32);
    assert_eq!(world.fs.read_file(SEGMENT), None);
    assert_eq!(read_all(&shard).unwrap().len(), 1);
}

#[test]
fn nothing_is_cut_and_no_number_used_again_where_an_unclean_start_cannot_read() {
    let half = FRAMES_START + 45_000;
    let ranges: [&[(u64, u64)]; 6] = [
        &[(0, FRAMES_START)],
        &[(FRAMES_START, 1)],
        &[(half, 5000)],
        // The last frames, and the zeros behind them.
        &[(FRAMES_START + 30 * 3000, 10_000)],
        &[(0, 1 << 18)],
        &[(half, 600), (half + 10_000, 600), (half + 20_000, 20_000)],
    ];
    for ranges in ranges {
        let world = World::new(1);
        let engine = world.open().unwrap();
        drop(thirty(&engine));
        drop(engine);
        let world = world.with(world.fs.kill());
        let bytes = world.fs.read_file(SEGMENT).unwrap();
        for &(offset, bytes) in ranges {
            world.fs.inject(bad(offset, bytes));
        }
        let engine = world.open().unwrap();
        assert!(!engine.report().damage.is_empty(), "{ranges:?}");
        let shard = engine.stream(&name("s")).unwrap().shards()[0].clone();
        let (read, damage) = check(&shard);
        assert!(read.len() < 30 && !damage.is_empty());
        let appended = put_now(&engine, &shard, &[&[31; 3000]]).unwrap().first.0;
        assert!(appended > 30, "{ranges:?}: {appended}");
        let now = world.fs.read_file(SEGMENT).unwrap();
        let frames = ..(FRAMES_START + 30 * 3112) as usize;
        assert!(now[frames] == bytes[frames], "{ranges:?}: bytes have changed");
        drop((shard, engine));
        let world = world.with(world.fs.kill());
        world.fs.clear_faults();
        let engine = world.open().unwrap();
        let shard = engine.stream(&name("s")).unwrap().shards()[0].clone();
        let mut cursor = shard.cursor(SequenceNumber(0));
        let mut found = 0;
        while found < 30 {
            found += cursor.read(ReadLimit { records: 30, bytes: 1 << 20 }).unwrap().records;
        }
    }
}

#[test]
fn a_torn_frame_is_not_cut_while_what_stands_behind_it_cannot_be_read() {
    let world = World::new(1);
    let engine = world.open().unwrap();
    drop(thirty(&engine));
    drop(engine);
    let world = world.with(world.fs.kill());
    let third = FRAMES_START + 2 * (80 + 3000 + 30);
    world.fs.inject(Fault::FlipBit { path: SEGMENT.into(), offset: third + 1000, bit: 0 });
    let bytes = world.fs.read_file(SEGMENT).unwrap();
    world.fs.inject(bad(third + 3500, 200_000));
    drop(world.open().unwrap());
    let world = world.with(world.fs.kill());
    assert!(world.fs.read_file(SEGMENT).unwrap() == bytes);
    world.fs.clear_faults();
    let engine = world.open().unwrap();
    let shard = engine.stream(&name("s")).unwrap().shards()[0].clone();
    let (read, damage) = check(&shard);
    // What may have stood behind the thirtieth stays unknown.
    assert_eq!(read, (1..=30).filter(|&number| number != 3).collect::<Vec<_>>());
    assert_eq!((damage[0].first_lost.0, damage[0].next_readable.0), (3, 4));
}
