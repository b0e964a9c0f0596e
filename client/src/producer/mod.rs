//! Records out: one pipelined `Produce` call, and an outcome for every record.
//!
//! ```text
//!   put ---room?---> worker ---batches---> Produce ---> server
//!    |                  ^                                  |
//!    +-- Ticket <-------+--------- answers, in order <-----+
//! ```
//!
//! A put waits for room, hands its record to the worker and returns a [`Ticket`], which
//! resolves once the record is durable. Room is counted in bytes from the moment a record is
//! accepted until it has its outcome: that bounds memory, and a slow server is felt as a put
//! that waits. The worker sends what has gathered as soon as fewer than `in_flight_batches`
//! are unanswered, so batches are small while the server keeps up and grow when it does not;
//! a linger only adds to that.
//!
//! **At least once.** A batch whose connection broke has an unknown outcome. By default it is
//! sent again, so its records may stand twice, and [`ProducerStats`] counts how many may;
//! with [`ProducerBuilder::retry_unknown`] off they fail with
//! [`Error::OutcomeUnknown`](crate::Error::OutcomeUnknown) instead. What is throttled
//! had no effect and is always put again, within the [`RetryPolicy`]. Records of one key keep
//! their order except where one of them had to be put again.

mod ledger;
mod worker;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use anabranch_proto::v1;
use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::client::Client;
use crate::error::{Error, Result};
use crate::retry::RetryPolicy;
use worker::{Command, Worker};

/// Records of one batch at most (API model).
pub const BATCH_RECORDS_MAX: usize = 500;
/// Bytes of keys and data of one batch at most (API model).
pub const BATCH_BYTES_MAX: usize = 10 << 20;
/// Bytes of key and data of one record at most.
pub const RECORD_BYTES_MAX: usize = 1 << 20;
/// Characters of a partition key at most (API model).
pub const PARTITION_KEY_CHARS_MAX: usize = 256;
/// What a record occupies besides its key and data, in bytes, roughly.
const RECORD_OVERHEAD_BYTES: usize = 128;

/// A record to put.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Record {
    /// 1 to 256 characters; its MD5 chooses the shard.
    pub partition_key: String,
    /// At most 1 MiB together with the key; may be empty.
    pub data: Bytes,
    /// Chooses the shard in place of the key: a decimal number below 2^128.
    pub explicit_hash_key: Option<String>,
}

impl Record {
    /// A record of a key and its data.
    pub fn new(partition_key: impl Into<String>, data: impl Into<Bytes>) -> Record {
        Record { partition_key: partition_key.into(), data: data.into(), explicit_hash_key: None }
    }

    /// Bytes of key and data.
    pub fn bytes(&self) -> usize {
        self.partition_key.len() + self.data.len()
    }

    /// Whether a stream takes it. Found out here, before it shares a batch with others: the
    /// server refuses a malformed record together with its whole batch.
    pub fn check(&self) -> Result<()> {
        if self.partition_key.is_empty() {
            return Err(Error::invalid(
                "partition_key",
                "the partition key is empty; it has 1 to 256 characters",
            ));
        }
        // Characters are at most bytes, so the common case counts nothing.
        if self.partition_key.len() > PARTITION_KEY_CHARS_MAX {
            let chars = self.partition_key.chars().count();
            if chars > PARTITION_KEY_CHARS_MAX {
                return Err(Error::invalid(
                    "partition_key",
                    format!("the partition key has {chars} characters, at most 256 are allowed"),
                ));
            }
        }
        if self.bytes() > RECORD_BYTES_MAX {
            let bytes = self.bytes();
            return Err(Error::invalid(
                "data",
                format!("partition key and data have {bytes} bytes, at most 1048576 are allowed"),
            ));
        }
        match &self.explicit_hash_key {
            Some(text) if !is_hash_key(text) => Err(Error::invalid(
                "explicit_hash_key",
                format!("{text:?} is not a decimal number in the range [0, 2^128-1]"),
            )),
            _ => Ok(()),
        }
    }

    pub(crate) fn into_entry(self) -> v1::PutRecordsRequestEntry {
        v1::PutRecordsRequestEntry {
            data: self.data,
            partition_key: self.partition_key,
            explicit_hash_key: self.explicit_hash_key,
        }
    }
}

fn is_hash_key(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u128>().is_ok()
}

