/** A ledger that is only a state: it says what it was given to record, and records or refuses as a test has it. */
import { GradmeshError } from "../../../lib/base/errors.js";
import type { Account, LedgerEvent, LedgerRecord } from "../../../lib/ledger/events.js";
import type { Effect } from "../../../lib/ledger/rules/effect.js";
import { emptyState, type LedgerState, POOL } from "../../../lib/ledger/rules/state.js";
import type { EffectListener, RunLedger } from "../../../lib/run/trust/run-ledger.js";
import { Waiters } from "../../../lib/run/trust/waiters.js";

export const refusal = (event: LedgerEvent) => new GradmeshError("ERR_LEDGER", `${event.kind} is refused`);

/** @param record throws to refuse; it may change the state. */
export function fakeLedger(
  account: Account,
  changes: Partial<LedgerState>,
  record: (event: LedgerEvent) => void = () => {},
) {
  const state: LedgerState = { ...emptyState(), ...changes };
  const submitted: LedgerEvent[] = [];
  const waiters = new Waiters<LedgerState>();
  const listeners = new Set<EffectListener>();
  const ledger: RunLedger = {
    id: POOL,
    account,
    state,
    async submit(event) {
      submitted.push(event);
      record(event);
      waiters.changed(state);
    },
    until: (find, signal) => waiters.until(state, find, signal),
    onEffects(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    prove: () => "",
  };
  return {
    ledger,
    state,
    submitted,
    listeners,
    /** A record has come and did this. */
    changed(...effects: Effect[]): void {
      waiters.changed(state);
      for (const listener of listeners) listener({} as LedgerRecord, effects);
    },
  };
}
