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
#[cfg(not(feature = "count-allocations"))]
use mimalloc::MiMalloc;

#[cfg(not(feature = "count-allocations"))]
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

// Whose they are does not change how many there are.
#[cfg(feature = "count-allocations")]
#[global_allocator]
static ALLOCATOR: stats_alloc::StatsAlloc<std::alloc::System> = stats_alloc::StatsAlloc::system();

fn main() -> ExitCode {
    let started_as = std::env::args_os().next().unwrap_or_default();
    if Path::new(&started_as).file_name() == Some(OsStr::new(PROGRAM)) {
        let code = anabranch_server::cli::main();
        #[cfg(feature = "count-allocations")]
        ceilings::tell_allocations(&ALLOCATOR.stats());
        return code;
    }
    ceilings::main(&Arguments::parse())
}
