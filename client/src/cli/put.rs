//! `anabranch put`: the lines of a file, or of standard input, become records.
//!
//! A thread reads and splits the input, since reading may block for as long as somebody does
//! not type; this task puts what it brings and counts what is acknowledged. Between them is a
//! queue of a few batches, behind them the producer's bounded pipeline, so memory does not
//! grow with the input. Whatever ends the command early, the end says how many records are
//! acknowledged, and everything before a bad line is.

use std::fs::File;
use std::future::Future;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use futures_util::stream::{FuturesUnordered, StreamExt};
use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::failure::{Failure, warn};
use super::key::KeySource;
use super::lines::{LineError, LineReader, Lines};
use super::output::{bytes, count, print_object};
use super::{DONE, Global, OutputFormat, PATIENCE, connect};
use crate::error::{Error, Result as ClientResult};
use crate::producer::{BatchTicket, Placed, Producer, ProducerStats};
use crate::retry::RetryPolicy;

/// Records of a batch: large enough that a batch costs little, small enough that what waits
/// in the pipeline is acknowledged soon.
const BATCH_RECORDS: usize = 250;
/// Bytes of a batch of large records.
const BATCH_BYTES: usize = 1 << 20;
/// Batches put and not acknowledged.
const IN_FLIGHT_BATCHES: usize = 16;
/// Room for all of them: a batch is cut once it is over its bytes, so it may hold almost
/// twice as many, and a record costs some more than its bytes.
const IN_FLIGHT_BYTES: usize = 64 << 20;
/// Batches read ahead.
const READ_AHEAD_BATCHES: usize = 4;
/// Latencies are counted up to an hour; what takes longer counts as an hour.
const LATENCY_MICROS_MAX: u64 = 3_600_000_000;
/// How long acknowledgements are waited for after Ctrl-C.
const LAST_ANSWERS: Duration = Duration::from_secs(3);

/// What to put, and where.
#[derive(Args, Debug)]
pub struct PutArguments {
    /// The stream
    stream: String,

    /// The file; - is standard input
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,

    /// The partition key of every record (without any, it is the line number)
    #[arg(long, value_name = "KEY", group = "key_source")]
    key: Option<String>,

    /// The field of a line of JSON that is its partition key
    #[arg(long, value_name = "FIELD", group = "key_source")]
    key_field: Option<String>,

    /// The column of a line of CSV that is its partition key, from 1
    #[arg(long, value_name = "N", group = "key_source",
          value_parser = clap::value_parser!(u32).range(1..))]
    key_column: Option<u32>,

    /// Records per second at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    rate: Option<u64>,

    /// Give up instead of putting records again of which it is not known whether they stand
    #[arg(long)]
    no_retry: bool,
}

impl PutArguments {
    fn key_source(&self) -> KeySource {
        match (&self.key, &self.key_field, self.key_column) {
            (Some(key), ..) => KeySource::Fixed(key.clone()),
            (_, Some(field), _) => KeySource::Field(field.clone()),
            (.., Some(column)) => KeySource::Column(column as usize),
            _ => KeySource::LineNumber,
        }
    }

    /// Records of a batch: fewer at a low rate, so that they go evenly.
    fn batch_records(&self) -> usize {
        let rate = self.rate.unwrap_or(u64::MAX);
        (rate / 20).clamp(1, BATCH_RECORDS as u64) as usize
    }
}

pub(super) async fn run(arguments: PutArguments, global: &Global) -> Result<i32, Failure> {
    let (input, total_bytes) = open(&arguments.file)?;
    let client = connect(global).await?;
    let stream = &arguments.stream;
    let about = |error| Failure::about_stream(stream, error);
    client.describe_stream_summary(stream).await.map_err(about)?;

    let producer = client
        .producer(stream)
        .batch_records(arguments.batch_records())
        .batch_bytes(2 * BATCH_BYTES)
        .in_flight_batches(IN_FLIGHT_BATCHES)
        .in_flight_bytes(IN_FLIGHT_BYTES)
        .retry(RetryPolicy::for_at_most(PATIENCE))
        .retry_unknown(!arguments.no_retry)
        .start();
    let lines =
        LineReader::new(input, arguments.key_source(), arguments.batch_records(), BATCH_BYTES);
    let mut put = Put::new(producer, arguments.rate, progress(total_bytes, global.output));
    let end = put.everything(read_ahead(lines)?, interrupted()).await;
    put.report(end, stream, global)
}

type Input = Box<dyn Read + Send>;

