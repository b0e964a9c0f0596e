//! As much of Kafka's protocol as it takes to make a topic and to put batches into it.
//!
//! ```text
//!   request   length i32 | key i16 | version i16 | correlation i32 | client string | body
//!   answer    length i32 | correlation i32 | body
//! ```
//!
//! Integers are big endian; a string is an i16 and as many bytes. Both requests are in versions
//! that brokers have answered since 2.0 and still do.

use anyhow::{Context, Result, ensure};
use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::super::super::load::Wire;

const PRODUCE: (i16, i16) = (0, 3);
const CREATE_TOPICS: (i16, i16) = (19, 2);

/// Bytes in front of a message: its length.
const LENGTH_BYTES: usize = 4;

/// Milliseconds that a broker has for a request.
const TIMEOUT_MS: i32 = 30_000;

/// Bytes of a record batch in front of what its checksum covers: base offset, length, epoch of
/// the leader, magic, checksum.
const UNCHECKED_BYTES: usize = 8 + 4 + 4 + 1 + 4;

/// Some time in 2023; a producer stamps its records.
const TIMESTAMP_MS: i64 = 1_700_000_000_000;

/// A topic to be made.
pub(super) struct Topic<'a> {
    pub(super) name: &'a str,
    pub(super) partitions: i32,
    /// Messages after which a log is synced, before they are acknowledged; else it is not.
    pub(super) flush_messages: Option<u32>,
}

impl Topic<'_> {
    /// The request that makes it.
    pub(super) fn creation(&self) -> Bytes {
        request(CREATE_TOPICS, |body| {
            body.put_i32(1);
            put_string(body, self.name);
            body.put_i32(self.partitions);
            // One replica, wherever.
            body.put_i16(1);
            body.put_i32(0);
            body.put_i32(i32::from(self.flush_messages.is_some()));
            if let Some(messages) = self.flush_messages {
                put_string(body, "flush.messages");
                put_string(body, &messages.to_string());
            }
            body.put_i32(TIMEOUT_MS);
            // Really: not a rehearsal.
            body.put_u8(0);
        })
    }
}

/// Requests that put a batch each.
pub(super) struct Batches {
    requests: Vec<Bytes>,
}

impl Batches {
    pub(super) fn new(topic: &Topic<'_>, records: usize) -> Batches {
        let mut number = 0;
        let runs = super::super::encoded(records, |key, data| {
            number += 1;
            record((number - 1) % records as i64, key.as_bytes(), data)
        });
        let requests = runs.iter().zip(0..).map(|(run, batch): (_, i32)| {
            request(PRODUCE, |body| {
                // No transaction; acknowledged by all replicas.
                body.put_i16(-1);
                body.put_i16(-1);
                body.put_i32(TIMEOUT_MS);
                body.put_i32(1);
                put_string(body, topic.name);
                body.put_i32(1);
                body.put_i32(batch % topic.partitions);
                let batch = record_batch(records as i32, run);
                body.put_i32(batch.len() as i32);
                body.put_slice(&batch);
            })
        });
        Batches { requests: requests.collect() }
    }

    pub(super) fn first(&self) -> Bytes {
        self.requests[0].clone()
    }
}

impl Wire for Batches {
    fn batches(&self) -> &[Bytes] {
        &self.requests
    }

    /// An answer is for a batch.
    fn acknowledged(&self, replies: &mut BytesMut) -> Result<usize> {
        let mut batches = 0;
        while let Some(length) = replies.first_chunk::<LENGTH_BYTES>() {
            let end = LENGTH_BYTES + u32::from_be_bytes(*length) as usize;
            if replies.len() < end {
                break;
            }
            check_produced(&replies[LENGTH_BYTES..end])?;
            replies.advance(end);
            batches += 1;
        }
        Ok(batches * super::super::BATCH)
    }
}

/// correlation, topics (1), name, error, message
pub(super) fn check_created(mut answer: &[u8]) -> Result<()> {
    // How long it was throttled stands between.
    answer.try_get_i32()?;
    answer.try_get_i32()?;
    skip_topic(&mut answer)?;
    let error = answer.try_get_i16()?;
    ensure!(error == 0, "kafka made no topic: error {error} of its protocol");
    Ok(())
}

/// correlation, topics (1), name, partitions (1), index, error
pub(super) fn check_produced(mut answer: &[u8]) -> Result<()> {
    answer.try_get_i32()?;
    skip_topic(&mut answer)?;
    answer.try_get_i32()?;
    answer.try_get_i32()?;
    let error = answer.try_get_i16()?;
    ensure!(error == 0, "kafka refused a batch: error {error} of its protocol");
    Ok(())
}

