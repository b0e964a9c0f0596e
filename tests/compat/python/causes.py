"""What causes each documented error of each operation, or why a test cannot cause it.

A cause names the fixtures it needs and makes the call that is refused. Most follow from the
requests of samples.py: the same request for a stream that is absent, or is being created, or
once more than the quota allows.
"""

import dataclasses
import time
from typing import Callable

from botocore import xform_name
from botocore.exceptions import ClientError

from samples import OF_A_STREAM, OF_THE_ACCOUNT
from world import HASH_KEY_MAX, Stream, make_on_demand, make_stream, unique

MIB = 1 << 20
# No operation that is limited by the second allows more than 20 calls.
CALLS_MAX = 100


@dataclasses.dataclass(frozen=True)
class Cause:
    """How an error comes about."""

    fixtures: tuple
    call: Callable

    @staticmethod
    def code(error):
        return f"{error}Exception"


CAUSES = {}


def call(kinesis, operation, request):
    return getattr(kinesis, xform_name(operation))(**request)


def cause(error, *operations, fixtures=("kinesis",)):
    """Registers a function, of the fixtures and the operation, as the cause of an error."""

    def register(function):
        for operation in operations:
            CAUSES[operation, error] = Cause(
                fixtures,
                lambda operation=operation, **fixtures: function(operation, **fixtures),
            )
        return function

    return register


def request(error, operation, make):
    """Registers one request as the cause: of a stream, on a server without quotas."""

    @cause(error, operation, fixtures=("kinesis", "stream"))
    def _(operation, kinesis, stream):
        call(kinesis, operation, make(stream))


def find(operation, error):
    """The cause of an error, or the reason why there is none."""
    found = CAUSES.get((operation, error)) or NO_CAUSE.get((operation, error))
    return found or NEVER[error]


# -- nothing of that name ---------------------------------------------------------------------


@cause("ResourceNotFound", *OF_A_STREAM)
def _absent(operation, kinesis):
    call(kinesis, operation, OF_A_STREAM[operation](Stream(kinesis, "absent")))


@cause("ResourceNotFound", "GetRecords")
def _deleted(operation, kinesis):
    stream = make_stream(kinesis)
    iterator = stream.iterator()
    kinesis.delete_stream(StreamName=stream.name)
    call(kinesis, operation, {"ShardIterator": iterator})


# -- arguments that make no sense -------------------------------------------------------------

NO_STREAM = [
    "AddTagsToStream",
    "DecreaseStreamRetentionPeriod",
    "DeleteStream",
    "DescribeStream",
    "DescribeStreamSummary",
    "DisableEnhancedMonitoring",
    "EnableEnhancedMonitoring",
    "GetShardIterator",
    "IncreaseStreamRetentionPeriod",
    "ListShards",
    "ListTagsForStream",
    "PutRecord",
    "PutRecords",
    "RemoveTagsFromStream",
    "MergeShards",
    "StopStreamEncryption",
]


@cause("InvalidArgument", *NO_STREAM)
def _no_stream(operation, kinesis):
    without = OF_A_STREAM[operation](Stream(kinesis, "absent"))
    del without["StreamName"]
    call(kinesis, operation, without)


BAD_NAME = "arn:aws:kinesis:us-east-1:000000000000:stream/not%a%name"

for _operation in [
    "DeleteResourcePolicy",
    "GetResourcePolicy",
    "ListTagsForResource",
    "PutResourcePolicy",
    "TagResource",
    "UntagResource",
]:
    request(
        "InvalidArgument",
        _operation,
        lambda stream, operation=_operation: {
            **OF_A_STREAM[operation](stream), "ResourceARN": BAD_NAME
        },
    )

