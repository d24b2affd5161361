/** When a peer that found a unit wrong opens its dispute, and what it asks for once it was started again. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { GradmeshError } from "../../../lib/base/errors.js";
import type { Hash } from "../../../lib/ledger/events.js";
import { newUnit } from "../../../lib/ledger/rules/lookup.js";
import type { Dispute, RoundPhase, RoundState, Unit, UnitStatus } from "../../../lib/ledger/rules/state.js";
import { DisputeDesk, type DisputeDeskOptions } from "../../../lib/run/trust/dispute-desk.js";
import { hashOf } from "../../ledger/rules-world.js";
import { fakeLedger } from "./fake-ledger.js";

const account = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
const worker = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
const round = 5;

const never = () => Promise.reject(new Error("nothing is computed"));
const turn = () => new Promise((resolve) => setImmediate(resolve));

/** A round whose only unit is the worker's, as it is opened under this beacon. */
function openRound(beacon: Hash) {
  const unit = newUnit(worker, { ratePpm: 0, ownStake: 1n, commission: 0, delegators: [] });
  unit.revealed = { root: hashOf("root") } as NonNullable<Unit["revealed"]>;
  const units = new Map([[worker, unit]]);
  return { unit, state: { round, beacon, phase: "verdictReveal", units } as unknown as RoundState };
}

/** A peer's desk. @param transition how a worker answers who asks for a state. */
function deskOf(state: RoundState, transition: DisputeDeskOptions["proofs"]["transition"] = never) {
  const made = fakeLedger(account, { nextRound: round + 1, rounds: new Map([[round, state]]) });
  const warned: string[] = [];
  const desk = new DisputeDesk({
    ledger: made.ledger,
    proofs: { evidence: never, transition },
    unitSteps: 2,
    recorderOf: () => null,
    use: never,
    contributionOf: never,
    resultOf: () => null,
    peerId: "challenger",
    emit: (event) => void (event.type === "warning" && warned.push(event.reason)),
  });
  const accuse = (beacon: Hash) =>
    desk.accuse({
      ...{ round, beacon, worker, transition: 1 },
      state: { parameters: new Float32Array(1), inner: [] },
    });
  return { ...made, desk, accuse, warned };
}

const beacon = hashOf("beacon");

/** What is submitted once a peer, which has found the worker's transition 1 wrong, hears that the round is in this phase. */
async function submittedIn(
  phase: RoundPhase,
  status: UnitStatus,
  dispute?: Partial<Dispute>,
): Promise<readonly unknown[]> {
  const { unit, state } = openRound(beacon);
  const { ledger, submitted, changed, desk, accuse } = deskOf(state);
  accuse(beacon);
  await turn();
  assert.equal(submitted, [], "not before all verdicts are known");
  Object.assign(state, { phase });
  unit.status = status;
  if (dispute !== undefined) {
    Object.assign(unit, { openDisputes: 1, resume: status, status: "disputed" });
    ledger.state.disputes.set(0, { id: 0, round, worker, outcome: null, turn: null, ...dispute } as Dispute);
  }
  // One batch of records may bring the end of several phases.
  for (let heard = 0; heard < 2; heard += 1) changed({ type: "phase", time: 0, round, phase });
  await turn();
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

/** All verdicts on the opening are in, and one is hard. */
const decide = ({ unit, state }: ReturnType<typeof openRound>) => {
  Object.assign(state, { phase: "decided" });
  unit.status = "hard";
};

test("of a round that was void and is opened again, what was found before is not disputed, and what is found again is", async () => {
  const opened = { kind: "DisputeOpened", round, worker, transition: 1 };
  for (const isDisputed of [false, true]) {
    const first = openRound(beacon);
    const { ledger, submitted, changed, desk, accuse } = deskOf(first.state);
    const hear = async (phase: RoundPhase) => {
      changed({ type: "phase", time: 0, round, phase });
      await turn();
      return submitted.splice(0);
    };
    accuse(beacon);
    if (isDisputed) {
      decide(first);
      assert.equal(await hear("decided"), [opened]);
    }
    // The same work as before: a peer that takes no step reveals the same root again.
    const again = hashOf("second beacon");
    const second = openRound(again);
    ledger.state.rounds.set(round, second.state);
    decide(second);
    assert.equal(await hear("decided"), [], "by another; this peer has found nothing about this work");
    second.unit.status = "verifying";
    accuse(again);
    // A replay that took longer than the round it is of.
    accuse(beacon);
    await turn();
    second.unit.status = "hard";
    assert.equal(await hear("decided"), [opened]);
    await desk.close();
  }
});

test("a challenger that was started again asks the worker for the state, and stops asking when it closes", async () => {
  const found = openRound(beacon);
  decide(found);
  let stopped: unknown = null;
  const { ledger, changed, desk, warned } = deskOf(
    found.state,
    (_, { round: asked, transition }, signal) =>
      new Promise((_resolve, reject) => {
        assert.equal([asked, transition], [round, 2]);
        signal!.addEventListener("abort", () => {
          stopped = signal!.reason;
          reject(signal!.reason);
        });
      }),
  );
  const dispute = { id: 0, round, worker, challenger: account, transition: 2, outcome: null, moves: 3 };
  ledger.state.disputes.set(0, { ...dispute, phase: "operators", turn: "challenger" } as Dispute);
  changed({ type: "moved", time: 0, round, dispute: 0 });
  await turn();
  assert.is(stopped, null);
  const closed = desk.close();
  assert.instance(stopped, GradmeshError);
  await closed;
  assert.equal(warned, []);
});

test.run();
