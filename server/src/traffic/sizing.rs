//! How many shards a load needs, and what to do about the one there is.

use anabranch_engine::ids::ShardId;

use super::load::{Rate, Sums, WINDOW_SECONDS};
use super::read_budget;
use super::sketch::{Halving, Hottest};

/// A load to find a number of shards for.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Demand {
    /// KiB of keys and data put a second.
    pub in_kib_s: u64,
    /// Records put a second; 0 where only the bytes are known.
    pub in_records_s: u64,
    /// KiB pulled a second, by all who poll together. Registered consumers have throughput of
    /// their own and do not count.
    pub out_kib_s: u64,
}

/// How many shards a load needs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sizing {
    /// So many, at least 1.
    pub shards: u64,
    /// Why, in a sentence with the figures.
    pub reason: String,
}

/// The number of shards that a load needs, if it is spread evenly over them: by the limit that
/// needs most. (The service's formula, and its limit of records.)
pub fn size(demand: Demand) -> Sizing {
    let Demand { in_kib_s, in_records_s, out_kib_s } = demand;
    let (in_max, records_max) = (Rate::OF_A_SHARD.bytes >> 10, Rate::OF_A_SHARD.records);
    let out_max = u64::from(read_budget::BYTES.per_second) >> 10;
    let each = [
        (in_kib_s.div_ceil(in_max), format!("{in_kib_s} KiB/s in, at {in_max} a shard")),
        (
            in_records_s.div_ceil(records_max),
            format!("{in_records_s} records/s in, at {records_max} a shard"),
        ),
        (out_kib_s.div_ceil(out_max), format!("{out_kib_s} KiB/s out, at {out_max} a shard")),
    ];
    // The first of those that need as many.
    let (shards, why) = each.into_iter().rev().max_by_key(|(shards, _)| *shards).expect("three");
    match shards {
        0 => Sizing { shards: 1, reason: "a stream has at least one shard".to_owned() },
        shards => Sizing { shards, reason: format!("{shards} for {why}") },
    }
}

/// What an open shard did in the last minute.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ShardLoad {
    /// Which shard.
    pub id: ShardId,
    /// What happened in the last 60 whole seconds.
    pub sums: Sums,
    /// The most that was put in one of them.
    pub peak: Rate,
    /// The hash key with the most load, where that is known.
    pub hottest: Option<Hottest>,
    /// Where a split would halve the load, if one would.
    pub halving: Option<Halving>,
}

/// What is to be said about a stream's shards.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Advice {
    /// How many shards the load of the last minute needs, with as much again in reserve.
    pub shards: u64,
    /// The shards that took more than they should, the hottest first.
    pub hot: Vec<ShardId>,
    /// What to know and to do, a sentence each.
    pub sentences: Vec<String>,
}

/// Percent of what a shard takes above which it is worth saying so: the next peak is near.
const HOT_PERCENT: u64 = 80;

/// Hot shards that get a sentence. More would hide the rest.
const HOT_SENTENCES_MAX: usize = 10;

/// The part of a shard's load from which one hash key is worth naming.
const HOT_KEY_SHARE: f64 = 0.25;

/// What the load of the last minute asks for. `shards` are the open ones.
pub fn advise(shards: &[ShardLoad]) -> Advice {
    let peak = shards.iter().fold(Rate::default(), |sum, shard| sum.plus(shard.peak));
    let pulled: u64 = shards.iter().map(|shard| shard.sums.polled_bytes).sum();
    let throttled: u64 = shards.iter().map(|shard| shard.sums.throttled_records).sum();
    let out_kib_s = (pulled / WINDOW_SECONDS).div_ceil(1 << 10);
    let with_reserve = size(Demand {
        in_kib_s: (2 * peak.bytes).div_ceil(1 << 10),
        in_records_s: 2 * peak.records,
        out_kib_s,
    });
    let open = shards.len() as u64;
    let mut sentences = vec![format!(
        "{open} shards are open; twice the peak of the last minute ({peak}) and what was pulled \
         ({out_kib_s} KiB/s) would need {}.",
        with_reserve.shards
    )];
    if throttled > 0 {
        sentences.push(format!("{throttled} records were refused in the last minute."));
    }
    let mut hot: Vec<_> = shards
        .iter()
        .filter(|shard| {
            shard.peak.percent_of_a_shard() >= HOT_PERCENT || shard.sums.throttled_records > 0
        })
        .collect();
    hot.sort_by_key(|shard| (std::cmp::Reverse(shard.peak.percent_of_a_shard()), shard.id));
    sentences.extend(hot.iter().take(HOT_SENTENCES_MAX).map(|shard| about(shard)));
    if let Some(more) = hot.len().checked_sub(HOT_SENTENCES_MAX).filter(|more| *more > 0) {
        sentences.push(format!("{more} more shards are hot."));
    }
    if hot.is_empty() && with_reserve.shards < open && throttled == 0 {
        sentences.push("None is hot: there is room to merge.".to_owned());
    }
    Advice {
        shards: with_reserve.shards,
        hot: hot.iter().map(|shard| shard.id).collect(),
        sentences,
    }
}

