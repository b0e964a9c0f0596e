//! `anabranch bench`: what a running server does under a load that one names.
//!
//! ```text
//!   pace --due--> producers --Produce--> server --push--> subscribers
//!                    |                                        |
//!                  ledger: what was acknowledged, and where   latencies
//!                    |
//!                  check: everything read back and compared
//! ```
//!
//! With `--rate` latencies count from when a batch was due and not from when it was sent, so a
//! stall of the server is felt by every record that it held up. Without, the pipeline is kept
//! full: that shows the throughput, and a latency that is mostly waiting in it.

mod chart;
mod check;
mod follow;
mod ledger;
mod load;
mod measure;
mod pace;
mod payload;
mod report;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::failure::{Failure, warn};
use super::output::count;
use super::{Global, OutputFormat, PATIENCE, connect};
use crate::client::Client;
use crate::consumer::Position;
use crate::error::{Error, Result as ClientResult};
use crate::producer::{BATCH_BYTES_MAX, BATCH_RECORDS_MAX, RECORD_BYTES_MAX};
use crate::retry::RetryPolicy;
use crate::trust::Trust;
use check::Checked;
use follow::{Follow, Followed};
use load::{Load, Loaded};
use measure::{Measure, Window};
use pace::Pace;
use payload::{Payload, RECORD_BYTES_MIN};
use report::Report;

/// What to put, how fast, and who is to read it.
#[derive(Args, Clone, Debug)]
pub struct BenchArguments {
    /// A stream that exists [default: one is made, and deleted in the end]
    #[arg(long, value_name = "NAME", conflicts_with = "shards")]
    stream: Option<String>,

    /// Shards of the stream that is made
    #[arg(long, value_name = "N", default_value_t = 4)]
    shards: u32,

    /// Bytes of a record, key and data together
    #[arg(long, value_name = "BYTES", default_value_t = 1024,
          value_parser = clap::value_parser!(u64)
              .range(RECORD_BYTES_MIN as u64..=RECORD_BYTES_MAX as u64))]
    record_bytes: u64,

    /// Records of a message
    #[arg(long, value_name = "N", default_value_t = 100,
          value_parser = clap::value_parser!(u64).range(1..=BATCH_RECORDS_MAX as u64))]
    batch: u64,

    /// Producers, each with a connection of its own
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=1024))]
    producers: u32,

    /// Messages of a producer without an answer at most
    #[arg(long, value_name = "N", default_value_t = 8,
          value_parser = clap::value_parser!(u64).range(1..=1024))]
    in_flight: u64,

    /// Subscribers, to each of which the server pushes everything
    #[arg(long, value_name = "N", default_value_t = 0,
          value_parser = clap::value_parser!(u32).range(0..=20))]
    subscribers: u32,

    /// Records per second of all producers together [default: as many as there can be]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    rate: Option<u64>,

    /// Seconds that are measured
    #[arg(long, value_name = "N", default_value_t = 10,
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,

    /// Seconds before, that are not
    #[arg(long, value_name = "N", default_value_t = 2,
          value_parser = clap::value_parser!(u64).range(0..=600))]
    warm_up: u64,

    /// Read everything back in the end and compare it with what was acknowledged
    #[arg(long)]
    durability_check: bool,

    /// Draw throughput and latencies into this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// A run, from the making of its stream to the deletion.
struct Bench {
    arguments: BenchArguments,
    client: Client,
    server: String,
    trust: Trust,
    stream: String,
    /// Random: tells the records and consumers of this run from those of others.
    run: u64,
    payload: Payload,
    stopped: Arc<AtomicBool>,
}

