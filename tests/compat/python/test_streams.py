"""Streams: made, described, listed, changed, deleted; paginators and waiters."""

import datetime

import pytest
from botocore.exceptions import WaiterError

from world import (
    ACCOUNT,
    HASH_KEY_MAX,
    Stream,
    make_on_demand,
    make_stream,
    refused,
    stream_arn,
    unique,
)

OFTEN = {"Delay": 1, "MaxAttempts": 30}


@pytest.mark.operation("CreateStream", "DescribeStream")
def test_a_stream_is_described_as_it_was_made(kinesis):
    before = datetime.datetime.now(datetime.timezone.utc)
    stream = make_stream(kinesis, 2)
    described = stream.described()
    created = described.pop("StreamCreationTimestamp")
    assert abs(created - before) < datetime.timedelta(seconds=60)
    shards = described.pop("Shards")
    assert described == {
        "StreamName": stream.name,
        "StreamARN": stream_arn(stream.name),
        "StreamStatus": "ACTIVE",
        "StreamModeDetails": {"StreamMode": "PROVISIONED"},
        "HasMoreShards": False,
        "RetentionPeriodHours": 24,
        "EnhancedMonitoring": [{"ShardLevelMetrics": []}],
        "EncryptionType": "NONE",
    }
    assert [shard["ShardId"] for shard in shards] == [
        "shardId-000000000000",
        "shardId-000000000001",
    ]
    assert [shard["HashKeyRange"] for shard in shards] == [
        {"StartingHashKey": "0", "EndingHashKey": str(2**127 - 1)},
        {"StartingHashKey": str(2**127), "EndingHashKey": str(HASH_KEY_MAX)},
    ]
    assert all(shard.keys() == {"ShardId", "HashKeyRange", "SequenceNumberRange"}
               for shard in shards)
    assert all(shard["SequenceNumberRange"].keys() == {"StartingSequenceNumber"}
               for shard in shards)


@pytest.mark.operation("CreateStream", "DescribeStream")
def test_a_stream_has_four_shards_unless_it_says_otherwise(kinesis):
    name = unique("stream")
    kinesis.create_stream(StreamName=name)
    described = Stream(kinesis, name).described()
    assert len(described["Shards"]) == 4
    assert described["StreamModeDetails"] == {"StreamMode": "PROVISIONED"}


@pytest.mark.operation("DescribeStreamSummary")
def test_the_summary_of_a_provisioned_stream(kinesis):
    stream = make_stream(kinesis, 3)
    stream.consumer()
    summary = stream.summary()
    assert isinstance(summary.pop("StreamCreationTimestamp"), datetime.datetime)
    assert {
        "StreamName": stream.name,
        "StreamARN": stream.arn,
        "StreamStatus": "ACTIVE",
        "StreamModeDetails": {"StreamMode": "PROVISIONED"},
        "RetentionPeriodHours": 24,
        "EnhancedMonitoring": [{"ShardLevelMetrics": []}],
        "EncryptionType": "NONE",
        "OpenShardCount": 3,
        "ConsumerCount": 1,
        "MaxRecordSizeInKiB": 1024,
    }.items() <= summary.items()
    assert "RecordDistributionStrategy" not in summary


@pytest.mark.operation("DescribeStreamSummary")
def test_the_summary_of_an_on_demand_stream(on_demand):
    summary = on_demand.summary()
    assert summary["StreamModeDetails"] == {"StreamMode": "ON_DEMAND"}
    assert summary["OpenShardCount"] == 4
    assert summary["RecordDistributionStrategy"] == "USER_PARTITION_KEY"
    assert summary["WarmThroughput"] == {"TargetMiBps": 0, "CurrentMiBps": 4}


@pytest.mark.operation("CreateStream")
def test_a_stream_is_made_with_tags_and_a_record_size(kinesis):
    tags = {"team": "blue", "stage": ""}
    stream = make_stream(kinesis, Tags=tags, MaxRecordSizeInKiB=2048)
    assert stream.summary()["MaxRecordSizeInKiB"] == 2048
    listed = kinesis.list_tags_for_stream(StreamName=stream.name)["Tags"]
    assert {tag["Key"]: tag["Value"] for tag in listed} == tags


def test_a_name_is_taken_once(kinesis, stream):
    text = f"Stream {stream.name} under account {ACCOUNT} already exists."
    with refused("ResourceInUseException", text):
        kinesis.create_stream(StreamName=stream.name, ShardCount=1)


@pytest.mark.operation("DeleteStream")
def test_a_deleted_stream_is_gone(kinesis, stream):
    reply = kinesis.delete_stream(StreamName=stream.name)
    assert reply.keys() == {"ResponseMetadata"}
    text = f"Stream {stream.name} under account {ACCOUNT} not found."
    with refused("ResourceNotFoundException", text):
        stream.described()
    with refused("ResourceNotFoundException", text):
        stream.put(b"data")


@pytest.mark.operation("DeleteStream", "CreateStream")
def test_a_name_can_be_taken_again_and_has_none_of_the_former_records(kinesis, stream):
    stream.put(b"data")
    kinesis.delete_stream(StreamName=stream.name)
    again = make_stream(kinesis, name=stream.name)
    assert again.read() == []


