"""Consumers with enhanced fan-out: registered, described, listed, deregistered."""

import datetime
import re

import pytest

from world import refused


@pytest.mark.operation("RegisterStreamConsumer", "DescribeStreamConsumer")
def test_a_consumer_is_described_as_it_was_registered(kinesis, stream):
    reply = kinesis.register_stream_consumer(StreamARN=stream.arn, ConsumerName="con1")
    consumer = reply["Consumer"]
    created = consumer["ConsumerCreationTimestamp"]
    assert isinstance(created, datetime.datetime)
    assert consumer["ConsumerName"] == "con1"
    assert consumer["ConsumerStatus"] in ("CREATING", "ACTIVE")
    assert re.fullmatch(re.escape(stream.arn) + r"/consumer/con1:[0-9]+", consumer["ConsumerARN"])
    assert consumer["ConsumerARN"].endswith(f":{int(created.timestamp())}")
    assert consumer.keys() == {
        "ConsumerName", "ConsumerARN", "ConsumerStatus", "ConsumerCreationTimestamp"
    }

    described = kinesis.describe_stream_consumer(StreamARN=stream.arn, ConsumerName="con1")
    assert described["ConsumerDescription"] == {
        **consumer, "ConsumerStatus": "ACTIVE", "StreamARN": stream.arn
    }
    by_arn = kinesis.describe_stream_consumer(ConsumerARN=consumer["ConsumerARN"])
    assert by_arn["ConsumerDescription"] == described["ConsumerDescription"]


@pytest.mark.operation("DescribeStreamConsumer", "DeregisterStreamConsumer")
def test_a_consumer_is_named_by_its_arn_and_its_stream_as_well(kinesis, stream):
    """Recorded of the service: the ARNs of both, and the name too, are taken together."""
    consumer = stream.consumer()
    naming = {"StreamARN": stream.arn, "ConsumerARN": consumer["ConsumerARN"]}
    described = kinesis.describe_stream_consumer(**naming)["ConsumerDescription"]
    assert described["ConsumerName"] == consumer["ConsumerName"]
    kinesis.deregister_stream_consumer(**naming, ConsumerName=consumer["ConsumerName"])
    with refused("ResourceNotFoundException"):
        kinesis.describe_stream_consumer(**naming)


@pytest.mark.operation("DeregisterStreamConsumer", "ListStreamConsumers")
@pytest.mark.parametrize("by_arn", [True, False])
def test_a_deregistered_consumer_is_gone(kinesis, stream, by_arn):
    consumer = stream.consumer("con1")
    naming = {"StreamARN": stream.arn, "ConsumerName": "con1"}
    if by_arn:
        naming = {"ConsumerARN": consumer["ConsumerARN"]}
    reply = kinesis.deregister_stream_consumer(**naming)
    assert reply.keys() == {"ResponseMetadata"}
    assert kinesis.list_stream_consumers(StreamARN=stream.arn)["Consumers"] == []
    with refused("ResourceNotFoundException"):
        kinesis.deregister_stream_consumer(**naming)


@pytest.mark.operation("ListStreamConsumers")
def test_consumers_are_listed_page_by_page(kinesis, stream):
    names = [f"con-{index}" for index in range(5)]
    for name in reversed(names):
        stream.consumer(name)
    page = kinesis.list_stream_consumers(StreamARN=stream.arn, MaxResults=2)
    assert [consumer["ConsumerName"] for consumer in page["Consumers"]] == names[:2]
    assert page["Consumers"][0].keys() == {
        "ConsumerName", "ConsumerARN", "ConsumerStatus", "ConsumerCreationTimestamp"
    }
    pages = kinesis.get_paginator("list_stream_consumers").paginate(
        StreamARN=stream.arn, PaginationConfig={"PageSize": 2}
    )
    listed = [[consumer["ConsumerName"] for consumer in page["Consumers"]] for page in pages]
    assert listed == [names[:2], names[2:4], names[4:]]
    assert stream.summary()["ConsumerCount"] == 5


@pytest.mark.operation("RegisterStreamConsumer", "ListTagsForResource")
def test_a_consumer_is_registered_with_tags(kinesis, stream):
    tags = {"team": "blue"}
    reply = kinesis.register_stream_consumer(
        StreamARN=stream.arn, ConsumerName="con1", Tags=tags
    )
    arn = reply["Consumer"]["ConsumerARN"]
    listed = kinesis.list_tags_for_resource(ResourceARN=arn)["Tags"]
    assert listed == [{"Key": "team", "Value": "blue"}]


def test_a_name_is_registered_once(kinesis, stream):
    stream.consumer("con1")
    with refused("ResourceInUseException"):
        stream.consumer("con1")


def test_a_consumer_of_an_earlier_registration_is_not_found(kinesis, stream):
    arn = stream.consumer("con1")["ConsumerARN"]
    former, _, seconds = arn.rpartition(":")
    with refused("ResourceNotFoundException"):
        kinesis.describe_stream_consumer(ConsumerARN=f"{former}:{int(seconds) - 10}")


def test_consumers_of_an_earlier_stream_are_not_listed(kinesis, stream):
    made = stream.described()["StreamCreationTimestamp"]
    stream.consumer("con1")
    reply = kinesis.list_stream_consumers(StreamARN=stream.arn, StreamCreationTimestamp=made)
    assert len(reply["Consumers"]) == 1
    with refused("ResourceNotFoundException"):
        kinesis.list_stream_consumers(
            StreamARN=stream.arn, StreamCreationTimestamp=made - datetime.timedelta(seconds=10)
        )


def test_a_consumer_needs_a_name_of_the_form_of_the_model(kinesis, stream):
    text = (
        "1 validation error detected: Value 'no name' at 'consumerName' failed to satisfy "
        "constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+"
    )
    with refused("ValidationException", text):
        stream.consumer("no name")
