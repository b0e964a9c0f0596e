//! The command that tests the tests: `anabranch-tests mutants`.
//!
//! ```text
//!   cargo run --release -p anabranch-tests --features mutants -- mutants
//!         [--only NAME,...] [--held FILE] [--json FILE] [--seed N] [--list]
//! ```
//!
//! The engine knows how to make some mistakes on purpose (`engine/src/mutant.rs`), one to a
//! process. For each of them [`MUTANTS`] says what it breaks and which check has to find it. The
//! check runs as a process of this very program: once as the engine is, where it has to hold, and
//! once with each mutant, where it has to fail. A mutant is *killed* by a figure that misses its
//! bar, or by a panic of the check. A check that was skipped, that could not run, or that came to
//! no end has killed nothing. A mutant that survives is a hole in the tests.
//!
//! Nearly all of the time goes into checks that have to hold, as they run to their end. Whoever
//! has just run `torture --json FILE` with the same program names that file with `--held`.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::command::{plain_table, print};
use super::{CHECKS, Check};

/// A mutant, and what becomes of it.
struct Mutant {
    name: &'static str,
    /// The promise that it breaks, and how.
    breaks: &'static str,
    /// The row of the matrix that has to notice.
    row: &'static str,
    /// The check that has to fail.
    check: &'static str,
}

/// All mutants, those of a check one after the other. The engine knows the same names.
const MUTANTS: &[Mutant] = &[
    Mutant::new("m1", "R2", "sweep", "commits are not synced"),
    Mutant::new("m2", "R2", "sweep", "directories are not synced"),
    Mutant::new("m3", "R2", "sweep", "puts are acknowledged before their commit"),
    Mutant::new("m4", "R15", "sweep", "readers are shown what is not synced yet"),
    Mutant::new("same-incarnation", "R9", "sweep", "all lives of a file have one incarnation"),
    Mutant::new("roll-unsynced", "R2", "sweep", "a new segment's directory is not synced"),
    Mutant::new("reuse-numbers", "R2", "sweep", "numbers are used again after a cut"),
    Mutant::new("slice-beyond", "R15", "sweep", "a map is sliced beyond the durable end"),
    Mutant::new("proof-early", "R2", "sweep", "frames say too early what is durable"),
    Mutant::new("horizon-early", "R2", "sweep", "a horizon is shown before it is durable"),
    Mutant::new("removal-unsynced", "R2", "sweep", "a tombstone goes before the files do"),
    Mutant::new("catalog-unsynced", "R2", "sweep", "a new catalog's name is not synced"),
    Mutant::new("unclean-tail", "R2", "tails", "an unclean tail is served without a rewrite"),
    Mutant::new("tail-unzeroed", "R2", "tails", "what is cut is not zeroed"),
    Mutant::new("tail-unsynced", "R2", "tails", "what recovery writes and zeroes is not synced"),
    Mutant::new("mark-early", "R2", "tails", "more is recorded as durable than is"),
    Mutant::new("clean-anyway", "R6", "tails", "a stop is clean although its sync failed"),
    Mutant::new("m8", "R6", "tails", "a failed sync is tried again"),
    Mutant::new("names-kept", "R6", "sync-errors", "names whose sync failed are built on"),
    Mutant::new("m9", "R12", "full-disk", "a short write passes for a whole one"),
    Mutant::new("m13", "R12", "full-disk", "a full disk is not noticed"),
    Mutant::new("m10", "R18", "clocks", "retention believes the wall clock"),
    Mutant::new("m5", "R7", "segment-bits", "readers do not look at checksums"),
    Mutant::new("m6", "R7", "segment-bits", "the first bad frame ends the log"),
    Mutant::new("no-proof", "R7", "segment-bits", "damage is judged without durable_below"),
    Mutant::new("forget-claims", "R7", "segment-bits", "what a cut frame claims is used again"),
    Mutant::new("proof-near", "R7", "by-hand", "a proof is sought in the next 64 KiB only"),
    Mutant::new("any-header", "R7", "by-hand", "a segment of another log is taken for ours"),
    Mutant::new("old-catalog", "R11", "by-hand", "a clean stop is believed whatever came later"),
    Mutant::new("close-unmarked", "R7", "by-hand", "a closed shard's end is not recorded"),
    Mutant::new("m7", "R9", "stale", "frames of earlier lives of a file pass"),
    Mutant::new("m12", "R8", "truncations", "the end of a file is off by one"),
    Mutant::new("close-undrained", "R28", "simulated", "a shard is closed with records staged"),
    Mutant::new("child-from-one", "R28", "simulated", "the numbers of a child begin at 1"),
    Mutant::new("shape-early", "R28", "simulated", "children are there before the catalog says so"),
    Mutant::new("files-first", "R28", "simulated", "an expired shard's files go before its entry"),
    Mutant::new("reopen-in-doubt", "R28", "simulated", "parents go on while it is in doubt"),
    Mutant::new("recycle-shared", "R13", "readers", "a segment is recycled under a living slice"),
];