/// The input, and its size where it has one.
fn open(path: &Path) -> Result<(Input, Option<u64>), Failure> {
    if path == Path::new("-") {
        return Ok((Box::new(std::io::stdin()), None));
    }
    let failed = |error| Failure::new(format!("cannot read {}: {error}", path.display()));
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if metadata.is_dir() {
        return Err(Failure::new(format!("{} is a directory", path.display())));
    }
    let size = metadata.is_file().then_some(metadata.len());
    Ok((Box::new(file), size))
}

fn progress(total_bytes: Option<u64>, output: OutputFormat) -> ProgressBar {
    let is_seen = std::io::stderr().is_terminal() && output == OutputFormat::Table;
    let Some(total_bytes) = total_bytes.filter(|_| is_seen) else {
        return ProgressBar::hidden();
    };
    let style = "{bar:30} {percent:>3} %  {decimal_bytes}/{decimal_total_bytes}  \
                 {decimal_bytes_per_sec}  {msg}  {eta} left";
    let bar = ProgressBar::new(total_bytes);
    bar.set_style(ProgressStyle::with_template(style).unwrap_or(ProgressStyle::default_bar()));
    bar
}

async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

type Batches = mpsc::Receiver<Result<Lines, LineError>>;

/// Reads on a thread of its own. It is not waited for: at the end it may hang in a read that
/// nobody can interrupt, and the process ends over it.
fn read_ahead<R: Read + Send + 'static>(mut lines: LineReader<R>) -> Result<Batches, Failure> {
    let (sender, receiver) = mpsc::channel(READ_AHEAD_BATCHES);
    let read = move || {
        while let Some(batch) = lines.next_batch().transpose() {
            let is_over = batch.is_err();
            if sender.blocking_send(batch).is_err() || is_over {
                return;
            }
        }
    };
    std::thread::Builder::new()
        .name("put-read".to_owned())
        .spawn(read)
        .map_err(|error| Failure::new(format!("cannot start a thread: {error}")))?;
    Ok(receiver)
}

/// When, counted from the start, the next batch may go after so many records.
fn pace(records: u64, rate: Option<u64>) -> Duration {
    rate.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(records as f64 / rate as f64))
}

/// Why no more is put.
#[derive(Debug)]
enum End {
    Input,
    Line(LineError),
    Interrupted,
    /// A record failed, in this line or one close behind it.
    Failed {
        line: u64,
        error: Error,
    },
}

/// A batch and its outcome.
struct Answered {
    first_line: u64,
    input_bytes: u64,
    bytes: Vec<usize>,
    outcomes: ClientResult<Vec<ClientResult<Placed>>>,
    took: Duration,
}

struct Put {
    producer: Producer,
    rate: Option<u64>,
    progress: ProgressBar,
    started: Instant,
    /// Records given to the producer.
    given: u64,
    acknowledged: u64,
    acknowledged_bytes: u64,
    /// Acknowledgement latency in microseconds.
    latency: Histogram<u64>,
    failed: Option<(u64, Error)>,
}

impl Put {
    fn new(producer: Producer, rate: Option<u64>, progress: ProgressBar) -> Self {
        Put {
            producer,
            rate,
            progress,
            started: Instant::now(),
            given: 0,
            acknowledged: 0,
            acknowledged_bytes: 0,
            latency: Histogram::new_with_bounds(1, LATENCY_MICROS_MAX, 3)
                .expect("these bounds are allowed"),
            failed: None,
        }
    }

    /// Puts all batches and waits for their outcomes.
    async fn everything(&mut self, mut batches: Batches, interrupted: impl Future) -> End {
        let mut interrupted = std::pin::pin!(interrupted);
        let mut unanswered = FuturesUnordered::new();
        let mut due = Instant::now();
        let mut end = loop {
            let has_room = unanswered.len() < IN_FLIGHT_BATCHES;
            let next = async {
                tokio::time::sleep_until(due).await;
                batches.recv().await
            };
            tokio::select! {
                biased;
                _ = &mut interrupted => break End::Interrupted,
                Some(answered) = unanswered.next() => self.count(answered),
                batch = next, if has_room => match batch {
                    None => break End::Input,
                    Some(Err(error)) => break End::Line(error),
                    Some(Ok(lines)) => {
                        let first_line = lines.first_line;
                        match self.put(lines).await {
                            Ok(ticket) => unanswered.push(ticket),
                            Err(error) => break End::Failed { line: first_line, error },
                        }
                        due = self.started + pace(self.given, self.rate);
                    }
                },
            }
            if self.failed.is_some() {
                break End::Input;
            }
        };
        let mut rest = std::pin::pin!(async {
            while let Some(answered) = unanswered.next().await {
                self.count(answered);
            }
        });
        if !matches!(end, End::Interrupted) {
            // The producer gives up by itself when its patience is at its end.
            tokio::select! {
                () = &mut rest => {}
                _ = &mut interrupted => end = End::Interrupted,
            }
        }
        if matches!(end, End::Interrupted) {
            // What comes later than this is told as not known.
            let _ = tokio::time::timeout(LAST_ANSWERS, rest).await;
        }
        self.progress.finish_and_clear();
        match self.failed.take() {
            Some((line, error)) => End::Failed { line, error },
            None => end,
        }
    }

