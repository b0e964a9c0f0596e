//! `anabranch`: the server and the command line in one binary.
//!
//! What there is to do stands in the library, in [`anabranch_server::cli`], so that tests can
//! start the very same thing; only what concerns the process as a whole is chosen here.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use mimalloc::MiMalloc;

// Thousands of short-lived buffers of very different sizes on many threads: the system's
// allocator holds on to several times what is in use.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    anabranch_server::cli::main()
}
