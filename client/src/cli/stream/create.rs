//! `stream create`: a stream, ready when the command ends.

use anabranch_proto::v1;
use clap::Args;
use serde_json::json;

use super::mode::Mode;
use super::tags::parse_tag;
use crate::cli::failure::Failure;
use crate::cli::output::{count, print_object};
use crate::cli::{DONE, Global, connect};
use crate::error::Error;

/// What to make.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  anabranch stream create orders --shards 4
  anabranch stream create clicks --mode on-demand --tag team=web")]
pub struct CreateArguments {
    /// 1 to 128 of a-z A-Z 0-9 _ . -
    pub(super) name: String,
    /// Shards: each takes its part of the keys [default: 1]
    #[arg(long, value_name = "N")]
    pub(super) shards: Option<u32>,
    /// Who decides on the number of shards: you, or the server by the load, from 4 on
    #[arg(long, value_enum, default_value_t = Mode::Provisioned)]
    pub(super) mode: Mode,
    /// A tag; may be given several times
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = parse_tag)]
    pub(super) tags: Vec<(String, String)>,
}

pub(super) async fn run(arguments: CreateArguments, global: &Global) -> Result<i32, Failure> {
    let CreateArguments { name, shards, mode, tags } = arguments;
    let shard_count = match (mode, shards) {
        (Mode::Provisioned, shards) => shards.unwrap_or(1),
        (Mode::OnDemand, None) => 0,
        (Mode::OnDemand, Some(_)) => {
            return Err(Failure::usage(
                "an on-demand stream decides on the number of its shards itself; leave --shards \
                 out, or --mode on-demand",
            ));
        }
    };
    if mode == Mode::Provisioned && shard_count == 0 {
        // To the API a 0 stands for none given.
        return Err(Failure::new("--shards 0: allowed are 1 to 10000"));
    }
    let client = connect(global).await?;
    let request = v1::CreateStreamRequest {
        stream_name: name.clone(),
        shard_count,
        stream_mode: mode.proto().into(),
        tags: tags.into_iter().collect(),
        ..Default::default()
    };
    client.create_stream_with(request).await.map_err(|error| match error {
        Error::InUse { message } => {
            Failure::new(format!("{message}; look at it with: anabranch stream describe {name}"))
        }
        error => error.into(),
    })?;
    let shard_count = match mode {
        Mode::Provisioned => shard_count,
        Mode::OnDemand => client.describe_stream_summary(&name).await?.open_shard_count,
    };
    let shards = if shard_count == 1 { "shard" } else { "shards" };
    let words = format!("stream {name} has been made, with {} {shards}", count(shard_count.into()));
    let object = json!({ "stream_name": name, "shard_count": shard_count });
    print_object(global.output, &words, &object)?;
    Ok(DONE)
}