    async fn put(&mut self, lines: Lines) -> ClientResult<impl Future<Output = Answered> + use<>> {
        let bytes = lines.records.iter().map(|record| record.data.len()).collect();
        let (first_line, input_bytes) = (lines.first_line, lines.input_bytes);
        self.given += lines.records.len() as u64;
        let started = Instant::now();
        let ticket: BatchTicket = self.producer.put_batch(lines.records).await?;
        Ok(async move {
            let outcomes = ticket.await;
            let took = started.elapsed();
            Answered { first_line, input_bytes, bytes, outcomes, took }
        })
    }

    fn count(&mut self, answered: Answered) {
        let outcomes = match answered.outcomes {
            Ok(outcomes) => outcomes,
            Err(error) => return self.fail(answered.first_line, error),
        };
        let mut acknowledged = 0;
        for (index, outcome) in outcomes.into_iter().enumerate() {
            match outcome {
                Ok(_) => {
                    acknowledged += 1;
                    self.acknowledged_bytes += answered.bytes[index] as u64;
                }
                Err(error) => self.fail(answered.first_line + index as u64, error),
            }
        }
        self.acknowledged += acknowledged;
        let micros = answered.took.as_micros() as u64;
        self.latency.saturating_record_n(micros, acknowledged);
        self.progress.inc(answered.input_bytes);
        self.progress.set_message(format!("{} records", count(self.acknowledged)));
    }

    /// Of several failures the one in the lowest line is told.
    fn fail(&mut self, line: u64, error: Error) {
        if self.failed.as_ref().is_none_or(|(lowest, _)| line < *lowest) {
            self.failed = Some((line, error));
        }
    }

