/** What a peer's work needs of the run's ledger: its copy's state, a way to append, and the proofs of its key. */
import type { Account, Hash, LedgerEvent, LedgerRecord } from "../../ledger/events.js";
import type { Effect } from "../../ledger/rules/effect.js";
import type { LedgerState } from "../../ledger/rules/state.js";

export type EffectListener = (record: LedgerRecord, effects: readonly Effect[]) => void;

/** LedgerClient and LocalLedger are both this. */
export interface RunLedger {
  readonly id: Hash;
  /** This peer's. */
  readonly account: Account;
  /** What this peer's copy adds up to. Read it, never change it. */
  readonly state: LedgerState;
  /** Signs and appends; resolves once this peer's copy holds it. @throws ERR_LEDGER where the rules refuse it. */
  submit(event: LedgerEvent, signal?: AbortSignal): Promise<void>;
  /** The first that `find` finds, now or after a later record. @throws the signal's reason. */
  until<Found>(find: (state: LedgerState) => Found | null, signal?: AbortSignal): Promise<Found>;
  /** Called with each record that the copy takes, and what it did. Returns how to stop it. */
  onEffects(listener: EffectListener): () => void;
  /** A proof of the verifiable random function under this peer's key. */
  prove(alpha: Uint8Array): string;
}
