//! The fuzz targets with inputs that were changed blindly: no coverage leads them, so there are
//! many. `tests/fuzz` is for a fuzzer that looks.

use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};

use anyhow::Result;

use super::{Check, Figures, Plan};
use crate::damage::{Tally, in_parallel};
use crate::fuzz::{TARGETS, Target};
use crate::support::Random;

pub(super) const CHECK: Check = Check {
    name: "fuzz",
    tier: "A",
    rows: &["R7", "R8", "R19"],
    about: "changed frames, segments, indexes, catalogs, tokens and requests",
    needs: &[],
    run,
};

/// How many times what `cargo test` does: in CI, and in a long run.
const TIMES: (u64, u64) = (3, 1_000);

#[expect(clippy::unnecessary_wraps, reason = "every check has this shape")]
fn run(plan: &Plan) -> Result<Figures> {
    let times = plan.size(TIMES.0, TIMES.1);
    plan.total(TARGETS.iter().map(|target| target.changes * times).sum());
    let mut figures = Figures::default();
    for target in &TARGETS {
        plan.say(target.name);
        let found = fuzz(target, target.changes * times, plan);
        figures.told(format!("inputs, {}", target.name), found.cases());
        figures.zero(format!("promises broken, {}", target.name), found.violations());
        figures.remark_all(found.examples());
    }
    Ok(figures)
}

fn fuzz(target: &Target, count: u64, plan: &Plan) -> Tally {
    let inputs = (target.seeds)();
    let tally = Tally::default();
    in_parallel(
        count,
        || tally.is_enough(),
        || (),
        |(), round| {
            let mut random = Random(plan.seed() ^ (round << 16));
            let input = (target.change)(&inputs, &mut random);
            let outcome = catch_unwind(AssertUnwindSafe(|| (target.run)(&input)));
            tally.case();
            tally.expect(outcome.is_ok(), || {
                let hex = input.iter().fold(String::new(), |mut hex, byte| {
                    let _ = write!(hex, "{byte:02x}");
                    hex
                });
                format!("{}: the input {hex}", target.name)
            });
            plan.advance(1);
        },
    );
    tally
}