request("InvalidArgument", "CreateStream", lambda stream: {
    "StreamName": unique("stream"),
    "ShardCount": 1,
    "RecordDistributionStrategy": "AUTO",
})
request("InvalidArgument", "DeregisterStreamConsumer", lambda stream: {"StreamARN": stream.arn})
request("InvalidArgument", "DescribeStreamConsumer", lambda stream: {"StreamARN": stream.arn})
request("InvalidArgument", "GetRecords", lambda stream: {"ShardIterator": "malformed"})
request("InvalidArgument", "ListStreamConsumers", lambda stream: {
    "StreamARN": stream.arn, "NextToken": "malformed"
})
request("InvalidArgument", "ListStreams", lambda stream: {"NextToken": "malformed"})
request("InvalidArgument", "RegisterStreamConsumer", lambda stream: {
    "StreamARN": stream.arn,
    "ConsumerName": "consumer",
    "Tags": {str(key): "" for key in range(51)},
})
request("InvalidArgument", "SplitShard", lambda stream: {
    **OF_A_STREAM["SplitShard"](stream), "NewStartingHashKey": str(HASH_KEY_MAX)
})
request("InvalidArgument", "StartStreamEncryption", lambda stream: {
    **OF_A_STREAM["StartStreamEncryption"](stream), "EncryptionType": "NONE"
})
request("InvalidArgument", "UpdateMaxRecordSize", lambda stream: {
    "StreamARN": BAD_NAME, "MaxRecordSizeInKiB": 1024
})
request("InvalidArgument", "UpdateShardCount", lambda stream: {
    **OF_A_STREAM["UpdateShardCount"](stream), "TargetShardCount": 10_001
})
request("InvalidArgument", "UpdateStreamRecordDistributionStrategy", lambda stream: {
    "StreamARN": stream.arn, "RecordDistributionStrategy": "AUTO"
})
request("InvalidArgument", "UpdateStreamWarmThroughput", lambda stream: {
    **OF_A_STREAM["UpdateStreamWarmThroughput"](stream), "WarmThroughputMiBps": 10_241
})


@cause("InvalidArgument", "UpdateStreamMode")
def _provisioned_with_auto(operation, kinesis):
    stream = make_on_demand(kinesis, RecordDistributionStrategy="AUTO")
    mode = {"StreamMode": "PROVISIONED"}
    call(kinesis, operation, {"StreamARN": stream.arn, "StreamModeDetails": mode})


@cause("InvalidArgument", "SubscribeToShard", fixtures=("kinesis", "stream"))
def _subscribe_without_number(operation, kinesis, stream):
    call(kinesis, operation, {
        "ConsumerARN": stream.consumer()["ConsumerARN"],
        "ShardId": "shardId-000000000000",
        "StartingPosition": {"Type": "AT_SEQUENCE_NUMBER"},
    })


# -- values outside of the model --------------------------------------------------------------

for _operation in [
    "DeleteResourcePolicy",
    "GetResourcePolicy",
    "ListTagsForResource",
    "PutResourcePolicy",
    "TagResource",
    "UntagResource",
]:
    request(
        "Validation",
        _operation,
        lambda stream, operation=_operation: {
            **OF_A_STREAM[operation](stream), "ResourceARN": "no ARN"
        },
    )

request("Validation", "CreateStream", lambda stream: {"StreamName": "no name", "ShardCount": 1})
request("Validation", "UpdateAccountSettings", lambda stream: {
    "MinimumThroughputBillingCommitment": {"Status": "PERHAPS"}
})
request("Validation", "UpdateMaxRecordSize", lambda stream: {
    "StreamARN": stream.arn, "MaxRecordSizeInKiB": 1023
})
request("Validation", "UpdateStreamMode", lambda stream: {
    "StreamARN": stream.arn, "StreamModeDetails": {"StreamMode": "AT_WILL"}
})
request("Validation", "UpdateStreamRecordDistributionStrategy", lambda stream: {
    "StreamARN": stream.arn, "RecordDistributionStrategy": "BY_CHANCE"
})
request("Validation", "UpdateStreamWarmThroughput", OF_A_STREAM["UpdateStreamWarmThroughput"])


