/** The submitter's side of entry checks: one at a time, since each takes a whole trainer, and once for each account. */
import { GradmeshError } from "../../base/errors.js";
import type { Account, Hash } from "../../ledger/events.js";

/** Checks that may wait for their turn; more are refused. */
const WAITING_MAX = 64;
/** Accounts whose checks are remembered, those that wait included. */
const KEPT_MAX = 256;

export class EntryChecks {
  readonly #check: (account: Account) => Promise<Hash>;
  /** The oldest first. */
  readonly #known = new Map<Account, Promise<Hash>>();
  #waiting = 0;
  #last: Promise<unknown> = Promise.resolve();

  constructor(check: (account: Account) => Promise<Hash>) {
    this.#check = check;
  }

  /** What the account's check must come to. @throws ERR_LEDGER where too many wait; what the check throws. */
  async of(account: Account): Promise<Hash> {
    const known = this.#known.get(account);
    if (known !== undefined) return known;
    if (this.#waiting >= WAITING_MAX)
      throw new GradmeshError("ERR_LEDGER", `${WAITING_MAX} entry checks wait already; join again later`);
    this.#waiting += 1;
    const found = this.#last
      .then(() => this.#check(account))
      .finally(() => {
        this.#waiting -= 1;
      });
    // A check that failed here says nothing of the account.
    this.#last = found.catch(() => this.#known.delete(account));
    this.#known.set(account, found);
    if (this.#known.size > KEPT_MAX) this.#known.delete(this.#known.keys().next().value!);
    return found;
  }
}
