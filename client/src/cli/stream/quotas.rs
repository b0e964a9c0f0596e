//! `stream quotas`: which limits a stream keeps beside those of size.

use anabranch_proto::v1;
use clap::{Args, ValueEnum};
use serde_json::json;

use crate::cli::failure::Failure;
use crate::cli::output::print_object;
use crate::cli::{DONE, Global, connect};

/// Which limits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum Quotas {
    /// Limits of size only
    Open,
    /// The throughput limits of the real service
    Aws,
    /// Those of the server
    Default,
}

/// Which stream, and which limits.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  anabranch stream quotas orders aws
  anabranch stream quotas orders default")]
pub struct QuotasArguments {
    /// The stream
    name: String,
    /// Its limits from now on
    quotas: Quotas,
}

pub(super) async fn run(arguments: QuotasArguments, global: &Global) -> Result<i32, Failure> {
    let QuotasArguments { name, quotas } = arguments;
    let asked = match quotas {
        Quotas::Open => v1::QuotaProfile::Open,
        Quotas::Aws => v1::QuotaProfile::Aws,
        Quotas::Default => v1::QuotaProfile::Unspecified,
    };
    let client = connect(global).await?;
    let in_force = client.set_quotas(&name, asked).await;
    let in_force = in_force.map_err(|error| Failure::about_stream(&name, error))?;
    let whose = if quotas == Quotas::Default { ", as its server does" } else { "" };
    let words = match in_force {
        v1::QuotaProfile::Aws => format!(
            "stream {name} keeps the limits of the real service{whose}: a shard takes 1,000 \
             records and 1 MiB a second and gives 2 MiB"
        ),
        _ => format!("stream {name} keeps limits of size only{whose}"),
    };
    let object = json!({
        "stream_name": name,
        "quotas": word(in_force),
        "has_own_quotas": quotas != Quotas::Default,
    });
    print_object(global.output, &words, &object)?;
    Ok(DONE)
}

/// A profile as it is typed.
pub(super) fn word(profile: v1::QuotaProfile) -> &'static str {
    match profile {
        v1::QuotaProfile::Aws => "aws",
        v1::QuotaProfile::Open | v1::QuotaProfile::Unspecified => "open",
    }
}
