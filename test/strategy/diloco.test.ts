/** DiLoCo as data: its timetable, its numbers, and what its options refuse. */
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { canonicalDigest, canonicalJson } from "../../lib/base/canonical-json.js";
import { configError, one, timetable, viewOf } from "./views.js";

const applies = (options: unknown, step: number) =>
  one(options)
    .actions(step, viewOf(3))
    .flatMap((action) => (action.kind === "apply" ? [action] : []));

test("peers exchange, step and commit at every H-th step, and rounds count from 0", () => {
  assert.equal(timetable(one({ innerSteps: 3 }), 9), [
    "3: begin 0, apply 0, commit 0",
    "6: begin 1, apply 1, commit 1",
    "9: begin 2, apply 2, commit 2",
  ]);
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 60 }), fc.nat(1000), (innerSteps, step) => {
      const list = one({ innerSteps }).actions(step, viewOf(2));
      assert.is(list.length > 0, step > 0 && step % innerSteps === 0);
    }),
  );
});

test("the begin says how it travels, the apply with which numbers", () => {
  const options = { innerSteps: 2, downCodec: "int4_block:block=256", ownerFeedback: 1 };
  assert.equal(one(options).actions(4, viewOf(2)), [
    {
      kind: "begin",
      exchange: 1,
      fragment: 0,
      up: "int8_block",
      down: "int4_block:block=256",
      collective: "direct",
      topologyRound: 0,
      weights: null,
    },
    {
      kind: "apply",
      exchange: 1,
      fragment: 0,
      learningRate: 0.7,
      momentum: 0.54,
      mix: 0,
      weights: null,
    },
    { kind: "commit", round: 1 },
  ]);
});

test("the momentum goes linearly from 0.5 to 0.9, then stays", () => {
  const momentum = (round: number, momentumWarmupRounds: number) =>
    applies({ innerSteps: 1, momentumWarmupRounds }, round + 1)[0]!.momentum;
  assert.equal(
    [0, 1, 2, 3, 4, 100].map((round) => Math.round(momentum(round, 4) * 1e9) / 1e9),
    [0.5, 0.6, 0.7, 0.8, 0.9, 0.9],
  );
  assert.is(momentum(0, 0), 0.9);
});

test("impossible options name the key, the value and what is allowed", () => {
  const refused = (options: unknown, message: string | RegExp) =>
    assert.throws(() => one(options), configError(message));
  refused({ innerSteps: 0 }, "strategy.innerSteps: 0; allowed: an integer from 1 to 1000000");
  refused({ innerSteps: 2.5 }, "strategy.innerSteps: 2.5; allowed: an integer from 1 to 1000000");
  refused(
    { inerSteps: 5 },
    /^strategy\.inerSteps: unknown key \(did you mean "strategy\.innerSteps"\?\); allowed: name, innerSteps, outer/,
  );
  refused({ codec: "int9" }, /^strategy\.codec: .*there is no codec "int9"; allowed: "fp32", /);
  refused({ downCodec: "int9" }, /^strategy\.downCodec: .*there is no codec "int9"/);
  refused(
    { collective: "broadcast" },
    'strategy.collective: "broadcast"; allowed: "auto", "ring", "direct", "halving_doubling", "hierarchical"',
  );
  refused({ momentumEnd: 1 }, "strategy.momentumEnd: 1; allowed: a number from 0 to less than 1");
  refused(
    { momentumStart: 0.8, momentumEnd: 0.4 },
    "strategy.momentumStart: 0.8; allowed: at most momentumEnd, which is 0.4",
  );
  refused({ innerSteps: 0, momentumEnd: 2, x: 1 }, /innerSteps: 0.*\n.*momentumEnd: 2.*\n.*x: unknown key/);
});

test("the recipe's digest depends on what it says, not on how it was written", () => {
  const digest = (options: unknown) => canonicalDigest(one(options).recipe);
  assert.is(digest({ innerSteps: 20, codec: "int8_block" }), digest({ codec: "int8_block" }));
  assert.is(digest({ codec: "topk:k=64" }), digest({ codec: "topk" }));
  assert.is.not(digest({ innerSteps: 50 }), digest({ innerSteps: 51 }));
  assert.is(canonicalJson({ b: [1, { d: null, c: "x" }], a: true }), '{"a":true,"b":[1,{"c":"x","d":null}]}');
  assert.throws(() => canonicalJson({ a: Number.NaN }), /a: NaN is not a JSON number/);
  assert.throws(() => canonicalJson([undefined]), /\[0\]: JSON cannot hold a undefined/);
});

test.run();
