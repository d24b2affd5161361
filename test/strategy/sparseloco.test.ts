/** SparseLoCo as data: feedback and top-k, both ways of its wires, and what it refuses and warns of. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { configError, costOf, layoutOf, one, timetable, viewOf } from "./views.js";

const name = "sparseloco";
const N = 32 * 4096;

test("its slots are the paper's: feedback 0.95, 64 of 4096, plain SGD outside, every 30 steps", () => {
  const { recipe } = one({ name });
  assert.equal(timetable(one({ name }), 60), [
    "30: begin 0, apply 0, commit 0",
    "60: begin 1, apply 1, commit 1",
  ]);
  assert.equal(recipe.feedback, { kind: "sender", decay: 0.95 });
  assert.equal(recipe.coding, { up: "topk:values=int2", down: null, ownerFeedback: null });
  assert.equal(
    [recipe.route, recipe.outer, recipe.aggregate],
    [{ kind: "gather" }, { kind: "sgd" }, { kind: "mean" }],
  );
  assert.is(one({ name, clip: true }).recipe.aggregate.kind, "medianNormClip");
});

test("gathered, a peer's wire goes to every other: of a block 64 values of 2 bits, 64 indices of 12 bits, two magnitudes", () => {
  for (const peers of [2, 4, 20]) {
    const cost = costOf({ name }, 30, { layout: layoutOf(N), view: viewOf(peers) });
    const blocks = (peers - 1) * 32;
    const [payload, scales, indices] = [16, 8, 96].map((bytes) => (bytes * blocks) / 30);
    assert.equal(cost.parts, { payload, scales, indices });
    assert.is(cost.bytesPerStep, (120 * blocks) / 30);
  }
});

test("summed at owners, bytes do not grow with the peers", () => {
  const options = {
    name,
    innerSteps: 1,
    way: "direct",
    downCodec: "topk:k=256,values=sign",
    ownerFeedback: 1,
  };
  const bytes = (peers: number) =>
    costOf(options, 1, { layout: layoutOf(N), view: viewOf(peers) }).bytesPerStep;
  // Of 32 blocks, those of others go up, the own ones down to each other: 16 + 96 + 8 and 32 + 384 + 4 bytes.
  for (const peers of [2, 4, 8, 32])
    assert.is(bytes(peers), 32 * (1 - 1 / peers) * 120 + (32 / peers) * (peers - 1) * 420);
  assert.ok(bytes(32) < (bytes(2) * 31) / 15);
});

test("k of all elements sends all of them, in fp32 as they are", () => {
  const cost = costOf({ name, innerSteps: 1, codec: "topk:k=4096" }, 1, {
    layout: layoutOf(N),
    view: viewOf(2),
  });
  assert.is(cost.parts.payload, 4 * N);
});

test("what cannot work is refused with the reason", () => {
  const refused = (options: object, message: RegExp) =>
    assert.throws(() => one({ name, ...options }), configError(message));
  refused(
    { codec: "eden:bits=2" },
    /^strategy\.codec: "eden:bits=2": error feedback takes contractive codecs only/,
  );
  refused({ downCodec: "int4_block" }, /^strategy\.downCodec: "int4_block": only the collective "direct"/);
  refused({ ownerFeedback: 1 }, /^strategy\.ownerFeedback: 1: only the collective "direct" has owners/);
  refused(
    { way: "direct", downCodec: "eden:bits=2", ownerFeedback: 1 },
    /^strategy\.downCodec: "eden:bits=2": error feedback takes contractive/,
  );
  refused({ way: "ring" }, /^strategy\.way: "ring"; allowed: "gather", "direct"/);
});

test("too few rounds for the density are warned of", () => {
  const warnings = (rounds: number) => one({ name }).warnings!(rounds);
  assert.match(
    warnings(30).join(),
    /sends 1\.56 % of the elements, in 30 exchanges 0\.469 times all of them; below 10/,
  );
  assert.equal(warnings(640), []);
});

test.run();
