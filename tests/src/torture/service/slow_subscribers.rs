//! A thousand subscribers that never read, on and off in turn: what they cost the server, and
//! what the others notice of them.
//!
//! ```text
//!   memory   1,000 of each kind of subscriber: anonymous memory of the server, above what it
//!            had without them
//!   others   off | on | off | on | ...   10 rounds: a producer puts one record after the other,
//!            and a subscriber that reads gets them; the medians of all `on` against all `off`
//! ```
//!
//! The log that they subscribe to was put one record at a time: each record is a frame of its
//! own, and an event has as many ranges as records. That is the most that an event can cost.
//! While they are there, more is put to their shards.
//!
//! Segments are mapped from their files, and what the kernel maps for a reader is not the
//! server's to give: so anonymous memory is what counts.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anabranch_client::{Client, Position, v1};
use anabranch_engine::fs::ReadMode;
use anabranch_engine::record::{PartitionKey, RecordView};
use anabranch_engine::settings::Tags;
use anabranch_engine::{
    Durability as EngineDurability, Engine, EngineOptions, Environment, StreamSettings,
};
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use rustix::process::Pid;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::measure::{anonymous_bytes, largest, median, micros};
use super::mute::{Mute, Window};
use super::wide::Wide;
use super::{admin, runtime};
use crate::torture::server::{Durability, PATIENCE, Server, connect};
use crate::torture::{Bar, Check, Figures, Need, Plan};

pub(in crate::torture) const CHECK: Check = Check {
    name: "slow-subscribers",
    tier: "real",
    rows: &["R20"],
    about: "1,000 subscribers that never read, on and off: their memory, and the others' latency",
    needs: &[Need::Space { bytes: 1 << 30 }],
    run,
};

const SUBSCRIBERS: usize = 1000;
/// A stream has 20 consumers, so that is 50 shards.
const CONSUMERS: usize = 20;
const SHARDS: usize = SUBSCRIBERS / CONSUMERS;
const ROUNDS: usize = 10;
/// What stands in each shard: more records, each put alone, than one event draws on.
const BACKLOG_RECORDS: usize = 3000;
const BACKLOG_BYTES: usize = 150;
/// A record of the producer whose latency is measured.
const RECORD_BYTES: usize = 1024;
/// The pause between two batches of the load on the subscribers' shards.
const LOAD_PAUSE: Duration = Duration::from_millis(50);
/// Memory is looked at when it has not changed much for this long.
const SETTLED: Duration = Duration::from_millis(150);

/// Bytes that a subscriber may cost.
const SUBSCRIBER_KIB_MAX: f64 = 256.0;
/// How far the medians of the others may rise.
const RATIO_MAX: f64 = 1.10;

const MUTE_STREAM: &str = "mute";
const STEADY_STREAM: &str = "steady";
const STEADY_CONSUMER: &str = "reader";

fn run(plan: &Plan) -> Result<Figures> {
    plan.total((Window::ALL.len() + ROUNDS) as u64);
    let data = plan.scratch().join("data");
    plan.say("filling");
    fill(&data)?;
    let mut server = Server::spawn(&data, Durability::Fsync, &plan.scratch().join("server.log"))?;
    let ready = server.ready_line()?;
    let runtime = runtime()?;
    let scene = Scene { address: ready.listen, admin: ready.admin, pid: server.pid() };
    let figures = runtime.block_on(scene.play(plan))?;
    server.stop()?;
    Ok(figures)
}

/// Puts the backlog, without a server: one record to a frame, which takes a sync each where a
/// server does it.
fn fill(data: &Path) -> Result<()> {
    let options = EngineOptions { durability: EngineDurability::Os, ..EngineOptions::new(data) };
    let engine = Engine::open(options, Environment::system(ReadMode::Mmap))?;
    let stream =
        engine.create_stream(&MUTE_STREAM.parse()?, SHARDS as u32, StreamSettings::default())?;
    for consumer in 0..CONSUMERS {
        engine.register_consumer(&stream, &consumer_name(consumer).parse()?, Tags::new())?;
    }
    let steady = engine.create_stream(&STEADY_STREAM.parse()?, 1, StreamSettings::default())?;
    engine.register_consumer(&steady, &STEADY_CONSUMER.parse()?, Tags::new())?;
    let key = PartitionKey::from_bytes(b"key")?;
    let data = [b'b'; BACKLOG_BYTES];
    for shard in stream.shards() {
        for _ in 0..BACKLOG_RECORDS {
            let record = RecordView::new(key, None, &data)?;
            let ticket = shard.append(std::iter::once(record))?;
            engine.commit_step();
            ticket.wait()?;
        }
    }
    engine.shut_down()?;
    Ok(())
}

fn consumer_name(index: usize) -> String {
    format!("consumer-{index}")
}

