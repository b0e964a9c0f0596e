//! The command itself: which checks run, how far they are, and what came of them.

use std::io::{IsTerminal, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use comfy_table::{Table, presets};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use super::{CHECKS, Check, Figures, Missing, NO_SKIPS, PANICKED, Plan, interrupt};

/// What can be asked for.
#[derive(Args, Debug)]
pub struct TortureArguments {
    /// Do as much as a night has time for, not as CI has
    #[arg(long)]
    long: bool,

    /// Run these checks only
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    only: Vec<String>,

    /// Write the JSON to a file, and not behind the table (-: no table)
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Where all chance comes from
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Say which checks there are, and run none
    #[arg(long)]
    list: bool,
}

/// What came of a check.
enum Outcome {
    /// Figures, which may miss their bars.
    Done(Figures),
    /// It could not run here.
    Skipped(String),
    /// It broke.
    Broken(String),
}

/// A check with what came of it.
struct Ran {
    check: &'static Check,
    outcome: Outcome,
    took: Duration,
}

/// Runs the checks asked for and prints what came of them.
pub fn run(arguments: &TortureArguments) -> ExitCode {
    match torture(arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn torture(arguments: &TortureArguments) -> Result<ExitCode> {
    let chosen = chosen(&arguments.only)?;
    if arguments.list {
        print(&list(&chosen))?;
        return Ok(ExitCode::SUCCESS);
    }
    interrupt::watch()?;
    let begun = Instant::now();
    let mut all = Vec::new();
    for check in chosen {
        all.push(run_one(check, arguments)?);
    }
    let no_skips = std::env::var_os(NO_SKIPS).is_some();
    let has_failed = all.iter().any(|ran| ran.has_failed(no_skips));
    let report = json!({
        "long": arguments.long,
        "seed": arguments.seed,
        "cores": std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
        "seconds": begun.elapsed().as_secs(),
        "outcome": if has_failed { "failed" } else { "held" },
        "checks": all.iter().map(|ran| ran.json(no_skips)).collect::<Value>(),
    });
    match &arguments.json {
        None => print(&format!("{}\n{report}\n", table(&all, no_skips)))?,
        Some(file) if file.as_os_str() == "-" => print(&format!("{report}\n"))?,
        Some(file) => {
            std::fs::write(file, format!("{report:#}\n"))
                .with_context(|| format!("cannot write {}", file.display()))?;
            print(&table(&all, no_skips))?;
        }
    }
    Ok(if has_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The checks of those names, in the order of the registry; all, where none is named.
fn chosen(only: &[String]) -> Result<Vec<&'static Check>> {
    for name in only {
        if !CHECKS.iter().any(|check| check.name == name) {
            let known: Vec<_> = CHECKS.iter().map(|check| check.name).collect();
            bail!("no check is called {name}; there are: {}", known.join(", "));
        }
    }
    let is_chosen = |check: &&Check| only.is_empty() || only.iter().any(|name| name == check.name);
    Ok(CHECKS.iter().filter(is_chosen).collect())
}

fn run_one(check: &'static Check, arguments: &TortureArguments) -> Result<Ran> {
    let scratch = tempfile::Builder::new()
        .prefix("anabranch-torture-")
        .tempdir()
        .context("cannot make a scratch directory")?;
    let missing: Vec<String> =
        check.needs.iter().filter_map(|need| need.missing(scratch.path())).collect();
    let begun = Instant::now();
    let outcome = if missing.is_empty() {
        let bar = bar(check.name);
        let plan = Plan {
            is_long: arguments.long,
            seed: arguments.seed,
            scratch: scratch.path().to_owned(),
            bar: bar.clone(),
        };
        interrupt::scratch(Some(scratch.path()));
        let result = catch_unwind(AssertUnwindSafe(|| (check.run)(&plan)));
        interrupt::hold();
        interrupt::scratch(None);
        bar.finish_and_clear();
        match result {
            Ok(Ok(figures)) => Outcome::Done(figures),
            Ok(Err(error)) => match error.downcast::<Missing>() {
                Ok(missing) => Outcome::Skipped(missing.to_string()),
                Err(error) => Outcome::Broken(format!("{error:#}")),
            },
            Err(panic) => Outcome::Broken(words_of(panic.as_ref())),
        }
    } else {
        Outcome::Skipped(missing.join("; "))
    };
    let ran = Ran { check, outcome, took: begun.elapsed() };
    eprintln!("{}", ran.line());
    Ok(ran)
}

/// What a panic said.
fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    let words = panic.downcast_ref::<String>().map(String::as_str);
    let words = words.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("{PANICKED}: {}", words.unwrap_or("without words"))
}

/// A bar on standard error, if that is a terminal.
fn bar(name: &'static str) -> ProgressBar {
    let target = match std::io::stderr().is_terminal() {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    };
    let template = "{prefix:16} {bar:30} {pos} of {len}  {elapsed}, {eta} left  {msg}";
    let style = ProgressStyle::with_template(template).expect("the template is well-formed");
    ProgressBar::with_draw_target(None, target).with_style(style).with_prefix(name)
}

impl Ran {
    fn has_failed(&self, no_skips: bool) -> bool {
        match &self.outcome {
            Outcome::Done(figures) => !figures.hold(),
            Outcome::Skipped(_) => no_skips,
            Outcome::Broken(_) => true,
        }
    }

    fn outcome(&self) -> &'static str {
        match &self.outcome {
            Outcome::Done(figures) if figures.hold() => "held",
            Outcome::Done(_) | Outcome::Broken(_) => "failed",
            Outcome::Skipped(_) => "skipped",
        }
    }

    /// Why it was skipped, or how it broke, or what there is to remark.
    fn remarks(&self) -> &[String] {
        match &self.outcome {
            Outcome::Done(figures) => figures.remarks(),
            Outcome::Skipped(words) | Outcome::Broken(words) => std::slice::from_ref(words),
        }
    }

    /// One line as soon as it is over.
    fn line(&self) -> String {
        let (name, outcome, took) = (self.check.name, self.outcome(), self.took.as_secs_f64());
        let mut parts = vec![format!("{name:<16} {outcome:<8} {took:>6.1} s")];
        if let Outcome::Done(figures) = &self.outcome {
            let missed = figures.iter().filter(|figure| !figure.holds());
            parts.extend(missed.map(|figure| format!("{}: {}", figure.name, figure.words())));
        }
        parts.extend_from_slice(self.remarks());
        parts.join("; ")
    }

    fn json(&self, no_skips: bool) -> Value {
        let figures = match &self.outcome {
            Outcome::Done(figures) => figures.json(),
            Outcome::Skipped(_) | Outcome::Broken(_) => json!([]),
        };
        json!({
            "name": self.check.name,
            "tier": self.check.tier,
            "rows": self.check.rows,
            "about": self.check.about,
            "outcome": self.outcome(),
            "counts_as_failed": self.has_failed(no_skips),
            "seconds": (self.took.as_secs_f64() * 10.0).round() / 10.0,
            "figures": figures,
            "remarks": self.remarks(),
        })
    }
}

/// All figures, a line each.
fn table(all: &[Ran], no_skips: bool) -> String {
    let mut table = plain_table(&["check", "tier", "rows", "figure", "value", "bar", "outcome"]);
    for ran in all {
        let check = ran.check;
        let start = [check.name.to_owned(), check.tier.to_owned(), check.rows.join(" ")];
        let seconds = format!("{:.1} s", ran.took.as_secs_f64());
        let mut rows = vec![["time".to_owned(), seconds, String::new(), ran.outcome().to_owned()]];
        if let Outcome::Done(figures) = &ran.outcome {
            rows.extend(figures.iter().map(|figure| {
                let verdict = if figure.holds() { "" } else { "FAILED" };
                [figure.name.clone(), figure.words(), figure.bar.words(), verdict.to_owned()]
            }));
        }
        for (position, row) in rows.into_iter().enumerate() {
            let blank = || ["", "", ""].map(str::to_owned);
            let start = if position == 0 { start.clone() } else { blank() };
            table.add_row(start.into_iter().chain(row));
        }
    }
    let mut lines = vec![table.trim_fmt(), String::new()];
    for ran in all {
        let remarks = ran.remarks().iter();
        lines.extend(remarks.map(|line| format!("{}: {}: {line}", ran.check.name, ran.outcome())));
    }
    let count = |outcome: &str| all.iter().filter(|ran| ran.outcome() == outcome).count();
    let (held, failed, skipped) = (count("held"), count("failed"), count("skipped"));
    let counted = if no_skips && skipped > 0 { ", which counts as failed" } else { "" };
    lines.push(format!("{held} held, {failed} failed, {skipped} skipped{counted}\n"));
    lines.join("\n")
}

fn list(checks: &[&Check]) -> String {
    let mut table = plain_table(&["check", "tier", "rows", "what"]);
    for check in checks {
        let rows = check.rows.join(" ");
        table.add_row([check.name, check.tier, &rows, check.about]);
    }
    format!("{}\n", table.trim_fmt())
}

/// A table without lines, which reads well and cuts well with awk.
pub(super) fn plain_table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header.to_vec());
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}

