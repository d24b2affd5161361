/** A peer that fails on its own ends with its reason and the others go on; a lost checkpoint ends nothing; nothing leaks. */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Census } from "./odd-trainer.js";
import { type TestRun, tinyConfig, withRun } from "./run.js";

const module = fileURLToPath(new URL("./odd-trainer.js", import.meta.url));

/** The run's config with the odd trainer in the place of the GPT. */
async function useOddTrainer(run: TestRun, options: object, changes: object): Promise<void> {
  const config = tinyConfig(join(run.folder, "text.txt"), { ...changes });
  const gpt = config.trainer.options;
  const odd = { ...config, trainer: { module, options: { gpt, ...options } } };
  await writeFile(join(run.folder, "config.json"), JSON.stringify(odd));
}

async function failing(kind: "throw" | "nan", message: RegExp): Promise<void> {
  await withRun({}, async (run) => {
    // Step 7 is in round 3, after the peers have joined.
    await useOddTrainer(run, { fault: { shard: 1, step: 7, kind } }, { rounds: 12 });
    await run.startAll([["second"], ["third"]]);
    const unlucky = await run.event("started", (event) => event.shard === 1);
    const peer = run.peer(unlucky.name);
    run.spare(unlucky.name);
    const exit = await peer.exited;
    assert.is(exit.code, 1);
    assert.match(peer.stderr(), message);
    const others = ["first", "second", "third"].filter((name) => name !== unlucky.name);
    const digests = await run.digests(others);
    assert.is(new Set(digests).size, 1);
    assert.is(run.history("first").size, 12);
  });
}

test("a trainer that throws ends its own peer with its words, and the others go on", () =>
  failing(
    "throw",
    /^error ERR_TRAINER: the trainer failed in step 7: the data of this shard cannot be read$/m,
  ));

test("a peer whose pseudo-gradient is not finite leaves with the reason, and the others go on", () =>
  failing(
    "nan",
    /^error ERR_DIVERGED: this peer's pseudo-gradient has NaN or infinite elements; lower the learning rate/m,
  ));

test("a checkpoint that cannot be written is a warning; the run goes on and completes", () =>
  withRun({ rounds: 4 }, async (run) => {
    await mkdir(run.peerFolder("second"), { recursive: true });
    await writeFile(join(run.peerFolder("second"), "checkpoints"), "a file in the folder's place");
    await run.startAll([["second"], ["third"]]);
    assert.is(new Set(await run.digests(["first", "second", "third"])).size, 1);
    const warnings = run.events.filter((event) => event.type === "warning");
    assert.equal(
      warnings.map((event) => [event.name, event.type === "warning" && event.code]),
      [
        ["second", "ERR_IO"],
        ["second", "ERR_IO"],
      ],
    );
    assert.is(run.events.filter((event) => event.type === "checkpoint").length, 4);
  }));

test("handles, open files and memory do not grow over 200 rounds", () =>
  withRun({}, async (run) => {
    const census = join(run.folder, "census");
    await useOddTrainer(run, { census }, { peersMin: 2, rounds: 200, checkpoint: { everyRounds: 20 } });
    await run.startAll([["second"]]);
    await run.digests(["first", "second"]);
    const lines = (await readFile(census, "utf8")).trim().split("\n");
    const counts = lines.map((line) => JSON.parse(line) as Census);
    assert.ok(counts.length >= 200);
    const most = (part: readonly Census[], key: keyof Census) => Math.max(...part.map((one) => one[key]));
    const [early, late] = [counts.slice(20, 60), counts.slice(-40)];
    assert.ok(most(late, "handles") <= most(early, "handles") + 2, "handles");
    assert.ok(most(late, "files") <= most(early, "files") + 2, "files");
    // V8 collects when it likes, so that this finds gross leaks alone.
    assert.ok(most(late, "residentBytes") - most(early, "residentBytes") < 64 * 2 ** 20, "memory");
  }));

test.run();
