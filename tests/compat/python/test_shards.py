"""Shards: listed and filtered, split, merged and scaled, read to their end."""

import datetime

import pytest

from world import ACCOUNT, HASH_KEY_MAX, eventually, make_stream, refused

FIRST = "shardId-000000000000"
SECOND = "shardId-000000000001"
THIRD = "shardId-000000000002"
HALF = 2**127


def ids(shards):
    return [int(shard["ShardId"][-12:]) for shard in shards]


def split(stream, shard, at):
    stream.kinesis.split_shard(
        StreamName=stream.name, ShardToSplit=shard, NewStartingHashKey=str(at)
    )
    stream.wait_until_active()


def merge(stream, shard, adjacent):
    stream.kinesis.merge_shards(
        StreamName=stream.name, ShardToMerge=shard, AdjacentShardToMerge=adjacent
    )
    stream.wait_until_active()


def read_to_the_end(stream, shard):
    """The records of a closed shard, and its last page."""
    iterator, records = stream.iterator(shard), []
    for _ in range(100):
        page = stream.kinesis.get_records(ShardIterator=iterator)
        records += page["Records"]
        # Both tell of the end, and come in one reply.
        assert ("NextShardIterator" in page) == ("ChildShards" not in page)
        if "NextShardIterator" not in page:
            return records, page
        iterator = page["NextShardIterator"]
    raise AssertionError("the shard has no end")


@pytest.mark.operation("ListShards")
def test_a_shard_is_listed_with_its_range(kinesis, stream):
    reply = kinesis.list_shards(StreamName=stream.name)
    [shard] = reply["Shards"]
    assert "NextToken" not in reply
    number = shard["SequenceNumberRange"].pop("StartingSequenceNumber")
    assert len(number) == 56
    assert shard == {
        "ShardId": FIRST,
        "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": str(HASH_KEY_MAX)},
        "SequenceNumberRange": {},
    }


@pytest.mark.operation("ListShards")
@pytest.mark.parametrize("count", [1, 2, 3, 7, 100])
def test_the_ranges_of_shards_tile_the_hash_keys(kinesis, count):
    shards = make_stream(kinesis, count).shards()
    width = 2**128 // count
    ranges = [
        (int(shard["HashKeyRange"]["StartingHashKey"]), int(shard["HashKeyRange"]["EndingHashKey"]))
        for shard in shards
    ]
    starts = [index * width for index in range(count)]
    assert ranges == list(zip(starts, [start - 1 for start in starts[1:]] + [HASH_KEY_MAX]))


@pytest.mark.operation("ListShards")
def test_shards_are_listed_page_by_page(kinesis):
    stream = make_stream(kinesis, 5)
    page = kinesis.list_shards(StreamName=stream.name, MaxResults=2)
    listed = ids(page["Shards"])
    while "NextToken" in page:
        page = kinesis.list_shards(NextToken=page["NextToken"], MaxResults=2)
        listed += ids(page["Shards"])
    assert listed == [0, 1, 2, 3, 4]
    after = kinesis.list_shards(StreamName=stream.name, ExclusiveStartShardId=THIRD)
    assert ids(after["Shards"]) == [3, 4]


@pytest.mark.operation("ListShards")
def test_the_paginator_of_shards_finds_each_once(kinesis, wide):
    pages = kinesis.get_paginator("list_shards").paginate(StreamName=wide.name)
    assert [ids(page["Shards"]) for page in pages] == [[0, 1, 2, 3]]


def test_a_token_and_a_stream_cannot_be_given_together(kinesis, wide):
    token = kinesis.list_shards(StreamName=wide.name, MaxResults=1)["NextToken"]
    text = "NextToken and StreamName cannot be provided together."
    with refused("InvalidArgumentException", text):
        kinesis.list_shards(StreamName=wide.name, NextToken=token)
    # The SDK's own paginator sends both from the second page on, here as with the service.
    pages = kinesis.get_paginator("list_shards").paginate(
        StreamName=wide.name, PaginationConfig={"PageSize": 2}
    )
    with refused("InvalidArgumentException", text):
        list(pages)


def test_a_token_or_a_stream_has_to_be_given(kinesis):
    text = "Either NextToken or StreamName should be provided."
    with refused("InvalidArgumentException", text):
        kinesis.list_shards()
    with refused("InvalidArgumentException"):
        kinesis.list_shards(NextToken="malformed")


@pytest.mark.operation("ListShards")
def test_filters_choose_shards_by_their_life(kinesis):
    stream = make_stream(kinesis)
    made = stream.described()["StreamCreationTimestamp"]
    split(stream, FIRST, HALF)
    now = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=1)

    def listed(kind, **options):
        shard_filter = {"Type": kind, **options}
        return ids(kinesis.list_shards(StreamName=stream.name, ShardFilter=shard_filter)["Shards"])

    assert listed("AT_LATEST") == [1, 2]
    assert listed("AT_TRIM_HORIZON") == [0]
    assert listed("FROM_TRIM_HORIZON") == [0, 1, 2]
    assert listed("AT_TIMESTAMP", Timestamp=made) == [0]
    assert listed("FROM_TIMESTAMP", Timestamp=made) == [0, 1, 2]
    assert listed("FROM_TIMESTAMP", Timestamp=now) == [1, 2]
    assert listed("AFTER_SHARD_ID", ShardId=FIRST) == [1, 2]
    assert listed("AFTER_SHARD_ID", ShardId=THIRD) == []


