//! The generated stubs, as any program has them, and short ways to use them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use anabranch_proto::v1::streams_client::StreamsClient;
use anabranch_proto::v1::{self, PutRecordsRequestEntry, ShardIteratorType};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_types::StatusExt;

pub(crate) type Stub = StreamsClient<Channel>;

/// Bytes of a message that our stubs take: more than the largest page.
const MESSAGE_BYTES_MAX: usize = 32 << 20;

/// A connection to a server.
pub(crate) async fn connect(address: SocketAddr) -> Stub {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    StreamsClient::new(endpoint.connect().await.unwrap())
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX)
}

/// What a refusal says in its details, which is all that a client may go by.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) code: Code,
    pub(crate) reason: String,
    /// The field that is at fault, where one is.
    pub(crate) field: Option<String>,
    pub(crate) values: HashMap<String, String>,
    pub(crate) retry_after: Option<Duration>,
}

impl Refusal {
    #[track_caller]
    pub(crate) fn of(status: &Status) -> Refusal {
        let details = status.get_error_details();
        let info = details.error_info().unwrap_or_else(|| panic!("no ErrorInfo: {status:?}"));
        assert_eq!(info.domain, "anabranch", "{status:?}");
        assert!(!status.message().is_empty(), "{status:?}");
        let violations = details.bad_request().map(|bad| bad.field_violations.clone());
        Refusal {
            code: status.code(),
            reason: info.reason.clone(),
            field: violations.unwrap_or_default().into_iter().next().map(|first| first.field),
            values: info.metadata.clone(),
            retry_after: details.retry_info().and_then(|info| info.retry_delay),
        }
    }

    /// Code, reason and field in one, for a comparison.
    pub(crate) fn summary(&self) -> (Code, &str, Option<&str>) {
        (self.code, &self.reason, self.field.as_deref())
    }
}

/// The refusal that a call got.
#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(answer: Result<T, Status>) -> Refusal {
    Refusal::of(&answer.expect_err("it is refused"))
}

/// INVALID_ARGUMENT, with its field.
pub(crate) fn invalid(field: &str) -> (Code, &str, Option<&str>) {
    (Code::InvalidArgument, "InvalidArgumentException", Some(field))
}

/// NOT_FOUND.
pub(crate) const NOT_FOUND: (Code, &str, Option<&str>) =
    (Code::NotFound, "ResourceNotFoundException", None);

pub(crate) async fn create(stub: &mut Stub, name: &str, shard_count: u32) {
    let request =
        v1::CreateStreamRequest { stream_name: name.to_owned(), shard_count, ..Default::default() };
    stub.create_stream(request).await.unwrap();
}

pub(crate) async fn delete(stub: &mut Stub, name: &str) {
    let request = v1::DeleteStreamRequest {
        stream_name: name.to_owned(),
        enforce_consumer_deletion: true,
        ..Default::default()
    };
    stub.delete_stream(request).await.unwrap();
}

pub(crate) async fn register(stub: &mut Stub, stream: &str, consumer: &str) {
    let request = v1::RegisterStreamConsumerRequest {
        stream_name: stream.to_owned(),
        consumer_name: consumer.to_owned(),
        ..Default::default()
    };
    stub.register_stream_consumer(request).await.unwrap();
}

pub(crate) fn entry(key: &str, data: impl Into<Vec<u8>>) -> PutRecordsRequestEntry {
    PutRecordsRequestEntry {
        data: data.into().into(),
        partition_key: key.to_owned(),
        explicit_hash_key: None,
    }
}

pub(crate) fn put_request(
    name: &str,
    records: Vec<PutRecordsRequestEntry>,
) -> v1::PutRecordsRequest {
    v1::PutRecordsRequest { stream_name: name.to_owned(), records, ..Default::default() }
}

pub(crate) fn produce_request(
    name: &str,
    records: Vec<PutRecordsRequestEntry>,
) -> v1::ProduceRequest {
    v1::ProduceRequest { stream_name: name.to_owned(), records, ..Default::default() }
}

