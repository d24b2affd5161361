/** Rounds that only a few could finish, who are gone or say nothing: the others go on without them, and nobody ends the run so. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Identity } from "../../../lib/peer/identity.js";
import { committed, decided, three } from "./lead-round.js";
import { accountOf, eventually } from "./lead-world.js";

type World = Awaited<ReturnType<typeof three>>;

const statusOf = ({ lead }: World, who: Identity) =>
  lead.sequencer.state.rounds.get(0)?.units.get(accountOf(who))?.status;

/** Which of them it was told to suspend, and to restore. */
const lines = (told: readonly string[]) => told.map((line) => line.replace(/: .*/, ""));

/** Eve's work alone counts, and she is in a view by herself. */
async function onlyEve() {
  const made = await three();
  const [ada, bob, eve] = made.peers;
  await decided(made, 0, made.peers, [ada, bob]);
  await made.look();
  assert.equal(lines(made.told.splice(0)).sort(), [`suspend ${ada.peerId}`, `suspend ${bob.peerId}`].sort());
  made.state.phase = { name: "running", votes: new Map() };
  return { ...made, ada, bob, eve };
}

/** All that are there are restored at once, after all that was told before; the round then comes to nothing. */
async function goesOn(made: World, before: readonly string[]) {
  const { told, peers, lead, state } = made;
  await eventually(() => told.length > before.length);
  assert.equal(lines(told).slice(0, -1), before);
  assert.equal(
    told.at(-1)!.split(" ").slice(1).sort(),
    [...state.peers.keys()].sort(),
    "all that are there at once, so that they are in the next view together",
  );
  assert.match(told.at(-1)!, /^restore /);
  for (const { peerId } of peers) assert.is(lead.admission(peerId), null);
  await committed(made, 0, peers);
}

test("where the only peer whose work counts is gone the others go on without it, before the run ends for lack of a state", async () => {
  const made = await onlyEve();
  const { lead, state, time, told, eve, look, close } = made;
  state.peers.delete(eve.peerId);
  state.phase = { name: "gathering" };
  lead.onNotice({ kind: "membership", epoch: 2, round: 0, members: [], changes: [], reason: "pause" });
  time.now += 14;
  await look();
  assert.equal(told, []);
  assert.is(statusOf(made, eve), "pending", "it may come back");
  time.now += 1;
  await goesOn(made, []);
  await close();
});

test("where the only peer whose work counts says nothing it is taken out of its view, and is in the next one with the others", async () => {
  const made = await onlyEve();
  const { time, eve, told, close } = made;
  time.now += 100;
  await goesOn(made, [`suspend ${eve.peerId}`]);
  assert.match(told[0]!, /the others wait for it to end round 1, and it did not vote within 100 ms/);
  await close();
});

test("who votes in time is waited for, and so is who keeps nobody waiting", async () => {
  for (const soft of [2, 0]) {
    const made = await three();
    const { state, time, told, peers, look, close } = made;
    const eve = peers[2];
    await decided(made, 0, peers, peers.slice(0, soft));
    state.phase = { name: "running", votes: new Map(soft === 0 ? [] : [[eve.peerId, {}]]) };
    await look();
    told.length = 0;
    time.now += 400;
    await look();
    assert.equal(told, []);
    assert.is(statusOf(made, eve), "pending");
    await close();
  }
});

test("whoever is left when another of the few is gone has its own time to vote, and none by going and coming back", async () => {
  const made = await three();
  const { state, time, peers, look, close } = made;
  const [ada, bob, eve] = peers;
  await decided(made, 0, peers, [ada]);
  state.record.members = [bob.peerId, eve.peerId];
  state.phase = { name: "running", votes: new Map([[eve.peerId, {}]]) };
  await look();
  time.now += 200;
  // Bob was too late to vote: the view begins again without him.
  state.record.members = [eve.peerId];
  state.phase = { name: "running", votes: new Map() };
  await look();
  time.now += 99;
  await look();
  assert.is(statusOf(made, eve), "pending");
  state.record.members = [bob.peerId];
  time.now += 1;
  await eventually(() => statusOf(made, eve) === "left" && statusOf(made, bob) === "left");
  await close();
});

test("where the others were too late nothing of the round is left, and it is opened again with all of them", async () => {
  const made = await three();
  const { lead, state, time, told, peers, look, close } = made;
  const [ada, bob, eve] = peers;
  await decided(made, 0, peers, [], [ada, bob]);
  state.phase = { name: "running", votes: new Map() };
  await look();
  time.now += 100;
  await lead.ledger.until(({ nextRound }) => (nextRound === 0 ? true : null), AbortSignal.timeout(5000));
  await eventually(() => told.at(-1)?.startsWith("restore") === true);
  assert.is(lines(told).filter((line) => line === `suspend ${eve.peerId}`).length, 1);
  assert.equal(told.at(-1)!.split(" ").slice(1).sort(), peers.map(({ peerId }) => peerId).sort());
  await close();
});

test.run();
