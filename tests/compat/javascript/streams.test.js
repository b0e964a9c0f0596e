// Streams, their settings, tags and policies; the account.

import assert from "node:assert/strict";
import { after, test } from "node:test";

import * as sdk from "@aws-sdk/client-kinesis";

import {
  ACCOUNT,
  client,
  makeConsumer,
  makeOnDemand,
  makeStream,
  refused,
  streamArn,
  unique,
  untilActive,
} from "./world.js";

const kinesis = client();
after(() => kinesis.destroy());

const describe = async (StreamName) =>
  (await kinesis.send(new sdk.DescribeStreamCommand({ StreamName }))).StreamDescription;
const summarize = async (StreamName) =>
  (await kinesis.send(new sdk.DescribeStreamSummaryCommand({ StreamName })))
    .StreamDescriptionSummary;

test("a stream is described as it was made", async () => {
  const name = await makeStream(kinesis, { ShardCount: 2 });
  const { Shards, StreamCreationTimestamp, ...rest } = await describe(name);
  assert.equal(Shards.length, 2);
  assert.ok(Math.abs(StreamCreationTimestamp - Date.now()) < 60_000);
  assert.deepEqual(rest, {
    StreamName: name,
    StreamARN: streamArn(name),
    StreamStatus: "ACTIVE",
    StreamModeDetails: { StreamMode: "PROVISIONED" },
    HasMoreShards: false,
    RetentionPeriodHours: 24,
    EnhancedMonitoring: [{ ShardLevelMetrics: [] }],
    EncryptionType: "NONE",
  });
  const summary = await summarize(name);
  assert.equal(summary.OpenShardCount, 2);
  assert.equal(summary.MaxRecordSizeInKiB, 1024);
});

test("waiters wait until a stream is there and until it is gone", async () => {
  const delayed = client({}, process.env.ANABRANCH_ENDPOINT_DELAYS);
  const StreamName = await makeStream(delayed);
  const options = { client: delayed, maxWaitTime: 30, minDelay: 1, maxDelay: 1 };
  const { state } = await sdk.waitUntilStreamExists(options, { StreamName });
  assert.equal(state, "SUCCESS");
  await delayed.send(new sdk.DeleteStreamCommand({ StreamName }));
  await sdk.waitUntilStreamNotExists(options, { StreamName });
  delayed.destroy();
});

test("the paginator of streams finds each once", async () => {
  const made = [await makeStream(kinesis), await makeStream(kinesis), await makeStream(kinesis)];
  const listed = [];
  for await (const page of sdk.paginateListStreams({ client: kinesis, pageSize: 2 }, {})) {
    listed.push(...page.StreamNames);
  }
  assert.deepEqual(listed, [...new Set(listed)].sort());
  for (const name of made) assert.ok(listed.includes(name));
  const page = await kinesis.send(new sdk.ListStreamsCommand({ Limit: 1 }));
  assert.equal(page.StreamSummaries[0].StreamName, page.StreamNames[0]);
});

test("the retention period, the record size and the metrics are changed", async () => {
  const StreamName = await makeStream(kinesis);
  const StreamARN = streamArn(StreamName);
  const hours = (RetentionPeriodHours) => ({ StreamName, RetentionPeriodHours });
  await kinesis.send(new sdk.IncreaseStreamRetentionPeriodCommand(hours(48)));
  assert.equal((await describe(StreamName)).RetentionPeriodHours, 48);
  await kinesis.send(new sdk.DecreaseStreamRetentionPeriodCommand(hours(24)));
  assert.equal((await describe(StreamName)).RetentionPeriodHours, 24);

  const size = { StreamARN, MaxRecordSizeInKiB: 2048 };
  await kinesis.send(new sdk.UpdateMaxRecordSizeCommand(size));
  assert.equal((await summarize(StreamName)).MaxRecordSizeInKiB, 2048);

  const metrics = { StreamName, ShardLevelMetrics: ["IncomingBytes"] };
  const enabled = await kinesis.send(new sdk.EnableEnhancedMonitoringCommand(metrics));
  assert.deepEqual(enabled.DesiredShardLevelMetrics, ["IncomingBytes"]);
  const disabled = await kinesis.send(new sdk.DisableEnhancedMonitoringCommand(metrics));
  assert.deepEqual(disabled.CurrentShardLevelMetrics, ["IncomingBytes"]);
  assert.deepEqual(disabled.DesiredShardLevelMetrics, []);
});

test("the mode, the distribution and the warm throughput are changed", async () => {
  const StreamName = await makeOnDemand(kinesis);
  const StreamARN = streamArn(StreamName);
  const strategy = { StreamARN, RecordDistributionStrategy: "AUTO" };
  await kinesis.send(new sdk.UpdateStreamRecordDistributionStrategyCommand(strategy));
  assert.equal((await summarize(StreamName)).RecordDistributionStrategy, "AUTO");
  strategy.RecordDistributionStrategy = "USER_PARTITION_KEY";
  await kinesis.send(new sdk.UpdateStreamRecordDistributionStrategyCommand(strategy));

  const commitment = { MinimumThroughputBillingCommitment: { Status: "ENABLED" } };
  const updated = await kinesis.send(new sdk.UpdateAccountSettingsCommand(commitment));
  assert.equal(updated.MinimumThroughputBillingCommitment.Status, "ENABLED");
  assert.ok(updated.MinimumThroughputBillingCommitment.StartedAt instanceof Date);
  const settings = await kinesis.send(new sdk.DescribeAccountSettingsCommand({}));
  assert.equal(settings.MinimumThroughputBillingCommitment.Status, "ENABLED");
  const warm = { StreamName, WarmThroughputMiBps: 5 };
  const warmed = await kinesis.send(new sdk.UpdateStreamWarmThroughputCommand(warm));
  assert.equal(warmed.WarmThroughput.TargetMiBps, 5);

  const mode = { StreamARN, StreamModeDetails: { StreamMode: "PROVISIONED" } };
  await kinesis.send(new sdk.UpdateStreamModeCommand(mode));
  await untilActive(kinesis, StreamName);
  assert.equal((await describe(StreamName)).StreamModeDetails.StreamMode, "PROVISIONED");
});

