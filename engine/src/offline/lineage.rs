//! The shards of a stream from what the headers of some of them say: which ones were closed, and
//! what stands where no segment tells of a shard.
//!
//! ```text
//!   known   |-------0-------|-------1-------|    2 came from 0, and its sibling has no segment
//!           |---2---|
//!   made    |---2---|---3---|-------1-------|    3 is a child of 0 as well; 0 is closed
//! ```
//!
//! At no time do two open shards overlap, and ids rise with time. So of two shards that overlap the
//! one with the lower id was closed before the other one was made. A shard that never took a record,
//! and one whose records have all expired, left nothing to tell of it.

use std::collections::BTreeSet;

use crate::catalog::{ShardClosed, ShardEntry, StreamEntry};
use crate::hash_key::{HashKey, HashKeyRange};
use crate::ids::ShardId;
use crate::sequence::SequenceNumber;

/// Adds the shards that no segment tells of, so that the open ones tile the hash space again, and
/// closes those that were closed. `tiles` is with how many shards the stream was made. Returns what
/// had to be guessed.
pub(super) fn restore(stream: &mut StreamEntry, tiles: u32) -> Option<String> {
    stream.shards.sort_unstable_by_key(|shard| shard.id);
    restore_tiles(stream, tiles);
    close_overlapped(&mut stream.shards);
    adopt(&mut stream.shards);
    let made = fill_gaps(stream, tiles);
    let (first, count) = (made.first()?.id, made.len());
    stream.shards.extend(made);
    Some(format!(
        "{count} part(s) of the hash space belong to no shard that is known; made new shards for \
         them, from {first} on"
    ))
}

fn overlap(one: HashKeyRange, other: HashKeyRange) -> bool {
    one.start <= other.end && other.start <= one.end
}

/// The shards that the stream was made with, where nothing came after them.
fn restore_tiles(stream: &mut StreamEntry, tiles: u32) {
    let tiling: Vec<_> = HashKeyRange::tile(tiles).collect();
    let mut first_ones = stream.shards.iter().filter(|shard| shard.parents == [None, None]);
    let is_tile = |shard: &ShardEntry| tiling.get(shard.id.0 as usize) == Some(&shard.range);
    // Without one of them nobody knows whether the number of tiles is still the first one.
    let is_confirmed = first_ones.next().is_some_and(is_tile) && first_ones.all(is_tile);
    if !is_confirmed {
        return;
    }
    let (created_ms, known) = (stream.created_ms, stream.shards.clone());
    let is_free = |id: ShardId, range: HashKeyRange| {
        known.binary_search_by_key(&id, |shard| shard.id).is_err()
            && !known.iter().any(|shard| overlap(shard.range, range))
    };
    let missing = (0..).map(ShardId).zip(tiling).filter(|(id, range)| is_free(*id, *range));
    let missing = missing.map(|(id, range)| orphan(id, range, created_ms));
    stream.shards.extend(missing);
    stream.shards.sort_unstable_by_key(|shard| shard.id);
}

/// A shard that never took a record, and that came from none that is known.
fn orphan(id: ShardId, range: HashKeyRange, created_ms: u64) -> ShardEntry {
    ShardEntry {
        id,
        range,
        parents: [None, None],
        created_ms,
        first_sequence: SequenceNumber::FIRST,
        closed: None,
        is_removing: false,
    }
}

/// Closes the shards that a later one overlaps. Its last number is known to lie below the first
/// ones of those that came after it, and no better.
fn close_overlapped(shards: &mut [ShardEntry]) {
    for position in 0..shards.len() {
        let (shard, later) = shards[position..].split_first_mut().expect("it has a position");
        let later = later.iter().filter(|later| overlap(later.range, shard.range));
        let ends = later.map(|later| (later.first_sequence, later.created_ms));
        shard.closed = ends
            .reduce(|(sequence, at_ms), later| (sequence.min(later.0), at_ms.min(later.1)))
            .map(|(next, at_ms)| ShardClosed {
                at_ms,
                last_sequence: SequenceNumber(next.0.saturating_sub(1)),
            });
    }
}

/// The newest of the closed shards below `id` that owns a hash key.
fn last_owner(shards: &[ShardEntry], id: ShardId, key: HashKey) -> Option<&ShardEntry> {
    let below = &shards[..shards.partition_point(|shard| shard.id < id)];
    below.iter().rev().find(|shard| shard.closed.is_some() && shard.range.contains(key))
}

