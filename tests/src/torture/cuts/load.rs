//! The clients: producers and readers that go on until the server is gone.
//!
//! Every answer becomes an [`Event`] as soon as it is there. Nothing is tried again: an answer
//! that did not come is unknown, and the [`ledger`](super::ledger) allows for both.

use std::collections::HashMap;
use std::net::SocketAddr;

use anabranch_client::{Client, Error, Item, Placed, Position, Record, v1};
use anyhow::Result;
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio_stream::wrappers::UnboundedReceiverStream;

use super::event::Event;
use super::read::stands;
use super::record::{Door, Identity, PRODUCERS, Profile, STREAMS};
use crate::torture::server::connect;

/// Batches that a `Produce` call has in flight, and records those of the client library.
const BATCHES_IN_FLIGHT: u64 = 8;
const RECORDS_IN_FLIGHT: usize = 64;
/// Streams that are made in one life, every other one to be removed again.
const MADE: u32 = 6;

/// Where events go.
pub(in crate::torture) type Events = UnboundedSender<Event>;

/// Puts and reads until the server is gone. An error is one that came before the first put.
pub(in crate::torture) async fn run(address: SocketAddr, life: u32, events: Events) -> Result<()> {
    let client = connect(address).await?;
    let mut tasks = JoinSet::new();
    for (name, shards) in STREAMS {
        match client.create_stream(name, shards).await {
            Ok(()) | Err(Error::InUse { .. }) => {}
            // Cut off before it had begun.
            Err(_) => return Ok(()),
        }
        let _ = events.send(Event::Created(name.to_owned()));
    }
    for stream in 0..STREAMS.len() as u32 {
        for consumer in [Some("watcher"), None] {
            tasks.spawn(read(connect(address).await?, stream, consumer, events.clone()));
        }
    }
    for (producer, profile) in PRODUCERS.into_iter().enumerate() {
        let client = connect(address).await?;
        let task = Putter { client, life, producer: producer as u32, profile };
        let events = events.clone();
        tasks.spawn(async move {
            match profile.door {
                Door::Unary => task.unary(events).await,
                Door::Produce => task.produce(events).await,
                Door::Library => task.record_by_record(events).await,
            }
        });
    }
    tasks.spawn(make_streams(client, life, events));
    while tasks.join_next().await.is_some() {}
    Ok(())
}

struct Putter {
    client: Client,
    life: u32,
    producer: u32,
    profile: Profile,
}

impl Putter {
    fn stream_name(&self) -> String {
        STREAMS[self.profile.stream].0.to_owned()
    }

    fn identity(&self, batch: u64, index: u32) -> Identity {
        Identity { life: self.life, producer: self.producer, batch, index }
    }

    fn entries(&self, batch: u64) -> Vec<v1::PutRecordsRequestEntry> {
        let identities = (0..self.profile.records).map(|index| self.identity(batch, index));
        identities
            .map(|identity| v1::PutRecordsRequestEntry {
                data: identity.data().into(),
                partition_key: identity.key(),
                explicit_hash_key: None,
            })
            .collect()
    }

    fn sending(&self, batch: u64) -> Event {
        Event::Sending { producer: self.producer, batch }
    }

    fn acknowledged(&self, batch: u64, places: Vec<Option<(u32, u64)>>) -> Event {
        Event::Acknowledged { producer: self.producer, batch, places }
    }

    /// One call after the other.
    async fn unary(self, events: Events) {
        let mut stub = self.client.stub();
        for batch in 0.. {
            let _ = events.send(self.sending(batch));
            let request = v1::PutRecordsRequest {
                stream_name: self.stream_name(),
                records: self.entries(batch),
                ..Default::default()
            };
            let Ok(answer) = stub.put_records(request).await else {
                return;
            };
            let results = answer.into_inner().records.into_iter();
            let places = results.map(|result| {
                let shard = shard_index(&result.shard_id)?;
                result.error_code.is_empty().then_some((shard, result.sequence_number))
            });
            let _ = events.send(self.acknowledged(batch, places.collect()));
        }
    }

