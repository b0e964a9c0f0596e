"""A stranger's client follows a stream through splits and merges: only iterators and child shards.

One process puts unique records over `Produce` and waits for no reshard. Another thread splits and
merges at random. The reader begins with the shards that there were at first, and learns of others
from `child_shards` at the end of one; it begins a child when it has read all its parents. In the
end it holds every acknowledged record exactly once, and those of a key in the order of the puts.
"""

import collections
import queue
import random
import threading
import time

import grpc

STREAM = "reshards"
SHARDS = 2
RESHARDS = 50
# Open shards at least and at most.
OPEN_MIN, OPEN_MAX = 2, 8
BATCH_RECORDS = 20
IN_FLIGHT = 8
KEYS = 16
# A reshard takes milliseconds; there is load in between.
BETWEEN_SECONDS = 0.04
SEED = 4568


def check(holds, what):
    """As in check.py: `assert` would vanish under `python -O`."""
    if not holds:
        raise AssertionError(what)


class Producer(threading.Thread):
    """Puts numbered records, some batches under way at a time, until it is told to stop."""

    def __init__(self, api, streams):
        super().__init__()
        self.api, self.streams = api, streams
        self.stopping = threading.Event()
        self.error = None
        # By the number in the record: shard and sequence number.
        self.placed = {}

    def batches(self, free):
        number = 0
        while not self.stopping.is_set():
            free.get()
            entries = [
                self.api.PutRecordsRequestEntry(
                    partition_key=f"key {(number + index) % KEYS}",
                    data=str(number + index).encode(),
                )
                for index in range(BATCH_RECORDS)
            ]
            number += BATCH_RECORDS
            yield self.api.ProduceRequest(stream_name=STREAM, records=entries)

    def run(self):
        free = queue.Queue()
        for _ in range(IN_FLIGHT):
            free.put(None)
        number = 0
        try:
            for answer in self.streams.Produce(self.batches(free)):
                check(not answer.failures, f"not put: {answer.failures}")
                for shard, sequence in zip(answer.shard_indexes, answer.sequence_numbers):
                    self.placed[number] = (f"shardId-{shard:012}", sequence)
                    number += 1
                free.put(None)
        except Exception as error:
            self.error = error


class Resharder(threading.Thread):
    """Splits and merges at random."""

    def __init__(self, api, streams):
        super().__init__()
        self.api, self.streams = api, streams
        self.chance = random.Random(SEED)
        self.done = 0
        self.error = None

    def run(self):
        try:
            while self.done < RESHARDS:
                self.change()
                time.sleep(BETWEEN_SECONDS)
        except Exception as error:
            self.error = error

    def change(self):
        reply = self.streams.ListShards(self.api.ListShardsRequest(stream_name=STREAM))
        check(not reply.next_token, "a page holds all of them")
        shards = [shard for shard in reply.shards if shard.is_open]
        start = lambda shard: int(shard.hash_key_range.starting_hash_key)
        end = lambda shard: int(shard.hash_key_range.ending_hash_key)
        shards.sort(key=start)
        check(start(shards[0]) == 0 and end(shards[-1]) == 2**128 - 1, "they reach to the ends")
        for one, other in zip(shards, shards[1:]):
            check(end(one) + 1 == start(other), "they tile the hash space")
        is_split = len(shards) <= OPEN_MIN
        is_split |= len(shards) < OPEN_MAX and self.chance.random() < 0.5
        try:
            if is_split:
                shard = self.chance.choice(shards)
                at = self.chance.randrange(start(shard) + 2, end(shard))
                self.streams.SplitShard(
                    self.api.SplitShardRequest(
                        stream_name=STREAM,
                        shard_to_split=shard.shard_id,
                        new_starting_hash_key=str(at),
                    )
                )
            else:
                index = self.chance.randrange(len(shards) - 1)
                self.streams.MergeShards(
                    self.api.MergeShardsRequest(
                        stream_name=STREAM,
                        shard_to_merge=shards[index].shard_id,
                        adjacent_shard_to_merge=shards[index + 1].shard_id,
                    )
                )
        except grpc.RpcError as error:
            # The stream is UPDATING: a closed shard may be going. It is tried again.
            if error.code() != grpc.StatusCode.FAILED_PRECONDITION:
                raise
            return
        self.done += 1


class Follower:
    """Reads shards to their end, and then their children."""

    def __init__(self, api, streams):
        self.api, self.streams = api, streams
        self.iterators = {}
        self.waiting = {}
        self.ended = set()
        # By the number in the record: where it was found.
        self.found = {}
        self.last_of_key = collections.defaultdict(lambda: -1)

    def begin(self, shard_id):
        request = self.api.GetShardIteratorRequest(
            stream_name=STREAM, shard_id=shard_id, shard_iterator_type=self.api.TRIM_HORIZON
        )
        self.iterators[shard_id] = self.streams.GetShardIterator(request).shard_iterator

    def read_all(self):
        """Reads until there is nothing to read."""
        while any([self.read_page(shard_id) for shard_id in list(self.iterators)]):
            pass

    def read_page(self, shard_id):
        """Reads a page; true where there was something in it, be it the end."""
        request = self.api.GetRecordsRequest(shard_iterator=self.iterators[shard_id])
        page = self.streams.GetRecords(request)
        for record in page.records:
            number = int(record.data)
            check(number not in self.found, f"record {number} is read twice")
            self.found[number] = (shard_id, record.sequence_number)
            key = record.partition_key
            check(self.last_of_key[key] < number, f"{key}: {number} is out of order")
            self.last_of_key[key] = number
        if page.next_shard_iterator:
            check(not page.child_shards, "children are told at the end")
            self.iterators[shard_id] = page.next_shard_iterator
            return bool(page.records) or page.millis_behind_latest > 0
        del self.iterators[shard_id]
        self.ended.add(shard_id)
        check(len(page.child_shards) in (1, 2), f"{shard_id} ends with its children")
        for child in page.child_shards:
            check(shard_id in child.parent_shards, "a child knows its parents")
            self.waiting[child.shard_id] = set(child.parent_shards)
        for child in [child for child, parents in self.waiting.items() if parents <= self.ended]:
            del self.waiting[child]
            self.begin(child)
        return True


def run(api, streams):
    """Puts, reshards and reads at once, and holds what was read against what was put."""
    streams.CreateStream(api.CreateStreamRequest(stream_name=STREAM, shard_count=SHARDS))
    follower = Follower(api, streams)
    for shard in streams.ListShards(api.ListShardsRequest(stream_name=STREAM)).shards:
        follower.begin(shard.shard_id)
    producer, resharder = Producer(api, streams), Resharder(api, streams)
    begun = time.monotonic()
    producer.start()
    resharder.start()
    while resharder.is_alive():
        follower.read_all()
        time.sleep(0.01)
    producer.stopping.set()
    producer.join()
    resharder.join()
    for thread in (producer, resharder):
        if thread.error is not None:
            raise thread.error
    follower.read_all()
    check(follower.found == producer.placed, "every acknowledged record once, where it was put")
    check(len(follower.ended) >= RESHARDS, "a shard ends with every reshard")
    seconds = time.monotonic() - begun
    print(
        f"{RESHARDS} reshards in {seconds:.1f} s: {len(producer.placed)} records put, each found "
        f"once and in order, {len(follower.ended)} shards read to their end"
    )
