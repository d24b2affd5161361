/** Showing one's work: an honest peer's answer arrives as it is, and no other gets further than its first wrong byte. */
import { createHash } from "node:crypto";
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { createManualClock, systemClock } from "../../../lib/base/clock.js";
import { GradmeshError } from "../../../lib/base/errors.js";
import type { Channel } from "../../../lib/peer/channel.js";
import { channelPair } from "../../../lib/peer/memory-channel.js";
import { PIECE_BYTES } from "../../../lib/run/trust/proof-messages.js";
import {
  PROOF_PROTOCOL,
  ProofClient,
  type ProofClientOptions,
  ProofServer,
  type ProofServerOptions,
} from "../../../lib/run/trust/proof-protocol.js";
import { freshRate, takeToken } from "../../../lib/run/trust/rate.js";
import { treeOf } from "../../../lib/verify/merkle.js";
import { hostPair } from "../../peer/hosts.js";

const digestOf = (text: string) => createHash("sha256").update(text).digest("hex");
const ledgerId = digestOf("ledger");
const worker = { peerId: "worker" };
const steps = 20;
const leaves = Array.from({ length: steps + 2 }, (_, index) => digestOf(`leaf ${index}`));
const tree = treeOf(leaves);
const unit = { root: tree.root, steps };

/** A piece and a half of parameters, whose bits differ everywhere, NaN among them; an inner state with an empty tensor. */
function stateOf(k: number) {
  const elements = (1.5 * PIECE_BYTES) / 4;
  const bits = Uint32Array.from({ length: elements }, (_, index) => Math.imul(index + 1, 0x9e3779b1) + k);
  const parameters = new Float32Array(bits.buffer);
  return { parameters, inner: [Float32Array.of(k, -0, Number.NaN), new Float32Array(0)] };
}
const bytesOf = (tensor: Float32Array) => Buffer.from(tensor.buffer, tensor.byteOffset, tensor.byteLength);
const openingOf = (k: number) => ({
  transition: k,
  state: stateOf(k - 1),
  leaves: [leaves[k - 1]!, leaves[k]!] as const,
  proofs: [tree.proof(k - 1), tree.proof(k)] as const,
});
const inputs = [Int32Array.of(1, -2, 3), new Float32Array(PIECE_BYTES / 4 + 1).fill(0.1)];

function serverOf(options: Partial<ProofServerOptions> = {}): ProofServer {
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

function clientOf(
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

/** A peer that says these things to whatever it is asked, and hangs up. */
const liar = (messages: readonly unknown[]) => async (channel: Channel) => {
  for await (const _ of channel.messages()) {
    for (const message of messages) await channel.send(message).catch(() => {});
    break;
  }
};

async function fails(work: Promise<unknown>, code: string, words: RegExp): Promise<void> {
  const error = await work.then(
    () => new GradmeshError("ERR_INTERNAL", "it was taken"),
    (error: GradmeshError) => error,
  );
  assert.instance(error, GradmeshError);
  assert.is(error.code, code, error.message);
  assert.match(error.message, words);
}

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

test("a verifier gets the state before a transition, to the bit, and both leaves with their proofs", async () => {
  const server = serverOf();
  for (const transition of [1, 5, steps + 1]) {
    const got = await clientOf((channel) => server.serve(channel)).transition(worker, {
      round: 7,
      transition,
      unit,
    });
    const { state, ...rest } = openingOf(transition);
    assert.equal({ ...got, state: null }, { ...rest, state: null });
    assert.ok(bytesOf(got.state.parameters).equals(bytesOf(state.parameters)));
    assert.equal(got.state.inner.map(bytesOf), state.inner.map(bytesOf));
  }
});

test("a referee gets the inputs of the operator in dispute", async () => {
  const server = serverOf();
  const sizes = inputs.map(({ byteLength }) => byteLength);
  const got = await clientOf((channel) => server.serve(channel)).evidence(worker, {
    dispute: 3,
    operator: 9,
    sizes,
  });
  assert.equal(
    got.map((tensor) => Buffer.from(tensor)),
    inputs.map((tensor) => Buffer.from(tensor.buffer)),
  );
});

test("what the worker does not have is refused in its own words", async () => {
  const server = serverOf();
  const ask = clientOf((channel) => server.serve(channel));
  await fails(
    ask.transition(worker, { round: 8, transition: 1 }),
    "ERR_INVALID_ARGUMENT",
    /no transition 1 of round 8/,
  );
});

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
    [[first, second], "ERR_CLOSED", /closed the channel/],
    [[], "ERR_CLOSED", /closed the channel/],
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
      const asked = clientOf(liar([message])).transition(worker, { round: 7, transition: 5, unit });
      const error = await asked.catch((error: unknown) => error);
      assert.instance(error, GradmeshError);
      assert.ok(
        /^ERR_(PROTOCOL|PROOF|CLOSED)$/.test((error as GradmeshError).code),
        (error as GradmeshError).message,
      );
    }),
    { numRuns: 150 },
  );
});

/** All that a server says to these messages. */
async function answersTo(
  server: ProofServer,
  messages: readonly unknown[],
  peerId = "asker",
): Promise<unknown[]> {
  const [near, far] = channelPair(peerId, "worker");
  const served = server.serve(far);
  for (const message of messages) await near.send(message).catch(() => {});
  const answers: unknown[] = [];
  for await (const answer of near.messages()) answers.push(answer);
  await served;
  return answers;
}