@pytest.mark.operation("DeleteStream")
def test_a_stream_goes_with_its_consumers_only_when_asked_to(kinesis, stream):
    arn = stream.consumer()["ConsumerARN"]
    with refused("ResourceInUseException"):
        kinesis.delete_stream(StreamName=stream.name)
    kinesis.delete_stream(StreamName=stream.name, EnforceConsumerDeletion=True)
    with refused("ResourceNotFoundException"):
        kinesis.describe_stream_consumer(ConsumerARN=arn)


@pytest.mark.operation("ListStreams")
def test_streams_are_listed_by_name(kinesis):
    prefix = unique("list")
    made = [make_stream(kinesis, name=f"{prefix}-{letter}") for letter in "cab"]
    page = kinesis.list_streams(Limit=2, ExclusiveStartStreamName=prefix)
    assert page["StreamNames"] == [f"{prefix}-a", f"{prefix}-b"]
    assert page["HasMoreStreams"] is True
    summary = page["StreamSummaries"][0]
    assert isinstance(summary.pop("StreamCreationTimestamp"), datetime.datetime)
    assert summary == {
        "StreamName": f"{prefix}-a",
        "StreamARN": made[1].arn,
        "StreamStatus": "ACTIVE",
        "StreamModeDetails": {"StreamMode": "PROVISIONED"},
    }
    following = kinesis.list_streams(Limit=1, NextToken=page["NextToken"])
    assert following["StreamNames"] == [f"{prefix}-c"]


@pytest.mark.operation("ListStreams")
def test_the_paginator_of_streams_finds_each_once(kinesis):
    names = {make_stream(kinesis).name for _ in range(3)}
    pages = kinesis.get_paginator("list_streams").paginate(PaginationConfig={"PageSize": 2})
    pages = list(pages)
    listed = [name for page in pages for name in page["StreamNames"]]
    assert listed == sorted(set(listed))
    assert names <= set(listed)
    assert [page["HasMoreStreams"] for page in pages] == [True] * (len(pages) - 1) + [False]


@pytest.mark.operation("DescribeStream")
def test_the_paginator_of_a_description_finds_each_shard_once(kinesis):
    stream = make_stream(kinesis, 5)
    pages = kinesis.get_paginator("describe_stream").paginate(
        StreamName=stream.name, PaginationConfig={"PageSize": 2}
    )
    pages = [page["StreamDescription"] for page in pages]
    ids = [[shard["ShardId"][-1] for shard in page["Shards"]] for page in pages]
    assert ids == [["0", "1"], ["2", "3"], ["4"]]
    assert [page["HasMoreShards"] for page in pages] == [True, True, False]


@pytest.mark.operation("CreateStream", "DescribeStream", "DeleteStream")
def test_waiters_wait_until_a_stream_is_there_and_until_it_is_gone(with_delays):
    stream = make_stream(with_delays)
    described = stream.described()
    assert described["StreamStatus"] == "CREATING"
    assert described["Shards"] == []
    text = f"Stream {stream.name} under account {ACCOUNT} not found."
    with refused("ResourceNotFoundException", text):
        stream.put(b"data")
    with_delays.get_waiter("stream_exists").wait(StreamName=stream.name, WaiterConfig=OFTEN)
    assert stream.described()["StreamStatus"] == "ACTIVE"
    assert len(stream.described()["Shards"]) == 1

    with_delays.delete_stream(StreamName=stream.name)
    assert stream.described()["StreamStatus"] == "DELETING"
    with_delays.get_waiter("stream_not_exists").wait(StreamName=stream.name, WaiterConfig=OFTEN)
    with refused("ResourceNotFoundException"):
        stream.described()


def test_the_waiter_for_a_stream_gives_up_where_none_comes(kinesis):
    with pytest.raises(WaiterError):
        kinesis.get_waiter("stream_exists").wait(
            StreamName="absent", WaiterConfig={"Delay": 0, "MaxAttempts": 2}
        )


@pytest.mark.operation("IncreaseStreamRetentionPeriod", "DecreaseStreamRetentionPeriod")
def test_the_retention_period_goes_up_and_down(kinesis, stream):
    kinesis.increase_stream_retention_period(StreamName=stream.name, RetentionPeriodHours=8760)
    assert stream.described()["RetentionPeriodHours"] == 8760
    # The same again changes nothing and is no error: Terraform does it.
    kinesis.increase_stream_retention_period(StreamName=stream.name, RetentionPeriodHours=8760)
    kinesis.decrease_stream_retention_period(StreamARN=stream.arn, RetentionPeriodHours=24)
    assert stream.summary()["RetentionPeriodHours"] == 24
    kinesis.decrease_stream_retention_period(StreamARN=stream.arn, RetentionPeriodHours=24)


