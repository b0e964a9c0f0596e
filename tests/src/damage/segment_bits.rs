//! Every bit of a segment, flipped: what `verify` says, and what is served.
//!
//! For each bit the whole way is gone: `verify` of the directory, a start, and a read of the
//! shard from its first record to its tip, all of which look at every byte of the segment. One
//! start serves flips in each of several shards, as a start is dear and shards know nothing of
//! each other. A [`Choice`] may flip bits of several payloads at once: then each of these frames
//! has to be reported, and all others served. The same holds for bits that nobody reads: where
//! all was served and nothing reported, none of them mattered.

use std::sync::Arc;

use anabranch_engine::fs::{Fault, Fs};
use anabranch_engine::offline::{Finding, FindingKind};
use anabranch_engine::{Engine, Shard};
use bytes::Bytes;

use super::flipped::FlippedFs;
use super::layout::{FrameAt, Meaning};
use super::subject::{Given, STREAM, Stop, Subject, Whole, check_on, give};
use super::{Tally, in_parallel};
use crate::support::{World, name, put_now, read_all};

/// Shards of the directory.
const SHARDS: usize = 32;

/// Which bits are flipped, and how many at once.
#[derive(Clone, Copy, Debug)]
pub struct Choice {
    /// Of the bits of payloads, every so many-th. Odd, so that every bit of a byte has its turn.
    pub payload: usize,
    /// Of all others.
    pub rest: usize,
    /// So many bits at once in a segment: of payloads, each in a frame of its own, and of what
    /// nobody reads. All others are flipped alone.
    pub together: usize,
}

impl Choice {
    /// Every single bit, alone.
    pub const ALL: Choice = Choice { payload: 1, rest: 1, together: 1 };

    /// Every single bit, those of payloads in a quarter of all frames at once: each is seen to be
    /// found and to cost no more than its frame, for a small part of the time.
    pub const ALL_IN_GROUPS: Choice = Choice { together: 32, ..Choice::ALL };

    /// The bits to flip, those of one time together.
    fn hits(self, whole: &Whole) -> Vec<Vec<u64>> {
        let layout = &whole.layout;
        let bits = 0..whole.bytes.len() as u64 * 8;
        let rest = bits.filter(|bit| !layout.is_payload(*bit as usize / 8)).step_by(self.rest);
        let is_idle = |bit: &u64| layout.meaning(*bit as usize / 8) == Meaning::Idle;
        let (idle, rest): (Vec<u64>, Vec<u64>) = rest.partition(is_idle);
        let mut hits: Vec<Vec<u64>> = rest.into_iter().map(|bit| vec![bit]).collect();
        hits.extend(idle.chunks(self.together).map(<[u64]>::to_vec));
        let payloads = layout.frames.iter().map(FrameAt::payload);
        let mut payloads: Vec<Vec<u64>> = payloads
            .map(|bytes| (bytes.start as u64 * 8..bytes.end as u64 * 8).collect())
            .map(|bits: Vec<u64>| bits.into_iter().step_by(self.payload).collect())
            .collect();
        // Frames of about one length go together, so that few are left alone.
        payloads.sort_by_key(Vec::len);
        for frames in payloads.chunks(self.together) {
            let most = frames.last().map_or(0, Vec::len);
            hits.extend((0..most).map(|position| {
                frames.iter().filter_map(|bits| bits.get(position).copied()).collect()
            }));
        }
        hits
    }
}

/// What came of it.
#[derive(Default)]
pub struct SegmentBits {
    /// Flips of bits that stand in a frame, and nowhere else.
    pub meaningful: Tally,
    /// Flips of bits of which there is another copy, or which can be computed.
    pub redundant: Tally,
    /// Flips of bits that nobody reads.
    pub idle: Tally,
    /// Flips in the last frame of a killed log, which cannot be told from a torn tail.
    pub tail: Tally,
    /// Meaningful or redundant ones that `verify` did not report with file and offset, and idle
    /// ones that it called damage; its cases are flips.
    pub reports: Tally,
    /// Bytes served that were not written, records lost beyond the frame that was hit, or numbers
    /// given out again that a frame claims which was cut; its cases are flips.
    pub served: Tally,
}

