/** Verified runs as real processes in which nobody shows its states in time, so that nothing of a round counts. */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { replayRun } from "../../lib/gym/audit.js";
import { audit } from "../../lib/ledger/audit.js";
import { withSource } from "../../lib/ledger/file.js";
import { runRules } from "../../lib/ledger/rules/apply.js";
import { parseConfig } from "../../lib/run/config.js";
import { type TestRun, withRun } from "./run.js";

const checked = (trust: Record<string, unknown>, changes: Record<string, unknown> = {}) => ({
  peersMin: 3,
  rounds: 8,
  strategy: { name: "diloco", innerSteps: 2, aggregate: { rule: "mean" } },
  network: { silenceLimitMs: 5000, recoverLimitMs: 5000 },
  trust: { verify: true, rate: 1, lockMs: 1000, ...trust },
  checkpoint: { everyRounds: 0 },
  ...changes,
});

/** Gives the run the slow trainer. */
function slow(run: TestRun, options: { delayMs: number }): string {
  const path = join(run.folder, "config.json");
  const config = JSON.parse(readFileSync(path, "utf8"));
  const gate = join(run.folder, "gate");
  config.trainer = {
    module: fileURLToPath(new URL("./slow-trainer.js", import.meta.url)),
    options: { gpt: config.trainer.options, gate, ...options },
  };
  writeFileSync(path, JSON.stringify(config));
  return gate;
}

async function replay(run: TestRun) {
  const config = parseConfig(JSON.parse(readFileSync(join(run.folder, "config.json"), "utf8")));
  return replayRun({ ledger: await run.ledgerPath("first"), config });
}

/** Whose work is in each round's aggregate, by the audited ledger of the first peer. */
async function aggregates(run: TestRun): Promise<number[]> {
  const path = await run.ledgerPath("first");
  const sizes: number[] = [];
  const report = await withSource(path, (source) =>
    audit(source, {
      rules: runRules,
      onRecord: ({ event }) => void (event.kind === "RoundClosed" && sizes.push(event.aggregated.length)),
    }),
  );
  assert.is(report.fault, null);
  return sizes;
}

test("a round in which nobody's states could be shown changes nothing, and the run goes on with everybody", () =>
  withRun(checked({ limitMs: 4000 }), async (run) => {
    // The trainer that shows states is made when it is first asked, and then takes longer than who asks waits.
    slow(run, { delayMs: 1500 });
    await run.startAll([["second"], ["third"]]);
    const names = ["first", "second", "third"];
    assert.is(new Set(await run.digests(names)).size, 1);
    const sizes = await aggregates(run);
    assert.is(sizes.length, 8, "every round is closed once");
    assert.is(sizes[0], 0, "nothing of the first round could be checked");
    assert.ok(sizes.includes(3), "everybody contributes later");
    const losses = run.events.flatMap((event) =>
      event.type === "round" && event.name === "second" ? [event.validationLoss] : [],
    );
    const [start] = run.events.flatMap((event) => (event.type === "evaluated" ? [event.validationLoss] : []));
    assert.is(losses[0], start, "the state is as it was");
    assert.ok((await replay(run)).equal);
  }));

test("a round that is void, as everybody was too slow, is opened again and worked on anew by the same processes", () =>
  withRun(checked({ limitMs: 5000, rate: 0.4 }), async (run) => {
    const gate = slow(run, { delayMs: 0 });
    await run.startAll([["second"], ["third"]]);
    const names = ["first", "second", "third"];
    await run.event("round", ({ round }) => round === 2);
    writeFileSync(gate, "");
    for (const name of names)
      await run.event("waiting", (event) => event.name === name && event.reason.includes("(expired)"));
    rmSync(gate);
    assert.is(new Set(await run.digests(names)).size, 1);
    const replayed = await replay(run);
    assert.ok(replayed.equal);
    const again = replayed.rounds.filter(({ voided }) => voided.length > 0);
    assert.ok(again.length > 0);
    assert.ok(
      again.every(({ aggregated }) => aggregated === 3),
      "everybody is in it again",
    );
  }));

test("a run that never comes to check anything ends with the cause and the cure, not before some rounds", () =>
  withRun(checked({ moveLimitMs: 4 }), async (run) => {
    for (const name of ["first", "second", "third"]) run.spare(name);
    await run.startAll([["second"], ["third"]]);
    for (const name of ["first", "second", "third"]) {
      assert.is((await run.exited(name)).code, 1);
      assert.match(
        run.peer(name).stderr(),
        /ERR_TIMEOUT.*in 4 rounds in a row nobody's work could be checked.*trust\.limitMs \(60000\).*trust\.moveLimitMs \(4\)/s,
      );
    }
    assert.equal(await aggregates(run), [0, 0, 0, 0]);
  }));

test.run();
