/** The digest bench runs, small: every row is measured, and all of them hash the same bytes to the same digest. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { run } from "../../bench/digest.js";
import { native } from "../../lib/native/load.js";
import { printed } from "../printed.js";

test("a small run prints a row for each backend and number of threads, and the share of a step", async () => {
  const text = await printed(() => run(["--small"]));
  const { backends } = JSON.parse(native.capabilities()) as { backends: readonly string[] };
  const rows = text.split("\n").filter((line) => line.startsWith("| 300000 | BLAKE3 |"));
  assert.is(rows.length, 2 * backends.length);
  assert.is(new Set(rows.map((row) => row.split(" | ").at(-1))).size, 1);
  assert.match(text, /The digest of its parameters and moments \(\d+ bytes\): .* % of the step/);
});

test.run();
