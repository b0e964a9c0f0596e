//! What runs inside a machine that will die: the server, the load, and a line for each event.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use tokio::sync::mpsc::unbounded_channel;

use super::event::Event;
use super::load;
use crate::torture::server::{Durability, Server};

/// What is said when the server is about to start.
pub(super) const STARTING: &str = "@starting";

/// The command line of a guest, which only [`machine`](super::machine) writes.
#[derive(Args, Debug)]
pub struct GuestArguments {
    data: PathBuf,
    #[arg(value_enum)]
    durability: Durability,
    life: u32,
}

/// The guest itself. It is the first process of its machine, and does not end well: whatever
/// happens is said on the console, and then the kernel of the machine panics.
pub fn run(arguments: &GuestArguments) -> ExitCode {
    if let Err(error) = live(arguments) {
        println!("error: {error:#}");
    }
    ExitCode::FAILURE
}

fn live(arguments: &GuestArguments) -> Result<()> {
    let log = arguments.data.with_extension("log");
    println!("{STARTING}");
    let mut server = Server::spawn(&arguments.data, arguments.durability, &log)?;
    let address = server.ready()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (sender, mut receiver) = unbounded_channel::<Event>();
    let life = arguments.life;
    // A console is slow, and must not hold up the clients.
    let console = std::thread::spawn(move || -> Result<()> {
        let mut stdout = std::io::stdout().lock();
        while let Some(event) = receiver.blocking_recv() {
            writeln!(stdout, "{}", event.line())?;
            stdout.flush()?;
        }
        Ok(())
    });
    runtime.block_on(load::run(address, life, sender))?;
    console.join().ok().context("the console thread panicked")??;
    Ok(())
}
