use std::collections::BTreeSet;

use anabranch_engine::fs::ReadMode;
use anabranch_engine::sequence::SequenceNumber;
use anabranch_engine::{EngineOptions, Environment};

use super::*;
use crate::ops::Kind;

fn metrics() -> (tempfile::TempDir, Metrics) {
    let data = tempfile::tempdir().unwrap();
    let options = EngineOptions::new(data.path());
    let engine = Engine::open(options, Environment::system(ReadMode::Mmap)).unwrap();
    let quotas = anabranch_engine::settings::QuotaProfile::Open;
    let throughput = Throughput::new(engine.clone(), quotas, String::new());
    (data, Metrics::new(engine, Durability::Fsync, throughput))
}

/// The names that a scrape describes, with their types.
fn described(text: &str) -> BTreeSet<(String, String)> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types
        .map(|line| line.split_once(' ').unwrap())
        .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
        .collect()
}

/// The names that docs/metrics.md lists, with their types: the first two columns of its tables.
fn documented() -> BTreeSet<(String, String)> {
    let text = include_str!("../../../docs/metrics.md");
    let rows = text.lines().filter(|line| line.starts_with("| `anabranch_"));
    rows.map(|row| {
        let mut cells = row.split('|').map(|cell| cell.trim().trim_matches('`'));
        let (_, name, kind) = (cells.next(), cells.next().unwrap(), cells.next().unwrap());
        (name.to_owned(), kind.to_owned())
    })
    .collect()
}

#[test]
fn every_metric_is_documented_and_every_documented_metric_exists() {
    let (_data, metrics) = metrics();
    assert_eq!(described(&metrics.encode()), documented());
}

#[test]
fn calls_are_counted_by_operation_and_outcome() {
    let (_data, metrics) = metrics();
    let call = metrics.call(Operation::PutRecords);
    assert!(metrics.encode().contains("anabranch_requests_in_flight 1"));
    call.ended();
    drop(call);
    for kind in Kind::all() {
        let call = metrics.call(Operation::GetRecords);
        call.refused(kind);
    }
    let text = metrics.encode();
    for line in [
        "anabranch_requests_in_flight 0",
        "anabranch_requests_total{operation=\"PutRecords\",outcome=\"OK\"} 1",
        "anabranch_requests_total{operation=\"GetRecords\",outcome=\"DataLossException\"} 1",
        "anabranch_requests_total{operation=\"GetRecords\",outcome=\"ResourceInUseException\"} 2",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[test]
fn the_iterator_age_is_the_largest_since_the_last_scrape() {
    let (_data, metrics) = metrics();
    for millis_behind in [1500, 20] {
        metrics.read(&Page {
            ranges: Vec::new(),
            records: 1,
            bytes: 10,
            next: SequenceNumber(2),
            millis_behind,
            ..Page::default()
        });
    }
    let text = metrics.encode();
    assert!(text.contains("anabranch_iterator_age_max_seconds 1.5"), "{text}");
    assert!(text.contains("anabranch_read_bytes_total 20"), "{text}");
    let text = metrics.encode();
    assert!(text.contains("anabranch_iterator_age_max_seconds 0"), "{text}");
}

#[test]
fn operations_are_found_by_their_name_and_stand_in_order() {
    for (index, operation) in Operation::ALL.into_iter().enumerate() {
        assert_eq!(operation as usize, index);
        assert_eq!(Operation::of_name(operation.name()), Some(operation));
    }
}

#[test]
fn every_call_of_the_api_is_an_operation() {
    let api = include_str!("../../../proto/proto/anabranch/v1/anabranch.proto");
    let calls = api.lines().filter_map(|line| line.strip_prefix("  rpc "));
    let calls: BTreeSet<&str> = calls.map(|call| call.split_once('(').unwrap().0).collect();
    let operations = Operation::ALL.iter().map(|operation| operation.name());
    assert_eq!(calls, operations.collect());
}

#[test]
fn an_acknowledgement_falls_into_a_bucket_in_seconds() {
    let (_data, metrics) = metrics();
    metrics.acknowledged(Duration::from_micros(250), 1);
    let text = metrics.encode();
    for line in [
        "anabranch_put_duration_seconds_bucket{le=\"0.0002\"} 0",
        "anabranch_put_duration_seconds_bucket{le=\"0.0003\"} 1",
        "anabranch_put_duration_seconds_bucket{le=\"+Inf\"} 1",
        "anabranch_put_duration_seconds_count 1",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}
