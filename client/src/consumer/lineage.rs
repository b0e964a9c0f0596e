//! Which shards are to be read now, and which wait: a child is read once all of its parents
//! have been read to their end.
//!
//! It is a decision about names alone: it reads nothing, asks nobody and knows no time. It is
//! told what the server said, and says which shards may be started.
//!
//! ```text
//!                 all parents ended            read to its end, or gone
//!     Waiting ------------------------> Reading ------------------------> Ended
//!        |                                                                  ^
//!        +------------- gone before it was started -------------------------+
//! ```
//!
//! The end of a shard names its children, and that is nearly all that is needed. Two things it
//! does not tell: whether a parent that nobody has heard of is still to come, or has expired;
//! and what came after a shard that expired before it was read. For those the owner *looks*:
//! it lists all shards. A list may be older than what the ends of shards have said meanwhile, so
//! every look has a number, and what was heard of after it was asked for is not judged by it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use anabranch_proto::v1;

/// Ended shards that are remembered before a look says which of them the server has forgotten:
/// some hundred kilobytes, and a list for every thousand shards read.
const ENDED_MAX: usize = 1000;

/// A shard whose parents have not all ended.
#[derive(Debug)]
struct Waiting {
    parents: Vec<Arc<str>>,
    /// The number of the last look before it was heard of.
    heard_at: u64,
}

/// The shards that one reader has heard of.
#[derive(Debug)]
pub(super) struct Lineage {
    waiting: HashMap<Arc<str>, Waiting>,
    reading: HashSet<Arc<str>>,
    /// Read to their end, or gone, or from before the start; with the number of the last look
    /// before that was known.
    ended: HashMap<Arc<str>, u64>,
    /// Whether shards that were not there at the start are left out.
    is_bounded: bool,
    /// How many looks were asked for.
    looks: u64,
    /// Whether something may wait for a shard that nobody has heard of.
    is_unsettled: bool,
    /// How many ended shards make a look worth it.
    ended_max: usize,
}

impl Lineage {
    /// The lineage of a stream whose shards are `all`, to be read from `first` on: shards that
    /// were all open at one moment. Those that descend from them wait; all others are from
    /// before. With `is_bounded` no shard is read that is not in `all`.
    pub(super) fn new(all: &[v1::Shard], first: &HashSet<Arc<str>>, is_bounded: bool) -> Lineage {
        let mut lineage = Lineage {
            waiting: HashMap::new(),
            reading: HashSet::new(),
            ended: HashMap::new(),
            is_bounded,
            looks: 0,
            is_unsettled: false,
            ended_max: ENDED_MAX,
        };
        let listed: HashSet<&str> = all.iter().map(|shard| shard.shard_id.as_str()).collect();
        // A shard that was open at that moment and has gone since is not in the list.
        let absent = first.iter().filter(|id| !listed.contains(&***id));
        lineage.reading.extend(absent.cloned());
        // In the order in which they were made: parents stand before their children.
        for shard in all {
            let id: Arc<str> = Arc::from(shard.shard_id.as_str());
            let parents = parents_of(shard);
            let descends = parents.iter().any(|parent| {
                lineage.waiting.contains_key(parent) || lineage.reading.contains(parent)
            });
            if descends {
                lineage.waiting.insert(id, Waiting { parents, heard_at: 0 });
            } else if first.contains(&id) {
                lineage.reading.insert(id);
            } else {
                lineage.ended.insert(id, 0);
            }
        }
        lineage.settle_parents(&listed, 1);
        lineage
    }

    /// The shards that are being read.
    pub(super) fn reading(&self) -> &HashSet<Arc<str>> {
        &self.reading
    }

    /// Whether nothing is being read or waits to be.
    pub(super) fn is_over(&self) -> bool {
        self.reading.is_empty() && self.waiting.is_empty()
    }

    /// A shard has been read to its end; these are its children, as the server names them. Gives
    /// those that are to be started now.
    pub(super) fn end(&mut self, shard_id: &str, children: &[v1::ChildShard]) -> Vec<Arc<str>> {
        self.reading.remove(shard_id);
        self.ended.insert(Arc::from(shard_id), self.looks);
        for child in children {
            let id: Arc<str> = Arc::from(child.shard_id.as_str());
            if self.knows(&id) || self.is_bounded {
                continue;
            }
            let parents = child.parent_shards.iter().map(|parent| Arc::from(parent.as_str()));
            let parents: Vec<Arc<str>> = parents.collect();
            self.is_unsettled |= !parents.iter().all(|parent| self.knows(parent));
            self.waiting.insert(id, Waiting { parents, heard_at: self.looks });
        }
        let children = children.iter().map(|child| Arc::from(child.shard_id.as_str()));
        self.start(children.collect())
    }

