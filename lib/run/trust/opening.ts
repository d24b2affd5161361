/** How a peer comes to a round that is open on the ledger: it waits for it, and opens it where and when it leads. */
import { type Clock, withLimit } from "../../base/clock.js";
import type { LiveView } from "../../group/member.js";
import type { LedgerEvent } from "../../ledger/events.js";
import type { LedgerState, RoundState } from "../../ledger/rules/state.js";
import type { RunLedger } from "./run-ledger.js";
import * as standing from "./standing.js";

export interface OpeningOptions {
  readonly ledger: RunLedger;
  readonly clock: Clock;
  /** Appends; where the rules refuse, it only warns and gives false. */
  say(event: LedgerEvent): Promise<boolean>;
}

/** Before a leader whose opening was refused tries again, where the ledger says nothing new. */
const OPENING_RETRY_MS = 1000;

/**
 * The round's opening that the view is of. @throws the view's reason when it is void.
 */
export async function openingOf(
  { ledger, clock, say }: OpeningOptions,
  { round, members, signal }: LiveView,
): Promise<RoundState> {
  const { account } = ledger;
  const look = (state: LedgerState) => {
    const found = standing.roundOf(state, round);
    // Nobody is in a view of a round that goes on without it: this copy has not heard yet that it was opened again.
    if (found !== null) return standing.outOf(found, account) === null ? found : null;
    return standing.leaderOf(state, round) === account ? "mine" : null;
  };
  for (;;) {
    const found = await ledger.until(look, signal);
    if (found !== "mine") return found;
    const proof = ledger.prove(standing.beaconInputOf(ledger.state, ledger.id, round));
    const workers = standing.accountsOf(members);
    const shards = standing.shardBytes(members.map(({ shard }) => shard));
    const basis = standing.openingBasis(ledger.state);
    if (await say({ kind: "RoundOpened", round, proof, workers, shards })) continue;
    const what = "a change of who can work";
    await withLimit(clock, OPENING_RETRY_MS, what, signal, (limited) =>
      ledger.until((state) => (standing.openingBasis(state) === basis ? null : true), limited),
    ).catch(() => signal.throwIfAborted());
  }
}
