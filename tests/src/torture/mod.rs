//! The torture command: what takes long, needs root, or is worth a figure.
//!
//! ```text
//!   cargo run --release -p anabranch-tests -- torture [--long] [--only NAME,...]
//!                                                     [--json FILE] [--seed N] [--list]
//!
//!   main -> command: parse -> for each Check of the registry below:
//!             lacks something it needs?  -> skipped, by name and with the reason
//!             run(&Plan) -> Figures      -> held, or failed where a figure misses its bar
//!             Err, or a panic            -> failed, with its words
//!           -> a table, JSON, and exit code 1 if one failed
//! ```
//!
//! # How to add a check
//!
//! 1. A file `torture/NAME.rs` with `pub(super) const CHECK: Check = Check { .. }` and its
//!    `fn run(plan: &Plan) -> anyhow::Result<Figures>`.
//! 2. A `mod NAME;` and a line in [`CHECKS`].
//!
//! A check prints nothing; it reports:
//!
//! - [`Plan::total`] and [`Plan::advance`] move the bar, [`Plan::say`] puts a few words beside it;
//! - [`Figures`] are the result, also of a run that found something: a violated promise is a
//!   figure with a bar (`figures.zero("lost", lost)`), and what one needs to find it again (seed,
//!   ordinal, file) goes into [`Figures::remark`]. `Err` is for what kept the check from running;
//! - what is missing on this machine goes into [`Check::needs`], which is looked at before the
//!   check runs; what turns out to be missing later is `Err(Missing::new("..").into())`. Both
//!   count as *skipped*. With [`NO_SKIPS`] in the environment, as in CI, a skip is a failure.
//!
//! Two sizes exist: what CI has time for (a check takes two minutes at most, on two cores) and
//! `--long`, the run of a night: `plan.size(20_000, 1_000_000)`. Chance comes from
//! [`Plan::seed`] alone. Files go into [`Plan::scratch`], which is removed afterwards.
//!
//! A check that wants a server starts [`program`]: the `anabranch` binary, as it is shipped.
//! A check that a mutant has to fail ([`mutants`]) ends at its first violation, so that a run of
//! mutants is quick.

mod command;
pub mod cuts;
mod damage;
mod faults;
mod figures;
mod fuzz;
mod interrupt;
mod loop_devices;
mod mutants;
mod need;
mod plan;
mod server;
mod service;
mod simulated;
mod strict;

use std::process::Command;

pub use command::{TortureArguments, run};
pub use figures::{Bar, Figure, Figures};
pub use mutants::{MutantsArguments, run as run_mutants};
pub use need::{Missing, Need};
pub use plan::Plan;

/// All checks, in the order in which they run: the cheapest first.
const CHECKS: &[Check] = &[
    strict::TAILS,
    strict::SWEEP,
    faults::SYNC_ERRORS,
    faults::FULL_DISK,
    faults::READ_ERRORS,
    faults::CLOCKS,
    damage::METADATA,
    damage::BY_HAND,
    damage::ITERATORS,
    fuzz::CHECK,
    damage::INDEX,
    damage::STALE,
    damage::TRUNCATIONS,
    damage::CATALOG_BITS,
    simulated::CHECK,
    damage::READERS,
    damage::SEGMENT_BITS,
    faults::SYNC_ERRORS_REAL,
    faults::CLOCKS_REAL,
    faults::FULL_DISK_REAL,
    service::UPGRADE,
    service::GRACEFUL_STOP,
    service::LARGE,
    service::RESHARDS,
    service::RESCALE,
    service::OVERLOAD,
    service::SMALL_MEMORY,
    service::SLOW_SUBSCRIBERS,
    service::RESTART_TIME,
    cuts::KILLS,
    cuts::EXT4,
    cuts::XFS,
    cuts::MACHINE,
];

/// In the environment, with any value: a check that cannot run here counts as failed.
pub const NO_SKIPS: &str = "ANABRANCH_TORTURE_NO_SKIPS";

/// In the environment: the mistake that the engine makes in a build with the feature `mutants`.
pub const MUTANT: &str = "ANABRANCH_MUTANT";

/// How the words of a check begin that panicked.
const PANICKED: &str = "panicked";

/// One check: a promise, and the faults it is held against.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// Its name, for `--only`: lower case, words joined by dashes.
    pub name: &'static str,
    /// The tier of the matrix: `A` to `D`, or `real` for a plain process on a plain disk.
    pub tier: &'static str,
    /// The rows of the matrix that it covers, such as `R2`.
    pub rows: &'static [&'static str],
    /// What it does, in a line.
    pub about: &'static str,
    /// What has to be there for it.
    pub needs: &'static [Need],
    /// Does it.
    pub run: fn(&Plan) -> anyhow::Result<Figures>,
}

/// The name under which the command is the server: see [`program`].
pub const PROGRAM: &str = "anabranch";

/// The program itself, `anabranch`: this very executable, which becomes the server when it is
/// started under that name ([`PROGRAM`]), be it by the first argument or by a link to it.
/// The environment is cleaned of what a person has set for servers; a mutant
/// ([`MUTANT`]) is passed on.
pub fn program() -> Command {
    use std::os::unix::process::CommandExt;
    let this = std::env::current_exe().expect("a program that runs has a path");
    let mut command = Command::new(this);
    command.arg0(PROGRAM);
    with_clean_environment(&mut command);
    command
}

/// Takes out of the environment what a person has set for servers.
fn with_clean_environment(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("ANABRANCH_") && name != MUTANT {
            command.env_remove(&*name);
        }
    }
}
