//! The door, called as a service by the generated client and by hand-made requests.

mod operations;
mod signing;

use std::pin::pin;

use anabranch_engine::StreamSettings;
use anabranch_engine::hash_key::HashKey;
use anabranch_engine::record::PartitionKey;
use anabranch_proto::v1::streams_client::StreamsClient;
use anabranch_proto::v1::{self, ProduceRequest, PutRecordsRequestEntry, ShardIteratorType};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use prost::Message;
use tokio::sync::mpsc;
use tokio_stream_like::receiver;
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_types::StatusExt;
use tower::ServiceExt;

use super::*;
use crate::ops::StreamFields;
use crate::ops::tests::Fixture;

/// A channel's receiver as a stream.
mod tokio_stream_like {
    use futures_util::Stream;
    use tokio::sync::mpsc::UnboundedReceiver;

    pub(super) fn receiver<T>(mut channel: UnboundedReceiver<T>) -> impl Stream<Item = T> {
        futures_util::stream::poll_fn(move |cx| channel.poll_recv(cx))
    }
}

async fn client(fixture: &Fixture) -> StreamsClient<Routes> {
    StreamsClient::new(routes(fixture.ops.clone()).await)
}

fn entries(range: std::ops::Range<usize>) -> Vec<PutRecordsRequestEntry> {
    let entry = |index| PutRecordsRequestEntry {
        data: format!("data-{index}").into(),
        partition_key: format!("key-{index}"),
        explicit_hash_key: None,
    };
    range.map(entry).collect()
}

fn produce_request(name: &str, range: std::ops::Range<usize>) -> ProduceRequest {
    ProduceRequest { stream_name: name.to_owned(), records: entries(range), ..Default::default() }
}

fn reason(status: &Status) -> String {
    let details = status.get_error_details();
    let info = details.error_info().expect("every refusal has a reason");
    assert_eq!(info.domain, "anabranch");
    info.reason.clone()
}

fn framed(message: &[u8]) -> Vec<u8> {
    let mut out = vec![0];
    out.extend_from_slice(&(message.len() as u32).to_be_bytes());
    out.extend_from_slice(message);
    out
}

fn request(path: &str, body: Vec<u8>) -> Request<Body> {
    let frames = stream::iter([Ok::<_, Status>(Frame::data(Bytes::from(body)))]);
    Request::post(path)
        .header("content-type", "application/grpc")
        .body(Body::new(StreamBody::new(frames)))
        .unwrap()
}

async fn send(routes: &Routes, request: Request<Body>) -> Response<Body> {
    routes.clone().oneshot(request).await.unwrap()
}

