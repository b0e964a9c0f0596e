//! `stream mode`: who decides on the number of a stream's shards.

use anabranch_proto::v1;
use clap::{Args, ValueEnum};
use serde_json::json;

use crate::cli::failure::Failure;
use crate::cli::output::print_object;
use crate::cli::{DONE, Global, connect};

/// Who decides on the number of shards.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum Mode {
    /// You: split, merge and scale
    Provisioned,
    /// The server, by the load
    OnDemand,
}

impl Mode {
    pub(super) fn proto(self) -> v1::StreamMode {
        match self {
            Mode::Provisioned => v1::StreamMode::Provisioned,
            Mode::OnDemand => v1::StreamMode::OnDemand,
        }
    }
}

/// Which stream, and who is to decide.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  anabranch stream mode clicks on-demand
  anabranch stream mode clicks provisioned")]
pub struct ModeArguments {
    /// The stream
    name: String,
    /// Who decides on the number of its shards
    mode: Mode,
}

pub(super) async fn run(arguments: ModeArguments, global: &Global) -> Result<i32, Failure> {
    let ModeArguments { name, mode } = arguments;
    let client = connect(global).await?;
    let changed = client.update_stream_mode(&name, mode.proto()).await;
    changed.map_err(|error| Failure::about_stream(&name, error))?;
    let words = match mode {
        Mode::Provisioned => format!(
            "stream {name} is provisioned: it keeps its shards until you split, merge or scale it"
        ),
        Mode::OnDemand => format!(
            "stream {name} is on-demand: the server splits and merges its shards by the load"
        ),
    };
    let object = json!({ "stream_name": name, "stream_mode": mode.proto().as_str_name() });
    print_object(global.output, &words, &object)?;
    Ok(DONE)
}

/// What to do where only the server may change the shape.
pub(super) fn is_on_demand(name: &str) -> Failure {
    Failure::new(format!(
        "stream {name} is on-demand: the server decides on its shards; to do so yourself: \
         anabranch stream mode {name} provisioned"
    ))
}
