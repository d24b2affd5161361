/** What the arms came to: losses over the seeds, bytes of both directions, and both beside the references of their phase. */
import type { ArmResult } from "../lib/gym/results.js";
import type { Phase } from "./convergence-forms.js";
import { armName, type Entry, REFERENCE, SINGLE } from "./convergence-recipes.js";

/** One peer's bytes for each inner step, on average over the peers and steps. */
export interface ArmBytes {
  readonly sent: number;
  readonly received: number;
  /** Beside what is sent, and as much beside what is received: of the transport, failed attempts, state for joining peers. */
  readonly overhead: number;
  /** What the strategy's own formula says is sent; null where it has none for changing members. */
  readonly cost: number | null;
}

export interface Outcome {
  readonly phase: Phase;
  readonly name: string;
  /** The strategies' names of the registry. */
  readonly strategies: readonly string[];
  readonly peers: number;
  readonly steps: number;
  readonly parameters: number;
  readonly note: string;
  readonly seeds: readonly number[];
  /** Final validation losses by seed, in nats. */
  readonly losses: readonly number[];
  /** Their mean. */
  readonly loss: number;
  /** Half of the range over the seeds; 0 of one. */
  readonly spread: number;
  /** Where there are classes: the part that is told right, the mean over the seeds. */
  readonly accuracy: number | null;
  /** Where peers end apart: what the best single one's loss has more than that of all peers' mean, the mean over seeds. */
  readonly apart: number | null;
  /** G: 1 as good as the reference, 0 as training alone; the mean over the seeds. Null of a phase without both. */
  readonly gap: number | null;
  /** Loss beside the reference's, 0.01 for 1 % more; the mean over the seeds. */
  readonly relative: number | null;
  readonly bytes: ArmBytes;
  /** How many times fewer bytes than the reference, sent and received, everything counted; null where none is sent. */
  readonly fewer: number | null;
  readonly digests: readonly string[];
  /** Validation losses of the first seed on the way, by inner step. */
  readonly curve: readonly (readonly [step: number, loss: number])[];
  /** How often peers died, were late, came and went, in all seeds. */
  readonly events: number;
}

const meanOf = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Both directions, everything counted: what is sent beside the payload arrives too. */
export const bytesBothWays = ({ sent, received, overhead }: ArmBytes): number =>
  sent + received + 2 * overhead;

const finalWorth = ({ rows }: ArmResult) =>
  rows.findLast(({ validation }) => validation !== null)?.validation;

function lossOf(result: ArmResult): number {
  return finalWorth(result)?.loss ?? Number.NaN;
}

function bytesOf(result: ArmResult): ArmBytes {
  const { rows, roundSteps, costBytesPerStep } = result;
  const perStep = (of: (bytes: ArmResult["rows"][number]["bytes"]) => number) =>
    rows.reduce((sum, { bytes, members }) => sum + of(bytes) / members, 0) / (rows.length * roundSteps);
  return {
    sent: perStep(({ payload }) => payload),
    received: perStep(({ received }) => received),
    overhead: perStep(({ framing, retried, state }) => framing + retried + state),
    cost: costBytesPerStep,
  };
}

type Plain = Omit<Outcome, "gap" | "relative" | "fewer">;

function plainOutcome({ phase, name, note = "" }: Entry, results: readonly ArmResult[]): Plain {
  const [first] = results;
  const losses = results.map(lossOf);
  const accuracies = results.flatMap((result) => finalWorth(result)?.accuracy ?? []);
  const apart = results.flatMap((result) => {
    const worth = finalWorth(result);
    return worth?.single === undefined ? [] : [worth.single.least - worth.loss];
  });
  return {
    phase,
    name,
    strategies: first!.strategies,
    peers: first!.peers,
    steps: first!.rows.length * first!.roundSteps,
    parameters: first!.parameters,
    note,
    seeds: results.map(({ seed }) => seed),
    losses,
    loss: meanOf(losses),
    spread: (Math.max(...losses) - Math.min(...losses)) / 2,
    accuracy: accuracies.length === 0 ? null : meanOf(accuracies),
    apart: apart.length === 0 ? null : meanOf(apart),
    bytes: bytesOf(first!),
    digests: results.map(({ rows }) => rows.at(-1)!.digest),
    curve: first!.rows.flatMap(({ step, validation }) =>
      validation === null ? [] : [[step, validation.loss] as const],
    ),
    events: results.reduce((sum, { events }) => sum + events.length, 0),
  };
}

/** Of the arm in the seeds in which its reference ran too. */
function beside(
  one: Plain,
  other: Plain | undefined,
  of: (own: number, its: number, seed: number) => number,
): number | null {
  const values = one.seeds.flatMap((seed, at) => {
    const its = other?.losses[other.seeds.indexOf(seed)];
    return its === undefined ? [] : [of(one.losses[at]!, its, seed)];
  });
  return values.length === 0 ? null : meanOf(values);
}

/** @param results of all seeds of all arms, finished. */
export function outcomesOf(entries: readonly Entry[], results: readonly ArmResult[]): Outcome[] {
  const byArm = Map.groupBy(results, ({ arm }) => arm);
  const plain = entries.flatMap((entry) => {
    const own = byArm.get(armName(entry)) ?? [];
    return own.length === 0 ? [] : [plainOutcome(entry, own)];
  });
  const find = (phase: Phase, name: string) => plain.find((one) => one.phase === phase && one.name === name);
  return plain.map((one) => {
    const reference = find(one.phase, REFERENCE);
    const single = find(one.phase, SINGLE);
    const own = bytesBothWays(one.bytes);
    const alone = (seed: number) => single?.losses[single.seeds.indexOf(seed)] ?? Number.NaN;
    const gap = beside(one, reference, (loss, its, seed) => (alone(seed) - loss) / (alone(seed) - its));
    return {
      ...one,
      gap: gap === null || Number.isNaN(gap) ? null : gap,
      relative: beside(one, reference, (loss, its) => loss / its - 1),
      fewer: reference === undefined || one.bytes.sent === 0 ? null : bytesBothWays(reference.bytes) / own,
    };
  });
}

/**
 * Of one phase: those than which none has both fewer bytes and a lower loss, the fewest bytes first. What is no better than
 * training alone is beaten by that, at no bytes.
 */
export function frontierOf(outcomes: readonly Outcome[]): Outcome[] {
  const sending = outcomes.filter(({ bytes, loss }) => bytes.sent > 0 && !Number.isNaN(loss));
  const ascending = sending.toSorted(
    (a, b) => bytesBothWays(a.bytes) - bytesBothWays(b.bytes) || a.loss - b.loss,
  );
  let best = outcomes.find(({ name }) => name === SINGLE)?.loss ?? Number.POSITIVE_INFINITY;
  return ascending.filter(({ loss }) => {
    const better = loss < best;
    best = Math.min(best, loss);
    return better;
  });
}
