/** Keeps a peer's stake at what the run asks for: what is missing, as after a fine, is bonded out of its free units. */
import { asGradmeshError } from "../../base/errors.js";
import { isRefusal } from "../../ledger/replica.js";
import type { RunLedger } from "./run-ledger.js";

export interface StakeOptions {
  readonly ledger: RunLedger;
  /** Units that a worker of the run has bonded. */
  readonly least: bigint;
  /** Hears why this peer cannot work, and what would help. */
  warn(reason: string): void;
}

export class Stake {
  readonly #options: StakeOptions;
  /** What the account had when it was last looked at with too little bonded; "" while it has enough. */
  #seen = "";
  /** What is missing is on its way to the ledger. */
  #bonding = false;
  #stopListening: () => void = () => {};

  constructor(options: StakeOptions) {
    this.#options = options;
  }

  get #own() {
    const { ledger } = this.#options;
    return ledger.state.accounts.get(ledger.account);
  }

  get #missing(): bigint {
    return this.#options.least - (this.#own?.bonded ?? 0n);
  }

  /**
   * Lays down the stake, once there are units for it, and keeps it from then on.
   * @param isGranted its first units were on their way before: where they do not suffice, more come by nobody's hand.
   * @throws ERR_LEDGER where the ledger refuses it; the signal's reason.
   */
  async lay(isGranted: boolean, signal: AbortSignal): Promise<void> {
    const { ledger } = this.#options;
    const missing = this.#missing;
    if (missing > 0n) {
      const isEnough = () => (this.#own?.free ?? 0n) >= missing;
      if (isGranted && !isEnough()) this.#tellShort();
      await ledger.until(() => (isEnough() ? true : null), signal);
      await ledger.submit({ kind: "Bonded", amount: missing }, signal);
    }
    this.#stopListening = ledger.onEffects(() => void this.#keep());
    await this.#keep();
  }

  /** After each record: once for each change of what the account has. */
  async #keep(): Promise<void> {
    if (this.#bonding) return;
    const own = this.#own;
    const missing = this.#missing;
    const seen = missing > 0n && own?.ejected !== true ? `${own?.bonded} ${own?.free}` : "";
    if (seen === this.#seen) return;
    this.#seen = seen;
    if (seen === "") return;
    if ((own?.free ?? 0n) < missing) return this.#tellShort();
    this.#bonding = true;
    await this.#bond(missing);
    this.#bonding = false;
    await this.#keep();
  }

  async #bond(amount: bigint): Promise<void> {
    const { ledger, warn } = this.#options;
    try {
      await ledger.submit({ kind: "Bonded", amount });
    } catch (error) {
      // Of a ledger that fails or closes others hear.
      if (isRefusal(error)) warn(asGradmeshError(error).message);
    }
  }

  #tellShort(): void {
    const { least, warn } = this.#options;
    const { bonded = 0n, free = 0n, claimable = 0n } = this.#own ?? {};
    const cure = "join with a new key, in another --folder, which is granted a stake of its own";
    const earned = `claim what it has earned (RewardClaimed; ${claimable} units are claimable now), or `;
    warn(
      `its stake is ${bonded} units of ${least}, and only ${free} are free to bond: it takes part in no round until ${least - bonded - free} more are free; ${claimable > 0n ? earned : ""}${cure}`,
    );
  }

  close(): void {
    this.#stopListening();
  }
}
