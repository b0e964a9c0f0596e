//! The index of a sealed segment is a cache: lost or damaged, reads are the same, and `repair`
//! writes it again as it was, to the byte.

use std::path::PathBuf;

use anabranch_engine::offline::FindingKind;
use anabranch_engine::sequence::SequenceNumber;
use anabranch_engine::{Error, ReadLimit, StreamSettings};

use super::layout::footer_bytes;
use super::subject::{STREAM, check, mend, twin};
use super::{Tally, in_parallel};
use crate::support::{Random, World, name, put_now, records};

/// Several sealed segments and one that is not, stopped cleanly.
fn directory() -> World {
    let world = World::new(3);
    let engine = world.open().expect("an empty disk opens");
    let stream =
        engine.create_stream(&name(STREAM), 1, StreamSettings::default()).expect("there is room");
    let mut random = Random(3);
    for number in 0..150u8 {
        world.clock.advance(std::time::Duration::from_millis(10));
        let data = vec![number; random.below(40_000) as usize];
        put_now(&engine, &stream.shards()[0], &[&data, b"", &[number]]).expect("there is room");
    }
    engine.shut_down().expect("nothing fails");
    drop((stream, engine));
    world.with(world.fs.kill())
}

/// What readers that begin at several numbers and times get first.
fn answers(world: &World) -> anabranch_engine::Result<Vec<(u64, Vec<u8>)>> {
    let engine = world.open()?;
    let stream = engine.stream(&name(STREAM))?;
    let shard = &stream.shards()[0];
    let mut answers = Vec::new();
    for step in 0..40 {
        let mut cursor = shard.cursor(SequenceNumber(1 + step * 11));
        let page = cursor.read(ReadLimit { records: 3, bytes: 1 << 20 })?;
        answers.extend(records(&page).into_iter().map(|read| (read.sequence, read.data)));
        let at = shard.sequence_at_time(crate::support::START_MS + step * 37)?;
        answers.push((at.0, Vec::new()));
    }
    let all = super::subject::give(shard)?;
    match all.damage.first() {
        Some(damage) => Err(Error::Damage(damage.clone())),
        None => {
            answers.push((0, all.parts.concat().concat()));
            Ok(answers)
        }
    }
}

/// Harms an index `count` times, each time in another way.
pub fn run(seed: u64, count: u64, progress: &(dyn Fn(u64) + Sync)) -> Tally {
    let base = directory();
    let segments: Vec<PathBuf> = base.segments().into_iter().map(|(path, _)| path).collect();
    let (_, sealed) = segments.split_last().expect("several");
    assert!(sealed.len() >= 2, "several segments");
    let expected = answers(&base.with(base.fs.kill())).expect("it is whole");
    let out = Tally::default();
    in_parallel(
        count,
        || out.is_enough(),
        || twin(&base),
        |twin, round| {
            let mut random = Random(seed ^ (round << 20));
            let world = twin.with(twin.fs.kill());
            let path = &sealed[random.below(sealed.len() as u64) as usize];
            let whole = world.fs.read_file(path).expect("it is there");
            let mut bytes = whole.clone();
            let start = bytes.len() - footer_bytes(bytes.len());
            let way = round % 4;
            let index = &mut bytes[start..];
            match way {
                0 => index.fill(0),
                1 => index.iter_mut().for_each(|byte| *byte = random.next() as u8),
                2 => index[random.below(4096) as usize] ^= 1 << random.below(8),
                _ => {
                    // That of another segment.
                    let other = sealed.iter().find(|other| *other != path).expect("several");
                    let other = world.fs.read_file(other).expect("it is there");
                    let len = index.len().min(footer_bytes(other.len()));
                    let at = index.len() - len;
                    index[at..].copy_from_slice(&other[other.len() - len..]);
                }
            }
            world.fs.write_file(path, &bytes);
            out.case();
            let what = || format!("seed {seed}, round {round}, way {way}, {}", path.display());
            let report = check(&world.fs);
            let mut about = report.findings.iter().filter(|found| &found.file == path);
            let is_told = about.clone().any(|found| found.offset == Some(start as u64));
            let is_damage = about.any(|found| found.kind == FindingKind::Damage);
            out.expect(is_told && !is_damage, || format!("{}: {:?}", what(), report.findings));
            let found = answers(&world.with(world.fs.kill()));
            out.expect(found.as_ref().is_ok_and(|found| *found == expected), || {
                format!("{}: other answers {:?}", what(), found.err())
            });
            let mended = world.with(world.fs.kill());
            let steps = mend(&mended).steps;
            let again = mended.fs.read_file(path);
            out.expect(again.as_ref() == Some(&whole), || format!("{}: {steps:?}", what()));
            progress(1);
        },
    );
    out
}