/// Flips those bits.
pub fn run(stop: Stop, choice: Choice, progress: &(dyn Fn(u64) + Sync)) -> SegmentBits {
    let subject = Subject::new(7, SHARDS as u32, stop);
    let hits = choice.hits(&subject.segments[0]);
    let shared: Vec<Bytes> =
        subject.segments.iter().map(|whole| whole.bytes.clone().into()).collect();
    let rounds: Vec<&[Vec<u64>]> = hits.chunks(SHARDS).collect();
    let out = SegmentBits::default();
    in_parallel(
        rounds.len() as u64,
        || out.reports.is_enough() || out.served.is_enough(),
        || subject.twin(),
        |base, round| {
            let world = base.with(base.fs.kill());
            let hits = rounds[round as usize];
            let fs = flipped(&world, &subject, &shared, hits);
            look(&subject, &world, &fs, hits, &out);
            progress(hits.iter().map(|bits| bits.len() as u64).sum());
        },
    );
    out
}

/// The disk of `world` with those bits wrong in each shard.
fn flipped(world: &World, subject: &Subject, shared: &[Bytes], hits: &[Vec<u64>]) -> Arc<dyn Fs> {
    if subject.stop == Stop::Killed {
        // A start writes to such a segment.
        for (whole, bits) in subject.segments.iter().zip(hits) {
            for bit in bits {
                let (path, offset, bit) = (whole.path.clone(), bit / 8, (bit % 8) as u8);
                world.fs.inject(Fault::FlipBit { path, offset, bit });
            }
        }
        return Arc::new(world.fs.clone());
    }
    let mut fs = FlippedFs::new(world.fs.clone());
    for ((whole, bytes), bits) in subject.segments.iter().zip(shared).zip(hits) {
        fs.flip(&whole.path, bytes.clone(), bits);
    }
    Arc::new(fs)
}

fn look(subject: &Subject, world: &World, fs: &Arc<dyn Fs>, hits: &[Vec<u64>], out: &SegmentBits) {
    let report = check_on(fs);
    let engine = world.open_on(fs.clone());
    let engine = engine.expect("a damaged segment keeps no server from starting");
    let stream = engine.stream(&name(STREAM)).expect("the catalog is whole");
    for ((whole, shard), bits) in subject.segments.iter().zip(&stream.shards()).zip(hits) {
        let what = || format!("{:?}, {}, bits {bits:?}", subject.stop, whole.path.display());
        let found = report.findings.iter().filter(|found| found.file == whole.path);
        let found: Vec<&Finding> = found.collect();
        let meanings = bits.iter().map(|bit| whole.layout.meaning(*bit as usize / 8));
        let mut frames = Vec::new();
        for meaning in meanings {
            let is_right = is_reported(subject, whole, meaning, &found, out);
            out.reports.case();
            out.reports.expect(is_right, || format!("{}: reported {found:?}", what()));
            out.served.case();
            if let Meaning::Frame(frame) = meaning {
                frames.push(frame);
            }
        }
        frames.sort_unstable();
        let served = give(shard)
            .map_err(|error| error.to_string())
            .and_then(|given| is_served(subject, whole, &frames, &given));
        out.served.expect(served.is_ok(), || format!("{}: {served:?}", what()));
        if let [bit] = bits[..]
            && let Some(&frame) = frames.first().filter(|frame| is_tail(subject, whole, **frame))
        {
            let numbered = is_numbered_above(whole, frame, bit, &engine, shard);
            out.served.expect(numbered.is_ok(), || format!("{}: {numbered:?}", what()));
        }
    }
}

