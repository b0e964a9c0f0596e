//! The calls of an AWS SDK, from a client that does not parse: bodies are written before, one call
//! at a time on each connection, and of an answer only what a byte search finds is read.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::{Buf, Bytes, BytesMut};
use memchr::memmem;
use tokio::task::JoinSet;

use super::super::child::Child;
use super::encoding::{Encoding, Value, records};
use super::http::{Connection, request, write_request};
use super::put::{Puts, finish};
use super::read::{SHARD, consumer_arn, since};
use super::{Outcome, STREAM, Tally, Window, cpu_seconds};

/// Records of a call of PutRecords, which is the most it may have, and of a page.
pub(in super::super) const CALL_RECORDS: usize = 500;

/// Bodies that are made before and sent again and again: 8,000 keys.
const BODIES: usize = 16;

/// How long a peer's stream has until it is there.
const CREATION_TIME: Duration = Duration::from_secs(20);

/// Bytes of a frame of an event stream, at most.
const FRAME_BYTES_MAX: usize = 32 << 20;

/// By calls of PutRecords.
pub(in super::super) async fn put_by_kinesis(
    child: &Child,
    encoding: Encoding,
    puts: Puts,
) -> Result<Outcome> {
    let headers = headers(child, "PutRecords", encoding);
    let requests: Arc<[Bytes]> =
        (0..BODIES).map(|number| request(&headers, &put_body(encoding, number, puts))).collect();
    let connections = open(child, puts.connections).await?;
    let window = Window::open(puts.seconds);
    let mut parts = JoinSet::new();
    for (mut number, mut connection) in connections.into_iter().enumerate() {
        let requests = Arc::clone(&requests);
        parts.spawn(async move {
            let mut tally = Tally::new();
            while !window.is_over() {
                let sent = Instant::now();
                let answer = connection.call(&requests[number % requests.len()]).await?;
                ensure!(encoding.has_put_all(answer), "records were refused");
                tally.note(window, sent, puts.batch);
                number += 1;
            }
            Ok(tally)
        });
    }
    finish(child, window, parts).await
}

fn put_body(encoding: Encoding, number: usize, puts: Puts) -> Vec<u8> {
    let record = |key: usize| {
        Value::Map(vec![
            ("Data", Value::Bytes(vec![b'x'; puts.data_bytes])),
            ("PartitionKey", Value::Text(format!("{key:08}"))),
        ])
    };
    let keys = number * puts.batch..(number + 1) * puts.batch;
    encoding.write(&Value::Map(vec![
        ("StreamName", Value::Text(STREAM.to_owned())),
        ("Records", Value::List(keys.map(record).collect())),
    ]))
}

/// By so many readers, each on a connection of its own, that page through the first shard with
/// GetRecords, from the start again when they are at the tip.
pub(in super::super) async fn get_by_kinesis(
    child: &Child,
    encoding: Encoding,
    readers: usize,
    seconds: f64,
) -> Result<Outcome> {
    let headers: Arc<str> = headers(child, "GetRecords", encoding).into();
    let first: Arc<str> = oldest(child, encoding).await?.into();
    let connections = open(child, readers).await?;
    let window = Window::open(seconds);
    let mut parts = JoinSet::new();
    for mut connection in connections {
        let (headers, first) = (Arc::clone(&headers), Arc::clone(&first));
        parts.spawn(async move {
            let (mut tally, mut iterator) = (Tally::new(), first.to_string());
            let mut request = BytesMut::new();
            while !window.is_over() {
                let body = encoding.write(&Value::Map(vec![
                    ("ShardIterator", Value::Text(iterator)),
                    ("Limit", Value::Count(CALL_RECORDS as u64)),
                ]));
                write_request(&mut request, &headers, &body);
                let sent = Instant::now();
                let page = connection.call(&request).await?;
                let read = records(page);
                tally.note(window, sent, read);
                iterator = match encoding.text(page, "NextShardIterator") {
                    Some(next) if read == CALL_RECORDS => next,
                    _ => first.to_string(),
                };
            }
            Ok(tally)
        });
    }
    Ok(Outcome { disk: None, ..finish(child, window, parts).await? })
}

async fn oldest(child: &Child, encoding: Encoding) -> Result<String> {
    let body = encoding.write(&Value::Map(vec![
        ("StreamName", Value::Text(STREAM.to_owned())),
        ("ShardId", Value::Text(SHARD.to_owned())),
        ("ShardIteratorType", Value::Text("TRIM_HORIZON".to_owned())),
    ]));
    let request = request(&headers(child, "GetShardIterator", encoding), &body);
    let mut connection = Connection::open(child.address()).await?;
    let answer = connection.call(&request).await?;
    encoding.text(answer, "ShardIterator").context("no iterator")
}

