package compat;

import static compat.World.FIRST;
import static compat.World.HALF;
import static compat.World.bytes;
import static compat.World.iterator;
import static compat.World.kinesis;
import static compat.World.makeStream;
import static compat.World.put;
import static compat.World.read;
import static compat.World.refused;
import static compat.World.split;
import static compat.World.untilActive;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.services.kinesis.KinesisAsyncClient;
import software.amazon.awssdk.services.kinesis.model.ChildShard;
import software.amazon.awssdk.services.kinesis.model.GetRecordsResponse;
import software.amazon.awssdk.services.kinesis.model.InvalidArgumentException;
import software.amazon.awssdk.services.kinesis.model.ListShardsResponse;
import software.amazon.awssdk.services.kinesis.model.PutRecordResponse;
import software.amazon.awssdk.services.kinesis.model.PutRecordsRequestEntry;
import software.amazon.awssdk.services.kinesis.model.PutRecordsResponse;
import software.amazon.awssdk.services.kinesis.model.Record;
import software.amazon.awssdk.services.kinesis.model.ScalingType;
import software.amazon.awssdk.services.kinesis.model.Shard;
import software.amazon.awssdk.services.kinesis.model.ShardFilterType;
import software.amazon.awssdk.services.kinesis.model.ShardIteratorType;
import software.amazon.awssdk.services.kinesis.model.ValidationException;

/** Records and shards: put, got, split, merged, scaled. */
class RecordsTest {
    private static final int MIB = 1 << 20;

    private static PutRecordsRequestEntry entry(byte[] data, String key) {
        return PutRecordsRequestEntry.builder()
                .data(SdkBytes.fromByteArray(data))
                .partitionKey(key)
                .build();
    }

    private static byte[] random(int length) {
        byte[] data = new byte[length];
        new Random(length).nextBytes(data);
        return data;
    }

    @Test
    void a_record_is_got_as_it_was_put() {
        String stream = makeStream(kinesis);
        String key = "ключ é 💣";
        byte[] largest = random(MIB - key.getBytes(UTF_8).length);
        byte[] all = new byte[256];
        for (int index = 0; index < all.length; index++) {
            all[index] = (byte) index;
        }
        List<byte[]> expected = List.of(all, new byte[0], largest, "ünicödé".getBytes(UTF_8));
        List<String> numbers = new ArrayList<>();
        for (byte[] data : expected) {
            PutRecordResponse put =
                    kinesis.putRecord(
                            it ->
                                    it.streamName(stream)
                                            .partitionKey(key)
                                            .data(SdkBytes.fromByteArray(data)));
            assertEquals(FIRST, put.shardId());
            assertEquals(56, put.sequenceNumber().length());
            numbers.add(put.sequenceNumber());
        }
        List<Record> records = read(stream, FIRST).records();
        assertEquals(numbers, records.stream().map(Record::sequenceNumber).toList());
        for (int index = 0; index < expected.size(); index++) {
            assertArrayEquals(expected.get(index), records.get(index).data().asByteArray());
            assertEquals(key, records.get(index).partitionKey());
            assertNull(records.get(index).encryptionType());
        }
        Duration age =
                Duration.between(records.get(0).approximateArrivalTimestamp(), Instant.now());
        assertTrue(age.abs().toSeconds() < 60, age.toString());
    }

    @Test
    void a_record_with_a_byte_too_many_is_refused() {
        String stream = makeStream(kinesis);
        SdkBytes data = SdkBytes.fromByteArray(new byte[MIB]);
        refused(
                InvalidArgumentException.class,
                () -> kinesis.putRecord(it -> it.streamName(stream).partitionKey("k").data(data)));
        String key = "k".repeat(257);
        refused(
                ValidationException.class,
                () -> kinesis.putRecord(it -> it.streamName(stream).partitionKey(key).data(bytes(""))));
    }

    @Test
    void an_explicit_hash_key_chooses_the_shard() {
        String stream = makeStream(kinesis, it -> it.shardCount(2));
        for (String hash : List.of("0", HALF)) {
            String shard = hash.equals("0") ? FIRST : "shardId-000000000001";
            PutRecordResponse put =
                    kinesis.putRecord(
                            it ->
                                    it.streamName(stream)
                                            .partitionKey("key")
                                            .explicitHashKey(hash)
                                            .data(bytes("")));
            assertEquals(shard, put.shardId());
        }
        String beyond = "340282366920938463463374607431768211456";
        refused(
                InvalidArgumentException.class,
                "Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified"
                        + " value was " + beyond,
                () ->
                        kinesis.putRecord(
                                it ->
                                        it.streamName(stream)
                                                .partitionKey("key")
                                                .explicitHashKey(beyond)
                                                .data(bytes(""))));
    }

