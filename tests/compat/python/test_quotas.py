"""Throttling by the quotas of the service, as an application sees it."""

import pytest

from causes import limited_stream
from world import ACCOUNT, refused

MIB = 1 << 20
FIRST = "shardId-000000000000"


def exceeded(stream):
    return f"Rate exceeded for shard {FIRST} in stream {stream.name} under account {ACCOUNT}."


@pytest.mark.operation("PutRecords")
def test_a_batch_is_throttled_record_by_record(with_quotas):
    stream = limited_stream(with_quotas)
    records = [{"Data": b"d" * (300 << 10), "PartitionKey": f"{index}"} for index in range(5)]
    reply = with_quotas.put_records(StreamName=stream.name, Records=records)
    put, failed = reply["Records"][:3], reply["Records"][3:]
    assert reply["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert reply["FailedRecordCount"] == 2
    assert all(result.keys() == {"SequenceNumber", "ShardId"} for result in put)
    assert failed == [
        {
            "ErrorCode": "ProvisionedThroughputExceededException",
            "ErrorMessage": exceeded(stream),
        }
    ] * 2
    assert [record["PartitionKey"] for record in stream.read()] == ["0", "1", "2"]


@pytest.mark.operation("PutRecords")
def test_a_batch_of_which_nothing_is_put_is_no_error(with_quotas):
    stream = limited_stream(with_quotas)
    stream.put(b"d" * (MIB - 3))
    records = [{"Data": b"d" * (MIB - 3), "PartitionKey": "key"}] * 2
    reply = with_quotas.put_records(StreamName=stream.name, Records=records)
    assert reply["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert reply["FailedRecordCount"] == 2
    assert {result["ErrorCode"] for result in reply["Records"]} == {
        "ProvisionedThroughputExceededException"
    }


@pytest.mark.operation("PutRecord")
def test_a_record_is_throttled_with_an_error(with_quotas):
    stream = limited_stream(with_quotas)
    stream.put(b"d" * (MIB - 3))
    with refused("ProvisionedThroughputExceededException", exceeded(stream)) as caught:
        stream.put(b"d" * (MIB - 3))
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


@pytest.mark.operation("PutRecords")
def test_a_shard_takes_1000_records_a_second(with_quotas):
    stream = limited_stream(with_quotas)
    records = [{"Data": b"", "PartitionKey": "key"}] * 500
    failed = 0
    for _ in range(10):
        reply = with_quotas.put_records(StreamName=stream.name, Records=records)
        failed += reply["FailedRecordCount"]
    # Of 5,000 records 1,000 go at once. The others go as fast, which ten calls do not wait for.
    assert 0 < failed <= 4000
