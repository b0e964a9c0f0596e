//! The recovery table of `engine/FORMAT.md`, walked on real bytes.
//!
//! Two good frames stand before the place, with the numbers 1 and 2. What is found there, where
//! number 3 should be, and the evidence that more was durable, decide.

use anabranch_engine::StreamSettings;
use anabranch_tests::damage::bytes::{Frame, data, footer};
use anabranch_tests::damage::layout::{FRAMES_START, footer_bytes};
use anabranch_tests::support::{START_MS, World, name, put_now, read_over_damage};

const SEGMENT: &str = "/data/shards/1/0/00000000000000000001.seg";

/// What stands at the place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Found {
    Zeros,
    Short,
    Magic,
    HeaderCrc,
    Incarnation,
    Impossible,
    Sequence,
    PayloadCrc,
}

/// What speaks for the bytes having been durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Evidence {
    Nothing,
    /// A valid frame behind the place, built when number 3 was not known to be durable.
    SuccessorNotAbove,
    /// The same, built when it was.
    SuccessorAbove,
    /// A valid footer that ends behind number 3.
    RecordedAbove,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    End,
    Cut,
    Damage,
}

use Evidence::{Nothing, RecordedAbove, SuccessorAbove, SuccessorNotAbove};
use Found::{HeaderCrc, Impossible, Incarnation, Magic, PayloadCrc, Sequence, Short, Zeros};
use Verdict::{Cut, Damage, End};

/// Found, evidence, verdict, and the number that the next record has at least.
#[rustfmt::skip]
const TABLE: &[(Found, Evidence, Verdict, u64)] = &[
    (Zeros,       Nothing,           End,    3),
    (Short,       Nothing,           Cut,    4),
    (Magic,       Nothing,           Cut,    3),
    (HeaderCrc,   Nothing,           Cut,    3),
    (Incarnation, Nothing,           Cut,    3),
    (Impossible,  Nothing,           Cut,    3),
    (Sequence,    Nothing,           Cut,    3),
    (PayloadCrc,  Nothing,           Cut,    4),

    (Zeros,       SuccessorNotAbove, End,    3),
    (Short,       SuccessorNotAbove, Cut,    5),
    (Magic,       SuccessorNotAbove, Cut,    5),
    (HeaderCrc,   SuccessorNotAbove, Cut,    5),
    (Incarnation, SuccessorNotAbove, Cut,    5),
    (Impossible,  SuccessorNotAbove, Cut,    5),
    (Sequence,    SuccessorNotAbove, Cut,    5),
    (PayloadCrc,  SuccessorNotAbove, Cut,    5),

    (Zeros,       SuccessorAbove,    Damage, 5),
    (Short,       SuccessorAbove,    Damage, 5),
    (Magic,       SuccessorAbove,    Damage, 5),
    (HeaderCrc,   SuccessorAbove,    Damage, 5),
    (Incarnation, SuccessorAbove,    Damage, 5),
    (Impossible,  SuccessorAbove,    Damage, 5),
    (Sequence,    SuccessorAbove,    Damage, 5),
    (PayloadCrc,  SuccessorAbove,    Damage, 5),

    (Zeros,       RecordedAbove,     Damage, 4),
    (Short,       RecordedAbove,     Damage, 4),
    (Magic,       RecordedAbove,     Damage, 4),
    (HeaderCrc,   RecordedAbove,     Damage, 4),
    (Incarnation, RecordedAbove,     Damage, 4),
    (Impossible,  RecordedAbove,     Damage, 4),
    (Sequence,    RecordedAbove,     Damage, 4),
    (PayloadCrc,  RecordedAbove,     Damage, 4),
];

#[test]
fn recovery_decides_as_the_table_says() {
    for &row in TABLE {
        walk(row);
    }
}

