/** Who settles a dispute: drawn by stake among the referees that are no party to it; without any, the submitter if it is none. */
import { hash } from "node:crypto";
import type { Account } from "../events.js";
import { hasCapability, stakeOf } from "./lookup.js";
import type { Dispute, LedgerState } from "./state.js";
import { REFEREES_MAX } from "./terms.js";

/** Changes with every silent referee, and with every beacon. */
function lotOf(state: LedgerState, { id, silent }: Dispute): bigint {
  const seed = `gradmesh-referee ${state.ledgerId} ${state.beacon} ${id} ${silent.length}`;
  return BigInt(`0x${hash("sha256", seed, "hex")}`);
}

/** The one whose turn it is now, or null where nobody is left that could settle it. */
export function refereeOf(state: LedgerState, dispute: Dispute): Account | null {
  const { worker, challenger, silent } = dispute;
  if (silent.length >= REFEREES_MAX) return null;
  const all = [...state.accounts.values()]
    .filter((one) => one.registered && !one.ejected && hasCapability(one, "referee") && stakeOf(one) > 0n)
    .filter(({ account }) => account !== worker && account !== challenger && !silent.includes(account))
    .sort((a, b) => (a.account < b.account ? -1 : 1));
  // Whoever is in the last aggregate is there to move.
  const there = all.filter(({ account }) => state.aggregated.has(account));
  const candidates = there.length > 0 ? there : all;
  const total = candidates.reduce((sum, one) => sum + stakeOf(one), 0n);
  if (total === 0n) {
    const { submitter } = state;
    return [worker, challenger, ...silent].includes(submitter) ? null : submitter;
  }
  const point = lotOf(state, dispute) % total;
  let end = 0n;
  for (const one of candidates) {
    end += stakeOf(one);
    if (point < end) return one.account;
  }
  return null;
}
