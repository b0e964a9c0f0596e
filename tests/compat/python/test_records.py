"""Records: put and got, byte for byte; routing; sequence numbers; sizes; order."""

import datetime
import hashlib

import pytest

from world import ACCOUNT, HASH_KEY_MAX, make_on_demand, make_stream, refused

MIB = 1 << 20
DATA = [b"", b"test", bytes(range(256)), "ünicödé 统一码 💣".encode(), b"a" * 1000, b"\n\0\"\\"]


@pytest.mark.operation("PutRecord", "GetRecords", "GetShardIterator")
def test_a_record_is_got_as_it_was_put(kinesis, stream):
    put = [stream.put(data, key=f"key-{index} é\"\\") for index, data in enumerate(DATA)]
    assert all(reply["ShardId"] == "shardId-000000000000" for reply in put)
    page = kinesis.get_records(ShardIterator=stream.iterator())
    assert [record["Data"] for record in page["Records"]] == DATA
    assert [record["SequenceNumber"] for record in page["Records"]] == [
        reply["SequenceNumber"] for reply in put
    ]
    assert [record["PartitionKey"] for record in page["Records"]] == [
        f"key-{index} é\"\\" for index in range(len(DATA))
    ]
    assert page["MillisBehindLatest"] == 0
    assert page["NextShardIterator"]
    assert "ChildShards" not in page


@pytest.mark.operation("PutRecord", "GetRecords")
def test_a_record_has_these_members_and_no_others(stream):
    reply = stream.put(b"data")
    assert reply.keys() - {"EncryptionType"} == {"ShardId", "SequenceNumber", "ResponseMetadata"}
    now = datetime.datetime.now(datetime.timezone.utc)
    [record] = stream.read()
    # A record of a stream that is not encrypted says nothing about encryption.
    members = {"SequenceNumber", "ApproximateArrivalTimestamp", "Data", "PartitionKey"}
    assert record.keys() == members
    assert abs(record["ApproximateArrivalTimestamp"] - now) < datetime.timedelta(seconds=60)


@pytest.mark.operation("PutRecords")
def test_a_batch_keeps_its_order_and_says_where_each_record_went(kinesis, wide):
    width = 2**126
    records = [
        {"Data": b"%d" % index, "PartitionKey": "key", "ExplicitHashKey": str(index % 4 * width)}
        for index in range(500)
    ]
    reply = kinesis.put_records(StreamName=wide.name, Records=records)
    assert reply["FailedRecordCount"] == 0
    assert len(reply["Records"]) == 500
    for index, result in enumerate(reply["Records"]):
        assert result.keys() == {"SequenceNumber", "ShardId"}
        assert result["ShardId"] == f"shardId-{index % 4:012}"
    for shard in range(4):
        got = wide.read(f"shardId-{shard:012}")
        assert [record["Data"] for record in got] == [
            b"%d" % index for index in range(shard, 500, 4)
        ]
        assert [record["SequenceNumber"] for record in got] == [
            result["SequenceNumber"] for result in reply["Records"][shard::4]
        ]


@pytest.mark.operation("PutRecord")
def test_the_md5_of_a_key_decides_on_the_shard(wide):
    for key in ["a", "b", "é", "k" * 256, *map(str, range(40))]:
        hash_key = int.from_bytes(hashlib.md5(key.encode()).digest(), "big")
        assert wide.put(b"", key)["ShardId"] == f"shardId-{hash_key // 2**126:012}"


@pytest.mark.operation("PutRecord")
@pytest.mark.parametrize(
    ("hash_key", "shard"), [(0, 0), (2**126 - 1, 0), (2**126, 1), (HASH_KEY_MAX, 3)]
)
def test_an_explicit_hash_key_overrides_the_key(wide, hash_key, shard):
    reply = wide.put(b"", "key", ExplicitHashKey=str(hash_key))
    assert reply["ShardId"] == f"shardId-{shard:012}"


def test_a_hash_key_beyond_the_range_is_told_in_the_words_of_the_service(kinesis, stream):
    text = (
        "Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. "
        f"Specified value was {HASH_KEY_MAX + 1}"
    )
    with refused("InvalidArgumentException", text):
        stream.put(b"", ExplicitHashKey=str(HASH_KEY_MAX + 1))
    record = {"Data": b"", "PartitionKey": "k", "ExplicitHashKey": str(HASH_KEY_MAX + 1)}
    with refused("InvalidArgumentException", text):
        kinesis.put_records(StreamName=stream.name, Records=[record])


