package compat;

import static compat.World.arn;
import static compat.World.kinesis;
import static compat.World.makeConsumer;
import static compat.World.makeOnDemand;
import static compat.World.makeStream;
import static compat.World.refused;
import static compat.World.untilActive;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

import software.amazon.awssdk.core.waiters.WaiterOverrideConfiguration;
import software.amazon.awssdk.retries.api.BackoffStrategy;
import software.amazon.awssdk.services.kinesis.KinesisClient;
import software.amazon.awssdk.services.kinesis.model.ConsumerStatus;
import software.amazon.awssdk.services.kinesis.model.EncryptionType;
import software.amazon.awssdk.services.kinesis.model.KmsNotFoundException;
import software.amazon.awssdk.services.kinesis.model.ListStreamsResponse;
import software.amazon.awssdk.services.kinesis.model.MetricsName;
import software.amazon.awssdk.services.kinesis.model.MinimumThroughputBillingCommitmentInputStatus;
import software.amazon.awssdk.services.kinesis.model.MinimumThroughputBillingCommitmentOutputStatus;
import software.amazon.awssdk.services.kinesis.model.ResourceNotFoundException;
import software.amazon.awssdk.services.kinesis.model.StreamDescription;
import software.amazon.awssdk.services.kinesis.model.StreamDescriptionSummary;
import software.amazon.awssdk.services.kinesis.model.StreamMode;
import software.amazon.awssdk.services.kinesis.model.StreamStatus;
import software.amazon.awssdk.services.kinesis.model.StreamSummary;
import software.amazon.awssdk.services.kinesis.model.Tag;
import software.amazon.awssdk.services.kinesis.waiters.KinesisWaiter;

/** Streams, their settings, tags, policies and consumers; the account. */
class StreamsTest {
    private static StreamDescription describe(String stream) {
        return kinesis.describeStream(it -> it.streamName(stream)).streamDescription();
    }

    private static StreamDescriptionSummary summarize(String stream) {
        return kinesis.describeStreamSummary(it -> it.streamName(stream)).streamDescriptionSummary();
    }

    @Test
    void a_stream_is_described_as_it_was_made() {
        String stream = makeStream(kinesis, it -> it.shardCount(2).tags(Map.of("team", "blue")));
        StreamDescription described = describe(stream);
        assertEquals(stream, described.streamName());
        assertEquals(arn(stream), described.streamARN());
        assertEquals(StreamStatus.ACTIVE, described.streamStatus());
        assertEquals(StreamMode.PROVISIONED, described.streamModeDetails().streamMode());
        assertEquals(2, described.shards().size());
        assertEquals(false, described.hasMoreShards());
        assertEquals(24, described.retentionPeriodHours());
        assertEquals(EncryptionType.NONE, described.encryptionType());
        assertEquals(1, described.enhancedMonitoring().size());
        assertEquals(List.of(), described.enhancedMonitoring().get(0).shardLevelMetrics());
        Duration age = Duration.between(described.streamCreationTimestamp(), Instant.now());
        assertTrue(age.abs().toSeconds() < 60, age.toString());
        StreamDescriptionSummary summary = summarize(stream);
        assertEquals(2, summary.openShardCount());
        assertEquals(0, summary.consumerCount());
        assertEquals(1024, summary.maxRecordSizeInKiB());
        assertEquals(described.streamCreationTimestamp(), summary.streamCreationTimestamp());
    }

