//! Requests that the world of the targets carries out: one at least for each of the 40 operations.

use serde_json::{Value as Json, json};

/// What stands where a shard iterator of the world is put. Both have the same length, so that a
/// request stays one in either encoding.
pub(super) const ITERATOR: &str = concat!(
    "ITERATOR~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~",
    "~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~",
    "~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~",
);

pub(super) const STREAM_ARN: &str = "arn:aws:kinesis:us-east-1:000000000000:stream/orders";
pub(super) const CONSUMER_ARN: &str =
    "arn:aws:kinesis:us-east-1:000000000000:stream/orders/consumer/app:1700000000";
/// Of the first record. The clock stands still, so it is the same in every world.
const NUMBER: &str = "49646437577108476416916876405827138351405044305449975810";
const SHARD: &str = "shardId-000000000000";

/// What makes the world.
pub(super) fn foundation() -> Vec<(&'static str, Json)> {
    vec![
        // Without it nothing is kept warm.
        (
            "UpdateAccountSettings",
            json!({"MinimumThroughputBillingCommitment": {"Status": "ENABLED"}}),
        ),
        ("CreateStream", json!({"StreamName": "orders", "ShardCount": 2, "Tags": {"team": "a"}})),
        (
            "CreateStream",
            json!({"StreamName": "spare", "StreamModeDetails": {"StreamMode": "ON_DEMAND"}}),
        ),
        ("RegisterStreamConsumer", json!({"StreamARN": STREAM_ARN, "ConsumerName": "app"})),
        (
            "PutRecords",
            json!({"StreamName": "orders", "Records": [
                {"Data": "AAEC", "PartitionKey": "k\"\u{f6}", "ExplicitHashKey": "0"},
                {"Data": "", "PartitionKey": "b"}]}),
        ),
    ]
}

