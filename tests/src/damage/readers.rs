//! Readers beside a retention that takes their segments away: what a reader holds stays as it
//! was, and reading goes on. On real files, mapped.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anabranch_engine::clock::ManualClock;
use anabranch_engine::fs::{ReadMode, RealFs};
use anabranch_engine::sequence::SequenceNumber;
use anabranch_engine::{
    Cursor, Engine, EngineOptions, Environment, ReadLimit, SegmentBytes, Shard, StreamSettings,
};
use bytes::Bytes;

use super::Tally;
use crate::support::{Random, START_MS, Seeded, name, put_now, records};

/// Bytes put in each round.
const ROUND_BYTES: u64 = 6 << 20;

/// Bytes of a segment: a round fills one, so that there is a file to use again.
const SEGMENT_BYTES: u64 = 4 << 20;

/// Bytes of a record, at most: little of a full segment is left, so that its file is kept.
const RECORD_BYTES_MAX: u64 = 512 << 10;

/// What came of it.
#[derive(Default)]
pub struct Readers {
    /// Rounds: whether reading went on.
    pub rounds: Tally,
    /// Slices of maps that were held while their file went.
    pub held: Tally,
    /// Segments that retention took.
    pub taken: u64,
    /// Files of them that were kept, to be used again.
    pub kept: u64,
}

/// What a reader was given, and a copy of it.
struct Held {
    slice: Bytes,
    copy: Vec<u8>,
}

/// Puts, reads and lets everything expire, over and over, in the empty directory `dir`.
pub fn run(dir: &Path, seed: u64, rounds: u64, progress: &dyn Fn(u64)) -> Readers {
    let clock = Arc::new(ManualClock::new(START_MS));
    let environment = Environment {
        fs: Arc::new(RealFs::new(ReadMode::Mmap)),
        clock: clock.clone(),
        entropy: Arc::new(Seeded::new(seed)),
    };
    let segment_bytes = SegmentBytes { first: SEGMENT_BYTES, max: SEGMENT_BYTES };
    let options = EngineOptions { segment_bytes, ..EngineOptions::new(dir.join("data")) };
    let engine = Engine::open(options, environment);
    let engine = engine.expect("an empty directory opens");
    let stream =
        engine.create_stream(&name("s"), 1, StreamSettings::default()).expect("there is room");
    let shard = &stream.shards()[0];
    let mut random = Random(seed);
    let mut out = Readers::default();
    let mut held: Vec<Held> = Vec::new();
    let mut readers: Vec<Cursor> = Vec::new();
    for round in 0..rounds {
        fill(&engine, shard, &mut random);
        let horizon = shard.watermarks().trim_horizon;
        readers.push(shard.cursor(horizon));
        for cursor in &mut readers {
            read(cursor, &mut held, &out.rounds, round);
        }
        let segments = files(dir);
        // A day and more: all that is sealed goes.
        for _ in 0..3 {
            clock.advance(Duration::from_secs(13 * 3600));
            engine.housekeeping_step();
        }
        out.taken += segments.saturating_sub(files(dir));
        out.kept += engine.stats().spare_segments;
        // Files that were taken are used again while others are held.
        fill(&engine, shard, &mut random);
        for held in &held {
            out.held.case();
            out.held.expect(held.slice == held.copy, || format!("round {round}: it has changed"));
        }
        for cursor in &mut readers {
            read(cursor, &mut Vec::new(), &out.rounds, round);
        }
        // Some are held over several rounds, some readers stay far behind.
        held.retain(|_| random.below(3) > 0);
        readers.retain(|_| random.below(3) > 0);
        out.rounds.case();
        progress(1);
        if out.held.is_enough() || out.rounds.is_enough() {
            break;
        }
    }
    let shut = engine.shut_down();
    out.rounds.expect(shut.is_ok(), || format!("{shut:?}"));
    out
}

fn fill(engine: &Engine, shard: &Arc<Shard>, random: &mut Random) {
    let mut left = ROUND_BYTES;
    while left > 0 {
        let byte = random.next() as u8;
        let len = 1 + random.below(RECORD_BYTES_MAX);
        put_now(engine, shard, &[&vec![byte; len as usize]]).expect("there is room");
        left = left.saturating_sub(len);
    }
}

/// Reads a page, which must be well-formed, and keeps it.
fn read(cursor: &mut Cursor, held: &mut Vec<Held>, tally: &Tally, round: u64) {
    let before: SequenceNumber = cursor.position();
    match cursor.read(ReadLimit { records: 3, bytes: 2 << 20 }) {
        Ok(page) => {
            let is_right = records(&page).iter().all(|read| {
                let first = read.data.first();
                read.sequence >= before.0 && read.data.iter().all(|byte| Some(byte) == first)
            });
            tally.expect(is_right, || format!("round {round}: wrong bytes at {before}"));
            held.extend(page.ranges.into_iter().map(|slice| Held { copy: slice.to_vec(), slice }));
        }
        Err(error) => tally.expect(false, || format!("round {round}: {error}")),
    }
}

/// Segments of the shard.
fn files(dir: &Path) -> u64 {
    std::fs::read_dir(dir.join("data/shards/1/0")).map_or(0, |entries| entries.count() as u64)
}
