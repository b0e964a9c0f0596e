//! The command line: what can be typed, and which module does it.
//!
//! Every command ends with one of five exit codes, which scripts rely on: 0 done, 1 failed,
//! 2 usage, 3 damage found, 4 server unreachable.
//!
//! [`main`] is the whole program. It stands in the library so that the tests of other packages
//! can make a binary of it, too.

mod completions;
mod config;
mod demo;
mod dump;
mod logging;
mod repair;
mod serve;
mod style;
mod verify;

use std::process::ExitCode;
use std::sync::LazyLock;
use std::time::Duration;

use anabranch_client::cli::{ClientCommand, Global};
use anabranch_engine::FORMAT_VERSION;
use clap::{Parser, Subcommand};

/// The command failed.
pub(crate) const FAILED: u8 = 1;
/// What was typed, or a setting, makes no sense.
pub(crate) const USAGE: u8 = 2;
/// Damage was found.
pub(crate) const DAMAGE: u8 = 3;

/// Version, commit and the format version of the data directory.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    format!(
        "{} (commit {}, format version {FORMAT_VERSION})",
        env!("CARGO_PKG_VERSION"),
        env!("ANABRANCH_COMMIT")
    )
});

/// A durable streaming backbone with the model of Amazon Kinesis Data Streams
#[derive(Parser)]
#[command(name = "anabranch", version = VERSION.as_str())]
struct Arguments {
    #[command(flatten)]
    global: Global,

    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show what this is: put real lines, read them back, kill the server, lose nothing
    Demo(demo::DemoArguments),

    /// Run a server
    Serve(serve::ServeArguments),

    #[command(flatten)]
    Client(ClientCommand),

    /// Check every checksum of a data directory
    Verify(verify::VerifyArguments),

    /// Put what is lost in a damaged data directory on record, so that the rest is served
    Repair(repair::RepairArguments),

    /// Show a segment file frame by frame
    Dump(dump::DumpArguments),

    /// Look at the configuration
    #[command(subcommand)]
    Config(config::ConfigCommand),

    /// Print a completion script for a shell
    Completions(completions::CompletionsArguments),
}

/// Time for the runtime's threads to end with the process. They have nothing left to do, unless
/// one waits for a person to type.
const THREADS_END: Duration = Duration::from_millis(200);

/// Does what was typed, from the arguments of the process to its exit code.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_name("anabranch-io")
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => {
            let code = runtime.block_on(run(arguments));
            // No thread of the runtime is to be at work while the process takes itself down. What
            // still runs then (a read of standard input, say) must not hold up the end.
            runtime.shutdown_timeout(THREADS_END);
            ExitCode::from(code)
        }
        Err(error) => {
            eprintln!("error: cannot start the runtime: {error}");
            ExitCode::from(FAILED)
        }
    }
}

async fn run(arguments: Arguments) -> u8 {
    match arguments.command {
        Command::Demo(demo) => demo::run(demo).await,
        Command::Serve(serve) => serve::run(serve).await,
        Command::Client(command) => {
            let code = anabranch_client::cli::run(command, arguments.global).await;
            u8::try_from(code).unwrap_or(FAILED)
        }
        Command::Verify(verify) => verify::run(&verify, &arguments.global),
        Command::Repair(repair) => repair::run(&repair, &arguments.global),
        Command::Dump(dump) => dump::run(&dump, &arguments.global),
        Command::Config(command) => config::run(command, &arguments.global),
        Command::Completions(completions) => completions::run(&completions),
    }
}

/// Writes a command's whole output. A reader that has gone (`| head`) is no failure.
fn print(text: &[u8]) -> u8 {
    use std::io::{ErrorKind, Write};
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        Ok(()) => 0,
        Err(error) if error.kind() == ErrorKind::BrokenPipe => 0,
        Err(error) => fail(FAILED, &error),
    }
}

/// Says what went wrong and returns `code`.
fn fail(code: u8, error: &dyn std::fmt::Display) -> u8 {
    eprintln!("{} {error}", style::stderr().error("error:"));
    code
}
