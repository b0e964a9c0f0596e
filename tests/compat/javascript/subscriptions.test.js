// SubscribeToShard, over the event stream of HTTP/2.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";

import * as sdk from "@aws-sdk/client-kinesis";

import {
  bytes,
  client,
  FIRST,
  HALF,
  makeConsumer,
  makeStream,
  refused,
  streamArn,
  text,
} from "./world.js";

// A place is refused to others for so long, and taken over after it.
const PLACE_MS = 5000;

const kinesis = client();
after(() => kinesis.destroy());

const put = (StreamName, data) => {
  const record = { StreamName, Data: bytes(data), PartitionKey: "key" };
  return kinesis.send(new sdk.PutRecordCommand(record));
};

/** The events of a subscription. */
async function subscribe(consumer, StartingPosition = { Type: "TRIM_HORIZON" }) {
  const request = { ConsumerARN: consumer.ConsumerARN, ShardId: FIRST, StartingPosition };
  const reply = await kinesis.send(new sdk.SubscribeToShardCommand(request));
  return reply.EventStream[Symbol.asyncIterator]();
}

/** The next event. */
async function next(events) {
  const { value, done } = await events.next();
  assert.ok(!done, "the subscription ended");
  assert.ok(value.SubscribeToShardEvent, JSON.stringify(value));
  return value.SubscribeToShardEvent;
}

/** The first records of a subscription, and the event that held the last of them. */
async function take(events, count) {
  const records = [];
  for (;;) {
    const event = await next(events);
    records.push(...event.Records);
    if (records.length >= count) return { records, event };
  }
}

/** All events to the end of the subscription, of which we know that it comes. */
async function rest(events) {
  const all = [];
  for (;;) {
    const { value, done } = await events.next();
    if (done) return all;
    all.push(value.SubscribeToShardEvent);
  }
}

test("what is put is pushed, and a subscription goes on where another ended", async () => {
  const name = await makeStream(kinesis);
  for (const data of ["0", "1"]) await put(name, data);
  const events = await subscribe(await makeConsumer(kinesis, name));
  const first = await take(events, 2);
  await put(name, "2");
  const { records, event } = await take(events, 1);
  const got = [...first.records, ...records];
  assert.deepEqual(got.map((record) => text(record.Data)), ["0", "1", "2"]);
  assert.equal(got[0].PartitionKey, "key");
  assert.ok(got[0].ApproximateArrivalTimestamp instanceof Date);
  await events.return?.();

  await put(name, "3");
  const SequenceNumber = event.ContinuationSequenceNumber;
  const position = { Type: "AFTER_SEQUENCE_NUMBER", SequenceNumber };
  const more = await subscribe(await makeConsumer(kinesis, name), position);
  assert.deepEqual((await take(more, 1)).records.map((record) => text(record.Data)), ["3"]);
  await more.return?.();
});

test("an idle subscription is told that it lives, with where it stands", async () => {
  const name = await makeStream(kinesis);
  const events = await subscribe(await makeConsumer(kinesis, name), { Type: "LATEST" });
  const event = await next(events);
  assert.deepEqual(event.Records, []);
  assert.equal(event.MillisBehindLatest, 0);
  assert.equal(event.ContinuationSequenceNumber.length, 56);
  await events.return?.();
});

test("the end of a shard names its children and no continuation", async () => {
  const StreamName = await makeStream(kinesis);
  await put(StreamName, "0");
  const events = await subscribe(await makeConsumer(kinesis, StreamName));
  await take(events, 1);
  const split = { StreamName, ShardToSplit: FIRST, NewStartingHashKey: HALF };
  await kinesis.send(new sdk.SplitShardCommand(split));
  const last = (await rest(events)).at(-1);
  assert.equal(last.ContinuationSequenceNumber, undefined);
  assert.deepEqual(
    last.ChildShards.map((child) => child.ShardId),
    ["shardId-000000000001", "shardId-000000000002"],
  );
});

test("a place is refused for five seconds and then taken over", async () => {
  const name = await makeStream(kinesis);
  const consumer = await makeConsumer(kinesis, name);
  const first = await subscribe(consumer, { Type: "LATEST" });
  const begun = Date.now();
  await refused(subscribe(consumer), "ResourceInUseException");
  await next(first);
  await pause(Math.max(0, begun + PLACE_MS + 200 - Date.now()));
  const second = await subscribe(consumer, { Type: "LATEST" });
  await assert.rejects(rest(first), { name: "ResourceInUseException" });
  await put(name, "0");
  assert.equal((await take(second, 1)).records.length, 1);
  await second.return?.();
});

test("deregistering a consumer ends its subscriptions", async () => {
  const name = await makeStream(kinesis);
  const consumer = await makeConsumer(kinesis, name);
  const events = await subscribe(consumer, { Type: "LATEST" });
  const { ConsumerARN } = consumer;
  await kinesis.send(new sdk.DeregisterStreamConsumerCommand({ ConsumerARN }));
  await assert.rejects(rest(events), { name: "ResourceNotFoundException" });
});

test("forty subscriptions and other calls share one connection", async () => {
  const name = await makeStream(kinesis);
  const subscriptions = [];
  for (let index = 0; index < 40; index++) {
    const consumer = await makeConsumer(kinesis, name).catch((error) => error);
    if (consumer instanceof Error) {
      // Where a stream takes no more consumers, those that it has are enough.
      assert.equal(consumer.name, "LimitExceededException");
      break;
    }
    subscriptions.push(await subscribe(consumer, { Type: "LATEST" }));
  }
  assert.ok(subscriptions.length >= 20);
  await put(name, "0");
  const got = await Promise.all(subscriptions.map((events) => take(events, 1)));
  assert.ok(got.every(({ records }) => text(records[0].Data) === "0"));
  await Promise.all(subscriptions.map((events) => events.return?.()));
});

test("what is refused before the stream opens is an exception as any other", async () => {
  const name = await makeStream(kinesis);
  const ConsumerARN = `${streamArn(name)}/consumer/absent:1`;
  await refused(subscribe({ ConsumerARN }), "ResourceNotFoundException");
});
