//! `anabranch`: the server and the command line in one binary.
//!
//! This file knows the commands and hands each to its module; what a server is stands in the
//! library, and the commands that speak to one (`stream`, `put`, `tail`) in the client crate.

#![forbid(unsafe_code)]

mod cli;

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;

use crate::cli::Arguments;

// Thousands of short-lived buffers of very different sizes on many threads: the system's
// allocator holds on to several times what is in use.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_name("anabranch-io")
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => {
            let code = runtime.block_on(cli::run(arguments));
            // What still runs (a read of standard input, say) must not hold up the end.
            runtime.shutdown_background();
            ExitCode::from(code)
        }
        Err(error) => {
            eprintln!("error: cannot start the runtime: {error}");
            ExitCode::from(cli::FAILED)
        }
    }
}