/// Where a record went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Placed {
    /// The index of its shard: 12 means `shardId-000000000012`.
    pub shard_index: u32,
    /// Its number in that shard.
    pub sequence_number: u64,
}

impl Placed {
    /// The shard, as the API writes it.
    pub fn shard_id(&self) -> String {
        format!("shardId-{:012}", self.shard_index)
    }
}

/// The outcome of one put, once there is one.
#[derive(Debug)]
pub struct Ticket(oneshot::Receiver<Result<Placed>>);

impl Future for Ticket {
    type Output = Result<Placed>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = Pin::new(&mut self.0).poll(context);
        outcome.map(|outcome| outcome.unwrap_or(Err(Error::Closed)))
    }
}

/// The outcomes of the records of one [`Producer::put_batch`], in their order, once all have
/// one. The outer error is that of a producer that was closed before.
#[derive(Debug)]
pub struct BatchTicket(oneshot::Receiver<Vec<Result<Placed>>>);

impl Future for BatchTicket {
    type Output = Result<Vec<Result<Placed>>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = Pin::new(&mut self.0).poll(context);
        outcome.map(|outcome| outcome.map_err(|_| Error::Closed))
    }
}

/// What a producer has done so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ProducerStats {
    /// Records that are durable.
    pub acknowledged: u64,
    /// Records that failed for good.
    pub failed: u64,
    /// Times that a record was put again, for whatever reason.
    pub put_again: u64,
    /// Acknowledged records that may stand twice, because the outcome of an earlier attempt
    /// never became known.
    pub may_stand_twice: u64,
}

#[derive(Debug, Default)]
struct Counters {
    acknowledged: AtomicU64,
    failed: AtomicU64,
    put_again: AtomicU64,
    may_stand_twice: AtomicU64,
}

#[derive(Clone, Copy, Debug)]
struct Settings {
    batch_records: usize,
    batch_bytes: usize,
    linger: Duration,
    in_flight_batches: usize,
    in_flight_bytes: usize,
    retry: RetryPolicy,
    retry_unknown: bool,
}

/// How a producer is to work. The defaults are good for most.
#[derive(Clone, Debug)]
pub struct ProducerBuilder {
    client: Client,
    stream_name: String,
    settings: Settings,
}

impl ProducerBuilder {
    pub(crate) fn new(client: Client, stream_name: &str) -> Self {
        ProducerBuilder {
            settings: Settings {
                batch_records: BATCH_RECORDS_MAX,
                batch_bytes: 1 << 20,
                linger: Duration::ZERO,
                in_flight_batches: 32,
                in_flight_bytes: 32 << 20,
                retry: client.retry_policy(),
                retry_unknown: true,
            },
            client,
            stream_name: stream_name.to_owned(),
        }
    }

    /// Records of a batch at most: 1 to 500, which is the default.
    #[must_use]
    pub fn batch_records(mut self, records: usize) -> Self {
        self.settings.batch_records = records.clamp(1, BATCH_RECORDS_MAX);
        self
    }

    /// Bytes of a batch at most: up to 10 MiB, 1 MiB by default. A larger record goes alone.
    #[must_use]
    pub fn batch_bytes(mut self, bytes: usize) -> Self {
        self.settings.batch_bytes = bytes.clamp(1, BATCH_BYTES_MAX);
        self
    }

    /// How long a batch that is not full waits for more: not at all by default.
    #[must_use]
    pub fn linger(mut self, linger: Duration) -> Self {
        self.settings.linger = linger;
        self
    }

    /// Batches sent and not answered at most: 32 by default.
    #[must_use]
    pub fn in_flight_batches(mut self, batches: usize) -> Self {
        self.settings.in_flight_batches = batches.clamp(1, 1024);
        self
    }

    /// Bytes accepted and without outcome at most, over which a put waits: 32 MiB by default.
    #[must_use]
    pub fn in_flight_bytes(mut self, bytes: usize) -> Self {
        // Room for the largest record at least, and within what a semaphore counts.
        let least = RECORD_BYTES_MAX + RECORD_OVERHEAD_BYTES;
        self.settings.in_flight_bytes = bytes.clamp(least, 1 << 30);
        self
    }