    @Test
    void sequence_numbers_for_ordering_rise() {
        String stream = makeStream(kinesis);
        String first = put(stream, "0");
        String second =
                kinesis.putRecord(
                                it ->
                                        it.streamName(stream)
                                                .partitionKey("key")
                                                .sequenceNumberForOrdering(first)
                                                .data(bytes("1")))
                        .sequenceNumber();
        assertTrue(second.compareTo(first) > 0);
    }

    @Test
    void a_full_batch_is_put_and_read() {
        String stream = makeStream(kinesis, it -> it.shardCount(4));
        List<String> expected = IntStream.range(0, 500).mapToObj(Integer::toString).toList();
        List<PutRecordsRequestEntry> entries =
                expected.stream().map(text -> entry(text.getBytes(UTF_8), "key-" + text)).toList();
        PutRecordsResponse reply = kinesis.putRecords(it -> it.streamName(stream).records(entries));
        assertEquals(0, reply.failedRecordCount());
        assertEquals(500, reply.records().size());
        Stream<String> got =
                World.shards(stream).stream().flatMap(it -> read(stream, it.shardId()).texts().stream());
        assertEquals(expected.stream().sorted().toList(), got.sorted().toList());
    }

    @Test
    void ten_mebibytes_are_put_at_once_and_come_back_in_pages() {
        String stream = makeStream(kinesis);
        List<PutRecordsRequestEntry> entries =
                IntStream.range(0, 10).mapToObj(index -> entry(random(MIB - 16 - index), "key")).toList();
        assertEquals(
                0, kinesis.putRecords(it -> it.streamName(stream).records(entries)).failedRecordCount());
        List<Record> records = read(stream, FIRST).records();
        assertEquals(10, records.size());
        for (int index = 0; index < 10; index++) {
            byte[] data = records.get(index).data().asByteArray();
            assertTrue(Arrays.equals(random(MIB - 16 - index), data), "record " + index);
        }
    }

    @Test
    void a_hundred_calls_run_at_a_time() {
        String stream = makeStream(kinesis);
        KinesisAsyncClient async = World.async;
        List<CompletableFuture<PutRecordResponse>> puts =
                IntStream.range(0, 100)
                        .mapToObj(
                                index ->
                                        async.putRecord(
                                                it ->
                                                        it.streamName(stream)
                                                                .partitionKey("key")
                                                                .data(bytes("" + index))))
                        .toList();
        List<String> numbers = puts.stream().map(it -> it.join().sequenceNumber()).toList();
        assertEquals(100, new HashSet<>(numbers).size());
        assertEquals(100, read(stream, FIRST).records().size());
    }

    @Test
    void an_iterator_of_each_type_begins_where_it_says() {
        String stream = makeStream(kinesis);
        put(stream, "0");
        String number = put(stream, "1");
        String latest = iterator(kinesis, stream, FIRST, ShardIteratorType.LATEST);
        put(stream, "2");
        Instant before = Instant.now().minusSeconds(60);
        String at =
                kinesis.getShardIterator(
                                it ->
                                        it.streamName(stream)
                                                .shardId(FIRST)
                                                .shardIteratorType(ShardIteratorType.AT_SEQUENCE_NUMBER)
                                                .startingSequenceNumber(number))
                        .shardIterator();
        String after =
                kinesis.getShardIterator(
                                it ->
                                        it.streamName(stream)
                                                .shardId(FIRST)
                                                .shardIteratorType(ShardIteratorType.AFTER_SEQUENCE_NUMBER)
                                                .startingSequenceNumber(number))
                        .shardIterator();
        String time =
                kinesis.getShardIterator(
                                it ->
                                        it.streamName(stream)
                                                .shardId(FIRST)
                                                .shardIteratorType(ShardIteratorType.AT_TIMESTAMP)
                                                .timestamp(before))
                        .shardIterator();
        assertEquals(List.of("2"), page(latest));
        assertEquals(List.of("1", "2"), page(at));
        assertEquals(List.of("2"), page(after));
        assertEquals(List.of("0", "1", "2"), page(time));
        // To the millisecond, in either encoding.
        Instant arrived = read(stream, FIRST).records().get(2).approximateArrivalTimestamp();
        refused(
                InvalidArgumentException.class,
                () ->
                        kinesis.getShardIterator(
                                it ->
                                        it.streamName(stream)
                                                .shardId(FIRST)
                                                .shardIteratorType(ShardIteratorType.AT_TIMESTAMP)
                                                .timestamp(Instant.now().plusSeconds(60))));
        String exact =
                kinesis.getShardIterator(
                                it ->
                                        it.streamName(stream)
                                                .shardId(FIRST)
                                                .shardIteratorType(ShardIteratorType.AT_TIMESTAMP)
                                                .timestamp(arrived))
                        .shardIterator();
        List<String> texts = page(exact);
        assertEquals("2", texts.get(texts.size() - 1));
    }