fn skip_topic(answer: &mut &[u8]) -> Result<()> {
    ensure!(answer.try_get_i32()? == 1, "kafka answers for a topic that was not asked for");
    let name = answer.try_get_i16()? as usize;
    *answer = answer.get(name..).context("kafka's answer ends in a name")?;
    Ok(())
}

fn request((key, version): (i16, i16), put_body: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut message = vec![0; LENGTH_BYTES];
    message.put_i16(key);
    message.put_i16(version);
    message.put_i32(0);
    put_string(&mut message, "ceilings");
    put_body(&mut message);
    let length = (message.len() - LENGTH_BYTES) as u32;
    message[..LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
    message.into()
}

fn put_string(bytes: &mut Vec<u8>, text: &str) {
    bytes.put_i16(text.len() as i16);
    bytes.put_slice(text.as_bytes());
}

/// Records as they are stored, behind their common header.
fn record_batch(count: i32, records: &[u8]) -> Vec<u8> {
    let mut checked = Vec::new();
    // Attributes: not compressed.
    checked.put_i16(0);
    checked.put_i32(count - 1);
    checked.put_i64(TIMESTAMP_MS);
    checked.put_i64(TIMESTAMP_MS);
    // No producer that could repeat itself: id, epoch, sequence.
    checked.put_i64(-1);
    checked.put_i16(-1);
    checked.put_i32(-1);
    checked.put_i32(count);
    checked.put_slice(records);
    let mut batch = Vec::with_capacity(UNCHECKED_BYTES + checked.len());
    batch.put_i64(0);
    // What follows the length.
    batch.put_i32((UNCHECKED_BYTES - 12 + checked.len()) as i32);
    batch.put_i32(-1);
    batch.put_i8(2);
    batch.put_u32(crc32c(&checked));
    batch.put_slice(&checked);
    batch
}

fn record(number: i64, key: &[u8], data: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(data.len() + 32);
    body.put_i8(0);
    put_varint(&mut body, 0);
    put_varint(&mut body, number);
    put_varint(&mut body, key.len() as i64);
    body.put_slice(key);
    put_varint(&mut body, data.len() as i64);
    body.put_slice(data);
    // Headers.
    put_varint(&mut body, 0);
    let mut record = Vec::with_capacity(body.len() + 2);
    put_varint(&mut record, body.len() as i64);
    record.put_slice(&body);
    record
}

/// Zigzag, seven bits a byte, the lowest first.
fn put_varint(bytes: &mut Vec<u8>, number: i64) {
    let mut rest = ((number << 1) ^ (number >> 63)) as u64;
    while rest >= 0x80 {
        bytes.put_u8(rest as u8 | 0x80);
        rest >>= 7;
    }
    bytes.put_u8(rest as u8);
}

/// CRC-32C, bit by bit: each batch is encoded once.
fn crc32c(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let step = |crc: u32| (crc >> 1) ^ if crc & 1 == 1 { POLYNOMIAL } else { 0 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_castagnolis() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn numbers_are_as_long_as_they_need_to_be() {
        let bytes = |number| {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, number);
            bytes
        };
        assert_eq!(bytes(0), [0]);
        assert_eq!(bytes(-1), [1]);
        assert_eq!(bytes(1016), [0xf0, 0x0f]);
    }

    #[test]
    fn answers_are_counted_and_refusals_are_told() {
        let answer = |error: i16| {
            let mut bytes = Vec::new();
            bytes.put_i32(0);
            bytes.put_i32(1);
            put_string(&mut bytes, "load");
            bytes.put_i32(1);
            bytes.put_i32(3);
            bytes.put_i16(error);
            bytes.put_slice(&[0; 20]);
            [&(bytes.len() as u32).to_be_bytes()[..], &bytes].concat()
        };
        let topic = Topic { name: "load", partitions: 4, flush_messages: Some(1) };
        let batches = Batches::new(&topic, 2);
        let mut replies = BytesMut::new();
        let mut records = 0;
        for byte in [answer(0), answer(0)].concat() {
            replies.extend_from_slice(&[byte]);
            records += batches.acknowledged(&mut replies).unwrap();
        }
        assert_eq!(records, 2 * super::super::super::BATCH);
        assert!(batches.acknowledged(&mut BytesMut::from(&answer(3)[..])).is_err());
    }
}
