/** The sequencer's own peer's way to the run's ledger, as LedgerClient is that of the others: there is nothing to follow. */
import type { Account, Hash, LedgerEvent } from "../../ledger/events.js";
import type { Sequencer } from "../../ledger/ledger.js";
import type { Subscriber } from "../../ledger/listeners.js";
import { secretOf } from "../../ledger/sign.js";
import { vrfProve } from "../../ledger/vrf.js";
import type { Identity } from "../../peer/identity.js";
import { Waiters } from "./waiters.js";

export class LocalLedger<State, Effect> {
  readonly #sequencer: Sequencer<State, Effect>;
  readonly #identity: Identity;
  readonly #waiters = new Waiters<State>();
  readonly #stopListening: () => void;

  /** @param identity the sequencer's own. */
  constructor(sequencer: Sequencer<State, Effect>, identity: Identity) {
    this.#sequencer = sequencer;
    this.#identity = identity;
    this.#stopListening = sequencer.onEffects(() => this.#waiters.changed(sequencer.state));
  }

  get id(): Hash {
    return this.#sequencer.ledgerId;
  }
  get account(): Account {
    return this.#sequencer.account;
  }
  /** Read it, never change it. */
  get state(): State {
    return this.#sequencer.state;
  }

  /** Signs with the next nonce and records. @throws ERR_LEDGER where the rules refuse it; the signal's reason; ERR_CLOSED. */
  async submit(event: LedgerEvent, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    await this.#sequencer.append(event);
  }

  /** The first that `find` finds, now or after a later record. @throws the signal's reason, or what `close` was given. */
  until<T>(find: (state: State) => T | null, signal?: AbortSignal): Promise<T> {
    return this.#waiters.until(this.state, find, signal);
  }

  onEffects(listener: Subscriber<Effect>): () => void {
    return this.#sequencer.onEffects(listener);
  }

  /** A proof of the verifiable random function under this peer's key. */
  prove(alpha: Uint8Array): string {
    return vrfProve(secretOf(this.#identity), alpha);
  }

  /** Ends all who wait, for this reason. The sequencer's file is its opener's affair. */
  close(reason: unknown): void {
    this.#stopListening();
    this.#waiters.fail(reason);
  }
}