/// Writes to standard output. A reader that has gone (`| head`) is no failure.
pub(super) fn print(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_checks_are_unique_and_well_formed() {
        let mut names: Vec<_> = CHECKS.iter().map(|check| check.name).collect();
        let is_part = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let is_plain = |name: &&str| name.bytes().all(is_part);
        assert!(names.iter().all(is_plain), "{names:?}");
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CHECKS.len());
    }

    #[test]
    fn an_unknown_check_is_named_with_the_known_ones() {
        let error = chosen(&["nothing".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("nothing") && error.contains(CHECKS[0].name), "{error}");
        assert_eq!(chosen(&[]).unwrap().len(), CHECKS.len());
    }

    #[test]
    fn a_skip_fails_only_where_skips_are_failures() {
        let ran = |outcome| Ran { check: &CHECKS[0], outcome, took: Duration::ZERO };
        let skipped = ran(Outcome::Skipped("needs root".to_owned()));
        assert!(!skipped.has_failed(false) && skipped.has_failed(true));
        assert!(table(&[skipped], true).contains("needs root"));
        let mut figures = Figures::default();
        figures.zero("lost", 1);
        assert!(ran(Outcome::Done(figures)).has_failed(false));
        assert!(ran(Outcome::Broken("it broke".to_owned())).has_failed(false));
    }
}
