//! How requests name streams.

use super::*;

const ARN: &str = "arn:aws:kinesis:us-east-1:000000000000:stream/orders";
/// Another partition, region and account: the name counts.
const FOREIGN_ARN: &str = "arn:aws-cn:kinesis:cn-north-1:123456789012:stream/orders";

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_found_by_its_name_by_its_arn_and_by_both() {
    let fixture = Fixture::with_stream("orders", 1).await;
    let find = |name, arn| fixture.ops.stream(StreamFields { name, arn });
    for (name, arn) in [("orders", ""), ("", ARN), ("orders", ARN), ("orders", FOREIGN_ARN)] {
        assert_eq!(find(name, arn).unwrap().name().as_str(), "orders");
    }
    assert_eq!(field(find("others", ARN)), "stream_name");
    assert_eq!(field(find("", "arn:aws:kinesis:us-east-1:0:stream/orders")), "stream_arn");
    assert_eq!(field(find("orders", "orders")), "stream_arn");
    assert_eq!(field(find("a/b", "")), "stream_name");
    assert_eq!(message(find("", "")), "Either StreamName or StreamARN should be provided.");
    let missing = "Stream others under account 000000000000 not found.";
    assert_eq!(message(find("others", "")), missing);
    assert_eq!(message(find("", &ARN.replace("orders", "others"))), missing);
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_take_an_arn_in_place_of_the_name() {
    let fixture = Fixture::with_stream("orders", 1).await;
    let ops = &fixture.ops;
    let stream_arn = || FOREIGN_ARN.to_owned();
    let batch = Batch::of_one("k", None, b"data").unwrap();
    let head = put_records::PutHead {
        stream: StreamFields { name: "", arn: FOREIGN_ARN },
        dry_run: false,
    };
    assert_eq!(ops.put_records(&Caller::anonymous(), head, &batch).await.unwrap().numbers, [1]);
    let record = v1::PutRecordRequest {
        stream_arn: stream_arn(),
        partition_key: "k".to_owned(),
        ..Default::default()
    };
    assert_eq!(ops.put_record(record).await.unwrap().sequence_number, 2);
    let iterator = ops.get_shard_iterator(v1::GetShardIteratorRequest {
        stream_name: String::new(),
        stream_arn: stream_arn(),
        ..iterator_request("", ShardIteratorType::TrimHorizon)
    });
    let iterator = iterator.unwrap().shard_iterator;
    let read = |stream_arn| v1::GetRecordsRequest { stream_arn, ..get(&iterator) };
    assert_eq!(ops.get_records(read(stream_arn())).await.unwrap().page.records, 2);
    let another = ARN.replace("orders", "others");
    assert_eq!(field(ops.get_records(read(another)).await), "stream_name");
    assert_eq!(field(ops.get_records(read("orders".to_owned())).await), "stream_arn");

    let described = ops.describe_stream(v1::DescribeStreamRequest {
        stream_arn: stream_arn(),
        ..Default::default()
    });
    // What is given out is the server's own.
    assert_eq!(described.unwrap().stream_description.unwrap().stream_arn, ARN);
    let listed =
        ops.list_shards(v1::ListShardsRequest { stream_arn: stream_arn(), ..Default::default() });
    assert_eq!(listed.unwrap().shards.len(), 1);
    fixture.register("orders", "analytics").await;
    let subscribe = v1::SubscribeToShardRequest {
        stream_name: String::new(),
        stream_arn: stream_arn(),
        ..subscribe("analytics", ShardIteratorType::Latest)
    };
    assert!(ops.subscribe_to_shard(subscribe).is_ok());
    let delete = v1::DeleteStreamRequest {
        stream_arn: stream_arn(),
        enforce_consumer_deletion: true,
        ..Default::default()
    };
    ops.delete_stream(delete).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_is_not_there_is_named_in_the_services_words() {
    let fixture = Fixture::with_stream("orders", 1).await;
    let iterator = |shard_id: &str| {
        fixture.ops.get_shard_iterator(v1::GetShardIteratorRequest {
            shard_id: shard_id.to_owned(),
            ..iterator_request("orders", ShardIteratorType::Latest)
        })
    };
    assert!(iterator("shardId-0").is_ok());
    let missing = iterator("7");
    assert_eq!(kind(missing.as_ref().map_err(Clone::clone)), Kind::ResourceNotFound);
    assert_eq!(
        message(missing),
        "Shard shardId-000000000007 in stream orders under account 000000000000 does not exist"
    );
    // So is what could be the name of no shard of anybody.
    let message = message(iterator("shardId-99999999999"));
    assert!(message.starts_with("Shard shardId-99999999999 in stream orders"), "{message}");
}
