//! `ceilings`: what the server reaches of what is possible here.
//!
//! ```text
//!   raw      write + fdatasync, loopback TCP          no server at all
//!   null     gRPC, and a handler that does nothing    stock (tonic as it comes), tuned (our port)
//!   ours     the server, and the engine alone
//!   peer     other servers that keep streams, under our load
//! ```
//!
//! On a machine that others use, too, absolute figures drift by a third between two runs. So each
//! round measures a figure and its reference seconds apart, the figure is their ratio within the
//! round, and what is printed is the median of the rounds with its spread. Servers are processes
//! of their own: what they cost is read from `/proc`.

#[cfg(feature = "count-allocations")]
mod allocations;
mod child;
mod curves;
mod engine;
mod figure;
mod group;
mod guard;
mod load;
mod null;
mod peer;
mod raw;
mod report;
mod space;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

#[cfg(feature = "count-allocations")]
pub use allocations::tell as tell_allocations;
pub use child::PROGRAM;
use figure::{Samples, rows};
use group::{Bench, GROUPS, Group};
use null::Shape;
use peer::{Peer, Peers};

/// Times that a curve is measured, at most.
const CURVE_ROUNDS: u32 = 3;

/// How close the server comes to what this machine and gRPC can do at best
#[derive(Parser, Debug)]
#[command(name = "ceilings", args_conflicts_with_subcommands = true)]
pub struct Arguments {
    /// Rounds; a figure is the median of as many values
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,

    /// Seconds for which each load is counted
    #[arg(long, value_name = "SECONDS", default_value_t = 1.5)]
    seconds: f64,

    /// Measures only these groups; --list names them
    #[arg(long, value_name = "GROUP,...", value_delimiter = ',')]
    only: Vec<String>,

    /// Puts the same load into other servers, too, which it starts and stops itself
    #[arg(long, value_name = "PEER,...", value_delimiter = ',')]
    peer: Vec<Peer>,

    /// Where peers that are not installed are kept, once they are fetched
    #[arg(long, value_name = "DIR", default_value = "target/peers")]
    peer_dir: PathBuf,

    /// Measures curves, too: against shards, producers, subscribers, record size and bytes stored;
    /// each a picture in this directory (--only curves: nothing else)
    #[arg(long, value_name = "DIR")]
    curves: Option<PathBuf>,

    /// GiB to which the curve of bytes stored goes: each takes 1.1 GB of disk
    #[arg(long, value_name = "N", default_value_t = 16)]
    curve_gib: u32,

    /// Lists the groups, and measures nothing
    #[arg(long)]
    list: bool,

    /// Where data directories are made and removed again: a real disk, with 14 GiB free
    #[arg(long, value_name = "DIR", default_value = "target")]
    dir: PathBuf,

    /// Writes the figures as JSON: an array with an object for each
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Draws the figures against their bars
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,

    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Subcommand, Debug)]
enum Role {
    /// A server that does nothing
    #[command(hide = true)]
    NullServer { shape: Shape },

    /// Runs a command that ends when the parent does
    #[command(hide = true)]
    Guard { command: Vec<OsString> },

    /// Removes a directory when standard input ends
    #[command(hide = true)]
    Sweep { dir: PathBuf },
}

/// Measures, prints, and says by the exit code whether every bar is reached: 0 if so, 1 if one is
/// missed, 2 if something could not be measured.
pub fn main(arguments: &Arguments) -> ExitCode {
    let done = match &arguments.role {
        Some(Role::NullServer { shape }) => null::serve(*shape).map(|()| true),
        Some(Role::Guard { command }) => guard::guard(command).map(|()| true),
        Some(Role::Sweep { dir }) => guard::sweep(dir).map(|()| true),
        None if arguments.list => {
            for group in GROUPS {
                println!("{:<10} {}", group.name, group.about);
            }
            Ok(true)
        }
        None => measure(arguments),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("ceilings: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn measure(arguments: &Arguments) -> Result<bool> {
    let groups = chosen(arguments)?;
    ensure!(arguments.seconds > 0.0 && arguments.seconds <= 60.0, "--seconds is 60 at most");
    std::fs::create_dir_all(&arguments.dir)
        .with_context(|| format!("cannot make {}", arguments.dir.display()))?;
    let needed = groups.iter().map(|group| group.disk.bytes(arguments.seconds)).max();
    let needed = needed.unwrap_or(0);
    let disk = rustix::fs::statvfs(&arguments.dir)?;
    ensure!(
        disk.f_bavail * disk.f_frsize >= needed,
        "{} has less than {:.1} GiB free; choose another place with --dir",
        arguments.dir.display(),
        needed as f64 / f64::from(1 << 30)
    );
    let peers = Peers::find(&arguments.peer, &arguments.peer_dir)?;
    let dir = guard::swept_dir(&arguments.dir)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let bench =
        Bench { runtime: &runtime, dir: dir.path(), seconds: arguments.seconds, peers: &peers };
    let bar = ProgressBar::new(u64::from(arguments.rounds) * groups.len() as u64);
    let style = ProgressStyle::with_template("{elapsed_precise} [{wide_bar}] {pos}/{len} {msg}");
    bar.set_style(style?);
    let mut samples = Samples::default();
    for round in 1..=arguments.rounds {
        for group in &groups {
            if group.is_once && round < arguments.rounds {
                bar.inc(1);
                continue;
            }
            bar.set_message(format!("round {round}, {}", group.name));
            (group.run)(&bench, &mut samples)
                .with_context(|| format!("round {round}, {}", group.name))?;
            bar.inc(1);
        }
    }
    let mut rows = rows(&samples);
    if let Some(pictures) = &arguments.curves {
        let tell = |what: String| bar.set_message(what);
        let rounds = arguments.rounds.min(CURVE_ROUNDS);
        rows.extend(curves::measure(&bench, rounds, arguments.curve_gib, pictures, tell)?);
    }
    bar.finish_and_clear();
    print!("{}", report::words(&rows));
    if let Some(file) = &arguments.json {
        let json = serde_json::to_string_pretty(&rows)? + "\n";
        std::fs::write(file, json).with_context(|| format!("cannot write {}", file.display()))?;
    }
    if let Some(file) = &arguments.svg {
        report::draw(&rows, file)
            .map_err(|error| anyhow::anyhow!("cannot draw {}: {error}", file.display()))?;
    }
    Ok(rows.iter().all(|row| row.holds != Some(false)))
}

/// The groups that are asked for, in their order: those of `only`, or else all but the peers', and
/// those of the peers.
fn chosen(arguments: &Arguments) -> Result<Vec<&'static Group>> {
    let Arguments { only, peer, curves, .. } = arguments;
    let is_a_peers = |name: &str| Peer::value_variants().iter().any(|peer| peer.group() == name);
    for name in only {
        if is_a_peers(name) {
            anyhow::bail!("{name} is a peer: ask for it with --peer");
        }
        let is_curves = name == "curves" && curves.is_some();
        if !is_curves && !GROUPS.iter().any(|group| group.name == name) {
            anyhow::bail!("there is no group {name}; --list names them");
        }
    }
    let is_chosen = |group: &&Group| {
        peer.iter().any(|peer| peer.group() == group.name)
            || only.iter().any(|name| name == group.name)
            || (only.is_empty() && !is_a_peers(group.name))
    };
    Ok(GROUPS.iter().filter(is_chosen).collect())
}
