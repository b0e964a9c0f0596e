//! Resharding: a stream changes shape while records are put into it.
//!
//! ```text
//!   parents refuse -> drained and synced -> one transaction: parents closed, children there
//!     (puts wait)                             |
//!                                             +-> new Shards -> parents closed -> puts go on, to
//!                                                 the children; readers meet the end
//! ```
//!
//! What a parent has acknowledged lies below its end, and what the children take comes after it: so
//! nothing is lost or put twice, and a key's records have their order along the lineage. If the
//! change cannot be recorded the parents take records again.

mod plan;

use std::collections::HashMap;
use std::sync::Arc;

pub use self::plan::{OpenRange, Step};
use self::plan::{Plan, Planned};
use crate::catalog::{ShardClosed, ShardEntry};
use crate::error::{Error, Result};
use crate::ids::ShardId;
use crate::mutant::Mutant;
use crate::open;
use crate::sequence::SequenceNumber;
use crate::shard::{Drained, Shard};
use crate::shards::Shards;
use crate::state::State;
use crate::stream::{Changer, Stream};

/// The steps after which `target` shards of a stream, 1 to 10,000, tile the hash space evenly.
pub fn uniform(shards: &Shards, target: u32) -> Result<Vec<Step>> {
    plan::uniform(&open_ranges(shards), next_id(shards)?, target)
}

fn open_ranges(shards: &Shards) -> Vec<OpenRange> {
    shards.open().map(|open| OpenRange { id: open.id(), range: open.hash_key_range() }).collect()
}

fn next_id(shards: &Shards) -> Result<ShardId> {
    plan::next_id(shards.last().expect("a stream has at least one shard").id())
}

/// A parent that is closing; dropped on the way, it takes records again.
struct Closing {
    shard: Arc<Shard>,
    drained: Option<Drained>,
    is_done: bool,
    /// Why it takes no records when it is given up, if it takes none.
    refusal: Option<Error>,
}

impl Closing {
    fn begin(shard: Arc<Shard>) -> Result<Closing> {
        shard.begin_close()?;
        Ok(Closing { shard, drained: None, is_done: false, refusal: None })
    }

    /// The number behind the last record, once it is drained.
    fn drained(&self) -> &Drained {
        self.drained.as_ref().expect("every parent is drained before it is asked for")
    }

    /// The shard is closed: readers and producers are told.
    fn finish(&mut self, closed: ShardClosed) {
        self.is_done = true;
        self.shard.finish_close(closed);
    }

    /// Ends its file, once it is closed. Waits for the disk.
    fn seal(mut self) {
        self.shard.seal(self.drained.take().expect("every parent was drained"));
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        if !self.is_done {
            self.shard.reopen(self.drained.take(), self.refusal.take());
        }
    }
}

