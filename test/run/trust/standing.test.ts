/** Who can be in views, by the ledger's state: of none at all, and of those of a round whose verdicts are in. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { newAccount, newUnit } from "../../../lib/ledger/rules/lookup.js";
import {
  type Dispute,
  emptyState,
  type LedgerState,
  type RoundPhase,
  type RoundState,
  type UnitStatus,
} from "../../../lib/ledger/rules/state.js";
import { hindrances, isEmpty, outOf } from "../../../lib/run/trust/standing.js";
import { hashOf, terms } from "../../ledger/rules-world.js";

const [ada, bob, eve, far] = ["ada", "bob", "eve", "far"].map(hashOf) as [string, string, string, string];

/** Ada and Bob can work, Eve has too little at stake, and nobody knows Far. */
function stateWith(...disputes: Partial<Dispute>[]): LedgerState {
  const accounts = new Map([
    [ada, { ...newAccount(ada), bonded: 1000n }],
    [bob, { ...newAccount(bob), bonded: 1000n }],
    [eve, { ...newAccount(eve), bonded: 999n }],
  ]);
  const known = disputes.map((dispute, id) => [id, { id, round: 4, outcome: null, ...dispute }] as const);
  return {
    ...emptyState(),
    ...{ accounts, eligible: [ada, bob], terms: terms as unknown as LedgerState["terms"] },
    disputes: new Map(known) as unknown as LedgerState["disputes"],
  };
}

test("who can work and is not accused is hindered by nothing, and others are told what is missing", () => {
  const why = hindrances(stateWith());
  assert.is(why(ada), null);
  assert.match(why(eve)!, /^its stake is 999 units.*at least 1000 bonded$/);
  assert.match(why(far)!, /^its stake is 0 units/);
  const state = stateWith();
  state.accounts.get(eve)!.bonded = 1000n;
  assert.is(hindrances(state)(eve), "it is not registered as a worker of the run");
});

test("who is accused waits as long as a dispute about its own work is open, and is told which", () => {
  const why = hindrances(
    stateWith(
      { worker: ada, transition: 1, outcome: "worker" },
      { worker: ada, transition: 2 },
      { worker: bob, transition: 1, outcome: "worker" },
      // The aggregate is the sequencer's, and no work of its.
      { worker: bob, transition: 0 },
    ),
  );
  assert.is(why(ada), "dispute 1 about its work in round 5 is open");
  assert.is(why(bob), null);
});

const behind = { ratePpm: 0, ownStake: 1n, commission: 0, delegators: [] };

/** Round 1 with a worker of each of these, whose account is a number. */
function roundWith(phase: RoundPhase, ...statuses: UnitStatus[]): RoundState {
  const units = statuses.map(
    (status, index) => [`${index}`, { ...newUnit(`${index}`, behind), status }] as const,
  );
  return { round: 0, phase, units: new Map(units) } as unknown as RoundState;
}

test("of a round in which nobody's work counts all but who is accused can be in the views, and who has no part in it", () => {
  const found = roundWith("decided", "soft", "hard", "disputed", "expired", "left", "settled");
  assert.ok(isEmpty(found));
  const outs = [...found.units.keys(), "late"].map((account) => outOf(found, account) !== null);
  assert.equal(outs, [false, true, true, false, false, false, false]);
  assert.match(outOf(found, "1")!, /round 1 goes on without it, as its work in it does not count \(hard\)/);
});

test("where somebody's work counts, or may yet, only they are in the views", () => {
  for (const counts of ["pending", "claimable"] as const) {
    const found = roundWith("decided", counts, "soft");
    assert.equal([isEmpty(found), outOf(found, "0")], [false, null]);
    assert.match(outOf(found, "1")!, /soft/);
    assert.match(outOf(found, "late")!, /round 1 goes on without it; it takes part from the next one on/);
  }
  const found = roundWith("verdictReveal", "left", "verifying");
  assert.equal([isEmpty(found), outOf(found, "1")], [false, null]);
  assert.match(outOf(found, "0")!, /left/);
});

test("of a void round nobody is in the views before it is opened again, so that none comes back before the others", () => {
  const found = roundWith("decided", "left", "expired");
  assert.not(isEmpty(found));
  assert.match(outOf(found, "0")!, /left/);
  assert.match(outOf(found, "1")!, /expired/);
});

test.run();
