//! Who may do what once people sign in.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::*;

const SECRET: &str = "sixteen-characters-or-more";

/// Somebody who may do anything, and others by what a statement of theirs allows.
fn people() -> Credentials {
    let statements = [
        ("root", "{ Effect = 'Allow', Action = '*', Resource = '*' }"),
        (
            "writer",
            "{ Effect = 'Allow', Action = 'kinesis:Put*', \
             Resource = 'arn:aws:kinesis:us-east-1:000000000000:stream/orders' }",
        ),
        (
            "reader",
            "{ Effect = 'Allow', Action = ['kinesis:Get*', 'kinesis:ListShards', \
             'kinesis:SubscribeToShard'], \
             Resource = 'arn:aws:kinesis:*:*:stream/orders*' }",
        ),
    ];
    let text: String = statements
        .iter()
        .map(|(name, statement)| {
            format!(
                "[[credential]]\nname = '{name}'\naccess_key = '{name}'\nsecret = '{SECRET}'\n\
                 policies = [{{ Version = '2012-10-17', Statement = {statement} }}]\n"
            )
        })
        .chain([format!("[[credential]]\nname='guest'\naccess_key='guest'\nsecret='{SECRET}'\n")])
        .collect();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("people.toml");
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(&path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    Credentials::open(&path).unwrap()
}

fn of(fixture: &Fixture, name: &str) -> Caller {
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, format!("Bearer {name}:{SECRET}").parse().unwrap());
    fixture.ops.credentials().of_connection(&headers, None).unwrap().into()
}

fn put_record(stream: &str) -> v1::PutRecordRequest {
    v1::PutRecordRequest {
        stream_name: stream.to_owned(),
        partition_key: "k".to_owned(),
        ..Default::default()
    }
}

