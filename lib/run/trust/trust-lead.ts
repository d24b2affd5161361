/**
 * The run's first peer as the submitter: it founds the ledger, orders its records, lets in who passes the entry check, and
 * turns what the ledger says into who may be in the run's views.
 */

import { canonicalDigest } from "../../base/canonical-json.js";
import { type Clock, systemClock } from "../../base/clock.js";
import { asGradmeshError, GradmeshError } from "../../base/errors.js";
import type { Admission, CoordinatorHost } from "../../group/coordinator-host.js";
import type { Notice } from "../../group/messages.js";
import type { Action } from "../../group/state.js";
import type { Account, EventBody, Hash, LedgerRecord, SignedEvent } from "../../ledger/events.js";
import { Sequencer } from "../../ledger/ledger.js";
import { runRules } from "../../ledger/rules/apply.js";
import type { Effect } from "../../ledger/rules/effect.js";
import { type LedgerState, POOL } from "../../ledger/rules/state.js";
import { accountOfPeerId, peerIdOfAccount, signerOf } from "../../ledger/sign.js";
import type { Identity } from "../../peer/identity.js";
import type { EventSink } from "../events.js";
import type { ServedLedger } from "./ledger-server.js";
import { LocalLedger } from "./local-ledger.js";
import { isAccepted, isOut, leaderOf, roundOf, shardBytes } from "./standing.js";

export interface TrustLeadOptions {
  /** Of the ledger's file. */
  readonly path: string;
  readonly identity: Identity;
  readonly clock: Clock;
  /** Units for the pool of a new ledger, and for each peer that registers. */
  readonly pool: bigint;
  readonly grant: bigint;
  /** What the entry check of an account must come to. */
  entryOf(ledgerId: Hash, account: Account): Promise<Hash>;
  readonly emit: EventSink;
  /** It can lead no longer. */
  onFailure(error: unknown): void;
}

type Diverged = Extract<Action, { type: "diverged" }>;
type LedgerEventNews = Extract<Parameters<EventSink>[0], { type: "ledger" }>;

/** How late a deadline may be noticed. */
const TIME_PERIOD_MS = 250;

/** Effects that people are told of. */
const news: ReadonlyMap<Effect["type"], LedgerEventNews["what"]> = new Map([
  ["disputed", "disputed"],
  ["settled", "settled"],
  ["slashed", "slashed"],
  ["ejected", "ejected"],
  ["rejected", "rejected"],
  ["accepted", "accepted"],
  ["paid", "paid"],
]);

/** Makes a new run's ledger and gives its id. @throws ERR_LEDGER for terms that the rules refuse; ERR_IO. */
export async function foundLedger(
  path: string,
  identity: Identity,
  genesis: EventBody<"RunCreated">,
): Promise<Hash> {
  const sequencer = Sequencer.open({
    path,
    signer: signerOf(identity),
    clock: systemClock,
    rules: runRules,
    genesis,
  });
  const { ledgerId } = sequencer;
  await sequencer.close();
  return ledgerId;
}

export class TrustLead {
  readonly sequencer: Sequencer<LedgerState, Effect>;
  readonly ledger: LocalLedger<LedgerState, Effect>;
  readonly #options: TrustLeadOptions;
  #coordinator: CoordinatorHost | null = null;
  /** Rounds and accounts that the ledger is being told have parted. */
  readonly #leaving = new Set<string>();
  /** The last round that the ledger is being told is closed, or void. */
  #closing = -1;
  #voided = -1;
  #applied: { readonly round: number; readonly parameters: Hash } | null = null;
  /** Out of the views until the round is closed. */
  readonly #resting = new Set<Account>();
  readonly #stop = new AbortController();
  /** What is appended in answer to what happens, one after another. */
  #work: Promise<unknown> = Promise.resolve();

