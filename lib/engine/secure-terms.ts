/** What the members of a secure sum agree on before it, and the fixed-point numbers that they add. */
import { GradmeshError } from "../base/errors.js";
import type { Aggregate } from "../strategy/recipe.js";

export interface SecureTerms {
  /** Names the sum among all others, such as the run's id with epoch, round and exchange: it is in every key. */
  readonly name: string;
  /** Peer ids by rank. */
  readonly members: readonly string[];
  /** Members (t) that must be there to the end; fewer learn nothing together. */
  readonly threshold: number;
  /** The fewest contributions (k, 3 at least) of whose sum a member helps to take the masks off. */
  readonly contributorsMin: number;
  /** Of a contribution. */
  readonly elements: number;
  /** The largest magnitude of an element; larger ones count as it. */
  readonly bound: number;
  /** The run's: how contributions become one. */
  readonly aggregate: Aggregate;
}

/** Shamir shares are numbered by a byte. */
const MEMBERS_MAX = 255;

/** @throws ERR_CONFIG naming the field, its value and what is allowed. */
export function checkTerms(terms: SecureTerms): void {
  const refuse = (why: string): never => {
    throw new GradmeshError("ERR_CONFIG", `secure sum: ${why}`);
  };
  const { members, threshold, contributorsMin, bound, aggregate } = terms;
  const n = members.length;
  if (aggregate.kind !== "mean")
    refuse(
      `aggregate is "${aggregate.kind === "robust" ? aggregate.rule : aggregate.kind}": masks hide each contribution, and ` +
        "a rule over contributions must see them; allowed: the plain mean. Choose one of the two",
    );
  if (n < 3 || n > MEMBERS_MAX || new Set(members).size < n)
    refuse(`${n} members; allowed: 3 to ${MEMBERS_MAX}, each once (of two, each knows the other's)`);
  // Two sets of t would share no member, and each could be told that the other dropped out.
  if (!Number.isInteger(threshold) || 2 * threshold <= n || threshold > n)
    refuse(`threshold t is ${threshold}; allowed: n / 2 < t <= n, with n = ${n}`);
  if (!Number.isInteger(contributorsMin) || contributorsMin < 3 || contributorsMin > n)
    refuse(
      `contributorsMin k is ${contributorsMin}; allowed: 3 to ${n} (of a sum of two, each knows the other's)`,
    );
  if (!(bound > 0 && Number.isFinite(bound))) refuse(`bound is ${bound}; allowed: above 0, finite`);
}

/** Without so many contributions there is no sum. */
export const contributionsLeast = ({ threshold, contributorsMin }: SecureTerms): number =>
  Math.max(threshold, contributorsMin);

/** Steps from 0 to the bound: so many that no sum of n leaves 32 bits with their sign. */
const stepsOf = ({ members }: SecureTerms) => Math.floor((2 ** 31 - 1) / members.length);

/** Integers mod 2^32, in two's complement. @throws ERR_DIVERGED for what is not finite. */
export function toFixed(terms: SecureTerms, x: Float32Array): Uint32Array {
  const { bound, elements } = terms;
  if (x.length !== elements)
    throw new GradmeshError(
      "ERR_INVALID_ARGUMENT",
      `a contribution has ${x.length} elements, not ${elements}`,
    );
  const steps = stepsOf(terms);
  const fixed = new Uint32Array(elements);
  for (let i = 0; i < elements; i += 1) {
    const value = x[i]!;
    if (!Number.isFinite(value))
      throw new GradmeshError(
        "ERR_DIVERGED",
        `element ${i} of a contribution is ${value}; allowed: finite ones`,
      );
    fixed[i] = Math.round((Math.min(bound, Math.max(-bound, value)) / bound) * steps);
  }
  return fixed;
}

/** The mean of so many contributions whose integers add up to these. */
export function meanOfFixed(terms: SecureTerms, sum: Uint32Array, contributors: number): Float32Array {
  const signed = new Int32Array(sum.buffer, sum.byteOffset, sum.length);
  const steps = stepsOf(terms);
  return Float32Array.from(signed, (value) => (value / steps / contributors) * terms.bound);
}
