"""SubscribeToShard, over the event stream of HTTP/1.1."""

import contextlib
import datetime
import time

import pytest

from world import HASH_KEY_MAX, refused

FIRST = "shardId-000000000000"
# A place is refused to others for so long, and taken over after it.
PLACE_SECONDS = 5


@contextlib.contextmanager
def subscribed(stream, consumer, kind="TRIM_HORIZON", shard=FIRST, **position):
    """The events of a subscription."""
    reply = stream.kinesis.subscribe_to_shard(
        ConsumerARN=consumer["ConsumerARN"],
        ShardId=shard,
        StartingPosition={"Type": kind, **position},
    )
    headers = reply["ResponseMetadata"]["HTTPHeaders"]
    assert headers["content-type"] == "application/vnd.amazon.eventstream"
    with contextlib.closing(reply["EventStream"]) as events:
        yield (event["SubscribeToShardEvent"] for event in events)


def take(events, count):
    """The first records of a subscription, and the event that held the last of them."""
    records = []
    for event in events:
        assert event.keys() >= {
            "Records", "ContinuationSequenceNumber", "MillisBehindLatest"
        }
        records += event["Records"]
        if len(records) >= count:
            return records, event
    raise AssertionError(f"the subscription ended after {len(records)} records")


@pytest.mark.operation("SubscribeToShard")
def test_what_is_put_is_pushed(stream):
    put = [stream.put(b"%d" % index, f"key-{index}") for index in range(3)]
    with subscribed(stream, stream.consumer()) as events:
        records, _ = take(events, 3)
        put += [stream.put(b"%d" % index, f"key-{index}") for index in range(3, 6)]
        more, last = take(events, 3)
    records += more
    assert [record["Data"] for record in records] == [b"%d" % index for index in range(6)]
    assert [record["PartitionKey"] for record in records] == [f"key-{i}" for i in range(6)]
    assert [record["SequenceNumber"] for record in records] == [
        reply["SequenceNumber"] for reply in put
    ]
    assert all(
        record.keys()
        == {"SequenceNumber", "ApproximateArrivalTimestamp", "Data", "PartitionKey"}
        and isinstance(record["ApproximateArrivalTimestamp"], datetime.datetime)
        for record in records
    )
    assert int(last["ContinuationSequenceNumber"]) >= int(put[-1]["SequenceNumber"])


@pytest.mark.operation("SubscribeToShard")
def test_a_subscription_goes_on_where_another_ended(stream):
    for index in range(3):
        stream.put(b"%d" % index)
    with subscribed(stream, stream.consumer()) as events:
        _, last = take(events, 3)
    stream.put(b"3")
    with subscribed(
        stream,
        stream.consumer(),
        "AFTER_SEQUENCE_NUMBER",
        SequenceNumber=last["ContinuationSequenceNumber"],
    ) as events:
        records, _ = take(events, 1)
    assert [record["Data"] for record in records] == [b"3"]


@pytest.mark.operation("SubscribeToShard")
def test_a_subscription_starts_where_an_iterator_can(stream):
    numbers = [stream.put(b"%d" % index)["SequenceNumber"] for index in range(3)]
    start = stream.shards()[0]["SequenceNumberRange"]["StartingSequenceNumber"]
    long_ago = datetime.datetime(2015, 1, 1, tzinfo=datetime.timezone.utc)
    for kind, position, expected in [
        ("AT_SEQUENCE_NUMBER", {"SequenceNumber": numbers[1]}, [b"1", b"2"]),
        ("AT_SEQUENCE_NUMBER", {"SequenceNumber": start}, [b"0", b"1", b"2"]),
        ("AFTER_SEQUENCE_NUMBER", {"SequenceNumber": numbers[1]}, [b"2"]),
        ("AT_TIMESTAMP", {"Timestamp": long_ago}, [b"0", b"1", b"2"]),
    ]:
        with subscribed(stream, stream.consumer(), kind, **position) as events:
            records, _ = take(events, len(expected))
        assert [record["Data"] for record in records] == expected


@pytest.mark.operation("SubscribeToShard")
def test_latest_is_fixed_when_the_subscription_starts(stream):
    stream.put(b"before")
    with subscribed(stream, stream.consumer(), "LATEST") as events:
        stream.put(b"after")
        records, _ = take(events, 1)
    assert [record["Data"] for record in records] == [b"after"]


@pytest.mark.operation("SubscribeToShard")
def test_a_subscription_to_an_idle_shard_is_told_that_it_lives(stream):
    begun = time.monotonic()
    with subscribed(stream, stream.consumer(), "LATEST") as events:
        event = next(events)
    assert event["Records"] == []
    assert event["MillisBehindLatest"] == 0
    assert len(event["ContinuationSequenceNumber"]) == 56
    assert time.monotonic() - begun < 10


