/** Rounds of which nothing could be checked: everybody stays in the run, which ends where that does not change. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { generateIdentity } from "../../../lib/peer/identity.js";
import { hashOf } from "../../ledger/rules-world.js";
import { committed, decided, HARD, opened, SOFT, three } from "./lead-round.js";
import { accountOf, eventually, world } from "./lead-world.js";

const ends = (told: readonly string[]) => told.filter((line) => line.startsWith("end "));

test("where nobody's work counts nobody is taken out of the round, also who comes back or comes late", async () => {
  const made = await three();
  const { lead, told, peers, events, fence, close } = made;
  const [ada] = peers;
  const late = generateIdentity();
  await made.join(late);
  await decided(made, 0, peers, peers);
  await fence();
  assert.equal(told, []);
  assert.is(lead.admission(ada.peerId), null);
  assert.is(lead.admission(late.peerId), null, "it can hold the state for the others");
  await committed(made, 0, peers);
  await fence();
  assert.equal(told, []);
  assert.equal(
    events.filter(({ type }) => type === "warning"),
    [],
  );
  await close();
});

test("where somebody's work counts the others wait for the next round", async () => {
  const made = await three();
  const { lead, told, peers, fence, close } = made;
  const [ada, bob, eve] = peers;
  await decided(made, 0, peers, [ada, bob]);
  await fence();
  assert.equal(
    told.map((line) => line.replace(/: .*/, "")).sort(),
    [`suspend ${ada.peerId}`, `suspend ${bob.peerId}`].sort(),
  );
  assert.match(told[0]!, /round 1 goes on without it, as its work in it does not count \(soft\)/);
  assert.is(lead.admission(eve.peerId), null);
  assert.match(JSON.stringify(lead.admission(ada.peerId)), /suspend.*goes on without it/);
  await close();
});

test("a run ends with the cause and the cure after four rounds in a row in which nobody's work counts", async () => {
  const made = await three();
  const { lead, place, told, peers, fence, look } = made;
  for (let round = 0; round < 4; round += 1) {
    await fence();
    assert.equal(told, []);
    await decided(made, round, peers, peers);
    await committed(made, round, peers);
  }
  await eventually(() => told.length > 0);
  assert.match(
    told[0]!,
    /^end ERR_TIMEOUT: in 4 rounds in a row .* could be checked.*trust\.limitMs \(100\) and trust\.moveLimitMs \(10\)/,
  );
  await look();
  assert.is(told.length, 1, "once");
  told.length = 0;
  await lead.close();
  const again = await world(place);
  await eventually(() => again.told.length > 0);
  assert.match(
    again.told[0]!,
    /^end ERR_TIMEOUT: in 4 rounds in a row/,
    "a lead that died before it said so",
  );
  await again.close();
});

test("a round in which somebody's work counts is none of the four", async () => {
  const made = await three();
  const { told, peers, look, close } = made;
  for (const round of [0, 1, 2, 3, 4, 5]) {
    await look();
    assert.equal(told, []);
    const counts = round === 2;
    await decided(made, round, peers, counts ? [] : peers);
    await committed(made, round, peers, counts ? hashOf("result") : undefined);
  }
  await look();
  assert.equal(told, []);
  await close();
});

test("whoever most often said that it was shown nothing is named when the run ends for that", async () => {
  const made = await three();
  const { told, peers, close } = made;
  const said = new Map<string, number>();
  for (let round = 0; round < 4; round += 1) {
    const { checks } = await decided(made, round, peers, peers);
    for (const { verifier } of checks) said.set(verifier, (said.get(verifier) ?? 0) + 1);
    await committed(made, round, peers);
  }
  await eventually(() => told.length > 0);
  const all = [...said.values()].reduce((sum, one) => sum + one, 0);
  const most = Math.max(...said.values());
  const named = peers.filter((peer) => said.get(accountOf(peer)) === most);
  const texts = named.map(
    ({ peerId }) => `of ${all} checks that said "not shown", ${most} are of ${peerId}:`,
  );
  assert.ok(
    texts.some((text) => told[0]!.includes(text)),
    told[0],
  );
  await close();
});

test("who is accused in a round of which nothing else counts is out of it, and the others are not", async () => {
  const made = await three();
  const { lead, told, peers, fence, close } = made;
  const [ada, bob, eve] = peers;
  await decided(made, 0, peers, (_verifier, worker) => (worker === eve ? HARD : SOFT));
  await fence();
  assert.is(told.length, 1, told.join());
  assert.match(told[0]!, new RegExp(`^suspend ${eve.peerId}: .*does not count \\(hard\\)`));
  assert.is(lead.admission(ada.peerId), null);
  assert.is(lead.admission(bob.peerId), null);
  assert.match(JSON.stringify(lead.admission(eve.peerId)), /suspend.*hard/);
  await close();
});

test("a run ends when one round is void four times, as everybody who stayed was too late; a restart forgets none of them", async () => {
  let made = await three();
  const { peers, place, time } = made;
  for (let opening = 1; opening <= 4; opening += 1) {
    assert.equal(ends(made.told), []);
    if (opening === 3) {
      await made.lead.close();
      made = { ...(await world(place)), peers };
    }
    await opened(made, 0, peers);
    time.now += 100;
    await made.until(() => made.lead.sequencer.state.nextRound === 0);
  }
  await eventually(() => ends(made.told).length > 0);
  assert.match(ends(made.told)[0]!, /^end ERR_TIMEOUT: round 1 was opened 4 times.*trust\.limitMs \(100\)/);
  await made.close();
});

test("a round that everybody has left is not one that they were too late for", async () => {
  const made = await three();
  const { peers, lead, look, close } = made;
  const [ada] = peers;
  for (let opening = 1; opening <= 5; opening += 1) {
    await opened(made, 0, [ada]);
    await lead.ledger.submit({ kind: "RoundLeft", round: 0, account: accountOf(ada) });
    await made.until(() => lead.sequencer.state.nextRound === 0);
  }
  await look();
  assert.equal(ends(made.told), []);
  await close();
});

test("an empty round that this process did not apply begins and ends with the same parameters", async () => {
  const made = await three();
  const { lead, peers, close } = made;
  await decided(made, 0, peers, []);
  lead.applied(0, hashOf("parameters"));
  await committed(made, 0, peers, hashOf("result"));
  await decided(made, 1, peers, peers);
  await committed(made, 1, peers);
  assert.is(lead.sequencer.state.parameters, hashOf("parameters"));
  await close();
});

test("a round that was committed, and of which nothing can count any more, ends the run with the reason", async () => {
  const made = await three();
  const { lead, state, time, told, peers, look, close } = made;
  await opened(made, 0, peers);
  const contributors = peers.map(({ peerId }) => peerId);
  const stateDigest = hashOf("state");
  const commit = { round: 0, contributors, resultDigest: hashOf("result") };
  Object.assign(state.record, { round: 1, commit, stateDigest });
  lead.onNotice({ kind: "commit", epoch: 1, round: 0, contributors, stateDigest, metrics: [] });
  time.now += 100;
  await eventually(() => ends(told).length > 0);
  assert.match(
    ends(told)[0]!,
    /^end ERR_LEDGER: round 1 is committed, and on the ledger all who worked in it are out of it/,
  );
  await look();
  assert.is(lead.sequencer.state.nextRound, 1, "the ledger does not open it again by itself");
  assert.is(ends(told).length, 1);
  await close();
});

test.run();
