//! The operations on a real engine in a temporary directory.

mod account;
mod attached;
mod authorization;
mod consumers;
mod damage;
mod dry_runs;
mod kinesis_numbers;
mod names;
mod puts;
mod quotas;
mod reads;
mod reshards;
mod scaling;
mod settings;
mod statuses;
mod streams;
mod subscriptions;
mod updating;

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anabranch_engine::clock::ManualClock;
use anabranch_engine::fs::ReadMode;
use anabranch_engine::settings::QuotaProfile;
use anabranch_engine::{Durability, Engine, EngineOptions, Environment};
use anabranch_proto::v1::{self, ShardIteratorType};

use super::batch::Batch;
use super::*;

/// Operations, the clock they go by and the directory they live in.
pub(crate) struct Fixture {
    pub(crate) ops: Arc<Ops>,
    pub(crate) engine: Engine,
    pub(crate) clock: Arc<ManualClock>,
    data: tempfile::TempDir,
}

fn open(data: &Path, clock: &Arc<ManualClock>, quotas: QuotaProfile) -> (Arc<Ops>, Engine) {
    let environment = Environment { clock: clock.clone(), ..Environment::system(ReadMode::Mmap) };
    let engine = Engine::open(EngineOptions::new(data), environment).unwrap();
    let durability = Durability::Fsync;
    let request_bytes_max = 128 << 20;
    let owner = Owner::default();
    let has_control_delays = false;
    let credentials = Arc::new(Credentials::none());
    let options = OpsOptions {
        owner,
        durability,
        quotas,
        has_control_delays,
        credentials,
        request_bytes_max,
    };
    let ops = Ops::new(engine.clone(), options);
    (ops, engine)
}

impl Fixture {
    /// An engine without threads: what is staged becomes durable in `commit_step`.
    pub(crate) fn without_threads() -> Fixture {
        Fixture::with_quotas(QuotaProfile::Open)
    }

    /// The same on a server with these quotas.
    pub(crate) fn with_quotas(quotas: QuotaProfile) -> Fixture {
        let data = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(1_700_000_000_000));
        let (ops, engine) = open(data.path(), &clock, quotas);
        Fixture { ops, engine, clock, data }
    }

    /// A server that shows the real service's delays.
    pub(crate) fn with_control_delays() -> Fixture {
        let mut fixture = Fixture::new();
        let ops = Arc::get_mut(&mut fixture.ops).expect("nobody else has it yet");
        ops.statuses = Statuses::new(true);
        fixture
    }

    /// A server at which people sign in.
    pub(crate) fn with_credentials(credentials: Credentials) -> Fixture {
        let mut fixture = Fixture::new();
        let ops = Arc::get_mut(&mut fixture.ops).expect("nobody else has it yet");
        ops.credentials = Arc::new(credentials);
        fixture
    }

    /// Opens the directory again, after the engine was shut down.
    fn reopen(&mut self) {
        // The lock goes with the last clone of the engine, so another takes its place first.
        let elsewhere = tempfile::tempdir().unwrap();
        (self.ops, self.engine) = open(elsewhere.path(), &self.clock, QuotaProfile::Open);
        (self.ops, self.engine) = open(self.data.path(), &self.clock, QuotaProfile::Open);
        self.engine.start();
    }

    /// An engine as it is in a server.
    pub(crate) fn new() -> Fixture {
        let fixture = Fixture::without_threads();
        fixture.engine.start();
        fixture
    }

    /// A fixture with a stream.
    pub(crate) async fn with_stream(name: &str, shard_count: u32) -> Fixture {
        let fixture = Fixture::new();
        fixture.create(name, shard_count).await;
        fixture
    }

    pub(crate) async fn create(&self, name: &str, shard_count: u32) {
        let stream_name = name.to_owned();
        let request = v1::CreateStreamRequest { stream_name, shard_count, ..Default::default() };
        self.ops.create_stream(request).await.unwrap();
    }

    pub(crate) async fn delete(&self, name: &str) {
        let stream_name = name.to_owned();
        let request = v1::DeleteStreamRequest {
            stream_name,
            enforce_consumer_deletion: true,
            ..Default::default()
        };
        self.ops.delete_stream(request).await.unwrap();
    }

    pub(crate) async fn register(&self, stream: &str, consumer: &str) -> v1::Consumer {
        let request = v1::RegisterStreamConsumerRequest {
            stream_name: stream.to_owned(),
            consumer_name: consumer.to_owned(),
            ..Default::default()
        };
        self.ops.register_stream_consumer(request).await.unwrap().consumer.unwrap()
    }

    /// Puts `count` records with distinct keys.
    pub(crate) async fn put(&self, stream: &str, count: usize) -> put::Outcome {
        let keys: Vec<String> = (0..count).map(|index| format!("key-{index}")).collect();
        let mut batch = Batch::default();
        let mut draft = batch.begin();
        for key in &keys {
            draft.push(key, None, key.as_bytes()).unwrap();
        }
        draft.finish().unwrap();
        self.ops.put_records(&Caller::anonymous(), to(stream), &batch).await.unwrap()
    }

    pub(crate) fn iterator(&self, stream: &str, start: ShardIteratorType) -> String {
        let request = iterator_request(stream, start);
        self.ops.get_shard_iterator(request).unwrap().shard_iterator
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.engine.shut_down().unwrap();
    }
}

/// A put into that stream.
pub(crate) fn to(stream: &str) -> put_records::PutHead<'_> {
    put_records::PutHead { stream: StreamFields::by_name(stream), dry_run: false }
}

fn iterator_request(stream: &str, start: ShardIteratorType) -> v1::GetShardIteratorRequest {
    v1::GetShardIteratorRequest {
        stream_name: stream.to_owned(),
        shard_id: "0".to_owned(),
        shard_iterator_type: start.into(),
        starting_sequence_number: None,
        timestamp_ms: None,
        ..Default::default()
    }
}

fn subscribe(consumer: &str, start: ShardIteratorType) -> v1::SubscribeToShardRequest {
    v1::SubscribeToShardRequest {
        stream_name: "orders".to_owned(),
        consumer_name: consumer.to_owned(),
        shard_id: "shardId-000000000000".to_owned(),
        starting_position: Some(v1::StartingPosition {
            r#type: start.into(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn get(shard_iterator: &str) -> v1::GetRecordsRequest {
    v1::GetRecordsRequest { shard_iterator: shard_iterator.to_owned(), ..Default::default() }
}

fn kind<T>(result: Result<T>) -> Kind {
    match result {
        Ok(_) => panic!("it was not refused"),
        Err(error) => error.kind,
    }
}

fn message<T>(result: Result<T>) -> String {
    match result {
        Ok(_) => panic!("it was not refused"),
        Err(error) => error.message,
    }
}

fn field<T>(result: Result<T>) -> String {
    match result {
        Ok(_) => panic!("it was not refused"),
        Err(error) => error.field.expect("a field is named").into_owned(),
    }
}
