//! `anabranch tail`: the records of a stream on standard output, as they come.
//!
//! All shards are read at the same time, and the order of each is kept; children of a shard that
//! was split or merged come behind it. Output is buffered
//! while there is more to write and flushed as soon as there is not. A standard output that
//! is gone ends the command quietly. Damage is told on standard error, and is in the exit
//! code.

use std::io::{self, BufWriter, ErrorKind, Write};
use std::time::SystemTime;

use clap::Args;
use clap::builder::PossibleValuesParser;
use futures_util::FutureExt;
use regex::bytes::Regex;

use super::failure::{Failure, warn};
use super::start::Start;
use super::write::{Layout, Pattern};
use super::{DAMAGE, DONE, Global, connect};
use crate::consumer::{Item, Reader, ShardEnd};
use crate::error::{Error, Result as ClientResult};

/// Bytes of output gathered before they are written.
const BUFFER_BYTES: usize = 256 << 10;

/// What to read, and how to print it.
#[derive(Args, Debug)]
pub struct TailArguments {
    /// The stream
    stream: String,

    /// latest, trim-horizon, a period such as 10m, a time such as 2026-01-31T12:00:00Z, or
    /// (with --shard) a sequence number
    #[arg(long, value_name = "POSITION", default_value = "latest", value_parser = Start::parse)]
    from: Start,

    /// Read this shard only, up to its end if it is closed
    #[arg(long, value_name = "SHARD")]
    shard: Option<String>,

    /// Let the server push to this consumer, which is registered if it is missing
    #[arg(long, value_name = "NAME")]
    push: Option<String>,

    /// Print only records whose data matches
    #[arg(long, value_name = "REGEX", value_parser = |text: &str| Regex::new(text))]
    grep: Option<Regex>,

    /// Stop at the newest record there is at the start
    #[arg(long)]
    until_tip: bool,

    /// How to print records: raw adds one newline to each [default: raw]
    // It has the id and the type of the global flag, which it stands in front of; a global
    // `table` or `json` still arrives here.
    #[arg(
        id = "output",
        long = "output",
        value_name = "FORMAT",
        value_parser = PossibleValuesParser::new(["raw", "ndjson", "csv"])
    )]
    output: Option<String>,

    /// Print records like this: %s sequence number, %k key, %v data, %S shard, %t time, \n \t
    #[arg(short = 'f', long = "format", value_name = "FORMAT", value_parser = Pattern::parse)]
    format: Option<Pattern>,
}

/// How records are printed where `-f` does not say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum RecordFormat {
    Raw,
    Ndjson,
    Csv,
}

impl TailArguments {
    pub(super) fn record_format(&self) -> RecordFormat {
        match self.output.as_deref() {
            Some("ndjson" | "json") => RecordFormat::Ndjson,
            Some("csv") => RecordFormat::Csv,
            _ => RecordFormat::Raw,
        }
    }

    fn layout(&self) -> Layout {
        match (&self.format, self.record_format()) {
            (Some(pattern), _) => Layout::Pattern(pattern.clone()),
            (None, RecordFormat::Raw) => Layout::Raw,
            (None, RecordFormat::Ndjson) => Layout::Ndjson,
            (None, RecordFormat::Csv) => Layout::Csv,
        }
    }
}