const question = { type: "opening", ledgerId, round: 7, transition: 5 };
const codesOf = (answers: readonly unknown[]) =>
  answers.map((answer) => (answer as { code?: string }).code ?? "ok");

test("strangers, other ledgers and garbage are refused, and the server goes on", async () => {
  const server = serverOf();
  const only = async (messages: unknown[], peerId?: string) =>
    codesOf(await answersTo(server, messages, peerId));
  assert.equal(await only([question], "stranger"), ["ERR_UNAUTHORIZED"]);
  assert.equal(await only([{ ...question, ledgerId: digestOf("other") }]), ["ERR_UNAUTHORIZED"]);
  for (const garbage of [null, 5, "x", [], {}, { ...question, round: -1 }, { ...question, transition: 0.5 }])
    assert.equal(await only([garbage]), ["ERR_PROTOCOL"]);
  assert.equal(await only([{ ...question, round: 2 ** 32 }]), ["ERR_PROTOCOL"]);
  assert.is((await only([question, question, "more"])).length, 4, "one answer and its three pieces");
});

test("who asks too often waits, and then gets its answer", async () => {
  const clock = createManualClock();
  const server = serverOf({ clock, limits: { rate: { burst: 2, intervalMs: 1000 } } });
  const ask = () => answersTo(server, [question]);
  assert.is((await ask()).length, 4);
  assert.is((await ask()).length, 4);
  assert.equal(await ask(), [
    { type: "refused", code: "ERR_REFUSED", reason: "asker asks too often", retryMs: 1000 },
  ]);
  // Somebody else's questions are its own.
  assert.is((await answersTo(server, [question], "another")).length, 4);
  const pending = clientOf((channel) => server.serve(channel), { clock, limitMs: 1e9 }).transition(worker, {
    round: 7,
    transition: 5,
  });
  let done = false;
  void pending.then(() => {
    done = true;
  });
  while (!done) {
    clock.advance(100);
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.ok(clock.now() >= 1000, `it was asked again at ${clock.now()}`);
});

test("a bucket of tokens lets a burst through and then one per interval", () => {
  const limit = { burst: 3, intervalMs: 10 };
  let state = freshRate;
  const waits = [0, 0, 0, 0, 5, 10, 10, 100, 100, 100, 100].map((now) => {
    const taken = takeToken(limit, state, now);
    state = taken.state;
    return taken.waitMs;
  });
  assert.equal(waits, [0, 0, 0, 10, 5, 0, 10, 0, 0, 0, 10]);
});

test("a peer has one answer at a time and a few channels, and all peers together a few answers", async () => {
  const running: (() => void)[] = [];
  const begun: number[] = [];
  const server = serverOf({
    source: {
      async opening(_, transition) {
        begun.push(transition);
        await new Promise<void>((resolve) => running.push(resolve));
        return openingOf(transition);
      },
      evidence: async () => inputs,
    },
    limits: { answersMax: 2, channelsPerPeerMax: 2 },
  });
  const asked = ["a", "a", "b", "c"].map((peerId, index) =>
    answersTo(server, [{ ...question, transition: 1 + index }], peerId),
  );
  const settled = async () => {
    for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  };
  assert.equal(
    codesOf(await answersTo(server, [question], "a")),
    ["ERR_REFUSED"],
    "a third channel of one peer",
  );
  await settled();
  assert.equal(begun, [1, 3], "one of a, one of b");
  while (running.length > 0) {
    running.shift()!();
    await settled();
    assert.ok(running.length <= 2);
  }
  for (const answers of await Promise.all(asked)) assert.is(answers.length, 4);
});

test("a reader that stops is given up after its time, and its place is free again", async () => {
  const clock = createManualClock();
  const server = serverOf({
    clock,
    limits: { answersMax: 1, answerLimitMs: 1000, bytesPerSecondMin: 1 << 20 },
  });
  const [near, far] = channelPair("asker", "worker");
  // It takes the question's answer, and nothing more.
  const stuck: Channel = { ...far, messages: () => far.messages(), send: () => new Promise(() => {}) };
  const served = server.serve(stuck);
  await near.send(question);
  let over = false;
  void served.then(() => {
    over = true;
  });
  while (!over) {
    clock.advance(50);
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.is((await answersTo(server, [question])).length, 4);
});

test("over libp2p: states arrive whole, several at a time, and a peer that is closing ends its answers", async () => {
  const { left, right, end } = await hostPair();
  try {
    const server = serverOf({ isMember: (peerId) => peerId === left.peerId });
    await right.handle(PROOF_PROTOCOL, (channel) => server.serve(channel));
    const client = new ProofClient<{ peerId: string; addresses: readonly string[] }>({
      ledgerId,
      connect: (peer, signal) => left.connect(peer, PROOF_PROTOCOL, signal),
      like: stateOf(0),
      limitMs: 20_000,
      clock: systemClock,
    });
    const peer = { peerId: right.peerId, addresses: right.addresses() };
    const transitions = [1, 2, 3, 4];
    const got = await Promise.all(
      transitions.map((transition) => client.transition(peer, { round: 7, transition, unit })),
    );
    for (const [index, { state }] of got.entries())
      assert.ok(bytesOf(state.parameters).equals(bytesOf(stateOf(transitions[index]! - 1).parameters)));
    await fails(
      client.transition(peer, { round: 7, transition: 99 }),
      "ERR_INVALID_ARGUMENT",
      /no transition 99/,
    );
    server.close();
    await fails(client.transition(peer, { round: 7, transition: 1 }), "ERR_CLOSED", /closed|closing/);
  } finally {
    await end();
  }
});

test.run();
