//! A segment cut at every byte of its end: a frame that is cut is missing, and that is damage,
//! also where nothing was recorded as durable: no power cut makes a file shorter.

use std::sync::Arc;

use anabranch_engine::offline::{Finding, FindingKind};
use anabranch_engine::{Engine, Shard};

use super::subject::{STREAM, Stop, Subject, Whole, check, give};
use super::{Tally, in_parallel};
use crate::support::{World, name, put_now};

/// Bytes at the end of the file of which each is tried.
const END_BYTES: u64 = 64 << 10;

/// One copy of the segment's header.
const HEADER_BYTES: u64 = 512;

/// A frame's header.
const FRAME_HEADER_BYTES: u64 = 80;

/// Shards of the directory. One start serves a cut in each: it is what takes most of the time,
/// and shards know nothing of each other.
const SHARDS: usize = 16;

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
    let subject = Subject::new(7, SHARDS as u32, stop);
    let len = subject.segments[0].bytes.len() as u64;
    let before = (0..len - END_BYTES).step_by(stride.1 as usize);
    let cuts: Vec<u64> = before.chain((len - END_BYTES..=len).step_by(stride.0 as usize)).collect();
    let rounds: Vec<&[u64]> = cuts.chunks(SHARDS).collect();
    let out = Truncations::default();
    in_parallel(
        rounds.len() as u64,
        || out.damage.is_enough() || out.tail.is_enough(),
        || subject.twin(),
        |twin, round| {
            let cuts = rounds[round as usize];
            let world = twin.with(twin.fs.kill());
            for (whole, cut) in subject.segments.iter().zip(cuts) {
                world.fs.truncate(&whole.path, *cut);
            }
            look(&subject, &world, cuts, &out);
            progress(cuts.len() as u64);
        },
    );
    out
}

/// Looks at the directory, each shard of which has a cut segment.
fn look(subject: &Subject, world: &World, cuts: &[u64], out: &Truncations) {
    let report = check(&world.fs);
    let engine = world.open().expect("a cut segment keeps no server from starting");
    let stream = engine.stream(&name(STREAM)).expect("the catalog is whole");
    for ((whole, shard), cut) in subject.segments.iter().zip(&stream.shards()).zip(cuts) {
        let frames = &whole.layout.frames;
        // One copy of the header makes all frames readable whose payloads are whole.
        let is_headless = *cut < HEADER_BYTES;
        let kept = match is_headless {
            true => 0,
            false => frames.partition_point(|frame| frame.bytes.end as u64 <= *cut),
        };
        let behind = frames.last().map_or(1, |frame| frame.next);
        let first_lost = frames.get(kept).map_or(behind, |frame| frame.base);
        // In a log that was killed more may have stood behind the last frame that is left, but
        // where the zeros of a frame's header say that it did not.
        let is_cut_off = subject.stop == Stop::Killed
            && (kept < frames.len() || *cut < whole.layout.end() as u64 + FRAME_HEADER_BYTES);
        let is_lost = is_headless || is_cut_off || first_lost < subject.recorded;
        let first_lost = is_lost.then_some(first_lost);
        let found = report.findings.iter().filter(|found| found.file == whole.path);
        let found: Vec<&Finding> = found.collect();
        let judged = judge_report(whole, &found, first_lost)
            .and_then(|()| judge(subject, (&engine, shard), whole, kept, first_lost));
        let tally = if first_lost.is_some() { &out.damage } else { &out.tail };
        tally.case();
        tally.expect(judged.is_ok(), || format!("{:?}, cut at {cut}: {judged:?}", subject.stop));
    }
}

/// What `verify` says of the cut file.
fn judge_report(whole: &Whole, found: &[&Finding], first_lost: Option<u64>) -> Result<(), String> {
    let mut damage = found.iter().filter(|found| found.kind == FindingKind::Damage);
    let is_right = match first_lost {
        Some(first) => damage.any(|damage| {
            damage.offset.is_some() && damage.first_lost.is_some_and(|lost| lost.0 == first)
        }),
        None => damage.next().is_none(),
    };
    ensure(is_right, || format!("{first_lost:?} of {} lost: {found:?}", whole.path.display()))
}

/// What the shard gives.
fn judge(
    subject: &Subject,
    (engine, shard): (&Engine, &Arc<Shard>),
    whole: &Whole,
    kept: usize,
    first_lost: Option<u64>,
) -> Result<(), String> {
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
    let is_told = given.damage.is_empty() == first_lost.is_none();
    let is_all = is_told && told.is_none_or(|told| told >= subject.recorded);
    ensure(is_all, || format!("{first_lost:?} is lost, told are {:?}", given.damage))?;
    // Whatever was lost, puts go on, and no number is used twice.
    let appended = put_now(engine, shard, &[b"after"]).map_err(|error| error.to_string())?;
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