/// What can be asked for.
#[derive(Args, Debug)]
pub struct MutantsArguments {
    /// Try these mutants only
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    only: Vec<String>,

    /// Take from the JSON of a torture run which checks hold, and do not run them again
    #[arg(long, value_name = "FILE")]
    held: Option<PathBuf>,

    /// Write the JSON to a file as well (-: to standard output, and no table)
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Where all chance comes from
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Say which mutants there are, and try none
    #[arg(long)]
    list: bool,
}

/// A check that takes longer than this, on a machine with much else to do, hangs.
const TIMEOUT: Duration = Duration::from_secs(300);

/// How often to look whether a check has ended.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How a run of a check ended.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Ended {
    Held,
    /// A figure missed its bar, or the check panicked: what it was, and what was remarked.
    Found(String),
    /// It says nothing about the promise.
    Inconclusive(String),
}

struct Ran {
    ended: Ended,
    took: Duration,
}

impl Mutant {
    const fn new(
        name: &'static str,
        row: &'static str,
        check: &'static str,
        breaks: &'static str,
    ) -> Mutant {
        Mutant { name, breaks, row, check }
    }

    fn check(&self) -> &'static Check {
        let found = CHECKS.iter().find(|check| check.name == self.check);
        found.expect("a test compares the names with the registry")
    }
}

