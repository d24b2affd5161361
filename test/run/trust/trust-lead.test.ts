/** The submitter's side of a verified run: who is kept out of views, and what it tells the ledger. */
import { existsSync, readdirSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { accountOfPeerId } from "../../../lib/ledger/sign.js";
import { generateIdentity, type Identity } from "../../../lib/peer/identity.js";
import { TrustLead } from "../../../lib/run/trust/trust-lead.js";
import { failure } from "../../failure.js";
import { hashOf } from "../../ledger/rules-world.js";
import { accountOf, eventually, roundOf, setting, world } from "./lead-world.js";

test("whoever has less than the stake at stake is in no view until it has bonded it, and the others go on", async () => {
  const { lead, state, register, join, say, told, until, account, fence, close } = await world();
  const [able, poor] = [generateIdentity(), generateIdentity()];
  assert.match(JSON.stringify(lead.admission(poor.peerId)), /suspend.*its stake is 0 units.*at least 1000/);
  state.peers.set(poor.peerId, { suspended: true });
  await register(poor);
  await until(() => account(poor)?.free === 2000n);
  await fence();
  assert.equal(told, [], "it has not bonded anything yet");
  await say(poor, { kind: "Bonded", amount: 1000n });
  await eventually(() => told.length > 0);
  assert.equal(told.splice(0), [`restore ${poor.peerId}`]);
  assert.is(lead.admission(poor.peerId), null);

  await join(able);
  state.peers.set(able.peerId, { suspended: false });
  await say(poor, { kind: "UnbondRequested", amount: 1n });
  await eventually(() => told.length > 0);
  await fence();
  assert.is(told.length, 1, told.join());
  assert.match(
    told.splice(0)[0]!,
    new RegExp(`suspend ${poor.peerId}: its stake is 999 units.*at least 1000`),
  );
  assert.match(JSON.stringify(lead.admission(poor.peerId)), /suspend.*its stake is 999/);
  await say(poor, { kind: "Rebonded", amount: 1n });
  await eventually(() => told.length > 0);
  assert.equal(told, [`restore ${poor.peerId}`]);
  await close();
});

test("a round that the ledger does not close the first time is closed without who has lost a dispute meanwhile", async () => {
  const { lead, state, events, time, ledgerId, sign, join, say, until, close } = await world();
  const [ada, bob] = [generateIdentity(), generateIdentity()];
  await join(ada, bob);
  time.now += 20;
  const { opening, said } = roundOf(ledgerId, [ada, bob]);
  await lead.ledger.submit(opening);
  for (const { who, event } of said) await say(who, event);
  assert.is(lead.sequencer.state.rounds.get(0)!.phase, "decided");
  const contributors = [ada.peerId, bob.peerId];
  Object.assign(state.record, {
    round: 1,
    commit: { round: 0, contributors, resultDigest: hashOf("result") },
    stateDigest: hashOf("state"),
  });
  // The accusation is before the closing in the ledger's queue, and the time for Ada's answer is over by then.
  time.step = 11;
  const disputed = lead.sequencer.submit(
    sign(bob, { kind: "DisputeOpened", round: 0, worker: accountOf(ada), transition: 1 }),
  );
  lead.onNotice({
    kind: "commit",
    epoch: 1,
    round: 0,
    contributors,
    stateDigest: hashOf("state"),
    metrics: [],
  });
  await disputed;
  await until(() => lead.sequencer.state.rounds.get(0)?.phase === "closed");
  assert.equal(lead.sequencer.state.rounds.get(0)!.closed!.aggregated, [accountOf(bob)]);
  const warnings = events.flatMap((event) => (event.type === "warning" ? [event.reason] : []));
  assert.match(warnings.join("\n"), /RoundClosed was refused.*settled.*of which 1 count by now/s);
  await close();
});

test("a peer whose bits differ again is ejected on the ledger with the evidence, expelled, and not let in again", async () => {
  const { lead, join, account, told, fence, close } = await world();
  const peer = generateIdentity();
  await join(peer);
  const found = { type: "diverged", peer: peer.peerId, round: 3, own: "odd", expected: "even" } as const;
  lead.onDiverged({ ...found, again: false, reason: "after round 3" });
  await fence();
  assert.not(account(peer)!.ejected, "it is sent the state first");
  assert.is(lead.admission(peer.peerId), null);
  lead.onDiverged({ ...found, again: true, reason: "after round 4: it holds odd, more than half hold even" });
  await lead.ledger.until(() => (account(peer)?.ejected ? true : null), AbortSignal.timeout(5000));
  await eventually(() => told.length > 0);
  assert.match(told.join("\n"), new RegExp(`expel ${peer.peerId}: .*holds odd`));
  assert.match(JSON.stringify(lead.admission(peer.peerId)), /refuse.*ejected/);
  await close();
});

test("a round is open: who is not in it waits, who is lost leaves it without blame, and comes back after it", async () => {
  const { lead, state, identity, join, account, told, close } = await world();
  const [ada, bob, late] = [generateIdentity(), generateIdentity(), generateIdentity()];
  await join(ada, bob);
  // The leader is lost, so that the sequencer opens the round without it.
  const leads = (peer: Identity) => accountOf(peer) === lead.sequencer.state.leader;
  const [inside, outside] = leads(ada) ? [bob, ada] : [ada, bob];
  state.peers.set(inside.peerId, { suspended: false });
  state.peers.set(outside.peerId, { suspended: true });
  const workers = [accountOf(inside)];
  await lead.ledger.submit({ kind: "RoundSkipped", round: 0, workers, shards: "01" });
  assert.is(lead.admission(inside.peerId), null);
  assert.match(JSON.stringify(lead.admission(outside.peerId)), /suspend.*goes on without it/);
  assert.match(JSON.stringify(lead.admission(late.peerId)), /suspend/);
  const members = [identity.peerId];
  lead.onNotice({ kind: "membership", epoch: 2, round: 0, members, changes: [], reason: "lost" });
  const unit = () => lead.sequencer.state.rounds.get(0)?.units.get(accountOfPeerId(inside.peerId));
  await lead.ledger.until((state) => (state.nextRound === 0 ? true : null), AbortSignal.timeout(5000));
  assert.is(unit(), undefined, "everybody is out of the round: it is opened again");
  assert.is(account(inside)!.bonded, 1000n);
  await eventually(() => told.some((line) => line.startsWith("restore") && line.includes(outside.peerId)));
  assert.is(lead.admission(inside.peerId), null);
  await close();
});

test("who is gone is not restored, and waits again when it comes back", async () => {
  const { lead, state, join, say, told, fence, close } = await world();
  const [gone, there] = [generateIdentity(), generateIdentity()];
  await join(gone, there);
  for (const { peerId } of [gone, there]) state.peers.set(peerId, { suspended: false });
  for (const peer of [gone, there]) await say(peer, { kind: "UnbondRequested", amount: 1n });
  await eventually(() => told.length === 2);
  state.peers.delete(gone.peerId);
  await fence();
  // It is back, as the coordinator knows it from its hello, and this lead does not.
  state.peers.set(gone.peerId, { suspended: false });
  told.length = 0;
  for (const peer of [gone, there]) await say(peer, { kind: "Rebonded", amount: 1n });
  await fence();
  assert.equal(told, [`restore ${there.peerId}`]);
  await say(gone, { kind: "UnbondRequested", amount: 1n });
  state.peers.delete(gone.peerId);
  await fence();
  told.length = 0;
  assert.match(JSON.stringify(lead.admission(gone.peerId)), /suspend.*its stake is 999/);
  state.peers.set(gone.peerId, { suspended: true });
  await say(gone, { kind: "Rebonded", amount: 1n });
  await eventually(() => told.length > 0);
  assert.equal(told, [`restore ${gone.peerId}`]);
  await close();
});

test("records that come together are looked through once, whoever is there", async () => {
  const { lead, state, join, say, fence, close } = await world();
  const peers = Array.from({ length: 4 }, () => generateIdentity());
  await join(...peers);
  for (const { peerId } of peers) state.peers.set(peerId, { suspended: false });
  const { disputes } = lead.sequencer.state;
  await fence();
  let passes = 0;
  const values = disputes.values.bind(disputes);
  Object.assign(disputes, {
    values: () => {
      passes += 1;
      return values();
    },
  });
  const before = lead.sequencer.count;
  await Promise.all(peers.map((peer) => say(peer, { kind: "UnbondRequested", amount: 1n })));
  assert.is(lead.sequencer.count, before + peers.length);
  assert.is(passes, 1);
  await close();
});

test("a lead that cannot be opened lets go of the ledger's file, and of time", async () => {
  const { path, identity, clock, remove } = await setting();
  const stopped: AbortSignal[] = [];
  const error = await failure(
    TrustLead.open({
      ...{ path, identity, grant: 2000n, entryOf: async () => hashOf("bits"), emit: () => {} },
      clock: {
        ...clock,
        sleep: (ms, signal) => {
          stopped.push(signal!);
          return clock.sleep(ms, signal);
        },
      },
      // More than a field of the ledger holds.
      pool: 2n ** 64n,
      onFailure: (failed) => assert.unreachable(String(failed)),
    }),
  );
  assert.match(error.message, /amount/);
  assert.ok(stopped.length > 0 && stopped.every(({ aborted }) => aborted));
  const open = readdirSync("/proc/self/fd").map((fd) => {
    const file = join("/proc/self/fd", fd);
    return existsSync(file) ? readlinkSync(file) : "";
  });
  assert.not(open.includes(path));
  remove();
});

test.run();