    @Test
    void waiters_wait_until_a_stream_is_there_and_until_it_is_gone() {
        WaiterOverrideConfiguration often =
                WaiterOverrideConfiguration.builder()
                        .maxAttempts(60)
                        .backoffStrategyV2(BackoffStrategy.fixedDelayWithoutJitter(Duration.ofMillis(500)))
                        .build();
        try (KinesisClient delayed = World.client(World.DELAYS);
                KinesisWaiter waiter =
                        KinesisWaiter.builder().client(delayed).overrideConfiguration(often).build()) {
            String stream = makeStream(delayed);
            var there = waiter.waitUntilStreamExists(it -> it.streamName(stream));
            assertEquals(
                    StreamStatus.ACTIVE,
                    there.matched().response().orElseThrow().streamDescription().streamStatus());
            assertTrue(there.attemptsExecuted() > 1);
            delayed.deleteStream(it -> it.streamName(stream));
            var gone = waiter.waitUntilStreamNotExists(it -> it.streamName(stream));
            assertTrue(gone.matched().exception().orElseThrow() instanceof ResourceNotFoundException);
        }
    }

    @Test
    void the_paginator_of_streams_finds_each_once() {
        List<String> made =
                List.of(makeStream(kinesis), makeStream(kinesis), makeStream(kinesis));
        List<String> listed = new ArrayList<>();
        for (ListStreamsResponse page : kinesis.listStreamsPaginator(it -> it.limit(2))) {
            assertTrue(page.streamNames().size() <= 2);
            List<String> names =
                    page.streamSummaries().stream().map(StreamSummary::streamName).toList();
            assertEquals(page.streamNames(), names);
            listed.addAll(page.streamNames());
        }
        assertEquals(listed.stream().distinct().sorted().toList(), listed);
        assertTrue(listed.containsAll(made));
        List<String> items = new ArrayList<>();
        World.async.listStreamsPaginator(it -> it.limit(3)).streamNames().subscribe(items::add).join();
        assertTrue(items.containsAll(made));
    }

    @Test
    void the_retention_period_the_record_size_and_the_metrics_are_changed() {
        String stream = makeStream(kinesis);
        kinesis.increaseStreamRetentionPeriod(it -> it.streamName(stream).retentionPeriodHours(48));
        assertEquals(48, describe(stream).retentionPeriodHours());
        kinesis.decreaseStreamRetentionPeriod(it -> it.streamName(stream).retentionPeriodHours(24));
        assertEquals(24, describe(stream).retentionPeriodHours());

        kinesis.updateMaxRecordSize(it -> it.streamARN(arn(stream)).maxRecordSizeInKiB(2048));
        assertEquals(2048, summarize(stream).maxRecordSizeInKiB());

        List<MetricsName> metrics = List.of(MetricsName.INCOMING_BYTES);
        var enabled =
                kinesis.enableEnhancedMonitoring(it -> it.streamName(stream).shardLevelMetrics(metrics));
        assertEquals(metrics, enabled.desiredShardLevelMetrics());
        var disabled =
                kinesis.disableEnhancedMonitoring(it -> it.streamName(stream).shardLevelMetrics(metrics));
        assertEquals(metrics, disabled.currentShardLevelMetrics());
        assertEquals(List.of(), disabled.desiredShardLevelMetrics());
    }

    @Test
    void the_mode_and_the_warm_throughput_are_changed() {
        String stream = makeOnDemand(kinesis);
        var updated =
                kinesis.updateAccountSettings(
                        it ->
                                it.minimumThroughputBillingCommitment(
                                        is -> is.status(MinimumThroughputBillingCommitmentInputStatus.ENABLED)));
        assertEquals(
                MinimumThroughputBillingCommitmentOutputStatus.ENABLED,
                updated.minimumThroughputBillingCommitment().status());
        assertNotNull(updated.minimumThroughputBillingCommitment().startedAt());
        assertEquals(
                MinimumThroughputBillingCommitmentOutputStatus.ENABLED,
                kinesis.describeAccountSettings(it -> {}).minimumThroughputBillingCommitment().status());
        var warmed =
                kinesis.updateStreamWarmThroughput(it -> it.streamName(stream).warmThroughputMiBps(5));
        assertEquals(5, warmed.warmThroughput().targetMiBps());

        kinesis.updateStreamMode(
                it ->
                        it.streamARN(arn(stream))
                                .streamModeDetails(mode -> mode.streamMode(StreamMode.PROVISIONED)));
        untilActive(stream);
        assertEquals(StreamMode.PROVISIONED, describe(stream).streamModeDetails().streamMode());
    }

