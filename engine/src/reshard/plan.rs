//! What a reshard does to the hash space: pure functions from ranges to ranges.
//!
//! ```text
//!   3 to 2     |----0----|----1----|----2----|      split 1 in the middle: 3 and 4
//!              |----0----|-3--|-4--|----2----|      merge 0 with 3: 5;  merge 4 with 2: 6
//!              |------5-------|------6-------|      3 and 4 never took a record
//! ```
//!
//! A reshard is a list of steps, each of which closes one shard or two and opens two or one. All
//! of them are made at once: a shard that a later step closes again is closed from the start.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::hash_key::{HashKey, HashKeyRange};
use crate::ids::ShardId;
use crate::limits::SHARDS_PER_STREAM_MAX;

/// One step of a reshard. The shards that it opens get the next free ids, the one with the lower
/// hash keys first; a later step may name them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Two shards take the place of one: hash keys below `at` go to the first.
    Split {
        /// The shard to be closed.
        shard: ShardId,
        /// The first hash key of the second child: above the shard's first one.
        at: HashKey,
    },
    /// One shard takes the place of two whose ranges meet, in either order.
    Merge {
        /// The child's parent.
        shard: ShardId,
        /// The child's adjacent parent.
        adjacent: ShardId,
    },
}

/// A shard that takes records, or one of a plan that will.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpenRange {
    /// The shard.
    pub id: ShardId,
    /// The hash keys it owns.
    pub range: HashKeyRange,
}

/// A shard that a reshard makes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Planned {
    pub(super) id: ShardId,
    pub(super) range: HashKeyRange,
    pub(super) parents: [Option<ShardId>; 2],
    /// A later step of the same reshard closes it again.
    pub(super) is_passing: bool,
}

/// What a reshard does.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Plan {
    /// The shards that take records now and will not any more.
    pub(super) closed: Vec<ShardId>,
    /// The new ones, parents before their children.
    pub(super) made: Vec<Planned>,
}

/// The first id that no shard has. The highest one is never removed before its stream: a shard
/// is removed when it is closed, and its children have higher ids.
pub(super) fn next_id(highest: ShardId) -> Result<ShardId> {
    let too_many =
        || Error::LimitExceeded { what: "shards of a stream's life", max: u64::from(u32::MAX) };
    highest.0.checked_add(1).map(ShardId).ok_or_else(too_many)
}

/// Checks the steps one after the other and says what they do together.
pub(super) fn plan(open: &[OpenRange], mut next: ShardId, steps: &[Step]) -> Result<Plan> {
    let mut ranges: BTreeMap<ShardId, HashKeyRange> =
        open.iter().map(|open| (open.id, open.range)).collect();
    let mut plan = Plan::default();
    let first = next;
    for step in steps {
        let (closed, made) = apply(&ranges, *step)?;
        for id in closed.into_iter().flatten() {
            ranges.remove(&id);
            match id.0.checked_sub(first.0) {
                Some(index) => plan.made[index as usize].is_passing = true,
                None => plan.closed.push(id),
            }
        }
        for range in made.into_iter().flatten() {
            ranges.insert(next, range);
            plan.made.push(Planned { id: next, range, parents: closed, is_passing: false });
            next = next_id(next)?;
        }
        if ranges.len() > SHARDS_PER_STREAM_MAX as usize {
            let max = u64::from(SHARDS_PER_STREAM_MAX);
            return Err(Error::LimitExceeded { what: "open shards of a stream", max });
        }
    }
    Ok(plan)
}

type Two<T> = [Option<T>; 2];

/// What a step closes, and the ranges that take the place of it.
fn apply(
    ranges: &BTreeMap<ShardId, HashKeyRange>,
    step: Step,
) -> Result<(Two<ShardId>, Two<HashKeyRange>)> {
    let range = |shard| ranges.get(&shard).copied().ok_or(Error::ShardClosed { shard });
    match step {
        Step::Split { shard, at } => {
            let range = range(shard)?;
            if at <= range.start || at > range.end {
                return Err(Error::SplitOutside { shard, range, at });
            }
            let below = HashKeyRange { start: range.start, end: HashKey(at.0 - 1) };
            let above = HashKeyRange { start: at, end: range.end };
            Ok(([Some(shard), None], [Some(below), Some(above)]))
        }
        Step::Merge { shard, adjacent } => {
            let (one, other) = (range(shard)?, range(adjacent)?);
            let meet = |low: HashKeyRange, high: HashKeyRange| {
                low.end.0.checked_add(1) == Some(high.start.0)
            };
            if !meet(one, other) && !meet(other, one) {
                return Err(Error::NotAdjacent { shard, adjacent });
            }
            let merged =
                HashKeyRange { start: one.start.min(other.start), end: one.end.max(other.end) };
            Ok(([Some(shard), Some(adjacent)], [Some(merged), None]))
        }
    }
}

