package compat;

import static compat.World.FIRST;
import static compat.World.PLACE;
import static compat.World.arn;
import static compat.World.async;
import static compat.World.kinesis;
import static compat.World.makeConsumer;
import static compat.World.makeStream;
import static compat.World.pause;
import static compat.World.put;
import static compat.World.refused;
import static compat.World.split;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.http.Protocol;
import software.amazon.awssdk.http.nio.netty.NettyNioAsyncHttpClient;
import software.amazon.awssdk.services.kinesis.KinesisAsyncClient;
import software.amazon.awssdk.services.kinesis.model.ChildShard;
import software.amazon.awssdk.services.kinesis.model.ConsumerStatus;
import software.amazon.awssdk.services.kinesis.model.Record;
import software.amazon.awssdk.services.kinesis.model.ResourceInUseException;
import software.amazon.awssdk.services.kinesis.model.ResourceNotFoundException;
import software.amazon.awssdk.services.kinesis.model.ShardIteratorType;
import software.amazon.awssdk.services.kinesis.model.StartingPosition;
import software.amazon.awssdk.services.kinesis.model.SubscribeToShardEvent;

/** SubscribeToShard, over the event stream of HTTP/2. */
class SubscriptionsTest {
    private static final Consumer<StartingPosition.Builder> HORIZON =
            position -> position.type(ShardIteratorType.TRIM_HORIZON);
    private static final Consumer<StartingPosition.Builder> LATEST =
            position -> position.type(ShardIteratorType.LATEST);

    private static Events subscribe(String consumer, Consumer<StartingPosition.Builder> position) {
        return Events.subscribe(async, consumer, position);
    }

    private static void assertPushed(KinesisAsyncClient client) {
        String stream = makeStream(kinesis);
        String consumer = makeConsumer(kinesis, stream);
        put(stream, "0");
        String second = put(stream, "1");
        List<Record> got = new ArrayList<>();
        String continuation;
        try (Events events = Events.subscribe(client, consumer, HORIZON)) {
            got.addAll(events.take(2).records());
            put(stream, "2");
            Events.Taken more = events.take(1);
            got.addAll(more.records());
            continuation = more.event().continuationSequenceNumber();
            assertTrue(more.event().millisBehindLatest() < 60_000);
        }
        assertEquals(
                List.of("0", "1", "2"),
                got.stream().map(record -> record.data().asUtf8String()).toList());
        assertEquals(second, got.get(1).sequenceNumber());
        assertEquals("key", got.get(0).partitionKey());
        assertNull(got.get(0).encryptionType());
        Duration age = Duration.between(got.get(0).approximateArrivalTimestamp(), Instant.now());
        assertTrue(age.abs().toSeconds() < 60, age.toString());

        put(stream, "3");
        Consumer<StartingPosition.Builder> after =
                position ->
                        position.type(ShardIteratorType.AFTER_SEQUENCE_NUMBER).sequenceNumber(continuation);
        try (Events events = Events.subscribe(client, makeConsumer(kinesis, stream), after)) {
            assertEquals(List.of("3"), events.take(1).texts());
        }
    }

    @Test
    void what_is_put_is_pushed_and_a_subscription_goes_on_where_another_ended() {
        assertPushed(async);
    }

    @Test
    void what_is_put_is_pushed_over_http_1_1() {
        try (KinesisAsyncClient overHttp1 =
                KinesisAsyncClient.builder()
                        .endpointOverride(World.ENDPOINT)
                        .overrideConfiguration(World.once())
                        .httpClientBuilder(NettyNioAsyncHttpClient.builder().protocol(Protocol.HTTP1_1))
                        .build()) {
            assertPushed(overHttp1);
        }
    }

    @Test
    void a_pushed_record_is_the_record_byte_for_byte() {
        String stream = makeStream(kinesis);
        byte[] all = new byte[1 << 20];
        for (int index = 0; index < all.length; index++) {
            all[index] = (byte) (index * 31 + index / 256);
        }
        // The key and the data share the mebibyte.
        String key = "ключ 💣";
        byte[] largest = Arrays.copyOf(all, all.length - key.getBytes(UTF_8).length);
        for (byte[] data : List.of(new byte[0], largest, new byte[] {0, -1, 127, -128})) {
            kinesis.putRecord(
                    it -> it.streamName(stream).partitionKey(key).data(SdkBytes.fromByteArray(data)));
        }
        try (Events events = subscribe(makeConsumer(kinesis, stream), HORIZON)) {
            List<Record> records = events.take(3).records();
            assertEquals(0, records.get(0).data().asByteArray().length);
            assertArrayEquals(largest, records.get(1).data().asByteArray());
            assertArrayEquals(new byte[] {0, -1, 127, -128}, records.get(2).data().asByteArray());
            assertEquals(key, records.get(1).partitionKey());
        }
    }