async fn fixture() -> Fixture {
    let fixture = Fixture::with_credentials(people());
    fixture.create("orders", 1).await;
    fixture.create("payments", 1).await;
    fixture
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_does_what_no_policy_allows() {
    let fixture = fixture().await;
    let ops = &fixture.ops;
    let writer = of(&fixture, "writer");
    ops.call(&writer, put_record("orders")).await.unwrap();
    let refused = ops.call(&writer, put_record("payments")).await.unwrap_err();
    assert_eq!(refused.kind, Kind::AccessDenied);
    assert_eq!(
        refused.message,
        "User: arn:aws:iam::000000000000:user/writer is not authorized to perform: \
         kinesis:PutRecord on resource: arn:aws:kinesis:us-east-1:000000000000:stream/payments \
         because no identity-based policy allows the kinesis:PutRecord action"
    );
    let list = || v1::ListStreamsRequest::default();
    assert_eq!(kind(ops.call(&writer, list()).await), Kind::AccessDenied);
    assert_eq!(ops.call(&of(&fixture, "root"), list()).await.unwrap().stream_names.len(), 2);
    // Whoever has not signed in is nobody.
    let anonymous = Caller::anonymous();
    assert_eq!(kind(ops.call(&anonymous, put_record("orders")).await), Kind::AccessDenied);
    let batch = Batch::of_one("k", None, b"").unwrap();
    let refused = ops.put_records(&anonymous, to("orders"), &batch).await;
    assert_eq!(kind(refused), Kind::AccessDenied);
    let produce = |caller| kind(ops.produce_to(caller, StreamFields::by_name("payments")));
    assert_eq!(produce(&writer), Kind::AccessDenied);
    assert!(ops.produce_to(&writer, StreamFields::by_name("orders")).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn iterators_pages_and_consumers_are_those_of_their_stream() {
    let fixture = fixture().await;
    let ops = &fixture.ops;
    let (root, reader) = (of(&fixture, "root"), of(&fixture, "reader"));
    for (stream, is_allowed) in [("orders", true), ("payments", false)] {
        let iterator = fixture.iterator(stream, ShardIteratorType::Latest);
        assert_eq!(ops.call(&reader, get(&iterator)).await.is_ok(), is_allowed, "{stream}");
        let mut list = v1::ListShardsRequest {
            stream_name: stream.to_owned(),
            max_results: Some(1),
            ..Default::default()
        };
        assert_eq!(ops.call(&reader, list.clone()).await.is_ok(), is_allowed, "{stream}");
        let split = v1::SplitShardRequest {
            stream_name: stream.to_owned(),
            shard_to_split: "0".to_owned(),
            new_starting_hash_key: "100".to_owned(),
            ..Default::default()
        };
        assert_eq!(kind(ops.call(&reader, split.clone()).await), Kind::AccessDenied);
        ops.call(&root, split).await.unwrap();
        list.next_token = ops.call(&root, list.clone()).await.unwrap().next_token;
        list.stream_name.clear();
        assert_eq!(ops.call(&reader, list).await.is_ok(), is_allowed, "{stream}");
        let consumer_arn = fixture.register(stream, "con1").await.consumer_arn;
        let subscribe = v1::SubscribeToShardRequest {
            consumer_arn,
            stream_name: String::new(),
            consumer_name: String::new(),
            ..subscribe("con1", ShardIteratorType::Latest)
        };
        let subscribed = ops.call(&reader, subscribe).await;
        assert_eq!(subscribed.is_ok(), is_allowed, "{stream}");
    }
    let consumers = |next_token: Option<String>| v1::ListStreamConsumersRequest {
        stream_name: if next_token.is_some() { String::new() } else { "orders".to_owned() },
        max_results: Some(1),
        next_token,
        ..Default::default()
    };
    fixture.register("orders", "con2").await;
    let token = ops.call(&root, consumers(None)).await.unwrap().next_token;
    assert!(token.is_some());
    ops.call(&root, consumers(token.clone())).await.unwrap();
    assert_eq!(kind(ops.call(&reader, consumers(token)).await), Kind::AccessDenied);
    let foreign = v1::DescribeStreamSummaryRequest {
        stream_arn: "arn:aws:kinesis:us-east-1:123456789012:stream/orders".to_owned(),
        ..Default::default()
    };
    assert_eq!(kind(ops.call(&root, foreign).await), Kind::ResourceNotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policy_of_a_stream_allows_and_denies() {
    let fixture = fixture().await;
    let ops = &fixture.ops;
    let (root, guest) = (of(&fixture, "root"), of(&fixture, "guest"));
    let policy = |effect: &str| v1::PutResourcePolicyRequest {
        resource_arn: "arn:aws:kinesis:us-east-1:000000000000:stream/orders".to_owned(),
        policy: format!(
            r#"{{"Version": "2012-10-17", "Statement": {{"Effect": "{effect}",
                "Principal": {{"AWS": ["guest", "writer"]}}, "Action": "kinesis:PutRecord"}}}}"#
        ),
    };
    assert_eq!(kind(ops.call(&guest, put_record("orders")).await), Kind::AccessDenied);
    assert_eq!(kind(ops.call(&guest, policy("Allow")).await), Kind::AccessDenied);
    ops.call(&root, policy("Allow")).await.unwrap();
    ops.call(&guest, put_record("orders")).await.unwrap();
    ops.call(&root, policy("Deny")).await.unwrap();
    let refused = ops.call(&of(&fixture, "writer"), put_record("orders")).await.unwrap_err();
    assert!(refused.message.ends_with("with an explicit deny in a resource-based policy"));
    // What concerns nobody in it goes on.
    ops.call(&root, put_record("orders")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denial_holds_however_the_resource_is_spelt() {
    let fixture = fixture().await;
    let ops = &fixture.ops;
    let root = of(&fixture, "root");
    let arn = "arn:aws:kinesis:us-east-1:000000000000:stream/orders";
    let policy = format!(
        r#"{{"Version": "2012-10-17", "Statement": {{"Effect": "Deny", "Principal": "*",
            "Action": "kinesis:TagResource", "Resource": "{arn}"}}}}"#
    );
    let put = v1::PutResourcePolicyRequest { resource_arn: arn.to_owned(), policy };
    ops.call(&root, put).await.unwrap();
    for spelt in [arn.to_owned(), arn.replace("arn:aws:", "arn:aws-cn:")] {
        let tags = [("a".to_owned(), "b".to_owned())].into();
        let tag = v1::TagResourceRequest { resource_arn: spelt.clone(), tags };
        assert_eq!(kind(ops.call(&root, tag).await), Kind::AccessDenied, "{spelt}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_does_not_learn_what_there_is() {
    let fixture = fixture().await;
    let ops = &fixture.ops;
    let guest = of(&fixture, "guest");
    fixture.register("orders", "con1").await;
    assert_eq!(kind(ops.call(&guest, put_record("no-such")).await), Kind::AccessDenied);
    for (stream, consumer) in [("orders", "con1"), ("orders", "no-such"), ("no-such", "con1")] {
        let describe = v1::DescribeStreamConsumerRequest {
            stream_name: stream.to_owned(),
            consumer_name: consumer.to_owned(),
            ..Default::default()
        };
        assert_eq!(kind(ops.call(&guest, describe).await), Kind::AccessDenied, "{stream}");
    }
}
