/** The form of every rule: first all checks, then what to change. */
import type { Account, EventBody, EventKind } from "../events.js";
import type { Effect } from "./effect.js";
import type { LedgerState } from "./state.js";

export interface Turn {
  readonly author: Account;
  /** The record's time. */
  readonly now: number;
}

/** Makes the changes; it can't fail. */
export type Change = (effects: Effect[]) => void;

/** Changes nothing itself. @throws ERR_LEDGER saying why the event is refused. */
export type Rule<Kind extends EventKind> = (state: LedgerState, body: EventBody<Kind>, turn: Turn) => Change;
