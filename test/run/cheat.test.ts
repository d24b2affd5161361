/** The cheating peer of the tests and the demo holds no more memory than its cheat needs, and frees all of it. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type CheatPlan, cheatingTrainer } from "../../lib/run/cheat.js";
import type { Trainer } from "../../lib/trainer/trainer.js";

function fake() {
  const calls = { steps: [] as number[], closed: 0 };
  const trainer = {
    parameters: new Float32Array(1),
    innerState: [],
    async step({ step }: { step: number }) {
      calls.steps.push(step);
      return { loss: 1, tokens: 1 };
    },
    close() {
      calls.closed += 1;
    },
  } as unknown as Trainer;
  return { trainer, calls };
}

/** The steps that its own trainer and the other one take, of two honest ones and two of the cheat's round. */
async function stepsOf(kind: CheatPlan["kind"]) {
  const [own, other] = [fake(), fake()];
  const cheat = cheatingTrainer(own.trainer, { kind, round: 2 }, 2, kind === "copy" ? other.trainer : null);
  for (let step = 0; step < 4; step += 1) await cheat.step({ step });
  cheat.close();
  return { own: own.calls, other: other.calls };
}

test("who copies closes the trainer that it copies with", async () => {
  const { own, other } = await stepsOf("copy");
  assert.equal(own, { steps: [0, 1], closed: 1 });
  assert.equal(other, { steps: [2, 3], closed: 1 });
});

test("who skips or accuses needs no second trainer", async () => {
  assert.equal((await stepsOf("skip")).own, { steps: [0, 1, 2], closed: 1 });
  assert.equal((await stepsOf("accuse")).own, { steps: [0, 1, 2, 3], closed: 1 });
});

test.run();