/// What was measured while nothing changed.
#[derive(Default)]
struct Latencies {
    /// Microseconds from the call to its answer.
    puts: Vec<f64>,
    /// Microseconds from the call to the event with its record.
    deliveries: Vec<f64>,
}

#[derive(Clone, Copy)]
struct Scene {
    address: SocketAddr,
    admin: SocketAddr,
    pid: Pid,
}

impl Scene {
    async fn play(self, plan: &Plan) -> Result<Figures> {
        let phase = Duration::from_millis(plan.size(700, 5_000));
        let client = connect(self.address).await?;
        let load = self.start_load().await?;
        let mut steady = Steady::start(&client, self.address).await?;
        steady.measure(phase, &mut Latencies::default()).await?;

        let mut figures = Figures::default();
        let without = self.settled_memory().await?;
        for window in Window::ALL {
            plan.say(window.words());
            let mutes = self.subscribe(&[window]).await?;
            let memory = self.settled_memory().await?.saturating_sub(without);
            drop(mutes);
            self.wait_for_subscribers(1).await?;
            let name = format!("memory of one with {}", window.words());
            figures.add(name, per_subscriber(memory), "KiB", Bar::AtMost(SUBSCRIBER_KIB_MAX));
            plan.advance(1);
        }

        let (mut off, mut on) = (Latencies::default(), Latencies::default());
        let (mut off_medians, mut memories) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            plan.say(format!("round {}", round + 1));
            self.settled_memory().await?;
            let begun = off.puts.len();
            steady.measure(phase, &mut off).await?;
            off_medians.push(median(&off.puts[begun..]));
            let mutes = self.subscribe(&Window::ALL).await?;
            memories.push(self.settled_memory().await?.saturating_sub(without));
            steady.measure(phase, &mut on).await?;
            drop(mutes);
            self.wait_for_subscribers(1).await?;
            plan.advance(1);
        }
        load.abort();

        let kib: Vec<_> = memories.iter().map(|&bytes| per_subscriber(bytes)).collect();
        let bar = Bar::AtMost(SUBSCRIBER_KIB_MAX);
        figures.add("memory of one of a mixture, median round", median(&kib), "KiB", bar);
        // What the allocator has not given back of other rounds counts as well.
        figures.add("memory of one of a mixture, the most", largest(&kib), "KiB", Bar::Told);
        let later = trend(&kib[1..]);
        figures.add("memory in the last round, of the second", later, "", Bar::AtMost(RATIO_MAX));
        for (what, off, on) in
            [("put", &off.puts, &on.puts), ("delivery", &off.deliveries, &on.deliveries)]
        {
            let (off, on) = (median(off), median(on));
            figures.add(format!("{what} without them, median"), off, "us", Bar::Told);
            figures.add(format!("{what} with them, median"), on, "us", Bar::Told);
            figures.add(format!("{what}, ratio"), on / off, "", Bar::AtMost(RATIO_MAX));
        }
        figures.told("puts without them", off.puts.len() as u64);
        figures.told("puts with them", on.puts.len() as u64);
        let spread = largest(&off_medians) / off_medians.iter().copied().fold(f64::MAX, f64::min);
        figures.add("put without them, slowest round by fastest", spread, "", Bar::Told);
        Ok(figures)
    }

    /// A thousand of them, of these kinds in turn, all accepted.
    async fn subscribe(self, windows: &[Window]) -> Result<Vec<Mute>> {
        let mut mutes = Vec::with_capacity(SUBSCRIBERS);
        for index in 0..SUBSCRIBERS {
            let (shard, consumer) = (index / CONSUMERS, consumer_name(index % CONSUMERS));
            let window = windows[index % windows.len()];
            let mute = Mute::subscribe(self.address, window, MUTE_STREAM, &consumer, shard);
            mutes.push(mute.await?);
        }
        self.wait_for_subscribers(SUBSCRIBERS + 1).await?;
        Ok(mutes)
    }

    /// Waits until so many subscriptions run.
    async fn wait_for_subscribers(self, count: usize) -> Result<()> {
        let counted = async {
            while admin::count(self.admin, "anabranch_subscribers").await? != count as u64 {
                sleep(Duration::from_millis(10)).await;
            }
            anyhow::Ok(())
        };
        match timeout(PATIENCE, counted).await {
            Ok(counted) => counted,
            Err(_) => bail!("there are never {count} subscriptions"),
        }
    }

    /// The server's memory, once it stays about the same.
    async fn settled_memory(self) -> Result<u64> {
        let mut before = anonymous_bytes(self.pid)?;
        for _ in 0..20 {
            sleep(SETTLED).await;
            let now = anonymous_bytes(self.pid)?;
            if now.abs_diff(before) <= before / 100 {
                return Ok(now);
            }
            before = now;
        }
        Ok(before)
    }

    /// Puts a record to each shard of the subscribers again and again.
    async fn start_load(self) -> Result<JoinHandle<()>> {
        let client = connect(self.address).await?;
        let wide = Wide::make(&client, MUTE_STREAM, SHARDS as u32).await?;
        let data = Bytes::from_static(&[b'l'; BACKLOG_BYTES]);
        Ok(tokio::spawn(async move {
            loop {
                let records = (0..wide.shards()).map(|shard| wide.record(shard, &data)).collect();
                let request = v1::PutRecordsRequest {
                    stream_name: wide.name().to_owned(),
                    records,
                    ..Default::default()
                };
                if client.stub().put_records(request).await.is_err() {
                    return;
                }
                sleep(LOAD_PAUSE).await;
            }
        }))
    }
}

