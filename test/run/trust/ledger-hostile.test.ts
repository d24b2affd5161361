/** The ledger's server against peers that do not keep to the protocol: they flood, lie, repeat or stop. */
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { createManualClock } from "../../../lib/base/clock.js";
import { EVENT_BYTES_MAX, encodeEvent } from "../../../lib/ledger/record.js";
import { signEvent, signerOf } from "../../../lib/ledger/sign.js";
import type { Channel } from "../../../lib/peer/channel.js";
import { generateIdentity } from "../../../lib/peer/identity.js";
import { channelPair } from "../../../lib/peer/memory-channel.js";
import { LEDGER_PROTOCOL } from "../../../lib/run/trust/ledger-protocol.js";
import { rawPair } from "../../peer/hosts.js";
import { balance, deposit, inWorld, turn, World } from "./ledger-world.js";

interface Answer {
  readonly type: string;
  readonly code?: string;
  readonly reason?: string;
  readonly count?: number;
  readonly seq?: number;
  readonly records?: readonly Uint8Array[];
}

/** Speaks with the server by hand. */
function connect(world: World, peerId = "peer") {
  const [near, far] = channelPair(peerId, "sequencer");
  const served = world.server.serve(far);
  const words = near.messages()[Symbol.asyncIterator]();
  return {
    near,
    served,
    say: (message: unknown) => near.send(message).catch(() => {}),
    /** The next message that is no beat; undefined when the channel is closed. */
    async hear(): Promise<Answer | undefined> {
      for (;;) {
        const { done, value } = await words.next();
        if (done === true) return undefined;
        if ((value as Answer).type !== "beat") return value as Answer;
      }
    },
    /** Until this type comes. */
    async until(type: string): Promise<Answer> {
      for (;;) {
        const answer = await this.hear();
        if (answer === undefined) throw new Error(`the channel closed before ${type}`);
        if (answer.type === type) return answer;
      }
    },
  };
}

const follow = (world: World, from = 0) => ({ type: "follow", ledgerId: world.sequencer.ledgerId, from });
const submit = (id: number, event: Uint8Array) => ({ type: "submit", id, event });

test("who does not greet as it must is dismissed with the reason", () =>
  inWorld(async (world) => {
    world.server = world.serverOf({ isMember: (peerId) => peerId !== "stranger" });
    const dismissal = async (messages: unknown[], peerId?: string) => {
      const peer = connect(world, peerId);
      for (const message of messages) await peer.say(message);
      const { code, reason } = await peer.until("dismissed");
      assert.is(await peer.hear(), undefined);
      await peer.served;
      return `${code} ${reason}`;
    };
    assert.match(await dismissal([follow(world)], "stranger"), /ERR_UNAUTHORIZED stranger takes no part/);
    assert.match(
      await dismissal([{ ...follow(world), ledgerId: "ab".repeat(32) }]),
      /ERR_UNAUTHORIZED the run's ledger/,
    );
    assert.match(
      await dismissal([follow(world, 2)]),
      /ERR_LEDGER the ledger has 1 records here, and 2 there/,
    );
    assert.match(await dismissal([submit(1, Uint8Array.of(1))]), /ERR_PROTOCOL the first word is submit/);
    assert.match(await dismissal([follow(world), follow(world)]), /ERR_PROTOCOL follow came a second time/);
    assert.match(await dismissal([follow(world, -1)]), /ERR_PROTOCOL .*from/);
    assert.match(
      await dismissal([follow(world), submit(1, new Uint8Array(0))]),
      /ERR_PROTOCOL .*must be 1 to/,
    );
    const long = submit(1, new Uint8Array(EVENT_BYTES_MAX + 1));
    assert.match(await dismissal([follow(world), long]), /ERR_PROTOCOL .*must be 1 to/);
  }));

test("garbage dismisses its sender and nobody else", () =>
  inWorld(async (world) => {
    const good = world.peer();
    const garbage = fc.oneof(
      fc.jsonValue({ maxDepth: 2 }),
      fc.record({ type: fc.constantFrom("follow", "submit", "records", "receipt", "__proto__") }),
      fc.record({ type: fc.constant("submit"), id: fc.integer(), event: fc.string() }),
    );
    await fc.assert(
      fc.asyncProperty(garbage, fc.boolean(), async (message, greets) => {
        const peer = connect(world, "bad");
        if (greets) await peer.say(follow(world));
        await peer.say(message);
        assert.is((await peer.until("dismissed")).code, "ERR_PROTOCOL");
        await peer.served;
      }),
      { numRuns: 60 },
    );
    await good.submit(deposit(good.account, 1n));
  }));

