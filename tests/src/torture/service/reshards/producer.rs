//! Puts records that are different from all others, one batch behind the other, until it is told
//! to end; a server that was killed is waited for. What was under way then may be there or not.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anabranch_client::v1;
use anyhow::Result;
use bytes::Bytes;
use tokio::sync::mpsc::unbounded_channel;
use tokio_stream::wrappers::UnboundedReceiverStream;

use super::{Course, STREAM};
use crate::torture::server::{PATIENCE, connect};

/// Batches under way, and the records of one.
const IN_FLIGHT: usize = 8;
const BATCH_RECORDS: u64 = 50;
const RECORD_BYTES: usize = 200;
/// Keys of a producer: enough that each shard has some of each.
const KEYS: u64 = 8;

/// Where a record stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) shard: u32,
    pub(super) number: u64,
}

/// What one has put.
pub(super) struct Producer {
    number: u64,
    /// Where each of its records stands, in the order in which it put them; `None`: nobody was
    /// told.
    placed: Vec<Option<Place>>,
    failed: u64,
}

impl Producer {
    pub(super) fn new(number: usize) -> Producer {
        Producer { number: number as u64, placed: Vec::new(), failed: 0 }
    }

    /// Puts until it is over.
    pub(super) async fn run(mut self, course: Arc<Course>) -> Result<Producer> {
        let mut life = 0;
        while !course.is_over.load(Ordering::SeqCst) {
            let server = tokio::time::timeout(PATIENCE, course.after(life)).await??;
            life = server.0;
            let ended = match connect(server.1).await {
                Ok(client) => self.pour(&course, &client).await,
                Err(error) => Err(error),
            };
            if let Err(error) = ended
                && !course.is_killed(life)
            {
                self.failed += 1;
                course.trouble(format!("producer {}: {error:#}", self.number));
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        Ok(self)
    }

    async fn pour(&mut self, course: &Course, client: &anabranch_client::Client) -> Result<()> {
        let (requests, channel) = unbounded_channel();
        let mut flying = VecDeque::new();
        let send = |producer: &mut Producer, flying: &mut VecDeque<(usize, Instant)>| {
            flying.push_back((producer.placed.len(), Instant::now()));
            let _ = requests.send(producer.batch());
        };
        for _ in 0..IN_FLIGHT {
            send(self, &mut flying);
        }
        let answers = client.stub().produce(UnboundedReceiverStream::new(channel)).await;
        let mut answers = answers?.into_inner();
        while let Some((first, begun)) = flying.pop_front() {
            let Some(answer) = answers.message().await? else {
                anyhow::bail!("a call ended early");
            };
            let waited_us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
            course.longest_us.fetch_max(waited_us, Ordering::SeqCst);
            self.failed += answer.failures.len() as u64;
            for failure in answer.failures.iter().take(1) {
                course.trouble(format!("not put: {}", failure.error_message));
            }
            let places = answer.shard_indexes.into_iter().zip(answer.sequence_numbers);
            for (placed, (shard, number)) in self.placed[first..].iter_mut().zip(places) {
                *placed = (number > 0).then_some(Place { shard, number });
            }
            if !course.is_over.load(Ordering::SeqCst) {
                send(self, &mut flying);
            }
        }
        Ok(())
    }

    fn batch(&mut self) -> v1::ProduceRequest {
        let first = self.placed.len() as u64;
        let record = |order: u64| {
            let mut data = vec![b'r'; RECORD_BYTES];
            data[..8].copy_from_slice(&self.number.to_be_bytes());
            data[8..16].copy_from_slice(&order.to_be_bytes());
            v1::PutRecordsRequestEntry {
                data: Bytes::from(data),
                partition_key: format!("{} {}", self.number, order % KEYS),
                explicit_hash_key: None,
            }
        };
        let records = (first..first + BATCH_RECORDS).map(record).collect();
        self.placed.resize(self.placed.len() + BATCH_RECORDS as usize, None);
        v1::ProduceRequest { stream_name: STREAM.to_owned(), records, ..Default::default() }
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn sent(&self) -> u64 {
        self.placed.len() as u64
    }

    pub(super) fn acknowledged(&self) -> u64 {
        self.placed.iter().flatten().count() as u64
    }

    pub(super) fn failed(&self) -> u64 {
        self.failed
    }

    /// Where each of its records stands, as it was told.
    pub(super) fn placed(&self) -> &[Option<Place>] {
        &self.placed
    }

    /// The key of one of its records, among its own.
    pub(super) fn key_of(order: u64) -> usize {
        (order % KEYS) as usize
    }

    /// How many keys it has.
    pub(super) const fn keys() -> usize {
        KEYS as usize
    }
}
