//! Segments: whatever stands in one, a directory opens, says what is lost, and goes on.
//!
//! Three targets change a true segment. [`directory`] writes raw bytes, cuts and grows: no
//! checksum is right afterwards, so nothing may be served that was not written. [`frame`] writes
//! frames and [`index`] writes footers whose checksums are right and whose values may be
//! anything. No damage does that, only a forger, who could as well write other records. So no
//! more is asked than that everything goes on: starts, reads, puts and repairs, without an
//! end of the process, and that no number is put twice.

use std::sync::{Arc, OnceLock};

use anabranch_engine::Error;
use anabranch_engine::clock::ManualClock;
use anabranch_engine::record::EncodedRecord;

use super::Input;
use crate::damage::layout::{FrameAt, Layout, footer_bytes};
use crate::damage::subject::{Given, STREAM, Stop, Subject, Whole, check, give, mend};
use crate::support::{START_MS, Seeded, World, name, put_now};

/// Changes that one input may ask for.
const CHANGES_MAX: usize = 12;

/// Bytes of frames in the segment.
const FILLED_BYTES: usize = 6_000;

const FRAME_HEADER_BYTES: usize = 80;

/// A directory that came to rest in some way, and a disk to make copies of it from.
struct Base {
    whole: Whole,
    twin: World,
}

fn base(stop: u64) -> &'static Base {
    static BASES: [OnceLock<Base>; 3] = [const { OnceLock::new() }; 3];
    let position = stop as usize % BASES.len();
    let stop = [Stop::Clean, Stop::Sealed, Stop::Killed][position];
    BASES[position].get_or_init(|| {
        let mut subject = Subject::filled(1, 1, stop, FILLED_BYTES);
        let twin = subject.twin();
        Base { whole: subject.segments.remove(0), twin }
    })
}

impl Base {
    /// A copy with those bytes in place of its segment, the same in every run.
    fn with(&self, bytes: &[u8]) -> World {
        let world = self.twin.with(self.twin.fs.kill());
        world.fs.write_file(&self.whole.path, bytes);
        let clock = Arc::new(ManualClock::new(START_MS + 5_000_000));
        World { clock, entropy: Arc::new(Seeded::new(1)), ..world }
    }
}

/// Any bytes at any place, cuts and growth.
pub fn directory(data: &[u8]) {
    let mut input = Input::new(data);
    let base = base(input.number(1));
    let whole = &base.whole;
    let mut bytes = whole.bytes.clone();
    for _ in 0..CHANGES_MAX {
        if input.is_empty() {
            break;
        }
        let (work, at) = (input.number(1), input.place(bytes.len() + 1));
        match work % 8 {
            0..3 => {
                let len = input.number(1) as usize % 64;
                write(&mut bytes, at, input.bytes(len));
            }
            3 => {
                // Near what is written; the rest of the file is mostly zeros.
                let at = at % whole.layout.end();
                let len = input.number(1) as usize % 64;
                write(&mut bytes, at, input.bytes(len));
            }
            4 => {
                // Moved bytes may have right checksums, but not in that place.
                let (from, len) = (input.place(bytes.len()), input.number(2) as usize);
                let moved = bytes[from..(from + len).min(bytes.len())].to_vec();
                write(&mut bytes, at / 8 * 8, &moved);
            }
            5 => {
                let len = input.number(2) as usize;
                let end = (at + len).min(bytes.len());
                bytes[at..end].fill(0);
            }
            6 => bytes.truncate(at),
            _ => bytes.extend(vec![0; at % 10_000]),
        }
    }
    let payloads: Vec<&[u8]> =
        whole.layout.frames.iter().map(|frame| &whole.bytes[frame.payload()]).collect();
    live(
        &base.with(&bytes),
        Some(&|given| {
            for part in &given.parts {
                // Whole frames, in their order.
                let mut next = 0;
                for range in part {
                    let found = payloads[next..].iter().position(|payload| payload == range);
                    let found = found.expect("nothing is served that was not written");
                    next += found + 1;
                }
            }
        }),
    );
}

/// Frames with right checksums and any values.
pub fn frame(data: &[u8]) {
    let mut input = Input::new(data);
    let base = base(input.number(1));
    let whole = &base.whole;
    let mut bytes = whole.bytes.clone();
    for _ in 0..CHANGES_MAX {
        if input.is_empty() {
            break;
        }
        let frames = &whole.layout.frames;
        let model = &frames[input.number(1) as usize % frames.len()];
        let at = match input.number(1) as usize % (frames.len() + 1) {
            0 => input.place(whole.layout.footer.start) / 8 * 8,
            behind => frames[behind - 1].bytes.end.next_multiple_of(8),
        };
        write(&mut bytes, at, &bent(&whole.bytes, model, &mut input));
    }
    // The numbers in a payload may be anything, too.
    live(&base.with(&bytes), None);
}

/// A copy of a frame with a few values changed and the checksums filled in.
fn bent(bytes: &[u8], model: &FrameAt, input: &mut Input<'_>) -> Vec<u8> {
    let mut frame = bytes[model.bytes.clone()].to_vec();
    for _ in 0..input.number(1) % 6 {
        let (at, width) = (input.number(2) as usize % frame.len(), input.number(1) as usize % 9);
        write(&mut frame, at, input.bytes(width));
    }
    let payload_bytes = u32_at(&frame, 36) as usize;
    let is_short = payload_bytes < frame.len() - FRAME_HEADER_BYTES;
    if is_short {
        frame.truncate(FRAME_HEADER_BYTES + payload_bytes);
    }
    let incarnation = frame[8..16].to_vec();
    let payload_crc = crc(&[&incarnation, &frame[FRAME_HEADER_BYTES..]]);
    frame[52..56].copy_from_slice(&payload_crc);
    let header_crc = crc(&[&incarnation, &frame[..4], &frame[8..FRAME_HEADER_BYTES]]);
    frame[4..8].copy_from_slice(&header_crc);
    frame
}