@cause("Validation", "MergeShards", "SplitShard", "UpdateShardCount")
def _on_demand(operation, kinesis):
    call(kinesis, operation, OF_A_STREAM[operation](make_on_demand(kinesis)))


# -- what is there already, in use, or being changed ------------------------------------------


@cause(
    "ResourceInUse",
    "AddTagsToStream",
    "DeleteResourcePolicy",
    "DisableEnhancedMonitoring",
    "EnableEnhancedMonitoring",
    "ListShards",
    "MergeShards",
    "PutResourcePolicy",
    "RemoveTagsFromStream",
    "SplitShard",
    "StartStreamEncryption",
    "StopStreamEncryption",
    "TagResource",
    "UntagResource",
    "UpdateMaxRecordSize",
    "UpdateShardCount",
    "UpdateStreamMode",
    "UpdateStreamRecordDistributionStrategy",
    "UpdateStreamWarmThroughput",
    fixtures=("with_delays",),
)
def _creating(operation, with_delays):
    call(with_delays, operation, OF_A_STREAM[operation](make_stream(with_delays)))


request("ResourceInUse", "CreateStream", lambda stream: {
    "StreamName": stream.name, "ShardCount": 1
})


@cause("ResourceInUse", "DeleteStream", fixtures=("kinesis", "stream"))
def _has_consumers(operation, kinesis, stream):
    stream.consumer()
    call(kinesis, operation, {"StreamName": stream.name})


@cause("ResourceInUse", "RegisterStreamConsumer", fixtures=("kinesis", "stream"))
def _is_registered(operation, kinesis, stream):
    name = stream.consumer()["ConsumerName"]
    call(kinesis, operation, {"StreamARN": stream.arn, "ConsumerName": name})


@cause("ResourceInUse", "SubscribeToShard", fixtures=("kinesis", "stream"))
def _is_subscribed(operation, kinesis, stream):
    subscription = {
        "ConsumerARN": stream.consumer()["ConsumerARN"],
        "ShardId": "shardId-000000000000",
        "StartingPosition": {"Type": "LATEST"},
    }
    first = call(kinesis, operation, subscription)
    try:
        call(kinesis, operation, subscription)
    finally:
        first["EventStream"].close()


# -- more than the quotas allow ---------------------------------------------------------------


def patiently(function):
    """Calls until the rate of calls admits it, which is after a second at most."""
    for _ in range(CALLS_MAX):
        try:
            return function()
        except ClientError as error:
            if error.response["Error"]["Code"] != "LimitExceededException":
                raise
            time.sleep(0.1)
    raise AssertionError("no call was ever admitted")


def limited_stream(kinesis, shards=1):
    return patiently(lambda: make_stream(kinesis, shards))


def repeat(kinesis, operation, requests):
    """Calls as fast as it goes. The call that is refused for its rate raises."""
    for made in requests:
        call(kinesis, operation, made)


@cause("LimitExceeded", *OF_THE_ACCOUNT, fixtures=("with_quotas",))
def _account_rate(operation, with_quotas):
    repeat(with_quotas, operation, [OF_THE_ACCOUNT[operation]] * CALLS_MAX)


@cause(
    "LimitExceeded",
    "AddTagsToStream",
    "DecreaseStreamRetentionPeriod",
    "DeleteResourcePolicy",
    "DescribeStream",
    "DescribeStreamSummary",
    "DisableEnhancedMonitoring",
    "EnableEnhancedMonitoring",
    "GetResourcePolicy",
    "IncreaseStreamRetentionPeriod",
    "ListStreamConsumers",
    "ListTagsForResource",
    "ListTagsForStream",
    "PutResourcePolicy",
    "RemoveTagsFromStream",
    "TagResource",
    "UntagResource",
    "UpdateMaxRecordSize",
    "UpdateStreamRecordDistributionStrategy",
    fixtures=("with_quotas",),
)
def _rate(operation, with_quotas):
    made = OF_A_STREAM[operation](limited_stream(with_quotas))
    repeat(with_quotas, operation, [made] * CALLS_MAX)


