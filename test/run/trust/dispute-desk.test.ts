/** When a peer that found a unit wrong opens its dispute. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { newUnit } from "../../../lib/ledger/rules/lookup.js";
import type { Dispute, RoundPhase, RoundState, UnitStatus } from "../../../lib/ledger/rules/state.js";
import { DisputeDesk } from "../../../lib/run/trust/dispute-desk.js";
import { fakeLedger } from "./fake-ledger.js";

const account = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
const worker = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
const round = 5;

/** What is submitted once a peer, which has found the worker's transition 1 wrong, hears that the round is in this phase. */
async function submittedIn(
  phase: RoundPhase,
  status: UnitStatus,
  dispute?: Partial<Dispute>,
): Promise<readonly unknown[]> {
  const unit = newUnit(worker, { ratePpm: 0, ownStake: 1n, commission: 0, delegators: [] });
  const state = { round, phase: "verdictReveal", units: new Map([[worker, unit]]) } as unknown as RoundState;
  const { ledger, submitted, changed } = fakeLedger(account, {
    nextRound: round + 1,
    rounds: new Map([[round, state]]),
  });
  const never = () => Promise.reject(new Error("nothing is computed"));
  const desk = new DisputeDesk({
    ledger,
    proofs: { evidence: never, transition: never },
    unitSteps: 2,
    recorderOf: () => null,
    use: never,
    contributionOf: never,
    resultOf: () => null,
    peerId: "challenger",
    emit: () => {},
  });
  desk.accuse({ round, worker, transition: 1, state: { parameters: new Float32Array(1), inner: [] } });
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(submitted, [], "not before all verdicts are known");
  Object.assign(state, { phase });
  unit.status = status;
  if (dispute !== undefined) {
    Object.assign(unit, { openDisputes: 1, resume: status, status: "disputed" });
    ledger.state.disputes.set(0, { id: 0, round, worker, outcome: null, turn: null, ...dispute } as Dispute);
  }
  // One batch of records may bring the end of several phases.
  for (let heard = 0; heard < 2; heard += 1) changed({ type: "phase", time: 0, round, phase });
  await new Promise((resolve) => setImmediate(resolve));
  await desk.close();
  return submitted;
}

test("an accuser opens its dispute, once, also where it hears at the same time that the round is closed", async () => {
  const opened = [{ kind: "DisputeOpened", round, worker, transition: 1 }];
  assert.equal(await submittedIn("decided", "hard"), opened);
  assert.equal(await submittedIn("closed", "hard"), opened);
});

test("what is disputed by another, or no longer accused, is left alone", async () => {
  for (const status of ["disputed", "pending", "soft", "settled"] as const)
    assert.equal(await submittedIn("closed", status), []);
});

test("a dispute that another opened, or has lost, is not enough; one that another has won is", async () => {
  const opened = [{ kind: "DisputeOpened", round, worker, transition: 1 }];
  const other = (changes: Partial<Dispute>) =>
    submittedIn("decided", "hard", { challenger: worker, transition: 1, ...changes });
  assert.equal(await other({}), opened);
  assert.equal(await other({ outcome: "worker" }), opened);
  assert.equal(await other({ outcome: "challenger" }), []);
  assert.equal(await other({ outcome: "challenger", transition: 2 }), opened);
  assert.equal(await other({ challenger: account, transition: 2 }), []);
});

test.run();
