// Every operation that the SDK has a command for is called somewhere in these files.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";

import * as sdk from "@aws-sdk/client-kinesis";

// The server does not have these.
const UNKNOWN = /Queue|Channel/;

test("every operation has a test", () => {
  const commands = Object.keys(sdk)
    .filter((name) => /^[A-Z].*Command$/.test(name))
    .filter((name) => !name.startsWith("$") && !UNKNOWN.test(name));
  assert.equal(commands.length, 40);
  const sources = readdirSync(import.meta.dirname)
    .filter((file) => file.endsWith(".js") && file !== "operations.test.js")
    .map((file) => readFileSync(new URL(file, import.meta.url), "utf8"))
    .join("\n");
  // By its command, imported with the SDK or by itself, or by its paginator.
  const calls = (name) => [
    `new sdk.${name}(`,
    `new ${name}(`,
    `paginate${name.replace(/Command$/, "")}(`,
  ];
  const untested = commands.filter((name) => !calls(name).some((call) => sources.includes(call)));
  assert.deepEqual(untested, []);
});
