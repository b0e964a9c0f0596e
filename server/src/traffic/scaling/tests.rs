use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::traffic::load::{Count, Load};
use crate::traffic::sketch::Sketch;

const MIB: u64 = 1 << 20;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn policy() -> Policy {
    Policy::of(0)
}

/// Shards that tile the hash space, each with so many records a second of 100 bytes.
fn tiled(records: &[u64], age: Duration) -> Vec<ShardView> {
    let ranges = HashKeyRange::tile(records.len() as u32);
    let view = |(index, (range, records)): (usize, (HashKeyRange, &u64))| ShardView {
        id: ShardId(index as u32),
        range,
        rate: Rate { records: *records, bytes: records * 100 },
        age,
        halving: sketch::middle(range).map(|at| Halving { at, below: 0.5 }),
    };
    ranges.zip(records).enumerate().map(view).collect()
}

/// A history of so many seconds in which the shards were as they are.
fn steady(views: &[ShardView], length: u64) -> History {
    let mut history = History::default();
    for second in 0..=length {
        history.observe(views, seconds(second));
    }
    history
}

fn decide_after(views: &[ShardView], length: u64) -> Vec<Decision> {
    decide(views, &steady(views, length), policy(), seconds(length))
}

#[test]
fn a_shard_over_half_of_what_it_takes_is_split_where_its_load_halves() {
    let views = tiled(&[100, 600, 100, 100], seconds(60));
    let decisions = decide_after(&views, 10);
    let [Decision::Split { shard, at, reason }] = &decisions[..] else {
        panic!("{decisions:?}");
    };
    assert_eq!((*shard, Some(*at)), (ShardId(1), sketch::middle(views[1].range)));
    assert_eq!(
        reason,
        "shardId-000000000001 took 600 records/s and 0.057 MiB/s over 5 s, 60 % of what a shard \
         takes (1000 records/s and 1.0 MiB/s) where 50 % are allowed; this parts its load 50 to 50"
    );
    assert_eq!(decide_after(&tiled(&[500; 4], seconds(60)), 10), []);
}

#[test]
fn a_shard_is_split_for_its_bytes_too() {
    let mut views = tiled(&[10; 4], seconds(60));
    views[2].rate.bytes = MIB * 6 / 10;
    let decisions = decide_after(&views, 10);
    assert!(matches!(&decisions[..], [Decision::Split { shard: ShardId(2), .. }]), "{decisions:?}");
}

#[test]
fn neither_a_young_shard_nor_one_with_a_single_hot_key_is_split() {
    assert_eq!(decide_after(&tiled(&[10, 900, 10, 10], seconds(5)), 10), []);
    let mut views = tiled(&[10, 900, 10, 10], seconds(60));
    views[1].halving = None;
    assert_eq!(decide_after(&views, 10), []);
}

#[test]
fn capacity_is_twice_the_peak_though_it_has_long_passed() {
    // 3,000 records/s were put once: six shards.
    let mut history = steady(&tiled(&[750; 4], seconds(60)), 10);
    let quiet = tiled(&[1; 4], seconds(60));
    history.observe(&quiet, seconds(3600 * 24));
    let decisions = decide(&quiet, &history, policy(), seconds(3600 * 24));
    assert_eq!(decisions.len(), 2, "{decisions:?}");
    let reason = "4 shards are open and 6 are needed, because twice the peak of the last 30 days \
                  is 6000 records/s and 0.6 MiB/s";
    assert_eq!(decisions[0].reason(), reason);
    // With six, none is merged, until the peak is forgotten.
    let mut history = steady(&tiled(&[500; 6], seconds(60)), 10);
    let quiet = tiled(&[1; 6], Duration::from_hours(1000));
    for minute in 0..20 {
        history.observe(&quiet, seconds(3600 + minute * 60));
    }
    assert_eq!(decide(&quiet, &history, policy(), seconds(3600 + 19 * 60)), []);
    let later = Duration::from_hours(30 * 24 + 1);
    history.observe(&quiet, later);
    assert_eq!(decide(&quiet, &history, policy(), later).len(), 1);
}