/// A footer with a right checksum and any values.
pub fn index(data: &[u8]) {
    let mut input = Input::new(data);
    let base = base(input.number(1));
    let whole = &base.whole;
    let mut bytes = whole.bytes.clone();
    let start = bytes.len() - footer_bytes(bytes.len());
    let trailer = bytes.len() - 64 - start;
    let incarnation = bytes[40..48].to_vec();
    let layout = Layout::of(&bytes);
    let footer = &mut bytes[start..];
    if !layout.is_sealed {
        let next = layout.frames.last().map_or(1, |frame| frame.next);
        write(footer, trailer, b"ANABRIDX");
        write(footer, trailer + 16, &incarnation);
        write(footer, trailer + 24, &(layout.end() as u64).to_le_bytes());
        write(footer, trailer + 32, &next.to_le_bytes());
    }
    for _ in 0..CHANGES_MAX {
        if input.is_empty() {
            break;
        }
        // Fields of the trailer, or of the first entries.
        let at = input.number(1) as usize;
        let at = if at < 128 { trailer + at % 64 } else { at - 128 };
        let width = input.number(1) as usize % 9;
        write(footer, at, input.bytes(width));
    }
    let sum = crc(&[&incarnation, &footer[..trailer + 8], &footer[trailer + 12..]]);
    footer[trailer + 8..trailer + 12].copy_from_slice(&sum);
    live(&base.with(&bytes), None);
}

/// Writes as far as there is room.
fn write(to: &mut [u8], at: usize, bytes: &[u8]) {
    let at = at.min(to.len());
    let len = bytes.len().min(to.len() - at);
    to[at..at + len].copy_from_slice(&bytes[..len]);
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn crc(parts: &[&[u8]]) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().to_le_bytes()
}

/// What is to be said of what a first start serves.
type Judge<'a> = &'a dyn Fn(&Given);

/// Lives with a directory: verify, two starts with puts, a repair and a last start. With a judge
/// the numbers of records have to rise and to stay, and what is put is read.
fn live(world: &World, judge: Option<Judge<'_>>) {
    check(&world.fs);
    let mut before = Vec::new();
    let mut disk = world.fs.kill();
    for life in 0..3 {
        let world = world.with(disk);
        if life == 2 {
            // What is wrong but was written so is told, and left as it is.
            mend(&world);
            check(&world.fs);
        }
        let engine = match world.open() {
            Ok(engine) => engine,
            Err(Error::NewerFormat { .. }) => return,
            Err(error) => panic!("a damaged segment keeps no server from starting: {error}"),
        };
        let stream = engine.stream(&name(STREAM)).expect("the catalog is whole");
        let shard = &stream.shards()[0];
        let given = give(shard).expect("a reader is told of damage and of nothing else");
        if let Some(judge) = judge {
            if life == 0 {
                judge(&given);
            }
            let numbers = numbers(&given);
            assert!(numbers.is_sorted_by(|one, next| one < next), "numbers rise: {numbers:?}");
            let is_kept = before.iter().all(|number| numbers.binary_search(number).is_ok());
            assert!(is_kept, "life {life}: {before:?} became {numbers:?}");
            before = numbers;
        }
        // Where the numbers were driven to their end a log takes no more.
        if let Ok(appended) = put_now(&engine, shard, &[b"after"]) {
            let number = appended.first.0;
            assert!(before.iter().all(|&known| known < number), "{number} again: {before:?}");
            let given = give(shard).expect("a reader is told of damage and of nothing else");
            let is_read = numbers(&given).last() == Some(&number);
            assert!(is_read || judge.is_none(), "what was put is read: {number}");
            before.push(number);
        }
        engine.shut_down().expect("nothing fails");
        drop((stream, engine));
        disk = world.fs.kill();
    }
}

/// The numbers of all records that were served.
fn numbers(given: &Given) -> Vec<u64> {
    let mut numbers = Vec::new();
    for range in given.parts.iter().flatten() {
        let mut rest = &range[..];
        while let Some(record) = EncodedRecord::decode(rest) {
            numbers.push(record.sequence.0);
            rest = &rest[record.entry_bytes..];
        }
    }
    numbers
}

/// A change of each kind to each kind of segment.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for stop in 0..3u8 {
        seeds.push(vec![stop]);
        for work in 0..8u8 {
            for at in [60u32, 8_192 + 40, 261_900] {
                let place = at.to_le_bytes();
                let change = [stop, work, place[0], place[1], place[2], 9, 1, 0, 200, 7, 7, 7];
                seeds.push(change.to_vec());
            }
        }
    }
    seeds
}

/// Frames bent in each field.
pub fn frame_seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for stop in 0..3u8 {
        for field in [8u8, 16, 24, 28, 30, 32, 36, 40, 48, 56, 64, 72, 80, 90] {
            let change = [1, field, 0, 4, 3, 0, 0, 0];
            seeds.push([&[stop, 1, field / 8][..], &change].concat());
        }
    }
    seeds
}

/// Footers bent in each field.
pub fn index_seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for stop in 0..3u8 {
        seeds.push(vec![stop]);
        for field in [0u8, 12, 16, 24, 32, 40, 48, 128, 136, 144] {
            seeds.push(vec![stop, field, 8, 255, 255, 255, 255, 255, 255, 255, 255]);
        }
    }
    seeds
}