@pytest.mark.operation("SubscribeToShard")
def test_a_large_record_is_pushed_whole(kinesis, stream):
    kinesis.update_max_record_size(StreamARN=stream.arn, MaxRecordSizeInKiB=10_240)
    data = bytes(range(256)) * (4 << 12)
    stream.put(data)
    with subscribed(stream, stream.consumer()) as events:
        records, _ = take(events, 1)
    assert records[0]["Data"] == data


@pytest.mark.operation("SubscribeToShard", "SplitShard")
def test_the_end_of_a_shard_names_its_children_and_no_continuation(kinesis, stream):
    stream.put(b"data")
    with subscribed(stream, stream.consumer()) as events:
        take(events, 1)
        kinesis.split_shard(
            StreamName=stream.name, ShardToSplit=FIRST, NewStartingHashKey=str(2**127)
        )
        *_, last = events
    assert last["Records"] == []
    # Clients read what is missing as the end of the shard, whatever the model requires.
    assert last.get("ContinuationSequenceNumber") is None
    assert last["ChildShards"] == [
        {
            "ShardId": "shardId-000000000001",
            "ParentShards": [FIRST],
            "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": str(2**127 - 1)},
        },
        {
            "ShardId": "shardId-000000000002",
            "ParentShards": [FIRST],
            "HashKeyRange": {
                "StartingHashKey": str(2**127), "EndingHashKey": str(HASH_KEY_MAX)
            },
        },
    ]


@pytest.mark.operation("SubscribeToShard")
def test_a_place_is_refused_for_five_seconds_and_then_taken_over(stream):
    consumer = stream.consumer()
    with subscribed(stream, consumer, "LATEST") as first:
        begun = time.monotonic()
        with refused("ResourceInUseException"):
            with subscribed(stream, consumer, "LATEST"):
                pass
        next(first)
        # There is no event for the end of a second subscription's patience.
        time.sleep(max(0, begun + PLACE_SECONDS + 0.2 - time.monotonic()))
        with subscribed(stream, consumer, "LATEST") as second:
            with refused("ResourceInUseException"):
                list(first)
            stream.put(b"data")
            records, _ = take(second, 1)
    assert [record["Data"] for record in records] == [b"data"]


@pytest.mark.operation("SubscribeToShard")
def test_consumers_do_not_get_in_each_others_way(wide):
    with contextlib.ExitStack() as stack:
        consumers = [wide.consumer(), wide.consumer()]
        subscriptions = [
            stack.enter_context(subscribed(wide, consumer, "LATEST", shard["ShardId"]))
            for consumer in consumers
            for shard in wide.shards()[:2]
        ]
        for hash_key in ["0", str(2**126)]:
            wide.put(hash_key.encode(), ExplicitHashKey=hash_key)
        got = [take(events, 1)[0][0]["Data"] for events in subscriptions]
    assert got == [b"0", str(2**126).encode()] * 2


@pytest.mark.operation("SubscribeToShard", "DeregisterStreamConsumer")
def test_deregistering_a_consumer_ends_its_subscriptions(kinesis, stream):
    consumer = stream.consumer()
    with subscribed(stream, consumer, "LATEST") as events:
        kinesis.deregister_stream_consumer(ConsumerARN=consumer["ConsumerARN"])
        with refused("ResourceNotFoundException"):
            list(events)


@pytest.mark.operation("SubscribeToShard", "DeleteStream")
def test_deleting_a_stream_ends_its_subscriptions(kinesis, stream):
    with subscribed(stream, stream.consumer(), "LATEST") as events:
        kinesis.delete_stream(StreamName=stream.name, EnforceConsumerDeletion=True)
        with refused("ResourceNotFoundException"):
            list(events)


def test_what_is_refused_before_the_stream_opens_is_an_error_as_any_other(stream):
    consumer = stream.consumer()
    with refused("ResourceNotFoundException") as caught:
        with subscribed(stream, consumer, shard="shardId-000000000009"):
            pass
    headers = caught.value.response["ResponseMetadata"]["HTTPHeaders"]
    assert headers["content-type"] == "application/x-amz-json-1.1"
    with refused("ValidationException"):
        with subscribed(stream, {"ConsumerARN": "no ARN"}):
            pass


def test_a_dry_run_opens_no_stream(kinesis, stream):
    subscription = {
        "ConsumerARN": stream.consumer()["ConsumerARN"],
        "ShardId": FIRST,
        "StartingPosition": {"Type": "LATEST"},
    }
    with refused("DryRunOperationException"):
        kinesis.subscribe_to_shard(**subscription, DryRun=True)
    kinesis.subscribe_to_shard(**subscription)["EventStream"].close()
