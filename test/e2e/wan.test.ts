/** What a run does on links between sites: it salvages, leaves out a slow peer, measures and chooses; all with one state. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { RunEvent } from "../../lib/run/events.js";
import { type TestRun, tinyConfig, withRun } from "./run.js";

const module = fileURLToPath(new URL("./odd-trainer.js", import.meta.url));
const names = ["first", "second", "third"];

type Of<Type extends RunEvent["type"]> = Extract<RunEvent, { type: Type }> & { name: string };

const all = <Type extends RunEvent["type"]>(run: TestRun, type: Type) =>
  run.events.filter((event) => event.type === type) as unknown as Of<Type>[];

const equal = (digests: readonly string[]) => assert.is(new Set(digests).size, 1, digests.join("\n"));

/** The config of tests, its network with these changes. */
const network = (changes: Record<string, unknown>) => ({
  ...(tinyConfig("").network as Record<string, unknown>),
  ...changes,
});

/** The run's config with the odd trainer in the place of the GPT. */
async function useOddTrainer(run: TestRun, options: object, changes: Record<string, unknown>): Promise<void> {
  const config = tinyConfig(join(run.folder, "text.txt"), changes);
  const odd = { ...config, trainer: { module, options: { gpt: config.trainer.options, ...options } } };
  await writeFile(join(run.folder, "config.json"), JSON.stringify(odd));
}

test("salvage: what was finished before a peer was killed is kept, the same on every survivor", () =>
  withRun({ peersMin: 4, rounds: 5, network: network({ onLoss: "salvage" }) }, async (run) => {
    await run.startAll([["second"], ["third"], ["fourth", "--fault", "3:150:SIGKILL"]]);
    equal(await run.digests(names));
    assert.equal(run.history("second"), run.history("first"));
    const told = all(run, "salvaged");
    assert.equal(told.map(({ name }) => name).sort(), names);
    for (const { round, elements, kept, parts } of told) {
      assert.is(round, 2);
      assert.equal([kept, parts], [told[0]!.kept, told[0]!.parts]);
      assert.ok(kept > 0 && kept < elements);
      const counted = (peers: number) =>
        parts.filter((part) => part.peers === peers).reduce((sum, part) => sum + part.elements, 0);
      assert.equal([counted(4), counted(3)], [kept, elements - kept]);
    }
  }));

test("a slow peer is left out of a round, comes back, and its work goes into its next contribution", () =>
  withRun({}, async (run) => {
    // 40 rounds of 3 steps take 6 s at least, and the slow step 3 s.
    const fault = { shard: 1, step: 7, kind: "slow" };
    const changes = { rounds: 40, network: network({ slowLimitMs: 600 }) };
    await useOddTrainer(run, { fault, pauseMs: 50 }, changes);
    await run.startAll([["second"], ["third"]]);
    const slow = await run.event("started", ({ shard }) => shard === 1);
    const carried = await run.event("carried", ({ name }) => name === slow.name);
    assert.is(carried.from, 2, "step 7 is in round 3");
    assert.ok(carried.into > carried.from && carried.steps === 3 && carried.norm > 0);
    equal(await run.digests(names));
    const fast = names.find((name) => name !== slow.name)!;
    const rounds = all(run, "round").filter(({ name }) => name === fast);
    for (const { round, contributors } of rounds) {
      const away = round > carried.from && round <= carried.into;
      assert.is(contributors.length, away ? 2 : 3, `round ${round}`);
    }
    const change = await run.event("membership", (event) => event.change === "slow");
    assert.is(change.subject, slow.peer);
    const synced = await run.event("synced", ({ name }) => name === slow.name);
    assert.is(synced.round, carried.into);
    assert.is(all(run, "failed").filter(({ name }) => name === slow.name).length, 0);
  }));

test("auto: links are measured, and every peer chooses the same collective in the same round", () =>
  withRun({}, async (run) => {
    const strategy = { innerSteps: 3, codec: "fp32", collective: "auto" };
    const measuring = network({ probeShare: 0.2 });
    // Time between the all-reduces.
    await useOddTrainer(run, { pauseMs: 200 }, { rounds: 12, strategy, network: measuring });
    await run.startAll([["second"], ["third"]]);
    equal(await run.digests(names));
    const links = all(run, "link");
    assert.is(new Set(links.map(({ name, to }) => `${name} ${to}`)).size, 6, "every pair, both ways");
    for (const link of links) assert.ok(link.bytesPerSecond > 0 && link.roundTripSeconds > 0);
    const choices = (name: string) =>
      all(run, "chosen")
        .filter((event) => event.name === name)
        .map(({ round, collective, reason }) => ({ round, collective, reason }));
    const [first] = choices("first");
    assert.match(first!.reason, /^direct: 0 of 6 links are measured yet$/);
    for (const name of names) assert.equal(choices(name), choices("first"));
  }));

test.run();