@pytest.mark.parametrize("kind", ["AFTER_SHARD_ID", "AT_TIMESTAMP", "FROM_TIMESTAMP"])
def test_a_filter_needs_what_it_filters_by(kinesis, stream, kind):
    with refused("InvalidArgumentException"):
        kinesis.list_shards(StreamName=stream.name, ShardFilter={"Type": kind})


@pytest.mark.operation("ListShards")
def test_the_time_at_which_a_stream_was_made_tells_it_from_others(kinesis, stream):
    made = stream.described()["StreamCreationTimestamp"]
    reply = kinesis.list_shards(StreamName=stream.name, StreamCreationTimestamp=made)
    assert ids(reply["Shards"]) == [0]
    with refused("ResourceNotFoundException"):
        kinesis.list_shards(
            StreamName=stream.name,
            StreamCreationTimestamp=made - datetime.timedelta(seconds=10),
        )


@pytest.mark.operation("SplitShard", "ListShards", "GetRecords")
def test_a_split_shard_is_read_to_its_end_and_names_two_children(kinesis, stream):
    stream.put(b"before", ExplicitHashKey="7")
    split(stream, FIRST, HALF)
    parent, lower, upper = stream.shards()
    assert lower["ParentShardId"] == upper["ParentShardId"] == FIRST
    assert "AdjacentParentShardId" not in lower
    assert lower["HashKeyRange"] == {"StartingHashKey": "0", "EndingHashKey": str(HALF - 1)}
    assert upper["HashKeyRange"] == {
        "StartingHashKey": str(HALF), "EndingHashKey": str(HASH_KEY_MAX)
    }
    end = int(parent["SequenceNumberRange"]["EndingSequenceNumber"])
    assert int(parent["SequenceNumberRange"]["StartingSequenceNumber"]) < end
    assert int(lower["SequenceNumberRange"]["StartingSequenceNumber"]) > end

    assert stream.put(b"low", ExplicitHashKey="7")["ShardId"] == SECOND
    assert stream.put(b"high", ExplicitHashKey=str(HALF))["ShardId"] == THIRD
    records, last = read_to_the_end(stream, FIRST)
    assert [record["Data"] for record in records] == [b"before"]
    assert last["MillisBehindLatest"] == 0
    assert last["ChildShards"] == [
        {"ShardId": SECOND, "ParentShards": [FIRST], "HashKeyRange": lower["HashKeyRange"]},
        {"ShardId": THIRD, "ParentShards": [FIRST], "HashKeyRange": upper["HashKeyRange"]},
    ]
    assert [record["Data"] for record in stream.read(SECOND)] == [b"low"]
    assert int(records[0]["SequenceNumber"]) < end


@pytest.mark.operation("MergeShards", "ListShards", "GetRecords")
def test_merged_shards_name_one_child_with_two_parents(kinesis):
    stream = make_stream(kinesis, 2)
    stream.put(b"low", ExplicitHashKey="0")
    stream.put(b"high", ExplicitHashKey=str(HALF))
    merge(stream, SECOND, FIRST)
    merged = stream.shards()[2]
    assert merged["ParentShardId"] == SECOND
    assert merged["AdjacentParentShardId"] == FIRST
    assert merged["HashKeyRange"] == {"StartingHashKey": "0", "EndingHashKey": str(HASH_KEY_MAX)}
    for shard, data in [(FIRST, b"low"), (SECOND, b"high")]:
        records, last = read_to_the_end(stream, shard)
        assert [record["Data"] for record in records] == [data]
        [child] = last["ChildShards"]
        assert child["ShardId"] == THIRD
        assert sorted(child["ParentShards"]) == [FIRST, SECOND]
        assert child["HashKeyRange"] == merged["HashKeyRange"]


@pytest.mark.operation("UpdateShardCount", "ListShards", "GetRecords")
def test_scaling_links_every_new_shard_to_its_parents(kinesis):
    stream = make_stream(kinesis, 2)
    for target in [4, 3, 2, 1]:
        before = len(stream.open_shards())
        reply = kinesis.update_shard_count(
            StreamName=stream.name, TargetShardCount=target, ScalingType="UNIFORM_SCALING"
        )
        del reply["ResponseMetadata"]
        assert reply == {
            "StreamName": stream.name,
            "StreamARN": stream.arn,
            "CurrentShardCount": before,
            "TargetShardCount": target,
        }
        stream.wait_until_active()
        assert len(stream.open_shards()) == target
    shards = {shard["ShardId"]: shard for shard in stream.shards()}
    for shard_id, shard in shards.items():
        if int(shard_id[-12:]) < 2:
            continue
        assert shard["ParentShardId"] in shards
        if "AdjacentParentShardId" in shard:
            assert shard["AdjacentParentShardId"] in shards
    for shard_id, shard in shards.items():
        if "EndingSequenceNumber" in shard["SequenceNumberRange"]:
            _, last = read_to_the_end(stream, shard_id)
            children = {
                other_id for other_id, other in shards.items()
                if shard_id in (other.get("ParentShardId"), other.get("AdjacentParentShardId"))
            }
            assert {child["ShardId"] for child in last["ChildShards"]} == children


