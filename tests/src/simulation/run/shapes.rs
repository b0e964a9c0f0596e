//! Streams that are split and merged, and what must hold of their shards whatever comes.
//!
//! The open shards tile the hash space. A shard is closed above its last record, and its children
//! begin above its end. An id is given out once. A closed shard is there until its last record has
//! expired.

use std::collections::BTreeMap;
use std::sync::Arc;

use anabranch_engine::clock::Clock;
use anabranch_engine::fs::{Fault, Op};
use anabranch_engine::hash_key::HashKey;
use anabranch_engine::ids::ShardId;
use anabranch_engine::reshard::{Step, uniform};
use anabranch_engine::sequence::SequenceNumber;
use anabranch_engine::{Shard, Stream};

use super::{NAMES, RETENTION_MS, Reader, Simulation, Unsure};
use crate::simulation::model::{ShardModel, State};
use crate::simulation::operation::Reshard;
use crate::support::name;

/// A stream of so many shards, closed ones among them, changes no more until some have expired.
const SHARDS_MAX: usize = 24;
/// More syncs than a reshard and the taking back of it make.
const FAILING_SYNCS: u64 = 40;

pub(super) struct StreamModel {
    pub(super) id: u64,
    pub(super) stream: Arc<Stream>,
    pub(super) shards: BTreeMap<ShardId, ShardModel>,
    highest: ShardId,
}

impl StreamModel {
    /// A stream that was just made.
    pub(super) fn new(stream: Arc<Stream>) -> StreamModel {
        let shards = stream.shards();
        let highest = shards.last().expect("a stream has a shard").id();
        let models = shards.iter().map(|shard| (shard.id(), ShardModel::default())).collect();
        StreamModel { id: stream.id().0, stream, shards: models, highest }
    }

    /// Compares the shards with what is known. Returns how many have expired.
    fn look(&mut self, may_be_new: bool, now_ms: u64) -> usize {
        let shards = self.stream.shards();
        assert!(shards.is_sorted_by(|one, other| one.id() < other.id()));
        let mut next = Some(0);
        for open in shards.open() {
            assert_eq!(next, Some(open.hash_key_range().start.0), "open shards tile the space");
            assert_eq!(shards[shards.route(open.hash_key_range().end)].id(), open.id());
            next = open.hash_key_range().end.0.checked_add(1);
        }
        assert_eq!(next, None, "open shards tile the space");
        for shard in &shards {
            let id = shard.id();
            if !self.shards.contains_key(&id) {
                assert!(may_be_new, "{id} has come from nowhere");
                assert!(id > self.highest, "{id} is used again");
                assert!(shard.parents()[0].is_some(), "{id} has no parent");
                self.highest = id;
                self.shards.insert(id, ShardModel::default());
            }
            let model = self.shards.get_mut(&id).expect("it was just put there");
            assert!(model.closed.is_none() || model.closed == shard.closed(), "{id} ends anew");
            if let Some(closed) = shard.closed().filter(|_| model.closed.is_none()) {
                assert!(may_be_new, "{id} was closed by nobody");
                let kept = model.entries.iter().filter(|(_, entry)| entry.state == State::Kept);
                let last = kept.map(|(&number, _)| number).next_back();
                let is_inside = last.is_none_or(|last| last <= closed.last_sequence.0);
                assert!(is_inside, "{id} ends at {closed:?}, before {last:?}");
                model.closed = Some(closed);
            }
            if let Some(closed) = shard.closed() {
                let children = shards.children(id);
                assert!(!children.is_empty(), "{id} was closed and has no child");
                for child in children {
                    assert!(child.first_sequence() > closed.last_sequence, "{id}: {}", child.id());
                    assert!(child.created_ms() >= closed.at_ms, "{id}: {}", child.id());
                }
            }
        }
        let before = self.shards.len();
        self.shards.retain(|id, model| {
            let is_there = shards.get(*id).is_some();
            let is_old = |at_ms: u64| now_ms.saturating_sub(at_ms) >= RETENTION_MS;
            let may_go = model.closed.is_some_and(|closed| is_old(closed.at_ms));
            assert!(is_there || may_go, "{id} is gone: {:?}", model.closed);
            is_there
        });
        before - self.shards.len()
    }
}

