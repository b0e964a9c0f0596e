//! The door, called as a service with requests as SDKs make them.

use anabranch_engine::limits::ITERATOR_LIFE_MS;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use serde_json::{Value as Json, json};
use tonic::body::Body;
use tower::ServiceExt;

mod signing;

use super::{Door, event_stream};
use crate::metrics::Operation;
use crate::ops::tests::Fixture;

/// What every SDK sends with a request; the value of the signature is not looked at while there
/// are no credentials.
const AUTHORIZATION: &str = "AWS4-HMAC-SHA256 Credential=test/20231114/us-east-1/kinesis/\
                             aws4_request, SignedHeaders=host;x-amz-date, \
                             Signature=0000000000000000000000000000000000000000000000000000000000000000";

fn request(operation: &str, content_type: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::post("/")
        .header("host", "localhost:4567")
        .header("content-type", content_type)
        .header("x-amz-target", format!("Kinesis_20131202.{operation}"))
        .header("x-amz-date", "20231114T221320Z")
        .header("authorization", AUTHORIZATION)
        .body(Full::new(body.into()))
        .unwrap()
}

async fn send(fixture: &Fixture, request: Request<Full<Bytes>>) -> Response<Body> {
    Door::new(fixture.ops.clone()).oneshot(request).await.unwrap()
}

async fn text(response: Response<Body>) -> (u16, String) {
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(bytes.to_vec()).unwrap())
}

/// Asks in JSON; an answer without a body is null.
async fn ask(fixture: &Fixture, operation: &str, members: Json) -> (u16, Json) {
    let request = request(operation, "application/x-amz-json-1.1", members.to_string());
    let (status, text) = text(send(fixture, request).await).await;
    let is_empty = text.is_empty();
    (status, if is_empty { Json::Null } else { serde_json::from_str(&text).unwrap() })
}

async fn done(fixture: &Fixture, operation: &str, members: Json) -> Json {
    let (status, reply) = ask(fixture, operation, members).await;
    assert_eq!(status, 200, "{operation}: {reply}");
    reply
}