    /// How throttled records and failed connections are tried again: as the client's reads
    /// are, by default.
    #[must_use]
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.settings.retry = retry;
        self
    }

    /// Whether records whose outcome is unknown are put again, and so may stand twice. They
    /// are by default: at least once.
    #[must_use]
    pub fn retry_unknown(mut self, retry_unknown: bool) -> Self {
        self.settings.retry_unknown = retry_unknown;
        self
    }

    /// Starts the producer. It connects when there is something to send.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(self) -> Producer {
        let (commands, inbox) = mpsc::unbounded_channel();
        let room = Arc::new(Semaphore::new(self.settings.in_flight_bytes));
        let counters = Arc::new(Counters::default());
        let worker = Worker::new(
            self.client,
            self.stream_name,
            self.settings,
            inbox,
            room.clone(),
            counters.clone(),
        );
        Producer {
            commands: Some(commands),
            room,
            room_bytes: self.settings.in_flight_bytes,
            counters,
            worker: Some(tokio::spawn(worker.run())),
        }
    }
}

/// Puts records into one stream. See the [module](self) for what it promises.
///
/// [`Producer::close`] waits until everything has its outcome. Dropping the producer abandons
/// what has none yet: those tickets resolve to [`Error::Closed`](crate::Error::Closed).
#[derive(Debug)]
pub struct Producer {
    /// Unbounded, because `room` bounds what is in it. None only while closing.
    commands: Option<mpsc::UnboundedSender<Command>>,
    room: Arc<Semaphore>,
    room_bytes: usize,
    counters: Arc<Counters>,
    worker: Option<JoinHandle<()>>,
}

impl Producer {
    /// Accepts a record, as soon as there is room for it. The ticket has its outcome.
    pub async fn put(&self, record: Record) -> Result<Ticket> {
        record.check()?;
        let charge = record.bytes() + RECORD_OVERHEAD_BYTES;
        self.take_room(charge).await?;
        let (sender, receiver) = oneshot::channel();
        self.send(Command::Put { entry: record.into_entry(), charge, sender })?;
        Ok(Ticket(receiver))
    }

    /// Accepts a record and waits for its outcome.
    pub async fn send_one(&self, record: Record) -> Result<Placed> {
        self.put(record).await?.await
    }

    /// Accepts many records at once, which costs less than one by one. A record that no stream
    /// takes refuses them all.
    pub async fn put_batch(&self, records: Vec<Record>) -> Result<BatchTicket> {
        let mut charge = 0;
        for record in &records {
            record.check()?;
            charge += record.bytes() + RECORD_OVERHEAD_BYTES;
        }
        // A batch beyond all room waits until nothing else is under way.
        let charge = charge.min(self.room_bytes);
        self.take_room(charge).await?;
        let (sender, receiver) = oneshot::channel();
        self.send(Command::PutBatch {
            entries: records.into_iter().map(Record::into_entry).collect(),
            charge,
            sender,
        })?;
        Ok(BatchTicket(receiver))
    }

    /// Waits until every record accepted before has its outcome, without any linger.
    pub async fn flush(&self) -> Result<()> {
        let (sender, receiver) = oneshot::channel();
        self.send(Command::Flush(sender))?;
        receiver.await.map_err(|_| Error::Closed)
    }

    /// Waits until every record has its outcome, and ends the producer.
    pub async fn close(mut self) -> Result<ProducerStats> {
        self.commands = None;
        if let Some(worker) = self.worker.take() {
            worker.await.map_err(|_| Error::Closed)?;
        }
        Ok(self.stats())
    }

    /// What it has done so far.
    pub fn stats(&self) -> ProducerStats {
        ProducerStats {
            acknowledged: self.counters.acknowledged.load(Ordering::Relaxed),
            failed: self.counters.failed.load(Ordering::Relaxed),
            put_again: self.counters.put_again.load(Ordering::Relaxed),
            may_stand_twice: self.counters.may_stand_twice.load(Ordering::Relaxed),
        }
    }

    async fn take_room(&self, charge: usize) -> Result<()> {
        let permit = self.room.acquire_many(charge as u32).await;
        // The worker gives the room back together with the outcome.
        permit.map_err(|_| Error::Closed)?.forget();
        Ok(())
    }

    fn send(&self, command: Command) -> Result<()> {
        let commands = self.commands.as_ref().ok_or(Error::Closed)?;
        commands.send(command).map_err(|_| Error::Closed)
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        if let Some(worker) = &self.worker {
            worker.abort();
        }
    }
}

#[cfg(test)]
mod tests;