/// Tries the mutants asked for and prints what became of them.
pub fn run(arguments: &MutantsArguments) -> ExitCode {
    match try_mutants(arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn try_mutants(arguments: &MutantsArguments) -> Result<ExitCode> {
    let chosen = chosen(&arguments.only)?;
    if arguments.list {
        print(&list(&chosen))?;
        return Ok(ExitCode::SUCCESS);
    }
    ensure!(
        cfg!(feature = "mutants"),
        "there is no mutant in this build; it takes another one: \
         cargo run --release -p anabranch-tests --features mutants -- mutants"
    );
    let begun = Instant::now();
    let scratch = tempfile::tempdir().context("cannot make a scratch directory")?;
    let run = |check: &'static str, mutant: Option<&'static str>| {
        let report = scratch.path().join(mutant.unwrap_or(check));
        let ran = run_check(check, mutant, arguments.seed, &report)?;
        let (what, took) = (mutant.unwrap_or("no mutant"), ran.took.as_secs_f64());
        eprintln!("{check:<16} {what:<18} {took:>6.1} s  {}", ran.ended.words());
        Ok::<Ran, anyhow::Error>(ran)
    };
    let held = arguments.held.as_deref().map(read_report).transpose()?;
    let mut checks: Vec<(&str, Ran)> = Vec::new();
    for mutant in &chosen {
        if checks.iter().any(|(check, _)| *check == mutant.check) {
            continue;
        }
        let ran = match held.as_ref().and_then(|report| Ran::of_report(report, mutant.check)) {
            Some(ran) => ran,
            None => run(mutant.check, None)?,
        };
        checks.push((mutant.check, ran));
    }
    // With a mutant a check is over soon, and much of that is to make what it harms.
    let all = in_pool(&chosen, |mutant| run(mutant.check, Some(mutant.name)))?;
    let all: Vec<(&Mutant, Ran)> = chosen.into_iter().zip(all).collect();
    let all_hold = checks.iter().all(|(_, ran)| ran.ended == Ended::Held);
    let has_survivor = all.iter().any(|(_, ran)| !matches!(ran.ended, Ended::Found(_)));
    let has_failed = has_survivor || !all_hold;
    let report = json!({
        "seed": arguments.seed,
        "seconds": begun.elapsed().as_secs(),
        "outcome": if has_failed { "failed" } else { "held" },
        "without_mutant": checks.iter().map(|(check, ran)| json!({
            "check": check,
            "outcome": ran.ended.outcome(),
            "seconds": ran.seconds(),
        })).collect::<Value>(),
        "mutants": all.iter().map(|(mutant, ran)| json!({
            "name": mutant.name,
            "breaks": mutant.breaks,
            "row": mutant.row,
            "tier": mutant.check().tier,
            "check": mutant.check,
            "is_killed": matches!(ran.ended, Ended::Found(_)),
            "found": ran.ended.words(),
            "seconds": ran.seconds(),
        })).collect::<Value>(),
    });
    match &arguments.json {
        None => print(&table(&checks, &all, begun.elapsed()))?,
        Some(file) if file.as_os_str() == "-" => print(&format!("{report}\n"))?,
        Some(file) => {
            std::fs::write(file, format!("{report:#}\n"))
                .with_context(|| format!("cannot write {}", file.display()))?;
            print(&table(&checks, &all, begun.elapsed()))?;
        }
    }
    Ok(if has_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The mutants of those names, in the order of the list; all, where none is named.
fn chosen(only: &[String]) -> Result<Vec<&'static Mutant>> {
    for name in only {
        if !MUTANTS.iter().any(|mutant| mutant.name == name) {
            let known: Vec<_> = MUTANTS.iter().map(|mutant| mutant.name).collect();
            bail!("no mutant is called {name}; there are: {}", known.join(", "));
        }
    }
    let is_chosen = |name: &str| only.is_empty() || only.iter().any(|wanted| wanted == name);
    Ok(MUTANTS.iter().filter(|mutant| is_chosen(mutant.name)).collect())
}

/// Does `work` with each of the mutants, as many at a time as there are cores; what came of it
/// stands in their order.
fn in_pool(
    mutants: &[&'static Mutant],
    work: impl Fn(&'static Mutant) -> Result<Ran> + Sync,
) -> Result<Vec<Ran>> {
    let next = AtomicUsize::new(0);
    let all: Vec<Mutex<Option<Result<Ran>>>> = mutants.iter().map(|_| Mutex::new(None)).collect();
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let position = next.fetch_add(1, Ordering::Relaxed);
                    let Some(mutant) = mutants.get(position) else { return };
                    *all[position].lock() = Some(work(mutant));
                }
            });
        }
    });
    all.into_iter().map(|ran| ran.into_inner().expect("each had its turn")).collect()
}

/// The report of `torture --json FILE`.
fn read_report(file: &Path) -> Result<Value> {
    let read = || Ok::<Value, anyhow::Error>(serde_json::from_slice(&std::fs::read(file)?)?);
    read().with_context(|| format!("cannot read {}", file.display()))
}

/// Runs a check in a process of its own, which writes what came of it into `report`.
fn run_check(check: &str, mutant: Option<&str>, seed: u64, report: &Path) -> Result<Ran> {
    let this = std::env::current_exe().context("a program that runs has a path")?;
    let mut command = Command::new(this);
    command.args(["torture", "--only", check, "--seed", &seed.to_string(), "--json"]).arg(report);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.env_remove(super::NO_SKIPS).env_remove(super::MUTANT);
    if let Some(mutant) = mutant {
        command.env(super::MUTANT, mutant);
    }
    let _ = std::fs::remove_file(report);
    let begun = Instant::now();
    let mut child = command.spawn().context("cannot start this program again")?;
    let code = loop {
        if let Some(status) = child.try_wait().context("cannot wait for a check")? {
            break status.code();
        }
        if begun.elapsed() > TIMEOUT {
            child.kill().context("cannot end a check")?;
            child.wait().context("cannot wait for a check")?;
            let ended = Ended::Inconclusive("it came to no end".to_owned());
            return Ok(Ran { ended, took: begun.elapsed() });
        }
        std::thread::sleep(LOOK_EVERY);
    };
    let took = begun.elapsed();
    let report = match std::fs::read(report) {
        Ok(bytes) => serde_json::from_slice(&bytes).context("cannot read the report of a check")?,
        Err(_) => Value::Null,
    };
    Ok(Ran { ended: Ended::of(code, &report["checks"][0]), took })
}

