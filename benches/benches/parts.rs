//! The parts of a put's path by themselves, for 100 records of 1 KiB: routing, the wire codec, and
//! checksums. None of them touches the disk.

#![allow(missing_docs)]

use std::hint::black_box;

use anabranch_engine::fs::ReadMode;
use anabranch_engine::hash_key::HashKey;
use anabranch_engine::record::{PartitionKey, RecordView};
use anabranch_engine::{Engine, EngineOptions, Environment, StreamSettings};
use anabranch_proto::v1::{ProduceRequest, PutRecordsRequestEntry};
use anabranch_server::wire::read::{Field, Fields};
use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use prost::Message;

const RECORDS: usize = 100;

/// From a partition key to the place of its shard.
fn routing(criterion: &mut Criterion) {
    let keys: Vec<String> = (0..RECORDS).map(|key| format!("{key:08}")).collect();
    let record = |key: &'static str| {
        let key = PartitionKey::from_bytes(key.as_bytes()).expect("a legal key");
        RecordView::new(key, None, b"").expect("a legal record")
    };
    let records: Vec<_> = keys.leak().iter().map(|key| record(key)).collect();
    let mut group = criterion.benchmark_group("routing");
    group.throughput(Throughput::Elements(RECORDS as u64));
    for shards in [1, 64, 1000] {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let options = EngineOptions::new(dir.path());
        let engine = Engine::open(options, Environment::system(ReadMode::Mmap)).expect("it opens");
        let name = "bench".parse().expect("a legal name");
        let stream =
            engine.create_stream(&name, shards, StreamSettings::default()).expect("it is made");
        group.bench_function(format!("{shards} shards"), |bencher| {
            bencher.iter(|| {
                for hash_key in HashKey::of_records(black_box(&records)) {
                    black_box(stream.route(hash_key));
                }
            });
        });
        group.bench_function(format!("{shards} shards, key by key"), |bencher| {
            bencher.iter(|| {
                for record in black_box(&records) {
                    black_box(stream.route(record.hash_key()));
                }
            });
        });
        engine.shut_down().expect("a clean stop");
    }
}

/// A message of `Produce`, walked where it lies as the server does, and decoded as prost does.
fn wire(criterion: &mut Criterion) {
    let entry = |number: usize| PutRecordsRequestEntry {
        data: Bytes::from(vec![b'x'; 1016]),
        partition_key: format!("{number:08}"),
        explicit_hash_key: None,
    };
    let records = (0..RECORDS).map(entry).collect();
    let request = ProduceRequest { stream_name: "bench".to_owned(), records, ..Default::default() };
    let message = Bytes::from(request.encode_to_vec());
    let mut group = criterion.benchmark_group("wire");
    group.throughput(Throughput::Elements(RECORDS as u64));
    group.bench_function("walk", |bencher| {
        bencher.iter(|| {
            let fields = Fields::new(black_box(&message));
            let entries = fields.filter(|field| matches!(field, Ok(Field::Entry(_)))).count();
            assert_eq!(entries, RECORDS);
        });
    });
    group.bench_function("prost decode", |bencher| {
        bencher.iter(|| ProduceRequest::decode(black_box(message.clone())).expect("a message"));
    });
    group.bench_function("prost encode", |bencher| {
        bencher.iter(|| black_box(&request).encode_to_vec());
    });
    group.finish();
}

/// The checksum of a frame's payload, by its length.
fn checksum(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("crc");
    for (bytes, label) in [(1 << 10, "1 KiB"), (100 << 10, "100 KiB"), (4 << 20, "4 MiB")] {
        let payload = vec![b'x'; bytes];
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(label, |bencher| {
            bencher.iter(|| crc32fast::hash(black_box(&payload)));
        });
    }
}

criterion_group!(benches, routing, wire, checksum);
criterion_main!(benches);
