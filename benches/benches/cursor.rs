//! Walking 200,000 records of 1 KiB from the page cache, payload checksums included.

#![allow(missing_docs)]

use std::hint::black_box;

use anabranch_engine::fs::ReadMode;
use anabranch_engine::record::{PartitionKey, RecordView};
use anabranch_engine::sequence::SequenceNumber;
use anabranch_engine::{Engine, EngineOptions, Environment, ReadLimit};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const RECORDS: u64 = 200_000;
const BATCH: usize = 100;

fn walk(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("cursor_walk");
    group.throughput(Throughput::Elements(RECORDS));
    for (mode, label) in [(ReadMode::Mmap, "mmap"), (ReadMode::Pread, "pread")] {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let options = EngineOptions::new(dir.path());
        let engine = Engine::open(options, Environment::system(mode)).expect("it opens");
        engine.start();
        let name = "bench".parse().expect("a legal name");
        let stream = engine.create_stream(&name, 1).expect("it is made");
        let shard = &stream.shards()[0];
        let key = PartitionKey::from_bytes(b"key-0001").expect("a legal key");
        let data = [b'x'; 1016];
        let record = RecordView::new(key, None, &data).expect("a legal record");
        for _ in 0..RECORDS as usize / BATCH {
            let ticket = shard.append(std::iter::repeat_n(record, BATCH)).expect("there is room");
            ticket.wait().expect("durable");
        }
        // A page as a subscription reads it, and one as GetRecords does by default.
        for (bytes, page) in [(1 << 20, "1 MiB"), (2 << 20, "2 MiB")] {
            group.bench_function(format!("{label}/{page}"), |bencher| {
                bencher.iter(|| {
                    let mut cursor = shard.cursor(SequenceNumber::FIRST);
                    let mut records = 0;
                    loop {
                        let limit = ReadLimit { records: 10_000, bytes };
                        let page = black_box(cursor.read(limit).expect("it reads"));
                        if page.records == 0 {
                            break;
                        }
                        records += page.records as u64;
                    }
                    assert_eq!(records, RECORDS);
                });
            });
        }
        engine.shut_down().expect("a clean stop");
    }
}

criterion_group!(benches, walk);
criterion_main!(benches);
