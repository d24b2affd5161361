/** A worker with a unit to show, and peers that ask for it, over channels in memory. */
import { createHash } from "node:crypto";
import * as assert from "uvu/assert";
import { systemClock } from "../../../lib/base/clock.js";
import { GradmeshError } from "../../../lib/base/errors.js";
import type { Channel } from "../../../lib/peer/channel.js";
import { channelPair } from "../../../lib/peer/memory-channel.js";
import { PIECE_BYTES } from "../../../lib/run/trust/proof-messages.js";
import {
  ProofClient,
  type ProofClientOptions,
  ProofServer,
  type ProofServerOptions,
} from "../../../lib/run/trust/proof-protocol.js";
import { treeOf } from "../../../lib/verify/merkle.js";

export const digestOf = (text: string) => createHash("sha256").update(text).digest("hex");
export const ledgerId = digestOf("ledger");
export const worker = { peerId: "worker" };
export const steps = 20;
export const leaves = Array.from({ length: steps + 2 }, (_, index) => digestOf(`leaf ${index}`));
export const tree = treeOf(leaves);
export const unit = { root: tree.root, steps };

/** A piece and a half of parameters, whose bits differ everywhere, NaN among them; an inner state with an empty tensor. */
export function stateOf(k: number) {
  const elements = (1.5 * PIECE_BYTES) / 4;
  const bits = Uint32Array.from({ length: elements }, (_, index) => Math.imul(index + 1, 0x9e3779b1) + k);
  const parameters = new Float32Array(bits.buffer);
  return { parameters, inner: [Float32Array.of(k, -0, Number.NaN), new Float32Array(0)] };
}
export const bytesOf = (tensor: Float32Array) =>
  Buffer.from(tensor.buffer, tensor.byteOffset, tensor.byteLength);
export const openingOf = (k: number) => ({
  transition: k,
  state: stateOf(k - 1),
  leaves: [leaves[k - 1]!, leaves[k]!] as const,
  proofs: [tree.proof(k - 1), tree.proof(k)] as const,
});
export const inputs = [Int32Array.of(1, -2, 3), new Float32Array(PIECE_BYTES / 4 + 1).fill(0.1)];

export function serverOf(options: Partial<ProofServerOptions> = {}): ProofServer {
  return new ProofServer({
    ledgerId,
    source: {
      async opening(round, transition) {
        if (round === 7 && transition >= 1 && transition <= steps + 1) return openingOf(transition);
        throw new GradmeshError(
          "ERR_INVALID_ARGUMENT",
          `there is no transition ${transition} of round ${round}`,
        );
      },
      evidence: async () => inputs,
    },
    isMember: (peerId) => peerId !== "stranger",
    clock: systemClock,
    ...options,
  });
}

export function clientOf(
  serve: (channel: Channel) => unknown,
  options: Partial<ProofClientOptions<typeof worker>> = {},
) {
  return new ProofClient({
    ledgerId,
    async connect({ peerId }) {
      const [near, far] = channelPair("asker", peerId);
      void serve(far);
      return near;
    },
    like: stateOf(0),
    limitMs: 20_000,
    clock: systemClock,
    ...options,
  });
}

/** A client whose first tries meet these, and all later ones the last of them. */
export function clientOfTries(
  tries: readonly (GradmeshError | ((channel: Channel) => unknown))[],
  options: Partial<ProofClientOptions<typeof worker>> = {},
) {
  let count = 0;
  const client = clientOf(() => {}, {
    async connect({ peerId }) {
      const met = tries[Math.min(count++, tries.length - 1)]!;
      if (met instanceof GradmeshError) throw met;
      const [near, far] = channelPair("asker", peerId);
      void met(far);
      return near;
    },
    ...options,
  });
  return { client, tries: () => count };
}

export async function fails(work: Promise<unknown>, code: string, words: RegExp): Promise<void> {
  const error = await work.then(
    () => new GradmeshError("ERR_INTERNAL", "it was taken"),
    (error: GradmeshError) => error,
  );
  assert.instance(error, GradmeshError);
  assert.is(error.code, code, error.message);
  assert.match(error.message, words);
}