/// The requests.
pub(super) fn valid() -> Vec<(&'static str, Json)> {
    let by_name = json!({"StreamName": "orders"});
    let with = |name: &str, value: Json| json!({"StreamName": "orders", name: value});
    let policy = json!({"Version": "2012-10-17", "Statement": [{"Sid": "a", "Effect": "Allow",
        "Principal": {"AWS": "123456789012"}, "Action": "kinesis:PutRecord",
        "Resource": STREAM_ARN}]})
    .to_string();
    let hours = |hours: u32| with("RetentionPeriodHours", json!(hours));
    let metrics = with("ShardLevelMetrics", json!(["IncomingBytes", "ALL"]));
    let key =
        json!({"StreamName": "orders", "EncryptionType": "KMS", "KeyId": "alias/aws/kinesis"});
    let start =
        |kind: &str| json!({"StreamName": "orders", "ShardId": SHARD, "ShardIteratorType": kind});
    let consumer = json!({"ConsumerARN": CONSUMER_ARN});
    let subscribe = |position: Json| json!({"ConsumerARN": CONSUMER_ARN, "ShardId": SHARD, "StartingPosition": position});
    let time_ms = 1_700_000_000_000_i64;
    vec![
        ("AddTagsToStream", with("Tags", json!({"team": "b", "\u{e4}": ""}))),
        (
            "CreateStream",
            json!({"StreamName": "new", "ShardCount": 3, "Tags": {"a": "b"},
                "StreamModeDetails": {"StreamMode": "PROVISIONED"}, "MaxRecordSizeInKiB": 2048}),
        ),
        ("DecreaseStreamRetentionPeriod", hours(24)),
        ("DeleteResourcePolicy", json!({"ResourceARN": STREAM_ARN})),
        ("DeleteStream", with("EnforceConsumerDeletion", json!(true))),
        ("DeregisterStreamConsumer", consumer.clone()),
        ("DescribeAccountSettings", json!({})),
        ("DescribeLimits", json!({})),
        ("DescribeStream", json!({"StreamARN": STREAM_ARN, "Limit": 1})),
        ("DescribeStreamConsumer", consumer),
        ("DescribeStreamSummary", by_name.clone()),
        ("DisableEnhancedMonitoring", metrics.clone()),
        ("EnableEnhancedMonitoring", metrics),
        ("GetRecords", json!({"ShardIterator": ITERATOR, "Limit": 10})),
        ("GetRecords", json!({"ShardIterator": ITERATOR, "StreamARN": STREAM_ARN, "DryRun": true})),
        ("GetResourcePolicy", json!({"ResourceARN": STREAM_ARN})),
        ("GetShardIterator", start("TRIM_HORIZON")),
        ("GetShardIterator", {
            let mut at = start("AT_TIMESTAMP");
            at["Timestamp"] = time_ms.into();
            at
        }),
        ("GetShardIterator", {
            let mut after = start("AFTER_SEQUENCE_NUMBER");
            after["StartingSequenceNumber"] = NUMBER.into();
            after
        }),
        ("IncreaseStreamRetentionPeriod", hours(48)),
        (
            "ListShards",
            json!({"StreamName": "orders", "MaxResults": 1,
            "ShardFilter": {"Type": "FROM_TIMESTAMP", "Timestamp": time_ms}}),
        ),
        (
            "ListShards",
            json!({"StreamARN": STREAM_ARN, "StreamCreationTimestamp": time_ms,
            "ShardFilter": {"Type": "AFTER_SHARD_ID", "ShardId": SHARD}}),
        ),
        ("ListStreamConsumers", json!({"StreamARN": STREAM_ARN, "MaxResults": 1})),
        ("ListStreams", json!({"Limit": 1, "ExclusiveStartStreamName": "a"})),
        ("ListStreams", json!({"NextToken": "AAAA"})),
        ("ListTagsForResource", json!({"ResourceARN": CONSUMER_ARN})),
        (
            "ListTagsForStream",
            json!({"StreamName": "orders", "Limit": 1, "ExclusiveStartTagKey": "a"}),
        ),
        (
            "MergeShards",
            json!({"StreamName": "orders", "ShardToMerge": SHARD,
            "AdjacentShardToMerge": "shardId-000000000001"}),
        ),
        (
            "PutRecord",
            json!({"StreamName": "orders", "Data": "aGk=", "PartitionKey": "k",
            "ExplicitHashKey": "17", "SequenceNumberForOrdering": NUMBER}),
        ),
        (
            "PutRecords",
            json!({"StreamName": "orders", "Records": [
            {"Data": "AAEC", "PartitionKey": "a"}, {"Data": "", "PartitionKey": "\u{e4}"},
            {"Data": "/w==", "PartitionKey": "b", "ExplicitHashKey": "340282366920938463463374607431768211455"}]}),
        ),
        (
            "PutRecords",
            json!({"StreamARN": STREAM_ARN, "DryRun": false,
            "Records": [{"Data": "aGk=", "PartitionKey": "k\"\u{f6}"}]}),
        ),
        ("PutResourcePolicy", json!({"ResourceARN": STREAM_ARN, "Policy": policy})),
        (
            "RegisterStreamConsumer",
            json!({"StreamARN": STREAM_ARN, "ConsumerName": "other",
            "Tags": {"a": "b"}}),
        ),
        ("RemoveTagsFromStream", with("TagKeys", json!(["team", "none"]))),
        (
            "SplitShard",
            json!({"StreamName": "orders", "ShardToSplit": SHARD,
            "NewStartingHashKey": "100"}),
        ),
        ("StartStreamEncryption", key.clone()),
        ("StopStreamEncryption", key),
        ("SubscribeToShard", subscribe(json!({"Type": "TRIM_HORIZON"}))),
        ("SubscribeToShard", subscribe(json!({"Type": "AT_TIMESTAMP", "Timestamp": time_ms}))),
        (
            "SubscribeToShard",
            subscribe(json!({"Type": "AT_SEQUENCE_NUMBER", "SequenceNumber": NUMBER})),
        ),
        ("TagResource", json!({"ResourceARN": STREAM_ARN, "Tags": {"a": "b"}})),
        ("UntagResource", json!({"ResourceARN": CONSUMER_ARN, "TagKeys": ["a"]})),
        (
            "UpdateAccountSettings",
            json!({"MinimumThroughputBillingCommitment": {"Status": "ENABLED"}}),
        ),
        ("UpdateMaxRecordSize", json!({"StreamARN": STREAM_ARN, "MaxRecordSizeInKiB": 2048})),
        (
            "UpdateShardCount",
            json!({"StreamName": "orders", "TargetShardCount": 4,
            "ScalingType": "UNIFORM_SCALING"}),
        ),
        (
            "UpdateStreamMode",
            json!({"StreamARN": STREAM_ARN,
            "StreamModeDetails": {"StreamMode": "ON_DEMAND"}, "WarmThroughputMiBps": 10}),
        ),
        (
            "UpdateStreamRecordDistributionStrategy",
            json!({"StreamARN": STREAM_ARN, "RecordDistributionStrategy": "USER_PARTITION_KEY"}),
        ),
        ("UpdateStreamWarmThroughput", json!({"StreamName": "spare", "WarmThroughputMiBps": 100})),
    ]
}
