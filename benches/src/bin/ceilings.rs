//! `ceilings`: how close the server comes to what the machine and gRPC can do at best.
//!
//! Started under the name `anabranch` it is the server and nothing else, so that what is measured
//! is built with the same settings as what it is measured against.

#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

use anabranch_benches::ceilings::{self, Arguments, PROGRAM};
use clap::Parser;
use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let started_as = std::env::args_os().next().unwrap_or_default();
    if Path::new(&started_as).file_name() == Some(OsStr::new(PROGRAM)) {
        return anabranch_server::cli::main();
    }
    ceilings::main(&Arguments::parse())
}