/// Names parents that are known for shards whose own ones left nothing: whoever follows the lineage
/// comes from a parent to them.
fn adopt(shards: &mut [ShardEntry]) {
    let ids: BTreeSet<_> = shards.iter().map(|shard| shard.id).collect();
    for position in 0..shards.len() {
        let ShardEntry { id, range, parents, .. } = shards[position];
        if parents[0].is_none() || parents.iter().flatten().any(|parent| ids.contains(parent)) {
            continue;
        }
        let owner = |key| last_owner(shards, id, key).map(|shard| shard.id);
        let [low, high] = [owner(range.start), owner(range.end)];
        let adopted = if low == high { [low, None] } else { [low, high] };
        match adopted {
            [None, None] => {}
            [None, one] => shards[position].parents = [one, None],
            adopted => shards[position].parents = adopted,
        }
    }
}

/// New shards for what no open one owns: children of the shards that owned it last, with numbers
/// above theirs.
fn fill_gaps(stream: &StreamEntry, tiles: u32) -> Vec<ShardEntry> {
    let shards = &stream.shards;
    let mut open: Vec<_> =
        shards.iter().filter(|shard| shard.closed.is_none()).map(|shard| shard.range).collect();
    open.sort_unstable_by_key(|range| range.start);
    let mut borders: Vec<_> = shards.iter().map(|shard| shard.range.start).collect();
    borders.extend(shards.iter().filter_map(|shard| shard.range.end.0.checked_add(1).map(HashKey)));
    borders.sort_unstable();
    let named = shards.iter().flat_map(|shard| shard.parents.into_iter().flatten());
    let highest = shards.iter().map(|shard| shard.id).chain(named).max();
    // A tile that left nothing had its id, too.
    let mut next = highest.map_or(0, |id| id.0).max(tiles.saturating_sub(1));
    let mut made: Vec<ShardEntry> = Vec::new();
    for gap in gaps(&open) {
        let inside = |border: &&HashKey| gap.start < **border && **border <= gap.end;
        let starts = std::iter::once(gap.start).chain(borders.iter().filter(inside).copied());
        let mut before: Option<ShardId> = None;
        for (piece, start) in starts.enumerate() {
            let owner = last_owner(shards, ShardId(u32::MAX), start);
            let owner_id = owner.map(|owner| owner.id);
            if piece > 0 && owner_id == before {
                continue;
            }
            before = owner_id;
            if let Some(last) = made.last_mut().filter(|_| piece > 0) {
                last.range.end = HashKey(start.0 - 1);
            }
            next = next.saturating_add(1);
            let mut entry =
                orphan(ShardId(next), HashKeyRange { start, end: gap.end }, stream.created_ms);
            if let Some((owner, closed)) = owner.and_then(|owner| Some((owner, owner.closed?))) {
                entry.parents = [Some(owner.id), None];
                entry.created_ms = closed.at_ms;
                entry.first_sequence = closed.last_sequence.next();
            }
            made.push(entry);
        }
    }
    made
}