fn walk((found, evidence, verdict, next): (Found, Evidence, Verdict, u64)) {
    let what = format!("{found:?}, {evidence:?}");
    let world = World::new(1);
    let engine = world.open().unwrap();
    let stream = engine.create_stream(&name("s"), 1, StreamSettings::default()).unwrap();
    put_now(&engine, &stream.shards()[0], &[b"makes the segment"]).unwrap();
    drop((stream, engine));
    let world = world.with(world.fs.kill());
    let mut bytes = world.fs.read_file(SEGMENT).unwrap();
    let (place, _) = craft(&mut bytes, found, evidence);
    world.fs.write_file(SEGMENT, &bytes);

    let engine = world.open().unwrap();
    let report = engine.report();
    let stream = engine.stream(&name("s")).unwrap();
    let shard = &stream.shards()[0];
    let (read, damage) = read_over_damage(shard, 0);
    let numbers: Vec<u64> = read.iter().map(|read| read.sequence).collect();
    assert!(read.iter().all(|read| read.data == data(read.sequence)), "{what}: wrong bytes");
    match verdict {
        End | Cut => {
            assert_eq!((&report.damage[..], &damage[..]), (&[][..], &[][..]), "{what}");
            assert_eq!(numbers, [1, 2], "{what}");
            assert_eq!(report.truncated_bytes > 0, verdict == Cut, "{what}");
        }
        Damage => {
            for found in [&report.damage, &damage] {
                assert_eq!(found.len(), 1, "{what}: {found:?}");
                assert_eq!(found[0].file.to_str(), Some(SEGMENT), "{what}");
                assert_eq!(found[0].offset, place as u64, "{what}");
                assert_eq!(found[0].first_lost.0, 3, "{what}");
                assert_eq!(found[0].next_readable.0, 4, "{what}");
            }
            let is_followed = evidence == SuccessorAbove;
            assert_eq!(numbers, if is_followed { vec![1, 2, 4] } else { vec![1, 2] }, "{what}");
        }
    }
    let appended = put_now(&engine, shard, &[b"after"]).unwrap();
    assert_eq!(appended.first.0, next, "{what}: the next number");

    // What was cut does not come back, and what was reported stays so.
    drop((stream, engine));
    let world = world.with(world.fs.crash());
    let engine = world.open().unwrap();
    let stream = engine.stream(&name("s")).unwrap();
    let (again, damage) = read_over_damage(&stream.shards()[0], 0);
    let expected: Vec<u64> = numbers.into_iter().chain([next]).collect();
    assert_eq!(again.iter().map(|read| read.sequence).collect::<Vec<_>>(), expected, "{what}");
    assert_eq!(damage.len(), usize::from(verdict == Damage), "{what}");
}

/// Puts the frames of a row into a segment. Returns the place, and where the frames end.
fn craft(bytes: &mut [u8], found: Found, evidence: Evidence) -> (usize, usize) {
    let incarnation: [u8; 8] = bytes[40..48].try_into().unwrap();
    let good = |base: u64, durable_below: u64| Frame {
        incarnation,
        stream: 1,
        shard: 0,
        flags: 0,
        base,
        arrival_ms: START_MS,
        durable_below,
        payload_bytes: None,
    };
    bytes[FRAMES_START..].fill(0);
    let mut at = FRAMES_START;
    let mut add = |frame: &[u8]| {
        bytes[at..at + frame.len()].copy_from_slice(frame);
        at += frame.len();
        at - frame.len()
    };
    add(&good(1, 1).encode());
    add(&good(2, 2).encode());
    let third = good(3, 3);
    let mut frame = match found {
        Short => Frame { payload_bytes: Some(1 << 20), ..third },
        Incarnation => Frame { incarnation: [7; 8], ..third },
        Impossible => Frame { flags: 0x80, ..third },
        Sequence => Frame { base: 1, ..third },
        Zeros | Magic | HeaderCrc | PayloadCrc => third,
    }
    .encode();
    match found {
        Zeros => frame.fill(0),
        Magic => frame[0] ^= 1,
        HeaderCrc => frame[40] ^= 1,
        PayloadCrc => frame[100] ^= 1,
        Short | Incarnation | Impossible | Sequence => {}
    }
    let place = add(&frame);
    match evidence {
        SuccessorNotAbove => _ = add(&good(4, 3).encode()),
        SuccessorAbove => _ = add(&good(4, 4).encode()),
        Nothing | RecordedAbove => {}
    }
    if evidence == RecordedAbove {
        let len = bytes.len();
        let footer = footer(len, incarnation, at as u64, 4);
        bytes[len - footer_bytes(len)..].copy_from_slice(&footer);
    }
    (place, at)
}
