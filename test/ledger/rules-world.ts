/** A ledger's rules at work: accounts with real keys, events in order, and the books checked after each. */
import { createHash } from "node:crypto";
import { ed25519 } from "@noble/curves/ed25519.js";
import * as assert from "uvu/assert";
import { GradmeshError } from "../../lib/base/errors.js";
import { beaconInput } from "../../lib/ledger/draw.js";
import {
  type Account,
  capabilityBits,
  type EventBody,
  type Hash,
  type LedgerEvent,
} from "../../lib/ledger/events.js";
import { apply, nonceOf } from "../../lib/ledger/rules/apply.js";
import { booksOf, conserved, stateDigest } from "../../lib/ledger/rules/digest.js";
import type { Effect } from "../../lib/ledger/rules/effect.js";
import {
  type AccountState,
  emptyState,
  type LedgerState,
  POOL,
  type RoundState,
  type Unit,
} from "../../lib/ledger/rules/state.js";
import { vrfProve } from "../../lib/ledger/vrf.js";
import { commitmentOf, verdictCommitmentOf } from "../../lib/verify/commitment.js";
import { type Tree, treeOf } from "../../lib/verify/merkle.js";

export const hashOf = (text: string): Hash => createHash("sha256").update(text).digest("hex");

export const node =
  capabilityBits.worker | capabilityBits.verifier | capabilityBits.challenger | capabilityBits.delegator;

/** One that does not work, and so can be drawn in every round. */
export const watcher = node & ~capabilityBits.worker;

export const terms: EventBody<"RunCreated"> = {
  recipe: hashOf("recipe"),
  firstRound: 0,
  parameters: POOL,
  inner: POOL,
  unitSteps: 3,
  roundReward: 600n,
  stakeMin: 1000n,
  disputeBond: 100n,
  sampleRate: 1_000_000,
  sampleFloor: 100_000,
  verifiers: 1,
  slashRate: 500_000,
  challengerShare: 500_000,
  forcedErrorPrize: 50n,
  commitSpan: 100n,
  revealSpan: 100n,
  verdictSpan: 100n,
  moveSpan: 10n,
  lockSpan: 1000n,
  unbondSpan: 2000n,
};

/** Of states whose parts nobody knows. */
export const opaque = { inner: POOL, parametersAfter: POOL, innerAfter: POOL };

/** A unit of which only the ledger is asked: nobody has its states. */
export const madeUpWork = {
  root: hashOf("root"),
  before: hashOf("before"),
  after: hashOf("after"),
  ...opaque,
  contribution: hashOf("contribution"),
  salt: hashOf("salt"),
};

/** A worker's unit: made-up states and their tree. */
export interface Made {
  readonly leaves: readonly Hash[];
  readonly tree: Tree;
  readonly salt: Hash;
}

/** Each worker reads the part of the data with its number in the list. */
export const shardsOf = (workers: readonly Account[]): string =>
  Buffer.from(workers.map((_, index) => index)).toString("hex");

export class World {
  readonly state: LedgerState = emptyState();
  readonly ledgerId = hashOf("ledger");
  now = 1000;
  seq = 0;
  /** What every event did, in order. */
  readonly effects: Effect[] = [];
  readonly #secrets = new Map<Account, string>();
  readonly made = new Map<string, Made>();

  constructor(over: Partial<EventBody<"RunCreated">> = {}) {
    this.do(this.account("submitter"), { kind: "RunCreated", ...terms, ...over });
    this.do(this.submitter, { kind: "Deposited", account: POOL, amount: 1_000_000n });
  }

  get submitter(): Account {
    return this.account("submitter");
  }

  account(name: string): Account {
    const secret = hashOf(`secret of ${name}`);
    const account = Buffer.from(ed25519.getPublicKey(Buffer.from(secret, "hex"))).toString("hex");
    this.#secrets.set(account, secret);
    return account;
  }