fn per_subscriber(bytes: u64) -> f64 {
    bytes as f64 / 1024.0 / SUBSCRIBERS as f64
}

/// The last by the first, along a straight line through all of them: the median of the slopes
/// between any two (Theil and Sen). One round that the allocator was late in does not move it,
/// and what is lost in each round does.
fn trend(values: &[f64]) -> f64 {
    let mut slopes = Vec::new();
    for (begin, first) in values.iter().enumerate() {
        for (apart, last) in values[begin..].iter().enumerate().skip(1) {
            slopes.push((last - first) / apart as f64);
        }
    }
    let rounds = (values.len() - 1) as f64;
    let grown = median(&slopes) * rounds;
    let middle = median(values).max(1.0);
    (middle + grown / 2.0) / (middle - grown / 2.0).max(1.0)
}

/// The others: a producer and a subscriber that reads.
struct Steady {
    client: Client,
    epoch: Instant,
    /// When the records that came were put, and when they came, in nanoseconds since then.
    delivered: UnboundedReceiver<(u64, u64)>,
    _reader: JoinHandle<()>,
}

impl Steady {
    async fn start(client: &Client, address: SocketAddr) -> Result<Steady> {
        let epoch = Instant::now();
        let (sender, delivered) = unbounded_channel();
        let shard_id = "shardId-000000000000";
        let reader = connect(address).await?;
        let events = reader
            .subscribe_to_shard(STEADY_STREAM, STEADY_CONSUMER, shard_id, Position::Latest)
            .await?;
        let reader = tokio::spawn(read(reader, events, epoch, sender));
        Ok(Steady { client: client.clone(), epoch, delivered, _reader: reader })
    }

    /// Puts for so long, one record after the other, and waits for the last to be delivered.
    async fn measure(&mut self, phase: Duration, latencies: &mut Latencies) -> Result<()> {
        let begun = Instant::now();
        let mut put = 0;
        while begun.elapsed() < phase {
            let sent = Instant::now();
            let mut data = vec![b'r'; RECORD_BYTES];
            let nanos = sent.duration_since(self.epoch).as_nanos() as u64;
            data[..8].copy_from_slice(&nanos.to_le_bytes());
            let record = anabranch_client::Record::new("key", data);
            self.client.put_record(STEADY_STREAM, record, None).await?;
            latencies.puts.push(micros(sent.elapsed()));
            put += 1;
        }
        for _ in 0..put {
            let delivered = timeout(PATIENCE, self.delivered.recv()).await;
            let (sent, came) = delivered.ok().flatten().context("the subscription ended")?;
            latencies.deliveries.push(micros(Duration::from_nanos(came - sent)));
        }
        Ok(())
    }
}

/// Reads what is pushed. The client is kept: its connection ends with it.
async fn read(
    _client: Client,
    mut events: tonic::Streaming<v1::SubscribeToShardEvent>,
    epoch: Instant,
    delivered: UnboundedSender<(u64, u64)>,
) {
    while let Ok(Some(event)) = events.message().await {
        let came = epoch.elapsed().as_nanos() as u64;
        for record in event.records {
            let sent = record.data.first_chunk().map_or(came, |nanos| u64::from_le_bytes(*nanos));
            if delivered.send((sent, came)).is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::trend;

    /// In percent, to compare it as an integer.
    fn percent(values: &[f64]) -> i64 {
        (trend(values) * 100.0).round() as i64
    }

    #[test]
    fn a_trend_is_what_all_rounds_say_and_not_the_last_alone() {
        assert_eq!(percent(&[80.0; 9]), 100);
        assert_eq!(percent(&[80.0, 80.0, 80.0, 80.0, 80.0, 80.0, 80.0, 80.0, 120.0]), 100);
        let leak: Vec<f64> = (0..9).map(|round| 80.0 + 2.0 * f64::from(round)).collect();
        assert_eq!(percent(&leak), 120);
    }
}