/// Puts one record and gives its number.
pub(crate) async fn put_one(stub: &mut Stub, name: &str, data: impl Into<Vec<u8>>) -> u64 {
    let answer = stub.put_records(put_request(name, vec![entry("key", data)])).await;
    let answer = answer.unwrap().into_inner();
    assert_eq!(answer.failed_record_count, 0, "{answer:?}");
    answer.records[0].sequence_number
}

pub(crate) fn iterator_request(
    name: &str,
    shard: u32,
    kind: ShardIteratorType,
) -> v1::GetShardIteratorRequest {
    v1::GetShardIteratorRequest {
        stream_name: name.to_owned(),
        shard_id: shard.to_string(),
        shard_iterator_type: kind.into(),
        starting_sequence_number: None,
        timestamp_ms: None,
        ..Default::default()
    }
}

pub(crate) async fn iterator(
    stub: &mut Stub,
    name: &str,
    shard: u32,
    kind: ShardIteratorType,
) -> String {
    let request = iterator_request(name, shard, kind);
    stub.get_shard_iterator(request).await.unwrap().into_inner().shard_iterator
}

pub(crate) fn get(shard_iterator: &str) -> v1::GetRecordsRequest {
    v1::GetRecordsRequest { shard_iterator: shard_iterator.to_owned(), ..Default::default() }
}

/// A page, waited for where there is none yet.
pub(crate) fn wait_for(shard_iterator: &str) -> v1::GetRecordsRequest {
    v1::GetRecordsRequest { wait_ms: Some(30_000), ..get(shard_iterator) }
}

/// Waits until a shard has at least so many records, without a look at the clock.
pub(crate) async fn until_there(stub: &mut Stub, name: &str, shard: u32, count: usize) {
    let mut next = iterator(stub, name, shard, ShardIteratorType::TrimHorizon).await;
    let mut seen = 0;
    while seen < count {
        let page = stub.get_records(wait_for(&next)).await.unwrap().into_inner();
        assert!(!page.records.is_empty(), "{count} records within 30 seconds, not {seen}");
        seen += page.records.len();
        next = page.next_shard_iterator;
    }
}

/// Everything in a shard up to its tip.
pub(crate) async fn read_shard(stub: &mut Stub, name: &str, shard: u32) -> Vec<v1::Record> {
    let mut next = iterator(stub, name, shard, ShardIteratorType::TrimHorizon).await;
    let mut records = Vec::new();
    loop {
        let page = stub.get_records(get(&next)).await.unwrap().into_inner();
        let at_tip = page.records.is_empty() && page.millis_behind_latest == 0;
        records.extend(page.records);
        if at_tip {
            return records;
        }
        next = page.next_shard_iterator;
    }
}

/// How many records the shards of a stream hold together.
pub(crate) async fn count(stub: &mut Stub, name: &str, shards: u32) -> usize {
    let mut count = 0;
    for shard in 0..shards {
        count += read_shard(stub, name, shard).await.len();
    }
    count
}

pub(crate) fn subscribe_request(
    stream: &str,
    consumer: &str,
    shard: u32,
    kind: ShardIteratorType,
) -> v1::SubscribeToShardRequest {
    v1::SubscribeToShardRequest {
        stream_name: stream.to_owned(),
        consumer_name: consumer.to_owned(),
        shard_id: shard.to_string(),
        starting_position: Some(v1::StartingPosition { r#type: kind.into(), ..Default::default() }),
        ..Default::default()
    }
}

/// Asks again until it is so: for what happens in the background and announces itself nowhere.
/// The pause only keeps the asking from taking the time of what is asked about.
pub(crate) async fn eventually(mut is_so: impl AsyncFnMut() -> bool) {
    let asking = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let patience = super::process::PATIENCE;
    tokio::time::timeout(patience, asking).await.expect("it becomes so in time");
}
