//! What must hold of a shard, in memory and without a disk.
//!
//! | state | put was | after a kill | after a power cut | after being seen missing |
//! |---|---|---|---|---|
//! | `Staged` | not answered, or failed | there or not | there or not | forgotten |
//! | `Kept` | acknowledged, or found by a restart | there | there; `os`: a prefix of the unsynced | `Lost` |
//! | `Refused` | told that nothing was kept | not there | not there | - |
//! | `Lost` | `os` only: gone in a power cut | never there again | the same | - |
//!
//! A batch is there as a whole or not at all. A number that was `Kept` once, be it lost by now,
//! is never given to another record. Arrival times are the clock's and never fall.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use anabranch_engine::catalog::ShardClosed;
use anabranch_engine::record::EncodedRecord;

use crate::support::Random;

/// Where the data of all records is cut from.
pub(crate) fn pool() -> &'static [u8] {
    static POOL: OnceLock<Vec<u8>> = OnceLock::new();
    POOL.get_or_init(|| {
        let mut random = Random(42);
        (0..(1 << 20) / 8).flat_map(|_| random.next().to_le_bytes()).collect()
    })
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    Staged,
    Refused,
    Kept,
    Lost,
}

/// A record that was put.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    /// Unique in a run; it is the record's partition key.
    pub(crate) id: u64,
    /// The batch it was put with.
    pub(crate) batch: u64,
    pub(crate) at: u32,
    pub(crate) len: u32,
    pub(crate) arrival_ms: u64,
    pub(crate) state: State,
    /// A power cut may not take it.
    pub(crate) durable: bool,
}

impl Entry {
    pub(crate) fn key(&self) -> String {
        format!("k{}", self.id)
    }

    pub(crate) fn data(&self) -> &'static [u8] {
        &pool()[self.at as usize..][..self.len as usize]
    }
}

/// How the last run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ended {
    Stopped,
    Killed,
    PowerCut,
}

/// What is known of one shard.
#[derive(Clone, Debug, Default)]
pub(crate) struct ShardModel {
    pub(crate) entries: BTreeMap<u64, Entry>,
    pub(crate) horizon: u64,
    pub(crate) last_arrival_ms: u64,
    /// Where it ends, once it was split or merged.
    pub(crate) closed: Option<ShardClosed>,
}

impl ShardModel {
    /// Records that were numbered from `first` on.
    pub(crate) fn staged(&mut self, first: u64, entries: Vec<Entry>) {
        for (number, entry) in (first..).zip(entries) {
            assert!(entry.arrival_ms >= self.last_arrival_ms, "arrival times fall");
            self.last_arrival_ms = entry.arrival_ms;
            let before = self.entries.insert(number, entry);
            let is_new = before.is_none_or(|old| matches!(old.state, State::Refused));
            assert!(is_new, "number {number} of {before:?} is used again for {entry:?}");
        }
    }

    /// A ticket has resolved.
    pub(crate) fn resolve(&mut self, first: u64, count: u64, state: State, durable: bool) {
        for (_, entry) in self.entries.range_mut(first..first + count) {
            assert_eq!(entry.state, State::Staged);
            entry.state = state;
            entry.durable = durable;
        }
    }

    /// Everything acknowledged was synced.
    pub(crate) fn synced(&mut self) {
        for entry in self.entries.values_mut() {
            entry.durable |= entry.state == State::Kept;
        }
    }

    /// What a reader must be shown from `from` up to `to`.
    pub(crate) fn visible(&self, from: u64, to: u64) -> impl Iterator<Item = (u64, &Entry)> {
        let from = from.max(self.horizon);
        let range = self.entries.range(from..to.max(from));
        range
            .filter(|(_, entry)| entry.state == State::Kept)
            .map(|(&number, entry)| (number, entry))
    }

    /// A record that was read is the one that was put.
    pub(crate) fn check(&self, record: &EncodedRecord<'_>) {
        let number = record.sequence.0;
        let Some(entry) = self.entries.get(&number) else {
            panic!("number {number} was never put, or was gone already");
        };
        assert!(number >= self.horizon, "{number} lies below the horizon {}", self.horizon);
        assert_eq!(record.key, entry.key().as_bytes(), "number {number}: another record");
        assert!(record.data == entry.data(), "number {number}: other bytes");
        assert_eq!(record.arrival_ms, entry.arrival_ms, "number {number}: another time");
    }

    /// Takes over what a restart has found: `found` are the numbers that were read back, and
    /// checked one by one.
    pub(crate) fn recovered(&mut self, found: &[u64], ended: Ended) {
        assert!(found.is_sorted_by(|a, b| a < b), "numbers rise: {found:?}");
        let mut batches: BTreeMap<u64, [u64; 2]> = BTreeMap::new();
        let mut forgotten = Vec::new();
        let mut first_lost = None;
        for (&number, entry) in self.entries.range_mut(self.horizon..) {
            let is_there = found.binary_search(&number).is_ok();
            batches.entry(entry.batch).or_default()[usize::from(is_there)] += 1;
            match (entry.state, is_there) {
                (State::Staged | State::Kept, true) => {
                    assert_eq!(first_lost, None, "{number} is there and an earlier one is not");
                    entry.state = State::Kept;
                    entry.durable = true;
                }
                (State::Staged | State::Refused, false) => forgotten.push(number),
                (State::Kept, false) => {
                    let may_go = ended == Ended::PowerCut && !entry.durable;
                    assert!(may_go, "{number} is lost: {entry:?}, {ended:?}");
                    entry.state = State::Lost;
                    first_lost.get_or_insert(number);
                }
                (State::Lost, false) => {}
                (State::Refused | State::Lost, true) => {
                    panic!("number {number} has come back: {entry:?}")
                }
            }
        }
        for (batch, [missing, there]) in batches {
            // The horizon may stand inside a batch; of what is above it all or nothing is there.
            assert!(missing == 0 || there == 0, "batch {batch}: {missing} missing, {there} there");
        }
        for number in forgotten {
            self.entries.remove(&number);
        }
    }
}
