/**
 * The run's first peer as the submitter: it founds the ledger, orders its records, lets in who passes the entry check, and
 * turns what the ledger says into who may be in the run's views.
 */
import { canonicalDigest } from "../../base/canonical-json.js";
import { type Clock, systemClock } from "../../base/clock.js";
import { GradmeshError } from "../../base/errors.js";
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
import { EntryChecks } from "./entry-checks.js";
import { LeadAccounts } from "./lead-accounts.js";
import { LeadRounds } from "./lead-rounds.js";
import type { ServedLedger } from "./ledger-server.js";
import { LocalLedger } from "./local-ledger.js";
import { OwnEvents } from "./own-events.js";
import { hindrances, outOf } from "./standing.js";

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
  readonly #events: OwnEvents;
  readonly #rounds: LeadRounds;
  readonly #accounts: LeadAccounts;
  readonly #entries: EntryChecks;
  #coordinator: CoordinatorHost | null = null;
  /** Out of the views until the round is closed, or for longer. */
  readonly #resting = new Set<Account>();
  readonly #stop = new AbortController();

  private constructor(options: TrustLeadOptions, sequencer: Sequencer<LedgerState, Effect>) {
    const { clock, grant, onFailure } = options;
    this.#options = options;
    this.sequencer = sequencer;
    this.ledger = new LocalLedger(sequencer, options.identity);
    const warn = (reason: string) => this.#warn(reason);
    const events = new OwnEvents({ sequencer, warn, onFailure });
    this.#events = events;
    const coordinator = () => this.#coordinator;
    this.#rounds = new LeadRounds({ sequencer, events, clock, coordinator, warn });
    this.#accounts = new LeadAccounts({ sequencer, events, grant });
    this.#entries = new EntryChecks((account) => options.entryOf(sequencer.ledgerId, account));
    sequencer.onEffects((record, effects) => this.#hear(record, effects));
    void this.#watchTime();
  }

  /** @throws ERR_LEDGER where the ledger's file is damaged; ERR_CONFIG where it is another run's; ERR_IO. */
  static async open(options: TrustLeadOptions): Promise<TrustLead> {
    const { path, identity, clock, pool } = options;
    const sequencer = Sequencer.open({ path, signer: signerOf(identity), clock, rules: runRules });
    const lead = new TrustLead(options, sequencer);
    try {
      if (pool > 0n && sequencer.state.deposited === 0n)
        await sequencer.append({ kind: "Deposited", account: POOL, amount: pool });
      lead.#accounts.resume();
      // Before anybody is let in.
      await lead.#events.done;
      return lead;
    } catch (error) {
      await lead.close();
      throw error;
    }
  }

  /** Lets time pass on the ledger where a deadline is over and nobody says anything. */
  async #watchTime(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      this.#rounds.pass();
      await this.#options.clock.sleep(TIME_PERIOD_MS, signal).catch(() => {});
    }
  }

  /** From now on the coordinator keeps accused and ejected peers out of its views. It lets nobody in before this is done. */
  async bind(coordinator: CoordinatorHost): Promise<void> {
    this.#coordinator = coordinator;
    this.#rounds.leaveOwn();
    await this.#events.done;
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
      submit: async (signed, peerId) => {
        await this.#admit(signed, peerId);
        return sequencer.submit(signed);
      },
      pages: (from, to) => sequencer.pages(from, to),
      onEffects: (listener) => sequencer.onEffects(listener),
    };
  }

  /** Before an event that another peer has sent is taken. @throws ERR_LEDGER where its author may not have it recorded. */
  async #admit({ author, event }: SignedEvent, peerId: string): Promise<void> {
    if (event.kind !== "Registered" || this.#state.accounts.get(author)?.registered) return;
    // A check is dear, and a name can be made up: only who stands behind it is checked.
    const sender = accountOfPeerId(peerId);
    if (author !== sender)
      throw new GradmeshError(
        "ERR_LEDGER",
        `the author of Registered is ${author}, and the peer that sent it is ${sender}; each peer registers itself`,
      );
    const expected = await this.#entries.of(author);
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
    const suspend = hindrances(this.#state)(account) ?? this.#absence(account);
    if (suspend === null) return null;
    this.#resting.add(account);
    return { suspend };
  }

  /** Why the open round goes on without the account; null where it is in it, or none is open. */
  #absence(account: Account): string | null {
    const { open } = this.#rounds;
    return open === null ? null : outOf(open, account);
  }

  /** This peer has applied a round: what the next one begins with. Called before it tells the coordinator. */
  applied(round: number, parameters: Hash): void {
    this.#rounds.applied(round, parameters);
  }

  onNotice(notice: Notice): void {
    if (notice.kind === "commit") this.#rounds.close(notice.round, notice.contributors, notice.stateDigest);
    else this.#rounds.leave(notice.members);
  }

  onDiverged({ peer, round, own, expected, again, reason }: Diverged): void {
    if (!again) return;
    const evidence = canonicalDigest({ peer, round, own, expected });
    this.#accounts.eject(accountOfPeerId(peer), evidence, reason.slice(0, 200));
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
    if (event.kind === "Registered") this.#accounts.grant(author);
    for (const effect of effects) {
      this.#tell(seq, effect);
      const { type, dispute, account, reason } = effect;
      const isRuling = event.kind === "Settled" && event.dispute === dispute;
      if (type === "settled") this.#accounts.settled(dispute!, isRuling ? event.evidence : POOL);
      // It may be suspended; #review lets it in again, together with all others, as soon as the round allows it.
      if (type === "left") this.#resting.add(account!);
      if (type === "ejected")
        this.#coordinator?.expel(peerIdOfAccount(account!), `it is ejected from the run: ${reason ?? ""}`);
    }
    // Of records that came together the state is that after the last.
    if (seq === this.sequencer.count - 1) this.#review();
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

  /** Keeps out of the views whose work in the open round does not count, who is accused, and whose stake is too low. */
  #review(): void {
    const coordinator = this.#coordinator;
    if (coordinator === null) return;
    const { open, isCommitted } = this.#rounds;
    const hindrance = hindrances(this.#state);
    for (const [peer, { suspended }] of coordinator.state.peers) {
      if (suspended) continue;
      const account = accountOfPeerId(peer);
      // Who has no unit waits for the next round anyway, and who has voted is not sent away before it has applied the result.
      const isIn = open?.units.has(account) === true && !isCommitted;
      const reason = hindrance(account) ?? (isIn ? this.#absence(account) : null);
      if (reason === null) continue;
      this.#resting.add(account);
      coordinator.suspend(peer, reason);
    }
    if (open === null) this.#rounds.over();
    // Who is gone says hello again before it is in a view.
    for (const account of this.#resting)
      if (!coordinator.state.peers.has(peerIdOfAccount(account))) this.#resting.delete(account);
    const able = [...this.#resting].filter(
      (account) => hindrance(account) === null && this.#absence(account) === null,
    );
    if (able.length === 0) return;
    for (const account of able) this.#resting.delete(account);
    coordinator.restore(able.map(peerIdOfAccount));
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#events.done;
    this.ledger.close(new GradmeshError("ERR_CLOSED", "the ledger is closed"));
    await this.sequencer.close();
  }
}
