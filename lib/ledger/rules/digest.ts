/** What a ledger's state comes to: its digest, and the books, which must balance. */
import { canonicalDigest } from "../../base/canonical-json.js";
import { GradmeshError } from "../../base/errors.js";
import type { Hash } from "../events.js";
import type { LedgerState } from "./state.js";

/** The value as JSON can hold it: amounts as text, maps as objects, sets as sorted lists. */
function plain(value: unknown): unknown {
  if (typeof value === "bigint") return `${value}`;
  if (typeof value !== "object" || value === null) return value;
  if (value instanceof Map)
    return Object.fromEntries([...value].map(([key, item]) => [`${key}`, plain(item)]));
  if (value instanceof Set) return [...value].map(plain).sort();
  if (Array.isArray(value)) return value.map(plain);
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]));
}

/**
 * SHA-256 of the state in a canonical form: equal states, equal digests, on every machine.
 * @throws ERR_LEDGER where the books do not balance: nobody signs such a state, or takes a snapshot of it.
 */
export function stateDigest(state: LedgerState): Hash {
  if (!conserved(state)) {
    const { deposited, ...places } = booksOf(state);
    const amounts = Object.entries(places).map(([place, amount]) => `${place} ${amount}`);
    throw new GradmeshError(
      "ERR_LEDGER",
      `the books do not balance, which is a defect of the rules: deposited ${deposited}, but ${amounts.join(", ")}; replay the ledger with the release that wrote it`,
    );
  }
  return canonicalDigest(plain(state));
}

/** Where all units are. */
export interface Books {
  readonly deposited: bigint;
  readonly free: bigint;
  readonly bonded: bigint;
  readonly unbonding: bigint;
  readonly delegated: bigint;
  readonly locked: bigint;
  readonly claimable: bigint;
  /** Laid down in disputes out of free balances; what is pledged of stakes stays with the stakes. */
  readonly held: bigint;
  /** What open rounds keep back for their units included. */
  readonly pool: bigint;
  readonly burned: bigint;
  readonly withdrawn: bigint;
}

const sum = (amounts: Iterable<bigint>) => [...amounts].reduce((total, amount) => total + amount, 0n);

export function booksOf(state: LedgerState): Books {
  const accounts = [...state.accounts.values()];
  const { deposited, pool, burned, withdrawn } = state;
  return {
    deposited,
    free: sum(accounts.map(({ free }) => free)),
    bonded: sum(accounts.map((account) => account.bonded)),
    unbonding: sum(accounts.flatMap((account) => account.unbonding.map(({ amount }) => amount))),
    delegated: sum(accounts.flatMap(({ delegations }) => [...delegations.values()])),
    locked: sum(accounts.map(({ locked }) => locked)),
    claimable: sum(accounts.map(({ claimable }) => claimable)),
    held: sum([...state.disputes.values()].map(({ held }) => held)),
    pool: pool + sum([...state.rounds.values()].map(({ reserved }) => reserved)),
    burned,
    withdrawn,
  };
}

/** Whether no unit was made or lost: everything in the books adds up to the deposits, and nothing is negative. */
export function conserved(state: LedgerState): boolean {
  const { deposited, ...places } = booksOf(state);
  const amounts = Object.values(places) as bigint[];
  return amounts.every((amount) => amount >= 0n) && sum(amounts) === deposited;
}