pub(super) async fn run(arguments: BenchArguments, global: &Global) -> Result<i32, Failure> {
    if arguments.batch * arguments.record_bytes > BATCH_BYTES_MAX as u64 {
        return Err(Failure::usage(format!(
            "{} records of {} bytes are more than the {} bytes that a message may have; use a \
             smaller --batch",
            count(arguments.batch),
            count(arguments.record_bytes),
            count(BATCH_BYTES_MAX as u64),
        )));
    }
    // From here on Ctrl-C ends the run and not the process, so that nothing stays behind.
    let mut interrupts = signal(SignalKind::interrupt())
        .map_err(|error| Failure::new(format!("cannot wait for Ctrl-C: {error}")))?;
    let client = connect(global).await?;
    let run = fastrand::u64(..);
    let bench = Bench {
        stream: match &arguments.stream {
            Some(stream) => stream.clone(),
            None => format!("anabranch-bench-{run:016x}"),
        },
        payload: Payload::new(run, arguments.record_bytes as usize),
        server: global.server.clone(),
        trust: global.trust.clone(),
        stopped: Arc::new(AtomicBool::new(false)),
        arguments,
        client,
        run,
    };
    let is_ours = bench.arguments.stream.is_none();
    if is_ours {
        bench.client.create_stream(&bench.stream, bench.arguments.shards).await?;
    } else {
        let about = |error| Failure::about_stream(&bench.stream, error);
        bench.client.describe_stream_summary(&bench.stream).await.map_err(about)?;
    }
    let is_seen = std::io::stderr().is_terminal() && global.output == OutputFormat::Table;
    let outcome = bench.measure(&mut interrupts, is_seen).await;
    // In any case, and with a word where it does not work: nobody else would do it.
    if let Err(error) = bench.clean_up(is_ours).await {
        warn(&format!("what was made for the run is not removed: {error}"));
    }
    let report = outcome?;
    if let Some(file) = &bench.arguments.svg {
        chart::write(&report, file)
            .map_err(|error| Failure::new(format!("cannot write {}: {error}", file.display())))?;
    }
    report.print(global)
}

impl Bench {
    async fn measure(&self, interrupts: &mut Signal, is_seen: bool) -> Result<Report, Failure> {
        let (total, watch_total) = watch::channel(None);
        let readers = self.readers().await?;
        let shards = self.client.list_shards(&self.stream).await?.len() as u32;

        let clients = self.clients().await?;

        let begin = Instant::now();
        let from = begin + Duration::from_secs(self.arguments.warm_up);
        let window = Window { from, until: from + Duration::from_secs(self.arguments.seconds) };
        let mut following = JoinSet::new();
        for reader in readers {
            let total = watch_total.clone();
            following.spawn(Follow { reader, run: self.run, begin, window, total }.run());
        }
        let mut loading = self.start_load(clients, begin, window)?;

        let progress = self.progress(is_seen);
        let mut ticks = tokio::time::interval(Duration::from_millis(100));
        let mut is_interrupted = false;
        let mut loads: Vec<Option<Loaded>> = (0..self.arguments.producers).map(|_| None).collect();
        loop {
            tokio::select! {
                loaded = loading.join_next() => match loaded {
                    None => break,
                    Some(Ok((producer, loaded))) => {
                        // One that failed ends the run: the rest would measure something else.
                        if loaded.error.is_some() {
                            self.stopped.store(true, Ordering::Relaxed);
                        }
                        loads[producer as usize] = Some(loaded);
                    }
                    Some(Err(panicked)) => std::panic::resume_unwind(panicked.into_panic()),
                },
                _ = ticks.tick() => progress.set_position(begin.elapsed().as_millis() as u64),
                _ = interrupts.recv() => {
                    is_interrupted = true;
                    self.stopped.store(true, Ordering::Relaxed);
                }
            }
        }
        progress.finish_and_clear();
        let loads: Vec<Loaded> = loads.into_iter().flatten().collect();
        let acknowledged = loads.iter().map(|loaded| loaded.ledger.count()).sum();
        total.send_replace(Some(acknowledged));
        let followed = self.wait_for(&mut following).await?;

        let ended = Instant::now();
        let mut acknowledgements = Measure::new(window);
        let mut deliveries = Measure::new(window);
        for loaded in &loads {
            acknowledgements.add(&loaded.acknowledgements);
        }
        for followed in &followed {
            deliveries.add(&followed.deliveries);
        }
        if is_interrupted {
            acknowledgements.end_at(ended);
            deliveries.end_at(ended);
        }
        let stats: Vec<_> = loads.iter().map(|loaded| loaded.stats).collect();
        let mut ledgers = Vec::with_capacity(loads.len());
        let mut error: Option<Error> = None;
        for loaded in loads {
            ledgers.push(loaded.ledger);
            error = error.or(loaded.error);
        }
        let mut checked = None;
        if self.arguments.durability_check {
            tokio::select! {
                ended = self.check(&ledgers, acknowledged, is_seen) => checked = Some(ended?),
                _ = interrupts.recv() => is_interrupted = true,
            }
        }
        Ok(Report {
            arguments: self.arguments.clone(),
            server: self.server.clone(),
            shards,
            acknowledged,
            acknowledgements,
            deliveries,
            put_again: stats.iter().map(|stats| stats.put_again).sum(),
            may_stand_twice: stats.iter().map(|stats| stats.may_stand_twice).sum(),
            followed,
            checked,
            error,
            is_interrupted,
        })
    }

