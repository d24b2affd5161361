/** Who can work, and what can be taken from whom: fines of one account, slashes of all the stake behind a node. */
import { PER_MILLION } from "../draw.js";
import type { Account } from "../events.js";
import type { Effect } from "./effect.js";
import { accountOf, hasCapability, lesser, termsOf } from "./lookup.js";
import type { AccountState, LedgerState } from "./state.js";

const MILLION = BigInt(PER_MILLION);

export function share(amount: bigint, ppm: number): bigint {
  return (amount * BigInt(ppm)) / MILLION;
}

/** What silence costs a leader, a verifier or a referee. */
export function lateFee(state: LedgerState): bigint {
  const { stakeMin, forcedErrorPrize } = termsOf(state);
  return stakeMin / 1000n + forcedErrorPrize / 10n;
}

/** What a withheld reveal costs: as much as a lost dispute's bond, as it might hide a unit from its checks. */
export function withholdingFine(state: LedgerState): bigint {
  return termsOf(state).disputeBond;
}

function canWork(state: LedgerState, account: AccountState): boolean {
  return (
    account.registered &&
    !account.ejected &&
    hasCapability(account, "worker") &&
    account.bonded >= termsOf(state).stakeMin
  );
}

/** Brings the list of those who can work up to date with one account, and the next round's leader with the list. */
export function review(state: LedgerState, account: Account, now: number): void {
  const { eligible } = state;
  let low = 0;
  for (let high = eligible.length; low < high; ) {
    const middle = (low + high) >>> 1;
    if (eligible[middle]! < account) low = middle + 1;
    else high = middle;
  }
  const listed = eligible[low] === account;
  const able = canWork(state, accountOf(state, account));
  if (able !== listed) eligible.splice(low, listed ? 1 : 0, ...(able ? [account] : []));
  chooseLeader(state, now);
}

/**
 * Accounts that can work, and whose work was in the last aggregate, take turns by round: who is gone is not waited for, and a
 * key that is made once a beacon is known does not lead before the next. Without an aggregate all that can work take turns. A
 * new leader's time begins now.
 */
export function chooseLeader(state: LedgerState, now: number): void {
  const { eligible, nextRound, aggregated } = state;
  const there = eligible.filter((account) => aggregated.has(account));
  const able = there.length > 0 ? there : eligible;
  const leader = able.length === 0 ? null : able[nextRound % able.length]!;
  if (leader === state.leader) return;
  state.leader = leader;
  state.leaderSince = now;
}

/** Takes up to `amount` of the account's own unbonding stake, what would be released last first. */
function takeUnbonding(account: AccountState, amount: bigint): bigint {
  let taken = 0n;
  for (const entry of account.unbonding.toReversed()) {
    if (entry.node !== account.account) continue;
    const part = lesser(entry.amount, amount - taken);
    entry.amount -= part;
    taken += part;
  }
  account.unbonding = account.unbonding.filter((entry) => entry.amount > 0n);
  return taken;
}

/** Takes up to `amount` of what is the account's own: of its stake, then of its unbonding. The caller puts it somewhere. */
export function takeStake(state: LedgerState, account: Account, amount: bigint, now: number): bigint {
  const own = accountOf(state, account);
  const bonded = lesser(own.bonded, amount);
  own.bonded -= bonded;
  const taken = bonded + takeUnbonding(own, amount - bonded);
  review(state, account, now);
  return taken;
}

/** Into the pool; what the submitter loses is burned, for the pool is the submitter's own. */
export function forfeit(state: LedgerState, amount: bigint, offender: Account): void {
  if (offender === state.submitter) state.burned += amount;
  else state.pool += amount;
}

/** A fine of a fixed amount, out of the free balance and then the stake, as far as there is any. */
export function fine(
  state: LedgerState,
  account: Account,
  amount: bigint,
  reason: string,
  now: number,
  effects: Effect[],
): bigint {
  const own = accountOf(state, account);
  const free = lesser(own.free, amount);
  own.free -= free;
  const taken = free + takeStake(state, account, amount - free, now);
  if (taken > 0n) effects.push({ type: "slashed", time: now, account, amount: taken, reason });
  return taken;
}

/** What a false accuser has lost: half is the accused's, for its trouble, and the rest is forfeited. */
export function compensate(
  state: LedgerState,
  accused: Account,
  accuser: Account,
  lost: bigint,
  about: Pick<Effect, "time" | "round" | "dispute">,
  effects: Effect[],
): void {
  const amount = lost / 2n;
  accountOf(state, accused).free += amount;
  forfeit(state, lost - amount, accuser);
  const reason = `was accused wrongly by ${accuser}`;
  if (amount > 0n) effects.push({ type: "paid", ...about, account: accused, other: accuser, amount, reason });
}

/** What a slash took: of the offender's own, and of those who had delegated to it. */
export interface Slashed {
  readonly own: bigint;
  readonly others: bigint;
}

/** Takes the terms' part of everything at risk, of each holder alike. The caller puts it somewhere. */
export function slash(state: LedgerState, node: Account, now: number): Slashed {
  const { slashRate } = termsOf(state);
  const offender = accountOf(state, node);
  let own = share(offender.bonded, slashRate);
  let others = 0n;
  offender.bonded -= own;
  for (const holder of state.accounts.values()) {
    let taken = 0n;
    const delegated = holder.delegations.get(node);
    if (delegated !== undefined) {
      taken = share(delegated, slashRate);
      offender.delegated -= taken;
      if (taken === delegated) holder.delegations.delete(node);
      else holder.delegations.set(node, delegated - taken);
    }
    for (const entry of holder.unbonding) {
      if (entry.node !== node) continue;
      const part = share(entry.amount, slashRate);
      entry.amount -= part;
      taken += part;
    }
    holder.unbonding = holder.unbonding.filter((entry) => entry.amount > 0n);
    if (holder === offender) own += taken;
    else others += taken;
  }
  review(state, node, now);
  return { own, others };
}

/**
 * Gives the accuser its share of what the offender itself lost, and forfeits the rest. Of what delegators lost the accuser gets
 * nothing: else an offender could take their stakes by accusing itself under another name.
 */
export function distribute(
  state: LedgerState,
  { own, others }: Slashed,
  offender: Account,
  accuser: Account,
): bigint {
  const prize = share(own, termsOf(state).challengerShare);
  accountOf(state, accuser).free += prize;
  forfeit(state, own - prize + others, offender);
  return prize;
}
