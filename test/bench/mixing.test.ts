/** The bench of mixing graphs with few ranks, so that it cannot rot. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { run } from "../../bench/mixing.js";
import { printed } from "../printed.js";

const output = async (args: string[]) => (await printed(() => run(args))).split("\n");

test("it prints the rounds of every graph, and none where a graph takes other numbers", async () => {
  const lines = await output(["--ranks", "8,13"]);
  const cells = (label: string) =>
    lines
      .find((line) => line.startsWith(`| ${label} `))
      ?.split("|")
      .map((cell) => cell.trim());
  assert.is(cells("one-peer exponential")?.[2], "3 exact (3 exact)");
  assert.match(cells("one-peer exponential")?.[3] ?? "", /^\d+$/);
  assert.is(cells("Base-2")?.[2], "3 exact");
  assert.is(cells("hypercube")?.[3], "-");
});

test("ranks that cannot be are refused", async () => {
  try {
    await output(["--ranks", "8,x"]);
  } catch (error) {
    assert.match((error as Error).message, /--ranks is 8,x; allowed: whole numbers from 2 to 1024/);
    return;
  }
  assert.unreachable("not refused");
});

test.run();
