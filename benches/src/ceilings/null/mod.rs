//! Servers that do nothing: what gRPC, and HTTP, cost where the log costs nothing.
//!
//! They answer the routes of the API at once with what a real answer looks like, in a process of
//! their own, so that the same client with the same load drives them and us.

mod kinesis;
mod stock;
mod tuned;

use std::io::{Read, Write};

use anabranch_proto::v1::{
    ProduceResponse, PutRecordResponse, PutRecordsResponse, PutRecordsResultEntry, Record,
    SubscribeToShardEvent,
};
use anyhow::{Context, Result};
use bytes::Bytes;
use clap::ValueEnum;

use super::load::DATA_BYTES;
pub(super) use stock::stubs;

/// How a server that does nothing is built.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum Shape {
    /// As tonic and prost come: default frames and windows, messages decoded and encoded.
    Stock,
    /// Our own port with its settings, and no message looked at: borders are counted, answers
    /// are bytes that were encoded before.
    Tuned,
    /// Our own port as an AWS SDK meets it: bodies are read to their end and not looked at,
    /// answers are bytes that were encoded before.
    Kinesis,
}

impl Shape {
    pub(super) fn word(self) -> &'static str {
        match self {
            Shape::Stock => "stock",
            Shape::Tuned => "tuned",
            Shape::Kinesis => "kinesis",
        }
    }
}

/// Serves until standard input ends, and says first where.
pub(super) fn serve(shape: Shape) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.spawn(async move {
        let served = match shape {
            Shape::Stock => stock::serve().await,
            Shape::Tuned => tuned::serve().await,
            Shape::Kinesis => kinesis::serve().await,
        };
        if let Err(error) = served {
            eprintln!("ceilings: {error:#}");
            std::process::exit(1);
        }
    });
    std::io::stdin().read_to_end(&mut Vec::new()).context("cannot wait")?;
    runtime.shutdown_background();
    Ok(())
}

fn tell(address: std::net::SocketAddr) -> Result<()> {
    println!("{address}");
    Ok(std::io::stdout().flush()?)
}

fn put_answer() -> PutRecordResponse {
    PutRecordResponse {
        shard_id: "shardId-000000000001".to_owned(),
        sequence_number: 1_000_000,
        arrival_time_ms: Some(1_700_000_000_000),
        shard_creation_timestamp_ms: Some(1_600_000_000_000),
    }
}

fn put_records_answer(records: usize) -> PutRecordsResponse {
    let one = PutRecordsResultEntry {
        sequence_number: 1_000_000,
        shard_id: "shardId-000000000001".to_owned(),
        ..PutRecordsResultEntry::default()
    };
    PutRecordsResponse { failed_record_count: 0, records: vec![one; records] }
}

fn produce_answer(records: usize) -> ProduceResponse {
    ProduceResponse {
        sequence_numbers: vec![1_000_000; records],
        shard_indexes: vec![1; records],
        failures: Vec::new(),
    }
}

fn records(count: usize) -> Vec<Record> {
    let record = |number| Record {
        sequence_number: number,
        arrival_time_ms: 1_700_000_000_000,
        partition_key: "key-0001".to_owned(),
        data: Bytes::from(vec![b'x'; DATA_BYTES]),
    };
    (1..=count as u64).map(record).collect()
}

fn event(count: usize) -> SubscribeToShardEvent {
    SubscribeToShardEvent {
        records: records(count),
        continuation_sequence_number: 1_000_000,
        millis_behind_latest: 1,
        child_shards: Vec::new(),
    }
}
