"""What a stranger's client gets: our .proto, stock grpcio-tools, default options.

    check.py BINARY

Generates the stubs, starts the binary, puts a batch of exactly 10 MiB and then 100 MB of records
of all sizes, reads everything back by pull and by push, and holds every record against what was
put: key, data, order, and that nothing is there twice. A stream is split and merged under load and
followed (reshards.py). Then errors must carry their details, and health and reflection must answer.
Prints figures; the first mismatch ends it with exit code 1.

Nothing here raises a limit of gRPC. A page or an event that a default client refuses would end
this program, and that is the point of it.
"""

import collections
import pathlib
import random
import sys
import tempfile
import time

import grpc
import grpc_tools
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from grpc_status import rpc_status
from grpc_tools import protoc

import reshards
from server import Server

ROOT = pathlib.Path(__file__).resolve().parents[3]
SERVICE = "anabranch.v1.Streams"
STREAM = "interop"
SHARDS = 4
MIB = 1 << 20
REPLAY_BYTES = 100_000_000
# Bytes of a record are drawn from these: none at all, one, usual ones, and some large ones.
SIZES = [0, 1, 10, 100, 200, 500] * 4 + [1000] * 30 + [4000, 60_000]
SEED = 4567


def check(holds, what):
    """The one assertion: `assert` would vanish under `python -O`."""
    if not holds:
        raise AssertionError(what)


def generate(directory):
    """Makes the stubs as grpcio-tools' own documentation says, and returns both modules."""
    google = pathlib.Path(grpc_tools.__file__).parent / "_proto"
    code = protoc.main(
        [
            "protoc",
            f"-I{ROOT / 'proto' / 'proto'}",
            f"-I{google}",
            f"--python_out={directory}",
            f"--grpc_python_out={directory}",
            "anabranch/v1/anabranch.proto",
        ]
    )
    check(code == 0, f"protoc ended with {code}")
    sys.path.insert(0, directory)
    from anabranch.v1 import anabranch_pb2, anabranch_pb2_grpc

    return anabranch_pb2, anabranch_pb2_grpc


def size_of(entry):
    """Bytes as the limits count them: key and data."""
    return len(entry.data) + len(entry.partition_key.encode())


class Ledger:
    """What was acknowledged, by shard, and then by number."""

    def __init__(self):
        self.shards = collections.defaultdict(dict)
        self.records = 0
        self.bytes = 0

    def enter(self, shard_id, sequence_number, entry):
        check(sequence_number > 0, "0 is never a record")
        shard = self.shards[shard_id]
        check(sequence_number not in shard, f"{shard_id}: {sequence_number} was given twice")
        check(not shard or sequence_number > next(reversed(shard)), "numbers rise")
        shard[sequence_number] = entry
        self.records += 1
        self.bytes += size_of(entry)


class Reading:
    """One pass over a shard: every record in order, each once, byte for byte."""

    def __init__(self, ledger, shard_id):
        self.shard_id = shard_id
        self.expected = iter(ledger.shards[shard_id].items())
        self.left = len(ledger.shards[shard_id])
        self.arrival_time_ms = 0

    def take(self, records):
        for record in records:
            check(self.left > 0, f"{self.shard_id}: {record.sequence_number} was never put")
            number, entry = next(self.expected)
            where = f"{self.shard_id}, record {number}"
            check(record.sequence_number == number, f"{where}: came as {record.sequence_number}")
            check(record.partition_key == entry.partition_key, f"{where}: another key")
            check(record.data == entry.data, f"{where}: other data")
            check(record.arrival_time_ms >= self.arrival_time_ms, f"{where}: time fell")
            self.arrival_time_ms = record.arrival_time_ms
            self.left -= 1