impl Ended {
    /// What the exit code of the process and its report on the one check say.
    fn of(code: Option<i32>, check: &Value) -> Ended {
        let remark = check["remarks"][0].as_str().unwrap_or_default();
        let missed = check["figures"].as_array().into_iter().flatten();
        let missed = missed.filter(|figure| figure["holds"] == false);
        let missed: Vec<_> = missed.filter_map(|figure| figure["name"].as_str()).collect();
        match (code, check["outcome"].as_str()) {
            (Some(0), Some("held")) => Ended::Held,
            (Some(1), Some("failed")) if !missed.is_empty() => {
                Ended::Found([&missed.join(", "), remark].join(": "))
            }
            (Some(1), Some("failed")) if remark.starts_with(super::PANICKED) => {
                Ended::Found(remark.to_owned())
            }
            (_, Some(outcome)) => Ended::Inconclusive(format!("{outcome}: {remark}")),
            (Some(code), None) => Ended::Inconclusive(format!("exit code {code}, and no report")),
            (None, None) => Ended::Inconclusive("ended by a signal".to_owned()),
        }
    }

    fn outcome(&self) -> &'static str {
        match self {
            Ended::Held => "held",
            Ended::Found(_) => "failed",
            Ended::Inconclusive(_) => "inconclusive",
        }
    }

    fn words(&self) -> &str {
        match self {
            Ended::Held => "held",
            Ended::Found(words) | Ended::Inconclusive(words) => words,
        }
    }
}

impl Ran {
    /// What a report of the torture command says of a check that held; `None` where it did not,
    /// or did not run: then it has to show it anew.
    fn of_report(report: &Value, check: &str) -> Option<Ran> {
        let all = report["checks"].as_array()?;
        let found = all.iter().find(|ran| ran["name"] == check)?;
        let took = Duration::from_secs_f64(found["seconds"].as_f64()?);
        (found["outcome"] == "held").then_some(Ran { ended: Ended::Held, took })
    }

    fn seconds(&self) -> f64 {
        (self.took.as_secs_f64() * 10.0).round() / 10.0
    }
}

/// What is known of the mutants before one is tried.
fn list(mutants: &[&Mutant]) -> String {
    let mut table = plain_table(&["mutant", "what it breaks", "row", "tier", "check"]);
    for mutant in mutants {
        let tier = mutant.check().tier;
        table.add_row([mutant.name, mutant.breaks, mutant.row, tier, mutant.check]);
    }
    format!("{}\n", table.trim_fmt())
}

