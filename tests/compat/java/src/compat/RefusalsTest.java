package compat;

import static compat.World.ACCOUNT;
import static compat.World.FIRST;
import static compat.World.kinesis;
import static compat.World.makeOnDemand;
import static compat.World.makeStream;
import static compat.World.refused;
import static compat.World.unique;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import java.util.function.Supplier;
import org.junit.jupiter.api.Test;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.services.kinesis.KinesisClient;
import software.amazon.awssdk.services.kinesis.model.InvalidArgumentException;
import software.amazon.awssdk.services.kinesis.model.LimitExceededException;
import software.amazon.awssdk.services.kinesis.model.ProvisionedThroughputExceededException;
import software.amazon.awssdk.services.kinesis.model.PutRecordsRequestEntry;
import software.amazon.awssdk.services.kinesis.model.ResourceInUseException;
import software.amazon.awssdk.services.kinesis.model.ResourceNotFoundException;
import software.amazon.awssdk.services.kinesis.model.ShardIteratorType;
import software.amazon.awssdk.services.kinesis.model.ValidationException;

/** What is refused is a typed exception of the SDK, with the text of the service. */
class RefusalsTest {
    /** No operation that is limited by the second allows more than 20 calls. */
    private static final int CALLS_MAX = 100;

    private static final int MIB = 1 << 20;

    @Test
    void what_is_not_there_is_not_found() {
        String absent = unique("absent");
        String text = "Stream " + absent + " under account " + ACCOUNT + " not found.";
        List<Supplier<?>> calls =
                List.of(
                        () -> kinesis.describeStream(it -> it.streamName(absent)),
                        () -> kinesis.deleteStream(it -> it.streamName(absent)),
                        () -> World.async.describeStreamSummary(it -> it.streamName(absent)).join(),
                        () -> World.put(absent, ""));
        for (Supplier<?> call : calls) {
            refused(ResourceNotFoundException.class, text, call);
        }
    }

    @Test
    void what_is_there_already_is_in_use() {
        String stream = makeStream(kinesis);
        refused(
                ResourceInUseException.class,
                "Stream " + stream + " under account " + ACCOUNT + " already exists.",
                () -> kinesis.createStream(it -> it.streamName(stream).shardCount(1)));
        World.makeConsumer(kinesis, stream);
        refused(
                ResourceInUseException.class,
                () -> kinesis.deleteStream(it -> it.streamName(stream)));
        kinesis.deleteStream(it -> it.streamName(stream).enforceConsumerDeletion(true));
    }

    @Test
    void what_is_being_made_is_in_use() {
        try (KinesisClient delayed = World.client(World.DELAYS)) {
            String stream = makeStream(delayed);
            refused(
                    ResourceInUseException.class,
                    () -> delayed.updateShardCount(
                            it -> it.streamName(stream).targetShardCount(2).scalingType("UNIFORM_SCALING")));
        }
    }

    @Test
    void arguments_that_make_no_sense_are_invalid() {
        refused(
                InvalidArgumentException.class,
                "Invalid ShardIterator.",
                () -> kinesis.getRecords(it -> it.shardIterator("malformed")));
        refused(InvalidArgumentException.class, () -> kinesis.listStreams(it -> it.nextToken("malformed")));
        String stream = makeStream(kinesis);
        refused(
                InvalidArgumentException.class,
                () -> kinesis.increaseStreamRetentionPeriod(
                        it -> it.streamName(stream).retentionPeriodHours(8761)));
    }

    @Test
    void values_outside_of_the_model_are_not_valid() {
        refused(
                ValidationException.class,
                "1 validation error detected: Value 'no name' at 'streamName' failed to satisfy constraint:"
                        + " Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+",
                () -> kinesis.describeStream(it -> it.streamName("no name")));
        String onDemand = makeOnDemand(kinesis);
        refused(
                ValidationException.class,
                () -> kinesis.splitShard(
                        it -> it.streamName(onDemand).shardToSplit(FIRST).newStartingHashKey(World.HALF)));
    }

    @Test
    void more_calls_than_the_quota_allows_are_limited() {
        try (KinesisClient limited = World.client(World.QUOTAS)) {
            refused(
                    LimitExceededException.class,
                    () -> {
                        for (int call = 0; call < CALLS_MAX; call++) {
                            limited.describeLimits(it -> {});
                        }
                        return null;
                    });
        }
    }

    @Test
    void a_client_that_tries_again_is_slowed_down_and_not_refused() {
        try (KinesisClient patient = World.patient(World.QUOTAS)) {
            String stream = makeStream(patient);
            SdkBytes data = SdkBytes.fromByteArray(new byte[MIB - 3]);
            for (int index = 0; index < 2; index++) {
                patient.putRecord(it -> it.streamName(stream).partitionKey("key").data(data));
            }
            String iterator = World.iterator(patient, stream, FIRST, ShardIteratorType.TRIM_HORIZON);
            assertEquals(2, patient.getRecords(it -> it.shardIterator(iterator)).records().size());
        }
    }

    @Test
    void throttled_records_are_told_one_by_one_and_a_throttled_put_is_an_exception() {
        try (KinesisClient limited = World.client(World.QUOTAS);
                KinesisClient patient = World.patient(World.QUOTAS)) {
            String stream = makeStream(patient);
            SdkBytes data = SdkBytes.fromByteArray(new byte[MIB - 3]);
            limited.putRecord(it -> it.streamName(stream).partitionKey("key").data(data));
            PutRecordsRequestEntry entry =
                    PutRecordsRequestEntry.builder().partitionKey("key").data(data).build();
            String text =
                    "Rate exceeded for shard %s in stream %s under account %s."
                            .formatted(FIRST, stream, ACCOUNT);
            var reply = limited.putRecords(it -> it.streamName(stream).records(entry, entry));
            assertEquals(2, reply.failedRecordCount());
            assertEquals("ProvisionedThroughputExceededException", reply.records().get(0).errorCode());
            assertEquals(text, reply.records().get(1).errorMessage());
            refused(
                    ProvisionedThroughputExceededException.class,
                    text,
                    () -> limited.putRecord(it -> it.streamName(stream).partitionKey("key").data(data)));
            String iterator = World.iterator(patient, stream, FIRST, ShardIteratorType.LATEST);
            refused(
                    ProvisionedThroughputExceededException.class,
                    () -> {
                        for (int call = 0; call < CALLS_MAX; call++) {
                            limited.getRecords(it -> it.shardIterator(iterator));
                        }
                        return null;
                    });
        }
    }
}
