package compat;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.net.URI;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletionException;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;
import java.util.function.Supplier;
import software.amazon.awssdk.awscore.retry.AwsRetryStrategy;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.core.client.config.ClientOverrideConfiguration;
import software.amazon.awssdk.services.kinesis.KinesisAsyncClient;
import software.amazon.awssdk.services.kinesis.KinesisClient;
import software.amazon.awssdk.services.kinesis.model.CreateStreamRequest;
import software.amazon.awssdk.services.kinesis.model.GetRecordsResponse;
import software.amazon.awssdk.services.kinesis.model.KinesisException;
import software.amazon.awssdk.services.kinesis.model.LimitExceededException;
import software.amazon.awssdk.services.kinesis.model.Record;
import software.amazon.awssdk.services.kinesis.model.Shard;
import software.amazon.awssdk.services.kinesis.model.ShardIteratorType;
import software.amazon.awssdk.services.kinesis.model.StreamMode;
import software.amazon.awssdk.services.kinesis.model.StreamStatus;

/** The servers under test, and what the tests make there. */
final class World {
    static final String ACCOUNT = "000000000000";
    static final String FIRST = "shardId-000000000000";
    static final String HALF = "170141183460469231731687303715884105728";

    /** A place of a subscription is refused to others for so long, and taken over after it. */
    static final Duration PLACE = Duration.ofSeconds(5);

    static final URI ENDPOINT = endpoint("");
    static final URI QUOTAS = endpoint("_QUOTAS");
    static final URI DELAYS = endpoint("_DELAYS");

    /** A call is made once, so that a test sees each refusal. */
    static final KinesisClient kinesis = client(ENDPOINT);

    static final KinesisAsyncClient async =
            KinesisAsyncClient.builder().endpointOverride(ENDPOINT).overrideConfiguration(once()).build();

    private static final AtomicInteger numbers = new AtomicInteger();

    private World() {}

    static URI endpoint(String which) {
        return URI.create(System.getenv("ANABRANCH_ENDPOINT" + which));
    }

    /** Every call is seen by the coverage, and none is repeated. */
    static ClientOverrideConfiguration once() {
        return ClientOverrideConfiguration.builder()
                .retryStrategy(AwsRetryStrategy.doNotRetry())
                .addExecutionInterceptor(Seen.INSTANCE)
                .build();
    }

    static KinesisClient client(URI endpoint) {
        return KinesisClient.builder().endpointOverride(endpoint).overrideConfiguration(once()).build();
    }

    /**
     * A client that tries again when it is told to slow down, and, as the SDK by itself does not, when
     * a rate of calls is exceeded.
     */
    static KinesisClient patient(URI endpoint) {
        ClientOverrideConfiguration patient =
                ClientOverrideConfiguration.builder()
                        .retryStrategy(
                                AwsRetryStrategy.standardRetryStrategy().toBuilder()
                                        .maxAttempts(10)
                                        .retryOnException(LimitExceededException.class)
                                        .build())
                        .build();
        return KinesisClient.builder().endpointOverride(endpoint).overrideConfiguration(patient).build();
    }

    /** A name that no other test has, nor the suite's other process. */
    static String unique(String what) {
        return "java-" + what + "-" + ProcessHandle.current().pid() + "-" + numbers.incrementAndGet();
    }

    static String arn(String stream) {
        return "arn:aws:kinesis:us-east-1:" + ACCOUNT + ":stream/" + stream;
    }

    /** Makes a stream of one shard and returns its name. */
    static String makeStream(KinesisClient kinesis) {
        return makeStream(kinesis, stream -> stream.shardCount(1));
    }

    static String makeStream(KinesisClient kinesis, Consumer<CreateStreamRequest.Builder> options) {
        String name = unique("stream");
        kinesis.createStream(stream -> options.accept(stream.streamName(name)));
        return name;
    }

    static String makeOnDemand(KinesisClient kinesis) {
        return makeStream(
                kinesis,
                stream -> stream.streamModeDetails(mode -> mode.streamMode(StreamMode.ON_DEMAND)));
    }

    /** Registers a consumer of a stream and returns its ARN. */
    static String makeConsumer(KinesisClient kinesis, String stream) {
        String name = unique("consumer");
        return kinesis.registerStreamConsumer(it -> it.streamARN(arn(stream)).consumerName(name))
                .consumer()
                .consumerARN();
    }

    static String put(String stream, String data) {
        return kinesis.putRecord(it -> it.streamName(stream).partitionKey("key").data(bytes(data)))
                .sequenceNumber();
    }

    /** Splits the first shard of a stream in two. */
    static void split(String stream) {
        kinesis.splitShard(it -> it.streamName(stream).shardToSplit(FIRST).newStartingHashKey(HALF));
        untilActive(stream);
    }

    /** Waits for a change of the shards to be over. No event tells it to a client. */
    static void untilActive(String stream) {
        long end = System.nanoTime() + Duration.ofSeconds(10).toNanos();
        while (status(stream) != StreamStatus.ACTIVE) {
            assertTrue(System.nanoTime() < end, "the stream did not become ACTIVE");
            pause(Duration.ofMillis(50));
        }
    }

    private static StreamStatus status(String stream) {
        return kinesis.describeStreamSummary(it -> it.streamName(stream))
                .streamDescriptionSummary()
                .streamStatus();
    }

    static void pause(Duration duration) {
        try {
            Thread.sleep(duration.toMillis());
        } catch (InterruptedException error) {
            throw new AssertionError(error);
        }
    }

    static List<Shard> shards(String stream) {
        return kinesis.listShards(it -> it.streamName(stream)).shards();
    }

    static String iterator(KinesisClient kinesis, String stream, String shard, ShardIteratorType type) {
        return kinesis.getShardIterator(
                        it -> it.streamName(stream).shardId(shard).shardIteratorType(type))
                .shardIterator();
    }

    /** All records of a shard, and the page that was the last. */
    record Read(List<Record> records, GetRecordsResponse page) {
        List<String> texts() {
            return records.stream().map(record -> record.data().asUtf8String()).toList();
        }
    }

    static Read read(String stream, String shard) {
        String iterator = iterator(kinesis, stream, shard, ShardIteratorType.TRIM_HORIZON);
        List<Record> records = new ArrayList<>();
        while (true) {
            String at = iterator;
            GetRecordsResponse page = kinesis.getRecords(it -> it.shardIterator(at));
            records.addAll(page.records());
            iterator = page.nextShardIterator();
            boolean isAtTip = page.millisBehindLatest() == 0 && page.records().isEmpty();
            if (isAtTip || iterator == null) {
                return new Read(records, page);
            }
        }
    }

    static SdkBytes bytes(String text) {
        return SdkBytes.fromUtf8String(text);
    }

    /** Expects a refusal by that class of the SDK. */
    static <E extends KinesisException> E refused(Class<E> kind, Supplier<?> call) {
        Throwable thrown =
                assertThrows(
                        Throwable.class,
                        () -> {
                            try {
                                call.get();
                            } catch (CompletionException error) {
                                throw error.getCause();
                            }
                        });
        if (!kind.isInstance(thrown)) {
            throw new AssertionError("expected " + kind.getSimpleName(), thrown);
        }
        E error = kind.cast(thrown);
        assertEquals(400, error.statusCode());
        assertTrue(error.requestId().matches("[0-9a-f-]{36}"), error.requestId());
        return error;
    }

    /** Expects a refusal with exactly that text. */
    static <E extends KinesisException> void refused(Class<E> kind, String text, Supplier<?> call) {
        assertEquals(text, refused(kind, call).awsErrorDetails().errorMessage());
    }
}
