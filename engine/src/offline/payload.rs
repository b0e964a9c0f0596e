//! Is a payload, whose checksum is right, the run of records that its frame's header promises?

use crate::log::frame::FrameHeader;
use crate::record::{EncodedRecord, PartitionKey};

/// What is wrong with the payload, if anything is.
pub(super) fn check(header: &FrameHeader, payload: &[u8]) -> Option<&'static str> {
    let mut rest = payload;
    let mut expected = header.base;
    let mut arrival_ms = header.first_arrival_ms;
    while !rest.is_empty() {
        let Some(record) = EncodedRecord::decode(rest) else {
            return Some("a payload that is no run of records");
        };
        if record.sequence != expected {
            return Some("a record with another sequence number than its place");
        }
        let is_first = expected == header.base;
        if record.arrival_ms < arrival_ms || (is_first && record.arrival_ms != arrival_ms) {
            return Some("a record with an arrival time that falls");
        }
        if PartitionKey::from_bytes_or_none(record.key).is_err() {
            return Some("a record whose partition key is not valid");
        }
        arrival_ms = record.arrival_ms;
        expected = expected.next();
        rest = &rest[record.entry_bytes..];
    }
    if expected != header.next() {
        return Some("a payload with another number of records than its header says");
    }
    (arrival_ms != header.last_arrival_ms)
        .then_some("a last record with another arrival time than its header says")
}