/// By SubscribeToShard of the first shard: pushed from the oldest record on, until `records` have
/// come. Nobody asks a server that does nothing for a consumer.
pub(in super::super) async fn subscribe_by_kinesis(
    child: &Child,
    is_null: bool,
    wanted: u64,
) -> Result<Outcome> {
    let consumer = if is_null { String::new() } else { consumer_arn(child, "kinesis").await? };
    let from = Value::Map(vec![("Type", Value::Text("TRIM_HORIZON".to_owned()))]);
    let body = Encoding::Json.write(&Value::Map(vec![
        ("ConsumerARN", Value::Text(consumer)),
        ("ShardId", Value::Text(SHARD.to_owned())),
        ("StartingPosition", from),
    ]));
    let request = request(&headers(child, "SubscribeToShard", Encoding::Json), &body);
    let connection = Connection::open(child.address()).await?;
    let before = (child.cpu_seconds()?, cpu_seconds("self")?);
    let begun = Instant::now();
    let mut chunks = connection.stream(&request).await?;
    let (mut frames, mut read) = (BytesMut::new(), 0);
    while read < wanted {
        ensure!(chunks.read(&mut frames).await?, "the events ended after {read} records");
        while let Some(records) = frame(&mut frames)? {
            read += records as u64;
        }
    }
    since(child, before, begun, read)
}

/// Takes the first frame of an event stream, once all of it is there: how many records it has.
fn frame(frames: &mut BytesMut) -> Result<Option<usize>> {
    let Some(length) = frames.first_chunk() else { return Ok(None) };
    let length = u32::from_be_bytes(*length) as usize;
    ensure!((16..=FRAME_BYTES_MAX).contains(&length), "a frame of {length} bytes");
    let Some(frame) = frames.get(..length) else { return Ok(None) };
    // The headers come first, and are short.
    if memmem::find(&frame[..length.min(256)], b":exception-type").is_some() {
        bail!("the events ended: {}", String::from_utf8_lossy(frame));
    }
    let records = records(frame);
    frames.advance(length);
    Ok(Some(records))
}

/// Makes the stream that is put into, as a client of this API does, and waits until it is there.
pub(in super::super) async fn create_by_kinesis(child: &Child, shards: u32) -> Result<()> {
    let call = |operation, members: Vec<(&'static str, Value)>| {
        let mut all = vec![("StreamName", Value::Text(STREAM.to_owned()))];
        all.extend(members);
        let body = Encoding::Json.write(&Value::Map(all));
        request(&headers(child, operation, Encoding::Json), &body)
    };
    let mut connection = Connection::open(child.address()).await?;
    let shards = Value::Count(u64::from(shards));
    connection.call(&call("CreateStream", vec![("ShardCount", shards)])).await?;
    let begun = Instant::now();
    let describe = call("DescribeStreamSummary", Vec::new());
    loop {
        let answer = connection.call(&describe).await?;
        if memmem::find(answer, b"\"StreamStatus\":\"ACTIVE\"").is_some() {
            return Ok(());
        }
        ensure!(begun.elapsed() < CREATION_TIME, "the stream was not made in time");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn open(child: &Child, connections: usize) -> Result<Vec<Connection>> {
    let mut all = Vec::new();
    for _ in 0..connections {
        all.push(Connection::open(child.address()).await?);
    }
    Ok(all)
}

/// The headers of a call, but for the length of its body. Without a file of credentials a
/// signature has to be well-formed, and is not verified.
fn headers(child: &Child, operation: &str, encoding: Encoding) -> String {
    let now = jiff::Timestamp::now();
    let (day, time) = (now.strftime("%Y%m%d"), now.strftime("%Y%m%dT%H%M%SZ"));
    format!(
        "host: {}\r\n\
         content-type: {}\r\n\
         x-amz-target: Kinesis_20131202.{operation}\r\n\
         x-amz-date: {time}\r\n\
         authorization: AWS4-HMAC-SHA256 \
         Credential=AKIAIOSFODNN7EXAMPLE/{day}/us-east-1/kinesis/aws4_request, \
         SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature={:064}\r\n",
        child.address(),
        encoding.content_type(),
        0
    )
}

#[cfg(test)]
mod tests {
    use super::super::DATA_BYTES;
    use super::*;

    #[test]
    fn frames_are_taken_once_they_are_whole() {
        let payload = br#"{"Records":[{"PartitionKey":"a"},{"PartitionKey":"b"}]}"#;
        let mut whole = (16 + payload.len() as u32).to_be_bytes().to_vec();
        whole.extend_from_slice(&[0; 8]);
        whole.extend_from_slice(payload);
        whole.extend_from_slice(&[0; 4]);
        let mut frames = BytesMut::new();
        let mut taken = Vec::new();
        for byte in whole.repeat(2) {
            frames.extend_from_slice(&[byte]);
            taken.extend(frame(&mut frames).unwrap());
        }
        assert_eq!(taken, [2, 2]);
        assert!(frames.is_empty());
        let mut short = BytesMut::from(&[0, 0, 0, 4][..]);
        assert!(frame(&mut short).is_err());
    }

    #[test]
    fn a_body_has_keys_of_its_own() {
        let puts = Puts { batch: 2, in_flight: 1, connections: 1, data_bytes: 3, seconds: 1.0 };
        assert_eq!(
            put_body(Encoding::Json, 1, puts),
            br#"{"StreamName":"load","Records":[{"Data":"eHh4","PartitionKey":"00000002"},{"Data":"eHh4","PartitionKey":"00000003"}]}"#
        );
        assert_eq!(DATA_BYTES + "00000002".len(), 1024);
    }
}