  private constructor(options: TrustLeadOptions, sequencer: Sequencer<LedgerState, Effect>) {
    this.#options = options;
    this.sequencer = sequencer;
    this.ledger = new LocalLedger(sequencer, options.identity);
    sequencer.onEffects((record, effects) => this.#hear(record, effects));
    void this.#watchTime();
  }

  /** @throws ERR_LEDGER where the ledger's file is damaged; ERR_CONFIG where it is another run's; ERR_IO. */
  static async open(options: TrustLeadOptions): Promise<TrustLead> {
    const { path, identity, clock, pool } = options;
    const sequencer = Sequencer.open({ path, signer: signerOf(identity), clock, rules: runRules });
    const lead = new TrustLead(options, sequencer);
    if (pool > 0n && sequencer.state.deposited === 0n)
      await sequencer.append({ kind: "Deposited", account: POOL, amount: pool });
    lead.#leaveOwn();
    return lead;
  }

  /** What this peer was doing in a round before it was started again is lost: it has no salts and no states of it. */
  #leaveOwn(): void {
    const open = this.#open;
    const unit = open?.units.get(this.sequencer.account);
    if (open === null || unit === undefined || isOut(unit)) return;
    this.#append({ kind: "RoundLeft", round: open.round, account: this.sequencer.account });
  }

