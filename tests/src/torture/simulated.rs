//! Random operations on the engine over the simulated disk: kills, power cuts, clean stops.
//!
//! The same runs as in `cargo test`, only more of them. Where the sweep crashes at every
//! operation of a small life, these lives are long, and chance decides where they are cut.

use anyhow::Result;

use super::{Check, Figures, Plan};
use crate::simulation::{Settings, Simulation, Totals};

/// Restarts in the life of one disk.
const RESTARTS: u64 = 10;

pub(super) const CHECK: Check = Check {
    name: "simulated",
    tier: "A",
    rows: &["R2", "R14", "R15", "R28"],
    about: "long random lives over the simulated disk, with failing disks among them",
    needs: &[],
    run,
};

#[expect(clippy::unnecessary_wraps, reason = "every check has this shape")]
fn run(plan: &Plan) -> Result<Figures> {
    let seeds = plan.size(100, 2_000);
    plan.total(seeds);
    let mut totals = Totals::default();
    for offset in 0..seeds {
        let settings = Settings { faults: offset % 4 == 3 };
        let seed = plan.seed().wrapping_add(offset);
        // What is wrong is a panic that names the seed.
        totals.add(&Simulation::from_seed(seed, RESTARTS, settings));
        plan.advance(1);
    }
    let mut figures = Figures::default();
    figures.told("restarts", totals.restarts);
    figures.told("of them power cuts", totals.cuts);
    figures.told("records put", totals.put);
    figures.told("records read and compared", totals.read);
    figures.told("reshards", totals.reshards);
    figures.told("closed shards expired", totals.expired);
    figures.told("unsynced records lost, as mode os may", totals.lost_in_os);
    Ok(figures)
}
