/** The digest bench runs, small: every row is measured, and all of them hash the same bytes to the same digest. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { run } from "../../bench/digest.js";
import { native } from "../../lib/native/load.js";

test("a small run prints a row for each backend and number of threads, and the share of a step", async () => {
  const { log } = console;
  const lines: string[] = [];
  console.log = (line: string) => lines.push(...line.split("\n"));
  try {
    await run(["--small"]);
  } finally {
    console.log = log;
  }
  const { backends } = JSON.parse(native.capabilities()) as { backends: readonly string[] };
  const rows = lines.filter((line) => line.startsWith("| 300000 | BLAKE3 |"));
  assert.is(rows.length, 2 * backends.length);
  assert.is(new Set(rows.map((row) => row.split(" | ").at(-1))).size, 1);
  assert.match(lines.join("\n"), /The digest of its parameters and moments \(\d+ bytes\): .* % of the step/);
});

test.run();
