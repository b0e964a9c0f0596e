"""The account: its limits and what it committed itself to."""

import datetime
import os

import pytest

from server import Server
from world import ACCOUNT, REGION, client, make_on_demand, make_stream, refused


@pytest.fixture
def own():
    """Makes servers that nobody else uses, with a client of each."""
    servers = []

    def start(*options):
        servers.append(Server(os.environ["ANABRANCH_BINARY"], *options).__enter__())
        return client(f"http://{servers[-1].address}")

    yield start
    for server in servers:
        server.__exit__(None, None, None)


@pytest.mark.operation("DescribeLimits")
def test_limits_are_those_of_the_profile_open(kinesis):
    limits = kinesis.describe_limits()
    assert limits["ShardLimit"] == 1_000_000
    assert limits["OnDemandStreamCountLimit"] == 1_000_000


def test_what_counts_against_the_limits_is_counted(own):
    kinesis = own("--quotas", "aws")
    make_stream(kinesis, 3)
    make_on_demand(kinesis)
    limits = kinesis.describe_limits()
    del limits["ResponseMetadata"]
    assert {
        "ShardLimit": 500,
        "OpenShardCount": 3,
        "OnDemandStreamCount": 1,
        "OnDemandStreamCountLimit": 50,
    }.items() <= limits.items()


def test_more_shards_than_the_account_may_have_are_told_in_the_words_of_the_service(own):
    kinesis = own("--quotas", "aws")
    stream = make_stream(kinesis, 490)
    text = (
        f"This request would exceed the shard limit for the account {ACCOUNT} in {REGION}. "
        "Current shard count for the account: 490. Limit: 500. Number of additional shards that "
        "would have resulted from this request: 11. Refer to "
    )
    with refused("LimitExceededException") as caught:
        make_stream(kinesis, 11)
    assert caught.value.response["Error"]["Message"].startswith(text)
    make_stream(kinesis, 10)
    for call, request in [
        (kinesis.split_shard, {"ShardToSplit": "0", "NewStartingHashKey": "100"}),
        (kinesis.update_shard_count,
         {"TargetShardCount": 491, "ScalingType": "UNIFORM_SCALING"}),
    ]:
        with refused("LimitExceededException") as caught:
            call(StreamName=stream.name, **request)
        text = caught.value.response["Error"]["Message"]
        assert "Current shard count for the account: 500. Limit: 500." in text


def test_a_commitment_lasts_24_hours(own):
    kinesis = own()
    commitment = "MinimumThroughputBillingCommitment"
    now = kinesis.describe_account_settings()[commitment]
    assert now == {"Status": "DISABLED"}

    def update(status):
        return kinesis.update_account_settings(**{commitment: {"Status": status}})[commitment]

    enabled = update("ENABLED")
    assert enabled["Status"] == "ENABLED"
    day = enabled["EarliestAllowedEndAt"] - enabled["StartedAt"]
    assert day == datetime.timedelta(hours=24)
    assert "EndedAt" not in enabled
    assert kinesis.describe_account_settings()[commitment] == enabled
    assert update("DISABLED")["Status"] == "ENABLED_UNTIL_EARLIEST_ALLOWED_END"


@pytest.mark.operation("DescribeAccountSettings", "UpdateAccountSettings")
def test_account_settings_are_described(kinesis):
    commitment = {"Status": "ENABLED"}
    kinesis.update_account_settings(MinimumThroughputBillingCommitment=commitment)
    now = kinesis.describe_account_settings()["MinimumThroughputBillingCommitment"]
    assert now["Status"] == "ENABLED"


def test_warm_throughput_needs_a_commitment(own):
    with refused("ValidationException"):
        make_on_demand(own(), WarmThroughputMiBps=5)
