/** Feedback at senders and owners: what is subtracted is what the others decode, nothing is lost, and nothing changes before the commit. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { SenderFeedback } from "../../lib/engine/feedback.js";
import { chunkBlock, OwnerFeedback } from "../../lib/engine/owner.js";
import { openCodec } from "../../lib/native/codec.js";
import { failure } from "../failure.js";
import { assertSame, normals } from "./exchanges.js";
import { contractiveCodecs, decoded } from "./group.js";

/** More than one segment, and a tail that is no block. */
const ELEMENTS = 70_001;

for (const spec of contractiveCodecs) {
  test(`${spec}: what leaves the residue is what others decode of the contribution, to the bit`, async () => {
    const feedback = new SenderFeedback(ELEMENTS, 0.95, 1);
    for (let step = 0; step < 3; step++) {
      const key = { seed: 5, step, rank: 3 };
      const before = feedback.state.slice();
      const x = await normals(1, step, ELEMENTS);
      const contribution = await feedback.prepare(x, spec, key);
      assertSame(feedback.state, before);
      const sent = await decoded(spec, key, key.rank, contribution);
      feedback.commit();
      const expected = contribution.map((value, i) => value - sent[i]!);
      assertSame(feedback.state, expected);
      assert.ok(Math.hypot(...expected.subarray(0, 5000)) > 0);
    }
    feedback.close();
  });

  test(`${spec}: all that was sent and the residue sum to all that came`, async () => {
    const elements = 5003;
    const feedback = new SenderFeedback(elements, 1, 1);
    const balance = new Float64Array(elements);
    for (let step = 0; step < 20; step++) {
      const key = { seed: 5, step, rank: 1 };
      const x = await normals(1, step, elements);
      const contribution = await feedback.prepare(x, spec, key);
      const sent = await decoded(spec, key, key.rank, contribution);
      feedback.commit();
      for (const [i, value] of x.entries()) balance[i]! += value - sent[i]!;
    }
    const worst = Math.max(...balance.map((left, i) => Math.abs(left - feedback.state[i]!)));
    assert.ok(worst < 1e-4, `off by ${worst}`);
    feedback.close();
  });
}

test("a round that is not committed leaves no trace, and a codec that is not contractive is refused", async () => {
  const feedback = new SenderFeedback(1000, 1, 1);
  const x = await normals(1, 0, 1000);
  const key = { seed: 1, step: 0, rank: 0 };
  const first = (await feedback.prepare(x, "topk:block=256,k=16", key)).slice();
  assertSame(await feedback.prepare(x, "topk:block=256,k=16", key), first);
  assertSame(feedback.state, new Float32Array(1000));
  const refused = await failure(feedback.prepare(x, "eden:bits=1", key));
  assert.is(refused.code, "ERR_INVALID_ARGUMENT");
  assert.match(refused.message, /eden/);
  feedback.close();
});

/** Of the second of two ranks, whose chunk are elements 4 to 7: a residue of 1 each. */
async function owed(decay: number): Promise<OwnerFeedback> {
  const owner = new OwnerFeedback(8, decay, 1);
  owner.call().next.fill(1, 4);
  owner.commit(1, 2);
  return owner;
}

test("an owner's residue of a chunk that moved away counts whole in a mean, whatever its owner's weight there", async () => {
  const owner = await owed(0.5);
  for (const share of [1 / 4, 3 / 4]) {
    const delta = new Float32Array(8);
    await owner.fold(delta, 0, 2, 4, share);
    assert.equal([...delta.map((value) => value * share)], [0, 0, 0, 0, 0.5, 0.5, 0.5, 0.5]);
  }
  owner.close();
});

test("an owner that contributes nothing keeps a moved chunk's residue for its next contribution", async () => {
  const owner = await owed(1);
  await owner.fold(new Float32Array(8), 0, 2, 4, 0);
  owner.call().next.fill(3, 0, 4);
  owner.commit(0, 2);
  assert.equal([...owner.residue], [3, 3, 3, 3, 1, 1, 1, 1]);
  const delta = new Float32Array(8);
  await owner.fold(delta, 0, 2, 4, 1 / 2);
  assert.equal([...delta], [0, 0, 0, 0, 2, 2, 2, 2], "and its own goes down with its own chunk");
  owner.call();
  owner.commit(0, 2);
  assert.equal([...owner.residue], new Array(8).fill(0), "once");
  owner.close();
});

test("chunks are cut at multiples of both codecs' blocks, as native plans cut them", () => {
  const odd = openCodec("lowrank:rows=4,columns=96,rank=1");
  const even = openCodec("int4_block:block=256");
  assert.is(chunkBlock(odd, even), 768);
});

test.run();