test("limits are described", async () => {
  const limits = await kinesis.send(new sdk.DescribeLimitsCommand({}));
  assert.equal(limits.ShardLimit, 1_000_000);
  assert.ok(limits.OpenShardCount >= 0);
});

test("streams are tagged by either family of operations", async () => {
  const StreamName = await makeStream(kinesis);
  const ResourceARN = streamArn(StreamName);
  await kinesis.send(new sdk.AddTagsToStreamCommand({ StreamName, Tags: { a: "1" } }));
  await kinesis.send(new sdk.TagResourceCommand({ ResourceARN, Tags: { b: "2" } }));
  const expected = [
    { Key: "a", Value: "1" },
    { Key: "b", Value: "2" },
  ];
  const listed = await kinesis.send(new sdk.ListTagsForStreamCommand({ StreamName }));
  assert.deepEqual(listed.Tags, expected);
  assert.equal(listed.HasMoreTags, false);
  await kinesis.send(new sdk.RemoveTagsFromStreamCommand({ StreamName, TagKeys: ["a"] }));
  const rest = await kinesis.send(new sdk.ListTagsForResourceCommand({ ResourceARN }));
  assert.deepEqual(rest.Tags, expected.slice(1));
  await kinesis.send(new sdk.UntagResourceCommand({ ResourceARN, TagKeys: ["b"] }));
  const none = await kinesis.send(new sdk.ListTagsForResourceCommand({ ResourceARN }));
  assert.deepEqual(none.Tags, []);
});

test("a policy is put, got and deleted", async () => {
  const ResourceARN = streamArn(await makeStream(kinesis));
  const Policy = JSON.stringify({
    Version: "2012-10-17",
    Statement: [{ Effect: "Allow", Principal: "*", Action: "kinesis:*", Resource: ResourceARN }],
  });
  await kinesis.send(new sdk.PutResourcePolicyCommand({ ResourceARN, Policy }));
  const got = await kinesis.send(new sdk.GetResourcePolicyCommand({ ResourceARN }));
  assert.deepEqual(JSON.parse(got.Policy), JSON.parse(Policy));
  await kinesis.send(new sdk.DeleteResourcePolicyCommand({ ResourceARN }));
  const none = await kinesis.send(new sdk.GetResourcePolicyCommand({ ResourceARN }));
  assert.equal(none.Policy, "{}");
});

test("encryption asks for a key service, and there is none", async () => {
  const StreamName = await makeStream(kinesis);
  const key = { StreamName, EncryptionType: "KMS", KeyId: "alias/aws/kinesis" };
  await refused(
    kinesis.send(new sdk.StartStreamEncryptionCommand(key)),
    "KMSNotFoundException",
  );
  await kinesis.send(new sdk.StopStreamEncryptionCommand(key));
});

test("consumers are registered, described, listed page by page and deregistered", async () => {
  const name = await makeStream(kinesis);
  const StreamARN = streamArn(name);
  const made = [];
  for (let index = 0; index < 3; index++) made.push(await makeConsumer(kinesis, name));
  const { ConsumerARN, ConsumerName } = made[0];
  const by = { StreamARN, ConsumerName };
  const { ConsumerDescription } = await kinesis.send(new sdk.DescribeStreamConsumerCommand(by));
  assert.equal(ConsumerDescription.ConsumerARN, ConsumerARN);
  assert.equal(ConsumerDescription.StreamARN, StreamARN);
  assert.equal(ConsumerDescription.ConsumerStatus, "ACTIVE");
  const listed = [];
  const pages = sdk.paginateListStreamConsumers({ client: kinesis, pageSize: 2 }, { StreamARN });
  for await (const page of pages) listed.push(page.Consumers.length);
  assert.deepEqual(listed, [2, 1]);
  await kinesis.send(new sdk.DeregisterStreamConsumerCommand({ ConsumerARN }));
  await refused(
    kinesis.send(new sdk.DescribeStreamConsumerCommand({ ConsumerARN })),
    "ResourceNotFoundException",
  );
});

test("what is refused is an exception of the SDK", async () => {
  const StreamName = unique("absent");
  const request = kinesis.send(new sdk.DescribeStreamCommand({ StreamName }));
  await assert.rejects(request, sdk.ResourceNotFoundException);
  const text = `Stream ${StreamName} under account ${ACCOUNT} not found.`;
  const again = kinesis.send(new sdk.DeleteStreamCommand({ StreamName }));
  await refused(again, "ResourceNotFoundException", text);
});
