/** A worker of a verified round against a ledger that says something else of it than its view does. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { GradmeshError } from "../../../lib/base/errors.js";
import type { LiveView } from "../../../lib/group/member.js";
import type { LedgerEvent } from "../../../lib/ledger/events.js";
import { newAccount, newUnit } from "../../../lib/ledger/rules/lookup.js";
import { emptyState, type LedgerState, POOL, type RoundState } from "../../../lib/ledger/rules/state.js";
import { peerIdOfAccount } from "../../../lib/ledger/sign.js";
import type { Replica } from "../../../lib/run/replica.js";
import type { RunLedger } from "../../../lib/run/trust/run-ledger.js";
import { VerifiedRounds } from "../../../lib/run/trust/verified-round.js";
import { partsOf, tensorsOf } from "../../../lib/verify/state.js";
import { contributionOf, makeTrainer } from "../../verify/case.js";

const STEPS = 2;
const account = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
const peerId = peerIdOfAccount(account);

/** A ledger on which round 0 is open for the account alone. */
function ledgerWith(shard: number, inner: string) {
  const behind = { ratePpm: 0, ownStake: 1n, commission: 0, delegators: [] };
  const round = {
    round: 0,
    beacon: "11".repeat(32),
    workers: [account],
    shards: [shard],
    units: new Map([[account, newUnit(account, behind)]]),
    phase: "commit",
  } as unknown as RoundState;
  const state: LedgerState = {
    ...emptyState(),
    nextRound: 1,
    rounds: new Map([[0, round]]),
    accounts: new Map([[account, newAccount(account)]]),
    terms: { firstRound: 0, inner } as LedgerState["terms"],
  };
  const submitted: LedgerEvent[] = [];
  const committed = new GradmeshError("ERR_ABORTED", "it has committed, which is as far as this goes");
  const ledger: RunLedger = {
    id: POOL,
    account,
    state,
    submit: async (event) => {
      submitted.push(event);
      throw committed;
    },
    until: async (find) => {
      const found = find(state);
      if (found === null) throw new GradmeshError("ERR_ABORTED", "the view is void");
      return found;
    },
    onEffects: () => () => {},
    prove: () => "",
  };
  return { ledger, submitted };
}

/** A worker of shard 1 that has taken the inner steps of round 0 and goes on, where the ledger says that it reads `shard`. */
async function clearWith(
  shard: number,
): Promise<{ error: GradmeshError; submitted: LedgerEvent[]; warned: string[] }> {
  const warned: string[] = [];
  const trainer = await makeTrainer("mlp");
  const { inner } = await partsOf(tensorsOf(trainer), 0);
  const { ledger, submitted } = ledgerWith(shard, inner);
  const rounds = new VerifiedRounds({
    ledger,
    proofs: { transition: () => Promise.reject(new Error("nobody is asked")) },
    use: () => Promise.reject(new Error("nothing is replayed")),
    peerId,
    unitSteps: STEPS,
    contributionOf: (_round, _shard, _before, parameters) => contributionOf({ parameters }),
    freshen: async () => {},
    accuse: () => {},
    emit: (event) => void (event.type === "warning" && warned.push(event.reason)),
  });
  const replica = { shard: 1, engine: { trainer, watch: () => {} } } as unknown as Replica;
  rounds.attach(replica);
  const members = [{ peerId, shard: 1 }];
  const view = { epoch: 1, round: 0, members, signal: new AbortController().signal } as unknown as LiveView;
  await rounds.open(view);
  for (let step = 0; step < STEPS; step += 1) {
    await trainer.step({ step, draw: rounds.draw(step) });
    await rounds.stepped(step);
  }
  try {
    await rounds.clear(view, replica);
  } catch (error) {
    return { error: error as GradmeshError, submitted, warned };
  } finally {
    trainer.close();
  }
  throw new Error("it went on");
}

test("a worker commits to nothing where the ledger says that it reads another shard, and names both", async () => {
  const right = await clearWith(1);
  assert.is(right.error.code, "ERR_ABORTED");
  assert.equal(
    right.submitted.map(({ kind }) => kind),
    ["WorkCommitted"],
  );
  const wrong = await clearWith(3);
  assert.is(wrong.error.message, "the view is void", "it waits to be left out");
  assert.match(wrong.warned.join(), /with shard 3 for this peer, which has worked on shard 1/);
  assert.equal(wrong.submitted, []);
});

test.run();