impl Simulation {
    pub(super) fn reshard(&mut self, reshard: Reshard) {
        let Some((stream, steps)) = self.steps(reshard) else { return };
        if stream.shards().len() + 2 * steps.len() > SHARDS_MAX {
            return;
        }
        let before = stream.shards();
        let outcome = self.engine().reshard(&stream, &steps);
        // What it drained was acknowledged before it ended.
        self.collect_tickets();
        let id = stream.id().0;
        match outcome {
            Ok(()) => {
                self.totals.reshards += u64::from(!steps.is_empty());
                self.look_at_shapes(&[id]);
                let closed = before.open().filter(|shard| shard.closed().is_some());
                let closed: Vec<_> = closed.map(|shard| shard.id()).collect();
                assert_eq!(closed.is_empty(), steps.is_empty());
                for shard in closed {
                    // Its end was recorded behind a sync.
                    self.shard_model(id, shard).expect("it is known").synced();
                    let is_waiting =
                        |ticket: &super::Ticket| (ticket.stream, ticket.shard) == (id, shard);
                    assert!(!self.tickets.iter().any(is_waiting), "closed before it was drained");
                }
            }
            Err(error) => {
                self.expect_trouble(&error);
                self.look_at_shapes(&[]);
                self.unsure.push(Unsure::Resharded(id));
            }
        }
    }

    /// A reshard whose disk fails from one of its syncs on, and is well again behind it.
    pub(super) fn failing_reshard(&mut self, reshard: Reshard, nth: u8) {
        self.is_failing = true;
        let fs = self.world.fs.clone();
        for nth in u64::from(nth)..u64::from(nth) + FAILING_SYNCS {
            fs.inject(Fault::Fails { op: Op::Sync, nth, is_full: false });
        }
        self.reshard(reshard);
        fs.clear_faults();
        self.is_full = false;
    }

    fn steps(&self, reshard: Reshard) -> Option<(Arc<Stream>, Vec<Step>)> {
        let shard_of = |number| {
            let (name, shard): (_, Arc<Shard>) = self.choose_open(number)?;
            Some((self.streams[&name].stream.clone(), shard))
        };
        match reshard {
            Reshard::Split { shard, at } => {
                let (stream, shard) = shard_of(shard)?;
                let range = shard.hash_key_range();
                let width = range.end.0 - range.start.0;
                let offset = (u128::from(at) << 64 | u128::from(at)).checked_rem(width)?;
                let at = HashKey(range.start.0 + 1 + offset);
                Some((stream, vec![Step::Split { shard: shard.id(), at }]))
            }
            Reshard::Merge { shard } => {
                let (stream, shard) = shard_of(shard)?;
                let start = HashKey(shard.hash_key_range().end.0.checked_add(1)?);
                let shards = stream.shards();
                let adjacent = shards[shards.route(start)].id();
                Some((stream, vec![Step::Merge { shard: shard.id(), adjacent }]))
            }
            Reshard::Scale { name: number, shards } => {
                let name = name(&format!("stream-{}", number % NAMES));
                let stream = self.streams.get(&name)?.stream.clone();
                let steps = uniform(&stream.shards(), u32::from(shards % 5) + 1);
                Some((stream, steps.expect("a stream has few shards")))
            }
        }
    }

    /// Compares the shards of all streams with what is known; only these may have new ones.
    pub(super) fn look_at_shapes(&mut self, resharded: &[u64]) {
        let now_ms = self.world.clock.wall_ms();
        for model in self.streams.values_mut() {
            let may_be_new = resharded.contains(&model.id);
            self.totals.expired += model.look(may_be_new, now_ms) as u64;
        }
    }

    /// A reader has met the end of a shard: it goes on with one that came after it.
    pub(super) fn follow(&self, reader: &Reader, slot: usize) -> Option<Reader> {
        let model = self.streams.values().find(|model| model.id == reader.stream)?;
        let shards = model.stream.shards();
        let children = shards.children(reader.shard);
        let child = children.get(slot % children.len().max(1))?;
        let cursor = Some(child.cursor(SequenceNumber(0)));
        Some(Reader { stream: reader.stream, shard: child.id(), cursor, position: 0 })
    }
}
