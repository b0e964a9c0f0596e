//! Every bit of a segment, flipped: what `verify` says, and what is served.
//!
//! One start serves a flip in each of several shards: they know nothing of each other, and the
//! start is what takes most of the time.

use anabranch_engine::fs::Fault;
use anabranch_engine::offline::{Finding, FindingKind};

use super::layout::Meaning;
use super::subject::{Given, STREAM, Stop, Subject, Whole, check, give};
use super::{Tally, in_parallel};
use crate::support::name;

/// Shards of the directory.
const SHARDS: u64 = 8;

/// What came of it.
#[derive(Default)]
pub struct SegmentBits {
    /// Flips of bits that stand in a frame, and nowhere else.
    pub meaningful: Tally,
    /// Flips of bits of which there is another copy, or which can be computed.
    pub redundant: Tally,
    /// Flips of bits that nobody reads.
    pub idle: Tally,
    /// Meaningful or redundant ones that `verify` did not report with file and offset; its
    /// cases are flips.
    pub reports: Tally,
    /// Bytes served that were not written, or records lost beyond the frame that was hit; its
    /// cases are flips.
    pub served: Tally,
}

/// Flips every `stride`th bit, beginning with the bit `first`, each in a copy of its own.
pub fn run(
    stop: Stop,
    (first, stride): (u64, u64),
    progress: &(dyn Fn(u64) + Sync),
) -> SegmentBits {
    let subject = Subject::new(7, SHARDS as u32, stop);
    let bits = subject.segments[0].bytes.len() as u64 * 8;
    let out = SegmentBits::default();
    let flips = (bits - first).div_ceil(stride);
    in_parallel(
        flips.div_ceil(SHARDS),
        || out.reports.is_enough() || out.served.is_enough(),
        || subject.twin(),
        |base, round| {
            let world = base.with(base.fs.kill());
            let hit =
                |shard: u64| Some(first + (round * SHARDS + shard) * stride).filter(|&b| b < bits);
            for (whole, bit) in subject.segments.iter().zip((0..SHARDS).map(hit)) {
                let Some(bit) = bit else { continue };
                let (path, offset, bit) = (whole.path.clone(), bit / 8, (bit % 8) as u8);
                world.fs.inject(Fault::FlipBit { path, offset, bit });
            }
            let report = check(&world.fs);
            let engine = world.open().expect("a damaged segment keeps no server from starting");
            let stream = engine.stream(&name(STREAM)).expect("the catalog is whole");
            for (shard, whole) in (0..SHARDS).zip(&subject.segments) {
                let Some(bit) = hit(shard) else { continue };
                let what = || format!("{stop:?}, {}, bit {bit}", whole.path.display());
                let meaning = whole.layout.meaning(bit as usize / 8);
                let found = report.findings.iter().filter(|found| found.file == whole.path);
                let found: Vec<&Finding> = found.collect();
                match meaning {
                    Meaning::Frame(frame) => {
                        out.meaningful.case();
                        let frame = &whole.layout.frames[frame];
                        let is_it = found.iter().any(|found| {
                            found.kind == FindingKind::Damage
                                && found.offset == Some(frame.bytes.start as u64)
                                && found.first_lost.is_some_and(|first| first.0 == frame.base)
                                && found.next_readable.is_some_and(|next| next.0 == frame.next)
                        });
                        out.reports.expect(is_it, || format!("{}: reported {found:?}", what()));
                    }
                    Meaning::Redundant(at) => {
                        out.redundant.case();
                        let is_it = found.iter().any(|found| found.offset == Some(at as u64));
                        out.reports.expect(is_it, || format!("{}: reported {found:?}", what()));
                    }
                    Meaning::Idle => out.idle.case(),
                }
                if !matches!(meaning, Meaning::Frame(_)) {
                    let is_damage = found.iter().any(|found| found.kind == FindingKind::Damage);
                    out.reports.expect(!is_damage, || format!("{}: no damage, {found:?}", what()));
                }
                out.reports.case();
                out.served.case();
                let served = give(&stream.shards()[shard as usize])
                    .map_err(|error| error.to_string())
                    .and_then(|given| is_right(whole, meaning, given));
                out.served.expect(served.is_ok(), || format!("{}: {:?}", what(), served));
            }
            progress(SHARDS);
        },
    );
    out
}

/// Whether all was served but the frame that was hit, and that was told as it is.
fn is_right(whole: &Whole, meaning: Meaning, given: Given) -> Result<(), String> {
    let Meaning::Frame(frame) = meaning else {
        return match given.damage.is_empty() && given.is_part(0, &whole.payloads) {
            true => Ok(()),
            false => Err(format!("not all is served: {:?}", given.damage)),
        };
    };
    let [damage] = &given.damage[..] else {
        return Err(format!("one frame was hit, told are {:?}", given.damage));
    };
    let frames = &whole.layout.frames;
    let before: usize = frames[..frame].iter().map(|frame| frame.payload().len()).sum();
    let behind = before + frames[frame].payload().len();
    let frame = &frames[frame];
    let is_told = damage.file == whole.path
        && damage.offset == frame.bytes.start as u64
        && damage.first_lost.0 == frame.base
        && damage.next_readable.0 == frame.next;
    if !is_told {
        return Err(format!("told is {damage:?}, hit was {frame:?}"));
    }
    let is_rest_served =
        given.is_part(0, &whole.payloads[..before]) && given.is_part(1, &whole.payloads[behind..]);
    if is_rest_served { Ok(()) } else { Err("wrong bytes, or more lost than the frame".to_owned()) }
}
