//! Opening a data directory after a clean stop: by what is stored, and by the number of shards.

#![allow(missing_docs)]

use std::hint::black_box;
use std::path::Path;

use anabranch_engine::fs::ReadMode;
use anabranch_engine::record::{PartitionKey, RecordView};
use anabranch_engine::{Durability, Engine, EngineOptions, Environment, StreamSettings};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

const BATCH: u64 = 100;

fn open(dir: &Path) -> Engine {
    // What is measured is opening: nobody waits for a sync while it is filled.
    let options = EngineOptions { durability: Durability::Os, ..EngineOptions::new(dir) };
    Engine::open(options, Environment::system(ReadMode::Mmap)).expect("it opens")
}

fn fill(dir: &Path, shards: u32, mib: u64) {
    let engine = open(dir);
    engine.start();
    let name = "bench".parse().expect("a legal name");
    let stream =
        engine.create_stream(&name, shards, StreamSettings::default()).expect("it is made");
    let key = PartitionKey::from_bytes(b"key-0001").expect("a legal key");
    let data = [b'x'; 1016];
    let record = RecordView::new(key, None, &data).expect("a legal record");
    let batches = (mib << 10).div_ceil(BATCH).max(u64::from(shards));
    for batch in 0..batches {
        let shard = &stream.shards()[(batch % u64::from(shards)) as usize];
        let ticket = shard.append(std::iter::repeat_n(record, BATCH as usize));
        ticket.expect("there is room").wait().expect("written");
    }
    engine.shut_down().expect("a clean stop");
}

fn measure(criterion: &mut Criterion, group: &str, sizes: &[(u32, u64)]) {
    let mut group = criterion.benchmark_group(group);
    group.sample_size(20);
    for (shards, mib) in sizes {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fill(dir.path(), *shards, *mib);
        let at = BenchmarkId::from_parameter(format!("{shards} shards, {mib} MiB"));
        group.bench_function(at, |bencher| {
            bencher.iter_with_large_drop(|| black_box(open(dir.path())));
        });
    }
}

fn by_size(criterion: &mut Criterion) {
    measure(criterion, "open_by_size", &[(1, 16), (1, 256), (1, 1024)]);
}

fn by_shards(criterion: &mut Criterion) {
    measure(criterion, "open_by_shards", &[(1, 64), (64, 64), (1000, 64)]);
}

criterion_group!(benches, by_size, by_shards);
criterion_main!(benches);
