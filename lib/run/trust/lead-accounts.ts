/** What the submitter owes to accounts: their first stake once they are registered, and ejection to who is proven wrong. */
import type { Account, Hash } from "../../ledger/events.js";
import type { Sequencer } from "../../ledger/ledger.js";
import type { Effect } from "../../ledger/rules/effect.js";
import { type LedgerState, POOL } from "../../ledger/rules/state.js";
import type { OwnEvents } from "./own-events.js";

export interface LeadAccountsOptions {
  readonly sequencer: Sequencer<LedgerState, Effect>;
  readonly events: OwnEvents;
  /** Units for each account that registers. */
  readonly grant: bigint;
}

export class LeadAccounts {
  readonly #options: LeadAccountsOptions;
  /** By what was deposited, not by what they have: whoever moves its units away is not given more. */
  readonly #granted = new Set<Account>();

  constructor(options: LeadAccountsOptions) {
    this.#options = options;
  }

  get #state(): LedgerState {
    return this.#options.sequencer.state;
  }

  /** Once, when the ledger is opened: reads who was granted, and does what a process before this one died too early to do. */
  resume(): void {
    const evidence = new Map<number, Hash>();
    for (const { event } of this.#options.sequencer.records()) {
      if (event.kind === "Deposited" && event.account !== POOL) this.#granted.add(event.account);
      if (event.kind === "Settled") evidence.set(event.dispute, event.evidence);
    }
    const { accounts, disputes } = this.#state;
    for (const { account, registered } of accounts.values()) if (registered) this.grant(account);
    for (const id of disputes.keys()) this.settled(id, evidence.get(id) ?? POOL);
  }

  /** The first stake of who has passed the entry check; once for each account. */
  grant(account: Account): void {
    const { grant, events } = this.#options;
    if (this.#granted.has(account)) return;
    this.#granted.add(account);
    events.append({ kind: "Deposited", account, amount: grant });
  }

  /** Ejects who has lost the dispute about its own work. */
  settled(id: number, evidence: Hash): void {
    const dispute = this.#state.disputes.get(id);
    if (dispute?.outcome === "challenger")
      this.eject(dispute.worker, evidence, `lost dispute ${id} about its work`);
  }

  eject(account: Account, evidence: Hash, reason: string): void {
    const isOut = () => this.#state.accounts.get(account)?.ejected === true;
    this.#options.events.append(() => (isOut() ? null : { kind: "Ejected", account, evidence, reason }));
  }
}
