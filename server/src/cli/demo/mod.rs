//! `demo`: the product's main job in under a minute, with proof.
//!
//! A server is started as a process of its own, on a free port and in a temporary directory.
//! Real lines are put into a stream of four shards and read back by pull and by push; then,
//! while more are being put, the server is killed with SIGKILL. After a new start every
//! acknowledged record must be there exactly once, in order, byte for byte. What is printed was
//! measured on the way; the first thing that does not hold ends the demo with exit code 1.

mod child;
mod ledger;
mod lines;

use std::cell::Cell;
use std::io::Write;
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use anabranch_client::{BatchTicket, Client, Item, Position, ProducerBuilder, RetryPolicy};
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use tokio::sync::mpsc;

use self::child::Server;
use self::ledger::Ledger;
use self::lines::Lines;
use super::style::{self, Style};
use super::{FAILED, fail};

const STREAM: &str = "demo";
const SHARDS: u32 = 4;

/// Lines of the first part: enough to show a rate, few enough for a slow disk.
const LINES: u64 = 100_000;

/// Lines of the second part, of which the kill lets only some through.
const MORE_LINES: u64 = 1_000_000;

/// Acknowledgements of the second part after which the server is killed.
const KILL_AFTER: u64 = 100_000;

/// Records of one call (API model: at most 500).
const BATCH: u64 = 500;

/// Time for records that were never sent to look for the killed server.
const GIVE_UP: Duration = Duration::from_millis(500);

/// Batches that wait for their acknowledgement.
const BATCHES_WAITING: usize = 64;

/// The demo has no settings: it shows the defaults.
#[derive(Args)]
pub(crate) struct DemoArguments {}