    /// One call, with several batches in flight.
    async fn produce(self, events: Events) {
        let (requests, channel) = unbounded_channel();
        let send = |batch| {
            let _ = events.send(self.sending(batch));
            let request = v1::ProduceRequest {
                stream_name: self.stream_name(),
                records: self.entries(batch),
                ..Default::default()
            };
            let _ = requests.send(request);
        };
        (0..BATCHES_IN_FLIGHT).for_each(send);
        let answers = self.client.stub().produce(UnboundedReceiverStream::new(channel)).await;
        let Ok(answers) = answers else {
            return;
        };
        let mut answers = answers.into_inner();
        for batch in 0.. {
            let Ok(Some(answer)) = answers.message().await else {
                return;
            };
            let placed = answer.shard_indexes.into_iter().zip(answer.sequence_numbers);
            let mut places: Vec<_> = placed.map(Some).collect();
            for failure in &answer.failures {
                places[failure.index as usize] = None;
            }
            let _ = events.send(self.acknowledged(batch, places));
            send(batch + BATCHES_IN_FLIGHT);
        }
    }

    /// Record by record with the client library, which makes the batches.
    async fn record_by_record(self, events: Events) {
        let producer = self.client.producer(&self.stream_name()).retry_unknown(false).start();
        let mut tickets = FuturesOrdered::new();
        let mut answered = 0;
        for next in 0.. {
            let identity = self.identity(next, 0);
            let _ = events.send(self.sending(next));
            let Ok(ticket) = producer.put(Record::new(identity.key(), identity.data())).await
            else {
                break;
            };
            tickets.push_back(ticket);
            if tickets.len() == RECORDS_IN_FLIGHT {
                let Some(Ok(placed)) = tickets.next().await else {
                    // Its place in the queue counts, whatever came of it.
                    answered += 1;
                    break;
                };
                self.placed(answered, placed, &events);
                answered += 1;
            }
        }
        // What was answered before the end counts as well.
        while let Some(outcome) = tickets.next().await {
            if let Ok(placed) = outcome {
                self.placed(answered, placed, &events);
            }
            answered += 1;
        }
    }

    fn placed(&self, batch: u64, placed: Placed, events: &Events) {
        let place = (placed.shard_index, placed.sequence_number);
        let _ = events.send(self.acknowledged(batch, vec![Some(place)]));
    }
}

/// Reads what is put from now on, pushed to a consumer or pulled.
async fn read(client: Client, stream: u32, consumer: Option<&str>, events: Events) {
    let mut builder = client.read(STREAMS[stream as usize].0).from(Position::Latest);
    if let Some(consumer) = consumer {
        builder = builder.push(consumer);
    }
    let Ok(mut reader) = builder.start().await else {
        return;
    };
    // Where the reader stands in each shard, once it has been shown something.
    let mut places: HashMap<u32, u64> = HashMap::new();
    while let Some(Ok(item)) = reader.next().await {
        let event = match item {
            Item::Batch(batch) => {
                let shard = shard_index(&batch.shard_id).unwrap_or(u32::MAX);
                let records: Vec<_> =
                    batch.records.iter().map(|record| stands(record).seen).collect();
                let first = records.first().map_or(0, |first| first.number);
                let last = records.last().map_or(0, |last| last.number);
                let from = places.insert(shard, last + 1).unwrap_or(first);
                Event::Shown { stream, shard, from, records }
            }
            Item::Damage(damage) => Event::Damage(damage.loss.to_string()),
            Item::End(_) => continue,
        };
        let _ = events.send(event);
    }
}

/// A stream that is made in a life of the server, beside those of [`STREAMS`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Made {
    pub(super) life: u32,
    count: u32,
}

impl Made {
    fn name(self) -> String {
        format!("made-{}-{}", self.life, self.count)
    }

    /// The stream of a name, where it is one of these.
    pub(super) fn of(name: &str) -> Option<Made> {
        let (life, count) = name.strip_prefix("made-")?.split_once('-')?;
        Some(Made { life: life.parse().ok()?, count: count.parse().ok()? })
    }

    /// Whether it is removed as soon as it is there.
    pub(super) fn is_removed(self) -> bool {
        self.count.is_multiple_of(2)
    }
}

/// Makes streams, and removes every other one: the catalog is cut off as well.
async fn make_streams(client: Client, life: u32, events: Events) {
    for count in 0..MADE {
        let made = Made { life, count };
        if client.create_stream(&made.name(), 1).await.is_err() {
            return;
        }
        let _ = events.send(Event::Created(made.name()));
        if made.is_removed() {
            if client.delete_stream(&made.name(), true).await.is_err() {
                return;
            }
            let _ = events.send(Event::Deleted(made.name()));
        }
    }
}

/// The number in a shard's name.
pub(super) fn shard_index(shard_id: &str) -> Option<u32> {
    shard_id.strip_prefix("shardId-")?.parse().ok()
}
