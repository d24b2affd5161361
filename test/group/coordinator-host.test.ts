/** What the host lets in and what it refuses; the run goes on unharmed. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { GradmeshError } from "../../lib/base/errors.js";
import { createMember, type MemberOptions, type Standing } from "../../lib/group/member.js";
import { type CoordinatorMessage, GROUP_VERSION } from "../../lib/group/messages.js";
import { channelPair } from "../../lib/peer/memory-channel.js";
import { idle, Swarm } from "./swarm.js";

const test = suite<{ folder: string; swarm: Swarm }>("coordinator-host");
test.before.each(async (context) => {
  context.folder = mkdtempSync(join(tmpdir(), "gradmesh-host-"));
  context.swarm = new Swarm(join(context.folder, "journal.sqlite"), { rounds: 20, peersMin: 2, peersMax: 3 });
  for (const name of ["A", "B"]) context.swarm.join(name);
  await context.swarm.until(() => context.swarm.round() === 1, "round 1");
});
test.after.each(async (context) => {
  await context.swarm.close();
  rmSync(context.folder, { recursive: true, force: true });
});

const hello = {
  type: "hello",
  version: GROUP_VERSION,
  dialable: true,
  samples: 1,
  runId: "run",
  secret: "secret",
  recipeDigest: "recipe",
  addresses: [],
  round: -1,
  stateDigest: null,
  pending: null,
  applied: null,
};

/** What a peer holds that has only just come. */
const nothing: Standing = {
  recipeDigest: null,
  addresses: [],
  dialable: true,
  samples: 1,
  round: -1,
  stateDigest: null,
};

/** Says these things and returns what came back, and whether the host then closed the channel. */
async function talk(
  swarm: Swarm,
  peer: string,
  ...words: unknown[]
): Promise<[CoordinatorMessage[], boolean]> {
  const [near, far] = channelPair(peer, "coordinator");
  swarm.host!.serve(far);
  const heard: CoordinatorMessage[] = [];
  let over = false;
  const reading = (async () => {
    for await (const message of near.messages()) heard.push(message as CoordinatorMessage);
    over = true;
  })();
  for (const word of words) await near.send(word).catch(() => {});
  await idle();
  const closed = over;
  await near.close();
  await reading;
  return [heard, closed];
}

/** The members are as before and finish the run together. */
async function unharmed(swarm: Swarm): Promise<void> {
  await swarm.until(() => swarm.host?.state.record.ended != null, "the end");
  for (const peer of swarm.peers.values()) assert.is(peer.applied.length, 20);
  assert.is(swarm.host!.state.record.ended?.reason, "complete");
}

