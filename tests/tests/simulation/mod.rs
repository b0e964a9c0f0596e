//! Which simulated runs there are: seeded loops, and operations that proptest chooses.
//!
//! A failure prints the seed, or the operations that proptest has shrunk it to.
//! `ANABRANCH_SIM_CYCLES` raises the number of restarts that the seeded loop goes through,
//! `ANABRANCH_SIM_SEED` is the first seed of it, and with `ANABRANCH_SIM_VERBOSE` every operation
//! is printed before it happens.

mod restarts;

use anabranch_tests::simulation::{Operation, Settings, Simulation, Totals, flip_some};
use anabranch_tests::support::Random;
use proptest::prelude::*;

/// Restarts of the seeded loop, unless the environment asks for more.
const CYCLES: u64 = 400;
/// Restarts in the life of one disk.
const CYCLES_PER_SEED: u64 = 10;

fn cycles() -> u64 {
    from_environment("ANABRANCH_SIM_CYCLES").unwrap_or(CYCLES)
}

fn from_environment(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn random_operations_with_kills_and_power_cuts_lose_nothing() {
    let mut totals = Totals::default();
    let first = from_environment("ANABRANCH_SIM_SEED").unwrap_or(0);
    for seed in first..first + cycles().div_ceil(CYCLES_PER_SEED) {
        totals.add(&Simulation::from_seed(seed, CYCLES_PER_SEED, Settings::default()));
    }
    println!("{totals}");
}

#[test]
fn random_operations_with_failing_disks_serve_nothing_wrong() {
    let settings = Settings { faults: true };
    let mut totals = Totals::default();
    for seed in 0..cycles().div_ceil(CYCLES_PER_SEED * 4) {
        totals.add(&Simulation::from_seed(1_000_000 + seed, CYCLES_PER_SEED, settings));
    }
    println!("{totals}");
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in [3, 11] {
        let settings = Settings { faults: seed == 11 };
        let traces = [(); 2].map(|()| Simulation::from_seed(seed, 6, settings).trace);
        assert_eq!(traces[0], traces[1], "seed {seed}");
    }
}

#[test]
fn flipped_bits_cost_the_frames_they_hit_and_are_reported() {
    let (mut reported, mut harmless) = (0, 0);
    for seed in 0..120 {
        if flip_some(seed) { reported += 1 } else { harmless += 1 }
    }
    println!("{reported} runs with damage reported, {harmless} where no record was hit");
    assert!(reported > 20 && harmless > 0, "{reported}, {harmless}");
}

/// A seed decides the fields of an operation, so that shrinking drops operations.
fn operation() -> impl Strategy<Value = Operation> {
    any::<u64>().prop_map(|seed| Operation::draw(&mut Random(seed), false))
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 24,
        // A case that fails is kept as a test of its own, not as a file of seeds.
        failure_persistence: None,
        max_shrink_iters: 2_000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn operations_of_any_order_keep_the_promises(
        seed in any::<u64>(),
        operations in proptest::collection::vec(operation(), 1..120),
    ) {
        let mut simulation = Simulation::new(seed);
        for operation in operations {
            simulation.apply(operation);
        }
        simulation.finish();
    }
}
