//! `anabranch stream`: making, looking at and deleting streams.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use anabranch_proto::v1;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::failure::Failure;
use super::output::{count, print_list, print_object, time};
use super::{DONE, FAILED, Global, OutputFormat, connect};
use crate::error::Error;

/// What to do with streams.
#[derive(Subcommand, Debug)]
pub enum StreamCommand {
    /// Make a stream
    Create {
        /// 1 to 128 of a-z A-Z 0-9 _ . -
        name: String,
        /// Shards: each takes its part of the keys
        #[arg(long, value_name = "N", default_value_t = 1)]
        shards: u32,
    },
    /// List all streams
    List,
    /// Describe a stream
    Describe {
        /// The stream
        name: String,
    },
    /// List the shards of a stream
    Shards {
        /// The stream
        name: String,
    },
    /// Set for how long records are kept
    Retention {
        /// The stream
        name: String,
        /// Whole hours from 24h to 8760h, such as 48h or 7d
        #[arg(value_parser = parse_retention)]
        period: u32,
    },
    /// Say how many shards a load needs (asks no server)
    Size {
        /// KiB per second put at the busiest time
        #[arg(long, value_name = "A")]
        in_kib_s: u64,
        /// KiB per second read by all pulling consumers together at the busiest time
        #[arg(long, value_name = "B")]
        out_kib_s: u64,
    },
    /// Delete a stream with all its records
    Delete(DeleteArguments),
}

/// What to delete.
#[derive(Args, Debug)]
pub struct DeleteArguments {
    /// The stream
    name: String,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Delete its registered consumers with it
    #[arg(long)]
    enforce_consumer_deletion: bool,
}

pub(super) async fn run(command: StreamCommand, global: &Global) -> Result<i32, Failure> {
    match command {
        StreamCommand::Create { name, shards } => create(&name, shards, global).await,
        StreamCommand::List => list(global).await,
        StreamCommand::Describe { name } => describe(&name, global).await,
        StreamCommand::Shards { name } => shards(&name, global).await,
        StreamCommand::Retention { name, period } => retention(&name, period, global).await,
        StreamCommand::Size { in_kib_s, out_kib_s } => size(in_kib_s, out_kib_s, global),
        StreamCommand::Delete(arguments) => delete(arguments, global).await,
    }
}

async fn create(name: &str, shard_count: u32, global: &Global) -> Result<i32, Failure> {
    let client = connect(global).await?;
    client.create_stream(name, shard_count).await.map_err(|error| match error {
        Error::InUse { message } => {
            Failure::new(format!("{message}; look at it with: anabranch stream describe {name}"))
        }
        error => error.into(),
    })?;
    let shards = if shard_count == 1 { "shard" } else { "shards" };
    let words = format!("stream {name} has been made, with {} {shards}", count(shard_count.into()));
    let object = json!({ "stream_name": name, "shard_count": shard_count });
    print_object(global.output, &words, &object)?;
    Ok(DONE)
}

async fn list(global: &Global) -> Result<i32, Failure> {
    let streams = connect(global).await?.list_streams().await?;
    if streams.is_empty() && global.output == OutputFormat::Table {
        eprintln!("there are no streams; make one with: anabranch stream create NAME");
        return Ok(DONE);
    }
    let status = |stream: &v1::StreamSummary| stream.stream_status().as_str_name().to_owned();
    let rows = streams.iter().map(|stream| {
        let created = time(stream.stream_creation_timestamp_ms);
        vec![stream.stream_name.clone(), status(stream), created]
    });
    let objects = streams.iter().map(|stream| {
        json!({
            "stream_name": stream.stream_name,
            "stream_arn": stream.stream_arn,
            "stream_status": status(stream),
            "stream_mode": stream.stream_mode().as_str_name(),
            "stream_creation_timestamp_ms": stream.stream_creation_timestamp_ms,
        })
    });
    let header = ["NAME", "STATUS", "CREATED"];
    print_list(global.output, &header, rows.collect(), objects.collect())?;
    Ok(DONE)
}

async fn describe(name: &str, global: &Global) -> Result<i32, Failure> {
    let client = connect(global).await?;
    let about = |error| Failure::about_stream(name, error);
    let stream = client.describe_stream_summary(name).await.map_err(about)?;
    let status = stream.stream_status().as_str_name();
    let mode = stream.stream_mode().as_str_name();
    if global.output == OutputFormat::Table {
        let rows = [
            ("name", stream.stream_name.clone()),
            ("arn", stream.stream_arn.clone()),
            ("status", status.to_owned()),
            ("mode", mode.to_owned()),
            ("retention", format!("{} hours", stream.retention_period_hours)),
            ("created", time(stream.stream_creation_timestamp_ms)),
            ("open shards", count(stream.open_shard_count.into())),
            ("consumers", count(stream.consumer_count.into())),
        ];
        let rows = rows.map(|(field, value)| vec![field.to_owned(), value]);
        print_list(global.output, &["FIELD", "VALUE"], rows.to_vec(), Vec::new())?;
        return Ok(DONE);
    }
    let object = json!({
        "stream_name": stream.stream_name,
        "stream_arn": stream.stream_arn,
        "stream_status": status,
        "stream_mode": mode,
        "retention_period_hours": stream.retention_period_hours,
        "stream_creation_timestamp_ms": stream.stream_creation_timestamp_ms,
        "open_shard_count": stream.open_shard_count,
        "consumer_count": stream.consumer_count,
    });
    print_object(global.output, "", &object)?;
    Ok(DONE)
}

