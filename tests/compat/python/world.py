"""The servers under test, and what the tests make there."""

import contextlib
import dataclasses
import itertools
import os
import time

import boto3
import botocore.client
import pytest
from botocore.exceptions import ClientError

ACCOUNT = "000000000000"
REGION = "us-east-1"
HASH_KEY_MAX = 2**128 - 1

# A call is made once, so that a test sees each refusal, and parameters are not checked by the SDK,
# so that the server has to. No reply takes longer than the wait for a subscription's event.
CONFIG = botocore.client.Config(
    retries={"total_max_attempts": 1, "mode": "standard"},
    parameter_validation=False,
    read_timeout=30,
)

_numbers = itertools.count(1)


def unique(what):
    """A name that no other test has."""
    return f"{what}-{next(_numbers)}"


def client(endpoint, **options):
    """A client of a server."""
    config = CONFIG.merge(botocore.client.Config(**options))
    return boto3.client("kinesis", endpoint_url=endpoint, config=config)


def stream_arn(name):
    """The ARN of a stream of that name."""
    return f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{name}"


@contextlib.contextmanager
def refused(code, text=None):
    """Expects a refusal with that code, and if given with exactly that text."""
    with pytest.raises(ClientError) as caught:
        yield caught
    response = caught.value.response
    assert response["Error"]["Code"] == code, response["Error"]
    if text is not None:
        assert response["Error"]["Message"] == text


@dataclasses.dataclass(frozen=True)
class Stream:
    """A stream, with the client that made it."""

    kinesis: object
    name: str

    @property
    def arn(self):
        return stream_arn(self.name)

    def described(self):
        return self.kinesis.describe_stream(StreamName=self.name)["StreamDescription"]

    def summary(self):
        reply = self.kinesis.describe_stream_summary(StreamName=self.name)
        return reply["StreamDescriptionSummary"]

    def shards(self):
        return self.kinesis.list_shards(StreamName=self.name)["Shards"]

    def open_shards(self):
        return [
            shard for shard in self.shards()
            if "EndingSequenceNumber" not in shard["SequenceNumberRange"]
        ]

    def put(self, data, key="key", **options):
        return self.kinesis.put_record(
            StreamName=self.name, Data=data, PartitionKey=key, **options
        )

    def iterator(self, shard_id="shardId-000000000000", kind="TRIM_HORIZON", **options):
        return self.kinesis.get_shard_iterator(
            StreamName=self.name, ShardId=shard_id, ShardIteratorType=kind, **options
        )["ShardIterator"]

    def read(self, shard_id="shardId-000000000000", kind="TRIM_HORIZON", **options):
        """The records from there to the tip of the shard, or to its end."""
        iterator, records = self.iterator(shard_id, kind, **options), []
        while iterator:
            page = self.kinesis.get_records(ShardIterator=iterator)
            records += page["Records"]
            if page["MillisBehindLatest"] == 0 and not page["Records"]:
                break
            iterator = page.get("NextShardIterator")
        return records

    def consumer(self, name=None):
        """Registers a consumer."""
        name = name or unique("consumer")
        return self.kinesis.register_stream_consumer(StreamARN=self.arn, ConsumerName=name)[
            "Consumer"
        ]

    def wait_until_active(self, patience=10):
        """Waits for a change of the shards to be over."""
        eventually(lambda: self.described()["StreamStatus"] == "ACTIVE", patience)


def make_stream(kinesis, shards=1, name=None, **options):
    """Makes a stream of that many shards, and waits for nothing."""
    name = name or unique("stream")
    kinesis.create_stream(StreamName=name, ShardCount=shards, **options)
    return Stream(kinesis, name)


def make_on_demand(kinesis, **options):
    """Makes an on-demand stream."""
    name = unique("on-demand")
    mode = {"StreamMode": "ON_DEMAND"}
    kinesis.create_stream(StreamName=name, StreamModeDetails=mode, **options)
    return Stream(kinesis, name)


def eventually(is_so, patience=10):
    """Waits until something is so. What we wait for has no event that a client could see."""
    end = time.monotonic() + patience
    while not is_so():
        assert time.monotonic() < end, "it did not come to be so"
        time.sleep(0.05)


def endpoint(which=""):
    """The endpoint of one of the servers that `tests/compat/run` started."""
    return os.environ["ANABRANCH_ENDPOINT" + which]
