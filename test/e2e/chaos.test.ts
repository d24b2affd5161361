/** A short attack on a real run, drawn from a seed; `node dist/test/e2e/chaos.js` attacks many runs for longer. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { playChaos } from "./chaos.js";

const seed = Number(process.env.GRADMESH_SEED ?? Date.now() % 1_000_000);

test(`a run that is attacked ends with the same bits everywhere (GRADMESH_SEED=${seed})`, async () => {
  const report = await playChaos({ seed, rounds: 40, chaosMs: 12_000 });
  console.log(`  seed ${seed}: ${report.ending} after ${report.rounds} rounds, ${report.actions} actions`);
  assert.equal(report.problems, []);
});

test.run();