pub(crate) async fn run(_: DemoArguments) -> u8 {
    let demo = async {
        let directory = tempfile::Builder::new()
            .prefix("anabranch-demo-")
            .tempdir()
            .context("cannot make a temporary directory")?;
        let result = tell(directory.path()).await;
        directory.close().context("cannot remove the temporary directory")?;
        result
    };
    // Interrupted, the story is dropped where it stands: the server is killed and the directory
    // removed all the same.
    let result = tokio::select! {
        result = demo => result,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    match result {
        Ok(()) => 0,
        Err(error) => fail(FAILED, &format!("{error:#}")),
    }
}

async fn tell(directory: &Path) -> Result<()> {
    let begin = Instant::now();
    let story = Story::new();
    let lines = Lines::new();
    let mut ledger = Ledger::default();
    story.begin();

    let mut server = Server::start(directory).await?;
    let client = Client::connect(&server.url()).await?;
    let place = format!("{}, data in {}", server.url(), directory.display());
    story.step("server started", &place);
    client.create_stream(STREAM, SHARDS).await?;
    story.step("stream created", &format!("{SHARDS} shards"));

    let bytes = lines.bytes(0..LINES);
    let clock = Instant::now();
    let producer = client.producer(STREAM);
    put(producer, &lines, 0..LINES, &mut ledger, async |_| Ok(true)).await?;
    story.step("put", &rate(LINES, bytes, clock.elapsed()));
    story.note("each was on the disk (fdatasync) before its acknowledgement");

    for (name, consumer) in [("read by pull", None), ("read by push", Some("demo-reader"))] {
        let clock = Instant::now();
        read(&client, consumer, &ledger, &lines).await?;
        story.step(name, &rate(LINES, bytes, clock.elapsed()));
        story.note("compared: every byte, and the order in every shard");
    }

    let more = LINES..LINES + MORE_LINES;
    let producer = client.producer(STREAM).retry(RetryPolicy::for_at_most(GIVE_UP));
    put(producer, &lines, more, &mut ledger, async |ledger| {
        if ledger.acknowledged() < LINES + KILL_AFTER {
            return Ok(true);
        }
        server.kill().await?;
        Ok(false)
    })
    .await?;
    let on_their_way = ledger.unacknowledged();
    ensure!(on_their_way > 0, "the kill came too late: every put had been acknowledged");
    let acknowledged = count(ledger.acknowledged() - LINES);
    story.step(
        "SIGKILL",
        &format!(
            "amid puts: {acknowledged} more acknowledged, {} on their way",
            count(on_their_way)
        ),
    );

    let server = Server::start(directory).await?;
    let recovered = format!("answers after {}, recovery included", seconds(server.started_in()));
    story.step("started again", &recovered);
    let client = Client::connect(&server.url()).await?;
    let surplus = read(&client, None, &ledger, &lines).await?;
    let acknowledged = count(ledger.acknowledged());
    story.step(
        "verified",
        &format!("all {acknowledged} acknowledged records: once, in order, byte for byte"),
    );
    story.note(&format!(
        "{} of those on their way had reached the disk too, whole; nothing else is there",
        count(surplus)
    ));
    server.stop().await?;
    story.end(begin.elapsed());
    Ok(())
}

/// Puts lines and enters every outcome into the ledger. `go_on` is asked after each batch; when
/// it says no, nothing more is put, and what has no acknowledgement by then need not get one.
async fn put(
    producer: ProducerBuilder,
    lines: &Lines,
    numbers: Range<u64>,
    ledger: &mut Ledger,
    mut go_on: impl AsyncFnMut(&Ledger) -> Result<bool>,
) -> Result<()> {
    // What may stand twice by design would hide what does by mistake.
    let producer = producer.retry_unknown(false).start();
    let going = Cell::new(true);
    let (waiting, mut tickets) = mpsc::channel::<(Range<u64>, BatchTicket)>(BATCHES_WAITING);
    let feed = async {
        let waiting = waiting;
        let mut next = numbers.start;
        while next < numbers.end && going.get() {
            let batch = next..numbers.end.min(next + BATCH);
            next = batch.end;
            let ticket = producer.put_batch(lines.records(batch.clone())).await?;
            // The other side ends first only with an error of its own.
            if waiting.send((batch, ticket)).await.is_err() {
                break;
            }
        }
        Ok(())
    };
    let collect = async {
        while let Some((batch, ticket)) = tickets.recv().await {
            let mut outcomes = ticket.await.unwrap_or_default().into_iter();
            for line in batch {
                match outcomes.next() {
                    Some(Ok(placed)) => {
                        ledger.acknowledge((placed.shard_index, placed.sequence_number), line)?;
                    }
                    _ if !going.get() => ledger.leave_unacknowledged(line),
                    Some(Err(error)) => return Err(error.into()),
                    None => bail!("line {line} got no acknowledgement"),
                }
            }
            going.set(going.get() && go_on(ledger).await?);
        }
        Ok(())
    };
    tokio::try_join!(feed, collect)?;
    Ok(())
}

/// Reads the whole stream and holds it against the ledger. Returns how many records were there
/// that had been put and not acknowledged.
async fn read(client: &Client, push: Option<&str>, ledger: &Ledger, lines: &Lines) -> Result<u64> {
    let mut reader = client.read(STREAM).from(Position::TrimHorizon).until_tip(true);
    if let Some(consumer) = push {
        reader = reader.push(consumer);
    }
    let mut reader = reader.start().await?;
    let mut reading = ledger.read(lines);
    while let Some(item) = reader.next().await {
        match item? {
            Item::Batch(batch) => {
                let shard = shard_index(&batch.shard_id)?;
                for record in &batch.records {
                    let key = &record.partition_key;
                    reading.check(shard, record.sequence_number, key, &record.data)?;
                }
            }
            Item::Damage(damage) => bail!("{}: {}", damage.shard_id, damage.loss),
            Item::End(_) => {}
        }
    }
    reading.finish()
}

fn shard_index(shard_id: &str) -> Result<u32> {
    shard_id
        .strip_prefix("shardId-")
        .and_then(|digits| digits.parse().ok())
        .with_context(|| format!("{shard_id:?} is no shard id"))
}

/// What the demo tells on standard output.
struct Story {
    style: Style,
}

impl Story {
    fn new() -> Self {
        Self { style: style::stdout() }
    }

    fn begin(&self) {
        let text = "real lines go through a real server, which is then killed";
        print(&format!("{} {text}\n", self.style.strong("anabranch demo:")));
    }

    /// Something is done.
    fn step(&self, what: &str, figures: &str) {
        let tick = self.style.good("ok");
        print(&format!("  {tick}  {} {figures}", self.style.strong(format!("{what:<15}"))));
    }

    /// What a step means.
    fn note(&self, text: &str) {
        print(&format!("      {:<15} {}", "", self.style.faint(text)));
    }

    fn end(&self, took: Duration) {
        let verdict = self.style.good("Nothing was lost.");
        print(&format!("\n{verdict} It took {}. Next: anabranch serve", seconds(took)));
    }
}

/// A reader of our output that has gone (`| head`) does not stop the demo.
fn print(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// `100000 records, 6.1 MB in 0.41 s: 243902 records/s`, with separators.
fn rate(records: u64, bytes: u64, took: Duration) -> String {
    let per_second = records as f64 / took.as_secs_f64().max(1e-6);
    format!(
        "{} records, {:.1} MB in {}: {} records/s",
        count(records),
        bytes as f64 / 1e6,
        seconds(took),
        count(per_second as u64)
    )
}

fn seconds(took: Duration) -> String {
    format!("{:.2} s", took.as_secs_f64())
}

/// A number with its thousands apart.
fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_readable() {
        assert_eq!(["7", "1,000", "123,456,789"], [7, 1000, 123_456_789].map(count));
        let took = Duration::from_millis(500);
        assert_eq!(
            rate(100_000, 6_100_000, took),
            "100,000 records, 6.1 MB in 0.50 s: 200,000 records/s"
        );
    }

    #[test]
    fn shard_ids_have_an_index() {
        assert_eq!(shard_index("shardId-000000000012").unwrap(), 12);
        assert!(shard_index("shard 1").is_err());
    }
}
