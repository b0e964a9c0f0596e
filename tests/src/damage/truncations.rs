//! A segment cut at every byte of its end: a frame that is cut is missing, and whether that is a
//! torn tail or damage is decided by what was recorded as durable.

use anabranch_engine::offline::FindingKind;

use super::subject::{STREAM, Stop, Subject, check, give};
use super::{Tally, in_parallel};
use crate::support::{World, name, put_now};

/// Bytes at the end of the file of which each is tried.
const END_BYTES: u64 = 64 << 10;

/// One copy of the segment's header.
const HEADER_BYTES: u64 = 512;

/// What came of it. The cases of each are cuts.
#[derive(Default)]
pub struct Truncations {
    /// Frames that were durable are gone: damage.
    pub damage: Tally,
    /// What is gone was not recorded as durable: a tail, or nothing.
    pub tail: Tally,
}

/// Cuts at every `stride.0`th of the last 64 KiB, and at every `stride.1`th of the bytes before.
pub fn run(stop: Stop, stride: (u64, u64), progress: &(dyn Fn(u64) + Sync)) -> Truncations {
    let subject = Subject::new(7, 1, stop);
    let len = subject.segments[0].bytes.len() as u64;
    let before = (0..len - END_BYTES).step_by(stride.1 as usize);
    let cuts: Vec<u64> = before.chain((len - END_BYTES..=len).step_by(stride.0 as usize)).collect();
    let out = Truncations::default();
    in_parallel(
        cuts.len() as u64,
        || out.damage.is_enough() || out.tail.is_enough(),
        || subject.twin(),
        |twin, round| {
            let cut = cuts[round as usize];
            let world = twin.with(twin.fs.kill());
            world.fs.truncate(&subject.segments[0].path, cut);
            let (is_damage, outcome) = look(&subject, &world, cut);
            let tally = if is_damage { &out.damage } else { &out.tail };
            tally.case();
            tally.expect(outcome.is_ok(), || format!("{stop:?}, cut at {cut}: {outcome:?}"));
            progress(1);
        },
    );
    out
}

/// Looks at the directory. Returns whether the cut is damage, and what is wrong.
fn look(subject: &Subject, world: &World, cut: u64) -> (bool, Result<(), String>) {
    let whole = &subject.segments[0];
    let frames = &whole.layout.frames;
    // One copy of the header makes all frames readable whose payloads are whole.
    let kept = match cut {
        0..HEADER_BYTES => 0,
        _ => frames.partition_point(|frame| frame.bytes.end as u64 <= cut),
    };
    let first_lost = frames.get(kept).map(|frame| frame.base);
    let is_damage = first_lost.is_some_and(|first| first < subject.recorded);
    let is_headless = cut < HEADER_BYTES;
    (
        is_damage || is_headless,
        judge(subject, world, kept, first_lost.filter(|_| is_damage || is_headless)),
    )
}

fn judge(
    subject: &Subject,
    world: &World,
    kept: usize,
    first_lost: Option<u64>,
) -> Result<(), String> {
    let whole = &subject.segments[0];
    let report = check(&world.fs);
    let mut found = report.findings.iter().filter(|found| found.kind == FindingKind::Damage);
    match first_lost {
        Some(first) => {
            let is_it = found.clone().any(|found| {
                found.file == whole.path
                    && found.offset.is_some()
                    && found.first_lost.is_some_and(|lost| lost.0 == first)
            });
            ensure(is_it, || format!("verify is silent: {:?}", report.findings))?;
        }
        None => ensure(found.next().is_none(), || format!("no damage: {:?}", report.findings))?,
    }
    let engine = world.open().map_err(|error| error.to_string())?;
    let stream = engine.stream(&name(STREAM)).map_err(|error| error.to_string())?;
    let shard = &stream.shards()[0];
    let given = give(shard).map_err(|error| error.to_string())?;
    let bytes: usize = whole.layout.frames[..kept].iter().map(|frame| frame.payload().len()).sum();
    ensure(given.is_part(0, &whole.payloads[..bytes]), || {
        format!("what is whole is not served: {:?}", given.damage)
    })?;
    let rest = given.parts[1..].iter().flatten().count();
    ensure(rest == 0, || "more is served than is there".to_owned())?;
    // A frame that is cut in two is told apart from those behind it; together they are told
    // without a gap.
    let mut told = first_lost;
    for damage in &given.damage {
        let is_next = damage.file == whole.path && Some(damage.first_lost.0) == told;
        ensure(is_next, || format!("{first_lost:?} is lost, told are {:?}", given.damage))?;
        told = Some(damage.next_readable.0);
    }
    let is_all = told.is_none_or(|told| told >= subject.recorded);
    ensure(is_all, || format!("{first_lost:?} is lost, told are {:?}", given.damage))?;
    // Whatever was lost, puts go on, and no number is used twice.
    let appended = put_now(&engine, shard, &[b"after"]).map_err(|error| error.to_string())?;
    let above = if first_lost.is_some() { subject.recorded } else { 0 };
    let last = kept.checked_sub(1).map_or(1, |last| whole.layout.frames[last].next);
    ensure(appended.first.0 >= above.max(last), || format!("{} again", appended.first))?;
    let after = give(shard).map_err(|error| error.to_string())?;
    let is_read = after.parts.last().is_some_and(|part| !part.is_empty());
    ensure(is_read, || "what is put afterwards is not read".to_owned())
}

fn ensure(holds: bool, words: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(words()) }
}