@cause("LimitExceeded", "UpdateStreamWarmThroughput", fixtures=("with_quotas",))
def _on_demand_rate(operation, with_quotas):
    made = OF_A_STREAM[operation](patiently(lambda: make_on_demand(with_quotas)))
    repeat(with_quotas, operation, [made] * CALLS_MAX)


@cause("LimitExceeded", "CreateStream", fixtures=("with_quotas",))
def _creations(operation, with_quotas):
    requests = ({"StreamName": unique("stream"), "ShardCount": 1} for _ in range(CALLS_MAX))
    repeat(with_quotas, operation, requests)


@cause("LimitExceeded", "DeleteStream", fixtures=("with_quotas",))
def _deletions(operation, with_quotas):
    streams = [limited_stream(with_quotas) for _ in range(10)]
    repeat(with_quotas, operation, [{"StreamName": stream.name} for stream in streams])


@cause("LimitExceeded", "RegisterStreamConsumer", fixtures=("with_quotas",))
def _registrations(operation, with_quotas):
    arn = limited_stream(with_quotas).arn
    consumers = ({"StreamARN": arn, "ConsumerName": unique("consumer")} for _ in range(21))
    repeat(with_quotas, operation, consumers)


@cause("LimitExceeded", "DeregisterStreamConsumer", fixtures=("with_quotas",))
def _deregistrations(operation, with_quotas):
    stream = limited_stream(with_quotas)
    consumers = [patiently(stream.consumer) for _ in range(10)]
    repeat(with_quotas, operation, [{"ConsumerARN": made["ConsumerARN"]} for made in consumers])


@cause("LimitExceeded", "DescribeStreamConsumer", fixtures=("with_quotas",))
def _descriptions(operation, with_quotas):
    arn = limited_stream(with_quotas).consumer()["ConsumerARN"]
    repeat(with_quotas, operation, [{"ConsumerARN": arn}] * CALLS_MAX)