test("threat 8: an event that is sent again, by its author or another, or signed for another ledger, is refused", () =>
  inWorld(async (world) => {
    const author = signerOf(generateIdentity());
    const event = encodeEvent(signEvent(author, world.sequencer.ledgerId, 1n, deposit(author.account, 5n)));
    const foreign = encodeEvent(signEvent(author, "cd".repeat(32), 2n, deposit(author.account, 5n)));
    const [peer, other] = [connect(world, "one"), connect(world, "two")];
    for (const each of [peer, other]) await each.say(follow(world));
    await peer.say(submit(1, event));
    assert.is((await peer.until("receipt")).seq, 1);
    await peer.say(submit(2, event));
    const again = await peer.until("refused");
    assert.match(`${again.code} ${again.reason}`, /ERR_LEDGER .*the nonce is 1; due is 2/);
    assert.is(again.count, 2, "what is recorded of it is among the first two");
    await other.say(submit(1, event));
    assert.match((await other.until("refused")).reason!, /the nonce is 1/);
    await other.say(submit(2, foreign));
    assert.match((await other.until("refused")).reason!, /signature is not the author's/);
    for (const cut of [1, 50, event.length - 1]) {
      await other.say(submit(3, event.subarray(0, cut)));
      assert.is((await other.until("refused")).code, "ERR_LEDGER");
    }
    assert.is(balance(author.account)(world.sequencer.state), 5n);
    for (const each of [peer, other]) await each.near.close();
  }));

test("a newer connection of a peer takes the place of the older", () =>
  inWorld(async (world) => {
    const older = connect(world);
    await older.say(follow(world));
    await older.until("records");
    const newer = connect(world);
    await newer.say(follow(world));
    await newer.until("records");
    assert.is((await older.until("dismissed")).code, "ERR_REFUSED");
    await older.served;
    await world.sequencer.append(deposit("ab".repeat(32), 1n));
    assert.is((await newer.until("records")).records!.length, 1);
    await newer.near.close();
  }));

test("threat 11: who submits and does not read is read no further; who does not take its messages is given up", () =>
  inWorld(async (world) => {
    const clock = createManualClock();
    const taken: unknown[] = [];
    const { sequencer } = world;
    world.server = world.serverOf({
      clock,
      limits: { submitsMax: 8, sendLimitMs: 1000 },
      sequencer: {
        ledgerId: sequencer.ledgerId,
        head: sequencer.head,
        count: sequencer.count,
        pages: (from, to) => sequencer.pages(from, to),
        onEffects: (listener) => sequencer.onEffects(listener),
        submit(signed) {
          taken.push(signed);
          return sequencer.submit(signed);
        },
      },
    });
    const [near, far] = channelPair("peer", "sequencer");
    let greeted = false;
    const deaf: Channel = {
      ...far,
      messages: () => far.messages(),
      send(message) {
        if ((message as Answer).type !== "receipt") {
          greeted = true;
          return far.send(message);
        }
        return new Promise(() => {});
      },
    };
    const served = world.server.serve(deaf);
    await near.send(follow(world));
    const author = signerOf(generateIdentity());
    const flood = (async () => {
      for (let nonce = 1n; nonce <= 100n; nonce += 1n)
        await near.send(
          submit(
            Number(nonce),
            encodeEvent(signEvent(author, sequencer.ledgerId, nonce, deposit(author.account, 1n))),
          ),
        );
    })().catch(() => {});
    while (taken.length < 8) await turn();
    for (let turns = 0; turns < 200; turns += 1) await turn();
    assert.is(taken.length, 8);
    assert.ok(greeted);
    let over = false;
    void served.then(() => {
      over = true;
    });
    while (!over) {
      clock.advance(100);
      await turn();
    }
    await flood;
    assert.is(taken.length, 8);
  }));

test("a peer that submits too fast waits, and the others do not", () =>
  inWorld(async (world) => {
    const clock = createManualClock();
    world.server = world.serverOf({ clock, limits: { rate: { burst: 3, intervalMs: 1000 }, beatMs: 1e9 } });
    const author = signerOf(generateIdentity());
    const [fast, other] = [connect(world, "fast"), connect(world, "other")];
    for (const each of [fast, other]) await each.say(follow(world));
    const send = (peer: typeof fast, nonce: bigint) =>
      peer.say(
        submit(
          0,
          encodeEvent(signEvent(author, world.sequencer.ledgerId, nonce, deposit(author.account, 1n))),
        ),
      );
    for (let nonce = 1n; nonce <= 5n; nonce += 1n) await send(fast, nonce);
    while (world.sequencer.count < 4) await turn();
    for (let turns = 0; turns < 100; turns += 1) await turn();
    assert.is(world.sequencer.count, 4);
    await send(other, 4n);
    await other.until("receipt");
    clock.advance(1000);
    // The fast one's fourth and fifth: the fourth's nonce is taken by now, and its fifth is the next.
    while (world.sequencer.count < 5) await turn();
    clock.advance(1000);
    while (world.sequencer.count < 6) await turn();
    for (const each of [fast, other]) await each.near.close();
  }));

test("a peer that stops reading keeps nobody from following, and nothing is queued for it", () =>
  inWorld(async (world) => {
    const [near, far] = channelPair("stuck", "sequencer");
    let sendings = 0;
    const full: Channel = {
      ...far,
      messages: () => far.messages(),
      send: (message) => (++sendings > 2 ? new Promise(() => {}) : far.send(message)),
    };
    const served = world.server.serve(full);
    await near.send(follow(world));
    const peer = world.peer();
    for (let count = 1n; count <= 40n; count += 1n) {
      await world.sequencer.append(deposit(peer.account, 1n));
      await peer.until((state) => (balance(peer.account)(state) === count ? true : null));
    }
    assert.is(sendings, 3, "the greeting's answer, the first records, and one message under way");
    await near.close();
    await served;
  }));

test("threat 11: over libp2p, a message that announces a gigabyte closes its channel before anything is read", async () => {
  const raw = await rawPair({});
  const world = new World();
  try {
    assert.match(LEDGER_PROTOCOL, /^\/gradmesh\/ledger\/\d$/);
    const served = world.server.serve(raw.channel);
    raw.stream.send(Buffer.from("40000000", "hex"));
    await served;
    assert.ok(await raw.again());
  } finally {
    await raw.end();
    await world.end();
  }
});

test.run();