    /// A reader for each subscriber, in place before the first record is put. In a stream of
    /// others only what comes from now on is read.
    async fn readers(&self) -> ClientResult<Vec<crate::consumer::Reader>> {
        let mut readers = Vec::new();
        for index in 0..self.arguments.subscribers {
            let reader = self.client.read(&self.stream).push(&self.consumer_name(index));
            readers.push(reader.from(self.start()).start().await?);
        }
        Ok(readers)
    }

    fn start(&self) -> Position {
        match self.arguments.stream {
            Some(_) => Position::Latest,
            None => Position::TrimHorizon,
        }
    }

    fn consumer_name(&self, index: u32) -> String {
        format!("bench-{:016x}-{index}", self.run)
    }

    /// A connection for each producer, made before the time runs.
    async fn clients(&self) -> ClientResult<Vec<Client>> {
        let mut clients = Vec::new();
        for _ in 0..self.arguments.producers {
            let retry = RetryPolicy::for_at_most(PATIENCE);
            let client = Client::builder(&self.server).trust(self.trust.clone()).retry(retry);
            clients.push(client.build().await?);
        }
        Ok(clients)
    }

    fn start_load(
        &self,
        clients: Vec<Client>,
        begin: Instant,
        window: Window,
    ) -> Result<JoinSet<(u32, Loaded)>, Failure> {
        let producers = self.arguments.producers;
        let mut dues = Vec::new();
        if let Some(rate) = self.arguments.rate {
            let batches_per_second = rate as f64 / self.arguments.batch as f64;
            let pace = Pace { batches_per_second, begin, end: window.until };
            let started = pace.start(producers as usize, self.stopped.clone());
            dues =
                started.map_err(|error| Failure::new(format!("cannot start a thread: {error}")))?;
        }
        let mut dues = dues.into_iter();
        let mut loading = JoinSet::new();
        for (producer, client) in (0..producers).zip(clients) {
            let load = Load {
                client,
                stream: self.stream.clone(),
                producer,
                payload: self.payload.clone(),
                batch: self.arguments.batch as usize,
                in_flight: self.arguments.in_flight as usize,
                dues: dues.next(),
                begin,
                window,
                stopped: self.stopped.clone(),
            };
            loading.spawn(async move { (producer, load.run().await) });
        }
        Ok(loading)
    }

    async fn wait_for(
        &self,
        following: &mut JoinSet<ClientResult<Followed>>,
    ) -> Result<Vec<Followed>, Failure> {
        let mut followed = Vec::new();
        while let Some(ended) = following.join_next().await {
            match ended {
                Ok(ended) => followed.push(ended?),
                Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
            }
        }
        Ok(followed)
    }

    async fn check(
        &self,
        ledgers: &[ledger::Ledger],
        total: u64,
        is_seen: bool,
    ) -> ClientResult<Checked> {
        let bar = if is_seen { ProgressBar::new(total) } else { ProgressBar::hidden() };
        bar.set_style(style("reading back  {bar:30} {percent:>3} %  {human_pos} records"));
        let (stream, run, payload) = (&self.stream, self.run, &self.payload);
        let start = Position::TrimHorizon;
        let advance = |read| bar.set_position(read);
        let checked =
            check::check(&self.client, stream, run, payload, ledgers, start, advance).await;
        bar.finish_and_clear();
        checked
    }

    fn progress(&self, is_seen: bool) -> ProgressBar {
        if !is_seen {
            return ProgressBar::hidden();
        }
        let seconds = self.arguments.warm_up + self.arguments.seconds;
        let bar = ProgressBar::new(seconds * 1000);
        bar.set_style(style("putting  {bar:30} {percent:>3} %  {eta} left"));
        bar
    }

    /// Removes what the run has made. In a stream of others these are its consumers; records
    /// cannot be taken back and go with retention.
    async fn clean_up(&self, is_ours: bool) -> ClientResult<()> {
        if is_ours {
            return self.client.delete_stream(&self.stream, true).await;
        }
        for index in 0..self.arguments.subscribers {
            let name = self.consumer_name(index);
            match self.client.deregister_stream_consumer(&self.stream, &name).await {
                Ok(()) | Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or(ProgressStyle::default_bar())
}
