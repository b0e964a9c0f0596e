//! Those who wait for room in a shard, as far as it is worth their while.
//!
//! A shard that has no room commits what it has and then takes more, so a short wait is answered
//! soon. A long one helps nobody: what stands at its end takes memory until its caller has given
//! up. So only so many bytes wait, for a shard and in all; who finds the room full is told at once
//! to come again later. `Produce` calls do not come here: each has one batch that waits, and
//! nothing is read behind it, so that its client is slowed down instead.

use std::collections::HashMap;
use std::sync::Arc;

use anabranch_engine::ids::{ShardId, StreamId};
use parking_lot::Mutex;

/// Bytes that wait for one shard: half of what it stages, so that they fit when it is emptied.
const SHARD_BYTES_MAX: usize = 2 << 20;

/// Bytes that wait for all shards together: half of what they stage.
const TOTAL_BYTES_MAX: usize = 32 << 20;

type Door = (StreamId, ShardId);

/// What waits, in bytes.
#[derive(Debug, Default)]
pub(crate) struct WaitingRoom {
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Only of shards for which something waits.
    shards: HashMap<Door, usize>,
    total: usize,
}

impl WaitingRoom {
    /// A place for so many bytes; `None` where too many wait. Where nothing waits a batch of any
    /// size may.
    pub(crate) fn enter(
        self: &Arc<Self>,
        stream: StreamId,
        shard: ShardId,
        bytes: usize,
    ) -> Option<Place> {
        let door = (stream, shard);
        let mut waiting = self.waiting.lock();
        let here = waiting.shards.get(&door).copied().unwrap_or(0);
        let fits = |waiting: usize, max| waiting == 0 || waiting + bytes <= max;
        if !fits(here, SHARD_BYTES_MAX) || !fits(waiting.total, TOTAL_BYTES_MAX) {
            return None;
        }
        waiting.shards.insert(door, here + bytes);
        waiting.total += bytes;
        Some(Place { room: Arc::clone(self), door, bytes })
    }
}

/// A place in the room, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    room: Arc<WaitingRoom>,
    door: Door,
    bytes: usize,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut waiting = self.room.waiting.lock();
        waiting.total -= self.bytes;
        if let Some(here) = waiting.shards.get_mut(&self.door) {
            *here -= self.bytes;
            if *here == 0 {
                waiting.shards.remove(&self.door);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_bytes_wait_and_no_more_for_a_shard_and_in_all() {
        const HALF: usize = SHARD_BYTES_MAX / 2;
        let room = Arc::<WaitingRoom>::default();
        let enter = |shard, bytes| room.enter(StreamId(1), ShardId(shard), bytes);
        // One alone may be of any size.
        let large = enter(0, 5 * SHARD_BYTES_MAX).unwrap();
        assert!(enter(0, 1).is_none());
        drop(large);
        let mut places: Vec<_> = (0..2).map(|_| enter(0, HALF).unwrap()).collect();
        assert!(enter(0, 1).is_none());
        let mut shard = 1;
        while let Some(place) = enter(shard, SHARD_BYTES_MAX) {
            places.push(place);
            shard += 1;
        }
        assert_eq!(places.len(), TOTAL_BYTES_MAX / SHARD_BYTES_MAX + 1);
        drop(places.pop());
        assert!(enter(shard, SHARD_BYTES_MAX).is_some());
        places.clear();
        let waiting = room.waiting.lock();
        assert_eq!((waiting.total, waiting.shards.len()), (0, 0));
    }
}
