"""Resource policies of streams and consumers."""

import json

import pytest

from samples import POLICY
from world import refused


@pytest.mark.operation("PutResourcePolicy", "GetResourcePolicy", "DeleteResourcePolicy")
@pytest.mark.parametrize("kind", ["stream", "consumer"])
def test_a_policy_is_put_got_and_deleted(kinesis, stream, kind):
    arn = stream.arn if kind == "stream" else stream.consumer()["ConsumerARN"]

    def policy():
        return kinesis.get_resource_policy(ResourceARN=arn)["Policy"]

    assert policy() == "{}"
    reply = kinesis.put_resource_policy(ResourceARN=arn, Policy=POLICY)
    assert reply.keys() == {"ResponseMetadata"}
    assert json.loads(policy()) == json.loads(POLICY)
    reply = kinesis.delete_resource_policy(ResourceARN=arn)
    assert reply.keys() == {"ResponseMetadata"}
    assert policy() == "{}"


@pytest.mark.operation("PutResourcePolicy", "GetResourcePolicy")
def test_a_policy_takes_the_place_of_the_one_before(kinesis, stream):
    other = json.loads(POLICY)
    other["Statement"]["Effect"] = "Deny"
    for policy in [POLICY, json.dumps(other)]:
        kinesis.put_resource_policy(ResourceARN=stream.arn, Policy=policy)
        got = kinesis.get_resource_policy(ResourceARN=stream.arn)["Policy"]
        assert json.loads(got) == json.loads(policy)


@pytest.mark.parametrize("policy", ["no policy", "[]", '{"Version": "2012-10-17"}'])
def test_what_is_no_policy_is_refused(kinesis, stream, policy):
    with refused("InvalidArgumentException"):
        kinesis.put_resource_policy(ResourceARN=stream.arn, Policy=policy)
    assert kinesis.get_resource_policy(ResourceARN=stream.arn)["Policy"] == "{}"


def test_a_policy_has_at_most_20_kibibytes(kinesis, stream):
    with refused("LimitExceededException"):
        policy = POLICY + " " * (20 << 10)
        kinesis.put_resource_policy(ResourceARN=stream.arn, Policy=policy)


def test_a_policy_needs_something_to_be_attached_to(kinesis, stream):
    for arn in [stream.arn + "-absent", f"{stream.arn}/consumer/absent:1"]:
        with refused("ResourceNotFoundException"):
            kinesis.put_resource_policy(ResourceARN=arn, Policy=POLICY)