  /** The event is taken, and nothing is made or lost by it. */
  do(author: Account, event: LedgerEvent): Effect[] {
    const nonce = nonceOf(this.state, author) + 1n;
    const record = { seq: this.seq, previous: POOL, time: this.now, author, nonce, event, signature: "" };
    const effects = apply(this.state, record, this.ledgerId);
    this.seq += 1;
    assert.ok(conserved(this.state), `after ${event.kind}: ${JSON.stringify(booksOf(this.state), text)}`);
    this.effects.push(...effects);
    return effects;
  }

  /** The event is refused, and leaves no trace. @returns why. */
  refused(author: Account, event: LedgerEvent, nonce = nonceOf(this.state, author) + 1n): string {
    const before = stateDigest(this.state);
    const record = { seq: this.seq, previous: POOL, time: this.now, author, nonce, event, signature: "" };
    try {
      apply(this.state, record, this.ledgerId);
    } catch (error) {
      assert.instance(error, GradmeshError);
      assert.is((error as GradmeshError).code, "ERR_LEDGER");
      assert.is(stateDigest(this.state), before, "a refused event changed the state");
      return (error as GradmeshError).message;
    }
    throw new Error(`${event.kind} was not refused`);
  }

  /** Lets time pass. */
  wait(milliseconds: number | bigint): Effect[] {
    this.now += Number(milliseconds);
    return this.do(this.submitter, { kind: "Advanced" });
  }

  own(account: Account): AccountState {
    return this.state.accounts.get(account)!;
  }

  /** All that an account could have one day. */
  worth(account: Account): bigint {
    const { free, bonded, unbonding, locked, claimable } = this.own(account);
    const coming = unbonding.reduce((sum, { amount }) => sum + amount, 0n);
    return free + bonded + coming + locked + claimable;
  }

  /** A registered account with `bonded` at stake and `free` beside. */
  join(name: string, bonded = 1000n, free = 1000n, capabilities: number = node, commission = 0): Account {
    const account = this.account(name);
    this.do(this.submitter, { kind: "Deposited", account, amount: bonded + free });
    this.do(account, { kind: "Registered", capabilities, commission, entry: POOL, name });
    if (bonded > 0n) this.do(account, { kind: "Bonded", amount: bonded });
    return account;
  }

  /** A verifier that does not work. */
  watch(name: string, bonded = 1000n): Account {
    return this.join(name, bonded, 1000n, watcher);
  }

  get round(): RoundState {
    return this.state.rounds.get(this.state.nextRound - 1)!;
  }

  unit(worker: Account, round = this.round): Unit {
    return round.units.get(worker)!;
  }

