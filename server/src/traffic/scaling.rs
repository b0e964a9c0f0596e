//! When an on-demand stream changes its shape: a pure function of what its shards took.
//!
//! ```text
//!                 hot: over half of what a shard takes, 5 s long
//!               +---------------------------------------------+
//!               |                                             v
//!   open shards +-- fewer than twice the peak of 30 days --> split, where the load halves
//!               |   or the warm throughput needs
//!               |
//!               +-- two neighbours, together under a quarter, 15 min long --> merge
//! ```
//!
//! A stream never has fewer than four shards. [`decide`] is asked every second with a view of
//! each open shard and the [`History`] that was fed with the same views. It never swings to and
//! fro: a shard is judged hot only after it was measured for five seconds, and merged only when
//! it is fifteen minutes old and was cold all the while, at less than half of the load at which
//! it would be split again; so what a split made is not merged for that long.
//!
//! The service publishes the four shards, the doubling of the peak and the thirty days. The other
//! figures are our reading of how it behaves.

mod history;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::time::Duration;

use anabranch_engine::hash_key::{HashKey, HashKeyRange};
use anabranch_engine::ids::ShardId;

pub use self::history::History;
use super::load::Rate;
use super::sketch::{self, Halving};

/// Open shards of an on-demand stream at least (service: 4 at the start).
pub const SHARDS_MIN: u32 = 4;

/// Open shards of an on-demand stream at most, unless its warm throughput asks for more (service:
/// 200 MiB/s of writes where no more is asked for).
pub const SHARDS_MAX: u32 = 200;

/// Whole seconds over which the rate of a shard is taken. Shorter ones would answer to a single
/// batch, longer ones keep producers waiting.
pub const RATE_SECONDS: u64 = 5;

/// Percent of what a shard takes above which it is hot. A split then leaves each half at a
/// quarter or more, and at twice the peak no shard is hot where the load is spread evenly.
pub const HOT_PERCENT: u64 = 50;

/// Percent of what a shard takes below which two neighbours together are cold.
pub const COLD_PERCENT: u64 = 25;

/// For how long two neighbours have been cold when they are merged.
pub const COLD_TIME: Duration = Duration::from_mins(15);

/// Splits that are decided at once. It bounds what one change of shape does to producers; a
/// stream that needs more has them seconds later.
pub const SPLITS_PER_STEP_MAX: usize = 16;

/// An open shard, as [`decide`] sees it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ShardView {
    /// Which shard.
    pub id: ShardId,
    /// What it owns of the hash space.
    pub range: HashKeyRange,
    /// What was put to it a second, the mean of the last [`RATE_SECONDS`] whole seconds.
    pub rate: Rate,
    /// For how long it has been there.
    pub age: Duration,
    /// Where its load halves; none where that is not known, or where one hash key has nearly all
    /// of it.
    pub halving: Option<Halving>,
}

/// What the stream's settings ask of its shape.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy {
    /// Open shards at most.
    pub shards_max: u32,
    /// Writes in MiB a second that the stream is ready for at any time; 0 for none.
    pub warm_throughput_mib_s: u32,
}

impl Policy {
    /// Of a stream with that warm throughput.
    pub fn of(warm_throughput_mib_s: u32) -> Policy {
        let most = anabranch_engine::limits::SHARDS_PER_STREAM_MAX;
        let shards_max = SHARDS_MAX.max(warm_throughput_mib_s).min(most);
        Policy { shards_max, warm_throughput_mib_s }
    }
}

/// A change of shape, and why. The reason is a sentence for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Decision {
    /// Split a shard in two.
    Split {
        /// The one to split.
        shard: ShardId,
        /// The first hash key of the upper half.
        at: HashKey,
        /// Why.
        reason: String,
    },
    /// Merge two neighbours.
    Merge {
        /// The lower one.
        shard: ShardId,
        /// The one above it.
        adjacent: ShardId,
        /// Why.
        reason: String,
    },
}

impl Decision {
    /// Why, in a sentence.
    pub fn reason(&self) -> &str {
        match self {
            Decision::Split { reason, .. } | Decision::Merge { reason, .. } => reason,
        }
    }
}

impl std::fmt::Display for Decision {
    /// What, without the reason.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Decision::Split { shard, at, .. } => write!(f, "split {shard} at {at}"),
            Decision::Merge { shard, adjacent, .. } => write!(f, "merge {shard} and {adjacent}"),
        }
    }
}

/// What to do about the stream's shape now: splits, or one merge, or nothing. `views` are its
/// open shards in any order.
pub fn decide(
    views: &[ShardView],
    history: &History,
    policy: Policy,
    now: Duration,
) -> Vec<Decision> {
    let need = Need::new(history.peak(now), policy);
    let room = (policy.shards_max as usize).saturating_sub(views.len());
    let splits = splits(views, &need, room.min(SPLITS_PER_STEP_MAX));
    if !splits.is_empty() {
        return splits;
    }
    match views.len() > need.shards as usize {
        true => merge(views, history, &need, now).into_iter().collect(),
        false => Vec::new(),
    }
}

