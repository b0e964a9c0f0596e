//! Appending 1 KiB records: batch size by durability, and several shards at once.

#![allow(missing_docs)]

use std::hint::black_box;
use std::sync::Arc;

use anabranch_engine::fs::ReadMode;
use anabranch_engine::record::{PartitionKey, RecordView};
use anabranch_engine::{
    Durability, Engine, EngineOptions, Environment, Shard, Stream, StreamSettings,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Key and data together are 1,024 bytes.
const DATA: [u8; 1016] = [b'x'; 1016];

fn open(durability: Durability, shards: u32) -> (tempfile::TempDir, Engine, Arc<Stream>) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let options = EngineOptions { durability, ..EngineOptions::new(dir.path()) };
    let engine = Engine::open(options, Environment::system(ReadMode::Mmap)).expect("it opens");
    engine.start();
    let name = "bench".parse().expect("a legal name");
    let stream =
        engine.create_stream(&name, shards, StreamSettings::default()).expect("it is made");
    (dir, engine, stream)
}

fn append(shard: &Arc<Shard>, records: usize) -> anabranch_engine::AppendTicket {
    let key = PartitionKey::from_bytes(b"key-0001").expect("a legal key");
    let record = RecordView::new(key, None, &DATA).expect("a legal record");
    shard.append(std::iter::repeat_n(record, records)).expect("there is room")
}

/// One producer that waits for each batch.
fn one_at_a_time(criterion: &mut Criterion) {
    for (durability, label) in [(Durability::Fsync, "fsync"), (Durability::Os, "os")] {
        let mut group = criterion.benchmark_group(format!("append_one_at_a_time/{label}"));
        for records in [1, 100, 500] {
            let (_dir, engine, stream) = open(durability, 1);
            let shard = &stream.shards()[0];
            group.throughput(Throughput::Elements(records as u64));
            group.bench_function(records.to_string(), |bencher| {
                bencher.iter(|| black_box(append(shard, records).wait().expect("durable")));
            });
            engine.shut_down().expect("a clean stop");
        }
    }
}

/// Eight batches of 100 in flight over four shards.
fn eight_in_flight(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append_eight_in_flight");
    for (durability, label) in [(Durability::Fsync, "fsync"), (Durability::Os, "os")] {
        let (_dir, engine, stream) = open(durability, 4);
        group.throughput(Throughput::Elements(800));
        group.bench_function(label, |bencher| {
            bencher.iter(|| {
                let tickets: Vec<_> =
                    (0..8).map(|call| append(&stream.shards()[call % 4], 100)).collect();
                for ticket in tickets {
                    black_box(ticket.wait().expect("durable"));
                }
            });
        });
        engine.shut_down().expect("a clean stop");
    }
}

criterion_group!(benches, one_at_a_time, eight_in_flight);
criterion_main!(benches);
