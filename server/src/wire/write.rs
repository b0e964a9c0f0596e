//! Answers on the record paths, written straight into a buffer.
//!
//! The records of a page are on the wire already: what is written for it here are the other
//! fields, which the page's ranges follow. A protobuf message is the concatenation of
//! its fields, so the whole decodes as one message.

use anabranch_proto::v1::{ChildShard, ProduceFailure};
use bytes::{BufMut, BytesMut};
use prost::Message;

use crate::ops::get_records::RecordsPage;
use crate::ops::put::{Outcome, Part};
use crate::push::Event;

/// A field's key: its number and the type "length-delimited".
const fn delimited(number: u8) -> u8 {
    number << 3 | 2
}

/// A field's key: its number and the type "varint".
const fn number(number: u8) -> u8 {
    number << 3
}

/// Appends a `PutRecordsResponse`.
pub fn put_records_response(outcome: &Outcome, out: &mut BytesMut) {
    if !outcome.failures.is_empty() {
        out.put_u8(number(1));
        put_varint(out, outcome.failures.len() as u64);
    }
    let mut failures = outcome.failures.iter().peekable();
    for (index, sequence_number) in outcome.numbers.iter().enumerate() {
        out.put_u8(delimited(2));
        if let Some(failure) = failures.next_if(|failure| failure.index as usize == index) {
            let (code, message) = (failure.code(), failure.error.message.as_str());
            let metadata = &failure.error.metadata;
            let metadata_len: usize = metadata
                .iter()
                .map(|(name, value)| text_len(name) + text_len(value))
                .map(|pair| 1 + varint_len(pair as u64) + pair)
                .sum();
            put_varint(out, (text_len(code) + text_len(message) + metadata_len) as u64);
            put_text(out, 3, code);
            put_text(out, 4, message);
            for (name, value) in metadata {
                out.put_u8(delimited(5));
                put_varint(out, (text_len(name) + text_len(value)) as u64);
                put_text(out, 1, name);
                put_text(out, 2, value);
            }
        } else {
            // "shardId-" and twelve digits: a number of 32 bits has ten at most.
            let shard = outcome.run(index).shard.0;
            put_varint(out, (1 + varint_len(*sequence_number) + 22) as u64);
            out.put_u8(number(1));
            put_varint(out, *sequence_number);
            out.put_u8(delimited(2));
            out.put_u8(20);
            out.put_slice(b"shardId-");
            out.put_slice(&decimal_12(shard));
        }
    }
}

/// Appends a `ProduceResponse`.
pub fn produce_response(put: Part<'_>, out: &mut BytesMut) {
    put_packed(out, 1, || put.numbers.iter().copied());
    put_packed(out, 2, || put.shards().map(|shard| u64::from(shard.0)));
    for (index, failure) in put.failures() {
        let failure = ProduceFailure {
            index,
            error_code: failure.code().to_owned(),
            error_message: failure.error.message.clone(),
            error_metadata: failure
                .error
                .metadata
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
        };
        out.put_u8(delimited(3));
        put_varint(out, failure.encoded_len() as u64);
        failure.encode(out).expect("a BytesMut grows as far as it must");
    }
}

/// Appends the fields of a `GetRecordsResponse` that the records follow.
pub fn get_records_head(records: &RecordsPage, out: &mut BytesMut) {
    if !records.next_shard_iterator.is_empty() {
        put_text(out, 2, &records.next_shard_iterator);
    }
    put_number(out, 3, records.page.millis_behind);
    put_child_shards(out, &records.child_shards);
}

/// Appends the fields of a `SubscribeToShardEvent` that the records follow.
pub fn subscribe_event_head(event: &Event, out: &mut BytesMut) {
    put_number(out, 2, event.continuation_sequence_number);
    put_number(out, 3, event.page.millis_behind);
    put_child_shards(out, &event.child_shards);
}

