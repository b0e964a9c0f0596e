package compat;

import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNotNull;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.reactivestreams.Subscriber;
import org.reactivestreams.Subscription;
import software.amazon.awssdk.services.kinesis.KinesisAsyncClient;
import software.amazon.awssdk.services.kinesis.model.Record;
import software.amazon.awssdk.services.kinesis.model.StartingPosition;
import software.amazon.awssdk.services.kinesis.model.SubscribeToShardEvent;
import software.amazon.awssdk.services.kinesis.model.SubscribeToShardEventStream;
import software.amazon.awssdk.services.kinesis.model.SubscribeToShardRequest;
import software.amazon.awssdk.services.kinesis.model.SubscribeToShardResponseHandler;

/** A subscription, event by event: the next is asked for when the one before was taken. */
final class Events implements AutoCloseable {
    /** Longer than the pause between signs of life. */
    private static final int PATIENCE_SECONDS = 20;

    private static final Object END = new Object();

    private final BlockingQueue<Object> queue = new LinkedBlockingQueue<>();
    private final CompletableFuture<Subscription> opened = new CompletableFuture<>();

    /** Subscribes, and returns when the stream is open. What is refused before is thrown. */
    static Events subscribe(
            KinesisAsyncClient async, String consumer, Consumer<StartingPosition.Builder> position) {
        SubscribeToShardRequest request =
                SubscribeToShardRequest.builder()
                        .consumerARN(consumer)
                        .shardId(World.FIRST)
                        .startingPosition(position)
                        .build();
        Events events = new Events();
        async.subscribeToShard(request, events.handler())
                .whenComplete((nothing, error) -> events.ended(error));
        events.opened.join().request(1);
        return events;
    }

    private SubscribeToShardResponseHandler handler() {
        return SubscribeToShardResponseHandler.builder()
                .onEventStream(publisher -> publisher.subscribe(new Taker()))
                .build();
    }

    private void ended(Throwable error) {
        Throwable cause = error instanceof CompletionException ? error.getCause() : error;
        if (cause == null || !opened.completeExceptionally(cause)) {
            queue.add(cause == null ? END : cause);
        }
    }

    /** The next event, or the exception that ended the stream, or END. */
    private Object take() {
        try {
            Object taken = queue.poll(PATIENCE_SECONDS, TimeUnit.SECONDS);
            assertNotNull(taken, "no event came");
            if (taken instanceof SubscribeToShardEvent) {
                opened.join().request(1);
            }
            return taken;
        } catch (InterruptedException error) {
            throw new AssertionError(error);
        }
    }

    SubscribeToShardEvent next() {
        return assertInstanceOf(SubscribeToShardEvent.class, take());
    }

    /** So many records or more, and the event that held the last of them. */
    record Taken(List<Record> records, SubscribeToShardEvent event) {
        List<String> texts() {
            return records.stream().map(record -> record.data().asUtf8String()).toList();
        }
    }

    Taken take(int count) {
        List<Record> records = new ArrayList<>();
        while (true) {
            SubscribeToShardEvent event = next();
            records.addAll(event.records());
            if (records.size() >= count) {
                return new Taken(records, event);
            }
        }
    }

    /** All events to the end of the subscription, of which we know that it comes. */
    List<SubscribeToShardEvent> rest() throws Throwable {
        List<SubscribeToShardEvent> events = new ArrayList<>();
        while (true) {
            Object taken = take();
            if (taken == END) {
                return events;
            }
            if (taken instanceof Throwable error) {
                throw error;
            }
            events.add((SubscribeToShardEvent) taken);
        }
    }

    @Override
    public void close() {
        opened.join().cancel();
    }

    private final class Taker implements Subscriber<SubscribeToShardEventStream> {
        @Override
        public void onSubscribe(Subscription subscription) {
            opened.complete(subscription);
        }

        @Override
        public void onNext(SubscribeToShardEventStream event) {
            queue.add(event);
        }

        @Override
        public void onError(Throwable error) {
            // The call's future tells it too, and once is enough.
        }

        @Override
        public void onComplete() {
            // As above.
        }
    }
}
