/** The benches of a step, so that they cannot rot: a run of two peers by two strategies, and what is refused. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { run } from "../../bench/step.js";
import { stepRows } from "../../bench/step-table.js";
import { createStrategies, strategies } from "../../lib/strategy/registry.js";
import { failure } from "../failure.js";

const folder = await mkdtemp(join(tmpdir(), "gradmesh-bench-"));
test.after(() => rm(folder, { recursive: true, force: true }));

interface Line {
  readonly profile: string;
  readonly name: string;
  readonly measured: { bytes: number; seconds: number; train: number; sync: number; digest: string };
  readonly simulated: { cost: number; bytes: number; seconds: number | null };
}

test("real peers send what cost() and the gym say", async () => {
  const json = join(folder, "step.json");
  const small = ["--profiles", "loopback", "--peers", "2", "--steps", "40", "--model", "smallest"];
  await run([
    "--strategies",
    ...small,
    "--only",
    "ddp int8,diloco fp32",
    "--json",
    json,
    "--out",
    join(folder, "step.md"),
  ]);
  const { lines } = JSON.parse(await readFile(json, "utf8")) as { lines: Line[] };
  assert.equal(
    lines.map(({ name }) => name),
    ["ddp int8", "diloco fp32"],
  );
  for (const { name, measured, simulated } of lines) {
    const { cost, bytes } = simulated;
    assert.ok(Math.abs(measured.bytes / bytes - 1) < 0.01, `${name}: ${measured.bytes} and ${bytes}`);
    assert.ok(
      measured.bytes > cost && measured.bytes < 1.1 * cost,
      `${name}: ${measured.bytes} beside ${cost}`,
    );
    assert.ok(measured.seconds >= measured.sync && measured.train > 0);
    assert.match(measured.digest, /^[0-9a-f]{64}$/);
  }
  const text = await readFile(join(folder, "step.md"), "utf8");
  assert.match(text, /\| diloco fp32 +\| /);
});

test("the rows are of every strategy that sends something, and whole rounds", () => {
  const names = new Set(
    stepRows.flatMap(({ strategy }) => createStrategies(strategy).map(({ recipe }) => recipe.strategy)),
  );
  for (const name of Object.keys(strategies)) assert.is(names.has(name), name !== "hdee", name);
});

test("what cannot be is refused by name", async () => {
  for (const [args, message] of [
    [["--profiles", "moon"], /--profiles has "moon"; allowed: loopback, lan, /],
    [["--model", "huge"], /--model is "huge"; allowed: standard, tiny, smallest/],
    [["--peers", "0"], /--peers is "0"; allowed: 1 to 16/],
    [["--only", "nothing"], /no strategy's name holds it/],
  ] as const)
    assert.match((await failure(run(["--strategies", ...args]))).message, message);
});

test.run();
