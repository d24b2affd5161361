/** A worker of a verified round against a ledger that refuses it, or says something else than its view does. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { createManualClock } from "../../../lib/base/clock.js";
import { GradmeshError } from "../../../lib/base/errors.js";
import type { LiveView } from "../../../lib/group/member.js";
import type { LedgerEvent } from "../../../lib/ledger/events.js";
import { newAccount, newUnit } from "../../../lib/ledger/rules/lookup.js";
import type { LedgerState, RoundState } from "../../../lib/ledger/rules/state.js";
import { peerIdOfAccount } from "../../../lib/ledger/sign.js";
import { native } from "../../../lib/native/load.js";
import type { Replica } from "../../../lib/run/replica.js";
import { VerifiedRounds } from "../../../lib/run/trust/verified-round.js";
import { partsOf, tensorsOf } from "../../../lib/verify/state.js";
import { failure } from "../../failure.js";
import { contributionOf, makeTrainer } from "../../verify/case.js";
import { fakeLedger, refusal } from "./fake-ledger.js";

const STEPS = 2;
const account = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
const peerId = peerIdOfAccount(account);

const other = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
const behind = { ratePpm: 0, ownStake: 1n, commission: 0, delegators: [] };
const membersOf = (accounts: readonly string[]) =>
  accounts.map((one, index) => ({ peerId: peerIdOfAccount(one), shard: index + 1 }));

/** A ledger on which round 0 is open for these workers. */
function openRound(
  shards: readonly number[],
  inner: string,
  workers = [account],
  beacon = "11".repeat(32),
): Partial<LedgerState> {
  const round = {
    round: 0,
    beacon,
    workers,
    shards,
    units: new Map(workers.map((one) => [one, newUnit(one, behind)])),
    checks: [],
    phase: "commit",
  } as unknown as RoundState;
  return {
    nextRound: 1,
    rounds: new Map([[0, round]]),
    accounts: new Map([[account, newAccount(account)]]),
    terms: { firstRound: 0, inner } as LedgerState["terms"],
  };
}

/** A worker of shard 1 in a view with these others. */
async function workerOf(
  stateOf: (inner: string) => Partial<LedgerState>,
  { record, others = [] }: { record?: (event: LedgerEvent) => void; others?: readonly string[] } = {},
) {
  const trainer = await makeTrainer("mlp");
  const { inner } = await partsOf(tensorsOf(trainer), 0);
  const fake = fakeLedger(account, stateOf(inner), record);
  const warned: string[] = [];
  /** What was done to the trainer's state. */
  const did: string[] = [];
  const clock = createManualClock();
  const rounds = new VerifiedRounds({
    clock,
    ledger: fake.ledger,
    proofs: { transition: () => Promise.reject(new Error("nobody is asked")) },
    use: () => Promise.reject(new Error("nothing is replayed")),
    peerId,
    unitSteps: STEPS,
    contributionOf: (_round, _shard, _before, parameters) => contributionOf({ parameters }),
    freshen: async () => void did.push("freshen"),
    restart: async () => void did.push("restart"),
    accuse: () => {},
    emit: (event) => void (event.type === "warning" && warned.push(event.reason)),
  });
  const replica = { shard: 1, engine: { trainer, watch: () => {} } } as unknown as Replica;
  rounds.attach(replica);
  const stop = new AbortController();
  const members = membersOf([account, ...others]);
  const view = { epoch: 1, round: 0, members, signal: stop.signal } as unknown as LiveView;
  return { ...fake, rounds, replica, trainer, view, warned, did, clock, void: () => stop.abort(isVoid) };
}
const isVoid = new GradmeshError("ERR_ABORTED", "the view is void");
const turns = async () => {
  for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
};

async function train({ rounds, trainer }: Pick<Awaited<ReturnType<typeof workerOf>>, "rounds" | "trainer">) {
  for (let step = 0; step < STEPS; step += 1) {
    await trainer.step({ step, draw: rounds.draw(step) });
    await rounds.stepped(step);
  }
}

/** A worker of shard 1 that has taken the inner steps of round 0, where the ledger says that it reads `shard`. */
async function trained(shard: number, record?: (event: LedgerEvent) => void) {
  const worker = await workerOf((inner) => openRound([shard], inner), record === undefined ? {} : { record });
  await worker.rounds.open(worker.view);
  await train(worker);
  return worker;
}