/// Whether a put behind a last frame that was cut is given a number that nobody has seen: where
/// the frame's header is whole, none that it claims.
fn is_numbered_above(
    whole: &Whole,
    frame: usize,
    bit: u64,
    engine: &Engine,
    shard: &Arc<Shard>,
) -> Result<(), String> {
    let frame = &whole.layout.frames[frame];
    let is_claimed = frame.payload().contains(&(bit as usize / 8));
    let least = if is_claimed { frame.next } else { frame.base };
    let put = put_now(engine, shard, &[b"behind"]).map_err(|error| error.to_string())?;
    if put.first.0 < least {
        return Err(format!("{} is given out again, {least} is the least", put.first));
    }
    let read = read_all(shard, put.first.0);
    let is_read = read.len() == 1 && read[0] == (put.first.0, b"behind".to_vec());
    if is_read { Ok(()) } else { Err(format!("read back is {read:?}")) }
}

/// Whether a frame is the last of a log that was killed, and nothing says that it was durable.
fn is_tail(subject: &Subject, whole: &Whole, frame: usize) -> bool {
    subject.stop == Stop::Killed
        && frame + 1 == whole.layout.frames.len()
        && whole.layout.frames[frame].base >= subject.recorded
}

/// Whether `verify` says of a flipped bit with this meaning what it should.
fn is_reported(
    subject: &Subject,
    whole: &Whole,
    meaning: Meaning,
    found: &[&Finding],
    out: &SegmentBits,
) -> bool {
    let is_damage = found.iter().any(|found| found.kind == FindingKind::Damage);
    match meaning {
        Meaning::Frame(frame) if is_tail(subject, whole, frame) => {
            out.tail.case();
            let start = whole.layout.frames[frame].bytes.start as u64;
            found
                .iter()
                .any(|found| found.kind != FindingKind::Damage && found.offset == Some(start))
        }
        Meaning::Frame(frame) => {
            out.meaningful.case();
            let frame = &whole.layout.frames[frame];
            found.iter().any(|found| {
                found.kind == FindingKind::Damage
                    && found.offset == Some(frame.bytes.start as u64)
                    && found.first_lost.is_some_and(|first| first.0 == frame.base)
                    && found.next_readable.is_some_and(|next| next.0 == frame.next)
            })
        }
        Meaning::Redundant(at) => {
            out.redundant.case();
            !is_damage && found.iter().any(|found| found.offset == Some(at as u64))
        }
        Meaning::Idle => {
            out.idle.case();
            !is_damage
        }
    }
}

/// Whether all was served but the frames that were hit, and each of these was told as it is.
fn is_served(subject: &Subject, whole: &Whole, hit: &[usize], given: &Given) -> Result<(), String> {
    let frames = &whole.layout.frames;
    let mut told = given.damage.iter();
    let (mut begin, mut end, mut next_frame) = (0, 0, 0);
    let mut part = 0;
    for &position in hit {
        end +=
            frames[next_frame..position].iter().map(|frame| frame.payload().len()).sum::<usize>();
        if is_tail(subject, whole, position) {
            // Readers find the end of the log there.
            let is_cut = told.next().is_none() && given.is_part(part, &whole.payloads[begin..end]);
            return if is_cut { Ok(()) } else { Err(format!("no tail: {:?}", given.damage)) };
        }
        let frame = &frames[position];
        let is_told = told.next().is_some_and(|damage| {
            damage.file == whole.path
                && damage.offset == frame.bytes.start as u64
                && damage.first_lost.0 == frame.base
                && damage.next_readable.0 == frame.next
        });
        if !is_told {
            return Err(format!("told is {:?}, hit was {frame:?}", given.damage));
        }
        if !given.is_part(part, &whole.payloads[begin..end]) {
            return Err("wrong bytes, or more lost than the frame".to_owned());
        }
        end += frame.payload().len();
        (begin, next_frame, part) = (end, position + 1, part + 1);
    }
    if told.next().is_some() {
        return Err(format!("hit were frames {hit:?}, told are {:?}", given.damage));
    }
    match given.is_part(part, &whole.payloads[begin..]) {
        true => Ok(()),
        false => Err("wrong bytes, or more lost than the frames that were hit".to_owned()),
    }
}