def put_largest_batch(api, streams, ledger):
    """A single call of 10 records, together exactly the 10 MiB that are allowed."""
    random_bytes = random.Random(SEED).randbytes
    keys = [f"large {number}" for number in range(10)]
    entries = [
        api.PutRecordsRequestEntry(partition_key=key, data=random_bytes(MIB - len(key)))
        for key in keys
    ]
    request = api.PutRecordsRequest(stream_name=STREAM, records=entries)
    reply = streams.PutRecords(request)
    check(reply.failed_record_count == 0, "all of the largest batch is put")
    check(len(reply.records) == len(entries), "one result per record")
    for entry, result in zip(entries, reply.records):
        ledger.enter(result.shard_id, result.sequence_number, entry)
    # One byte more, and nothing of the batch is put.
    request.records.add(partition_key="!")
    details(lambda: streams.PutRecords(request), grpc.StatusCode.INVALID_ARGUMENT)


def batches(api):
    """Batches of all sizes until there are 100 MB, with keys of all alphabets."""
    chance = random.Random(SEED + 1)
    total = 0
    number = 0
    while total < REPLAY_BYTES:
        entries, left = [], 10 * MIB
        for _ in range(chance.randint(1, 500)):
            key = f"{chance.choice(['key', 'clé', 'ключ', '鍵', '🔑'])} {number % 997}"
            entry = api.PutRecordsRequestEntry(
                partition_key=key, data=chance.randbytes(chance.choice(SIZES))
            )
            if number % 10 == 0:
                entry.explicit_hash_key = str(chance.getrandbits(128))
            size = size_of(entry)
            if size > left:
                break
            entries.append(entry)
            left -= size
            total += size
            number += 1
        yield entries


def produce(api, streams, ledger):
    """All batches down one Produce call; acknowledgements come back in order."""
    waiting = collections.deque()

    def requests():
        for entries in batches(api):
            waiting.append(entries)
            yield api.ProduceRequest(stream_name=STREAM, records=entries)

    for reply in streams.Produce(requests()):
        check(not reply.failures, f"all are put: {reply.failures}")
        entries = waiting.popleft()
        check(len(reply.sequence_numbers) == len(entries), "one number per record")
        for entry, number, index in zip(entries, reply.sequence_numbers, reply.shard_indexes):
            ledger.enter(f"shardId-{index:012}", number, entry)
    check(not waiting, "every batch is answered")


def pull(api, streams, ledger, shard_id):
    """Page after page until the tip. Returns how many pages there were."""
    reading = Reading(ledger, shard_id)
    iterator = streams.GetShardIterator(
        api.GetShardIteratorRequest(
            stream_name=STREAM, shard_id=shard_id, shard_iterator_type=api.TRIM_HORIZON
        )
    ).shard_iterator
    pages = 0
    while True:
        page = streams.GetRecords(api.GetRecordsRequest(shard_iterator=iterator))
        pages += 1
        reading.take(page.records)
        iterator = page.next_shard_iterator
        check(iterator, "an open shard has no end")
        if reading.left == 0 and page.millis_behind_latest == 0:
            break
        check(page.records, "a page before the tip has records")
    last = streams.GetRecords(api.GetRecordsRequest(shard_iterator=iterator))
    reading.take(last.records)
    return pages


def push(api, streams, ledger, shard_id):
    """One subscription until the tip. Returns how many events there were."""
    reading = Reading(ledger, shard_id)
    call = streams.SubscribeToShard(
        api.SubscribeToShardRequest(
            stream_name=STREAM,
            consumer_name="reader",
            shard_id=shard_id,
            starting_position=api.StartingPosition(type=api.TRIM_HORIZON),
        )
    )
    events = 0
    for event in call:
        events += 1
        reading.take(event.records)
        if reading.left == 0:
            check(event.millis_behind_latest == 0, "the last record is the tip")
            break
    call.cancel()
    check(reading.left == 0, f"{shard_id}: the subscription ended early")
    return events


def details(call, code):
    """Makes a call that must be refused; returns its ErrorInfo and its BadRequest."""
    try:
        call()
    except grpc.RpcError as error:
        check(error.code() == code, f"expected {code}, not {error.code()}: {error.details()}")
        status = rpc_status.from_call(error)
        check(status is not None, f"no details: {error.details()}")
    else:
        raise AssertionError(f"expected {code}, but it was accepted")
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(bad)
    check(info.domain == "anabranch", f"no ErrorInfo of ours: {status}")
    return info, bad


