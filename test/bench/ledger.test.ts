/** The ledger bench runs, and audits what it appended. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { run } from "../../bench/ledger.js";
import { printed } from "../printed.js";

test("a small run appends, audits and prints both rates", async () => {
  const args = ["--events", "1500", "--accounts", "8", "--trials", "1", "--threads", "1"];
  const text = await printed(() => run(args));
  assert.match(text, /median of 1: [\d,]+ appends\/s, [\d,]+ audited records\/s/);
});

test("an impossible option is named", async () => {
  const error = await run(["--events", "none"]).catch((error: Error) => error);
  assert.match((error as Error).message, /--events is none; allowed is an integer from 1/);
});

test.run();