pub(super) async fn run(arguments: TailArguments, global: &Global) -> Result<i32, Failure> {
    if matches!(arguments.from, Start::SequenceNumber(_)) && arguments.shard.is_none() {
        return Err(Failure::usage(
            "a sequence number means something in one shard only; name it with --shard",
        ));
    }
    let client = connect(global).await?;
    let stream = &arguments.stream;
    let about = |error| Failure::about_stream(stream, error);
    // Apart from the reader's own calls, so that an unknown shard is not called an unknown
    // stream.
    client.describe_stream_summary(stream).await.map_err(about)?;
    let mut builder = client
        .read(stream)
        .from(arguments.from.position(SystemTime::now()))
        .until_tip(arguments.until_tip);
    if let Some(shard) = &arguments.shard {
        builder = builder.shard(shard);
    }
    if let Some(consumer_name) = &arguments.push {
        builder = builder.push(consumer_name);
    }
    let reader = builder.start().await?;
    let out = BufWriter::with_capacity(BUFFER_BYTES, io::stdout());
    let is_one_shard = arguments.shard.is_some();
    let mut tail = Tail {
        reader,
        stream: stream.clone(),
        layout: arguments.layout(),
        grep: arguments.grep,
        out,
        is_one_shard,
        damage: 0,
    };
    match tail.everything().await {
        Ok(()) => Ok(if tail.damage > 0 { DAMAGE } else { DONE }),
        Err(TailError::Output(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(DONE),
        Err(TailError::Output(error)) => {
            Err(Failure::new(format!("cannot write to standard output: {error}")))
        }
        Err(TailError::Client(error @ Error::NotFound { .. })) => {
            Err(Failure::new(format!("stream {stream} is gone: {error}")))
        }
        Err(TailError::Client(error)) => Err(error.into()),
    }
}

/// Why `tail --shard` stops, and what to read next.
fn end_in_words(end: &ShardEnd) -> String {
    let children: Vec<&str> = end.children.iter().map(|child| child.shard_id.as_str()).collect();
    format!("{} is closed and at its end; it goes on in {}", end.shard_id, children.join(" and "))
}

enum TailError {
    Output(io::Error),
    Client(Error),
}

impl From<io::Error> for TailError {
    fn from(error: io::Error) -> Self {
        TailError::Output(error)
    }
}

struct Tail<W: Write> {
    reader: Reader,
    stream: String,
    layout: Layout,
    grep: Option<Regex>,
    out: W,
    /// Whether only one shard is read, and not its children.
    is_one_shard: bool,
    /// Damaged ranges met.
    damage: u64,
}

impl<W: Write> Tail<W> {
    async fn everything(&mut self) -> Result<(), TailError> {
        self.layout.write_header(&mut self.out)?;
        loop {
            let item = match self.reader.next().now_or_never() {
                Some(item) => item,
                None => {
                    self.out.flush()?;
                    tokio::select! {
                        item = self.reader.next() => item,
                        // Whoever follows a stream ends it like this; nothing has failed.
                        _ = tokio::signal::ctrl_c() => None,
                    }
                }
            };
            let Some(item) = item else {
                return Ok(self.out.flush()?);
            };
            if let Err(error) = self.write(item) {
                // What was read before is written before the command fails.
                self.out.flush()?;
                return Err(error);
            }
        }
    }

    fn write(&mut self, item: ClientResult<Item>) -> Result<(), TailError> {
        match item.map_err(TailError::Client)? {
            Item::Batch(batch) => {
                for record in &batch.records {
                    if self.grep.as_ref().is_none_or(|grep| grep.is_match(&record.data)) {
                        self.layout.write(&mut self.out, &self.stream, &batch.shard_id, record)?;
                    }
                }
            }
            Item::Damage(damage) => {
                self.damage += 1;
                warn(&format!("{}: {}; reading goes on", damage.shard_id, damage.loss));
            }
            // A reader of all shards goes on with the children, and nobody has to know.
            Item::End(end) if self.is_one_shard => eprintln!("{}", end_in_words(&end)),
            Item::End(_) => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::cli::OutputFormat;
    use crate::consumer::{Position, ReaderBuilder};
    use crate::fake::Fake;

    async fn tail<W: Write>(
        builder: ReaderBuilder,
        grep: Option<&str>,
        out: W,
    ) -> (Result<(), TailError>, Tail<W>) {
        let builder = builder.from(Position::TrimHorizon).until_tip(true);
        let mut tail = Tail {
            reader: builder.start().await.unwrap(),
            stream: "s".to_owned(),
            layout: Layout::Raw,
            grep: grep.map(|text| Regex::new(text).unwrap()),
            out,
            is_one_shard: false,
            damage: 0,
        };
        (tail.everything().await, tail)
    }

    async fn filled() -> (Arc<Fake>, crate::Client) {
        let (fake, client) = Fake::start().await;
        client.create_stream("s", 1).await.unwrap();
        for data in ["one", "two\r", "", "three"] {
            fake.append("s", 0, "k", data.as_bytes());
        }
        (fake, client)
    }

    #[tokio::test]
    async fn what_was_put_comes_out() {
        let (_fake, client) = filled().await;
        let (outcome, tail) = tail(client.read("s"), None, Vec::new()).await;
        assert!(outcome.is_ok());
        assert_eq!(tail.out, b"one\ntwo\r\n\nthree\n");
    }

    #[tokio::test]
    async fn grep_looks_at_the_data() {
        let (_fake, client) = filled().await;
        let (_, tail) = tail(client.read("s").push("app"), Some("^t"), Vec::new()).await;
        assert_eq!(tail.out, b"two\r\nthree\n");
    }

    #[tokio::test]
    async fn damage_is_counted_and_the_rest_comes_out() {
        let (fake, client) = filled().await;
        fake.order(|orders| orders.damage = Some((2, 4)));
        let (outcome, tail) = tail(client.read("s"), None, Vec::new()).await;
        assert!(outcome.is_ok());
        assert_eq!((tail.out, tail.damage), (b"one\nthree\n".to_vec(), 1));
    }

    /// A reader of our output that is gone.
    struct Gone;

    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn an_output_that_is_gone_ends_the_command() {
        let (_fake, client) = filled().await;
        let (outcome, _) = tail(client.read("s"), None, Gone).await;
        assert!(matches!(
            outcome,
            Err(TailError::Output(error)) if error.kind() == ErrorKind::BrokenPipe
        ));
    }

    #[tokio::test]
    async fn a_sequence_number_without_a_shard_is_a_usage_error() {
        use clap::Parser;
        #[derive(Parser)]
        struct Line {
            #[command(flatten)]
            tail: TailArguments,
        }
        let line = Line::try_parse_from(["tail", "s", "--from", "17"]).unwrap();
        let global = Global {
            server: "http://127.0.0.1:1".to_owned(),
            trust: crate::Trust::default(),
            identity: None,
            output: OutputFormat::Table,
        };
        let failure = run(line.tail, &global).await.unwrap_err();
        assert_eq!(failure.code, super::super::USAGE);
        assert!(Line::try_parse_from(["tail", "s", "--from", "soon"]).is_err());
        assert!(Line::try_parse_from(["tail", "s", "-f", "%x"]).is_err());
        assert!(Line::try_parse_from(["tail", "s", "--grep", "("]).is_err());
    }
}