@pytest.mark.parametrize("hash_key", ["00", "-1", "1e3", "", "1" * 40])
def test_what_is_no_hash_key_is_told_in_the_words_of_the_service(stream, hash_key):
    text = (
        f"1 validation error detected: Value '{hash_key}' at 'explicitHashKey' failed to satisfy "
        r"constraint: Member must satisfy regular expression pattern: 0|([1-9]\d{0,38})"
    )
    with refused("ValidationException", text):
        stream.put(b"", ExplicitHashKey=hash_key)
    assert stream.read() == []


@pytest.mark.operation("PutRecord")
def test_sequence_numbers_have_56_digits_and_rise(stream):
    numbers = [stream.put(b"data")["SequenceNumber"] for _ in range(20)]
    assert all(len(number) == 56 and number.startswith("49") for number in numbers)
    assert numbers == sorted(set(numbers))
    start = stream.shards()[0]["SequenceNumberRange"]["StartingSequenceNumber"]
    assert len(start) == 56
    assert int(start) < int(numbers[0])


@pytest.mark.operation("PutRecord")
def test_the_next_number_is_above_the_one_that_is_given(stream):
    first = stream.put(b"first")["SequenceNumber"]
    second = stream.put(b"second", SequenceNumberForOrdering=first)["SequenceNumber"]
    assert int(second) > int(first)


def test_a_number_that_does_not_exist_yet_gives_no_order(stream):
    number = int(stream.put(b"data")["SequenceNumber"])
    # The record's number begins at the 18th of 47 hexadecimal digits from the right.
    future = str(number + (1000 << 80))
    text = (
        f"ExclusiveMinimumSequenceNumber {future} used in PutRecord on stream {stream.name} "
        f"under account {ACCOUNT} is invalid."
    )
    with refused("InvalidArgumentException", text):
        stream.put(b"data", SequenceNumberForOrdering=future)


@pytest.mark.operation("PutRecord")
def test_a_record_has_a_mebibyte_with_its_key(kinesis, stream):
    stream.put(b"d" * (MIB - 3))
    with refused("InvalidArgumentException"):
        stream.put(b"d" * (MIB - 2))
    record = {"Data": b"d" * MIB, "PartitionKey": "key"}
    with refused("InvalidArgumentException"):
        kinesis.put_records(StreamName=stream.name, Records=[record])
    [got] = stream.read()
    assert got["Data"] == b"d" * (MIB - 3)


