/** What a record did: a run acts on effects, and the command line prints them. */
import type { Account } from "../events.js";
import type { DisputePhase, RoundPhase } from "./state.js";

/** What a record did, for those who act on it or print it. */
export interface Effect {
  readonly type:
    | "created"
    | "deposited"
    | "registered"
    | "stake"
    | "opened"
    | "skipped"
    | "committed"
    | "revealed"
    | "phase"
    | "drawn"
    | "verdictCommitted"
    | "verdict"
    | "accused"
    | "accepted"
    | "rejected"
    | "left"
    | "disputed"
    | "moved"
    | "settled"
    | "forced"
    | "slashed"
    | "paid"
    | "claimed"
    | "shares"
    | "ejected"
    | "closed"
    | "published";
  /** When it happened: a deadline's own time where one passed. */
  readonly time: number;
  readonly round?: number;
  /** Whose unit, stake or reward it is. */
  readonly account?: Account;
  /** The other one: a verifier, a challenger, who is delegated to. */
  readonly other?: Account;
  readonly amount?: bigint;
  readonly transition?: number;
  readonly verdict?: number;
  readonly dispute?: number;
  readonly phase?: RoundPhase | DisputePhase;
  /** In words. */
  readonly reason?: string;
}