@pytest.mark.operation("SplitShard", "MergeShards", "PutRecord", "GetRecords")
def test_each_key_keeps_its_order_over_splits_and_merges(kinesis, stream):
    """Who reads all parents before their child reads every record once, and in order."""
    put = 0

    def put_some():
        nonlocal put
        for _ in range(20):
            stream.put(b"%d" % put, f"key-{put % 4}")
            put += 1

    put_some()
    split(stream, FIRST, HALF)
    put_some()
    merge(stream, SECOND, THIRD)
    put_some()
    seen = {}
    for shard in stream.shards():
        for record in stream.read(shard["ShardId"]):
            seen.setdefault(record["PartitionKey"], []).append(int(record["Data"]))
    assert seen == {f"key-{key}": list(range(key, put, 4)) for key in range(4)}


@pytest.mark.operation("GetShardIterator", "GetRecords")
def test_the_end_of_a_closed_shard_is_where_latest_starts(kinesis, stream):
    stream.put(b"data")
    split(stream, FIRST, HALF)
    page = kinesis.get_records(ShardIterator=stream.iterator(FIRST, "LATEST"))
    assert page["Records"] == []
    assert "NextShardIterator" not in page
    assert len(page["ChildShards"]) == 2


@pytest.mark.parametrize("at", [0, 1, HASH_KEY_MAX])
def test_where_a_shard_cannot_be_split_is_told_in_the_words_of_the_service(stream, at):
    text = (
        f"NewStartingHashKey {at} used in SplitShard() on shard {FIRST} in stream {stream.name} "
        f"under account {ACCOUNT} is not both greater than one plus the shard's StartingHashKey "
        f"0 and less than the shard's EndingHashKey {HASH_KEY_MAX}."
    )
    with refused("InvalidArgumentException", text):
        split(stream, FIRST, at)
    assert len(stream.shards()) == 1


def test_shards_that_are_not_adjacent_cannot_be_merged(wide):
    text = (
        f"Shards {FIRST} and {THIRD} in stream {wide.name} under account {ACCOUNT} are not an "
        "adjacent pair of shards eligible for merging"
    )
    with refused("InvalidArgumentException", text):
        merge(wide, FIRST, THIRD)


def test_a_closed_shard_is_neither_split_nor_merged_again(stream):
    split(stream, FIRST, HALF)
    text = (
        f"Shard {FIRST} in stream {stream.name} under account {ACCOUNT} has already been merged "
        "or split, and thus is not eligible for merging or splitting."
    )
    with refused("InvalidArgumentException", text):
        split(stream, FIRST, HALF)
    with refused("InvalidArgumentException", text):
        merge(stream, FIRST, SECOND)


def test_a_shard_that_is_not_there_is_neither_split_nor_merged(stream):
    text = (
        f"Could not find shard {SECOND} in stream {stream.name} under account {ACCOUNT}."
    )
    with refused("ResourceNotFoundException", text):
        split(stream, SECOND, HALF)
    with refused("ResourceNotFoundException", text):
        merge(stream, FIRST, SECOND)


@pytest.mark.parametrize(
    ("target", "text"),
    [
        (9, "UpdateShardCount cannot scale up over double your current open shard count. "
            "Current open shard count: 4 Target shard count: 9"),
        (1, "UpdateShardCount cannot scale down below half your current open shard count. "
            "Current open shard count: 4 Target shard count: 1"),
    ],
)
def test_a_step_of_scaling_has_its_limits(kinesis, wide, target, text):
    with refused("LimitExceededException", text):
        kinesis.update_shard_count(
            StreamName=wide.name, TargetShardCount=target, ScalingType="UNIFORM_SCALING"
        )


@pytest.mark.operation("SplitShard")
def test_a_stream_is_changed_once_at_a_time(with_delays):
    stream = make_stream(with_delays)
    eventually(lambda: stream.described()["StreamStatus"] == "ACTIVE", 20)
    with_delays.split_shard(
        StreamName=stream.name, ShardToSplit=FIRST, NewStartingHashKey=str(HALF)
    )
    assert stream.described()["StreamStatus"] == "UPDATING"
    text = (
        f"Stream {stream.name} under account {ACCOUNT} not ACTIVE, instead in state UPDATING"
    )
    with refused("ResourceInUseException", text):
        with_delays.merge_shards(
            StreamName=stream.name, ShardToMerge=SECOND, AdjacentShardToMerge=THIRD
        )
    # What is UPDATING takes records and gives them.
    stream.put(b"data", ExplicitHashKey="0")
    assert [record["Data"] for record in stream.read(SECOND)] == [b"data"]
