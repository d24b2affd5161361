/** A worker that does not show what it committed to gets no further than its first wrong byte. */
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { GradmeshError } from "../../../lib/base/errors.js";
import type { Channel } from "../../../lib/peer/channel.js";
import { PIECE_BYTES } from "../../../lib/run/trust/proof-messages.js";
import { treeOf } from "../../../lib/verify/merkle.js";
import { bytesOf, clientOf, digestOf, fails, leaves, stateOf, tree, unit, worker } from "./proof-world.js";

/** A peer that says these things to whatever it is asked, and hangs up. */
const liar = (messages: readonly unknown[]) => async (channel: Channel) => {
  for await (const _ of channel.messages()) {
    for (const message of messages) await channel.send(message).catch(() => {});
    break;
  }
};

const headOf = (k: number, changes: object = {}) => ({
  type: "opening",
  leaves: [leaves[k - 1], leaves[k]],
  proofs: [tree.proof(k - 1), tree.proof(k)],
  sizes: [stateOf(0).parameters.byteLength, 12, 0],
  ...changes,
});
const piecesOf = (k: number) => {
  const { parameters, inner } = stateOf(k - 1);
  const bytes = bytesOf(parameters);
  return [bytes.subarray(0, PIECE_BYTES), bytes.subarray(PIECE_BYTES), bytesOf(inner[0]!)].map((data) => ({
    type: "piece",
    data: Uint8Array.from(data),
  }));
};

test("threat 6: leaves that are not the unit's end the question before any tensor is fetched", async () => {
  const other = treeOf([...leaves].reverse());
  const forged = [
    { leaves: [leaves[4], digestOf("better")] },
    { leaves: [leaves[5], leaves[4]] },
    { proofs: [tree.proof(4), tree.proof(4)] },
    { proofs: [other.proof(4), other.proof(5)] },
    { proofs: [[], []] },
  ];
  for (const change of forged) {
    const asked = clientOf(liar([headOf(5, change)])).transition(worker, { round: 7, transition: 5, unit });
    await fails(asked, "ERR_PROOF", /did not prove leaf [45]/);
  }
});

test("threats 6 and 11: an announced size that is not the model's is refused before anything is allocated", async () => {
  // Of such a model nothing could be allocated: a RangeError would show that it was tried.
  const like = { parameters: { length: 2 ** 45 }, inner: [{ length: 2 ** 45 }] };
  for (const sizes of [[2 ** 47], [2 ** 47, 2 ** 47 - 4], [2 ** 47, 2 ** 47, 0], [], [8, 8]]) {
    const asked = clientOf(liar([headOf(5, { sizes })]), { like });
    await fails(asked.transition(worker, { round: 7, transition: 5 }), "ERR_PROOF", /announces/);
  }
  const evidence = clientOf(liar([{ type: "evidence", sizes: [12, 2 ** 50] }]));
  await fails(
    evidence.evidence(worker, { dispute: 0, operator: 0, sizes: [12, 16] }),
    "ERR_PROOF",
    /tensor 1/,
  );
});

test("threat 6: pieces that are short, long, missing, doubled or out of order end the question", async () => {
  const [first, second, third] = piecesOf(5);
  const cut = { type: "piece", data: first!.data.subarray(1) };
  const long = { type: "piece", data: new Uint8Array(PIECE_BYTES + 1) };
  const cases: [unknown[], string, RegExp][] = [
    [[cut, second, third], "ERR_PROOF", /piece of 262143 bytes of tensor 0, where 262144/],
    [[long], "ERR_PROTOCOL", /must be 1 to 262144 bytes/],
    [[{ type: "piece", data: new Uint8Array(0) }], "ERR_PROTOCOL", /must be 1 to/],
    [[second, first, third], "ERR_PROOF", /where 262144 are next/],
    [[first, first, third], "ERR_PROOF", /where 131072 are next/],
    [[first, headOf(5)], "ERR_PROTOCOL", /does not fit/],
  ];
  for (const [pieces, code, words] of cases) {
    const asked = clientOf(liar([headOf(5), ...pieces])).transition(worker, {
      round: 7,
      transition: 5,
      unit,
    });
    await fails(asked, code, words);
  }
  for (const pieces of [[first, second], []]) {
    const asked = clientOf(liar([headOf(5), ...pieces]), { limitMs: 300 });
    const words = /took longer than 300 ms; the last try: worker closed the channel/;
    await fails(asked.transition(worker, { round: 7, transition: 5, unit }), "ERR_TIMEOUT", words);
  }
  const right = clientOf(liar([headOf(5), first, second, third, first]));
  const { state } = await right.transition(worker, { round: 7, transition: 5, unit });
  assert.ok(
    bytesOf(state.parameters).equals(bytesOf(stateOf(4).parameters)),
    "what follows the last piece is not read",
  );
});

test("threat 6: whatever else a peer answers is a typed error", async () => {
  const plain = fc.oneof(
    fc.anything({ maxDepth: 2, withNullPrototype: false }).filter((value) => {
      try {
        return JSON.stringify(value) !== undefined;
      } catch {
        return false;
      }
    }),
    fc.constant(headOf(5, { leaves: [leaves[4]] })),
    fc.constant(headOf(5, { proofs: [Array(121).fill(leaves[0]), []] })),
    fc.constant(headOf(5, { sizes: [-4, 12, 0] })),
    fc.constant(headOf(5, { extra: 1 })),
    fc.constant({ type: "evidence", sizes: [1] }),
    fc.constant({ type: "refused", code: "toString", reason: "", retryMs: null }),
  );
  await fc.assert(
    fc.asyncProperty(plain, async (message) => {
      const asked = clientOf(liar([message]), { limitMs: 200 });
      const error = await asked
        .transition(worker, { round: 7, transition: 5, unit })
        .catch((error: unknown) => error);
      assert.instance(error, GradmeshError);
      assert.ok(
        /^ERR_(PROTOCOL|PROOF|TIMEOUT)$/.test((error as GradmeshError).code),
        (error as GradmeshError).message,
      );
    }),
    { numRuns: 150 },
  );
});

test.run();
