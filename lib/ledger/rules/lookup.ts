/** Finding things in a ledger's state, and saying why something is refused. */
import { GradmeshError } from "../../base/errors.js";
import type { Account, Capability } from "../events.js";
import { capabilityBits } from "../events.js";
import {
  ACCOUNTS_MAX,
  type AccountState,
  type CheckState,
  type LedgerState,
  POOL,
  type RoundState,
  type Terms,
  type Unit,
  type UnitStatus,
} from "./state.js";

/** @throws ERR_LEDGER with the reason in words. */
export function refuse(reason: string): never {
  throw new GradmeshError("ERR_LEDGER", reason);
}

export function termsOf(state: LedgerState): Terms {
  return state.terms ?? refuse("the ledger has no RunCreated");
}

export function newAccount(account: Account): AccountState {
  return {
    account,
    nonce: 0n,
    registered: false,
    ejected: false,
    capabilities: 0,
    commission: 0,
    name: "",
    entry: POOL,
    credentialRate: null,
    free: 0n,
    bonded: 0n,
    pledged: 0n,
    unbonding: [],
    delegations: new Map(),
    delegated: 0n,
    locked: 0n,
    claimable: 0n,
    shares: 0n,
    inner: null,
  };
}

/** The account, which comes into being by being named. Only for changes; whether there is room was checked. */
export function accountOf(state: LedgerState, account: Account): AccountState {
  let found = state.accounts.get(account);
  if (found === undefined) {
    found = newAccount(account);
    state.accounts.set(account, found);
  }
  return found;
}

export function checkRoom(state: LedgerState, account: Account): void {
  if (!state.accounts.has(account) && state.accounts.size >= ACCOUNTS_MAX)
    refuse(`the ledger holds ${ACCOUNTS_MAX} accounts already`);
}

export function hasCapability(
  { capabilities }: Pick<AccountState, "capabilities">,
  name: Capability,
): boolean {
  return (capabilities & capabilityBits[name]) !== 0;
}

/** The account of who takes part in the run. @throws ERR_LEDGER where it is not registered, or ejected. */
export function registered(state: LedgerState, account: Account): AccountState {
  const found = state.accounts.get(account);
  if (!found?.registered) return refuse(`${account} is not registered`);
  if (found.ejected) return refuse(`${account} was ejected`);
  return found;
}

/** Its stake, by which it is drawn: its own and what is delegated to it. */
export function stakeOf({ bonded, delegated }: Pick<AccountState, "bonded" | "delegated">): bigint {
  return bonded + delegated;
}

export function roundOf(state: LedgerState, round: number): RoundState {
  const found = state.rounds.get(round);
  if (found !== undefined) return found;
  return refuse(
    round < state.nextRound ? `round ${round} is over and paid` : `round ${round} is not opened yet`,
  );
}

/** Transitions of every unit: its inner steps, and from the last state to the contribution. */
export function transitionsOf(state: LedgerState): number {
  return termsOf(state).unitSteps + 1;
}

/** Leaves of a unit's tree: its states and the contribution. */
export function unitLeaves(state: LedgerState): number {
  return termsOf(state).unitSteps + 2;
}

/** What is in dispute: a worker's unit, or as transition 0 the round's aggregate, which is the sequencer's. */
export function disputedUnit(
  state: LedgerState,
  round: RoundState,
  worker: Account,
  transition: number,
): Unit | undefined {
  if (transition !== 0) return round.units.get(worker);
  return worker === state.submitter ? (round.aggregate ?? undefined) : undefined;
}

/**
 * Whether an accuser need open no dispute: it has one about the unit, as each may have one at a time, or another has won one
 * about that transition. One that another only opened does not count: a friend of the worker's could open it to lose it.
 */
export function isAnswered(
  state: Pick<LedgerState, "disputes">,
  round: number,
  { worker, transition, verifier }: Pick<CheckState, "worker" | "transition" | "verifier">,
): boolean {
  return [...state.disputes.values()].some(
    (dispute) =>
      dispute.round === round &&
      dispute.worker === worker &&
      dispute.transition !== 0 &&
      (dispute.challenger === verifier ||
        (dispute.transition === transition && dispute.outcome === "challenger")),
  );
}

/** Every unit of the round, and its aggregate where there is one. */
export function unitsOf(round: RoundState): Unit[] {
  return [...round.units.values(), ...(round.aggregate === null ? [] : [round.aggregate])];
}

/** What a unit is beside the disputes about it. */
export function standing(unit: Unit): UnitStatus {
  return unit.openDisputes > 0 ? unit.resume : unit.status;
}

export function newUnit(
  worker: Account,
  behind: Pick<Unit, "ratePpm" | "ownStake" | "commission" | "delegators">,
): Unit {
  return {
    worker,
    status: "assigned",
    resume: "assigned",
    commitment: null,
    revealed: null,
    ...behind,
    payouts: [],
    lockEnd: null,
    openDisputes: 0,
  };
}

/** Gives a unit a new standing; while disputes are open, it stays disputed. */
export function place(unit: Unit, status: UnitStatus): void {
  if (unit.openDisputes > 0) unit.resume = status;
  else unit.status = status;
}

export function lesser(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

function copyAny(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (value instanceof Map) return new Map([...value].map(([key, item]) => [key, copyAny(item)]));
  if (value instanceof Set) return new Set(value);
  if (Array.isArray(value)) return value.map(copyAny);
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, copyAny(item)]));
}

/** A copy of plain data that shares nothing which can change. */
export function copyOf<Value>(value: Value): Value {
  return copyAny(value) as Value;
}