/// All that came of it, a line for each mutant.
fn table(checks: &[(&str, Ran)], all: &[(&Mutant, Ran)], took: Duration) -> String {
    let mut table = plain_table(&[
        "mutant",
        "what it breaks",
        "row",
        "tier",
        "must be killed by",
        "killed by",
        "seconds",
    ]);
    for (mutant, ran) in all {
        let killed = match &ran.ended {
            // The remark behind it is long.
            Ended::Found(words) => words.split(": ").next().unwrap_or_default(),
            Ended::Held => "SURVIVED",
            Ended::Inconclusive(_) => "INCONCLUSIVE",
        };
        table.add_row([
            mutant.name,
            mutant.breaks,
            mutant.row,
            mutant.check().tier,
            mutant.check,
            killed,
            &format!("{:.1}", ran.took.as_secs_f64()),
        ]);
    }
    let mut lines = vec![table.trim_fmt(), String::new()];
    let inconclusive = all.iter().filter_map(|(mutant, ran)| match &ran.ended {
        Ended::Inconclusive(words) => Some(format!("{}: {words}", mutant.name)),
        _ => None,
    });
    lines.extend(inconclusive);
    for (check, ran) in checks {
        let held = match &ran.ended {
            Ended::Held => "holds without a mutant".to_owned(),
            ended => format!("FAILS WITHOUT A MUTANT: {}", ended.words()),
        };
        lines.push(format!("{check} {held} ({:.1} s)", ran.took.as_secs_f64()));
    }
    let (killed, others): (Vec<_>, Vec<_>) =
        all.iter().partition(|(_, ran)| matches!(ran.ended, Ended::Found(_)));
    if !others.is_empty() {
        let names: Vec<_> = others.iter().map(|(mutant, _)| mutant.name).collect();
        lines.push(format!("NOT KILLED: {}", names.join(", ")));
    }
    let killed = killed.len();
    let (total, took) = (all.len(), took.as_secs_f64());
    lines.push(format!("{killed} of {total} mutants killed in {took:.0} s\n"));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutant_has_a_name_of_its_own_and_a_check_that_covers_its_row() {
        let mut names: Vec<_> = MUTANTS.iter().map(|mutant| mutant.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), MUTANTS.len());
        for mutant in MUTANTS {
            assert!(mutant.check().rows.contains(&mutant.row), "{}", mutant.name);
        }
    }

    #[cfg(feature = "mutants")]
    #[test]
    fn the_engine_knows_the_same_mutants() {
        let sorted = |mut names: Vec<&'static str>| {
            names.sort_unstable();
            names
        };
        let ours = sorted(MUTANTS.iter().map(|mutant| mutant.name).collect());
        assert_eq!(ours, sorted(anabranch_engine::mutant::names().collect()));
        assert_eq!(anabranch_engine::mutant::VARIABLE, super::super::MUTANT);
    }

    #[test]
    fn only_a_missed_bar_or_a_panic_kills_a_mutant() {
        let check = |outcome: &str, figures: Value, remark: &str| json!({ "outcome": outcome, "figures": figures, "remarks": [remark] });
        let lost = json!([{ "name": "cycles", "holds": true }, { "name": "lost", "holds": false }]);
        let of = |code, check: &Value| Ended::of(Some(code), check);
        assert_eq!(of(0, &check("held", json!([]), "")), Ended::Held);
        let found = of(1, &check("failed", lost, "at 7"));
        assert_eq!(found, Ended::Found("lost: at 7".to_owned()));
        let panicked = check("failed", json!([]), "panicked: seed 7");
        assert!(matches!(of(1, &panicked), Ended::Found(_)));
        let others = [
            (1, check("failed", json!([]), "no such device")),
            (0, check("skipped", json!([]), "needs root")),
            (2, Value::Null),
        ];
        for (code, check) in others {
            assert!(matches!(of(code, &check), Ended::Inconclusive(_)), "{check}");
        }
        assert!(matches!(Ended::of(None, &Value::Null), Ended::Inconclusive(_)));
    }

    #[test]
    fn a_check_that_is_not_known_to_hold_runs_again() {
        let report = json!({ "checks": [
            { "name": "sweep", "outcome": "held", "seconds": 1.5 },
            { "name": "tails", "outcome": "skipped", "seconds": 0.0 },
        ] });
        let held = Ran::of_report(&report, "sweep").unwrap();
        assert_eq!((held.ended, held.took.as_millis()), (Ended::Held, 1500));
        assert!(Ran::of_report(&report, "tails").is_none());
        assert!(Ran::of_report(&report, "stale").is_none());
    }

    #[test]
    fn a_mutant_that_survives_is_named() {
        let ran = |ended| Ran { ended, took: Duration::ZERO };
        let found = ran(Ended::Found("lost: 1".to_owned()));
        let all = [(&MUTANTS[0], found), (&MUTANTS[1], ran(Ended::Held))];
        let table = table(&[], &all, Duration::ZERO);
        assert!(table.contains(&format!("NOT KILLED: {}\n", MUTANTS[1].name)), "{table}");
        assert!(table.contains("1 of 2 mutants killed"), "{table}");
    }

    #[test]
    fn an_unknown_mutant_is_named_with_the_known_ones() {
        let error = chosen(&["m99".to_owned()]).err().unwrap().to_string();
        assert!(error.contains("m99") && error.contains("m12"), "{error}");
        assert_eq!(chosen(&[]).unwrap().len(), MUTANTS.len());
    }
}
