//! Records of every size, and without a key: put, read, and found again.

use std::path::Path;
use std::sync::Arc;

use super::{World, name};
use crate::fs::Fs;
use crate::limits::{BATCH_BYTES_MAX, RECORD_BYTES_MAX};
use crate::offline::{Mode, verify};
use crate::record::{EncodedRecord, PartitionKey, RecordView};
use crate::sequence::SequenceNumber;
use crate::*;

fn put_one(engine: &Engine, shard: &Arc<Shard>, key: &str, data: &[u8]) -> SequenceNumber {
    let key = PartitionKey::from_bytes_or_none(key.as_bytes()).unwrap();
    let record = RecordView::new(key, None, data).unwrap();
    let ticket = shard.append(std::iter::once(record)).unwrap();
    while engine.commit_step() {}
    ticket.wait().unwrap().first
}

/// The pages of a shard, as (key, data) of each record.
fn pages(shard: &Arc<Shard>, limit: ReadLimit) -> Vec<Vec<(String, Vec<u8>)>> {
    let mut cursor = shard.cursor(SequenceNumber(0));
    let mut pages = Vec::new();
    loop {
        let page = cursor.read(limit).unwrap();
        if page.records == 0 {
            return pages;
        }
        let mut records = Vec::new();
        for range in &page.ranges {
            let mut rest = &range[..];
            while let Some(record) = EncodedRecord::decode(rest) {
                let key = String::from_utf8(record.key.to_vec()).unwrap();
                records.push((key, record.data.to_vec()));
                rest = &rest[record.entry_bytes..];
            }
            assert!(rest.is_empty());
        }
        pages.push(records);
    }
}

#[test]
fn a_record_of_10_mib_is_put_read_alone_and_found_after_a_power_cut() {
    let world = World::new(1);
    let engine = world.open().unwrap();
    let stream = engine.create_stream(&name("s"), 1, StreamSettings::default()).unwrap();
    let large: Vec<u8> = (0..RECORD_BYTES_MAX - 3).map(|index| (index % 251) as u8).collect();
    let expected = [
        ("key".to_owned(), b"before".to_vec()),
        ("key".to_owned(), large.clone()),
        ("key".to_owned(), b"after".to_vec()),
    ];
    for (key, data) in &expected {
        put_one(&engine, &stream.shards()[0], key, data);
    }
    let small = ReadLimit { records: 100, bytes: 1 << 20 };
    let is_alone = |pages: &[Vec<_>]| pages.len() == 3 && pages.concat() == expected;
    assert!(is_alone(&pages(&stream.shards()[0], small)));
    drop((stream, engine));
    let world = world.with(world.fs.crash());
    let fs: Arc<dyn Fs> = Arc::new(world.fs.clone());
    let report = verify(&fs, Path::new("/data"), Mode::Offline, &mut |_| {}).unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    let engine = world.open().unwrap();
    let stream = engine.stream(&name("s")).unwrap();
    assert!(is_alone(&pages(&stream.shards()[0], small)));
    // A page that has room takes them together.
    let whole = ReadLimit { records: 100, bytes: BATCH_BYTES_MAX + (1 << 20) };
    assert_eq!(pages(&stream.shards()[0], whole).len(), 1);
}

#[test]
fn records_without_a_key_are_read_as_such_and_are_no_damage() {
    let world = World::new(2);
    let engine = world.open().unwrap();
    let stream = engine.create_stream(&name("s"), 1, StreamSettings::default()).unwrap();
    let expected = [("", "a"), ("key", ""), ("", ""), ("", "b")]
        .map(|(key, data)| (key.to_owned(), data.as_bytes().to_vec()));
    for (key, data) in &expected {
        put_one(&engine, &stream.shards()[0], key, data);
    }
    let whole = ReadLimit { records: 100, bytes: 1 << 20 };
    assert_eq!(pages(&stream.shards()[0], whole).concat(), expected);
    drop((stream, engine));
    let world = world.with(world.fs.kill());
    let fs: Arc<dyn Fs> = Arc::new(world.fs.clone());
    let report = verify(&fs, Path::new("/data"), Mode::Offline, &mut |_| {}).unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    let stream = world.open().unwrap().stream(&name("s")).unwrap();
    assert_eq!(pages(&stream.shards()[0], whole).concat(), expected);
}
