//! Loads: what a client does to a server for a while, and what came of it.
//!
//! Each drives ours and the servers that do nothing with the same code, connections and calls in
//! flight. A load warms up first; then, for as long as its window is open, it counts what is
//! answered, and what both processes spend on it.

mod encoding;
mod http;
mod kinesis;
mod latency;
mod pipeline;
mod put;
mod read;

use std::time::{Duration, Instant};

use anabranch_proto::v1::streams_client::StreamsClient;
use anabranch_proto::v1::{CreateStreamRequest, DeleteStreamRequest, PutRecordsRequestEntry};
use anyhow::{Context, Result};
use bytes::Bytes;
use hdrhistogram::Histogram;
use tonic::transport::{Channel, Endpoint};

use super::child::{Child, cpu_seconds};
use super::space::Space;

pub(super) use encoding::{Encoding, Value};
pub(super) use kinesis::{
    CALL_RECORDS, create_by_kinesis, get_by_kinesis, put_by_kinesis, subscribe_by_kinesis,
};
pub(super) use latency::{one_at_a_time, put_to_push};
pub(super) use pipeline::{Wire, pipeline};
#[cfg(feature = "count-allocations")]
pub(super) use put::put_so_many;
pub(super) use put::{Puts, fill, produce, put_one, put_records, swallow, touch};
pub(super) use read::{fan_out, follow, get, replay_by_our_client, replay_raw, replay_stock};

/// Bytes of a record's data; with a key of eight it is 1,024.
pub(super) const DATA_BYTES: usize = 1016;

/// Records of a page that GetRecords is asked for.
pub(super) const PAGE_RECORDS: usize = 100;

/// The stream that is put into and read.
pub(super) const STREAM: &str = "load";

/// Batches that are made before and sent again and again: 64 of them have keys enough for any
/// number of shards.
const BATCHES: usize = 64;

/// Time for connections, buffers and the processor's clock to settle.
const WARM_UP: Duration = Duration::from_millis(300);

/// When it counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    from: Instant,
    until: Instant,
}

impl Window {
    fn open(seconds: f64) -> Window {
        let from = Instant::now() + WARM_UP;
        Window { from, until: from + Duration::from_secs_f64(seconds) }
    }

    fn holds(self, time: Instant) -> bool {
        (self.from..self.until).contains(&time)
    }

    fn is_over(self) -> bool {
        Instant::now() >= self.until
    }

    fn seconds(self) -> f64 {
        (self.until - self.from).as_secs_f64()
    }
}

/// What came of a load.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    /// Answered in the window.
    pub(super) records: u64,
    /// Answered at all.
    pub(super) total: u64,
    pub(super) seconds: f64,
    /// Seconds of CPU time in the window.
    pub(super) server_cpu: f64,
    pub(super) client_cpu: f64,
    /// Bytes in the server's address space at the end of it, pages of files included.
    pub(super) resident: u64,
    /// What each acknowledged record takes on the disk, where it is put.
    pub(super) disk: Option<DiskPerRecord>,
    /// Nanoseconds from the request to its answer.
    pub(super) latency: Histogram<u64>,
}

/// Bytes on the disk for each record of a load.
#[derive(Clone, Copy, Debug)]
pub(super) struct DiskPerRecord {
    pub(super) written: f64,
    /// Allocated ahead, or kept to be used again.
    pub(super) reserved: f64,
}

impl Outcome {
    /// Records per second.
    pub(super) fn rate(&self) -> f64 {
        self.records as f64 / self.seconds
    }

    /// The server's CPU seconds per million records.
    pub(super) fn server_cpu_per_million(&self) -> f64 {
        self.server_cpu * 1e6 / self.records.max(1) as f64
    }

    /// The client's CPU seconds per million records.
    pub(super) fn client_cpu_per_million(&self) -> f64 {
        self.client_cpu * 1e6 / self.records.max(1) as f64
    }
}

/// Counts of one part of a load.
pub(super) struct Tally {
    /// Answered in the window.
    records: u64,
    /// Answered at all.
    total: u64,
    pub(super) latency: Histogram<u64>,
}