    private static List<String> page(String iterator) {
        GetRecordsResponse page = kinesis.getRecords(it -> it.shardIterator(iterator).limit(10));
        assertNotNull(page.nextShardIterator());
        return page.records().stream().map(it -> it.data().asUtf8String()).toList();
    }

    @Test
    void shards_are_split_merged_and_scaled_and_name_their_children() {
        String stream = makeStream(kinesis);
        put(stream, "before");
        split(stream);
        World.Read parent = read(stream, FIRST);
        assertEquals(List.of("before"), parent.texts());
        assertNull(parent.page().nextShardIterator());
        List<String> children = ids(parent.page());
        assertEquals(List.of("shardId-000000000001", "shardId-000000000002"), children);
        assertEquals(List.of(FIRST), parent.page().childShards().get(0).parentShards());
        assertEquals(HALF, parent.page().childShards().get(1).hashKeyRange().startingHashKey());

        kinesis.mergeShards(
                it ->
                        it.streamName(stream)
                                .shardToMerge(children.get(0))
                                .adjacentShardToMerge(children.get(1)));
        untilActive(stream);
        GetRecordsResponse end = read(stream, children.get(1)).page();
        assertEquals(
                children, end.childShards().get(0).parentShards().stream().sorted().toList());

        var scaled =
                kinesis.updateShardCount(
                        it ->
                                it.streamName(stream)
                                        .targetShardCount(2)
                                        .scalingType(ScalingType.UNIFORM_SCALING));
        assertEquals(1, scaled.currentShardCount());
        assertEquals(2, scaled.targetShardCount());
        untilActive(stream);
        ListShardsResponse open =
                kinesis.listShards(
                        it -> it.streamName(stream).shardFilter(of -> of.type(ShardFilterType.AT_LATEST)));
        assertEquals(2, open.shards().size());
        Shard closed = World.shards(stream).get(0);
        assertEquals(56, closed.sequenceNumberRange().endingSequenceNumber().length());
    }

    private static List<String> ids(GetRecordsResponse page) {
        return page.childShards().stream().map(ChildShard::shardId).toList();
    }

    @Test
    void shards_are_listed_and_described_page_by_page() {
        String stream = makeStream(kinesis, it -> it.shardCount(5));
        List<String> all = World.shards(stream).stream().map(Shard::shardId).toList();
        List<String> listed = new ArrayList<>();
        ListShardsResponse page = kinesis.listShards(it -> it.streamName(stream).maxResults(2));
        while (true) {
            page.shards().forEach(shard -> listed.add(shard.shardId()));
            String token = page.nextToken();
            if (token == null) {
                break;
            }
            page = kinesis.listShards(it -> it.nextToken(token).maxResults(2));
        }
        assertEquals(5, all.size());
        assertEquals(all, listed);

        List<String> described = new ArrayList<>();
        while (true) {
            String last = described.isEmpty() ? null : described.get(described.size() - 1);
            var part =
                    kinesis.describeStream(
                                    it -> it.streamName(stream).limit(2).exclusiveStartShardId(last))
                            .streamDescription();
            part.shards().forEach(shard -> described.add(shard.shardId()));
            if (!part.hasMoreShards()) {
                break;
            }
        }
        assertEquals(all, described);
    }
}