    fn report(self, end: End, stream: &str, global: &Global) -> Result<i32, Failure> {
        let seconds = self.started.elapsed().as_secs_f64();
        let stats: ProducerStats = self.producer.stats();
        let rate = self.acknowledged as f64 / seconds.max(1e-9);
        let milliseconds = |quantile| self.latency.value_at_quantile(quantile) as f64 / 1000.0;
        let (p50, p99) = (milliseconds(0.5), milliseconds(0.99));
        let words = match self.acknowledged {
            0 => format!("0 records in {seconds:.1} s"),
            _ => format!(
                "{} records, {} in {seconds:.1} s: {} records/s, {}/s; acknowledged in {p50:.2} \
                 ms (p50), {p99:.2} ms (p99)",
                count(self.acknowledged),
                bytes(self.acknowledged_bytes as f64),
                count(rate as u64),
                bytes(self.acknowledged_bytes as f64 / seconds.max(1e-9)),
            ),
        };
        let object = json!({
            "stream_name": stream,
            "records": self.acknowledged,
            "bytes": self.acknowledged_bytes,
            "seconds": seconds,
            "records_per_second": rate,
            "acknowledged_ms_p50": p50,
            "acknowledged_ms_p99": p99,
            "records_put_again": stats.put_again,
            "records_maybe_twice": stats.may_stand_twice,
        });
        print_object(global.output, &words, &object)?;
        if stats.may_stand_twice > 0 {
            warn(&format!(
                "{} records may stand twice: the call ended before their answer came, and they \
                 were put again",
                count(stats.may_stand_twice)
            ));
        }
        let acknowledged = format!("{} records are acknowledged", count(self.acknowledged));
        let open = self.given - self.acknowledged;
        match end {
            End::Input => Ok(DONE),
            End::Line(error) => Err(Failure::new(format!("{error}; {acknowledged}"))),
            End::Interrupted => Err(Failure::new(format!(
                "interrupted: {acknowledged}, of {} it is not known",
                count(open)
            ))),
            End::Failed { line, error } => {
                let is_unknown = matches!(error, Error::OutcomeUnknown { .. });
                let mut failure = Failure::about_stream(stream, error);
                let rest = if is_unknown {
                    format!("of {} more it is not known", count(open))
                } else {
                    format!("the first one that is not stands in line {}", count(line))
                };
                failure.text = format!("{}; {acknowledged}, {rest}", failure.text);
                Err(failure)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{FAILED, UNREACHABLE};
    use crate::fake::Fake;

    fn arguments() -> PutArguments {
        PutArguments {
            stream: "s".to_owned(),
            file: PathBuf::from("-"),
            key: None,
            key_field: None,
            key_column: None,
            rate: None,
            no_retry: false,
        }
    }

    async fn put(
        client: &crate::Client,
        input: &'static [u8],
        arguments: &PutArguments,
        interrupted: impl Future,
    ) -> Result<i32, Failure> {
        let producer = client
            .producer("s")
            .retry(RetryPolicy { base: Duration::from_millis(1), ..RetryPolicy::default() })
            .retry_unknown(!arguments.no_retry)
            .start();
        let batch_records = arguments.batch_records();
        let lines = LineReader::new(input, arguments.key_source(), batch_records, BATCH_BYTES);
        let mut put = Put::new(producer, arguments.rate, ProgressBar::hidden());
        let end = put.everything(read_ahead(lines)?, interrupted).await;
        let global = Global {
            server: client.server().to_string(),
            trust: crate::Trust::default(),
            identity: None,
            output: OutputFormat::default(),
        };
        put.report(end, "s", &global)
    }

    #[tokio::test]
    async fn every_line_becomes_a_record() {
        let (fake, client) = Fake::start().await;
        client.create_stream("s", 1).await.unwrap();
        let done = put(&client, b"a\r\n\nb", &arguments(), std::future::pending::<()>()).await;
        assert_eq!(done.unwrap(), DONE);
        assert_eq!(fake.data("s", 0), ["a\r", "", "b"]);
    }

    #[tokio::test]
    async fn what_stands_before_a_bad_line_is_acknowledged() {
        let (fake, client) = Fake::start().await;
        client.create_stream("s", 1).await.unwrap();
        let mut arguments = arguments();
        arguments.key_field = Some("id".to_owned());
        let input = b"{\"id\":1}\n{\"id\":2}\n{}\n{\"id\":4}\n";
        let failure = put(&client, input, &arguments, std::future::pending::<()>()).await;
        let failure = failure.unwrap_err();
        assert_eq!(failure.code, FAILED);
        assert_eq!(
            failure.text,
            "line 3 has no key: there is no field \"id\"; 2 records are acknowledged"
        );
        assert_eq!(fake.data("s", 0).len(), 2);
    }

    #[tokio::test]
    async fn a_restart_in_the_middle_is_survived_unless_told_otherwise() {
        let (fake, client) = Fake::start().await;
        client.create_stream("s", 1).await.unwrap();
        fake.order(|orders| orders.lose_answers = 1);
        let done = put(&client, b"a\nb\n", &arguments(), std::future::pending::<()>()).await;
        assert_eq!(done.unwrap(), DONE);
        assert_eq!(fake.data("s", 0), ["a", "b", "a", "b"]);

        fake.order(|orders| orders.lose_answers = 1);
        let no_retry = PutArguments { no_retry: true, ..arguments() };
        let failure = put(&client, b"c\n", &no_retry, std::future::pending::<()>()).await;
        let failure = failure.unwrap_err();
        assert_eq!(failure.code, UNREACHABLE);
        assert!(failure.text.contains("0 records are acknowledged"), "{}", failure.text);
        assert!(failure.text.contains("of 1 more it is not known"), "{}", failure.text);
    }

    #[tokio::test]
    async fn an_interrupt_says_what_is_acknowledged() {
        let (_fake, client) = Fake::start().await;
        client.create_stream("s", 1).await.unwrap();
        let failure = put(&client, b"a\n", &arguments(), std::future::ready(())).await;
        let failure = failure.unwrap_err();
        assert_eq!(failure.code, FAILED);
        assert!(failure.text.starts_with("interrupted: 0 records"), "{}", failure.text);
    }

    #[test]
    fn a_rate_spreads_the_records_over_time() {
        assert_eq!(pace(0, Some(2)), Duration::ZERO);
        assert_eq!(pace(5, Some(2)), Duration::from_millis(2500));
        assert_eq!(pace(5_000_000, None), Duration::ZERO);
    }

    #[test]
    fn a_low_rate_makes_small_batches() {
        let records = |rate| PutArguments { rate, ..arguments() }.batch_records();
        assert_eq!(records(Some(1)), 1);
        assert_eq!(records(Some(1000)), 50);
        assert_eq!(records(None), BATCH_RECORDS);
    }
}