/// How many shards the stream must have open, and why.
struct Need {
    shards: u32,
    reason: String,
}

impl Need {
    fn new(peak: Rate, policy: Policy) -> Need {
        let twice = peak.plus(peak);
        let for_peak = twice.shards().min(policy.shards_max.into()) as u32;
        let warm = policy.warm_throughput_mib_s.min(policy.shards_max);
        let (shards, reason) = if for_peak > warm.max(SHARDS_MIN) {
            (for_peak, format!("twice the peak of the last 30 days is {twice}"))
        } else if warm > SHARDS_MIN {
            (warm, format!("the warm throughput is {} MiB/s", policy.warm_throughput_mib_s))
        } else {
            (SHARDS_MIN, format!("an on-demand stream has at least {SHARDS_MIN} shards"))
        };
        Need { shards, reason }
    }
}

/// The shards to split, at most so many: the hot ones, and if there are still too few then, those
/// with the most load.
fn splits(views: &[ShardView], need: &Need, most: usize) -> Vec<Decision> {
    let mut measured: Vec<_> =
        views.iter().filter(|view| view.age.as_secs() > RATE_SECONDS).collect();
    // The hottest first, the widest where nothing is put; then by id, so that it is one order.
    measured.sort_by_key(|view| {
        let width = view.range.end.0 - view.range.start.0;
        (std::cmp::Reverse((view.rate.percent_of_a_shard(), width)), view.id)
    });
    let mut splits = Vec::new();
    let mut split = BTreeSet::new();
    for view in measured.iter().take_while(|view| is_hot(view.rate)) {
        if let (Some(halving), true) = (view.halving, splits.len() < most) {
            split.insert(view.id);
            let reason = hot_reason(view, halving);
            splits.push(Decision::Split { shard: view.id, at: halving.at, reason });
        }
    }
    for view in measured {
        let count = views.len() + splits.len();
        if count >= need.shards as usize || splits.len() >= most {
            break;
        }
        let at = view.halving.map(|halving| halving.at).or_else(|| sketch::middle(view.range));
        if let Some(at) = at.filter(|_| !split.contains(&view.id)) {
            let Need { shards, reason } = need;
            let reason =
                format!("{count} shards are open and {shards} are needed, because {reason}");
            splits.push(Decision::Split { shard: view.id, at, reason });
        }
    }
    splits
}

fn is_hot(rate: Rate) -> bool {
    rate.percent_of_a_shard() > HOT_PERCENT
}

fn hot_reason(view: &ShardView, halving: Halving) -> String {
    let below = (halving.below * 100.0).round();
    format!(
        "{} took {} over {RATE_SECONDS} s, {} % of what a shard takes ({}) where {HOT_PERCENT} % \
         are allowed; this parts its load {below:.0} to {:.0}",
        view.id,
        view.rate,
        view.rate.percent_of_a_shard(),
        Rate::OF_A_SHARD,
        100.0 - below,
    )
}

/// The pair of neighbours that has been coldest, if one has been cold for long enough.
fn merge(views: &[ShardView], history: &History, need: &Need, now: Duration) -> Option<Decision> {
    let mut by_range: Vec<_> = views.iter().collect();
    by_range.sort_by_key(|view| view.range.start);
    let cold = by_range.windows(2).filter_map(|pair| {
        let (lower, upper) = (pair[0], pair[1]);
        let are_neighbours = lower.range.end.0.checked_add(1) == Some(upper.range.start.0);
        let are_old = lower.age >= COLD_TIME && upper.age >= COLD_TIME;
        if !are_neighbours || !are_old {
            return None;
        }
        let peak = history.recent(lower.id, now)?.plus(history.recent(upper.id, now)?);
        // In parts of a thousand: where most pairs are quiet, the quietest is told apart.
        let permille = (peak.records * 1000 / Rate::OF_A_SHARD.records)
            .max(peak.bytes * 1000 / Rate::OF_A_SHARD.bytes);
        (permille < COLD_PERCENT * 10).then_some((permille, lower.id, upper.id, peak))
    });
    let (_, shard, adjacent, peak) =
        cold.min_by_key(|(permille, lower, ..)| (*permille, *lower))?;
    let reason = format!(
        "{shard} and {adjacent} together took at most {peak} in the last {} minutes, less than \
         {COLD_PERCENT} % of what a shard takes ({}); {} shards are open and {} are needed, \
         because {}",
        COLD_TIME.as_secs() / 60,
        Rate::OF_A_SHARD,
        views.len(),
        need.shards,
        need.reason,
    );
    Some(Decision::Merge { shard, adjacent, reason })
}
