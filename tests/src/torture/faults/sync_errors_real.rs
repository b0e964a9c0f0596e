//! Row R6. The nth `fdatasync` of a server fails, as far as it can know: a tracer answers in the
//! place of the kernel. It counts for each thread by itself, so that the first ones are those of the
//! start and of the catalog; those of a log are found by the name of its file.
//!
//! A client makes a stream and puts record after record. Once a put is refused, because its log
//! has halted, every later one is refused, too; the admin port says so in words and in a number;
//! what was acknowledged is read. The tracer's notes tell whether a log's file was hit, and
//! whether anyone has synced it again. Then the server is killed, starts without the tracer, has
//! everything and takes records.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::served::{Account, Served, Told, link, record};
use crate::torture::{Check, Figures, Missing, Need, Plan};

pub(in crate::torture) const CHECK: Check = Check {
    name: "sync-errors-real",
    tier: "real",
    rows: &["R6"],
    about: "the nth fdatasync of a server fails: refusals, health, metric, nothing lost",
    needs: &[Need::Program { name: "strace", package: "strace" }],
    run,
};

/// Records put in each life, one at a time.
const PUTS: u64 = 12;
const STREAM: &str = "s";

#[derive(Default)]
struct Tally {
    lives: u64,
    hits: u64,
    hits_of_logs: u64,
    halted: u64,
    starts_refused: u64,
    late: u64,
    retried: u64,
    lost: u64,
    acknowledged: u64,
    remarks: Vec<String>,
}

/// Which sync fails.
#[derive(Clone, Copy, Debug)]
struct Case {
    /// Of the files whose path ends so; of any file.
    file: Option<&'static str>,
    nth: u64,
}

/// The first segment of the stream, before it has its place and afterwards.
const FILES: [&str; 2] = ["spare/0.seg", "shards/1/0/00000000000000000001.seg"];

fn run(plan: &Plan) -> Result<Figures> {
    let of_any = (1..=plan.size(18, 24)).map(|nth| Case { file: None, nth });
    let of_logs = FILES
        .iter()
        .flat_map(|file| (1..=plan.size(4, PUTS)).map(|nth| Case { file: Some(file), nth }));
    let cases: Vec<_> = of_any.chain(of_logs).collect();
    let lives = cases.len() as u64;
    plan.total(lives);
    let mut tally = Tally::default();
    for (number, case) in cases.into_iter().enumerate() {
        one(plan, number, case, &mut tally).with_context(|| format!("{case:?} fails"))?;
        plan.advance(1);
        if !tally.remarks.is_empty() {
            break;
        }
    }
    let mut figures = Figures::default();
    let is_found = !tally.remarks.is_empty();
    figures.zero("promises broken", u64::from(is_found));
    figures.at_least(
        "lives, each with another sync",
        tally.lives,
        if is_found { 0 } else { lives },
    );
    figures.told("syncs that failed", tally.hits);
    figures.at_least("of them of a log", tally.hits_of_logs, u64::from(!is_found));
    figures.zero("of them without a halted log that says so", tally.hits_of_logs - tally.halted);
    figures.told("starts refused, of the catalog's syncs", tally.starts_refused);
    figures.zero("acknowledged by a log that had failed", tally.late);
    figures.zero("syncs tried again", tally.retried);
    figures.zero("acknowledged and lost", tally.lost);
    figures.told("records acknowledged", tally.acknowledged);
    figures.remark_all(tally.remarks);
    Ok(figures)
}

fn one(plan: &Plan, number: usize, case: Case, tally: &mut Tally) -> Result<()> {
    let scratch = plan.scratch();
    let (data, notes) = (scratch.join(format!("data-{number}")), scratch.join("notes"));
    let Case { file, nth } = case;
    let log = scratch.join("server.log");
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-y", "-e", "trace=fdatasync"]);
    command.arg("-e").arg(format!("inject=fdatasync:error=EIO:when={nth}"));
    if let Some(file) = file {
        command.arg("-P").arg(data.join(file));
    }
    command.arg("-o").arg(&notes).arg(link(scratch)?);
    let mut account = Account::default();
    match Served::start(command, &data, &log) {
        Err(error) if !notes.exists() => {
            let words = format!("needs to trace processes: {error:#}");
            return Err(Missing::new(words).into());
        }
        // What cannot be synced cannot be started on.
        Err(_) => tally.starts_refused += 1,
        Ok(served) => live(served, nth, &notes, &mut account, tally)?,
    }
    // The tracer's child may need a moment to let go of the directory: it ends with its input.
    let served = again(scratch, &data, &log)?;
    let _ = served.create_stream(STREAM);
    let found = account.look(&served, STREAM)?;
    tally.lost += found.len() as u64;
    tally.remarks.extend(found);
    if !matches!(account.put(&served, STREAM, &[record(1000, 10)])?, Told::Kept(_)) {
        tally.remarks.push(format!("{nth}: after a new start a put is refused"));
    }
    served.stop()?;
    tally.lives += 1;
    tally.acknowledged += account.acknowledged;
    Ok(())
}

/// A life under the tracer, until it is killed.
fn live(
    served: Served,
    nth: u64,
    notes: &Path,
    account: &mut Account,
    tally: &mut Tally,
) -> Result<()> {
    let is_made = served.create_stream(STREAM).is_ok() || served.create_stream(STREAM).is_ok();
    let mut has_failed = false;
    for id in 1..=PUTS {
        if !is_made {
            break;
        }
        match account.put(&served, STREAM, &[record(id, 100)])? {
            Told::Kept(_) if has_failed => {
                tally.late += 1;
                tally.remarks.push(format!("{nth}: put {id} is acknowledged after a refusal"));
            }
            Told::Kept(_) => {}
            Told::Refused(word, why) => {
                has_failed = true;
                // Of one record, or of the whole call.
                let is_known = ["LogHaltedException", "Unavailable"].contains(&word.as_str());
                if !is_known || !why.contains("until the server is restarted") {
                    tally.remarks.push(format!("{nth}: a put is refused with {word}: {why}"));
                }
            }
        }
    }
    if is_made {
        let found = account.look(&served, STREAM)?;
        tally.lost += found.len() as u64;
        tally.remarks.extend(found);
    }
    let notes = std::fs::read_to_string(notes)?;
    let hit = notes.lines().position(|line| line.contains("(INJECTED)"));
    if let Some(at) = hit {
        tally.hits += 1;
        let lines: Vec<_> = notes.lines().collect();
        let path = lines[at].split_once('<').and_then(|(_, rest)| rest.split_once('>'));
        let path = path.map_or("", |(path, _)| path);
        if path.contains("/shards/") || path.contains("/spare/") {
            tally.hits_of_logs += 1;
            let is_told = served.metric("anabranch_halted_logs ")? >= 1.0
                && served.page("/healthz")?.contains("halted");
            tally.halted += u64::from(is_told && has_failed);
            if !is_told || !has_failed {
                tally.remarks.push(format!("{nth}: {path} fails, and nobody is told"));
            }
            if lines[at + 1..].iter().any(|line| line.contains(path)) {
                tally.retried += 1;
                tally.remarks.push(format!("{nth}: {path} is synced again"));
            }
        }
    }
    served.kill()
}

/// The server without the tracer. Its predecessor ends when it notices that its input has.
fn again(scratch: &Path, data: &Path, log: &Path) -> Result<Served> {
    let mut tries = 0;
    loop {
        match Served::start(Command::new(link(scratch)?), data, log) {
            Err(error) if tries < 50 && format!("{error:#}").contains("in use") => {
                tries += 1;
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
            served => return served,
        }
    }
}
