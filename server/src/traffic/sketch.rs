//! Which hash keys a shard's load comes from, by a bounded sample of its records.
//!
//! Of the records that are put one in so many is remembered, with its hash key, its bytes, and
//! how many records it stands for. How many that is follows the traffic, so that the sample
//! covers about the last twenty seconds of it at any rate. The gaps between sampled records are
//! drawn at random: a producer that goes round its keys would otherwise meet the sketch at the
//! same few keys again and again. Where many shards are busy, each remembers fewer: see [`memory`].
//!
//! [`KeyLoad`] is what a sketch says: pure, and the judge of where to split.

pub mod memory;

use std::sync::Arc;
use std::time::Duration;

use anabranch_engine::hash_key::{HashKey, HashKeyRange};
use anabranch_engine::record::RecordView;

use self::memory::{SAMPLES_LEAST, SampleMemory};

/// Records remembered at most: a share is then known to about 3 percentage points (two deviations).
pub const SAMPLES_MAX: usize = 1024;

/// Seconds of traffic that the samples cover, when there are all of them. Fewer would follow it
/// faster, but the samples of a shard at its limit of records would cost over 10 ns a record.
const COVERED_SECONDS: u32 = 20;

/// Samples older than this say nothing of the load now: those of a shard that is seldom put to.
const SAMPLE_SECONDS_MAX: u64 = 60;

/// Fewer samples say nothing. Not more, because a record may be 10 MiB.
const SAMPLES_MIN: usize = 8;

/// The lighter side of a split takes at least this share, or the shard is not worth splitting:
/// one hash key has nearly all of its load, and no split moves that.
const LIGHT_SIDE_MIN: f64 = 0.1;

/// A record that was put, and those that it stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Sample {
    key: HashKey,
    bytes: u32,
    stands_for: u32,
    second: u64,
}

/// The sample of a shard's records.
#[derive(Debug)]
pub struct Sketch {
    memory: Arc<SampleMemory>,
    /// A ring once it is full.
    samples: Vec<Sample>,
    /// Samples that there is room for, taken from the memory but for the first ones.
    room: usize,
    /// Samples that it may have.
    share: usize,
    next: usize,
    /// Records to let pass before the next sample.
    skip: u32,
    /// Records that a sample stands for now.
    gap: u32,
    /// The second that runs, and the records of it.
    second: u64,
    records: u32,
    random: u64,
}

impl Sketch {
    /// Of a shard without traffic. The seed decides which records are sampled.
    pub fn new(seed: u64, memory: Arc<SampleMemory>) -> Sketch {
        Sketch {
            share: memory.share(),
            memory,
            samples: Vec::new(),
            room: 0,
            next: 0,
            skip: 0,
            gap: 1,
            second: 0,
            records: 0,
            // Any number but 0 starts the generator.
            random: seed | 1,
        }
    }

    /// Looks at the records of a put, of which there are `count`.
    pub fn sample<'a>(
        &mut self,
        count: u32,
        records: impl IntoIterator<Item = RecordView<'a>>,
        now: Duration,
    ) {
        self.sample_with(count, records, now, |record| (record.hash_key(), record.bytes() as u32));
    }

    /// The same for anything that can tell its hash key and bytes, asked for samples alone.
    pub(super) fn sample_with<T>(
        &mut self,
        count: u32,
        records: impl IntoIterator<Item = T>,
        now: Duration,
        describe: impl Fn(T) -> (HashKey, u32),
    ) {
        self.pass_time(now.as_secs());
        self.count(count);
        if self.skip >= count {
            self.skip -= count;
            return;
        }
        let mut records = records.into_iter();
        let mut left = count;
        while self.skip < left {
            let Some(record) = records.nth(self.skip as usize) else { break };
            left -= self.skip + 1;
            let (key, bytes) = describe(record);
            self.remember(Sample { key, bytes, stands_for: self.gap, second: self.second });
            self.skip = self.draw_skip();
        }
        self.skip = self.skip.saturating_sub(left);
    }

    /// What the samples of the last minute say about the load within `range`.
    pub fn key_load(&self, range: HashKeyRange, by_bytes: bool, now: Duration) -> KeyLoad {
        let oldest = now.as_secs().saturating_sub(SAMPLE_SECONDS_MAX);
        let recent = self.samples.iter().filter(|sample| sample.second >= oldest);
        let weights = recent.map(|sample| {
            let weight = if by_bytes { u64::from(sample.bytes) } else { 1 };
            (sample.key, weight * u64::from(sample.stands_for))
        });
        KeyLoad::new(range, weights)
    }

    /// Gives its memory back, where it has nothing to say any more, and what is above its share.
    /// Whether it has samples then.
    pub fn shrink(&mut self, now: Duration) -> bool {
        let is_idle = now.as_secs().saturating_sub(self.second) > SAMPLE_SECONDS_MAX;
        self.cut(if is_idle { 0 } else { self.memory.share() });
        !self.samples.is_empty()
    }

    fn pass_time(&mut self, second: u64) {
        if second <= self.second {
            return;
        }
        self.share = self.memory.share();
        self.cut(self.share);
        self.gap = (self.records / self.samples_per_second()).max(1);
        // After a rush the next sample is not as far away as one of the rush would be.
        self.skip = self.skip.min(2 * (self.gap - 1));
        (self.second, self.records) = (second, 0);
    }

    /// Samples a second that make up the sample in the time that it is to cover.
    fn samples_per_second(&self) -> u32 {
        self.share as u32 / COVERED_SECONDS
    }

    /// A second that brings far more than the one before is not sampled as densely: it would
    /// push everything else out, and cost too much.
    fn count(&mut self, records: u32) {
        self.records = self.records.saturating_add(records);
        while self.records / self.samples_per_second() >= 2 * self.gap {
            self.gap *= 2;
        }
    }

    fn remember(&mut self, sample: Sample) {
        if self.samples.len() == self.room && self.room < self.share {
            self.grow();
        }
        if self.samples.len() < self.room {
            self.samples.push(sample);
        } else {
            self.samples[self.next] = sample;
            self.next = (self.next + 1) % self.room;
        }
    }

    fn grow(&mut self) {
        if self.room > 0 && !self.memory.take() {
            return;
        }
        self.oldest_first();
        self.samples.reserve_exact(SAMPLES_LEAST);
        self.room += SAMPLES_LEAST;
    }

    /// Lets go all but the newest `room` samples, and what they took.
    fn cut(&mut self, room: usize) {
        if self.room <= room {
            return;
        }
        self.oldest_first();
        let surplus = self.samples.len().saturating_sub(room);
        self.samples.drain(..surplus);
        self.samples.shrink_to(room);
        self.memory.give_back(self.room - room.max(SAMPLES_LEAST));
        self.room = room;
    }

    fn oldest_first(&mut self) {
        self.samples.rotate_left(self.next);
        self.next = 0;
    }

    /// Between none and twice the gap, evenly; with the sampled record itself, the gap on average.
    fn draw_skip(&mut self) -> u32 {
        // xorshift64: a few instructions, and random enough to break any step with the producer.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let choices = u64::from(2 * (self.gap - 1)) + 1;
        (((self.random >> 32) * choices) >> 32) as u32
    }
}

