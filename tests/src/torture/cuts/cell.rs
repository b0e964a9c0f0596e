//! What needs root, in namespaces of its own.
//!
//! ```text
//!   torture --unshare--> cell: process 1 of its namespace, a tmpfs over the scratch directory
//!      ^                   |       disks, mounts, servers, machines
//!      +---- lines --------+
//! ```
//!
//! Mounts, loop devices and processes of a check that is interrupted would stay behind. Here
//! they do not, and no code of ours has to see to it: when the cell ends, for whatever reason,
//! the kernel kills all processes in its namespace, its mounts go with the last of them, the
//! loop devices with the mounts, and the memory of the tmpfs with them. The cell ends when its
//! standard input does, so it ends with us.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use super::ground::{Disk, FileSystem, done};
use super::lives::{self, Order};
use super::machine;
use super::tally::Tally;
use crate::torture::server::Durability;
use crate::torture::{Figures, Missing, Plan, interrupt};

/// What runs in a cell.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum Kind {
    /// Shutdowns of ext4.
    Ext4,
    /// Shutdowns of xfs.
    Xfs,
    /// Machines that die.
    Machine,
}

/// The command line of a cell, which only [`figures`] writes.
#[derive(Args, Debug)]
pub struct CellArguments {
    #[arg(value_enum)]
    kind: Kind,
    #[arg(value_enum)]
    durability: Durability,
    cuts: u64,
    seed: u64,
    scratch: PathBuf,
}

/// Bytes that the disks of a cell may occupy.
const MEMORY: &str = "size=1500m";

/// Runs orders in cells, one after the other, and has the figures of all.
pub(super) fn figures(plan: &Plan, kind: Kind, orders: &[Order]) -> Result<Figures> {
    let ordered = orders.iter().map(|order| order.cuts).sum();
    plan.total(ordered);
    let mut tally = Tally::default();
    for order in orders {
        plan.say(format!("durability {}", order.durability.word()));
        tally.add(in_cell(plan, kind, order)?);
        if tally.is_violated() {
            break;
        }
    }
    Ok(tally.figures("cuts", ordered))
}

fn in_cell(plan: &Plan, kind: Kind, order: &Order) -> Result<Tally> {
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"])
        .arg(std::env::current_exe()?)
        .arg("cell")
        .arg(kind.to_possible_value().expect("no kind is hidden").get_name())
        .arg(order.durability.word())
        .args([order.cuts.to_string(), order.seed.to_string()])
        .arg(plan.scratch())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut cell = Cell::start(command)?;
    let stdout = BufReader::new(cell.0.stdout.take().expect("it is piped"));
    let mut tally = Tally::default();
    let (mut has_begun, mut is_done) = (false, false);
    for line in stdout.lines() {
        let line = line?;
        let (kind, rest) = line.split_once(' ').unwrap_or((&line, ""));
        match kind {
            "begun" => has_begun = true,
            "advance" => plan.advance(1),
            "remark" => tally.remark(rest),
            "missing" => return Err(Missing::new(rest).into()),
            "done" => is_done = true,
            _ => {
                let mut counts = tally.counts().into_iter();
                if let Some((_, count)) = counts.find(|(name, _)| *name == kind) {
                    *count = rest.parse()?;
                }
            }
        }
    }
    let status = cell.0.wait()?;
    if !has_begun {
        return Err(Missing::new("needs namespaces, and unshare cannot make them").into());
    }
    if !is_done {
        bail!("the cell ended with {status}; its words stand above");
    }
    Ok(tally)
}

/// A cell as its maker has it. Dropped, it is gone, which it has to be before the scratch
/// directory is.
struct Cell(Child);

impl Cell {
    fn start(mut command: Command) -> Result<Cell> {
        let mut child = command.spawn().context("cannot run unshare")?;
        interrupt::cell_runs(child.stdin.take().expect("it is piped"));
        Ok(Cell(child))
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        interrupt::end_cell();
        let _ = self.0.wait();
        interrupt::cell_has_ended();
    }
}

/// The cell itself. Its lines go to standard output.
pub fn run(arguments: &CellArguments) -> ExitCode {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(1);
    });
    match in_here(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn in_here(arguments: &CellArguments) -> Result<()> {
    say("begun")?;
    let scratch = &arguments.scratch;
    if let Err(error) = furnish(scratch) {
        return say(&format!("missing needs to mount: {error:#}"));
    }
    let CellArguments { cuts, durability, seed, .. } = *arguments;
    let order = Order { cuts, durability, seed };
    let advance = || {
        // A parent that has gone ends us by itself.
        let _ = say("advance");
    };
    let mut tally = match arguments.kind {
        Kind::Ext4 => lives::run(&order, &mut Disk::new(FileSystem::Ext4, scratch)?, &advance),
        Kind::Xfs => lives::run(&order, &mut Disk::new(FileSystem::Xfs, scratch)?, &advance),
        Kind::Machine => machine::run(&order, scratch, &advance),
    }?;
    for (name, count) in tally.counts() {
        say(&format!("{name} {count}"))?;
    }
    for remark in &tally.remarks {
        say(&format!("remark {}", remark.replace('\n', " ")))?;
    }
    say("done")
}

/// Memory for disks, over the scratch directory, and a disk to see whether it can be mounted.
fn furnish(scratch: &Path) -> Result<()> {
    done(Command::new("mount").args(["-t", "tmpfs", "-o", MEMORY, "disks"]).arg(scratch))?;
    let mut disk = Disk::new(FileSystem::Ext4, scratch)?;
    disk.format()?;
    disk.mount()
}

fn say(line: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}")?;
    Ok(stdout.flush()?)
}