const refusals: [string, unknown[], string, RegExp][] = [
  [
    "a wrong secret",
    [{ ...hello, secret: "guess" }],
    "ERR_UNAUTHORIZED",
    /secret is wrong; ask for a new ticket/,
  ],
  ["an empty secret", [{ ...hello, secret: "" }], "ERR_UNAUTHORIZED", /secret is wrong/],
  ["another run", [{ ...hello, runId: "other" }], "ERR_REFUSED", /for run other, this is run run/],
  ["another recipe", [{ ...hello, recipeDigest: "x" }], "ERR_REFUSED", /recipe x is not the run's recipe/],
  [
    "another version",
    [{ type: "hello", version: 2, new: 1 }],
    "ERR_REFUSED",
    /speaks version 2 .* the coordinator 4/,
  ],
  ["no hello first", [{ type: "beat" }], "ERR_PROTOCOL", /beat came before hello/],
  ["bytes", [new Uint8Array(100)], "ERR_PROTOCOL", /does not fit its schema/],
  ["nothing", [null], "ERR_PROTOCOL", /does not fit its schema/],
  ["an unknown key", [{ ...hello, extra: 1 }], "ERR_PROTOCOL", /extra/],
  ["a round of -2", [{ ...hello, round: -2 }], "ERR_PROTOCOL", /round/],
  ["a hundred addresses", [{ ...hello, addresses: Array(100).fill("a") }], "ERR_PROTOCOL", /addresses/],
  ["nonsense after hello", [hello, { type: "vote", epoch: "1" }], "ERR_PROTOCOL", /does not fit its schema/],
  ["a wrong secret after hello", [hello, { ...hello, secret: "x" }], "ERR_UNAUTHORIZED", /secret is wrong/],
];
for (const [what, words, code, reason] of refusals) {
  test(`${what} is refused`, async ({ swarm }) => {
    const [heard, closed] = await talk(swarm, "X", ...words);
    const last = heard.at(-1);
    assert.is(last?.type, "refused", JSON.stringify(heard));
    assert.is(last?.type === "refused" && last.code, code);
    assert.match((last?.type === "refused" && last.reason) || "", reason);
    assert.ok(closed);
    assert.not.ok(swarm.host!.state.peers.has("X"));
    await unharmed(swarm);
  });
}

test("a full run refuses, with its limit", async ({ swarm }) => {
  swarm.join("C");
  await swarm.until(() => swarm.host!.state.peers.size === 3, "the third peer");
  const [heard] = await talk(swarm, "X", hello);
  assert.match(heard[0]?.type === "refused" ? heard[0].reason : "", /the run is full: 3 peers \(peersMax\)/);
});

test("a connection that is not admitted does not replace the peer's own", async ({ swarm }) => {
  const [heard] = await talk(swarm, "A", { ...hello, secret: "guess" });
  assert.is(heard.at(-1)?.type, "refused");
  assert.is(swarm.host!.state.peers.get("A")?.member, true);
  await unharmed(swarm);
  assert.is(swarm.host!.state.record.epoch, 1);
});

test("a newer connection of a peer replaces the older, which is told why", async ({ swarm }) => {
  const [near, far] = channelPair("A", "coordinator");
  swarm.host!.serve(far);
  await near.send({ ...hello, recipeDigest: null });
  const older = swarm.peers.get("A")!;
  swarm.peers.delete("A");
  await swarm.until(() => older.failure !== null, "the older's end");
  const failure = older.failure as unknown as GradmeshError;
  assert.is(failure.code, "ERR_REFUSED");
  assert.match(failure.message, /a newer connection of the same peer id replaced this one/);
  assert.is(swarm.host!.state.peers.get("A")?.ready, false);
  await swarm.until(() => swarm.host!.state.record.members.join() === "B", "a view of B alone");
  await near.close();
});

test("strangers are few, and do not stay", async ({ swarm }) => {
  const channels = Array.from({ length: 40 }, (_, index) => channelPair(`S${index}`, "coordinator"));
  let open = channels.length;
  for (const [near, far] of channels) {
    swarm.host!.serve(far);
    void near.closed.then(() => {
      open -= 1;
    });
    // A channel in memory learns of its end as it is read.
    void (async () => {
      for await (const message of near.messages()) assert.is((message as CoordinatorMessage).type, "refused");
    })();
  }
  await idle();
  assert.is(open, 32);
  await swarm.until(() => open === 0, "the strangers' end", 12_000);
});

test("a member hears the code and the reason of a refusal", async ({ swarm }) => {
  const options: MemberOptions = {
    runId: "run",
    secret: "wrong",
    address: "/at/coordinator",
    connect: async () => {
      const [near, far] = channelPair("X", "coordinator");
      swarm.host!.serve(far);
      return near;
    },
    standing: () => nothing,
    clock: swarm.clock,
    reconnectLimitMs: () => 5000,
  };
  const member = createMember(options);
  let failure: unknown;
  try {
    for await (const message of member.messages()) assert.unreachable(JSON.stringify(message));
  } catch (error) {
    failure = error;
  }
  assert.is((failure as GradmeshError).code, "ERR_UNAUTHORIZED");
  assert.match(
    (failure as GradmeshError).message,
    /coordinator at \/at\/coordinator refuses this peer: its ticket/,
  );

  const aborted = createMember({ ...options, signal: AbortSignal.abort() });
  for await (const message of aborted.messages()) assert.unreachable(JSON.stringify(message));
});

test("a member tells a coordinator that was away what it has measured", async ({ swarm }) => {
  const channels: ReturnType<typeof channelPair>[1][] = [];
  const member = createMember({
    runId: "run",
    secret: "secret",
    address: "/at/coordinator",
    connect: async () => {
      const [near, far] = channelPair("X", "coordinator");
      channels.push(far);
      return near;
    },
    standing: () => nothing,
    clock: swarm.clock,
    reconnectLimitMs: () => 5000,
  });
  const heard = async (at: number, count: number) => {
    await swarm.until(() => channels.length > at, "a connection");
    const messages: unknown[] = [];
    for await (const message of channels[at]!.messages()) {
      messages.push(message);
      if (messages.length === count) break;
    }
    await channels[at]!.close();
    return messages.slice(1);
  };
  const links = (bytesPerSecond: number) => ({
    type: "links",
    measured: [{ peerId: "B", bytesPerSecond, seconds: 0.5 }],
  });
  const first = heard(0, 3);
  await swarm.until(() => channels.length > 0, "a connection");
  member.links(links(1).measured);
  member.links(links(2).measured);
  assert.equal(await first, [links(1), links(2)]);
  assert.equal(await heard(1, 2), [links(2)], "the newest, after its hello");
  await member.close();
});

test("a journal that takes no more ends the host with its error", async ({ swarm }) => {
  swarm.journal.close();
  swarm.join("C");
  const failure = await swarm.host!.ended.then(
    () => null,
    (error: unknown) => error,
  );
  assert.is((failure as GradmeshError).code, "ERR_IO");
  await idle();
  // Nothing was promised to C that the journal does not hold.
  assert.equal(swarm.peers.get("C")!.log, []);
});

test.run();