fn about(shard: &ShardLoad) -> String {
    let ShardLoad { id, peak, hottest, halving, .. } = shard;
    let what =
        format!("{id} took up to {peak}, {} % of what a shard takes", peak.percent_of_a_shard());
    let key = hottest
        .filter(|hottest| hottest.share >= HOT_KEY_SHARE)
        .map_or_else(String::new, |Hottest { key, share }| {
            format!("; the hash key {key} is {:.0} % of it", share * 100.0)
        });
    match halving {
        Some(halving) => format!("{what}{key}; a split at {} would halve it.", halving.at),
        None if key.is_empty() => format!("{what}; where it halves is not known yet."),
        None => format!("{what}{key}, so that a split does not help: spread that key."),
    }
}

#[cfg(test)]
mod tests {
    use anabranch_engine::hash_key::HashKey;

    use super::*;

    fn shard(id: u32, records: u64, bytes: u64) -> ShardLoad {
        ShardLoad {
            id: ShardId(id),
            sums: Sums { records_in: records * 60, bytes_in: bytes * 60, ..Sums::default() },
            peak: Rate { records, bytes },
            hottest: None,
            halving: None,
        }
    }

    #[test]
    fn the_limit_that_needs_most_shards_decides() {
        let shards = |in_kib_s, in_records_s, out_kib_s| {
            size(Demand { in_kib_s, in_records_s, out_kib_s }).shards
        };
        assert_eq!(shards(0, 0, 0), 1);
        assert_eq!(shards(1024, 0, 2048), 1);
        assert_eq!(shards(1025, 0, 0), 2);
        assert_eq!(shards(0, 2001, 0), 3);
        assert_eq!(shards(5 * 1024, 0, 20 * 1024), 10);
        let sizing = size(Demand { in_kib_s: 3000, in_records_s: 100, out_kib_s: 6000 });
        assert_eq!(sizing.reason, "3 for 3000 KiB/s in, at 1024 a shard");
    }

    #[test]
    fn advice_names_the_hot_shard_and_what_helps() {
        let mut loads = vec![shard(0, 100, 1000), shard(1, 990, 1000), shard(2, 850, 1000)];
        loads[1].sums.throttled_records = 7;
        loads[1].hottest = Some(Hottest { key: HashKey(5), share: 0.95 });
        loads[2].halving = Some(Halving { at: HashKey(99), below: 0.5 });
        let advice = advise(&loads);
        assert_eq!(advice.hot, [ShardId(1), ShardId(2)]);
        assert_eq!(advice.shards, 4);
        assert_eq!(
            advice.sentences,
            [
                "3 shards are open; twice the peak of the last minute (1940 records/s and 0.003 \
                 MiB/s) and what was pulled (0 KiB/s) would need 4.",
                "7 records were refused in the last minute.",
                "shardId-000000000001 took up to 990 records/s and 0.001 MiB/s, 99 % of what a \
                 shard takes; the hash key 5 is 95 % of it, so that a split does not help: spread \
                 that key.",
                "shardId-000000000002 took up to 850 records/s and 0.001 MiB/s, 85 % of what a \
                 shard takes; a split at 99 would halve it.",
            ]
        );
    }

    #[test]
    fn a_quiet_stream_is_told_that_it_has_room() {
        let loads: Vec<_> = (0..8).map(|id| shard(id, 10, 1000)).collect();
        let advice = advise(&loads);
        assert_eq!((advice.shards, advice.hot.len()), (1, 0));
        assert_eq!(advice.sentences.last().unwrap(), "None is hot: there is room to merge.");
        let loads: Vec<_> = (0..30).map(|id| shard(id, 900, 1000)).collect();
        let advice = advise(&loads);
        assert_eq!((advice.hot.len(), advice.sentences.len()), (30, 1 + 10 + 1));
    }
}