impl Drop for Sketch {
    fn drop(&mut self) {
        self.cut(0);
    }
}

/// How the load within a range of hash keys is spread.
#[derive(Clone, Debug)]
pub struct KeyLoad {
    range: HashKeyRange,
    /// Distinct hash keys, rising, and the weight of each.
    keys: Vec<(HashKey, u64)>,
    total: u64,
    samples: usize,
}

/// Where a split gives each child about half of the load.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Halving {
    /// The first hash key of the upper child, legal for SplitShard.
    pub at: HashKey,
    /// The lower child's share of the load, 0 to 1.
    pub below: f64,
}

/// The hash key with the most load.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Hottest {
    /// It.
    pub key: HashKey,
    /// Its share of the load, 0 to 1.
    pub share: f64,
}

impl KeyLoad {
    /// Of weighted hash keys in any order; those outside the range are left out.
    pub fn new(range: HashKeyRange, weights: impl IntoIterator<Item = (HashKey, u64)>) -> KeyLoad {
        let within = weights.into_iter().filter(|(key, _)| range.contains(*key));
        let mut keys: Vec<_> = within.collect();
        let samples = keys.len();
        keys.sort_unstable_by_key(|(key, _)| *key);
        keys.dedup_by(|next, first| {
            let is_same = next.0 == first.0;
            if is_same {
                first.1 += next.1;
            }
            is_same
        });
        let total = keys.iter().map(|(_, weight)| weight).sum();
        KeyLoad { range, keys, total, samples }
    }

    /// The hash key that halves the load best. None where too little is known, or where one hash
    /// key has so much of the load that a split leaves it nearly all on one side.
    pub fn halving(&self) -> Option<Halving> {
        if self.samples < SAMPLES_MIN || self.total == 0 {
            return None;
        }
        let legal = legal_splits(self.range)?;
        let mut below = 0;
        let mut best: Option<(u64, HashKey, u64)> = None;
        for pair in self.keys.windows(2) {
            below += pair[0].1;
            // Any border between two sampled keys parts them alike. Halfway, what was not
            // sampled is parted evenly too.
            let (low, high) = (pair[0].0.0, pair[1].0.0);
            let at = low + (high - low).div_ceil(2);
            let at = at.clamp(legal.start.0, legal.end.0);
            if !(low < at && at <= high) {
                continue;
            }
            let heavier = below.max(self.total - below);
            if best.is_none_or(|(least, _, _)| heavier < least) {
                best = Some((heavier, HashKey(at), below));
            }
        }
        let (heavier, at, below) = best?;
        let lighter = (self.total - heavier) as f64 / self.total as f64;
        let below = below as f64 / self.total as f64;
        (lighter >= LIGHT_SIDE_MIN).then_some(Halving { at, below })
    }

    /// The hash key with the most load; none where nothing is known.
    pub fn hottest(&self) -> Option<Hottest> {
        let (key, weight) = self.keys.iter().max_by_key(|(_, weight)| *weight)?;
        let share = *weight as f64 / self.total.max(1) as f64;
        Some(Hottest { key: *key, share })
    }
}

/// The hash keys at which SplitShard splits the range: above its start by more than one, and
/// below its end (the service's rule). None where the range is too narrow.
pub fn legal_splits(range: HashKeyRange) -> Option<HashKeyRange> {
    let start = range.start.0.checked_add(2)?;
    let end = range.end.0.checked_sub(1)?;
    (start <= end).then_some(HashKeyRange { start: HashKey(start), end: HashKey(end) })
}

/// The hash key in the middle of the range; none where it is too narrow to be split.
pub fn middle(range: HashKeyRange) -> Option<HashKey> {
    let legal = legal_splits(range)?;
    let middle = range.start.0 + (range.end.0 - range.start.0).div_ceil(2);
    Some(HashKey(middle.clamp(legal.start.0, legal.end.0)))
}

#[cfg(test)]
mod tests;
