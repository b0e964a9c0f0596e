//! The shards of a stream as they stand at one moment, and where records go.
//!
//! Resharding replaces the whole: whoever holds [`Shards`] goes on with what he took, and learns
//! from a shard that was closed meanwhile that he has to look again.

use std::collections::HashSet;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::hash_key::HashKey;
use crate::ids::ShardId;
use crate::shard::Shard;

/// The shards of a stream by id, closed ones among them. Clones share them.
#[derive(Clone)]
pub struct Shards {
    shape: Arc<Shape>,
}

struct Shape {
    shards: Vec<Arc<Shard>>,
    /// The first hash key of each open shard, rising, and where the shard stands in `shards`.
    routes: Vec<(HashKey, u32)>,
}

impl Shards {
    /// `shards` are sorted by id; those in `closing` take no records any more, whatever they say.
    pub(crate) fn new(shards: Vec<Arc<Shard>>, closing: &[ShardId]) -> Shards {
        let closing: HashSet<_> = closing.iter().copied().collect();
        let is_open = |shard: &Shard| shard.closed().is_none() && !closing.contains(&shard.id());
        let open = (0u32..).zip(&shards).filter(|(_, shard)| is_open(shard));
        let mut routes: Vec<_> =
            open.map(|(index, shard)| (shard.hash_key_range().start, index)).collect();
        routes.sort_unstable();
        Shards { shape: Arc::new(Shape { shards, routes }) }
    }

    /// Whether the ranges of the open shards tile the hash space: each record has one way to go.
    /// A catalog that was made from the segments may have had to guess them.
    pub(crate) fn is_tiled(&self) -> bool {
        let mut next = Some(0);
        let follows = self.open().all(|shard| {
            let range = shard.hash_key_range();
            let follows = next == Some(range.start.0);
            next = range.end.0.checked_add(1);
            follows
        });
        follows && next.is_none()
    }

    /// The index of the shard that takes records of that hash key.
    pub fn route(&self, key: HashKey) -> usize {
        let routes = &self.shape.routes;
        let behind = routes.partition_point(|(start, _)| *start <= key);
        routes[behind - 1].1 as usize
    }

    /// The index of the shard that has that turn: the open ones have one after the other.
    pub fn in_turn(&self, turn: usize) -> usize {
        let routes = &self.shape.routes;
        routes[turn % routes.len()].1 as usize
    }

    /// The shard of that id.
    pub fn get(&self, id: ShardId) -> Option<&Arc<Shard>> {
        let position = self.binary_search_by_key(&id, |shard| shard.id()).ok()?;
        Some(&self[position])
    }

    /// The shards that take records, by hash key.
    pub fn open(&self) -> impl ExactSizeIterator<Item = &Arc<Shard>> {
        self.shape.routes.iter().map(|(_, index)| &self[*index as usize])
    }

    /// The shards that came from this one: two after a split, one after a merge, by hash key.
    pub fn children(&self, id: ShardId) -> Vec<&Arc<Shard>> {
        let mut children: Vec<_> =
            self.iter().filter(|shard| shard.parents().contains(&Some(id))).collect();
        children.sort_unstable_by_key(|shard| shard.hash_key_range().start);
        children
    }
}

impl Deref for Shards {
    type Target = [Arc<Shard>];

    fn deref(&self) -> &[Arc<Shard>] {
        &self.shape.shards
    }
}

impl<'a> IntoIterator for &'a Shards {
    type Item = &'a Arc<Shard>;
    type IntoIter = std::slice::Iter<'a, Arc<Shard>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Debug for Shards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|shard| shard.id())).finish()
    }
}
