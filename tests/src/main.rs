//! `anabranch-tests torture`: holds the promises against faults, and prints the figures.
//!
//! Started under the name `anabranch` it is the server and nothing else, so that a check can
//! start, kill and cut off the very program that is shipped.

#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

use anabranch_tests::torture::{self, MutantsArguments, PROGRAM, TortureArguments, cuts};
use clap::{Parser, Subcommand};
use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// What the tests of Anabranch do outside of `cargo test`
#[derive(Parser)]
#[command(name = "anabranch-tests")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Cut the power, damage files, fill disks, and print what was lost
    Torture(TortureArguments),

    /// Make mistakes in the engine on purpose, and see whether the checks notice
    Mutants(MutantsArguments),

    /// A part of `torture` in namespaces of its own
    #[command(hide = true)]
    Cell(cuts::CellArguments),

    /// A part of `torture` inside a machine that will die
    #[command(hide = true)]
    Guest(cuts::GuestArguments),
}

fn main() -> ExitCode {
    let started_as = std::env::args_os().next().unwrap_or_default();
    if Path::new(&started_as).file_name() == Some(OsStr::new(PROGRAM)) {
        return anabranch_server::cli::main();
    }
    match Arguments::parse().command {
        Command::Torture(arguments) => torture::run(&arguments),
        Command::Mutants(arguments) => torture::run_mutants(&arguments),
        Command::Cell(arguments) => cuts::run_cell(&arguments),
        Command::Guest(arguments) => cuts::run_guest(&arguments),
    }
}