#[test]
fn warm_throughput_is_a_floor_and_splits_come_in_bounded_steps() {
    let views = tiled(&[0; 4], seconds(60));
    let decisions = decide(&views, &steady(&views, 1), Policy::of(10), seconds(1));
    assert_eq!(decisions.len(), 4);
    let views = tiled(&[0; 40], seconds(60));
    let decisions = decide(&views, &steady(&views, 1), Policy::of(400), seconds(1));
    assert_eq!(decisions.len(), SPLITS_PER_STEP_MAX);
    assert!(decisions[0].reason().ends_with("because the warm throughput is 400 MiB/s"));
    // As many as are needed, and none is merged.
    let views = tiled(&[0; 10], Duration::from_hours(1));
    assert_eq!(decide(&views, &steady(&views, 1000), Policy::of(10), seconds(1000)), []);
}

#[test]
fn a_stream_has_no_more_shards_than_it_may() {
    let views = tiled(&[900; 199], seconds(60));
    assert_eq!(decide_after(&views, 10).len(), 1);
    assert_eq!(decide_after(&tiled(&[900; 200], seconds(60)), 10), []);
}

#[test]
fn the_coldest_neighbours_are_merged_one_pair_at_a_time_and_never_below_four() {
    let views = tiled(&[100, 90, 80, 10, 20, 200], Duration::from_hours(1));
    assert_eq!(decide_after(&views, 899), []);
    let decisions = decide_after(&views, 900);
    let [Decision::Merge { shard, adjacent, reason }] = &decisions[..] else {
        panic!("{decisions:?}");
    };
    assert_eq!((*shard, *adjacent), (ShardId(3), ShardId(4)));
    assert_eq!(
        reason,
        "shardId-000000000003 and shardId-000000000004 together took at most 30 records/s and \
         0.003 MiB/s in the last 15 minutes, less than 25 % of what a shard takes (1000 records/s \
         and 1.0 MiB/s); 6 shards are open and 4 are needed, because an on-demand stream has at \
         least 4 shards"
    );
    assert_eq!(decide_after(&tiled(&[0; 4], Duration::from_hours(1)), 1000), []);
    assert_eq!(decide_after(&tiled(&[130; 5], Duration::from_hours(1)), 1000), []);
}

#[test]
fn a_young_shard_and_one_that_was_warm_lately_are_not_merged() {
    let mut views = tiled(&[10; 5], Duration::from_hours(1));
    for view in &mut views {
        view.age = COLD_TIME.saturating_sub(seconds(1));
    }
    assert_eq!(decide_after(&views, 1000), []);
    let cold = tiled(&[10; 5], Duration::from_hours(1));
    let mut history = steady(&cold, 1000);
    history.observe(&tiled(&[300; 5], Duration::from_hours(1)), seconds(1001));
    history.observe(&cold, seconds(1002));
    assert_eq!(decide(&cold, &history, policy(), seconds(1002)), []);
}

/// A stream in the small: shards with the real counters and sketches, keys with a load.
struct Simulation {
    now: Duration,
    history: History,
    shards: BTreeMap<ShardId, Simulated>,
    next: u32,
    decisions: Vec<(Duration, Decision)>,
}

struct Simulated {
    range: HashKeyRange,
    created: Duration,
    load: Load,
    sketch: Sketch,
    /// The shard whose split made it.
    split_of: Option<(ShardId, Duration)>,
}

impl Simulation {
    fn new() -> Simulation {
        let mut simulation = Simulation {
            now: seconds(1_000_000),
            history: History::default(),
            shards: BTreeMap::new(),
            next: 0,
            decisions: Vec::new(),
        };
        HashKeyRange::tile(SHARDS_MIN).for_each(|range| simulation.open(range, None));
        simulation
    }

    fn open(&mut self, range: HashKeyRange, split_of: Option<(ShardId, Duration)>) {
        let shard = Simulated {
            range,
            created: self.now,
            load: Load::default(),
            sketch: Sketch::new(self.next.into(), Arc::default()),
            split_of,
        };
        self.shards.insert(ShardId(self.next), shard);
        self.next += 1;
    }

