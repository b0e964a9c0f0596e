use proptest::prelude::*;

use super::*;

const ALL: HashKeyRange = HashKeyRange { start: HashKey(0), end: HashKey(u128::MAX) };

fn range(start: u128, end: u128) -> HashKeyRange {
    HashKeyRange { start: HashKey(start), end: HashKey(end) }
}

fn load(range: HashKeyRange, weights: &[(u128, u64)]) -> KeyLoad {
    KeyLoad::new(range, weights.iter().map(|(key, weight)| (HashKey(*key), *weight)))
}

/// Puts `count` records one after the other, `key` of its number each.
fn put(sketch: &mut Sketch, count: u32, now: Duration, key: impl Fn(u32) -> u128) {
    sketch.sample_with(count, 0..count, now, |number| (HashKey(key(number)), 100));
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn an_even_load_is_halved_in_the_middle() {
    let keys: Vec<_> = (0..1000u128).map(|key| (key << 118, 1)).collect();
    let halving = load(ALL, &keys).halving().unwrap();
    assert!((halving.below - 0.5).abs() < 0.01, "{halving:?}");
    let halving = load(ALL, &keys[..10]).halving().unwrap();
    assert_eq!((halving.at, halving.below), (HashKey((4 << 118) + (1 << 117)), 0.5));
}

#[test]
fn a_skewed_load_is_halved_where_its_weight_is() {
    let mut keys: Vec<_> = (0..100).map(|key| (key, 1)).collect();
    keys[90].1 = 100;
    let halving = load(range(0, 1000), &keys).halving().unwrap();
    // 90 below, 109 above: better than 190 to 9.
    assert_eq!(halving.at, HashKey(90));
    assert!((halving.below - 90.0 / 199.0).abs() < 1e-9);
}

#[test]
fn one_hash_key_with_nearly_all_of_the_load_is_not_worth_a_split() {
    let mut keys: Vec<_> = (0..100).map(|key| (key, 1)).collect();
    keys[50].1 = 2000;
    let skewed = load(range(0, 1000), &keys);
    assert_eq!(skewed.halving(), None);
    let hottest = skewed.hottest().unwrap();
    assert_eq!(hottest.key, HashKey(50));
    assert!(hottest.share > 0.95);
    assert_eq!(load(ALL, &[(7, 100); 20]).halving(), None);
}

#[test]
fn too_few_samples_and_keys_of_others_say_nothing() {
    assert_eq!(load(ALL, &[]).halving(), None);
    assert_eq!(load(ALL, &[]).hottest(), None);
    assert_eq!(load(ALL, &[(1, 5), (1 << 100, 5)]).halving(), None);
    let keys: Vec<_> = (0..100).map(|key| (key, 1)).collect();
    assert_eq!(load(range(1000, 2000), &keys).halving(), None);
}

#[test]
fn a_range_is_split_only_where_the_service_allows_it() {
    for width in 0..3 {
        assert_eq!(legal_splits(range(10, 10 + width)), None);
        assert_eq!(middle(range(10, 10 + width)), None);
    }
    assert_eq!(legal_splits(range(10, 13)), Some(range(12, 12)));
    assert_eq!(middle(range(10, 13)), Some(HashKey(12)));
    assert_eq!(middle(ALL), Some(HashKey(1 << 127)));
    assert_eq!(legal_splits(range(u128::MAX - 1, u128::MAX)), None);
    // The load lies at the border that no split may touch.
    let keys: Vec<_> = [(10, 1); 10].into_iter().chain([(11, 1); 10]).collect();
    assert_eq!(load(range(10, 100), &keys).halving(), None);
    let keys: Vec<_> = [(10, 1); 10].into_iter().chain([(13, 1); 10]).collect();
    assert_eq!(load(range(10, 13), &keys).halving().unwrap().at, HashKey(12));
}

#[test]
fn at_any_rate_the_samples_cover_the_last_twenty_seconds_and_little_more() {
    for rate in [50, 1000, 30_000, 700_000] {
        let mut sketch = Sketch::new(7, Arc::default());
        for second in 0..40 {
            for part in 0..10 {
                let now = Duration::from_millis(second * 1000 + part * 100);
                put(&mut sketch, rate / 10, now, |_| u128::from(second));
            }
        }
        assert!(sketch.samples.len() <= SAMPLES_MAX);
        let of = |second: u64| sketch.samples.iter().filter(|it| it.second == second).count();
        let newest = of(39);
        let expected = (rate as usize).min(SAMPLES_MAX / COVERED_SECONDS as usize);
        assert!((expected * 7 / 10..=expected * 14 / 10).contains(&newest), "{rate}: {newest}");
        if rate >= 1000 {
            assert!(of(22) > 0 && of(10) == 0, "{rate}");
        }
        // What they stand for is what was put.
        let stood_for: u32 =
            sketch.samples.iter().filter(|it| it.second >= 35).map(|it| it.stands_for).sum();
        let (stood_for, put) = (f64::from(stood_for), f64::from(rate * 5));
        assert!((stood_for / put - 1.0).abs() < 0.25, "{rate}: {stood_for} of {put}");
    }
}

#[test]
fn a_sudden_rush_does_not_cost_a_sample_for_each_record() {
    let mut sketch = Sketch::new(3, Arc::default());
    let described = std::cell::Cell::new(0);
    for _ in 0..1000 {
        sketch.sample_with(500, 0..500u128, seconds(5), |key| {
            described.set(described.get() + 1);
            (HashKey(key), 1)
        });
    }
    // 500,000 records in a second that began without any.
    assert!(described.get() < 2500, "{}", described.get());
}

#[test]
fn a_producer_that_goes_round_its_keys_is_seen_as_it_is() {
    let mut sketch = Sketch::new(11, Arc::default());
    let mut number = 0u128;
    for second in 0..20 {
        for _ in 0..100 {
            sketch.sample_with(10, 0..10u128, seconds(second), |of| {
                (HashKey(((number + of) % 10) << 120), 1)
            });
            number += 10;
        }
    }
    let load = sketch.key_load(ALL, false, seconds(20));
    assert_eq!(load.keys.len(), 10);
    for (key, weight) in &load.keys {
        let share = *weight as f64 / load.total as f64;
        assert!((share - 0.1).abs() < 0.05, "{key}: {share}");
    }
}

#[test]
fn what_was_put_long_ago_is_not_part_of_the_load() {
    let mut sketch = Sketch::new(1, Arc::default());
    put(&mut sketch, 20, seconds(0), u128::from);
    assert!(sketch.key_load(ALL, false, seconds(60)).hottest().is_some());
    assert!(sketch.key_load(ALL, false, seconds(61)).hottest().is_none());
    sketch.shrink(seconds(61));
    assert_eq!(sketch.samples.capacity(), 0);
}

#[test]
fn of_many_sketches_each_keeps_the_newest_samples_of_its_share() {
    let memory = Arc::new(SampleMemory::new(4 * SAMPLES_LEAST));
    let mut sketches: Vec<_> = (0..4).map(|seed| Sketch::new(seed, memory.clone())).collect();
    for sketch in &mut sketches {
        for second in 0..40 {
            put(sketch, 1000, seconds(second), |_| u128::from(second));
        }
    }
    // The first one took all of the room that there is beside the least.
    assert_eq!(sketches[0].samples.len(), 5 * SAMPLES_LEAST);
    assert_eq!(sketches[1].samples.len(), SAMPLES_LEAST);
    assert_eq!(memory.taken(), 4 * SAMPLES_LEAST);
    let busy = sketches.iter_mut().filter_map(|sketch| sketch.shrink(seconds(40)).then_some(()));
    memory.divide(busy.count());
    for sketch in &mut sketches {
        for second in 40..80 {
            put(sketch, 1000, seconds(second), |_| u128::from(second));
        }
        let of = |second: u64| sketch.samples.iter().filter(|it| it.second == second).count();
        assert_eq!(sketch.samples.len(), 2 * SAMPLES_LEAST);
        assert!(of(79) > 0 && of(63) > 0 && of(45) == 0, "it covers twenty seconds, as ever");
    }
    assert_eq!(memory.taken(), 4 * SAMPLES_LEAST);
    sketches.truncate(1);
    assert_eq!(memory.taken(), SAMPLES_LEAST);
}

proptest! {
    #[test]
    fn a_halving_is_legal_and_no_other_split_is_better(
        keys in prop::collection::vec((0u128..200, 1u64..50), 8..80),
        start in 0u128..50,
        width in 0u128..150,
    ) {
        let range = range(start, start + width);
        let within: Vec<_> =
            keys.iter().filter(|(key, _)| range.contains(HashKey(*key))).copied().collect();
        let total: u64 = within.iter().map(|(_, weight)| weight).sum();
        let below = |at: u128| -> u64 {
            within.iter().filter(|(key, _)| *key < at).map(|(_, weight)| weight).sum()
        };
        let heavier = |at: u128| below(at).max(total - below(at));
        let legal = (start + 2)..(start + width);
        let best = legal.clone().map(heavier).min();
        let found = load(range, &keys).halving();
        if let Some(halving) = found {
            let at = halving.at.0;
            prop_assert!(legal.contains(&at));
            prop_assert_eq!(Some(heavier(at)), best);
            prop_assert!((halving.below - below(at) as f64 / total as f64).abs() < 1e-9);
        } else if within.len() >= SAMPLES_MIN {
            let lighter = best.map_or(0, |heavier| total - heavier);
            prop_assert!((lighter as f64) < LIGHT_SIDE_MIN * total as f64);
        }
    }
}
