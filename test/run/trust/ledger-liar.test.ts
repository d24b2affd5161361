/** A peer's copy of the ledger against a sequencer that lies: it takes what holds, names the rest, and keeps the proof. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { createManualClock } from "../../../lib/base/clock.js";
import { GradmeshError } from "../../../lib/base/errors.js";
import type { LedgerRecord } from "../../../lib/ledger/events.js";
import { encodeHead, signHead } from "../../../lib/ledger/head.js";
import { encodeRecord, recordHash } from "../../../lib/ledger/record.js";
import { signerOf } from "../../../lib/ledger/sign.js";
import type { Channel } from "../../../lib/peer/channel.js";
import { generateIdentity } from "../../../lib/peer/identity.js";
import { balance, deposit, inWorld, turn, type World } from "./ledger-world.js";

/** A sequencer that says these things to whoever follows. */
const scripted =
  (messages: (world: World) => readonly unknown[], world: World) => async (channel: Channel) => {
    for await (const _ of channel.messages()) {
      for (const message of messages(world)) await channel.send(message).catch(() => {});
      // The follower hangs up once it has seen enough.
    }
  };

/** What a peer's connection fails with when the sequencer says this. */
async function failureOf(world: World, messages: readonly unknown[]) {
  const { promise, resolve } = Promise.withResolvers<GradmeshError>();
  const peer = world.peer({ serve: scripted(() => messages, world), onFailure: resolve });
  const waiting = peer.until(() => null).catch((error: unknown) => error);
  const error = await promise;
  assert.instance(error, GradmeshError);
  assert.is(await waiting, error, "who waits is told the same");
  return { error, peer };
}

async function recordsOf(world: World, count: number): Promise<LedgerRecord[]> {
  for (let index = world.sequencer.count; index < count; index += 1)
    await world.sequencer.append(deposit("ab".repeat(32), 1n));
  return [...world.sequencer.records(0, count)];
}

const batch = (records: readonly (LedgerRecord | Uint8Array)[], head: Uint8Array | null = null) => ({
  type: "records",
  records: records.map((record) => (record instanceof Uint8Array ? record : encodeRecord(record))),
  head,
});

test("records out of order, left out, changed or torn are not taken; those before them are", () =>
  inWorld(async (world) => {
    const records = await recordsOf(world, 5);
    const [a, b, c, d] = records as [LedgerRecord, LedgerRecord, LedgerRecord, LedgerRecord];
    const torn = encodeRecord(c).subarray(1);
    const changed = encodeRecord(c);
    changed[changed.length - 70]! ^= 1;
    const cases: [unknown[], number, RegExp][] = [
      [[batch([a, c, b])], 1, /record 1: seq is 2/],
      [[batch([a, b, d])], 2, /record 2: seq is 3/],
      [[batch([b])], 0, /record 0/],
      [[batch([a, b]), batch([changed])], 2, /record 2: the signature is not/],
      [[batch([a, b]), batch([torn])], 2, /body's length|kind is|seq is/],
      [[batch([a, b]), batch([{ ...c, time: b.time - 1 }])], 2, /time is/],
    ];
    for (const [messages, kept, words] of cases) {
      const { error, peer } = await failureOf(world, [{ type: "following", count: 5 }, ...messages]);
      assert.is(error.code, "ERR_LEDGER");
      assert.match(error.message, words);
      assert.is(peer.follower.count, kept);
    }
  }));

test("records that come twice are taken once", () =>
  inWorld(async (world) => {
    const records = await recordsOf(world, 4);
    const head = encodeHead(world.sequencer.head);
    const messages = [
      { type: "following", count: 4 },
      batch(records.slice(0, 2)),
      batch(records.slice(0, 3)),
      batch(records, head),
    ];
    const peer = world.peer({ serve: scripted(() => messages, world) });
    assert.is(await peer.until((state) => (balance("ab".repeat(32))(state) >= 3n ? 3n : null)), 3n);
    assert.is(peer.follower.count, 4);
  }));

test("a head that the sequencer did not sign, or of another ledger than was sent, ends the connection", () =>
  inWorld(async (world) => {
    const records = await recordsOf(world, 3);
    const [leader, other] = [signerOf(world.leader), signerOf(generateIdentity())];
    const { ledgerId } = world.sequencer;
    const last = recordHash(records[2]!);
    const following = { type: "following", count: 3 };
    const forged = encodeHead(signHead(other, ledgerId, 3, last));
    const unsigned = await failureOf(world, [following, batch(records, forged)]);
    assert.match(unsigned.error.message, /not signed by the sequencer/);
    const withheld = encodeHead(signHead(leader, ledgerId, 4, last));
    assert.match((await failureOf(world, [following, batch(records, withheld)])).error.message, /withheld/);
    const fork = encodeHead(signHead(leader, ledgerId, 3, "ab".repeat(32)));
    const right = encodeHead(signHead(leader, ledgerId, 3, last));
    const { error, peer } = await failureOf(world, [following, batch(records, right), batch([], fork)]);
    assert.match(error.message, /two ledgers/);
    assert.is(peer.follower.evidence?.account, leader.account, "and both heads prove it");
  }));

test("a receipt whose head is not of the ledger that comes ends the connection, with the proof", () =>
  inWorld(async (world) => {
    const records = await recordsOf(world, 2);
    const leader = signerOf(world.leader);
    const { ledgerId } = world.sequencer;
    const right = encodeHead(signHead(leader, ledgerId, 2, recordHash(records[1]!)));
    const promise = encodeHead(signHead(leader, ledgerId, 2, "ab".repeat(32)));
    const receipt = { type: "receipt", id: 1, seq: 1, head: promise };
    const { error, peer } = await failureOf(world, [
      { type: "following", count: 2 },
      receipt,
      batch(records, right),
    ]);
    assert.match(error.message, /two ledgers/);
    assert.is(peer.follower.evidence?.account, leader.account);
  }));

test("a sequencer that talks garbage ends the connection, and a dismissal is told in its words", () =>
  inWorld(async (world) => {
    const garbage = [
      null,
      { type: "records", records: [new Uint8Array(0)], head: null },
      { type: "records", records: Array(257).fill(Uint8Array.of(1)), head: null },
      { type: "records", records: [], head: new Uint8Array(3) },
      { type: "following", count: -1 },
      { type: "refused", id: 1, code: "toString", reason: "", count: 0 },
      { type: "beat", more: 1 },
    ];
    for (const message of garbage) assert.is((await failureOf(world, [message])).error.code, "ERR_PROTOCOL");
    const { error } = await failureOf(world, [
      { type: "dismissed", code: "ERR_UNAUTHORIZED", reason: "not you", final: true },
    ]);
    assert.is(error.code, "ERR_UNAUTHORIZED");
    assert.match(error.message, /dismissed this peer: not you/);
  }));

test("a silent sequencer is left, and another connection tried, until it was away for too long", () =>
  inWorld(async (world) => {
    const clock = createManualClock();
    const { promise, resolve } = Promise.withResolvers<GradmeshError>();
    let over = false;
    let connections = 0;
    const serve = () => {
      connections += 1;
    };
    const peer = world.peer({ clock, serve, reconnectLimitMs: 60_000, onFailure: resolve });
    void promise.then(() => {
      over = true;
    });
    while (!over) {
      clock.advance(500);
      await turn();
    }
    const error = await promise;
    assert.is(error.code, "ERR_UNREACHABLE");
    assert.match(error.message, /was away for 60000 ms/);
    assert.ok(connections >= 5 && clock.now() < 80_000, `${connections} connections in ${clock.now()} ms`);
    await peer.close();
  }));

test.run();