  /** Lets time pass on the ledger where a deadline is over and nobody says anything. */
  async #watchTime(): Promise<void> {
    const { clock } = this.#options;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      const [next] = this.#state.timers;
      if (next !== undefined && next.at <= clock.wall()) this.#append({ kind: "Advanced" });
      this.#skipLeader();
      this.#closeRest();
      await clock.sleep(TIME_PERIOD_MS, signal).catch(() => {});
    }
  }

  /** A round that was committed before a restart, and one that everybody is out of: it is opened again. */
  #closeRest(): void {
    const open = this.#open;
    const { record } = this.#coordinator?.state ?? {};
    if (open === null || record === undefined) return;
    const { round } = open;
    const { commit, stateDigest } = record;
    if (commit?.round === round && stateDigest !== null && open.phase === "decided")
      this.#close(round, commit.contributors, stateDigest);
    const gone = [...open.units.values()].every(({ status }) => status === "left" || status === "expired");
    if (!gone || commit?.round === round || this.#voided === this.sequencer.count) return;
    this.#voided = this.sequencer.count;
    const { parameters } = this.#state;
    this.#append({ kind: "RoundClosed", round, result: POOL, state: POOL, parameters, aggregated: [] });
  }

  /** Opens a round whose leader is lost to the run, or late, in its place. */
  #skipLeader(): void {
    const { record, phase } = this.#coordinator?.state ?? {};
    const { nextRound: round, leader, leaderSince, terms } = this.#state;
    if (record === undefined || phase?.name !== "running" || record.round !== round) return;
    if (leaderOf(this.#state, round) === null || leader === null) return;
    const workers = record.members.map(accountOfPeerId);
    const isLate = this.#options.clock.wall() >= leaderSince + terms!.moveSpan;
    if (!isLate && workers.includes(leader)) return;
    const shards = shardBytes(record.members.map((member) => record.shards.get(member)!));
    this.#append({ kind: "RoundSkipped", round, workers, shards });
  }

  /** From now on the coordinator keeps accused and ejected peers out of its views. */
  bind(coordinator: CoordinatorHost): void {
    this.#coordinator = coordinator;
  }

  /** What the server of the ledger sees: the sequencer behind the entry check. */
  get served(): ServedLedger {
    const { sequencer } = this;
    return {
      get ledgerId() {
        return sequencer.ledgerId;
      },
      get head() {
        return sequencer.head;
      },
      get count() {
        return sequencer.count;
      },
      submit: async (signed) => {
        await this.admit(signed);
        return sequencer.submit(signed);
      },
      pages: (from, to) => sequencer.pages(from, to),
      onEffects: (listener) => sequencer.onEffects(listener),
    };
  }

  /** Before an event of another is taken. @throws ERR_LEDGER where its author may not have it recorded. */
  async admit({ author, event }: SignedEvent): Promise<void> {
    if (event.kind !== "Registered" || this.#state.accounts.get(author)?.registered) return;
    const expected = await this.#options.entryOf(this.sequencer.ledgerId, author);
    if (event.entry === expected) return;
    throw new GradmeshError(
      "ERR_LEDGER",
      `the entry check of ${author} came to ${event.entry}, not ${expected}: its machine computes other bits, or another recipe; see what "gradmesh doctor" says there`,
    );
  }

  get #state(): LedgerState {
    return this.sequencer.state;
  }

  /** What the coordinator is to do with a peer that says hello. */
  admission(peerId: string): Admission | null {
    const account = accountOfPeerId(peerId);
    const known = this.#state.accounts.get(account);
    if (known?.ejected) return { refuse: "it was ejected from the run; its ledger has the evidence" };
    const accused = this.#accusation(account);
    if (accused !== null) return { suspend: accused };
    const open = this.#open;
    const unit = open?.units.get(account);
    if (open === null || (unit !== undefined && !isOut(unit))) return null;
    this.#resting.add(account);
    return { suspend: `round ${open.round + 1} goes on without it; it takes part from the next one on` };
  }

  /** The round that is open, or null. */
  get #open() {
    const round = roundOf(this.#state, this.#state.nextRound - 1);
    return round === null || round.phase === "closed" ? null : round;
  }

  #accusation(account: Account): string | null {
    for (const dispute of this.#state.disputes.values())
      if (dispute.worker === account && dispute.transition > 0 && dispute.outcome === null)
        return `dispute ${dispute.id} about its work in round ${dispute.round + 1} is open`;
    return null;
  }

  /** This peer has applied a round: what the next one begins with. Called before it tells the coordinator. */
  applied(round: number, parameters: Hash): void {
    this.#applied = { round, parameters };
  }

  onNotice(notice: Notice): void {
    if (notice.kind === "commit") this.#close(notice.round, notice.contributors, notice.stateDigest);
    else this.#leave(notice.members);
  }

  /** The coordinator's rounds and the ledger's are the same; what is committed is applied. */
  #close(round: number, contributors: readonly string[], state: Hash): void {
    if (this.#closing === round) return;
    this.#closing = round;
    const units = roundOf(this.#state, round)?.units;
    const accounts = contributors.map(accountOfPeerId);
    // Whose dispute was lost between the commit and this is in the aggregate, and can't be said to be.
    const aggregated = accounts.filter((account) => {
      const unit = units?.get(account);
      return unit !== undefined && isAccepted(unit);
    });
    if (aggregated.length < accounts.length)
      this.#warn(
        `round ${round + 1} was committed with work of ${accounts.length} peers, of which ${aggregated.length} count by now`,
      );
    const result = this.#coordinator?.state.record.commit?.resultDigest ?? state;
    const parameters = this.#applied?.round === round ? this.#applied.parameters : POOL;
    this.#append({ kind: "RoundClosed", round, result, state, parameters, aggregated });
  }

  /** Workers that are no longer among the members have left the open round, without blame, unless they are accused. */
  #leave(members: readonly string[]): void {
    const open = this.#open;
    if (open === null || members.length === 0) return;
    const present = new Set(members.map(accountOfPeerId));
    for (const [account, unit] of open.units) {
      if (present.has(account) || open.left.has(account) || isOut(unit) || isAccepted(unit)) continue;
      const name = `${open.round} ${account}`;
      if (this.#leaving.has(name)) continue;
      this.#leaving.add(name);
      this.#append({ kind: "RoundLeft", round: open.round, account });
    }
  }

  onDiverged({ peer, round, own, expected, again, reason }: Diverged): void {
    if (!again) return;
    const account = accountOfPeerId(peer);
    const evidence = canonicalDigest({ peer, round, own, expected });
    this.#append({ kind: "Ejected", account, evidence, reason: reason.slice(0, 200) });
  }

  /** An event of the submitter's own; what the rules refuse by then is out of date, or a fault that must be seen. */
  #append(event: Parameters<Sequencer<LedgerState, Effect>["append"]>[0]): void {
    this.#work = this.#work.then(async () => {
      try {
        await this.sequencer.append(event);
      } catch (error) {
        const { code, message } = asGradmeshError(error);
        if (code === "ERR_CLOSED") return;
        if (code !== "ERR_LEDGER") this.#options.onFailure(error);
        else this.#warn(`${event.kind} was refused: ${message}`);
      }
    });
  }

  #warn(reason: string): void {
    const { emit, identity } = this.#options;
    emit({
      type: "warning",
      peer: identity.peerId,
      round: this.#state.nextRound,
      code: "ERR_LEDGER",
      reason,
    });
  }

  #hear({ seq, event, author }: LedgerRecord, effects: readonly Effect[]): void {
    if (event.kind === "Registered") this.#grant(author);
    for (const effect of effects) {
      this.#tell(seq, effect);
      if (effect.type === "slashed" && effect.dispute !== undefined)
        this.#eject(effect.account!, event.kind === "Settled" ? event.evidence : POOL, effect.dispute);
      if (effect.type === "ejected") this.#expel(effect.account!, effect.reason ?? "");
    }
    this.#review();
  }

  /** The first stake of who has passed the entry check; once for each account. */
  #grant(account: Account): void {
    const { grant } = this.#options;
    const known = this.#state.accounts.get(account);
    const has = known === undefined ? 0n : known.free + known.bonded;
    if (grant > 0n && has === 0n) this.#append({ kind: "Deposited", account, amount: grant });
  }

  #tell(seq: number, { type, account, amount, round, reason }: Effect): void {
    const what = news.get(type);
    if (what === undefined || account === undefined || account === POOL) return;
    const { emit, identity } = this.#options;
    emit({
      type: "ledger",
      peer: identity.peerId,
      seq,
      what,
      subject: peerIdOfAccount(account),
      round: round ?? null,
      amount: amount?.toString() ?? null,
      reason: reason ?? "",
    });
  }

  /** Who has lost a dispute about its own work. */
  #eject(account: Account, evidence: Hash, dispute: number): void {
    if (this.#state.disputes.get(dispute)?.worker !== account) return;
    this.#append({ kind: "Ejected", account, evidence, reason: `lost dispute ${dispute} about its work` });
  }

  #expel(account: Account, reason: string): void {
    this.#coordinator?.expel(peerIdOfAccount(account), `it is ejected from the run: ${reason}`);
  }

  /** Keeps out of the views whose work in the open round does not count, and who is accused. */
  #review(): void {
    const coordinator = this.#coordinator;
    if (coordinator === null) return;
    const open = this.#open;
    const suspend = (account: Account, reason: string) => {
      this.#resting.add(account);
      coordinator.suspend(peerIdOfAccount(account), this.#accusation(account) ?? reason);
    };
    for (const [account, unit] of open?.units ?? [])
      if (isOut(unit))
        suspend(account, `its work in round ${open!.round + 1} does not count (${unit.status})`);
    // Also of rounds that are closed: who trains on lets go of the states that it needs.
    for (const { worker, transition, outcome } of this.#state.disputes.values())
      if (outcome === null && transition > 0) suspend(worker, "its work is disputed");
    if (open !== null) return;
    this.#leaving.clear();
    for (const account of this.#resting) {
      if (this.#accusation(account) !== null) continue;
      this.#resting.delete(account);
      coordinator.restore(peerIdOfAccount(account));
    }
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#work;
    this.ledger.close(new GradmeshError("ERR_CLOSED", "the ledger is closed"));
    await this.sequencer.close();
  }
}
