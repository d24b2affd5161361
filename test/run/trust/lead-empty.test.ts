/** Rounds of which nothing could be checked: everybody stays in the run, which ends where that does not change. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { generateIdentity } from "../../../lib/peer/identity.js";
import { committed, decided, three } from "./lead-round.js";
import { eventually } from "./lead-world.js";

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
  const { told, peers, fence, close } = made;
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
  await close();
});

test.run();