/** What it says until the view is void. */
async function saidBy({ rounds, view, replica, ...worker }: Awaited<ReturnType<typeof trained>>) {
  const cleared = failure(rounds.clear(view, replica));
  await turns();
  worker.void();
  assert.is((await cleared).message, isVoid.message);
  worker.trainer.close();
  return worker.submitted.map(({ kind }) => kind);
}

test("a worker commits to nothing where the ledger says that it reads another shard, and names both", async () => {
  assert.equal(await saidBy(await trained(1)), ["WorkCommitted"]);
  const wrong = await trained(3);
  assert.equal(await saidBy(wrong), [], "it waits to be left out");
  assert.match(wrong.warned.join(), /with shard 3 for this peer, which has worked on shard 1/);
});

test("a commitment that the rules refuse is none: nothing is revealed by it, and the next view commits", async () => {
  let refused = true;
  const worker = await trained(1, (event) => {
    if (refused) throw refusal(event);
  });
  worker.state.rounds.get(0)!.phase = "reveal";
  const { rounds, view, replica, submitted, warned } = worker;
  const first = failure(rounds.clear(view, replica));
  await turns();
  worker.void();
  await first;
  assert.equal(
    submitted.map(({ kind }) => kind),
    ["WorkCommitted"],
  );
  assert.equal(warned, ["WorkCommitted is refused"]);
  refused = false;
  const again = new AbortController();
  const second = failure(rounds.clear({ ...view, signal: again.signal }, replica));
  await turns();
  again.abort(isVoid);
  await second;
  assert.equal(
    submitted.slice(1).map(({ kind }) => kind),
    ["WorkCommitted", "WorkRevealed"],
  );
  worker.trainer.close();
});

test("a leader whose opening is refused tries again when the ledger has changed or some time has passed, and not before", async () => {
  let refused = true;
  const openedBy = (event: LedgerEvent) => {
    if (refused) throw refusal(event);
    Object.assign(worker.state, openRound([1], worker.state.terms!.inner));
  };
  const worker = await workerOf(
    (inner) => ({ ...openRound([1], inner), nextRound: 0, rounds: new Map(), leader: account, eligible: [] }),
    { record: openedBy },
  );
  const { rounds, view, submitted, warned, clock, changed, state } = worker;
  const opened = rounds.open(view);
  await turns();
  assert.is(submitted.length, 1, "it does not ask in a circle");
  changed();
  await turns();
  assert.is(submitted.length, 1, "a record that changes nothing about it");
  (state.eligible as string[]).push(other);
  changed();
  await turns();
  assert.is(submitted.length, 2);
  clock.advance(1000);
  await turns();
  assert.is(submitted.length, 3);
  assert.equal(warned, Array(3).fill("RoundOpened is refused"));
  refused = false;
  clock.advance(1000);
  await opened;
  assert.is(submitted.length, 4);
  worker.trainer.close();
});

test("a leader that waits to open again hears that the view is void", async () => {
  const worker = await workerOf(
    (inner) => ({ ...openRound([1], inner), nextRound: 0, rounds: new Map(), leader: account }),
    {
      record: (event) => {
        throw refusal(event);
      },
    },
  );
  const opened = failure(worker.rounds.open(worker.view));
  await turns();
  worker.void();
  assert.is((await opened).message, isVoid.message);
  worker.trainer.close();
});

test("who sends another contribution than it has committed to is named, by one bit of it", async () => {
  const contributions = [Float32Array.of(1, -0, 3), Float32Array.of(4, Number.NaN, 6)];
  const digests = await Promise.all(contributions.map((one) => native.digest([one])));
  const worker = await workerOf((inner) => openRound([1, 2], inner, [account, other]), { others: [other] });
  const { rounds, view, state } = worker;
  await rounds.open(view);
  const { units } = state.rounds.get(0)!;
  for (const [rank, one] of [account, other].entries())
    units.get(one)!.revealed = { contribution: digests[rank] } as never;
  await rounds.inspect(view, { slot: 0, contributions });
  for (const [rank, { peerId: liar }] of view.members.entries()) {
    const sent = contributions.map((one) => one.slice());
    new Uint32Array(sent[rank]!.buffer)[1]! ^= 1;
    const error = await failure(rounds.inspect(view, { slot: 0, contributions: sent }));
    assert.is(error.code, "ERR_PROOF");
    assert.equal(error.detail.peers, [liar]);
    assert.ok(error.message.includes(`${liar} sent another contribution than was committed to`));
  }
  const swapped = await failure(
    rounds.inspect(view, { slot: 0, contributions: [...contributions].reverse() }),
  );
  assert.equal(
    swapped.detail.peers,
    view.members.map(({ peerId: one }) => one),
  );
  units.get(other)!.revealed = null;
  const silent = await failure(rounds.inspect(view, { slot: 0, contributions }));
  assert.equal(silent.detail.peers, [peerIdOfAccount(other)], "nothing was committed to");
  worker.trainer.close();
});