    /// Whether only a list of all shards tells how to go on, or what may be forgotten.
    pub(super) fn needs_look(&self) -> bool {
        // What waits for a shard that is not read and will not be, waits for a list.
        let is_stuck = self.reading.is_empty() && !self.waiting.is_empty();
        is_stuck || self.is_unsettled || self.ended.len() > self.ended_max
    }

    /// A list of all shards is being asked for. Gives its number.
    pub(super) fn look(&mut self) -> u64 {
        self.looks += 1;
        self.looks
    }

    /// Look number `look` found these shards, which are all there are; those of `gone` could not
    /// be read any more. Gives those that are to be started now.
    pub(super) fn found(
        &mut self,
        look: u64,
        all: &[v1::Shard],
        gone: &HashSet<Arc<str>>,
    ) -> Vec<Arc<str>> {
        let listed: HashSet<&str> = all.iter().map(|shard| shard.shard_id.as_str()).collect();
        for id in gone {
            self.reading.remove(id);
            self.ended.insert(id.clone(), look - 1);
        }
        // A shard that nobody has heard of was made since the start: its forebears are gone, or
        // are not at their end yet.
        for shard in all {
            let id: Arc<str> = Arc::from(shard.shard_id.as_str());
            if !self.knows(&id) && !self.is_bounded {
                let waiting = Waiting { parents: parents_of(shard), heard_at: look - 1 };
                self.waiting.insert(id, waiting);
            }
        }
        let vanished: Vec<Arc<str>> = self
            .waiting
            .iter()
            .filter(|(id, waiting)| waiting.heard_at < look && !listed.contains(&***id))
            .map(|(id, _)| id.clone())
            .collect();
        for id in vanished {
            self.waiting.remove(&id);
            self.ended.insert(id, look - 1);
        }
        self.settle_parents(&listed, look);
        self.forget(&listed, look);
        self.start(self.waiting.keys().cloned().collect())
    }

    /// Counts the parents as ended that are neither known nor listed: they have expired.
    fn settle_parents(&mut self, listed: &HashSet<&str>, look: u64) {
        let gone: Vec<Arc<str>> = self
            .waiting
            .values()
            .filter(|waiting| waiting.heard_at < look)
            .flat_map(|waiting| &waiting.parents)
            .filter(|parent| !self.knows(parent) && !listed.contains(&***parent))
            .cloned()
            .collect();
        self.ended.extend(gone.into_iter().map(|parent| (parent, look - 1)));
        let is_settled =
            |waiting: &Waiting| waiting.parents.iter().all(|parent| self.knows(parent));
        self.is_unsettled = !self.waiting.values().all(is_settled);
    }

    /// Forgets what the server has forgotten too, unless somebody waits for it. A shard that was
    /// heard of after the list was asked for may be too new for it, even if it is at its end now.
    fn forget(&mut self, listed: &HashSet<&str>, look: u64) {
        let awaited: HashSet<&Arc<str>> =
            self.waiting.values().flat_map(|waiting| &waiting.parents).collect();
        self.ended.retain(|id, ended_at| {
            *ended_at >= look || listed.contains(&**id) || awaited.contains(id)
        });
        // Where the server keeps more than that, so do we.
        self.ended_max = ENDED_MAX.max(2 * self.ended.len());
    }

    fn knows(&self, id: &Arc<str>) -> bool {
        self.reading.contains(id) || self.ended.contains_key(id) || self.waiting.contains_key(id)
    }

    /// Moves those of the candidates that need not wait any more to the ones being read.
    fn start(&mut self, candidates: Vec<Arc<str>>) -> Vec<Arc<str>> {
        let is_ready = |id: &Arc<str>| {
            let waiting = self.waiting.get(id);
            waiting.is_some_and(|waiting| {
                waiting.parents.iter().all(|parent| self.ended.contains_key(parent))
            })
        };
        let mut ready: Vec<Arc<str>> = candidates.into_iter().filter(is_ready).collect();
        ready.sort_unstable();
        ready.dedup();
        for id in &ready {
            self.waiting.remove(id);
            self.reading.insert(id.clone());
        }
        ready
    }
}

fn parents_of(shard: &v1::Shard) -> Vec<Arc<str>> {
    let parents = [&shard.parent_shard_id, &shard.adjacent_parent_shard_id];
    parents.into_iter().flatten().map(|parent| Arc::from(parent.as_str())).collect()
}

/// The shards of a list that have no parent in it: where reading begins that leaves nothing out.
pub(super) fn roots(all: &[v1::Shard]) -> HashSet<Arc<str>> {
    let listed: HashSet<&str> = all.iter().map(|shard| shard.shard_id.as_str()).collect();
    let is_root =
        |shard: &&v1::Shard| parents_of(shard).iter().all(|parent| !listed.contains(&**parent));
    all.iter().filter(is_root).map(|shard| Arc::from(shard.shard_id.as_str())).collect()
}

#[cfg(test)]
mod tests;