@pytest.mark.parametrize("hours", [23, 8761, -1])
def test_a_retention_period_has_its_limits(kinesis, stream, hours):
    with refused("InvalidArgumentException"):
        kinesis.increase_stream_retention_period(
            StreamName=stream.name, RetentionPeriodHours=hours
        )
    if hours < 24:
        with refused("InvalidArgumentException"):
            kinesis.decrease_stream_retention_period(
                StreamName=stream.name, RetentionPeriodHours=hours
            )
    assert stream.described()["RetentionPeriodHours"] == 24


@pytest.mark.operation("EnableEnhancedMonitoring", "DisableEnhancedMonitoring")
def test_metrics_of_shards_are_switched_one_by_one(kinesis, stream):
    first = ["IncomingBytes", "OutgoingRecords"]
    reply = kinesis.enable_enhanced_monitoring(StreamName=stream.name, ShardLevelMetrics=first)
    assert reply["StreamName"] == stream.name
    assert reply["StreamARN"] == stream.arn
    assert reply["CurrentShardLevelMetrics"] == []
    assert sorted(reply["DesiredShardLevelMetrics"]) == first
    assert sorted(stream.described()["EnhancedMonitoring"][0]["ShardLevelMetrics"]) == first

    reply = kinesis.disable_enhanced_monitoring(
        StreamARN=stream.arn, ShardLevelMetrics=["IncomingBytes"]
    )
    assert sorted(reply["CurrentShardLevelMetrics"]) == first
    assert reply["DesiredShardLevelMetrics"] == ["OutgoingRecords"]

    reply = kinesis.enable_enhanced_monitoring(StreamName=stream.name, ShardLevelMetrics=["ALL"])
    assert len(reply["DesiredShardLevelMetrics"]) == 7
    reply = kinesis.disable_enhanced_monitoring(StreamName=stream.name, ShardLevelMetrics=["ALL"])
    assert reply["DesiredShardLevelMetrics"] == []


@pytest.mark.operation("UpdateStreamMode")
def test_the_mode_is_switched_there_and_back(kinesis, stream):
    for mode in ["ON_DEMAND", "PROVISIONED"]:
        reply = kinesis.update_stream_mode(
            StreamARN=stream.arn, StreamModeDetails={"StreamMode": mode}
        )
        assert reply.keys() == {"ResponseMetadata"}
        stream.wait_until_active()
        assert stream.described()["StreamModeDetails"] == {"StreamMode": mode}


@pytest.mark.operation("UpdateMaxRecordSize")
def test_the_size_of_records_is_changed(kinesis, stream):
    kinesis.update_max_record_size(StreamARN=stream.arn, MaxRecordSizeInKiB=10_240)
    assert stream.summary()["MaxRecordSizeInKiB"] == 10_240


@pytest.mark.parametrize(
    ("size", "bound"),
    [(1023, "greater than or equal to 1024"), (10_241, "less than or equal to 10240")],
)
def test_the_size_of_records_has_its_limits(kinesis, stream, size, bound):
    text = (
        f"1 validation error detected: Value '{size}' at 'maxRecordSizeInKiB' failed to satisfy "
        f"constraint: Member must have value {bound}"
    )
    with refused("ValidationException", text):
        kinesis.update_max_record_size(StreamARN=stream.arn, MaxRecordSizeInKiB=size)
    with refused("ValidationException", text):
        make_stream(kinesis, MaxRecordSizeInKiB=size)


@pytest.mark.operation("UpdateStreamRecordDistributionStrategy")
def test_the_distribution_of_records_is_switched(kinesis, on_demand):
    for strategy in ["AUTO", "USER_PARTITION_KEY"]:
        kinesis.update_stream_record_distribution_strategy(
            StreamARN=on_demand.arn, RecordDistributionStrategy=strategy
        )
        assert on_demand.summary()["RecordDistributionStrategy"] == strategy


@pytest.mark.operation("UpdateStreamWarmThroughput", "UpdateAccountSettings")
def test_a_stream_is_kept_warm_once_the_account_commits_itself(kinesis):
    kinesis.update_account_settings(
        MinimumThroughputBillingCommitment={"Status": "ENABLED"}
    )
    stream = make_on_demand(kinesis, WarmThroughputMiBps=5)
    assert stream.summary()["WarmThroughput"] == {"TargetMiBps": 5, "CurrentMiBps": 5}
    reply = kinesis.update_stream_warm_throughput(StreamName=stream.name, WarmThroughputMiBps=6)
    assert reply["StreamName"] == stream.name
    assert reply["StreamARN"] == stream.arn
    assert reply["WarmThroughput"]["TargetMiBps"] == 6


@pytest.mark.operation("StartStreamEncryption", "StopStreamEncryption")
def test_encryption_asks_for_a_key_service_and_there_is_none(kinesis, stream):
    key = {"EncryptionType": "KMS", "KeyId": "alias/aws/kinesis"}
    with refused("KMSNotFoundException"):
        kinesis.start_stream_encryption(StreamName=stream.name, **key)
    reply = kinesis.stop_stream_encryption(StreamName=stream.name, **key)
    assert reply.keys() == {"ResponseMetadata"}
    assert stream.described()["EncryptionType"] == "NONE"