  proof(leader = this.state.leader!): string {
    const { beacon, nextRound } = this.state;
    return vrfProve(this.#secrets.get(leader)!, beaconInput(this.ledgerId, beacon, nextRound));
  }

  open(workers: readonly Account[]): void {
    const { leader, nextRound: round } = this.state;
    this.do(leader!, { kind: "RoundOpened", round, proof: this.proof(), workers, shards: shardsOf(workers) });
  }

  /** Opens without the leader, who pays for it. */
  skip(workers: readonly Account[]): void {
    this.now += Number(this.state.terms!.moveSpan);
    const { nextRound: round } = this.state;
    this.do(this.submitter, { kind: "RoundSkipped", round, workers, shards: shardsOf(workers) });
  }

  /** @param planted replaces leaves, by index. */
  make(worker: Account, planted: Readonly<Record<number, Hash>> = {}): Made {
    const { round } = this.round;
    const count = this.state.terms!.unitSteps + 2;
    const leaves = Array.from(
      { length: count },
      (_, index) => planted[index] ?? hashOf(`${worker} ${round} ${index}`),
    );
    const made = { leaves, tree: treeOf(leaves), salt: hashOf(`salt ${worker} ${round}`) };
    this.made.set(`${round} ${worker}`, made);
    return made;
  }

  work(worker: Account) {
    const { leaves, tree, salt } = this.made.get(`${this.round.round} ${worker}`) ?? this.make(worker);
    const [before, after, contribution] = [leaves[0]!, leaves.at(-2)!, leaves.at(-1)!];
    return { root: tree.root, before, after, ...opaque, contribution, salt };
  }

  commit(worker: Account): void {
    const { round } = this.round;
    const content = { ledgerId: this.ledgerId, round, author: worker, ...this.work(worker) };
    this.do(worker, { kind: "WorkCommitted", round, commitment: commitmentOf(content) });
  }

  reveal(worker: Account): void {
    this.do(worker, { kind: "WorkRevealed", round: this.round.round, ...this.work(worker) });
  }

  commitAll(): void {
    for (const worker of this.round.workers) this.commit(worker);
    assert.is(this.round.phase, "reveal");
  }

  revealAll(): void {
    for (const worker of this.round.workers) this.reveal(worker);
  }

  /** Every drawn verifier says what `verdictOf` says: 0 accept, 1 soft, 2 hard, null nothing. */
  judge(
    verdictOf: (worker: Account, transition: number, verifier: Account) => number | null = () => 0,
  ): void {
    const { round, checks } = this.round;
    const said = checks
      .filter((check) => check.void === null)
      .map(({ worker, transition, verifier }) => ({
        verifier,
        content: {
          worker,
          transition,
          verdict: verdictOf(worker, transition, verifier) ?? -1,
          digest: hashOf("seen"),
          salt: hashOf(`${verifier} ${worker} ${transition} ${round}`),
        },
      }))
      .filter(({ content }) => content.verdict >= 0);
    for (const { verifier, content } of said) {
      const { worker, transition } = content;
      const commitment = verdictCommitmentOf({
        ledgerId: this.ledgerId,
        round,
        author: verifier,
        ...content,
      });
      this.do(verifier, { kind: "VerdictCommitted", round, worker, transition, commitment });
    }
    if (this.round.phase === "verdictCommit") this.wait(this.state.terms!.verdictSpan);
    for (const { verifier, content } of said)
      this.do(verifier, { kind: "VerdictRevealed", round, ...content });
  }

  close(aggregated: readonly Account[] = []): void {
    const { round } = this.round;
    const [result, state] = [hashOf(`result ${round}`), hashOf(`state ${round}`)];
    this.do(this.submitter, { kind: "RoundClosed", round, result, state, parameters: POOL, aggregated });
  }

  /** A whole round of these workers in which every verdict is what `verdictOf` says. */
  play(workers: readonly Account[], verdictOf?: Parameters<World["judge"]>[0]): void {
    this.open(workers);
    this.commitAll();
    this.revealAll();
    this.judge(verdictOf);
  }

  dispute(challenger: Account, worker: Account, transition: number, round = this.round.round): number {
    this.do(challenger, { kind: "DisputeOpened", round, worker, transition });
    return this.state.nextDispute - 1;
  }

  /** The dispute's parties play down to `operator`, as both say; then the referee says who wins. */
  playDispute(id: number, operators: Tree, operator: number, winner: 0 | 1): void {
    const dispute = this.state.disputes.get(id)!;
    const { worker, challenger, round, transition } = dispute;
    const made = this.made.get(`${round} ${worker}`);
    while (dispute.phase === "states") {
      const children = made!.tree.children(dispute.level, dispute.index);
      this.do(worker, { kind: "Split", dispute: id, children });
    }
    const before =
      transition === 0
        ? this.state.rounds.get(round)!.aggregate!.revealed!.before
        : made!.leaves[transition - 1]!;
    const path = transition === 0 ? [] : made!.tree.proof(transition - 1);
    const { root: trace, count: leaves } = operators;
    this.do(worker, { kind: "TraceOpened", dispute: id, before, path, trace, leaves });
    while (dispute.phase === "operators") {
      const { level, index } = dispute;
      this.do(worker, { kind: "Split", dispute: id, children: operators.children(level, index) });
      const child = Math.floor(operator / 16 ** (level - 1)) - 16 * index;
      this.do(challenger, { kind: "Picked", dispute: id, index: child });
    }
    assert.is(dispute.operator, operator);
    assert.is(dispute.operatorLeaf, operators.node(0, operator));
    this.do(dispute.referee!, {
      kind: "Settled",
      dispute: id,
      winner,
      operator,
      evidence: hashOf("evidence"),
    });
  }
}

const text = (_: string, value: unknown) => (typeof value === "bigint" ? `${value}` : value);