/// Makes the steps, all of them or none. Waits for the disk.
pub(crate) fn reshard(
    state: &State,
    stream: &Arc<Stream>,
    steps: &[Step],
    by: Changer,
) -> Result<()> {
    state.settle();
    if state.streams.lock().begin_owed.is_some() {
        return Err(Error::DiskFull);
    }
    let _updating = stream.begin_update(by)?;
    let shards = stream.shards();
    let plan = plan::plan(&open_ranges(&shards), next_id(&shards)?, steps)?;
    let Some(highest) = plan.made.last() else { return Ok(()) };
    tracing::debug!(stream = %stream.name(), ?steps, shards = highest.id.0 + 1, "resharding");

    let parent = |id: &ShardId| shards.get(*id).expect("the plan closes open shards").clone();
    let closing = plan.closed.iter().map(|id| Closing::begin(parent(id)));
    let mut closing = closing.collect::<Result<Vec<_>>>()?;
    for closing in &mut closing {
        closing.drained = Some(closing.shard.drain()?);
    }
    let entries = entries(&plan, &closing, state.shared.now_ms());
    let marks: Vec<_> = closing
        .iter()
        .filter_map(|closing| Some((closing.shard.id(), closing.drained().mark?)))
        .collect();
    let marks = if Mutant::CloseUnmarked.is_on() { &[] } else { &marks[..] };
    let (closed, made) = entries.split_at(closing.len());
    let reshape = || {
        let children = made.iter().map(|entry| {
            Arc::new(open::new_shard(&state.shared, &state.cache, stream.identity(entry), entry))
        });
        stream.reshape(&plan.closed, |shards| shards.extend(children));
    };
    if Mutant::ShapeEarly.is_on() {
        reshape();
    }
    let record = || state.catalog.put_shards(stream.id(), &entries, marks, || ());
    if let Err(error) = state.with_reserve(record) {
        if state.catalog.is_in_doubt() && !Mutant::ReopenInDoubt.is_on() {
            // A start would find the parents closed, and what they take from now on behind their
            // ends. They wait until the catalog says otherwise.
            let in_doubt = Error::StreamInDoubt { name: stream.name().clone() };
            for closing in &mut closing {
                closing.refusal = Some(in_doubt.clone());
            }
            drop(closing);
            state.streams.lock().suspended.push(stream.clone());
        }
        return Err(error);
    }

    if !Mutant::ShapeEarly.is_on() {
        reshape();
    }
    // All are told before the first one is sealed: producers wait.
    for (closing, entry) in closing.iter_mut().zip(closed) {
        closing.finish(entry.closed.expect("these are closed"));
    }
    closing.into_iter().for_each(Closing::seal);
    let streams = state.streams.lock();
    if streams.is_stopping {
        // Whoever stops the engine has not seen the children.
        stream.shards().open().for_each(|shard| shard.stop());
    } else if streams.suspended.iter().any(|suspended| Arc::ptr_eq(suspended, stream)) {
        stream.suspend(&Error::StreamInDoubt { name: stream.name().clone() });
    }
    Ok(())
}

/// The entries of the parents, in the order of `closing`, and of their descendants behind them.
fn entries(plan: &Plan, closing: &[Closing], now_ms: u64) -> Vec<ShardEntry> {
    let mut lineage: Vec<_> = closing.iter().map(Descent::of_parent).collect();
    let mut positions: HashMap<_, _> =
        (0..).zip(&lineage).map(|(position, parent)| (parent.entry.id, position)).collect();
    for made in &plan.made {
        let parents: Vec<usize> =
            made.parents.iter().flatten().map(|parent| positions[parent]).collect();
        let highest = |of: &dyn Fn(&Descent) -> u64| {
            parents.iter().map(|&parent| of(&lineage[parent])).max().unwrap_or(0)
        };
        let created_ms = child_created_ms(highest(&|parent| parent.entry.created_ms), now_ms);
        let first_sequence = match Mutant::ChildFromOne.is_on() {
            true => SequenceNumber::FIRST,
            false => SequenceNumber(highest(&|parent| parent.next.0)),
        };
        for &parent in &parents {
            let last_sequence = SequenceNumber(lineage[parent].end.0.saturating_sub(1));
            lineage[parent].entry.closed = Some(ShardClosed { at_ms: created_ms, last_sequence });
        }
        let Planned { id, range, parents, .. } = *made;
        let entry = ShardEntry {
            id,
            range,
            parents,
            created_ms,
            first_sequence,
            closed: None,
            is_removing: false,
        };
        positions.insert(id, lineage.len());
        lineage.push(Descent { entry, end: first_sequence, next: first_sequence });
    }
    lineage.into_iter().map(|descent| descent.entry).collect()
}

/// A shard of a reshard, old or new.
struct Descent {
    entry: ShardEntry,
    /// The number behind its last record.
    end: SequenceNumber,
    /// A number that was handed out is below this.
    next: SequenceNumber,
}

impl Descent {
    fn of_parent(closing: &Closing) -> Descent {
        let drained = closing.drained();
        Descent { entry: closing.shard.entry(), end: drained.end, next: drained.next }
    }
}

/// When a child is said to be made: its second is above its parents', because the text of a
/// sequence number is compared by the second in which its shard was made.
fn child_created_ms(parents_created_ms: u64, now_ms: u64) -> u64 {
    now_ms.max((parents_created_ms / 1000 + 1) * 1000)
}

#[cfg(test)]
mod tests;