def check_errors(api, streams):
    code = grpc.StatusCode
    again = api.CreateStreamRequest(stream_name=STREAM, shard_count=1)
    info, _ = details(lambda: streams.CreateStream(again), code.ALREADY_EXISTS)
    check(info.reason == "ResourceInUseException", info)
    check(info.metadata["stream_name"] == STREAM, info)

    unknown = api.DescribeStreamSummaryRequest(stream_name="nowhere")
    info, _ = details(lambda: streams.DescribeStreamSummary(unknown), code.NOT_FOUND)
    check(info.reason == "ResourceNotFoundException", info)
    check(info.metadata["stream_name"] == "nowhere", info)

    absurd = api.CreateStreamRequest(stream_name="absurd", shard_count=10_001)
    info, bad = details(lambda: streams.CreateStream(absurd), code.INVALID_ARGUMENT)
    check(info.reason == "InvalidArgumentException", info)
    check([v.field for v in bad.field_violations] == ["shard_count"], bad)

    forged = api.GetRecordsRequest(shard_iterator="forged")
    info, _ = details(lambda: streams.GetRecords(forged), code.INVALID_ARGUMENT)
    check(info.reason == "InvalidArgumentException", info)

    try:
        streams.ListStreams(api.ListStreamsRequest(limit=1), compression=grpc.Compression.Gzip)
    except grpc.RpcError as error:
        check(error.code() == code.UNIMPLEMENTED, f"compressed: {error.code()}")


def check_services(channel):
    health = health_pb2_grpc.HealthStub(channel)
    for service in ["", SERVICE]:
        reply = health.Check(health_pb2.HealthCheckRequest(service=service))
        check(reply.status == health_pb2.HealthCheckResponse.SERVING, f"health of {service!r}")
    database = ProtoReflectionDescriptorDatabase(channel)
    check(SERVICE in database.get_services(), "reflection lists our service")
    file = database.FindFileContainingSymbol(SERVICE)
    methods = [method.name for service in file.service for method in service.method]
    check("SubscribeToShard" in methods, f"reflection knows our methods: {methods}")


class Clock:
    """Figures: what was done, how much, and how long it took."""

    def __init__(self):
        self.started = time.monotonic()

    def lap(self, what, records, size, more=""):
        took = time.monotonic() - self.started
        rate = f"{records / took:,.0f} records/s, {size / took / 1e6:.0f} MB/s"
        print(f"{what:<22} {records:>9,} records {size / 1e6:>7.1f} MB {took:>6.2f} s  {rate}{more}")
        self.started = time.monotonic()


def run(binary, directory):
    api, stubs = generate(directory)
    begin = time.monotonic()
    with Server(binary) as server, grpc.insecure_channel(server.address) as channel:
        streams = stubs.StreamsStub(channel)
        streams.CreateStream(api.CreateStreamRequest(stream_name=STREAM, shard_count=SHARDS))
        ledger = Ledger()
        clock = Clock()
        put_largest_batch(api, streams, ledger)
        records, size = ledger.records, ledger.bytes
        clock.lap("PutRecords of 10 MiB", records, size)
        produce(api, streams, ledger)
        clock.lap("Produce", ledger.records - records, ledger.bytes - size)
        check(len(ledger.shards) == SHARDS, "every shard has records")
        check(ledger.bytes >= REPLAY_BYTES, "enough was put")

        pages = sum(pull(api, streams, ledger, shard) for shard in sorted(ledger.shards))
        clock.lap("GetRecords", ledger.records, ledger.bytes, f", {pages} pages")
        consumer = api.RegisterStreamConsumerRequest(stream_name=STREAM, consumer_name="reader")
        streams.RegisterStreamConsumer(consumer)
        events = sum(push(api, streams, ledger, shard) for shard in sorted(ledger.shards))
        clock.lap("SubscribeToShard", ledger.records, ledger.bytes, f", {events} events")

        reshards.run(api, streams)
        check_errors(api, streams)
        check_services(channel)
    print(f"every byte is equal; it took {time.monotonic() - begin:.1f} s")


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: check.py BINARY")
    with tempfile.TemporaryDirectory(prefix="anabranch-interop-") as directory:
        run(sys.argv[1], directory)


if __name__ == "__main__":
    main()
