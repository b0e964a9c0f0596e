//! The program itself, as a binary of this package: cargo tells a test the path of its own
//! package's binaries only. It calls what the real one calls, with the same allocator.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    anabranch_server::cli::main()
}
