// Records and shards: put, got, split, merged, scaled, over HTTP/2 and over HTTP/1.1.

import assert from "node:assert/strict";
import { after, test } from "node:test";

import * as sdk from "@aws-sdk/client-kinesis";
import { NodeHttpHandler } from "@smithy/node-http-handler";

import {
  ACCOUNT,
  bytes,
  client,
  FIRST,
  HALF,
  makeStream,
  read,
  refused,
  shards,
  text,
  untilActive,
} from "./world.js";

const MIB = 1 << 20;
const kinesis = client();
const overHttp1 = client({ requestHandler: new NodeHttpHandler() });
after(() => {
  kinesis.destroy();
  overHttp1.destroy();
});

for (const [version, each] of [
  ["HTTP/2", kinesis],
  ["HTTP/1.1", overHttp1],
]) {
  test(`a record is got as it was put, over ${version}`, async () => {
    const StreamName = await makeStream(each);
    const all = Uint8Array.from({ length: 256 }, (_, index) => index);
    const expected = [all, new Uint8Array(), bytes("ünicödé 💣")];
    const numbers = [];
    for (const Data of expected) {
      const record = { StreamName, Data, PartitionKey: "key é" };
      const put = await each.send(new sdk.PutRecordCommand(record));
      assert.equal(put.ShardId, FIRST);
      assert.equal(put.SequenceNumber.length, 56);
      numbers.push(put.SequenceNumber);
    }
    const { records } = await read(each, StreamName);
    assert.deepEqual(records.map((record) => record.Data), expected);
    assert.deepEqual(records.map((record) => record.SequenceNumber), numbers);
    assert.equal(records[0].PartitionKey, "key é");
    assert.ok(Math.abs(records[0].ApproximateArrivalTimestamp - Date.now()) < 60_000);
    assert.equal(records[0].EncryptionType, undefined);
  });
}

test("a full batch is put and read", async () => {
  const StreamName = await makeStream(kinesis, { ShardCount: 4 });
  const Records = Array.from({ length: 500 }, (_, index) => ({
    Data: bytes(String(index)),
    PartitionKey: `key-${index}`,
  }));
  const reply = await kinesis.send(new sdk.PutRecordsCommand({ StreamName, Records }));
  assert.equal(reply.FailedRecordCount, 0);
  assert.equal(reply.Records.length, 500);
  const got = [];
  for (const { ShardId } of await shards(kinesis, StreamName)) {
    const { records } = await read(kinesis, StreamName, ShardId);
    got.push(...records.map((record) => Number(text(record.Data))));
  }
  got.sort((a, b) => a - b);
  assert.deepEqual(got, Array.from({ length: 500 }, (_, index) => index));
});

test("batches of ten mebibytes are put next to each other on one connection", async () => {
  const StreamName = await makeStream(kinesis, { ShardCount: 4 });
  const Records = Array.from({ length: 10 }, (_, index) => ({
    Data: new Uint8Array(MIB - 16).fill(index),
    PartitionKey: `key-${index}`,
  }));
  const command = () => kinesis.send(new sdk.PutRecordsCommand({ StreamName, Records }));
  const replies = await Promise.all([command(), command(), command()]);
  assert.deepEqual(replies.map((reply) => reply.FailedRecordCount), [0, 0, 0]);
});

test("a hundred calls run at a time on one connection", async () => {
  const StreamName = await makeStream(kinesis);
  const put = (_, index) => {
    const record = { StreamName, Data: bytes(String(index)), PartitionKey: "key" };
    return kinesis.send(new sdk.PutRecordCommand(record));
  };
  const replies = await Promise.all(Array.from({ length: 100 }, put));
  assert.equal(new Set(replies.map((reply) => reply.SequenceNumber)).size, 100);
  const { records } = await read(kinesis, StreamName);
  assert.equal(records.length, 100);
});

test("shards are split, merged and scaled, and name their children", async () => {
  const StreamName = await makeStream(kinesis);
  const record = { StreamName, Data: bytes("before"), PartitionKey: "key" };
  await kinesis.send(new sdk.PutRecordCommand(record));
  const split = { StreamName, ShardToSplit: FIRST, NewStartingHashKey: HALF };
  await kinesis.send(new sdk.SplitShardCommand(split));
  await untilActive(kinesis, StreamName);
  const { records, page } = await read(kinesis, StreamName);
  assert.equal(records.length, 1);
  assert.equal(page.NextShardIterator, undefined);
  const children = page.ChildShards.map((child) => child.ShardId);
  assert.deepEqual(children, ["shardId-000000000001", "shardId-000000000002"]);
  assert.deepEqual(page.ChildShards[0].ParentShards, [FIRST]);

  const [ShardToMerge, AdjacentShardToMerge] = children;
  const merge = { StreamName, ShardToMerge, AdjacentShardToMerge };
  await kinesis.send(new sdk.MergeShardsCommand(merge));
  await untilActive(kinesis, StreamName);
  const merged = (await read(kinesis, StreamName, ShardToMerge)).page.ChildShards;
  assert.deepEqual(merged[0].ParentShards.sort(), children);

  const scale = { StreamName, TargetShardCount: 2, ScalingType: "UNIFORM_SCALING" };
  const scaled = await kinesis.send(new sdk.UpdateShardCountCommand(scale));
  assert.equal(scaled.CurrentShardCount, 1);
  assert.equal(scaled.TargetShardCount, 2);
  await untilActive(kinesis, StreamName);
  const open = { StreamName, ShardFilter: { Type: "AT_LATEST" } };
  const { Shards } = await kinesis.send(new sdk.ListShardsCommand(open));
  assert.equal(Shards.length, 2);
});

test("throttled records are told one by one, and a throttled put is an exception", async () => {
  const limited = client({}, process.env.ANABRANCH_ENDPOINT_QUOTAS);
  const StreamName = await makeStream(limited);
  const entry = { Data: new Uint8Array(MIB - 3), PartitionKey: "key" };
  await limited.send(new sdk.PutRecordCommand({ StreamName, ...entry }));
  const text = `Rate exceeded for shard ${FIRST} in stream ${StreamName} under account ${ACCOUNT}.`;
  const Records = [entry, entry];
  const reply = await limited.send(new sdk.PutRecordsCommand({ StreamName, Records }));
  assert.equal(reply.FailedRecordCount, 2);
  assert.equal(reply.Records[0].ErrorCode, "ProvisionedThroughputExceededException");
  assert.equal(reply.Records[0].ErrorMessage, text);
  await refused(
    limited.send(new sdk.PutRecordCommand({ StreamName, ...entry })),
    "ProvisionedThroughputExceededException",
    text,
  );
  limited.destroy();
});

test("iterators that are malformed and dry runs are refused", async () => {
  const StreamName = await makeStream(kinesis);
  await refused(
    kinesis.send(new sdk.GetRecordsCommand({ ShardIterator: "malformed" })),
    "InvalidArgumentException",
    "Invalid ShardIterator.",
  );
  const record = { StreamName, Data: bytes(""), PartitionKey: "key", DryRun: true };
  await refused(kinesis.send(new sdk.PutRecordCommand(record)), "DryRunOperationException");
  await refused(
    kinesis.send(new sdk.DescribeStreamCommand({ StreamName: "no name" })),
    "ValidationException",
    "1 validation error detected: Value 'no name' at 'streamName' failed to satisfy constraint: " +
      "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+",
  );
});
