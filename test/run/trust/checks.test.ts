/** A verifier's verdicts on their way to the ledger: told once they are committed to, and done once they are recorded. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { GradmeshError } from "../../../lib/base/errors.js";
import type { LiveView } from "../../../lib/group/member.js";
import type { LedgerEvent } from "../../../lib/ledger/events.js";
import { newUnit } from "../../../lib/ledger/rules/lookup.js";
import type { CheckState, RoundState } from "../../../lib/ledger/rules/state.js";
import { peerIdOfAccount } from "../../../lib/ledger/sign.js";
import { type CheckedRound, Checks } from "../../../lib/run/trust/checks.js";
import type { Trainer } from "../../../lib/trainer/trainer.js";
import { failure } from "../../failure.js";
import { fakeLedger } from "./fake-ledger.js";

const account = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
const worker = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";

/** A verifier drawn for transition 1 of a worker that answers with this error. @param records whether an event is recorded. */
function verifier(answer: GradmeshError, records: (event: LedgerEvent) => boolean) {
  const check = {
    worker,
    verifier: account,
    transition: 1,
    commitment: null,
    verdict: null,
    digest: null,
    void: null,
  };
  const unit = newUnit(worker, { ratePpm: 0, ownStake: 1n, commission: 0, delegators: [] });
  const round = {
    round: 0,
    phase: "verdictCommit",
    workers: [worker],
    shards: [0],
    units: new Map([[worker, { ...unit, revealed: { root: "22".repeat(32) } }]]),
    checks: [check as CheckState],
  } as unknown as RoundState;
  const said: string[] = [];
  const checks = new Checks({
    ledger: fakeLedger(account, { rounds: new Map([[0, round]]) }).ledger,
    proofs: { transition: () => Promise.reject(answer) },
    use: (_, work) => work({} as Trainer),
    peerId: peerIdOfAccount(account),
    unitSteps: 2,
    contributionOf: () => Promise.reject(new Error("nothing is computed")),
    accuse: () => {},
    emit: () => {},
    async say(event) {
      said.push(event.kind);
      return records(event);
    },
  });
  const work: CheckedRound = {
    round: 0,
    beacon: "11".repeat(32),
    parameters: () => new Float32Array(0),
    verdicts: new Map(),
    seconds: { replay: 0, wait: 0 },
  };
  const members = [{ peerId: peerIdOfAccount(worker), shard: 0 }];
  const view = { round: 0, members, signal: new AbortController().signal } as unknown as LiveView;
  return { checks, work, view, said };
}

const silence = new GradmeshError("ERR_TIMEOUT", "a proof took longer than 1 ms");

test("a verdict whose commitment is refused is committed to again, and not told", async () => {
  let refused = 1;
  const { checks, work, view, said } = verifier(
    silence,
    ({ kind }) => kind !== "VerdictCommitted" || refused-- <= 0,
  );
  await checks.commit(work, view);
  await checks.tell(work);
  assert.equal(said, ["VerdictCommitted"]);
  await checks.commit(work, view);
  await checks.commit(work, view);
  await checks.tell(work);
  await checks.tell(work);
  assert.equal(said, ["VerdictCommitted", "VerdictCommitted", "VerdictRevealed"]);
});

test("a verdict that is refused when it is told is not taken for told", async () => {
  const { checks, work, view, said } = verifier(silence, ({ kind }) => kind === "VerdictCommitted");
  await checks.commit(work, view);
  await checks.tell(work);
  await checks.tell(work);
  assert.equal(said, ["VerdictCommitted", "VerdictRevealed", "VerdictRevealed"]);
});

test("a verifier's own fault is no verdict on the worker", async () => {
  const own = new GradmeshError("ERR_INTERNAL", "the verifier's own trouble");
  const { checks, work, view, said } = verifier(own, () => true);
  assert.is((await failure(checks.commit(work, view))).message, own.message);
  assert.equal(said, []);
});

test.run();
