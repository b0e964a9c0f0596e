//! What the tests of the engine share: a world made of seams, and short ways to put and read.

use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use anabranch_engine::clock::ManualClock;
use anabranch_engine::entropy::Entropy;
use anabranch_engine::fs::{Fs, SimFs};
use anabranch_engine::ids::StreamName;
use anabranch_engine::record::{EncodedRecord, PartitionKey, RecordView};
use anabranch_engine::sequence::SequenceNumber;
use anabranch_engine::{
    AppendTicket, Appended, Damage, Durability, Engine, EngineOptions, Environment, Error, Page,
    ReadLimit, Result, SegmentBytes, Shard,
};
use parking_lot::Mutex;

/// The wall clock at the start of every simulated world.
pub const START_MS: u64 = 1_700_000_000_000;

/// A page as large as any.
pub const WHOLE: ReadLimit = ReadLimit { records: 10_000, bytes: 16 << 20 };

/// splitmix64: the one source of chance of a test.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next number.
    #[expect(clippy::should_implement_trait, reason = "it never ends, and no one iterates it")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// The engine's randomness, from a seed.
pub struct Seeded(Mutex<Random>);

impl Seeded {
    /// Randomness that repeats with its seed.
    pub fn new(seed: u64) -> Seeded {
        Seeded(Mutex::new(Random(seed)))
    }
}

impl Entropy for Seeded {
    fn fill(&self, out: &mut [u8]) {
        let mut random = self.0.lock();
        for chunk in out.chunks_mut(8) {
            chunk.copy_from_slice(&random.next().to_le_bytes()[..chunk.len()]);
        }
    }
}

/// A simulated machine.
pub struct World {
    /// The disk.
    pub fs: SimFs,
    /// Both clocks.
    pub clock: Arc<ManualClock>,
    /// Secrets and incarnations.
    pub entropy: Arc<Seeded>,
    /// The mode of the next run.
    pub durability: Durability,
    /// Small ones make rolls cheap.
    pub segment_bytes: SegmentBytes,
}

impl World {
    /// A machine with an empty disk.
    pub fn new(seed: u64) -> World {
        World {
            fs: SimFs::new(seed),
            clock: Arc::new(ManualClock::new(START_MS)),
            entropy: Arc::new(Seeded::new(seed)),
            durability: Durability::Fsync,
            segment_bytes: SegmentBytes::default(),
        }
    }

    /// Opens the engine on its disk, without threads.
    pub fn open(&self) -> Result<Engine> {
        self.open_on(Arc::new(self.fs.clone()))
    }

    /// The same with another view of its disk.
    pub fn open_on(&self, fs: Arc<dyn Fs>) -> Result<Engine> {
        let options = EngineOptions {
            durability: self.durability,
            // One thread, so that a seed decides everything.
            recovery_threads: 1,
            open_segments_max: 4,
            segment_bytes: self.segment_bytes,
            ..EngineOptions::new("/data")
        };
        let environment =
            Environment { fs, clock: self.clock.clone(), entropy: self.entropy.clone() };
        Engine::open(options, environment)
    }

    /// The same machine with another disk.
    #[must_use]
    pub fn with(&self, fs: SimFs) -> World {
        World {
            fs,
            clock: self.clock.clone(),
            entropy: self.entropy.clone(),
            durability: self.durability,
            segment_bytes: self.segment_bytes,
        }
    }

    /// The segment files with their lengths, in order.
    pub fn segments(&self) -> Vec<(PathBuf, u64)> {
        let all = self.fs.files().into_iter();
        all.filter(|(path, _)| path.starts_with("/data/shards")).collect()
    }
}

/// A name that is known to be one.
pub fn name(text: &str) -> StreamName {
    text.parse().unwrap()
}

/// Puts records of one key, without committing them.
pub fn put(shard: &Arc<Shard>, data: &[&[u8]]) -> Result<AppendTicket> {
    let key = PartitionKey::from_bytes(b"key").unwrap();
    shard.append(data.iter().map(|data| RecordView::new(key, None, data).unwrap()))
}

/// Puts and commits, in a world without threads.
pub fn put_now(engine: &Engine, shard: &Arc<Shard>, data: &[&[u8]]) -> Result<Appended> {
    let ticket = put(shard, data)?;
    while engine.commit_step() {}
    ticket.wait()
}

/// What has become of a ticket, without waiting for it.
pub fn poll(ticket: &mut AppendTicket) -> Option<Result<Appended>> {
    let mut context = Context::from_waker(Waker::noop());
    match std::pin::Pin::new(ticket).poll(&mut context) {
        Poll::Ready(outcome) => Some(outcome),
        Poll::Pending => None,
    }
}

/// A record as it was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Read {
    /// The sequence number.
    pub sequence: u64,
    /// The stamp.
    pub arrival_ms: u64,
    /// The partition key.
    pub key: Vec<u8>,
    /// The payload.
    pub data: Vec<u8>,
}

/// Calls `each` with every record of a page.
pub fn for_each(page: &Page, mut each: impl FnMut(EncodedRecord<'_>)) {
    let (mut records, mut bytes) = (0, 0);
    for range in &page.ranges {
        let mut rest = &range[..];
        bytes += rest.len();
        while !rest.is_empty() {
            let record = EncodedRecord::decode(rest).expect("a range is cut at record borders");
            rest = &rest[record.entry_bytes..];
            records += 1;
            each(record);
        }
    }
    assert_eq!((records, bytes), (page.records, page.bytes), "a page counts itself rightly");
}

/// The records of a page.
pub fn records(page: &Page) -> Vec<Read> {
    let mut records = Vec::new();
    for_each(page, |record| {
        records.push(Read {
            sequence: record.sequence.0,
            arrival_ms: record.arrival_ms,
            key: record.key.to_vec(),
            data: record.data.to_vec(),
        });
    });
    records
}

/// All that can be read from `from` on, and the damage met on the way.
pub fn read_over_damage(shard: &Arc<Shard>, from: u64) -> (Vec<Read>, Vec<Damage>) {
    let mut cursor = shard.cursor(SequenceNumber(from));
    let (mut read, mut damage) = (Vec::new(), Vec::new());
    loop {
        match cursor.read(WHOLE) {
            Ok(page) if page.records == 0 => return (read, damage),
            Ok(page) => read.extend(records(&page)),
            Err(Error::Damage(found)) => {
                assert!(found.first_lost >= cursor.position(), "{found}");
                assert!(found.next_readable > cursor.position(), "no way forward: {found}");
                cursor.seek(found.next_readable);
                damage.push(found);
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// All that can be read from `from` on: number and data. Damage is a failure.
pub fn read_all(shard: &Arc<Shard>, from: u64) -> Vec<(u64, Vec<u8>)> {
    let (read, damage) = read_over_damage(shard, from);
    assert_eq!(damage, []);
    read.into_iter().map(|read| (read.sequence, read.data)).collect()
}