/// The status of a response, wherever it stands.
async fn status_of(response: Response<Body>) -> Status {
    if let Some(status) = Status::from_header_map(response.headers()) {
        return status;
    }
    let body = response.into_body().collect().await.unwrap();
    Status::from_header_map(body.trailers().expect("trailers")).expect("a status")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_generated_client_puts_and_reads_back() {
    let fixture = Fixture::with_stream("orders", 1).await;
    let mut client = client(&fixture).await;
    let put = v1::PutRecordsRequest {
        stream_name: "orders".to_owned(),
        records: entries(0..500),
        ..Default::default()
    };
    let answer = client.put_records(put).await.unwrap().into_inner();
    assert_eq!(answer.failed_record_count, 0);
    let numbers: Vec<u64> = answer.records.iter().map(|entry| entry.sequence_number).collect();
    assert_eq!(numbers, (1..=500).collect::<Vec<_>>());
    let shard_iterator = fixture.iterator("orders", ShardIteratorType::TrimHorizon);
    let get = v1::GetRecordsRequest { shard_iterator, ..Default::default() };
    let page = client.get_records(get).await.unwrap().into_inner();
    assert_eq!(page.records.len(), 500);
    for (index, record) in page.records.iter().enumerate() {
        assert_eq!(record.sequence_number, index as u64 + 1);
        assert_eq!(record.data, format!("data-{index}"));
        assert_eq!(record.partition_key, format!("key-{index}"));
    }
    assert_eq!(page.millis_behind_latest, 0);
    assert!(!page.next_shard_iterator.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_carry_status_reason_and_field() {
    let fixture = Fixture::with_stream("orders", 1).await;
    let mut client = client(&fixture).await;
    let put = |name: &str, records| v1::PutRecordsRequest {
        stream_name: name.to_owned(),
        records,
        ..Default::default()
    };
    let missing = client.put_records(put("missing", entries(0..1))).await.unwrap_err();
    assert_eq!((missing.code(), reason(&missing).as_str()), {
        (Code::NotFound, "ResourceNotFoundException")
    });
    let empty = client.put_records(put("orders", Vec::new())).await.unwrap_err();
    assert_eq!(empty.code(), Code::InvalidArgument);
    let details = empty.get_error_details();
    assert_eq!(details.bad_request().unwrap().field_violations[0].field, "records");
    let taken = v1::CreateStreamRequest {
        stream_name: "orders".to_owned(),
        shard_count: 1,
        ..Default::default()
    };
    let taken = client.create_stream(taken).await.unwrap_err();
    assert_eq!((taken.code(), reason(&taken).as_str()), {
        (Code::AlreadyExists, "ResourceInUseException")
    });
    // Nothing of the refused batches was appended.
    let stream = fixture.ops.stream(StreamFields::by_name("orders")).unwrap();
    assert_eq!(stream.shards()[0].watermarks().durable.0, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledgements_come_in_the_order_of_the_requests() {
    let fixture = Fixture::with_stream("orders", 4).await;
    let mut client = client(&fixture).await;
    let requests: Vec<_> = (0..300)
        .map(|index| produce_request(if index == 0 { "orders" } else { "" }, index..index + 10))
        .collect();
    let answers = client.produce(stream::iter(requests)).await.unwrap().into_inner();
    let answers: Vec<_> = answers.map(Result::unwrap).collect().await;
    assert_eq!(answers.len(), 300);
    let mut next = [1; 4];
    for answer in answers {
        assert!(answer.failures.is_empty());
        assert_eq!(answer.sequence_numbers.len(), 10);
        for (number, shard) in answer.sequence_numbers.iter().zip(&answer.shard_indexes) {
            let next = &mut next[*shard as usize];
            assert_eq!(number, next);
            *next += 1;
        }
    }
    assert_eq!(next.iter().sum::<u64>(), 4 + 3000);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_need_not_wait_for_answers_nor_answers_for_the_end() {
    let fixture = Fixture::with_stream("orders", 1).await;
    let mut client = client(&fixture).await;
    let (requests, channel) = mpsc::unbounded_channel();
    requests.send(produce_request("orders", 0..1)).unwrap();
    let mut answers = client.produce(receiver(channel)).await.unwrap().into_inner();
    assert_eq!(answers.next().await.unwrap().unwrap().sequence_numbers, [1]);
    requests.send(produce_request("orders", 1..3)).unwrap();
    assert_eq!(answers.next().await.unwrap().unwrap().sequence_numbers, [2, 3]);
    drop(requests);
    assert!(answers.next().await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_request_ends_the_call_after_the_earlier_acknowledgements() {
    let fixture = Fixture::with_stream("orders", 1).await;
    fixture.create("other", 1).await;
    let mut client = client(&fixture).await;
    let bad = [
        produce_request("other", 0..1),
        produce_request("orders", 0..0),
        ProduceRequest {
            stream_name: String::new(),
            records: vec![PutRecordsRequestEntry::default()],
            ..Default::default()
        },
    ];
    for bad in bad {
        let requests = [produce_request("orders", 0..1), bad, produce_request("orders", 0..1)];
        let answers = client.produce(stream::iter(requests)).await.unwrap().into_inner();
        let answers: Vec<_> = answers.collect().await;
        assert_eq!(answers.len(), 2);
        assert_eq!(answers[0].as_ref().unwrap().sequence_numbers.len(), 1);
        assert_eq!(answers[1].as_ref().unwrap_err().code(), Code::InvalidArgument);
    }
    // The request behind the bad one was not put.
    let stream = fixture.ops.stream(StreamFields::by_name("orders")).unwrap();
    assert_eq!(stream.shards()[0].watermarks().durable.0, 4);
}

/// Sets the size of the largest record of a stream.
fn allow_kib(fixture: &Fixture, name: &str, max_record_kib: u32) {
    let stream = fixture.ops.stream(StreamFields::by_name(name)).unwrap();
    let allow = |settings: &mut StreamSettings| settings.max_record_kib = max_record_kib;
    tokio::task::block_in_place(|| fixture.engine.change_settings(&stream, allow)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_that_its_stream_does_not_take_leaves_those_it_is_staged_with_alone() {
    let fixture = Fixture::with_stream("orders", 1).await;
    let mut client = client(&fixture).await;
    let large = |key: &str, bytes: usize| ProduceRequest {
        stream_name: String::new(),
        stream_arn: String::new(),
        records: vec![
            entries(0..1).remove(0),
            PutRecordsRequestEntry {
                data: vec![7; bytes].into(),
                partition_key: key.to_owned(),
                explicit_hash_key: None,
            },
        ],
    };
    let bad = [
        (large("k", 1 << 20), "InvalidArgumentException", "records[1].data"),
        (large("", 0), "ValidationException", "1 validation error detected: Value null at"),
    ];
    for (bad, exception, message) in bad {
        let before = fixture.ops.stream(StreamFields::by_name("orders")).unwrap().shards()[0]
            .watermarks()
            .durable
            .0;
        // All are there before the call is, so that they are read together.
        let requests = [produce_request("orders", 0..3), bad, produce_request("", 0..1)];
        let answers = client.produce(stream::iter(requests)).await.unwrap().into_inner();
        let answers: Vec<_> = answers.collect().await;
        assert_eq!(answers.len(), 2);
        assert_eq!(answers[0].as_ref().unwrap().sequence_numbers.len(), 3);
        let refused = answers[1].as_ref().unwrap_err();
        assert_eq!((refused.code(), &reason(refused)[..]), (Code::InvalidArgument, exception));
        assert!(refused.message().starts_with(message), "{refused}");
        let stream = fixture.ops.stream(StreamFields::by_name("orders")).unwrap();
        assert_eq!(stream.shards()[0].watermarks().durable.0, before + 3);
    }
    // The stream may be told to take it.
    allow_kib(&fixture, "orders", 2048);
    let taken = [produce_request("orders", 0..1), large("k", 1 << 20)];
    let answers = client.produce(stream::iter(taken)).await.unwrap().into_inner();
    let answers: Vec<_> = answers.map(Result::unwrap).collect().await;
    assert_eq!(answers.iter().map(|answer| answer.sequence_numbers.len()).sum::<usize>(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_of_10_mib_is_put_by_every_call_and_read_by_pull_and_push() {
    const BYTES: usize = 10 << 20;
    let fixture = Fixture::with_stream("orders", 1).await;
    allow_kib(&fixture, "orders", 10_240);
    let mut client = client(&fixture).await.max_decoding_message_size(16 << 20);
    let data: Vec<u8> = (0..BYTES - 1).map(|index| (index % 253) as u8).collect();
    let entry = |data: &[u8]| PutRecordsRequestEntry {
        data: data.to_vec().into(),
        partition_key: "k".to_owned(),
        explicit_hash_key: None,
    };
    let stream_name = || "orders".to_owned();
    let single = |data: &[u8]| v1::PutRecordRequest {
        stream_name: stream_name(),
        partition_key: "k".to_owned(),
        data: data.to_vec().into(),
        ..Default::default()
    };
    client.put_record(single(&data)).await.unwrap();
    let batch = v1::PutRecordsRequest {
        stream_name: stream_name(),
        records: vec![entry(&data)],
        ..Default::default()
    };
    assert_eq!(client.put_records(batch).await.unwrap().into_inner().failed_record_count, 0);
    let request = ProduceRequest {
        stream_name: stream_name(),
        records: vec![entry(&data)],
        ..Default::default()
    };
    let answers = client.produce(stream::iter([request])).await.unwrap().into_inner();
    let answers: Vec<_> = answers.map(Result::unwrap).collect().await;
    assert_eq!(answers[0].sequence_numbers, [3]);
    // One byte more than any stream takes.
    let more = [&data[..], b"."].concat();
    let refused = client.put_record(single(&more)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("10485761"), "{refused}");
    let mut shard_iterator = fixture.iterator("orders", ShardIteratorType::TrimHorizon);
    for number in 1..=3 {
        let get = v1::GetRecordsRequest { shard_iterator, ..Default::default() };
        let page = client.get_records(get).await.unwrap().into_inner();
        let [record] = &page.records[..] else { panic!("each travels alone") };
        assert_eq!(record.sequence_number, number);
        assert!(record.data == data, "record {number} is another one");
        shard_iterator = page.next_shard_iterator;
    }
    fixture.register("orders", "audit").await;
    let request = v1::SubscribeToShardRequest {
        stream_name: stream_name(),
        consumer_name: "audit".to_owned(),
        shard_id: "0".to_owned(),
        starting_position: Some(v1::StartingPosition {
            r#type: ShardIteratorType::TrimHorizon.into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let mut events = client.subscribe_to_shard(request).await.unwrap().into_inner();
    for number in 1..=3 {
        let event = events.next().await.unwrap().unwrap();
        let [record] = &event.records[..] else { panic!("each travels alone") };
        assert!(record.sequence_number == number && record.data == data);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_produce_call_names_its_stream_and_ends_when_that_is_deleted() {
    let fixture = Fixture::with_stream("orders", 1).await;
    let mut client = client(&fixture).await;
    let unnamed = stream::iter([produce_request("", 0..1)]);
    let mut answers = client.produce(unnamed).await.unwrap().into_inner();
    let error = answers.next().await.unwrap().unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);

    let (requests, channel) = mpsc::unbounded_channel();
    requests.send(produce_request("orders", 0..1)).unwrap();
    let mut answers = client.produce(receiver(channel)).await.unwrap().into_inner();
    assert!(answers.next().await.unwrap().is_ok());
    fixture.delete("orders").await;
    requests.send(produce_request("orders", 0..1)).unwrap();
    let error = answers.next().await.unwrap().unwrap_err();
    assert_eq!((error.code(), reason(&error).as_str()), {
        (Code::NotFound, "ResourceNotFoundException")
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_produce_call_ends_with_the_server_after_its_acknowledgements() {
    let fixture = Fixture::with_stream("orders", 1).await;
    let mut client = client(&fixture).await;
    let (requests, channel) = mpsc::unbounded_channel();
    requests.send(produce_request("orders", 0..1)).unwrap();
    let mut answers = client.produce(receiver(channel)).await.unwrap().into_inner();
    assert!(answers.next().await.unwrap().is_ok());
    fixture.ops.begin_shutdown();
    let error = answers.next().await.unwrap().unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert_eq!(reason(&error), "ShuttingDownException");
}

#[tokio::test]
async fn a_produce_call_reads_no_further_than_32768_unacknowledged_records() {
    const IN_FLIGHT: u64 = 32 << 10;
    // Nothing is committed, so nothing is acknowledged.
    let fixture = Fixture::without_threads();
    fixture.create("orders", 1).await;
    let mut client = client(&fixture).await;
    let requests = (0..400).map(|index| produce_request("orders", index..index + 100));
    let requests: Vec<_> = requests.collect();
    let mut answers = client.produce(stream::iter(requests)).await.unwrap().into_inner();
    // A task that never returns to its runtime is given nothing more by it.
    let mut staged = 0;
    while staged < IN_FLIGHT {
        assert!(answers.next().now_or_never().is_none());
        tokio::task::yield_now().await;
        staged = fixture.engine.stats().records;
    }
    for _ in 0..10 {
        assert!(answers.next().now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    // What has arrived together is staged together: a few thousand more at most.
    staged = fixture.engine.stats().records;
    assert!((IN_FLIGHT..IN_FLIGHT + 5000).contains(&staged), "{staged}");
    let mut acknowledged = 0;
    while acknowledged < 40_000 {
        fixture.engine.commit_step();
        while let Some(Some(answer)) = answers.next().now_or_never() {
            acknowledged += answer.unwrap().sequence_numbers.len();
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn puts_that_come_together_are_appended_once_and_acknowledged_one_by_one() {
    // Nothing is committed until we say so.
    let fixture = Fixture::without_threads();
    fixture.create("orders", 4).await;
    let mut client = client(&fixture).await;
    let bad = produce_request("orders", 0..0);
    let requests = (0..20).map(|index| produce_request("orders", index..index + 1 + index % 3));
    let requests: Vec<_> = requests.chain([bad]).collect();
    let sent = requests.clone();
    let mut answers = client.produce(stream::iter(requests)).await.unwrap().into_inner();
    assert!(answers.next().now_or_never().is_none());
    // 20 puts in 4 shards.
    assert_eq!(fixture.engine.stats().puts, 4);
    while fixture.engine.commit_step() {}
    let stream = fixture.ops.stream(StreamFields::by_name("orders")).unwrap();
    let mut next = [1; 4];
    for request in &sent[..20] {
        let answer = answers.next().await.unwrap().unwrap();
        assert_eq!(answer.sequence_numbers.len(), request.records.len());
        for (index, record) in request.records.iter().enumerate() {
            let key = PartitionKey::from_bytes(record.partition_key.as_bytes()).unwrap();
            let shard = stream.shards().route(HashKey::of(key));
            assert_eq!(answer.shard_indexes[index] as usize, shard);
            assert_eq!(answer.sequence_numbers[index], next[shard]);
            next[shard] += 1;
        }
    }
    let error = answers.next().await.unwrap().unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_that_vanishes_leaves_nothing_behind() {
    let fixture = Fixture::with_stream("orders", 1).await;
    let mut client = client(&fixture).await;
    let (requests, channel) = mpsc::unbounded_channel();
    requests.send(produce_request("orders", 0..1)).unwrap();
    let mut answers = client.produce(receiver(channel)).await.unwrap().into_inner();
    assert!(answers.next().await.unwrap().is_ok());
    let in_flight = |count| format!("anabranch_requests_in_flight {count}\n");
    assert!(fixture.ops.metrics().encode().contains(&in_flight(1)));
    drop(answers);
    assert!(fixture.ops.metrics().encode().contains(&in_flight(0)));
    assert!(requests.is_closed());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_generated_client_subscribes_and_vanishes() {
    let fixture = Fixture::with_stream("orders", 1).await;
    fixture.register("orders", "analytics").await;
    let mut client = client(&fixture).await;
    let subscribe = || v1::SubscribeToShardRequest {
        stream_name: "orders".to_owned(),
        consumer_name: "analytics".to_owned(),
        shard_id: "0".to_owned(),
        starting_position: Some(v1::StartingPosition {
            r#type: ShardIteratorType::TrimHorizon.into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let mut events = client.subscribe_to_shard(subscribe()).await.unwrap().into_inner();
    fixture.put("orders", 500).await;
    let event = events.next().await.unwrap().unwrap();
    assert_eq!(event.continuation_sequence_number, event.records.len() as u64);
    let refused = client.subscribe_to_shard(subscribe()).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.get_error_details().retry_info().is_some());
    drop(events);
    // Its place is free at once.
    assert!(client.subscribe_to_shard(subscribe()).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_poll_obeys_the_deadline_of_its_call() {
    let fixture = Fixture::with_stream("orders", 1).await;
    let mut client = client(&fixture).await;
    let shard_iterator = fixture.iterator("orders", ShardIteratorType::Latest);
    let get = v1::GetRecordsRequest { shard_iterator, wait_ms: Some(30_000), ..Default::default() };
    let mut request = tonic::Request::new(get);
    request.set_timeout(std::time::Duration::from_millis(1));
    let error = client.get_records(request).await.unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded);
    let counted = "{operation=\"GetRecords\",outcome=\"DeadlineExceeded\"} 1";
    assert!(fixture.ops.metrics().encode().contains(counted));
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_calls_are_refused_with_a_reason() {
    let fixture = Fixture::with_stream("orders", 1).await;
    let routes = routes(fixture.ops.clone()).await;
    let put = "/anabranch.v1.Streams/PutRecords";
    let good = produce_request("orders", 0..1).encode_to_vec();
    let mut compressed = framed(&good);
    compressed[0] = 1;
    let cases = [
        (put, compressed, Code::Unimplemented),
        (put, Vec::new(), Code::InvalidArgument),
        (put, [framed(&good), framed(&good)].concat(), Code::InvalidArgument),
        (put, framed(&good)[..20].to_vec(), Code::InvalidArgument),
        (put, framed(&good[..good.len() - 1]), Code::InvalidArgument),
        (put, vec![0, 1, 0, 0, 1], Code::InvalidArgument),
        ("/anabranch.v1.Streams/ListStreams", framed(b"\xff"), Code::InvalidArgument),
        ("/anabranch.v1.Streams/Produce", framed(b"\xff"), Code::InvalidArgument),
        ("/anabranch.v1.Streams/SubscribeToShard", framed(b"\xff"), Code::InvalidArgument),
        ("/anabranch.v1.Streams/CreateQueue", framed(b""), Code::Unimplemented),
        ("/anabranch.v1.Streams/", framed(b""), Code::Unimplemented),
        ("/anabranch.v1.Streams", framed(b""), Code::Unimplemented),
        ("/", framed(b""), Code::Unimplemented),
    ];
    for (path, body, code) in cases {
        let status = status_of(send(&routes, request(path, body)).await).await;
        assert_eq!(status.code(), code, "{path} {status}");
        reason(&status);
    }
    let stream = fixture.ops.stream(StreamFields::by_name("orders")).unwrap();
    assert_eq!(stream.shards()[0].watermarks().durable.0, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_content_types_and_methods_are_not_grpc() {
    let fixture = Fixture::new();
    let routes = routes(fixture.ops.clone()).await;
    let path = "/anabranch.v1.Streams/ListStreams";
    for (content_type, is_ours) in [
        ("application/grpc+proto", true),
        ("application/grpc; charset=utf-8", true),
        ("application/grpc-web", false),
        ("application/json", false),
    ] {
        let mut request = request(path, framed(b""));
        request.headers_mut().insert("content-type", content_type.parse().unwrap());
        let response = send(&routes, request).await;
        assert_eq!(response.status() == 200, is_ours, "{content_type}");
    }
    let mut get = request(path, framed(b""));
    *get.method_mut() = http::Method::GET;
    assert_eq!(send(&routes, get).await.status(), 415);
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_reflection_answer() {
    use tonic_health::pb::health_client::HealthClient;
    use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

    let fixture = Fixture::new();
    let routes = routes(fixture.ops.clone()).await;
    let mut health = HealthClient::new(routes.clone());
    for service in ["", STREAMS] {
        let check = HealthCheckRequest { service: service.to_owned() };
        let answer = health.check(check).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving);
    }
    let mut reflection = ServerReflectionClient::new(routes);
    let list = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let answers = reflection.server_reflection_info(stream::iter([list])).await.unwrap();
    let answer = pin!(answers.into_inner()).next().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(listed)) = answer.message_response else {
        panic!("no list of services: {answer:?}");
    };
    assert!(listed.service.iter().any(|service| service.name == STREAMS));
}