/// Field 4 of either.
fn put_child_shards(out: &mut BytesMut, child_shards: &[ChildShard]) {
    for child in child_shards {
        out.put_u8(delimited(4));
        put_varint(out, child.encoded_len() as u64);
        child.encode(out).expect("a BytesMut grows as far as it must");
    }
}

fn text_len(text: &str) -> usize {
    1 + varint_len(text.len() as u64) + text.len()
}

fn put_text(out: &mut BytesMut, field: u8, text: &str) {
    out.put_u8(delimited(field));
    put_varint(out, text.len() as u64);
    out.put_slice(text.as_bytes());
}

/// A field of type "varint"; nothing for zero, which is what a missing one is read as.
fn put_number(out: &mut BytesMut, field: u8, value: u64) {
    if value != 0 {
        out.put_u8(number(field));
        put_varint(out, value);
    }
}

fn put_packed<I: Iterator<Item = u64>>(out: &mut BytesMut, field: u8, values: impl Fn() -> I) {
    let len: usize = values().map(varint_len).sum();
    out.reserve(len + 6);
    out.put_u8(delimited(field));
    put_varint(out, len as u64);
    for value in values() {
        put_varint(out, value);
    }
}

fn decimal_12(mut value: u32) -> [u8; 12] {
    let mut digits = [b'0'; 12];
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
    digits
}

