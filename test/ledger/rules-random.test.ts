/**
 * Random histories of a ledger under its rules: whatever is tried in whatever order, units are neither made nor lost, nothing
 * is negative, the state agrees with itself, and what is refused leaves no trace. GRADMESH_RUNS histories, GRADMESH_SEED.
 */
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { GradmeshError } from "../../lib/base/errors.js";
import type { Account, LedgerEvent, LedgerRecord } from "../../lib/ledger/events.js";
import { apply, nonceOf } from "../../lib/ledger/rules/apply.js";
import { conserved, stateDigest } from "../../lib/ledger/rules/digest.js";
import { standing, unitsOf } from "../../lib/ledger/rules/lookup.js";
import { emptyState, type LedgerState, POOL, type UnitStatus } from "../../lib/ledger/rules/state.js";
import { type Attempt, attempt, eventOf, type Scene } from "./rules-attempts.js";
import { World } from "./rules-world.js";

const seed = Number(process.env.GRADMESH_SEED ?? Date.now() % 2 ** 31);
const runs = Number(process.env.GRADMESH_RUNS ?? 100);

/** One history. Its world's accounts are the same in all, so their keys are made once. */
class History implements Scene {
  readonly world = new World({
    lockSpan: 60n,
    unbondSpan: 700n,
    verifiers: 2,
    sampleRate: 300_000,
    sampleFloor: 1,
  });
  readonly accounts: Account[];
  readonly records: LedgerRecord[] = [];
  tried = 0;
  taken = 0;

  constructor() {
    const { world } = this;
    const names = ["ada", "bob", "carol", "dan", "eve"];
    this.accounts = names.map((name, place) =>
      world.join(name, 1000n + BigInt(300 * place), 900n, 127, 100_000 * place),
    );
    this.accounts.push(world.account("stranger"), world.submitter);
    world.do(this.accounts[0]!, { kind: "Delegated", node: this.accounts[1]!, amount: 333n });
    world.do(this.accounts[3]!, { kind: "Delegated", node: this.accounts[1]!, amount: 77n });
  }

  get state(): LedgerState {
    return this.world.state;
  }

  one(place: number): Account {
    return this.accounts[place % this.accounts.length]!;
  }

  /** Tries the event; what is refused must leave no trace. */
  try(author: Account, event: LedgerEvent): void {
    const { state, world } = this;
    this.tried += 1;
    const before = this.tried % 8 === 0 ? stateDigest(state) : null;
    const nonce = nonceOf(state, author) + 1n;
    const signed = { author, nonce, event, signature: "" };
    const record = { seq: world.seq, previous: POOL, time: world.now, ...signed };
    const refused = refusal(() => world.effects.push(...apply(state, record, world.ledgerId)));
    if (refused === null) {
      world.seq += 1;
      this.taken += 1;
      this.records.push(record);
      agrees(state, world.now);
    } else if (before !== null) assert.is(stateDigest(state), before, `a refused ${event.kind} left a trace`);
  }

  step(some: Attempt): void {
    const { world } = this;
    world.now += some.kind === "wait" ? some.amount : some.verdict % 2;
    if (some.kind === "wait") this.try(world.submitter, { kind: "Advanced" });
    else if (some.kind === "everyone") this.everyone(some);
    else {
      const event = eventOf(this, some.kind, some);
      if (event !== null) this.try(...event);
    }
  }

  /** Whoever can do what the round waits for does it, all but one perhaps. */
  everyone(some: Attempt): void {
    const round = this.state.rounds.get(this.state.nextRound - 1);
    if (round === undefined) return;
    const kind = { commit: "WorkCommitted", reveal: "WorkRevealed" } as const;
    if (round.phase === "commit" || round.phase === "reveal") {
      for (const [place, worker] of round.workers.entries())
        if (some.what !== place)
          this.try(
            ...eventOf(this, kind[round.phase as "commit"] ?? "WorkCommitted", {
              ...some,
              who: this.accounts.indexOf(worker),
            })!,
          );
      return;
    }
    for (const place of round.checks.keys())
      for (const what of ["VerdictCommitted", "VerdictRevealed"] as const)
        if (round.phase === (what === "VerdictCommitted" ? "verdictCommit" : "verdictReveal")) {
          const event = eventOf(this, what, { ...some, what: place });
          if (event !== null) this.try(...event);
        }
  }
}

function refusal(work: () => unknown): string | null {
  try {
    work();
    return null;
  } catch (error) {
    if (error instanceof GradmeshError && error.code === "ERR_LEDGER") return error.message;
    throw error;
  }
}