    @Test
    void limits_are_described() {
        var limits = kinesis.describeLimits(it -> {});
        assertEquals(1_000_000, limits.shardLimit());
        assertTrue(limits.openShardCount() >= 0);
        assertTrue(limits.onDemandStreamCountLimit() > 0);
    }

    @Test
    void streams_are_tagged_by_either_family_of_operations() {
        String stream = makeStream(kinesis);
        String arn = arn(stream);
        kinesis.addTagsToStream(it -> it.streamName(stream).tags(Map.of("a", "ä")));
        kinesis.tagResource(it -> it.resourceARN(arn).tags(Map.of("b", "")));
        Tag first = Tag.builder().key("a").value("ä").build();
        Tag second = Tag.builder().key("b").value("").build();
        var listed = kinesis.listTagsForStream(it -> it.streamName(stream));
        assertEquals(List.of(first, second), listed.tags());
        assertEquals(false, listed.hasMoreTags());
        kinesis.removeTagsFromStream(it -> it.streamName(stream).tagKeys("a"));
        assertEquals(List.of(second), kinesis.listTagsForResource(it -> it.resourceARN(arn)).tags());
        kinesis.untagResource(it -> it.resourceARN(arn).tagKeys("b"));
        assertEquals(List.of(), kinesis.listTagsForResource(it -> it.resourceARN(arn)).tags());
    }

    @Test
    void a_policy_is_put_got_and_deleted() {
        String arn = arn(makeStream(kinesis));
        String policy =
                """
                {"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*",\
                "Action":"kinesis:*","Resource":"%s"}]}"""
                        .formatted(arn);
        kinesis.putResourcePolicy(it -> it.resourceARN(arn).policy(policy));
        assertEquals(policy, kinesis.getResourcePolicy(it -> it.resourceARN(arn)).policy());
        kinesis.deleteResourcePolicy(it -> it.resourceARN(arn));
        assertEquals("{}", kinesis.getResourcePolicy(it -> it.resourceARN(arn)).policy());
    }

    @Test
    void encryption_asks_for_a_key_service_and_there_is_none() {
        String stream = makeStream(kinesis);
        refused(
                KmsNotFoundException.class,
                () ->
                        kinesis.startStreamEncryption(
                                it ->
                                        it.streamName(stream)
                                                .encryptionType(EncryptionType.KMS)
                                                .keyId("alias/aws/kinesis")));
        kinesis.stopStreamEncryption(
                it ->
                        it.streamName(stream)
                                .encryptionType(EncryptionType.KMS)
                                .keyId("alias/aws/kinesis"));
    }

    @Test
    void consumers_are_registered_described_listed_page_by_page_and_deregistered() {
        String stream = makeStream(kinesis);
        List<String> made = new ArrayList<>();
        for (int index = 0; index < 3; index++) {
            made.add(makeConsumer(kinesis, stream));
        }
        String arn = made.get(0);
        var described = kinesis.describeStreamConsumer(it -> it.consumerARN(arn)).consumerDescription();
        assertEquals(arn(stream), described.streamARN());
        assertEquals(ConsumerStatus.ACTIVE, described.consumerStatus());
        String epoch = arn.substring(arn.lastIndexOf(':') + 1);
        assertEquals(Long.parseLong(epoch), described.consumerCreationTimestamp().getEpochSecond());
        List<Integer> pages = new ArrayList<>();
        kinesis.listStreamConsumersPaginator(it -> it.streamARN(arn(stream)).maxResults(2))
                .forEach(page -> pages.add(page.consumers().size()));
        assertEquals(List.of(2, 1), pages);
        kinesis.deregisterStreamConsumer(
                it -> it.streamARN(arn(stream)).consumerName(described.consumerName()));
        refused(
                ResourceNotFoundException.class,
                () -> kinesis.describeStreamConsumer(it -> it.consumerARN(arn)));
    }
}