@cause("LimitExceeded", "MergeShards", "SplitShard", fixtures=("with_quotas",))
def _reshards(operation, with_quotas):
    stream = limited_stream(with_quotas, 40)
    requests = [OF_A_STREAM[operation](stream) for _ in range(20)]
    for index, made in enumerate(requests):
        lower = 2 * index
        if operation == "SplitShard":
            width = 2**128 // 40
            made["ShardToSplit"] = f"shardId-{lower:012}"
            made["NewStartingHashKey"] = str(lower * width + width // 2)
        else:
            made["ShardToMerge"] = f"shardId-{lower:012}"
            made["AdjacentShardToMerge"] = f"shardId-{lower + 1:012}"
    repeat(with_quotas, operation, requests)


@cause("LimitExceeded", "UpdateShardCount", fixtures=("with_quotas",))
def _scalings(operation, with_quotas):
    """Ten in 24 hours: one shard and two take turns."""
    stream = limited_stream(with_quotas)
    for index in range(11):
        made = {**OF_A_STREAM[operation](stream), "TargetShardCount": 2 - index % 2}
        call(with_quotas, operation, made)


@cause("LimitExceeded", "UpdateStreamMode", fixtures=("with_quotas",))
def _switches(operation, with_quotas):
    """Two in 24 hours."""
    stream = limited_stream(with_quotas)
    for mode in ["ON_DEMAND", "PROVISIONED", "ON_DEMAND"]:
        made = {"StreamARN": stream.arn, "StreamModeDetails": {"StreamMode": mode}}
        call(with_quotas, operation, made)


@cause("LimitExceeded", "SubscribeToShard", fixtures=("with_quotas",))
def _subscriptions(operation, with_quotas):
    """One a second for a consumer and a shard."""
    subscription = {
        "ConsumerARN": limited_stream(with_quotas).consumer()["ConsumerARN"],
        "ShardId": "shardId-000000000000",
        "StartingPosition": {"Type": "LATEST"},
    }
    call(with_quotas, operation, subscription)["EventStream"].close()
    call(with_quotas, operation, subscription)


@cause("ProvisionedThroughputExceeded", "GetShardIterator", fixtures=("with_quotas",))
def _iterators(operation, with_quotas):
    made = OF_A_STREAM[operation](limited_stream(with_quotas))
    repeat(with_quotas, operation, [made] * CALLS_MAX)


@cause("ProvisionedThroughputExceeded", "GetRecords", fixtures=("with_quotas",))
def _polls(operation, with_quotas):
    iterator = limited_stream(with_quotas).iterator()
    repeat(with_quotas, operation, [{"ShardIterator": iterator}] * CALLS_MAX)


@cause("ProvisionedThroughputExceeded", "PutRecord", fixtures=("with_quotas",))
def _puts(operation, with_quotas):
    stream = limited_stream(with_quotas)
    data = b"x" * (MIB - 3)
    record = {"StreamName": stream.name, "Data": data, "PartitionKey": "key"}
    repeat(with_quotas, operation, [record] * 2)


# -- what would have been carried out ---------------------------------------------------------


@cause(
    "DryRunOperation",
    "GetShardIterator",
    "PutRecord",
    "PutRecords",
    fixtures=("kinesis", "stream"),
)
def _dry_run(operation, kinesis, stream):
    call(kinesis, operation, {**OF_A_STREAM[operation](stream), "DryRun": True})


request("DryRunOperation", "GetRecords", lambda stream: {
    "ShardIterator": stream.iterator(), "DryRun": True
})
request("DryRunOperation", "SubscribeToShard", lambda stream: {
    "ConsumerARN": stream.consumer()["ConsumerARN"],
    "ShardId": "shardId-000000000000",
    "StartingPosition": {"Type": "LATEST"},
    "DryRun": True,
})

request("KMSNotFound", "StartStreamEncryption", OF_A_STREAM["StartStreamEncryption"])

# -- what no test can cause -------------------------------------------------------------------

NEVER = {
    "AccessDenied": "needs a server with credentials",
    "ExpiredIterator": "takes 300 seconds",
    "ExpiredNextToken": "takes 300 seconds",
    "InternalFailure": "a failure of the server, which is not to be had",
    "KMSAccessDenied": "there is no key service",
    "KMSDisabled": "there is no key service",
    "KMSInvalidState": "there is no key service",
    "KMSNotFound": "there is no key service: only StartStreamEncryption asks for one",
    "KMSOptInRequired": "there is no key service",
    "KMSThrottling": "there is no key service",
}

_READ_ALL_THE_SAME = "a stream that is being created or changed can be read and described"
_SYNCHRONOUS = "a change of the retention period is over when the call returns"

NO_CAUSE = {
    ("DecreaseStreamRetentionPeriod", "ResourceInUse"): _SYNCHRONOUS,
    ("IncreaseStreamRetentionPeriod", "ResourceInUse"): _SYNCHRONOUS,
    ("GetResourcePolicy", "ResourceInUse"): _READ_ALL_THE_SAME,
    ("ListStreamConsumers", "ResourceInUse"): _READ_ALL_THE_SAME,
    ("ListTagsForResource", "ResourceInUse"): _READ_ALL_THE_SAME,
    ("ListShards", "LimitExceeded"): "1,000 calls a second are more than one client makes",
    ("PutRecords", "ProvisionedThroughputExceeded"): "it is told record by record",
    ("StartStreamEncryption", "LimitExceeded"): "only calls that succeed count, and none does",
    ("StopStreamEncryption", "LimitExceeded"): "a stream without a key has nothing to stop",
    ("UpdateAccountSettings", "InvalidArgument"): "what the model admits is carried out",
}