const waiting: readonly UnitStatus[] = ["assigned", "committed", "revealed", "verifying", "hard"];
const sum = (amounts: Iterable<bigint>) => [...amounts].reduce((total, amount) => total + amount, 0n);

/** Everything that the state says twice, it says alike. */
function agrees(state: LedgerState, now: number): void {
  assert.ok(conserved(state), "the books balance");
  const disputes = [...state.disputes.values()].filter(({ phase }) => phase !== "over");
  const rounds = [...state.rounds.values()];
  const locked = new Map<Account, bigint>();
  for (const round of rounds) {
    const kept = [...round.units.values()].filter((unit) => waiting.includes(standing(unit))).length;
    assert.is(round.reserved, round.unitReward * BigInt(kept), "what a round keeps back");
    for (const unit of unitsOf(round)) {
      if (standing(unit) === "pending")
        for (const { account, amount } of unit.payouts)
          locked.set(account, (locked.get(account) ?? 0n) + amount);
      const open = disputes.filter(
        (one) =>
          one.round === round.round &&
          one.worker === unit.worker &&
          (one.transition === 0) === (unit === round.aggregate),
      );
      assert.is(unit.openDisputes, open.length);
      assert.is(unit.status === "disputed", open.length > 0);
    }
  }
  const { stakeMin } = state.terms!;
  const eligible: Account[] = [];
  for (const own of state.accounts.values()) {
    const { account } = own;
    for (const amount of [
      own.free,
      own.bonded,
      own.pledged,
      own.delegated,
      own.locked,
      own.claimable,
      own.shares,
    ])
      assert.ok(amount >= 0n, `${account} has ${amount}`);
    assert.ok(own.unbonding.every(({ amount }) => amount > 0n));
    assert.is(own.locked, locked.get(account) ?? 0n, "locked rewards");
    const others = [...state.accounts.values()].map(({ delegations }) => delegations.get(account) ?? 0n);
    assert.is(own.delegated, sum(others), "delegated");
    const pledged = disputes.map(
      (one) =>
        (one.worker === account ? one.workerPledge : 0n) +
        (one.challenger === account ? one.challengerPledge : 0n),
    );
    assert.is(own.pledged, sum(pledged), "pledged");
    if (own.registered && !own.ejected && (own.capabilities & 2) !== 0 && own.bonded >= stakeMin)
      eligible.push(account);
  }
  assert.equal(state.eligible, eligible.sort(), "who can work");
  const there = eligible.filter((account) => state.aggregated.has(account));
  const able = there.length > 0 ? there : eligible;
  assert.is(state.leader, able[state.nextRound % able.length] ?? null);
  const times = state.timers.map(({ at }) => at);
  assert.ok(
    times.every((at, place) => at > now && at >= (times[place - 1] ?? 0)),
    "timers are to come, in order",
  );
}

test("threat 21, conservation: random histories keep the books, refuse without a trace, and replay to the same state", () => {
  const statuses = new Map<string, number>();
  let [tried, taken] = [0, 0];
  fc.assert(
    fc.property(fc.array(attempt, { minLength: 60, maxLength: 160, size: "max" }), (attempts) => {
      const history = new History();
      for (const some of attempts) history.step(some);
      tried += history.tried;
      taken += history.taken;
      for (const { type } of history.world.effects) statuses.set(type, (statuses.get(type) ?? 0) + 1);
      replays(history);
    }),
    // A shorter history can be had by running the seed without endOnFailure; it takes minutes.
    { numRuns: runs, seed, includeErrorInReport: true, endOnFailure: true },
  );
  process.stdout.write(
    `seed ${seed}: ${tried} events tried, ${taken} taken; ${[...statuses].map(([type, count]) => `${type} ${count}`).join(", ")}\n`,
  );
  const seen = [
    "opened",
    "skipped",
    "accepted",
    "rejected",
    "disputed",
    "settled",
    "slashed",
    "paid",
    "forced",
    "left",
  ];
  if (runs >= 100) for (const type of seen) assert.ok(statuses.has(type), `no history came to "${type}"`);
});

/** The records that were taken come to the same state in another's copy. */
function replays({ world, records }: History): void {
  if (records.length === 0) return;
  const copy = new History();
  for (const record of records) apply(copy.state, record, world.ledgerId);
  assert.is(stateDigest(copy.state), stateDigest(world.state));
  assert.is.not(stateDigest(emptyState()), stateDigest(world.state));
}

test.run();
