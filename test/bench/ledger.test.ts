/** The ledger bench runs, and audits what it appended. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { run } from "../../bench/ledger.js";

test("a small run appends, audits and prints both rates", async () => {
  const write = process.stdout.write;
  let text = "";
  process.stdout.write = (chunk: string | Uint8Array) => {
    text += chunk;
    return true;
  };
  try {
    await run(["--events", "1500", "--accounts", "8", "--trials", "1", "--threads", "1"]);
  } finally {
    process.stdout.write = write;
  }
  assert.match(text, /median of 1: [\d,]+ appends\/s, [\d,]+ audited records\/s/);
});

test("an impossible option is named", async () => {
  const error = await run(["--events", "none"]).catch((error: Error) => error);
  assert.match((error as Error).message, /--events is none; allowed is an integer from 1/);
});

test.run();