/** The round is void on the ledger, and opened again with another beacon. */
function openAgain({ state, changed }: Awaited<ReturnType<typeof workerOf>>, shards = [1]): void {
  const { rounds } = openRound(shards, state.terms!.inner, [account], "22".repeat(32));
  Object.assign(state, { rounds });
  changed();
}

test("a round that was void and is opened again begins anew: other data, from the round's first state, a new commitment", async () => {
  for (const revealed of [false, true]) {
    const worker = await trained(1);
    const { rounds, view, replica, state, submitted, did } = worker;
    const [round] = state.rounds.values();
    if (revealed) round!.phase = "reveal";
    const first = rounds.clear(view, replica);
    while (submitted.length < (revealed ? 2 : 1)) await turns();
    const draw = rounds.draw(0);
    const { inner } = await partsOf(tensorsOf(worker.trainer), STEPS);
    if (revealed) state.accounts.get(account)!.inner = inner;
    openAgain(worker);
    assert.is(await first, "void", "what waits for the opening before hears that it is void");
    await rounds.open(view);
    assert.equal(did.splice(0), revealed ? ["restart"] : ["restart", "freshen"]);
    assert.is.not(rounds.draw(0), draw);
    assert.is(rounds.recorderOf(0)!.recorded, 1, "the states before are forgotten");
    await rounds.open(view);
    assert.equal(did, [], "it begins anew once");
    await train(worker);
    submitted.length = 0;
    assert.equal(await saidBy(worker), ["WorkCommitted"]);
  }
});

test("a copy of the ledger that has not heard yet that the round is opened again is waited for", async () => {
  const worker = await trained(1);
  const { rounds, view, state, did } = worker;
  const [round] = state.rounds.values();
  round!.units.get(account)!.status = "left";
  let opened = false;
  const again = rounds.open(view).then(() => {
    opened = true;
  });
  worker.changed();
  await turns();
  assert.not(opened, "nobody is in a view of a round that it has left");
  openAgain(worker);
  await again;
  assert.is(did[0], "restart");
  worker.trainer.close();
});

test("a round in which nobody's work counts is cleared with nothing; an accusation that is open may still change that", async () => {
  const both = [account, other];
  const worker = await workerOf((inner) => openRound([1, 2], inner, both), { others: [other] });
  const { rounds, view, replica, state, changed } = worker;
  await rounds.open(view);
  await train(worker);
  let cleared = "";
  const done = rounds.clear(view, replica).then((found) => {
    cleared = found;
  });
  const [round] = state.rounds.values();
  round!.phase = "decided";
  for (const [own, its] of [
    ["soft", "hard"],
    ["soft", "pending"],
    ["left", "expired"],
  ] as const) {
    round!.units.get(account)!.status = own;
    round!.units.get(other)!.status = its;
    changed();
    await turns();
    assert.is(cleared, "", `${own} and ${its}`);
  }
  round!.units.get(account)!.status = "soft";
  changed();
  await done;
  assert.is(cleared, "none");
  worker.trainer.close();
});

test("a member that has no part in a round is cleared with nothing once the verdicts are in, and not before", async () => {
  const both = [account, other];
  const worker = await workerOf((inner) => openRound([1, 2], inner, both));
  const { rounds, view, replica, state, changed } = worker;
  await rounds.open(view);
  await train(worker);
  const [round] = state.rounds.values();
  round!.units.delete(account);
  round!.units.get(other)!.status = "committed";
  round!.phase = "reveal";
  let cleared = "";
  const done = rounds.clear(view, replica).then((found) => {
    cleared = found;
  });
  changed();
  await turns();
  assert.is(cleared, "", "the other's work may count yet");
  round!.units.get(other)!.status = "soft";
  round!.phase = "decided";
  changed();
  await done;
  assert.is(cleared, "none");
  worker.trainer.close();
});

test.run();
