//! `stream delete`: a stream with all its records, for somebody who means it.

use std::io::{IsTerminal, Write};

use clap::Args;
use serde_json::json;

use crate::cli::failure::Failure;
use crate::cli::output::print_object;
use crate::cli::{DONE, FAILED, Global, connect};
use crate::error::Error;

/// What to delete.
#[derive(Args, Debug)]
pub struct DeleteArguments {
    /// The stream
    pub(super) name: String,
    /// Do not ask
    #[arg(long)]
    pub(super) yes: bool,
    /// Delete its registered consumers with it
    #[arg(long)]
    pub(super) enforce_consumer_deletion: bool,
}

pub(super) async fn run(arguments: DeleteArguments, global: &Global) -> Result<i32, Failure> {
    let name = &arguments.name;
    if !arguments.yes {
        if !std::io::stdin().is_terminal() {
            return Err(Failure::usage(format!(
                "deleting stream {name} deletes all its records; say so with --yes"
            )));
        }
        if !is_confirmed(name)? {
            eprintln!("nothing was deleted");
            return Ok(FAILED);
        }
    }
    let client = connect(global).await?;
    let enforce = arguments.enforce_consumer_deletion;
    client.delete_stream(name, enforce).await.map_err(|error| match error {
        Error::InUse { message } => Failure::new(format!(
            "{message}; delete its consumers with it: --enforce-consumer-deletion"
        )),
        error => Failure::about_stream(name, error),
    })?;
    let words = format!("stream {name} has been deleted");
    print_object(global.output, &words, &json!({ "stream_name": name }))?;
    Ok(DONE)
}

fn is_confirmed(name: &str) -> Result<bool, Failure> {
    eprint!("Delete stream {name} with all its records? [y/N] ");
    let failed = |error: std::io::Error| Failure::new(format!("cannot ask: {error}"));
    std::io::stderr().flush().map_err(failed)?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).map_err(failed)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