@pytest.mark.operation("PutRecord", "GetRecords")
def test_a_large_record_has_ten_mebibytes_where_its_stream_allows_it(kinesis):
    stream = make_stream(kinesis, MaxRecordSizeInKiB=10_240)
    data = bytes(range(256)) * (10 * MIB // 256 - 1)
    stream.put(data)
    [record] = stream.read()
    assert record["Data"] == data


@pytest.mark.operation("PutRecords")
def test_a_batch_has_ten_mebibytes_with_its_keys(kinesis, wide):
    full = [{"Data": b"d" * (MIB - 4), "PartitionKey": f"key{index}"} for index in range(10)]
    assert kinesis.put_records(StreamName=wide.name, Records=full)["FailedRecordCount"] == 0
    with refused("InvalidArgumentException"):
        records = [*full, {"Data": b"", "PartitionKey": "k"}]
        kinesis.put_records(StreamName=wide.name, Records=records)


@pytest.mark.parametrize(
    ("count", "bound"), [(0, "greater than or equal to 1"), (501, "less than or equal to 500")]
)
def test_a_batch_has_1_to_500_records(kinesis, stream, count, bound):
    with refused("ValidationException") as caught:
        records = [{"Data": b"", "PartitionKey": "key"}] * count
        kinesis.put_records(StreamName=stream.name, Records=records)
    text = caught.value.response["Error"]["Message"]
    assert text.startswith("1 validation error detected: Value '[")
    assert text.endswith(
        "at 'records' failed to satisfy constraint: Member must have length " + bound
    )


def test_one_malformed_record_refuses_the_batch(kinesis, stream):
    records = [
        {"Data": b"", "PartitionKey": "key"},
        {"Data": b"", "PartitionKey": "k" * 257},
    ]
    text = (
        f"1 validation error detected: Value '{'k' * 257}' at 'records.2.member.partitionKey' "
        "failed to satisfy constraint: Member must have length less than or equal to 256"
    )
    with refused("ValidationException", text):
        kinesis.put_records(StreamName=stream.name, Records=records)
    assert stream.read() == []


def test_a_record_needs_a_key_where_keys_distribute(kinesis, stream):
    with refused("ValidationException"):
        kinesis.put_record(StreamName=stream.name, Data=b"data")
    with refused("ValidationException"):
        kinesis.put_records(StreamName=stream.name, Records=[{"Data": b"data"}])


@pytest.mark.operation("PutRecord", "PutRecords")
def test_a_record_needs_no_key_where_the_server_distributes(kinesis):
    stream = make_on_demand(kinesis, RecordDistributionStrategy="AUTO")
    kinesis.put_record(StreamName=stream.name, Data=b"0")
    kinesis.put_records(StreamName=stream.name, Records=[{"Data": b"1"}])
    stream.put(b"2", "kept")
    got = [
        record for shard in stream.shards() for record in stream.read(shard["ShardId"])
    ]
    keys = {record["Data"]: record.get("PartitionKey") for record in got}
    assert keys == {b"0": None, b"1": None, b"2": "kept"}


@pytest.mark.operation("PutRecords")
def test_records_of_one_key_are_spread_where_the_server_distributes(kinesis):
    stream = make_on_demand(kinesis, RecordDistributionStrategy="AUTO")
    records = [{"Data": b"", "PartitionKey": "key", "ExplicitHashKey": "0"}] * 400
    reply = kinesis.put_records(StreamName=stream.name, Records=records)
    assert reply["FailedRecordCount"] == 0
    assert len({result["ShardId"] for result in reply["Records"]}) == 4


@pytest.mark.operation("GetRecords")
def test_a_limit_cuts_a_page_and_the_next_goes_on(kinesis, stream):
    for index in range(5):
        stream.put(b"%d" % index)
    first = kinesis.get_records(ShardIterator=stream.iterator(), Limit=2)
    assert [record["Data"] for record in first["Records"]] == [b"0", b"1"]
    rest = kinesis.get_records(ShardIterator=first["NextShardIterator"], Limit=10_000)
    assert [record["Data"] for record in rest["Records"]] == [b"2", b"3", b"4"]
    tip = kinesis.get_records(ShardIterator=rest["NextShardIterator"])
    assert tip["Records"] == []
    assert tip["MillisBehindLatest"] == 0
    assert tip["NextShardIterator"] != rest["NextShardIterator"]


@pytest.mark.parametrize(
    ("limit", "bound"), [(0, "greater than or equal to 1"), (10_001, "less than or equal to 10000")]
)
def test_a_limit_has_its_limits(kinesis, stream, limit, bound):
    text = (
        f"1 validation error detected: Value '{limit}' at 'limit' failed to satisfy constraint: "
        f"Member must have value {bound}"
    )
    with refused("ValidationException", text):
        kinesis.get_records(ShardIterator=stream.iterator(), Limit=limit)


@pytest.mark.operation("GetRecords")
def test_a_page_has_at_most_10_mebibytes_and_nothing_is_missing(kinesis, stream):
    for index in range(12):
        stream.put(bytes([index]) * (MIB - 3))
    page = kinesis.get_records(ShardIterator=stream.iterator())
    assert 1 <= len(page["Records"]) <= 10
    assert [record["Data"][0] for record in stream.read()] == list(range(12))


def test_a_dry_run_does_nothing_and_says_so(kinesis, stream):
    entry = {"Data": b"data", "PartitionKey": "key"}
    with refused("DryRunOperationException"):
        stream.put(b"data", DryRun=True)
    with refused("DryRunOperationException"):
        kinesis.put_records(StreamName=stream.name, Records=[entry], DryRun=True)
    with refused("DryRunOperationException"):
        stream.iterator(DryRun=True)
    with refused("DryRunOperationException"):
        kinesis.get_records(ShardIterator=stream.iterator(), DryRun=True)
    assert stream.read() == []


def test_a_dry_run_of_what_would_be_refused_is_refused_as_that(kinesis, stream):
    with refused("ResourceNotFoundException"):
        kinesis.put_record(StreamName="absent", Data=b"", PartitionKey="k", DryRun=True)
    with refused("InvalidArgumentException", "Invalid ShardIterator."):
        kinesis.get_records(ShardIterator="malformed", DryRun=True)