/// The steps after which `target` shards tile the hash space evenly, as a new stream's do. Shards
/// that stand where they should are left alone. `next` is the id of the first new shard.
pub(super) fn uniform(open: &[OpenRange], mut next: ShardId, target: u32) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    let mut rest: Vec<OpenRange> = open.to_vec();
    rest.sort_unstable_by_key(|piece| std::cmp::Reverse(piece.range.start));
    for goal in HashKeyRange::tile(target) {
        let mut inside = Vec::new();
        while let Some(piece) = rest.pop_if(|piece| piece.range.start <= goal.end) {
            let OpenRange { id, range } = piece;
            if range.end <= goal.end {
                inside.push(piece);
                continue;
            }
            // What lies behind the goal belongs to the next ones.
            let at = HashKey(goal.end.0 + 1);
            steps.push(Step::Split { shard: id, at });
            let second = next_id(next)?;
            let below = HashKeyRange { start: range.start, end: goal.end };
            inside.push(OpenRange { id: next, range: below });
            rest.push(OpenRange { id: second, range: HashKeyRange { start: at, end: range.end } });
            next = next_id(second)?;
        }
        // Neighbours by neighbours, so that the lineage is as short as it can be.
        while inside.len() > 1 {
            let mut merged = Vec::with_capacity(inside.len().div_ceil(2));
            for pair in inside.chunks(2) {
                let [one, other] = pair else {
                    merged.extend_from_slice(pair);
                    continue;
                };
                steps.push(Step::Merge { shard: one.id, adjacent: other.id });
                let range = HashKeyRange { start: one.range.start, end: other.range.end };
                merged.push(OpenRange { id: next, range });
                next = next_id(next)?;
            }
            inside = merged;
        }
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tiles(count: u32) -> Vec<OpenRange> {
        let open = |(id, range)| OpenRange { id: ShardId(id), range };
        (0..).zip(HashKeyRange::tile(count)).map(open).collect()
    }

    /// What is open after the plan, by hash key.
    fn after(open: &[OpenRange], plan: &Plan) -> Vec<HashKeyRange> {
        let stays = open.iter().filter(|open| !plan.closed.contains(&open.id));
        let made = plan.made.iter().filter(|made| !made.is_passing);
        let ranges = stays.map(|open| open.range).chain(made.map(|made| made.range));
        let mut ranges: Vec<_> = ranges.collect();
        ranges.sort_unstable_by_key(|range| range.start);
        ranges
    }

    #[test]
    fn a_split_has_one_parent_and_a_merge_has_two() {
        let open = tiles(2);
        let at = HashKey(1 << 126);
        let split = plan(&open, ShardId(2), &[Step::Split { shard: ShardId(0), at }]).unwrap();
        assert_eq!(split.closed, [ShardId(0)]);
        assert_eq!(split.made.iter().map(|made| made.id.0).collect::<Vec<_>>(), [2, 3]);
        assert!(split.made.iter().all(|made| made.parents == [Some(ShardId(0)), None]));
        assert_eq!(split.made[0].range.end.0 + 1, at.0);
        let step = Step::Merge { shard: ShardId(1), adjacent: ShardId(0) };
        let merge = plan(&open, ShardId(2), &[step]).unwrap();
        assert_eq!(merge.closed, [ShardId(1), ShardId(0)]);
        assert_eq!(merge.made[0].parents, [Some(ShardId(1)), Some(ShardId(0))]);
        assert_eq!(after(&open, &merge), HashKeyRange::tile(1).collect::<Vec<_>>());
    }

    #[test]
    fn a_split_leaves_neither_child_without_a_hash_key() {
        let open = tiles(2);
        let HashKeyRange { start, end } = open[1].range;
        let split = |at: u128| {
            plan(&open, ShardId(2), &[Step::Split { shard: ShardId(1), at: HashKey(at) }])
        };
        for at in [0, start.0 - 1, start.0] {
            assert!(matches!(split(at), Err(Error::SplitOutside { .. })), "{at}");
        }
        assert!(split(start.0 + 1).is_ok());
        assert!(split(end.0).is_ok());
        let beyond = Step::Split { shard: ShardId(0), at: start };
        assert!(matches!(plan(&open, ShardId(2), &[beyond]), Err(Error::SplitOutside { .. })));
    }

    #[test]
    fn only_open_neighbours_are_merged() {
        let open = tiles(3);
        let merge = |shard, adjacent| {
            plan(
                &open,
                ShardId(3),
                &[Step::Merge { shard: ShardId(shard), adjacent: ShardId(adjacent) }],
            )
        };
        for (shard, adjacent) in [(0, 2), (2, 0), (1, 1)] {
            assert!(matches!(merge(shard, adjacent), Err(Error::NotAdjacent { .. })));
        }
        assert!(matches!(merge(0, 3), Err(Error::ShardClosed { shard: ShardId(3) })));
    }

    #[test]
    fn shards_that_stand_where_they_should_are_left_alone() {
        assert_eq!(uniform(&tiles(4), ShardId(4), 4).unwrap(), []);
        let doubled = uniform(&tiles(2), ShardId(2), 4).unwrap();
        assert_eq!(doubled.len(), 2);
        let halved = uniform(&tiles(4), ShardId(4), 2).unwrap();
        assert_eq!(halved.len(), 2);
    }

    proptest! {
        #[test]
        fn scaling_from_any_shape_ends_in_even_tiles(
            count in 1u32..40,
            cuts in prop::collection::vec(any::<u128>(), 0..20),
            target in 1u32..80,
        ) {
            // An uneven stream: tiles, some of them split anywhere.
            let mut open = tiles(count);
            let mut next = ShardId(count);
            for cut in cuts {
                let at = open.iter().position(|open| open.range.contains(HashKey(cut))).unwrap();
                let step = Step::Split { shard: open[at].id, at: HashKey(cut) };
                if let Ok(split) = plan(&open, next, &[step]) {
                    open.remove(at);
                    let made = split.made.iter();
                    open.extend(made.map(|made| OpenRange { id: made.id, range: made.range }));
                    next = ShardId(next.0 + 2);
                }
            }
            let steps = uniform(&open, next, target).unwrap();
            let plan = plan(&open, next, &steps).unwrap();
            prop_assert_eq!(after(&open, &plan), HashKeyRange::tile(target).collect::<Vec<_>>());
            for made in &plan.made {
                prop_assert!(made.parents[0].is_some());
                prop_assert!(made.parents.iter().flatten().all(|parent| *parent < made.id));
            }
            // The highest id is open, so that it is never given out again.
            if let Some(last) = plan.made.last() {
                prop_assert!(!last.is_passing);
            }
        }
    }
}