fn varint_len(value: u64) -> usize {
    // Seven bits a byte; zero takes one.
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

fn put_varint(out: &mut BytesMut, mut value: u64) {
    // One look at the room of `out` instead of one for each byte.
    let mut bytes = [0; 10];
    let mut last = 0;
    while value >= 0x80 {
        bytes[last] = value as u8 | 0x80;
        value >>= 7;
        last += 1;
    }
    bytes[last] = value as u8;
    out.put_slice(&bytes[..=last]);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use anabranch_engine::Page;
    use anabranch_engine::ids::ShardId;
    use anabranch_engine::record::{PartitionKey, RecordView};
    use anabranch_engine::sequence::SequenceNumber;
    use anabranch_proto::v1::{
        GetRecordsResponse, ProduceResponse, PutRecordsResponse, SubscribeToShardEvent,
    };
    use bytes::Bytes;

    use super::*;
    use crate::aws::sequence::Origin;
    use crate::ops::put::{Failure, PutRun};
    use crate::ops::{Kind, OpError};

    fn outcome() -> Outcome {
        let error =
            |kind| Arc::new(OpError::new(kind, "x".repeat(200)).with("limit", "y".repeat(150)));
        let run = |shard| PutRun { shard: ShardId(shard), shard_created_ms: 1, arrival_ms: 2 };
        Outcome {
            numbers: vec![1, 127, 0, 128, u64::MAX, 0],
            run_of: (0..6).collect(),
            runs: [0, 9, 10, 999, u32::MAX, 3].map(run).to_vec(),
            failures: vec![
                Failure { index: 2, error: error(Kind::Throttled) },
                Failure { index: 5, error: error(Kind::LogHalted) },
            ],
        }
    }

    #[test]
    fn prost_decodes_the_answer_to_a_put() {
        let outcome = outcome();
        let mut out = BytesMut::new();
        put_records_response(&outcome, &mut out);
        let decoded = PutRecordsResponse::decode(out.freeze()).unwrap();
        assert_eq!(decoded.failed_record_count, 2);
        assert_eq!(decoded.records.len(), 6);
        for (index, entry) in decoded.records.iter().enumerate() {
            assert_eq!(entry.sequence_number, outcome.numbers[index]);
            if entry.sequence_number > 0 {
                assert_eq!(entry.shard_id, outcome.run(index).shard.to_string());
                assert_eq!(entry.error_code, "");
            } else {
                assert_eq!(entry.shard_id, "");
                assert_eq!(entry.error_message.len(), 200);
                assert_eq!(entry.error_metadata["limit"].len(), 150);
            }
        }
        let code = |index: usize| decoded.records[index].error_code.as_str();
        assert_eq!(code(2), "ProvisionedThroughputExceededException");
        assert_eq!(code(5), "InternalFailure");
    }

    #[test]
    fn prost_decodes_an_acknowledgement_of_produce() {
        let outcome = outcome();
        let mut out = BytesMut::new();
        produce_response(outcome.whole(), &mut out);
        let decoded = ProduceResponse::decode(out.split().freeze()).unwrap();
        assert_eq!(decoded.sequence_numbers, outcome.numbers);
        let shards: Vec<u32> = outcome.whole().shards().map(|shard| shard.0).collect();
        assert_eq!(decoded.shard_indexes, shards);
        let failed: Vec<u32> = decoded.failures.iter().map(|failure| failure.index).collect();
        assert_eq!(failed, [2, 5]);
        assert_eq!(decoded.failures[0].error_metadata["limit"].len(), 150);
        // Of several puts each is answered as if it were alone.
        produce_response(outcome.part(3..6), &mut out);
        let decoded = ProduceResponse::decode(out.freeze()).unwrap();
        assert_eq!(decoded.sequence_numbers, outcome.numbers[3..]);
        assert_eq!(decoded.shard_indexes, shards[3..]);
        assert_eq!(decoded.failures.len(), 1);
        assert_eq!(decoded.failures[0].index, 2);
    }

    fn page() -> (Page, Vec<Vec<u8>>) {
        let data: Vec<Vec<u8>> = vec![vec![], vec![1; 10], vec![2; 300]];
        let mut encoded = Vec::new();
        for (index, data) in data.iter().enumerate() {
            let key = PartitionKey::from_bytes(b"key").unwrap();
            let record = RecordView::new(key, None, data).unwrap();
            record.encode(SequenceNumber(index as u64 + 1), 1_700, &mut encoded);
        }
        let bytes = Bytes::from(encoded);
        let page = Page {
            ranges: vec![bytes.slice(..40), bytes.slice(40..)],
            records: 3,
            bytes: bytes.len(),
            next: SequenceNumber(4),
            millis_behind: 77,
            ..Page::default()
        };
        (page, data)
    }

    fn child() -> ChildShard {
        ChildShard {
            shard_id: "shardId-000000000002".to_owned(),
            parent_shards: vec!["shardId-000000000001".to_owned()],
            hash_key_range: None,
        }
    }

    #[test]
    fn prost_decodes_a_page_and_the_fields_before_it_as_one_message() {
        let (page, data) = page();
        let next_shard_iterator = "next".to_owned();
        let origin = Origin::new(ShardId(0), 1_700);
        let child_shards = vec![child()];
        let records = RecordsPage { page, origin, next_shard_iterator, child_shards };
        let mut whole = BytesMut::new();
        get_records_head(&records, &mut whole);
        whole.put_slice(&records.page.ranges.concat());
        let decoded = GetRecordsResponse::decode(&whole[..]).unwrap();
        assert_eq!(decoded.next_shard_iterator, "next");
        assert_eq!(decoded.child_shards, [child()]);
        assert_eq!(decoded.millis_behind_latest, 77);
        let decoded: Vec<_> = decoded.records.iter().map(|record| &record.data[..]).collect();
        assert_eq!(decoded, data);
    }

    #[test]
    fn prost_decodes_an_event_and_the_fields_before_it_as_one_message() {
        let (page, data) = page();
        let child_shards = vec![child()];
        let event = Event { page, continuation_sequence_number: 3, child_shards };
        let mut whole = BytesMut::new();
        subscribe_event_head(&event, &mut whole);
        whole.put_slice(&event.page.ranges.concat());
        let decoded = SubscribeToShardEvent::decode(&whole[..]).unwrap();
        assert_eq!(decoded.continuation_sequence_number, 3);
        assert_eq!(decoded.millis_behind_latest, 77);
        let numbers: Vec<u64> = decoded.records.iter().map(|r| r.sequence_number).collect();
        assert_eq!(numbers, [1, 2, 3]);
        assert_eq!(decoded.records.len(), data.len());
    }
}
