// The servers under test, and what the tests make there.

import assert from "node:assert/strict";

import {
  CreateStreamCommand,
  DescribeStreamCommand,
  GetRecordsCommand,
  GetShardIteratorCommand,
  KinesisClient,
  ListShardsCommand,
  RegisterStreamConsumerCommand,
} from "@aws-sdk/client-kinesis";

export const ACCOUNT = "000000000000";
export const FIRST = "shardId-000000000000";
export const HALF = (1n << 127n).toString();

/**
 * A client of a server. It is left as a stranger would have it: every call goes over HTTP/2, whose
 * use is agreed on beforehand.
 */
export function client(options = {}, endpoint = process.env.ANABRANCH_ENDPOINT) {
  return new KinesisClient({ endpoint, region: "us-east-1", maxAttempts: 1, ...options });
}

let number = 0;

/** A name that no other test of this file has. */
export const unique = (what) => `javascript-${what}-${process.pid}-${++number}`;

export const streamArn = (name) => `arn:aws:kinesis:us-east-1:${ACCOUNT}:stream/${name}`;

/** Makes a stream and returns its name. */
export async function makeStream(kinesis, options = { ShardCount: 1 }) {
  const StreamName = unique("stream");
  await kinesis.send(new CreateStreamCommand({ StreamName, ...options }));
  return StreamName;
}

/** Makes an on-demand stream and returns its name. */
export const makeOnDemand = (kinesis) =>
  makeStream(kinesis, { StreamModeDetails: { StreamMode: "ON_DEMAND" } });

/** Registers a consumer. */
export async function makeConsumer(kinesis, name) {
  const request = { StreamARN: streamArn(name), ConsumerName: unique("consumer") };
  const reply = await kinesis.send(new RegisterStreamConsumerCommand(request));
  return reply.Consumer;
}

/** Waits for a change of the shards to be over. */
export async function untilActive(kinesis, StreamName) {
  const end = Date.now() + 10_000;
  for (;;) {
    const reply = await kinesis.send(new DescribeStreamCommand({ StreamName }));
    if (reply.StreamDescription.StreamStatus === "ACTIVE") return;
    assert.ok(Date.now() < end, "the stream did not become ACTIVE");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** The shards of a stream. */
export async function shards(kinesis, StreamName) {
  return (await kinesis.send(new ListShardsCommand({ StreamName }))).Shards;
}

/** The records of a shard, and its last page. */
export async function read(kinesis, StreamName, ShardId = FIRST) {
  const request = { StreamName, ShardId, ShardIteratorType: "TRIM_HORIZON" };
  let { ShardIterator } = await kinesis.send(new GetShardIteratorCommand(request));
  const records = [];
  for (;;) {
    const page = await kinesis.send(new GetRecordsCommand({ ShardIterator }));
    records.push(...page.Records);
    const isAtTip = page.MillisBehindLatest === 0 && page.Records.length === 0;
    if (isAtTip || !page.NextShardIterator) return { records, page };
    ShardIterator = page.NextShardIterator;
  }
}

/** Expects a refusal of that name, and if given with exactly that text. */
export async function refused(promise, name, message) {
  await assert.rejects(promise, (error) => {
    assert.equal(error.name, name);
    assert.equal(error.$metadata.httpStatusCode, 400);
    assert.match(error.$metadata.requestId, /^[0-9a-f-]{36}$/);
    if (message !== undefined) assert.equal(error.message, message);
    return true;
  });
}

export const bytes = (text) => new TextEncoder().encode(text);
export const text = (data) => new TextDecoder().decode(data);
