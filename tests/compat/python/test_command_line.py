"""The AWS command line, as people type it."""

import json
import os
import subprocess

import pytest

from world import endpoint, stream_arn, unique


class Failed(Exception):
    """The command ended with an exit code other than 0."""


def aws(*words, which=""):
    """Runs `aws kinesis` and returns what it prints, read as JSON."""
    command = ["aws", "--endpoint-url", endpoint(which), "--output", "json", "kinesis", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=os.environ)
    if done.returncode != 0:
        raise Failed(done.stderr)
    return json.loads(done.stdout) if done.stdout.strip() else None


@pytest.fixture
def name():
    """A stream that the command line made."""
    name = unique("cli")
    assert aws("create-stream", "--stream-name", name, "--shard-count", "1") is None
    aws("wait", "stream-exists", "--stream-name", name)
    return name


def test_a_consumer_is_registered(name):
    arn = stream_arn(name)
    reply = aws("register-stream-consumer", "--consumer-name", "con1", "--stream-arn", arn)
    consumer = reply["Consumer"]
    assert consumer["ConsumerName"] == "con1"
    assert consumer["ConsumerARN"].startswith(f"{arn}/consumer/con1:")
    listed = aws("list-stream-consumers", "--stream-arn", arn)["Consumers"]
    assert [each["ConsumerARN"] for each in listed] == [consumer["ConsumerARN"]]
    aws("deregister-stream-consumer", "--consumer-arn", consumer["ConsumerARN"])
    assert aws("list-stream-consumers", "--stream-arn", arn)["Consumers"] == []


def test_a_record_is_put_and_got(name):
    put = aws(
        "put-record", "--stream-name", name, "--partition-key", "123", "--data", "testdata"
    )
    assert put["ShardId"] == "shardId-000000000000"
    iterator = aws(
        "get-shard-iterator",
        "--stream-name", name,
        "--shard-id", "shardId-000000000000",
        "--shard-iterator-type", "TRIM_HORIZON",
    )["ShardIterator"]
    [record] = aws("get-records", "--shard-iterator", iterator)["Records"]
    assert record["SequenceNumber"] == put["SequenceNumber"]
    assert record["PartitionKey"] == "123"
    assert record["Data"] == "dGVzdGRhdGE="


def test_streams_and_shards_are_listed(name):
    assert name in aws("list-streams")["StreamNames"]
    assert name in aws("list-streams", "--page-size", "1")["StreamNames"]
    [shard] = aws("list-shards", "--stream-name", name)["Shards"]
    assert shard["ShardId"] == "shardId-000000000000"
    summary = aws("describe-stream-summary", "--stream-name", name)
    assert summary["StreamDescriptionSummary"]["StreamARN"] == stream_arn(name)


def test_a_deleted_stream_is_waited_for(name):
    aws("delete-stream", "--stream-name", name)
    aws("wait", "stream-not-exists", "--stream-name", name)
    with pytest.raises(Failed, match="ResourceNotFoundException"):
        aws("describe-stream", "--stream-name", name)


def test_a_refusal_is_shown_with_its_text():
    with pytest.raises(Failed) as failed:
        aws("describe-stream", "--stream-name", "absent")
    assert (
        "An error occurred (ResourceNotFoundException) when calling the DescribeStream "
        "operation: Stream absent under account 000000000000 not found."
    ) in str(failed.value)


def test_an_endpoint_from_the_environment_will_do(name):
    environment = {**os.environ, "AWS_ENDPOINT_URL_KINESIS": endpoint()}
    done = subprocess.run(
        ["aws", "kinesis", "list-streams"],
        capture_output=True, text=True, timeout=60, env=environment, check=True,
    )
    assert name in json.loads(done.stdout)["StreamNames"]
