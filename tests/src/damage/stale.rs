//! What earlier lives of a file left behind its tail: valid frames, in every way but one. None
//! of them may come back, and none may be taken for evidence.

use anabranch_engine::fs::Fs;
use anabranch_engine::offline::FindingKind;

use super::bytes::{Frame, data, footer};
use super::subject::{STREAM, Stop, Subject, check, give};
use super::{Tally, in_parallel};
use crate::support::{Random, World, name, put_now};

/// Bytes of frames in the segment that is tampered with: about half of its room.
const FILLED_BYTES: usize = 120 << 10;

/// What the stale frames get wrong.
const WRONG: [Wrong; 4] = [Wrong::Incarnation, Wrong::Number, Wrong::Shard, Wrong::Stream];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wrong {
    /// They are of another life of the file: the one case that happens.
    Incarnation,
    /// Of this life, with numbers that were given out before.
    Number,
    /// Of another shard.
    Shard,
    /// Of another stream.
    Stream,
}

/// Tampers `count` times with segments that were stopped so, each time in another way.
pub fn run(stop: Stop, seed: u64, count: u64, progress: &(dyn Fn(u64) + Sync)) -> Tally {
    let subject = Subject::filled(seed, 1, stop, FILLED_BYTES);
    let out = Tally::default();
    in_parallel(
        count,
        || out.is_enough(),
        || subject.twin(),
        |twin, round| {
            let mut random = Random(seed ^ (round << 20));
            let world = twin.with(twin.fs.kill());
            let what = haunt(&subject, &world, round, &mut random);
            out.case();
            let outcome = look(&subject, &world);
            out.expect(outcome.is_ok(), || format!("{stop:?}, seed {seed}, {what}: {outcome:?}"));
            progress(1);
        },
    );
    out
}

/// Fills the room behind the tail with stale frames.
fn haunt(subject: &Subject, world: &World, round: u64, random: &mut Random) -> String {
    let whole = &subject.segments[0];
    let mut bytes = whole.bytes.clone();
    let wrong = WRONG[round as usize % WRONG.len()];
    let theirs = random.next().to_le_bytes();
    let ours: [u8; 8] = bytes[40..48].try_into().expect("eight bytes");
    let next = whole.layout.frames.last().map_or(1, |frame| frame.next);
    // Right behind the tail, or behind zeros that end at any multiple of 8.
    let end = whole.layout.end();
    let gap = if random.below(3) == 0 { 0 } else { 8 * random.below(1200) as usize };
    let mut at = end + gap;
    let mut number = match (wrong, random.below(3)) {
        (Wrong::Number, _) => 1 + random.below(next - 1),
        (_, 0) => next,
        (_, 1) => next + random.below(100),
        _ => 1 + random.below(next),
    };
    let first = number;
    while at < whole.layout.footer.start {
        let frame = Frame {
            incarnation: if wrong == Wrong::Incarnation { theirs } else { ours },
            stream: if wrong == Wrong::Stream { 7 } else { 1 },
            shard: u32::from(wrong == Wrong::Shard),
            flags: random.below(3) as u16,
            base: number,
            arrival_ms: crate::support::START_MS + 100_000,
            durable_below: number,
            payload_bytes: None,
        };
        let frame = frame.encode();
        if at + frame.len() > whole.layout.footer.start {
            break;
        }
        bytes[at..at + frame.len()].copy_from_slice(&frame);
        at += frame.len();
        if wrong == Wrong::Number && number + 2 >= next {
            break;
        }
        number += 1;
    }
    if !whole.layout.is_sealed && random.below(2) == 0 {
        let stale = footer(bytes.len(), theirs, at as u64, number);
        let start = whole.layout.footer.start;
        bytes[start..].copy_from_slice(&stale);
    }
    world.fs.write_file(&whole.path, &bytes);
    format!("{wrong:?}, {gap} bytes behind the tail, numbers {first}..{number}")
}

fn look(subject: &Subject, world: &World) -> Result<(), String> {
    let whole = &subject.segments[0];
    let report = check(&world.fs);
    if let Some(damage) = report.findings.iter().find(|found| found.kind == FindingKind::Damage) {
        return Err(format!("verify: {damage:?}"));
    }
    let words = |error: anabranch_engine::Error| error.to_string();
    // The second start comes after a put and a power cut: what was stale stays so.
    let mut expected = whole.payloads.clone();
    let mut disk = world.fs.clone();
    for life in 0..2 {
        let world = world.with(disk);
        let engine = world.open().map_err(words)?;
        let stream = engine.stream(&name(STREAM)).map_err(words)?;
        let shard = &stream.shards()[0];
        let given = give(shard).map_err(words)?;
        if !given.damage.is_empty() || !given.is_part(0, &expected) {
            let stale = data(1);
            let has_stale = given
                .parts
                .iter()
                .flatten()
                .any(|range| range.windows(10).any(|window| window == &stale[..10]));
            return Err(format!("start {life}, resurrected: {has_stale}, {:?}", given.damage));
        }
        put_now(&engine, shard, &[b"new"]).map_err(words)?;
        let given = give(shard).map_err(words)?;
        expected = given.parts.concat().concat();
        let is_appended = expected.starts_with(&whole.payloads) && expected.ends_with(b"new");
        if !is_appended {
            return Err(format!("start {life}: the new record is not the last"));
        }
        drop((stream, engine));
        disk = world.fs.crash();
    }
    drop(Box::new(disk) as Box<dyn Fs>);
    Ok(())
}
