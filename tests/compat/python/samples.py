"""A request of every operation that a stream has, each of which is to be carried out."""

import json

from world import REGION, ACCOUNT

POLICY = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
            "Action": "kinesis:DescribeStreamSummary",
            "Resource": f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/*",
        },
    }
)
HALF = str(2**127)
KEY = "alias/anabranch"


def _named(**members):
    """A request that names its stream by name."""
    return lambda stream: {"StreamName": stream.name, **members}


def _by_arn(**members):
    """A request that can name it by ARN alone."""
    return lambda stream: {"StreamARN": stream.arn, **members}


def _resource(**members):
    """A request about a resource."""
    return lambda stream: {"ResourceARN": stream.arn, **members}


def _consumer(**members):
    """A request about a consumer of the stream, which may be one that is not there."""
    return lambda stream: {"StreamARN": stream.arn, "ConsumerName": "consumer", **members}


OF_A_STREAM = {
    "AddTagsToStream": _named(Tags={"team": "blue"}),
    "DecreaseStreamRetentionPeriod": _named(RetentionPeriodHours=24),
    "DeleteResourcePolicy": _resource(),
    "DeleteStream": _named(),
    "DeregisterStreamConsumer": _consumer(),
    "DescribeStream": _named(),
    "DescribeStreamConsumer": _consumer(),
    "DescribeStreamSummary": _named(),
    "DisableEnhancedMonitoring": _named(ShardLevelMetrics=["ALL"]),
    "EnableEnhancedMonitoring": _named(ShardLevelMetrics=["ALL"]),
    "GetResourcePolicy": _resource(),
    "GetShardIterator": _named(ShardId="shardId-000000000000", ShardIteratorType="LATEST"),
    "IncreaseStreamRetentionPeriod": _named(RetentionPeriodHours=24),
    "ListShards": _named(),
    "ListStreamConsumers": _by_arn(),
    "ListTagsForResource": _resource(),
    "ListTagsForStream": _named(),
    "MergeShards": _named(
        ShardToMerge="shardId-000000000000", AdjacentShardToMerge="shardId-000000000001"
    ),
    "PutRecord": _named(Data=b"data", PartitionKey="key"),
    "PutRecords": _named(Records=[{"Data": b"data", "PartitionKey": "key"}]),
    "PutResourcePolicy": _resource(Policy=POLICY),
    "RegisterStreamConsumer": _consumer(),
    "RemoveTagsFromStream": _named(TagKeys=["team"]),
    "SplitShard": _named(ShardToSplit="shardId-000000000000", NewStartingHashKey=HALF),
    "StartStreamEncryption": _named(EncryptionType="KMS", KeyId=KEY),
    "StopStreamEncryption": _named(EncryptionType="KMS", KeyId=KEY),
    "SubscribeToShard": lambda stream: {
        "ConsumerARN": f"{stream.arn}/consumer/consumer:1",
        "ShardId": "shardId-000000000000",
        "StartingPosition": {"Type": "LATEST"},
    },
    "TagResource": _resource(Tags={"team": "blue"}),
    "UntagResource": _resource(TagKeys=["team"]),
    "UpdateMaxRecordSize": _by_arn(MaxRecordSizeInKiB=1024),
    "UpdateShardCount": _named(TargetShardCount=2, ScalingType="UNIFORM_SCALING"),
    "UpdateStreamMode": _by_arn(StreamModeDetails={"StreamMode": "ON_DEMAND"}),
    "UpdateStreamRecordDistributionStrategy": _by_arn(
        RecordDistributionStrategy="USER_PARTITION_KEY"
    ),
    "UpdateStreamWarmThroughput": _named(WarmThroughputMiBps=0),
}

OF_THE_ACCOUNT = {
    "DescribeAccountSettings": {},
    "DescribeLimits": {},
    "ListStreams": {},
    "UpdateAccountSettings": {"MinimumThroughputBillingCommitment": {"Status": "DISABLED"}},
}
