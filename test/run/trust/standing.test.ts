/** Who can be in no view, by the ledger's state. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { newAccount } from "../../../lib/ledger/rules/lookup.js";
import { type Dispute, emptyState, type LedgerState } from "../../../lib/ledger/rules/state.js";
import { hindrances } from "../../../lib/run/trust/standing.js";
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

test.run();
