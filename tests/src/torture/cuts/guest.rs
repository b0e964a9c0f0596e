//! What runs inside a machine that will die: the server, the load, and a line for each event;
//! or the server alone, and a line for all that each shard has.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use tokio::sync::mpsc::unbounded_channel;

use super::event::Event;
use super::load;
use super::read;
use crate::torture::server::{Durability, Server};

/// What is said when the server is about to start.
pub(super) const STARTING: &str = "@starting";

/// What is said when everything was read.
pub(super) const READ: &str = "@read";

/// What a guest does with its server.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum Deed {
    /// Puts and reads until the end.
    Load,
    /// Reads everything once, and waits for the end.
    Read,
}

/// The command line of a guest, which only [`machine`](super::machine) writes.
#[derive(Args, Debug)]
pub struct GuestArguments {
    data: PathBuf,
    #[arg(value_enum)]
    durability: Durability,
    life: u32,
    #[arg(value_enum)]
    deed: Deed,
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
    if arguments.deed == Deed::Read {
        for event in runtime.block_on(what_stands(address))? {
            println!("{}", event.line());
        }
        println!("{READ}");
        // Not for the server to end: its input, which a wait closes, is what it runs by.
        loop {
            std::thread::park();
        }
    }
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

/// All that a server has, shard by shard.
async fn what_stands(address: SocketAddr) -> Result<Vec<Event>> {
    let found = read::everything(address).await?;
    let stood = found.shards.into_iter().map(|((stream, shard), records)| {
        let records = records.iter().map(|stands| stands.seen).collect();
        Event::Stood { stream, shard, records }
    });
    Ok(found.damage.into_iter().map(Event::Damage).chain(stood).collect())
}