impl Tally {
    pub(super) fn new() -> Tally {
        // From a microsecond to a minute, in three digits.
        let latency = Histogram::new_with_bounds(1_000, 60_000_000_000, 3);
        Tally { records: 0, total: 0, latency: latency.expect("these bounds are allowed") }
    }

    fn note(&mut self, window: Window, sent: Instant, records: usize) {
        let now = Instant::now();
        self.total += records as u64;
        if window.holds(now) {
            self.records += records as u64;
            self.latency.saturating_record(now.duration_since(sent).as_nanos() as u64);
        }
    }

    fn add(&mut self, other: &Tally) {
        self.records += other.records;
        self.total += other.total;
        self.latency.add(&other.latency).expect("all have the same bounds");
    }
}

/// What both sides spend while the window is open.
#[derive(Clone, Copy, Debug)]
struct Spent {
    server_cpu: f64,
    client_cpu: f64,
    resident: u64,
    /// What was on the disk before.
    space: Option<Space>,
}

async fn spent(child: &Child, window: Window) -> Result<Spent> {
    let space = child.space()?;
    tokio::time::sleep_until(window.from.into()).await;
    let before = (child.cpu_seconds()?, cpu_seconds("self")?);
    tokio::time::sleep_until(window.until.into()).await;
    Ok(Spent {
        server_cpu: child.cpu_seconds()? - before.0,
        client_cpu: cpu_seconds("self")? - before.1,
        resident: child.resident_bytes()?,
        space,
    })
}

/// What came of a load all of which is answered.
fn outcome(child: &Child, window: Window, tally: Tally, spent: Spent) -> Result<Outcome> {
    let disk = child.space()?.zip(spent.space).map(|(after, before)| {
        // Spare files become others' room, so it may be less than before.
        let per_record =
            |after: u64, before: u64| (after as f64 - before as f64) / tally.total.max(1) as f64;
        DiskPerRecord {
            written: per_record(after.written, before.written),
            reserved: per_record(after.reserved + after.spare, before.reserved + before.spare),
        }
    });
    Ok(Outcome {
        records: tally.records,
        total: tally.total,
        seconds: window.seconds(),
        server_cpu: spent.server_cpu,
        client_cpu: spent.client_cpu,
        resident: spent.resident,
        disk,
        latency: tally.latency,
    })
}

/// What frames and windows a client has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Settings {
    /// Those of our client.
    Ours,
    /// tonic's, which are those of most languages: frames of 16 KiB.
    Stock,
}

/// Opens a connection of its own.
pub(super) async fn connect(child: &Child, settings: Settings) -> Result<StreamsClient<Channel>> {
    let endpoint = Endpoint::from_shared(child.url())?.tcp_nodelay(true);
    let endpoint = match settings {
        Settings::Stock => endpoint,
        Settings::Ours => endpoint
            .max_frame_size(1 << 20)
            .initial_stream_window_size(4 << 20)
            .initial_connection_window_size(16 << 20),
    };
    let channel = endpoint.connect().await.context("cannot connect to a server")?;
    Ok(StreamsClient::new(channel).max_decoding_message_size(32 << 20))
}

/// Makes the stream that is put into.
pub(super) async fn create(child: &Child, shards: u32) -> Result<()> {
    let request = CreateStreamRequest {
        stream_name: STREAM.to_owned(),
        shard_count: shards,
        ..Default::default()
    };
    connect(child, Settings::Stock).await?.create_stream(request).await?;
    Ok(())
}

/// Deletes that stream; its segments become spares.
pub(super) async fn delete(child: &Child) -> Result<()> {
    let request =
        DeleteStreamRequest { stream_name: STREAM.to_owned(), ..DeleteStreamRequest::default() };
    connect(child, Settings::Stock).await?.delete_stream(request).await?;
    Ok(())
}

/// Batches of `records` each, of keys that spread over all shards.
fn batches(records: usize, data_bytes: usize) -> Vec<Vec<PutRecordsRequestEntry>> {
    let data = Bytes::from(vec![b'x'; data_bytes]);
    let entry = |number: usize| PutRecordsRequestEntry {
        data: data.clone(),
        partition_key: format!("{number:08}"),
        explicit_hash_key: None,
    };
    (0..BATCHES).map(|batch| (0..records).map(|i| entry(batch * records + i)).collect()).collect()
}