/// The parts of the hash space that none of `ranges` covers, which are sorted and do not overlap.
fn gaps(ranges: &[HashKeyRange]) -> Vec<HashKeyRange> {
    let mut gaps = Vec::new();
    // The first key that is not covered yet; `None` behind the last one there is.
    let mut next = Some(0u128);
    for range in ranges {
        if let Some(next) = next.filter(|&next| range.start.0 > next) {
            let end = HashKey(range.start.0 - 1);
            gaps.push(HashKeyRange { start: HashKey(next), end });
        }
        next = range.end.0.checked_add(1);
    }
    if let Some(next) = next {
        gaps.push(HashKeyRange { start: HashKey(next), end: HashKey(u128::MAX) });
    }
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::StreamId;
    use crate::settings::StreamSettings;

    fn range(start: u128, end: u128) -> HashKeyRange {
        HashKeyRange { start: HashKey(start), end: HashKey(end) }
    }

    /// A shard of quarters of the hash space: those from the first one to the last one.
    fn known(id: u32, quarters: [u128; 2], parents: [Option<u32>; 2], first: u64) -> ShardEntry {
        let quarter = 1 << 126;
        let range = range(quarters[0] * quarter, quarters[1] * quarter + (quarter - 1));
        ShardEntry {
            parents: parents.map(|parent| parent.map(ShardId)),
            created_ms: 1000 * u64::from(id),
            first_sequence: SequenceNumber(first),
            ..orphan(ShardId(id), range, 0)
        }
    }

    /// Id, quarters, parents, first number and whether it is open, of each shard in the end.
    type Told = (u32, [u128; 2], [Option<u32>; 2], u64, bool);

    fn restored(shards: Vec<ShardEntry>, tiles: u32) -> Vec<Told> {
        let mut stream = StreamEntry {
            id: StreamId(1),
            name: "s".parse().unwrap(),
            created_ms: 7,
            retention_hours: 24,
            is_deleting: false,
            settings: StreamSettings::default(),
            shards,
            consumers: Vec::new(),
        };
        restore(&mut stream, tiles);
        let mut open: Vec<_> =
            stream.shards.iter().filter(|s| s.closed.is_none()).map(|s| s.range).collect();
        open.sort_unstable_by_key(|range| range.start);
        assert_eq!(gaps(&open), []);
        assert!(open.windows(2).all(|pair| pair[0].end < pair[1].start), "{open:?}");
        let tell = |shard: &ShardEntry| {
            let parents = shard.parents.map(|parent| parent.map(|parent| parent.0));
            let quarters = [shard.range.start.0 >> 126, shard.range.end.0 >> 126];
            let is_open = shard.closed.is_none();
            if let Some(closed) = shard.closed {
                for child in stream.shards.iter().filter(|c| c.parents.contains(&Some(shard.id))) {
                    assert!(child.first_sequence > closed.last_sequence);
                    assert!(child.created_ms / 1000 > shard.created_ms / 1000);
                }
            }
            (shard.id.0, quarters, parents, shard.first_sequence.0, is_open)
        };
        stream.shards.iter().map(tell).collect()
    }

    const NONE: [Option<u32>; 2] = [None, None];

    #[test]
    fn what_no_shard_covers_is_found() {
        assert_eq!(gaps(&[]), [range(0, u128::MAX)]);
        assert_eq!(gaps(&[range(0, u128::MAX)]), []);
        assert_eq!(
            gaps(&[range(5, 9), range(20, u128::MAX - 1)]),
            [range(0, 4), range(10, 19), range(u128::MAX, u128::MAX)]
        );
    }

    #[test]
    fn tiles_that_left_nothing_come_back_under_their_ids() {
        let shards = vec![known(2, [2, 2], NONE, 1)];
        let ids: Vec<_> =
            restored(shards, 4).into_iter().map(|(id, quarters, ..)| (id, quarters)).collect();
        assert_eq!(ids, [(0, [0, 0]), (1, [1, 1]), (2, [2, 2]), (3, [3, 3])]);
    }

    #[test]
    fn a_child_without_records_comes_back_as_a_child() {
        let shards = vec![
            known(0, [0, 1], NONE, 1),
            known(1, [2, 3], NONE, 1),
            known(3, [1, 1], [Some(0), None], 40),
        ];
        let made = (4, [0, 0], [Some(0), None], 40, true);
        let told = restored(shards, 2);
        assert!(!told[0].4);
        assert_eq!(told[2..], [(3, [1, 1], [Some(0), None], 40, true), made]);
    }

    #[test]
    fn a_tile_is_not_made_where_its_descendants_are() {
        // Shard 0 never took a record, or all of its own have expired; its child did.
        let shards = vec![known(1, [2, 3], NONE, 1), known(2, [0, 0], [Some(0), None], 5)];
        let told = restored(shards, 2);
        assert_eq!(told[2], (3, [1, 1], NONE, 1, true));
        // Nothing of the first shards is left: how many they were is not known either.
        let told = restored(vec![known(5, [1, 1], [Some(2), None], 9)], 1);
        assert_eq!(told[1..], [(6, [0, 0], NONE, 1, true), (7, [2, 3], NONE, 1, true)]);
    }

    #[test]
    fn a_shard_whose_parents_left_nothing_is_the_child_of_its_next_ancestor() {
        // 0 was split into 1 and 2, 1 into 3 and 4; only 0 and 4 took records.
        let shards = vec![known(0, [0, 3], NONE, 1), known(4, [1, 1], [Some(1), None], 30)];
        let told = restored(shards, 1);
        assert_eq!(told[0], (0, [0, 3], NONE, 1, false));
        assert_eq!(told[1], (4, [1, 1], [Some(0), None], 30, true));
        let child = |id, quarters| (id, quarters, [Some(0), None], 30, true);
        assert_eq!(told[2..], [child(5, [0, 0]), child(6, [2, 3])]);
    }

    #[test]
    fn a_gap_that_two_shards_owned_becomes_two() {
        // 0 and 1 were merged into 2, that was split into 3 and 4, and 3 took records.
        let shards = vec![
            known(0, [0, 0], NONE, 1),
            known(1, [1, 3], NONE, 1),
            known(3, [0, 1], [Some(2), None], 70),
        ];
        let told = restored(shards, 2);
        assert_eq!(told[2], (3, [0, 1], [Some(0), Some(1)], 70, true));
        assert_eq!(told[3..], [(4, [2, 3], [Some(1), None], 70, true)]);
    }
}
