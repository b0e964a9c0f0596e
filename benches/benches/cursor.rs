//! Reading 200,000 records of 1 KiB from the page cache: walks, catching up page by page, and one
//! record at the tip.

#![allow(missing_docs)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anabranch_engine::fs::ReadMode;
use anabranch_engine::record::{PartitionKey, RecordView};
use anabranch_engine::sequence::SequenceNumber;
use anabranch_engine::{
    Cursor, Durability, Engine, EngineOptions, Environment, ReadLimit, Shard, StreamSettings,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tempfile::TempDir;

const RECORDS: u64 = 200_000;
const BATCH: usize = 100;

/// A page as a subscription reads it.
const EVENT: ReadLimit = ReadLimit { records: 10_000, bytes: 1 << 20 };

/// A page as GetRecords reads it by default.
const PAGE: ReadLimit = ReadLimit { records: 10_000, bytes: 2 << 20 };

/// A page that cuts every frame, so that each border is looked at.
const CUT: ReadLimit = ReadLimit { records: BATCH - 1, bytes: 1 << 20 };

const MODES: [(ReadMode, &str); 2] = [(ReadMode::Mmap, "mmap"), (ReadMode::Pread, "pread")];

/// An engine with one shard, and where its files are.
struct Subject {
    engine: Engine,
    shard: Arc<Shard>,
    _dir: TempDir,
}

impl Subject {
    fn new(mode: ReadMode, durability: Durability) -> Subject {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let options = EngineOptions { durability, ..EngineOptions::new(dir.path()) };
        let engine = Engine::open(options, Environment::system(mode)).expect("it opens");
        engine.start();
        let name = "bench".parse().expect("a legal name");
        let stream = engine.create_stream(&name, 1, StreamSettings::default()).expect("it is made");
        let shard = Arc::clone(&stream.shards()[0]);
        Subject { engine, shard, _dir: dir }
    }

    /// One whose log has all the records.
    fn filled(mode: ReadMode) -> Subject {
        let subject = Subject::new(mode, Durability::Fsync);
        for _ in 0..RECORDS as usize / BATCH {
            subject.put(BATCH);
        }
        subject
    }

    fn put(&self, records: usize) {
        let key = PartitionKey::from_bytes(b"key-0001").expect("a legal key");
        let data = [b'x'; 1016];
        let record = RecordView::new(key, None, &data).expect("a legal record");
        let ticket = self.shard.append(std::iter::repeat_n(record, records));
        ticket.expect("there is room").wait().expect("durable");
    }

    fn first(&self) -> Cursor {
        self.shard.cursor(SequenceNumber::FIRST)
    }
}

/// To the tip, by pages that `read` reads.
fn to_the_tip(mut read: impl FnMut() -> usize) {
    let mut records = 0;
    loop {
        match black_box(read()) {
            0 => break,
            more => records += more as u64,
        }
    }
    assert_eq!(records, RECORDS);
}

fn walk(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("cursor walk");
    group.throughput(Throughput::Elements(RECORDS));
    for (mode, label) in MODES {
        let subject = Subject::filled(mode);
        for (limit, page) in [(EVENT, "1 MiB"), (PAGE, "2 MiB"), (CUT, "99 records")] {
            group.bench_function(format!("{label}/{page}"), |bencher| {
                bencher.iter(|| {
                    let mut cursor = subject.first();
                    to_the_tip(|| cursor.read(limit).expect("it reads").records);
                });
            });
        }
        group.bench_function(format!("{label}/headers and borders only"), |bencher| {
            bencher.iter(|| {
                let mut cursor = subject.first().without_checksums();
                to_the_tip(|| cursor.read(CUT).expect("it reads").records);
            });
        });
        subject.engine.shut_down().expect("a clean stop");
    }
}

/// As a chain of GetRecords reads: a cursor for each page.
fn catch_up(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("catch-up read");
    group.throughput(Throughput::Elements(RECORDS));
    for (mode, label) in MODES {
        let subject = Subject::filled(mode);
        for records in [BATCH, 1000] {
            group.bench_function(format!("{label}/{records} a page"), |bencher| {
                bencher.iter(|| {
                    let mut next = SequenceNumber::FIRST;
                    to_the_tip(|| {
                        let mut cursor = subject.shard.cursor(next).going_on();
                        let page = cursor.read(ReadLimit { records, ..PAGE }).expect("it reads");
                        cursor.leave_bookmark();
                        next = page.next;
                        page.records
                    });
                });
            });
        }
        subject.engine.shut_down().expect("a clean stop");
    }
}

/// One record that has just become visible, by a cursor that waits for it.
fn tail(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tail read");
    for (mode, label) in MODES {
        let subject = Subject::new(mode, Durability::Os);
        let mut cursor = subject.first();
        group.bench_function(label, |bencher| {
            bencher.iter_custom(|times| {
                let mut took = Duration::ZERO;
                for _ in 0..times {
                    subject.put(1);
                    let begun = Instant::now();
                    let page = cursor.read(EVENT).expect("it reads");
                    took += begun.elapsed();
                    assert_eq!(page.records, 1);
                }
                took
            });
        });
        subject.engine.shut_down().expect("a clean stop");
    }
}

criterion_group!(benches, walk, catch_up, tail);
criterion_main!(benches);