async fn shards(name: &str, global: &Global) -> Result<i32, Failure> {
    let client = connect(global).await?;
    let about = |error| Failure::about_stream(name, error);
    let shards = client.list_shards(name).await.map_err(about)?;
    let rows = shards.iter().map(|shard| {
        let keys = shard.hash_key_range.clone().unwrap_or_default();
        let numbers = shard.sequence_number_range.unwrap_or_default();
        let state = if numbers.ending_sequence_number.is_some() { "CLOSED" } else { "OPEN" };
        let parents = [&shard.parent_shard_id, &shard.adjacent_parent_shard_id];
        let parents: Vec<&str> = parents.into_iter().flatten().map(String::as_str).collect();
        vec![
            shard.shard_id.clone(),
            state.to_owned(),
            keys.starting_hash_key,
            keys.ending_hash_key,
            parents.join(" "),
        ]
    });
    let header = ["SHARD", "STATE", "FROM HASH KEY", "TO HASH KEY", "PARENTS"];
    print_list(global.output, &header, rows.collect(), shards.iter().map(shard_object).collect())?;
    Ok(DONE)
}

fn shard_object(shard: &v1::Shard) -> Value {
    let keys = shard.hash_key_range.clone().unwrap_or_default();
    let numbers = shard.sequence_number_range.unwrap_or_default();
    json!({
        "shard_id": shard.shard_id,
        "parent_shard_id": shard.parent_shard_id,
        "adjacent_parent_shard_id": shard.adjacent_parent_shard_id,
        "hash_key_range": {
            "starting_hash_key": keys.starting_hash_key,
            "ending_hash_key": keys.ending_hash_key,
        },
        "sequence_number_range": {
            "starting_sequence_number": numbers.starting_sequence_number,
            "ending_sequence_number": numbers.ending_sequence_number,
        },
    })
}

async fn retention(name: &str, hours: u32, global: &Global) -> Result<i32, Failure> {
    let client = connect(global).await?;
    let about = |error| Failure::about_stream(name, error);
    let before = client.describe_stream_summary(name).await.map_err(about)?;
    if hours >= before.retention_period_hours {
        client.increase_stream_retention_period(name, hours).await.map_err(about)?;
    } else {
        client.decrease_stream_retention_period(name, hours).await.map_err(about)?;
    }
    let words = format!(
        "stream {name} keeps its records for {hours} hours (before: {})",
        before.retention_period_hours
    );
    let object = json!({ "stream_name": name, "retention_period_hours": hours });
    print_object(global.output, &words, &object)?;
    Ok(DONE)
}

fn parse_retention(text: &str) -> Result<u32, String> {
    let period: Duration =
        humantime::parse_duration(text).map_err(|_| "not a period such as 48h or 7d".to_owned())?;
    let hours = period.as_secs() / 3600;
    if Duration::from_secs(hours * 3600) != period {
        return Err("only whole hours are kept".to_owned());
    }
    // Asked for less than a day, the server would name the limits of the way down from the
    // present period, which are none.
    match u32::try_from(hours) {
        Ok(hours @ 24..=8760) => Ok(hours),
        _ => Err("a period from 24h to 8760h is kept".to_owned()),
    }
}

/// A shard takes 1 MiB and gives 2 MiB a second.
fn shards_for(in_kib_s: u64, out_kib_s: u64) -> u64 {
    in_kib_s.div_ceil(1024).max(out_kib_s.div_ceil(2048)).max(1)
}

fn size(in_kib_s: u64, out_kib_s: u64, global: &Global) -> Result<i32, Failure> {
    let shards = shards_for(in_kib_s, out_kib_s);
    let object = json!({ "shard_count": shards, "in_kib_s": in_kib_s, "out_kib_s": out_kib_s });
    print_object(global.output, &shards.to_string(), &object)?;
    Ok(DONE)
}

async fn delete(arguments: DeleteArguments, global: &Global) -> Result<i32, Failure> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;

    #[test]
    fn size_follows_the_busier_direction_and_is_at_least_one() {
        assert_eq!(shards_for(0, 0), 1);
        assert_eq!(shards_for(1024, 2048), 1);
        assert_eq!(shards_for(1025, 0), 2);
        assert_eq!(shards_for(1024, 4097), 3);
        assert_eq!(shards_for(10 * 1024, 2048), 10);
    }

    #[test]
    fn retention_is_a_period_of_whole_hours() {
        assert_eq!(parse_retention("48h"), Ok(48));
        assert_eq!(parse_retention("7d"), Ok(168));
        for wrong in ["48", "90m", "", "long", "23h", "8761h", "99999999999999h"] {
            assert!(parse_retention(wrong).is_err(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn a_stream_lives_from_create_to_delete() {
        let (_fake, client) = Fake::start().await;
        let global =
            Global { server: client.server().to_string(), output: OutputFormat::default() };
        let name = || "s".to_owned();
        let delete = |yes| {
            StreamCommand::Delete(DeleteArguments {
                name: name(),
                yes,
                enforce_consumer_deletion: false,
            })
        };
        let create = || StreamCommand::Create { name: name(), shards: 2 };
        assert_eq!(run(create(), &global).await.unwrap(), DONE);
        let again = run(create(), &global).await.unwrap_err();
        assert!(again.text.ends_with("anabranch stream describe s"), "{}", again.text);
        for command in [
            StreamCommand::List,
            StreamCommand::Describe { name: name() },
            StreamCommand::Shards { name: name() },
            StreamCommand::Retention { name: name(), period: 48 },
            delete(true),
        ] {
            assert_eq!(run(command, &global).await.unwrap(), DONE);
        }
        let gone = run(StreamCommand::Describe { name: name() }, &global).await.unwrap_err();
        assert!(gone.text.ends_with("anabranch stream create s"), "{}", gone.text);
    }
}
