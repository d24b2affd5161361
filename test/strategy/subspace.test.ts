/** The low-rank outer exchange as data: bytes by rank, and which ranks there are. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { configError, costOf, layoutOf, one, timetable, viewOf } from "./views.js";

const name = "subspace";
const N = 32 * 4096;

test("a round is DiLoCo's, of a linear codec with feedback at the sender", () => {
  assert.equal(timetable(one({ name }), 40), [
    "20: begin 0, apply 0, commit 0",
    "40: begin 1, apply 1, commit 1",
  ]);
  const { coding, feedback, outer } = one({ name }).recipe;
  assert.equal(coding, { up: "lowrank:rank=8,basis=shared", down: null, ownerFeedback: null });
  assert.equal([feedback, outer], [{ kind: "sender", decay: 0.95 }, { kind: "nesterov" }]);
});

test("bytes are rank / columns of fp32's, both ways", () => {
  for (const [rank, columns] of [
    [1, 64],
    [8, 64],
    [64, 64],
    [4, 32],
    [16, 256],
  ] as const)
    for (const peers of [2, 4, 8]) {
      const cost = costOf({ name, rank, columns, innerSteps: 5 }, 5, {
        layout: layoutOf(16 * N),
        view: viewOf(peers),
      });
      const full = (4 * 16 * N * 2 * (peers - 1)) / peers;
      assert.is(cost.bytesPerStep, (full * rank) / columns / 5, `rank ${rank} of ${columns}, ${peers} peers`);
      assert.is(cost.parts.indices, 0);
    }
});

test("a rank above the columns is refused", () => {
  const refused = (options: object, message: RegExp) =>
    assert.throws(() => one({ name, ...options }), configError(message));
  refused({ rank: 16, columns: 8 }, /^strategy\.rank: 16, with columns 8: .*rank.*is above rows or columns/);
  refused({ rank: 64, columns: 4096 }, /^strategy\.rank: 64, with columns 4096: .*columns \* rank/);
  refused({ rank: 0 }, /^strategy\.rank: 0; allowed: an integer from 1 to 64/);
});

test.run();
