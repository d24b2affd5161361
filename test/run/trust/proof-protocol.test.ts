/** Showing one's work: an honest peer's answer arrives as it is, and those who ask too much are held off. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { createManualClock, systemClock } from "../../../lib/base/clock.js";
import type { Channel } from "../../../lib/peer/channel.js";
import { channelPair } from "../../../lib/peer/memory-channel.js";
import { PROOF_PROTOCOL, ProofClient, type ProofServer } from "../../../lib/run/trust/proof-protocol.js";
import { freshRate, takeToken } from "../../../lib/run/trust/rate.js";
import { hostPair } from "../../peer/hosts.js";
import {
  bytesOf,
  clientOf,
  digestOf,
  fails,
  inputs,
  ledgerId,
  openingOf,
  serverOf,
  stateOf,
  steps,
  unit,
  worker,
} from "./proof-world.js";

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
    const clientIn = (limitMs: number) =>
      new ProofClient<{ peerId: string; addresses: readonly string[] }>({
        ledgerId,
        connect: (peer, signal) => left.connect(peer, PROOF_PROTOCOL, signal),
        like: stateOf(0),
        limitMs,
        clock: systemClock,
      });
    const client = clientIn(20_000);
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
    const late = clientIn(500).transition(peer, { round: 7, transition: 1 });
    await fails(late, "ERR_TIMEOUT", /the last try: .*(closed|closing)/);
  } finally {
    await end();
  }
});

test.run();
