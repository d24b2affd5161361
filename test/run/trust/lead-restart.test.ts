/** A lead that worked in the open round itself and is started again: what is committed counts, what is not is lost. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { LedgerEvent } from "../../../lib/ledger/events.js";
import { aggregateInput } from "../../../lib/ledger/rules/hashes.js";
import { generateIdentity, type Identity } from "../../../lib/peer/identity.js";
import { hashOf } from "../../ledger/rules-world.js";
import { accountOf, eventually, registration, roundOf, setting, world } from "./lead-world.js";

/** A lead that has worked in round 0, with others or alone, up to where all of it is accepted, and is gone then. */
async function worked(...others: readonly Identity[]) {
  const place = await setting();
  const { identity, time, ledgerId } = place;
  const { lead, account, join, say, until } = await world(place);
  const sayAs = async (who: Identity, event: LedgerEvent) => {
    if (who === identity) await lead.ledger.submit(event);
    else await say(who, event);
  };
  await lead.ledger.submit(registration());
  await until(() => account(identity)?.free === 2000n);
  await lead.ledger.submit({ kind: "Bonded", amount: 1000n });
  await join(...others);
  time.now += 20;
  const workers = [identity, ...others];
  const { opening, said } = roundOf(ledgerId, workers);
  await lead.ledger.submit(opening);
  for (const { who, event } of said) await sayAs(who, event);
  const { phase, units } = lead.sequencer.state.rounds.get(0)!;
  assert.is(phase, "decided");
  assert.equal(
    [...units.values()].map(({ status }) => status),
    workers.map(() => "pending"),
  );
  await lead.close();
  /** The coordinator's record, which a restarted one has of its journal. */
  const contributors = workers.map(({ peerId }) => peerId);
  const commit = { round: 0, contributors, resultDigest: hashOf("result") };
  const committed = { round: 1, commit, members: contributors, stateDigest: hashOf("state") };
  return { place, committed, workers: workers.map(accountOf) };
}

test("what a lead has done in a round that is committed counts when it is started again before the ledger closes it", async () => {
  for (const others of [[generateIdentity()], []]) {
    const { place, committed, workers } = await worked(...others);
    const { lead, told, events, until, close } = await world(place, committed);
    await until(() => lead.sequencer.state.rounds.get(0)?.phase === "closed");
    const { state } = lead.sequencer;
    const { closed, units, aggregate } = state.rounds.get(0)!;
    assert.is(state.nextRound, 1);
    assert.equal(closed!.aggregated, workers);
    assert.is(
      aggregate!.revealed!.before,
      aggregateInput(workers.map((worker) => units.get(worker)!.revealed!.contribution)),
    );
    for (const worker of workers) assert.ok(state.accounts.get(worker)!.locked > 0n, "it is paid");
    assert.equal(told, []);
    assert.equal(
      events.filter(({ type }) => type === "warning"),
      [],
    );
    await close();
  }
});

test("what a lead has done in a round that is not committed is lost when it is started again, before anybody is let in", async () => {
  const { place, committed, workers } = await worked(generateIdentity());
  const { lead, close } = await world(place, { ...committed, round: 0, commit: null });
  const statuses = workers.map((worker) => lead.sequencer.state.rounds.get(0)!.units.get(worker)!.status);
  assert.equal(statuses, ["left", "pending"]);
  await close();
});

test("a round of which nothing is committed and that only the lead worked in is opened again when it is started again", async () => {
  const { place, committed } = await worked();
  const { lead, told, until, close } = await world(place, { ...committed, round: 0, commit: null });
  await until(() => lead.sequencer.state.nextRound === 0);
  assert.is(lead.sequencer.state.rounds.size, 0);
  assert.equal(told, []);
  await close();
});

test("a round that is committed and of which nobody is left on the ledger is not opened again: the run ends with the cause", async () => {
  const { place, committed, workers } = await worked();
  const before = await world(place, { ...committed, members: [], stateDigest: null });
  await before.lead.ledger.submit({ kind: "RoundLeft", round: 0, account: workers[0]! });
  assert.is(before.lead.sequencer.state.rounds.get(0)!.units.get(workers[0]!)!.status, "left");
  await before.lead.close();
  const { lead, told, close } = await world(place, committed);
  await eventually(() => told.length > 0);
  assert.match(
    told.join("\n"),
    /^end ERR_LEDGER: round 1 is committed, and .* neither closed nor run again; resume from a checkpoint$/,
  );
  assert.is(lead.sequencer.state.nextRound, 1);
  await close();
});

test.run();