async fn refused(fixture: &Fixture, operation: &str, members: Json) -> (String, String) {
    let (status, reply) = ask(fixture, operation, members).await;
    assert_eq!(status, 400, "{operation}: {reply}");
    let word = |name: &str| reply[name].as_str().unwrap_or_default().to_owned();
    (word("__type"), word("message"))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_of_the_api_is_known_in_both_encodings_and_counted() {
    let fixture = Fixture::new();
    for operation in Operation::ALL {
        let name = operation.name();
        let is_ours = ["Produce", "SetQuotas", "DescribeShardLoad"].contains(&name);
        for (content_type, empty) in
            [("application/x-amz-json-1.1", &b"{}"[..]), ("application/x-amz-cbor-1.1", b"\xa0")]
        {
            let response = send(&fixture, request(name, content_type, empty)).await;
            let status = response.status().as_u16();
            assert!([200, 400].contains(&status), "{name} {status}");
            assert_eq!(response.headers()["content-type"], content_type, "{name}");
            for id in ["x-amzn-requestid", "x-amz-id-2"] {
                assert!(response.headers().contains_key(id), "{name}");
            }
            let bytes = response.into_body().collect().await.unwrap().to_bytes();
            let unknown = b"UnknownOperationException";
            let is_unknown = bytes.windows(unknown.len()).any(|window| window == unknown);
            assert_eq!(is_unknown, is_ours, "{name}");
        }
        if !is_ours {
            let counted = format!("operation=\"{name}\"");
            assert!(fixture.ops.metrics().encode().contains(&counted), "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_put_is_read_under_the_same_number() {
    let fixture = Fixture::with_stream("orders", 1).await;
    let put = json!({"StreamName": "orders", "Data": "AAEC", "PartitionKey": "k\"ö"});
    let one = done(&fixture, "PutRecord", put).await;
    let first = one["SequenceNumber"].as_str().unwrap();
    assert_eq!((first.len(), &one["ShardId"]), (56, &json!("shardId-000000000000")));
    let records = json!([{"Data": "", "PartitionKey": "a"}, {"Data": "/w==", "PartitionKey": "b"}]);
    let put = json!({"StreamName": "orders", "Records": records});
    let many = done(&fixture, "PutRecords", put).await;
    assert_eq!(many["FailedRecordCount"], 0);

    let start = json!({"StreamName": "orders", "ShardId": "shardId-000000000000",
        "ShardIteratorType": "AT_SEQUENCE_NUMBER", "StartingSequenceNumber": first});
    let iterator = done(&fixture, "GetShardIterator", start).await;
    let page = done(&fixture, "GetRecords", iterator).await;
    assert_eq!(page["MillisBehindLatest"], 0);
    assert!(page["NextShardIterator"].is_string());
    let read = page["Records"].as_array().unwrap();
    assert_eq!(read.len(), 3);
    let numbers = [
        first,
        many["Records"][0]["SequenceNumber"].as_str().unwrap(),
        many["Records"][1]["SequenceNumber"].as_str().unwrap(),
    ];
    for ((record, number), (data, key)) in
        read.iter().zip(numbers).zip([("AAEC", "k\"ö"), ("", "a"), ("/w==", "b")])
    {
        assert_eq!(record["SequenceNumber"], number);
        assert_eq!((&record["Data"], &record["PartitionKey"]), (&json!(data), &json!(key)));
        assert_eq!(record["ApproximateArrivalTimestamp"], 1_700_000_000.0);
        assert!(record.get("EncryptionType").is_none());
    }

    let start = json!({"StreamName": "orders", "ShardId": "1", "ShardIteratorType": "LATEST"});
    let (name, message) = refused(&fixture, "GetShardIterator", start).await;
    assert_eq!(name, "ResourceNotFoundException");
    assert!(message.contains("shardId-000000000001"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_made_changed_and_followed_to_its_children() {
    let fixture = Fixture::new();
    let name = json!({"StreamName": "orders"});
    let make = json!({"StreamName": "orders", "ShardCount": 1, "Tags": {"team": "data"}});
    assert_eq!(done(&fixture, "CreateStream", make.clone()).await, Json::Null);
    assert_eq!(refused(&fixture, "CreateStream", make).await.0, "ResourceInUseException");
    let described = done(&fixture, "DescribeStream", name.clone()).await;
    let stream = &described["StreamDescription"];
    assert_eq!(stream["StreamStatus"], "ACTIVE");
    assert_eq!(stream["StreamARN"], "arn:aws:kinesis:us-east-1:000000000000:stream/orders");
    assert_eq!(stream["EnhancedMonitoring"], json!([{"ShardLevelMetrics": []}]));
    let hash_keys = &stream["Shards"][0]["HashKeyRange"];
    assert_eq!(hash_keys["EndingHashKey"], "340282366920938463463374607431768211455");
    let numbers = &stream["Shards"][0]["SequenceNumberRange"];
    assert_eq!(numbers["StartingSequenceNumber"].as_str().unwrap().len(), 56);
    assert!(numbers.get("EndingSequenceNumber").is_none());

    let horizon = json!({"StreamName": "orders", "ShardId": "0",
        "ShardIteratorType": "TRIM_HORIZON"});
    let iterator = done(&fixture, "GetShardIterator", horizon).await;
    let split = json!({"StreamName": "orders", "ShardToSplit": "shardId-000000000000",
        "NewStartingHashKey": "100"});
    assert_eq!(done(&fixture, "SplitShard", split).await, Json::Null);
    let page = done(&fixture, "GetRecords", iterator).await;
    assert!(page.get("NextShardIterator").is_none(), "{page}");
    assert_eq!(page["ChildShards"][1]["ParentShards"], json!(["shardId-000000000000"]));
    let listed = done(&fixture, "ListShards", name.clone()).await;
    let parent = &listed["Shards"][0]["SequenceNumberRange"];
    let ending = parent["EndingSequenceNumber"].as_str().unwrap();
    assert!(ending > parent["StartingSequenceNumber"].as_str().unwrap());
    let child = &listed["Shards"][2]["SequenceNumberRange"]["StartingSequenceNumber"];
    assert!(child.as_str().unwrap() > ending, "{listed}");

    let tags = done(&fixture, "ListTagsForStream", name.clone()).await;
    assert_eq!(tags, json!({"Tags": [{"Key": "team", "Value": "data"}], "HasMoreTags": false}));
    done(&fixture, "DeleteStream", name.clone()).await;
    let (exception, message) = refused(&fixture, "DescribeStream", name).await;
    assert_eq!(exception, "ResourceNotFoundException");
    assert_eq!(message, "Stream orders under account 000000000000 not found.");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_iterator_is_told_its_age_in_the_services_words() {
    let fixture = Fixture::with_stream("orders", 1).await;
    let latest = json!({"StreamName": "orders", "ShardId": "0", "ShardIteratorType": "LATEST"});
    let iterator = done(&fixture, "GetShardIterator", latest).await;
    fixture.clock.advance(std::time::Duration::from_millis(ITERATOR_LIFE_MS + 1));
    let (name, message) = refused(&fixture, "GetRecords", iterator).await;
    assert_eq!(name, "ExpiredIteratorException");
    assert!(
        message.starts_with("Iterator expired. The iterator was created at time "),
        "{message}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_looked_at_in_the_services_order() {
    let fixture = Fixture::new();
    let json_type = "application/x-amz-json-1.1";
    let base = || request("ListStreams", json_type, "{}");
    let with = |header: &'static str, value: &'static str| {
        let mut request = base();
        request.headers_mut().insert(header, value.parse().unwrap());
        request
    };
    let without = |header: &str| {
        let mut request = base();
        request.headers_mut().remove(header);
        request
    };
    let mut get = base();
    *get.method_mut() = http::Method::GET;
    let denied = "<AccessDeniedException>\n  <Message>Unable to determine service/operation name \
                  to be authorized</Message>\n</AccessDeniedException>\n";
    let unknown = r#"{"__type":"UnknownOperationException"}"#;
    let unreadable = r#"{"__type":"SerializationException"}"#;
    for (request, status, told) in [
        (get, 403, denied),
        (with("content-type", "text/plain"), 404, "<UnknownOperationException/>\n"),
        (with("x-amz-target", "Kinesis_20131202.CreateQueue"), 400, unknown),
        (without("x-amz-target"), 400, unknown),
        (request("CreateQueue", json_type, "{"), 400, unreadable),
        (request("CreateQueue", json_type, ""), 400, unknown),
        (request("ListStreams", json_type, ""), 400, unreadable),
        (request("ListStreams", json_type, "[1"), 400, unreadable),
        (
            with("content-type", "application/json"),
            200,
            r#"{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException","message":null},"Version":"1.0"}"#,
        ),
    ] {
        let shown = format!("{request:?}");
        assert_eq!(text(send(&fixture, request).await).await, (status, told.to_owned()), "{shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_signs_is_looked_at_behind_the_target_and_before_types() {
    let fixture = Fixture::new();
    let mut unsigned = request("ListStreams", "application/x-amz-json-1.1", r#"{"Limit": "x"}"#);
    unsigned.headers_mut().remove("authorization");
    let (status, told) = text(send(&fixture, unsigned).await).await;
    assert_eq!(status, 400);
    assert_eq!(
        told,
        r#"{"__type":"MissingAuthenticationTokenException","message":"Missing Authentication Token"}"#
    );
    let mut unreadable = request("ListStreams", "application/x-amz-json-1.1", "{");
    unreadable.headers_mut().remove("authorization");
    let (_, told) = text(send(&fixture, unreadable).await).await;
    assert_eq!(told, r#"{"__type":"SerializationException"}"#);
    let mut partial = request("ListStreams", "application/x-amz-json-1.1", "{}");
    let header = "AWS4-HMAC-SHA256 Credential=a".parse().unwrap();
    partial.headers_mut().insert("authorization", header);
    let (_, told) = text(send(&fixture, partial).await).await;
    assert!(told.contains("IncompleteSignatureException"), "{told}");
    assert!(told.contains("Authorization header requires 'Signature' parameter."), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_large_is_refused_before_it_is_read() {
    let fixture = Fixture::new();
    let body = vec![b' '; (16 << 20) + 1];
    let request = request("PutRecords", "application/x-amz-json-1.1", body);
    assert_eq!(text(send(&fixture, request).await).await.0, 413);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_let_in_from_this_machine_alone() {
    let fixture = Fixture::new();
    let from = |origin: &'static str| {
        let mut request = request("ListStreams", "application/x-amz-json-1.1", "{}");
        request.headers_mut().insert("origin", origin.parse().unwrap());
        request
    };
    assert_eq!(send(&fixture, from("https://example.com")).await.status(), 403);
    let allow = "access-control-allow-origin";
    let near = send(&fixture, from("http://localhost:3000")).await;
    assert_eq!((near.status().as_u16(), &near.headers()[allow]), (200, &"*".parse().unwrap()));
    let mut question = from("http://localhost:3000");
    *question.method_mut() = http::Method::OPTIONS;
    let asked = "access-control-request-headers";
    question.headers_mut().insert(asked, "x-amz-target".parse().unwrap());
    let answer = send(&fixture, question).await;
    assert_eq!(answer.headers()["access-control-allow-headers"], "x-amz-target");
    assert_eq!(text(answer).await, (200, String::new()));
}

/// The frames of a subscription that have come so far: what each is called, and its payload.
async fn next_frames(body: &mut Body, count: usize) -> Vec<(String, Json)> {
    let mut frames = Vec::new();
    while frames.len() < count {
        let Some(frame) = body.frame().await else { break };
        let bytes = frame.unwrap().into_data().unwrap();
        let (frame, len) = event_stream::Frame::read(&bytes).unwrap();
        assert_eq!(len, bytes.len());
        let header =
            |name| frame.headers.iter().find(|(is, _)| *is == name).map(|(_, value)| *value);
        assert_eq!(header(":content-type"), Some("application/json"));
        let name = header(":event-type").or(header(":exception-type")).unwrap();
        frames.push((name.to_owned(), serde_json::from_slice(frame.payload).unwrap()));
    }
    frames
}

async fn subscribe(fixture: &Fixture, consumer_arn: &str, position: Json) -> Response<Body> {
    let members = json!({"ConsumerARN": consumer_arn, "ShardId": "shardId-000000000000",
        "StartingPosition": position});
    let body = members.to_string();
    send(fixture, request("SubscribeToShard", "application/x-amz-json-1.1", body)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_is_an_event_stream_to_the_end_of_its_shard() {
    let fixture = Fixture::with_stream("orders", 1).await;
    let arn = fixture.register("orders", "con1").await.consumer_arn;
    let horizon = || json!({"Type": "TRIM_HORIZON"});
    let response = subscribe(&fixture, &arn, horizon()).await;
    assert_eq!(response.headers()["content-type"], "application/vnd.amazon.eventstream");
    let mut body = response.into_body();
    let frames = next_frames(&mut body, 2).await;
    assert_eq!(frames[0], ("initial-response".to_owned(), json!({})));
    let (name, first) = &frames[1];
    assert_eq!((&name[..], &first["Records"]), ("SubscribeToShardEvent", &json!([])));
    let start = first["ContinuationSequenceNumber"].as_str().unwrap().to_owned();

    let put = json!({"StreamName": "orders", "Data": "aGk=", "PartitionKey": "k"});
    let number = done(&fixture, "PutRecord", put).await["SequenceNumber"].clone();
    let (_, event) = next_frames(&mut body, 1).await.pop().unwrap();
    assert_eq!(event["Records"][0]["Data"], "aGk=");
    assert_eq!(
        (&event["Records"][0]["SequenceNumber"], &event["MillisBehindLatest"]),
        (&number, &json!(0))
    );
    assert_eq!(event["ContinuationSequenceNumber"], number);

    let (status, told) = text(subscribe(&fixture, &arn, horizon()).await).await;
    assert_eq!(status, 400);
    assert!(told.contains("ResourceInUseException"), "{told}");

    let split = json!({"StreamName": "orders", "ShardToSplit": "0", "NewStartingHashKey": "100"});
    done(&fixture, "SplitShard", split).await;
    let (_, last) = next_frames(&mut body, 1).await.pop().unwrap();
    assert_eq!(last["ChildShards"][0]["ShardId"], "shardId-000000000001");
    assert!(last.get("ContinuationSequenceNumber").is_none(), "{last}");
    assert!(next_frames(&mut body, 1).await.is_empty());

    // The number of a place without a record is as good as a record's.
    drop(body);
    let after = json!({"Type": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": start});
    let mut body = subscribe(&fixture, &arn, after).await.into_body();
    let (_, event) = next_frames(&mut body, 2).await.pop().unwrap();
    assert_eq!(event["Records"][0]["SequenceNumber"], number);
    fixture.delete("orders").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_breaks_off_with_an_exception_in_the_stream() {
    let fixture = Fixture::with_stream("orders", 1).await;
    let arn = fixture.register("orders", "con1").await.consumer_arn;
    let mut body = subscribe(&fixture, &arn, json!({"Type": "LATEST"})).await.into_body();
    assert_eq!(next_frames(&mut body, 2).await.len(), 2);
    assert_eq!(
        done(&fixture, "DeregisterStreamConsumer", json!({"ConsumerARN": arn})).await,
        Json::Null
    );
    let (name, exception) = next_frames(&mut body, 1).await.pop().unwrap();
    assert_eq!(name, "ResourceNotFoundException");
    assert!(exception["message"].as_str().unwrap().contains("con1"), "{exception}");
    assert!(next_frames(&mut body, 1).await.is_empty());
}