    /// A second in which those keys are put to, each time `bytes`.
    fn second(&mut self, puts: &[HashKey], bytes: u32) {
        let mut by_range: Vec<_> = self.shards.values_mut().collect();
        by_range.sort_by_key(|shard| shard.range.start);
        let mut runs = vec![Vec::new(); by_range.len()];
        for key in puts {
            let behind = by_range.partition_point(|shard| shard.range.start <= *key);
            runs[behind - 1].push(*key);
        }
        for (shard, run) in by_range.into_iter().zip(runs) {
            let records = run.len() as u32;
            let put = Count { records, bytes: u64::from(records) * u64::from(bytes) };
            shard.sketch.sample_with(records, run, self.now, |key| (key, bytes));
            shard.load.put(put, Count::default(), self.now);
        }
        self.now += seconds(1);
        self.step();
    }

    fn views(&self) -> Vec<ShardView> {
        let view = |(id, shard): (&ShardId, &Simulated)| {
            let rate = shard.load.rate(RATE_SECONDS, self.now);
            let load = shard.sketch.key_load(shard.range, rate.is_bound_by_bytes(), self.now);
            let age = self.now.saturating_sub(shard.created);
            ShardView { id: *id, range: shard.range, rate, age, halving: load.halving() }
        };
        self.shards.iter().map(view).collect()
    }

    fn step(&mut self) {
        let views = self.views();
        self.history.observe(&views, self.now);
        for decision in decide(&views, &self.history, policy(), self.now) {
            self.carry_out(&decision);
            self.decisions.push((self.now, decision));
        }
        self.check();
    }

    fn carry_out(&mut self, decision: &Decision) {
        match decision {
            Decision::Split { shard, at, .. } => {
                let parent = self.shards.remove(shard).expect("an open shard");
                let HashKeyRange { start, end } = parent.range;
                let legal = sketch::legal_splits(parent.range).expect("wide enough");
                assert!(legal.contains(*at));
                let split_of = Some((*shard, self.now));
                self.open(HashKeyRange { start, end: HashKey(at.0 - 1) }, split_of);
                self.open(HashKeyRange { start: *at, end }, split_of);
            }
            Decision::Merge { shard, adjacent, .. } => {
                let lower = self.shards.remove(shard).expect("an open shard");
                let upper = self.shards.remove(adjacent).expect("an open shard");
                for (_, split_at) in [lower.split_of, upper.split_of].into_iter().flatten() {
                    assert!(self.now.saturating_sub(split_at) >= COLD_TIME, "{decision}");
                }
                assert_eq!(lower.range.end.0 + 1, upper.range.start.0);
                let range = HashKeyRange { start: lower.range.start, end: upper.range.end };
                self.open(range, None);
            }
        }
    }

    /// The open shards tile the hash space, and are as many as may be.
    fn check(&self) {
        let mut ranges: Vec<_> = self.shards.values().map(|shard| shard.range).collect();
        ranges.sort_by_key(|range| range.start);
        assert_eq!(ranges[0].start, HashKey(0));
        assert_eq!(ranges[ranges.len() - 1].end, HashKey(u128::MAX));
        assert!(ranges.windows(2).all(|pair| pair[0].end.0 + 1 == pair[1].start.0));
        assert!((SHARDS_MIN as usize..=SHARDS_MAX as usize).contains(&ranges.len()));
    }
}

/// The puts of a second by Zipf's law, in an order that has nothing to do with the keys: the n-th
/// key has 1/n^s of the first's, all together `records`. And how many the first has.
fn zipf(keys: u32, s: f64, records: f64) -> (Vec<HashKey>, usize) {
    let weights: Vec<f64> = (1..=keys).map(|rank| f64::from(rank).powf(-s)).collect();
    let total: f64 = weights.iter().sum();
    let puts_of = |weight: f64| (weight / total * records).round() as usize;
    let mut puts: Vec<_> = (0u32..)
        .zip(&weights)
        .flat_map(|(rank, weight)| {
            let text = format!("key-{rank}");
            let key = anabranch_engine::record::PartitionKey::from_bytes(text.as_bytes());
            std::iter::repeat_n(HashKey::of(key.expect("a legal key")), puts_of(*weight))
        })
        .collect();
    let mut random = 88_172_645_463_325_252u64;
    for left in (1..puts.len()).rev() {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        puts.swap(left, random as usize % (left + 1));
    }
    (puts, puts_of(weights[0]))
}

