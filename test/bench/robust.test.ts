/** The bench of robust rules with few elements, so that it cannot rot. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { run } from "../../bench/robust.js";
import { failure } from "../failure.js";
import { printed } from "../printed.js";

const output = async (args: string[]) => (await printed(() => run(args))).split("\n");

test("it prints a row for every rule, and the mean is once itself", async () => {
  const lines = await output(["--elements", "5000", "--runs", "1", "--peers", "7"]);
  const rows = lines.filter((line) => line.startsWith("| ") && !line.startsWith("| rule"));
  assert.is(rows.length, 8);
  assert.match(rows[0]!, /^\| mean \| 0 \| [\d.]+ \| [\d.]+ \| [\d.]+ \| 1\.00 \| [0-9a-f]{16} \|$/);
  assert.match(rows[1]!, /^\| coordinate median \| 3 \|/);
});

test("more peers than can be aggregated are refused", async () => {
  const { message } = await failure(output(["--peers", "33"]));
  assert.is(message, "--peers is 33; allowed: a whole number from 3 to 32");
});

test.run();
