"""How streams and shards are named: by name, by ARN, by both, leniently, wrongly."""

import pytest

from world import make_stream, refused, stream_arn, unique

LONG = "n" * 129
VALID = ["a", "A-b_c.9", "n" * 128, "..", "-"]
INVALID = {
    "": [
        "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+",
        "Member must have length greater than or equal to 1",
    ],
    "no name": ["Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+"],
    "ä": ["Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+"],
    LONG: ["Member must have length less than or equal to 128"],
}


@pytest.mark.operation("DescribeStream")
@pytest.mark.parametrize("name", VALID)
def test_a_name_has_letters_digits_and_three_signs(kinesis, name):
    kinesis.create_stream(StreamName=name, ShardCount=1)
    described = kinesis.describe_stream(StreamName=name)["StreamDescription"]
    assert described["StreamARN"] == stream_arn(name)


@pytest.mark.parametrize("name", INVALID)
def test_what_is_no_name_is_told_in_the_words_of_the_service(kinesis, name):
    faults = [
        f"Value '{name}' at 'streamName' failed to satisfy constraint: {constraint}"
        for constraint in INVALID[name]
    ]
    with refused("ValidationException") as caught:
        kinesis.describe_stream(StreamName=name)
    errors = "errors" if len(faults) > 1 else "error"
    text = caught.value.response["Error"]["Message"]
    head, _, tail = text.partition(": ")
    assert head == f"{len(faults)} validation {errors} detected"
    assert sorted(tail.split("; ")) == sorted(faults)


@pytest.mark.operation("DescribeStreamSummary", "PutRecord", "GetRecords")
def test_a_stream_is_named_by_name_or_arn_or_both(kinesis, stream):
    both = {"StreamName": stream.name, "StreamARN": stream.arn}
    for naming in [{"StreamName": stream.name}, {"StreamARN": stream.arn}, both]:
        summary = kinesis.describe_stream_summary(**naming)["StreamDescriptionSummary"]
        assert summary["StreamName"] == stream.name
        kinesis.put_record(**naming, Data=b"data", PartitionKey="key")
    assert len(stream.read()) == 3
    page = kinesis.get_records(StreamARN=stream.arn, ShardIterator=stream.iterator())
    assert len(page["Records"]) == 3


def test_name_and_arn_have_to_agree(kinesis, stream):
    other = make_stream(kinesis)
    with refused("InvalidArgumentException"):
        kinesis.describe_stream(StreamName=stream.name, StreamARN=other.arn)


def test_a_stream_has_to_be_named(kinesis):
    with refused("InvalidArgumentException"):
        kinesis.describe_stream_summary()


@pytest.mark.operation("DescribeStream")
def test_an_arn_of_any_account_and_region_names_the_stream_of_its_name(kinesis, stream):
    foreign = f"arn:aws-cn:kinesis:cn-north-1:123456789012:stream/{stream.name}"
    described = kinesis.describe_stream(StreamARN=foreign)["StreamDescription"]
    assert described["StreamARN"] == stream.arn


def test_what_is_no_arn_is_told_in_the_words_of_the_service(kinesis):
    text = (
        "1 validation error detected: Value 'stream/orders' at 'streamARN' failed to satisfy "
        r"constraint: Member must satisfy regular expression pattern: "
        r"arn:aws.*:kinesis:.*:\d{12}:stream/\S+"
    )
    with refused("ValidationException", text):
        kinesis.describe_stream(StreamARN="stream/orders")


@pytest.mark.operation("GetShardIterator")
@pytest.mark.parametrize("shard", ["shardId-000000000002", "shardId-2", "2", "shardId-002"])
def test_a_shard_is_named_in_full_or_in_short(kinesis, wide, shard):
    wide.put(b"data", ExplicitHashKey=str(2**127))
    assert [record["Data"] for record in wide.read(shard)] == [b"data"]


@pytest.mark.parametrize("shard", ["shardId-000000000004", "4", "shardId-99999999999"])
def test_a_shard_that_is_not_there_is_not_found(kinesis, wide, shard):
    with refused("ResourceNotFoundException"):
        wide.iterator(shard)


def test_the_name_of_a_missing_shard_is_told_in_full(kinesis, wide):
    with refused("ResourceNotFoundException") as caught:
        wide.iterator("7")
    text = caught.value.response["Error"]["Message"]
    assert "shardId-000000000007" in text and wide.name in text


def test_a_stream_of_another_case_is_another_stream(kinesis):
    name = unique("Case")
    make_stream(kinesis, name=name)
    with refused("ResourceNotFoundException"):
        kinesis.describe_stream(StreamName=name.lower())