    @Test
    void a_subscription_begins_at_a_time() {
        String stream = makeStream(kinesis);
        put(stream, "0");
        Instant before = Instant.now().minusSeconds(60);
        Consumer<StartingPosition.Builder> at =
                position -> position.type(ShardIteratorType.AT_TIMESTAMP).timestamp(before);
        try (Events events = subscribe(makeConsumer(kinesis, stream), at)) {
            assertEquals(List.of("0"), events.take(1).texts());
        }
    }

    @Test
    void an_idle_subscription_is_told_that_it_lives_with_where_it_stands() {
        String stream = makeStream(kinesis);
        try (Events events = subscribe(makeConsumer(kinesis, stream), LATEST)) {
            SubscribeToShardEvent event = events.next();
            assertEquals(List.of(), event.records());
            assertEquals(0, event.millisBehindLatest());
            assertEquals(56, event.continuationSequenceNumber().length());
        }
    }

    @Test
    void the_end_of_a_shard_names_its_children_and_no_continuation() throws Throwable {
        String stream = makeStream(kinesis);
        put(stream, "0");
        Events events = subscribe(makeConsumer(kinesis, stream), HORIZON);
        events.take(1);
        split(stream);
        List<SubscribeToShardEvent> rest = events.rest();
        SubscribeToShardEvent last = rest.get(rest.size() - 1);
        assertNull(last.continuationSequenceNumber());
        assertEquals(
                List.of("shardId-000000000001", "shardId-000000000002"),
                last.childShards().stream().map(ChildShard::shardId).toList());
        assertEquals(List.of(FIRST), last.childShards().get(0).parentShards());
        assertEquals(World.HALF, last.childShards().get(1).hashKeyRange().startingHashKey());
    }

    @Test
    void a_place_is_refused_for_five_seconds_and_then_taken_over() throws Throwable {
        String stream = makeStream(kinesis);
        String consumer = makeConsumer(kinesis, stream);
        Events first = subscribe(consumer, LATEST);
        long begun = System.nanoTime();
        refused(ResourceInUseException.class, () -> subscribe(consumer, LATEST));
        first.next();
        Duration passed = Duration.ofNanos(System.nanoTime() - begun);
        Duration left = PLACE.plusMillis(200).minus(passed);
        if (!left.isNegative()) {
            pause(left);
        }
        try (Events second = subscribe(consumer, LATEST)) {
            ResourceInUseException error = assertThrows(ResourceInUseException.class, first::rest);
            assertTrue(error.getMessage().contains(FIRST), error.getMessage());
            put(stream, "0");
            assertEquals(List.of("0"), second.take(1).texts());
        }
    }

    @Test
    void deregistering_a_consumer_ends_its_subscriptions() {
        String stream = makeStream(kinesis);
        String consumer = makeConsumer(kinesis, stream);
        Events events = subscribe(consumer, LATEST);
        assertEquals(
                ConsumerStatus.ACTIVE,
                kinesis.describeStreamConsumer(it -> it.consumerARN(consumer))
                        .consumerDescription()
                        .consumerStatus());
        kinesis.deregisterStreamConsumer(it -> it.consumerARN(consumer));
        assertThrows(ResourceNotFoundException.class, events::rest);
    }

    @Test
    void twenty_subscriptions_and_other_calls_share_a_connection() {
        String stream = makeStream(kinesis);
        List<Events> subscriptions = new ArrayList<>();
        for (int index = 0; index < 20; index++) {
            subscriptions.add(subscribe(makeConsumer(kinesis, stream), LATEST));
        }
        async.putRecord(it -> it.streamName(stream).partitionKey("key").data(World.bytes("0"))).join();
        for (Events events : subscriptions) {
            assertEquals(List.of("0"), events.take(1).texts());
            events.close();
        }
    }

    @Test
    void what_is_refused_before_the_stream_opens_is_an_exception_as_any_other() {
        String stream = makeStream(kinesis);
        refused(
                ResourceNotFoundException.class,
                () -> subscribe(arn(stream) + "/consumer/absent:1", LATEST));
    }
}