#[test]
fn a_zipf_load_is_spread_until_no_shard_that_can_be_split_is_over_its_capacity() {
    for (s, bytes) in [(0.8, 100), (1.0, 100), (1.2, 100), (1.0, 2000)] {
        let (puts, hottest) = zipf(2000, s, 12_000.0);
        let mut simulation = Simulation::new();
        for _ in 0..90 {
            simulation.second(&puts, bytes);
        }
        let rate_of = |records: usize| Rate {
            records: records as u64,
            bytes: records as u64 * u64::from(bytes),
        };
        for view in simulation.views() {
            if view.rate.percent_of_a_shard() <= 100 {
                continue;
            }
            // A single key is nearly all of what it has.
            assert_eq!(view.halving, None, "s={s}: {view:?}");
            let alone = rate_of(hottest).percent_of_a_shard();
            assert!(view.rate.percent_of_a_shard() * 9 <= alone * 10 + 10, "s={s}: {view:?}");
        }
        let open = simulation.shards.len() as u64;
        let peak = rate_of(puts.len());
        assert!(open >= peak.plus(peak).shards(), "s={s}: {open} shards");
        assert!(open <= 4 * peak.shards(), "s={s}: {open} shards");
        // Now nothing moves any more.
        let decided = simulation.decisions.len();
        for _ in 0..60 {
            simulation.second(&puts, bytes);
        }
        assert_eq!(simulation.decisions.len(), decided, "s={s}: {:?}", simulation.decisions);
    }
}

#[test]
fn a_stream_that_has_become_cold_goes_back_to_four_shards_after_thirty_days() {
    let mut simulation = Simulation::new();
    let (puts, _) = zipf(500, 0.5, 6000.0);
    for _ in 0..60 {
        simulation.second(&puts, 100);
    }
    let grown = simulation.shards.len();
    assert!(grown >= 12, "{grown}");
    simulation.now += Duration::from_hours(30 * 24 + 1);
    simulation.step();
    let mut steps = 0;
    while simulation.shards.len() > SHARDS_MIN as usize {
        simulation.now += seconds(30);
        simulation.step();
        steps += 1;
        assert!(steps < 2 * 60 * 5, "{} shards after hours", simulation.shards.len());
    }
    let later = |(at, _): &&(Duration, Decision)| *at > seconds(1_100_000);
    let merges = simulation.decisions.iter().filter(later);
    assert!(merges.clone().all(|(_, it)| matches!(it, Decision::Merge { .. })));
    assert_eq!(merges.count(), grown - SHARDS_MIN as usize);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// `Simulation::carry_out` asserts that the children of a split are not merged within the
    /// cold time, and `check` that the shards tile the space and keep to their bounds.
    #[test]
    fn whatever_the_load_a_split_is_not_undone_within_the_cold_time(
        phases in prop::collection::vec(
            (0u64..3000, prop::collection::vec((any::<u64>(), 0u32..600), 1..30), 1u32..5000),
            1..20),
    ) {
        let mut simulation = Simulation::new();
        for (pause, keys, bytes) in phases {
            let puts: Vec<_> = (0..600)
                .flat_map(|turn| keys.iter().filter(move |(_, records)| *records > turn))
                .map(|(key, _)| HashKey(u128::from(*key) << 64))
                .collect();
            for _ in 0..12 {
                simulation.second(&puts, bytes);
            }
            // What follows is quiet: housekeeping goes on at its pace.
            for _ in 0..pause / 20 {
                simulation.now += seconds(20);
                simulation.step();
            }
        }
    }
}
