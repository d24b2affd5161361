/** Engines in one process that take rounds together, without a clock: for tests, and for whoever wants only the numbers. */
import { GradmeshError } from "../base/errors.js";
import type { Engine } from "../engine/engine.js";
import type { Exchanged } from "../engine/outcome.js";
import type { StrategyMember } from "../strategy/strategy.js";
import { LocalGroup } from "./group.js";
import type { PlanSets } from "./plans.js";

/** Members of a view whose ranks are their shards. */
export function membersOf(engines: readonly Engine[], shards?: readonly number[]): StrategyMember[] {
  return engines.map(({ trainer }, rank) => {
    const shard = shards?.[rank] ?? rank;
    return { peerId: `peer-${shard}`, shard, samples: trainer.samples ?? 1 };
  });
}

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array) =>
  new Uint8Array(buffer, byteOffset, byteLength);

/** What members vote on: the results of all are the same bytes. @throws ERR_DIVERGED naming two that differ. */
export function checkEqual(outcomes: readonly Exchanged[], members: readonly StrategyMember[]): void {
  for (const [index, mine] of outcomes[0]!.results.entries())
    for (const [rank, { results }] of outcomes.entries()) {
      const theirs = results[index];
      if (theirs !== undefined && Buffer.compare(bytesOf(mine), bytesOf(theirs)) === 0) continue;
      throw new GradmeshError(
        "ERR_DIVERGED",
        `${members[0]!.peerId} and ${members[rank]!.peerId} hold different results of exchange ${index}`,
      );
    }
}

export interface LockstepOptions {
  /** The run's. */
  readonly seed: number;
  /** By rank; default: the rank. */
  readonly shards?: readonly number[];
  readonly segmentElements?: number;
  readonly plans?: PlanSets;
}

/**
 * One round of all engines, from their inner steps to what follows the commit; the reports are by rank.
 * @throws as Engine does; ERR_DIVERGED where results differ that must be equal.
 */
export async function takeRound(engines: readonly Engine[], options: LockstepOptions): Promise<Exchanged[]> {
  const { seed, shards, segmentElements, plans } = options;
  const members = membersOf(engines, shards);
  const view = { epoch: 0, members, seed, measures: {} };
  const group = new LocalGroup({
    view,
    ...(segmentElements === undefined ? {} : { segmentElements }),
    ...(plans === undefined ? {} : { plans }),
  });
  try {
    await Promise.all(engines.map((engine) => engine.train()));
    const outcomes = await exchangeAll(engines, group);
    if (engines.every(({ equal }) => equal)) checkEqual(outcomes, members);
    await Promise.all(engines.map((engine) => engine.apply()));
    return outcomes;
  } finally {
    group.close();
  }
}

/** All engines' exchanges; one that fails ends those of the others, and its error is thrown. */
export async function exchangeAll(engines: readonly Engine[], group: LocalGroup): Promise<Exchanged[]> {
  const outcomes = await Promise.allSettled(
    engines.map(async (engine, rank) => {
      try {
        return await engine.exchange(group.communicators[rank]!);
      } catch (error) {
        group.fail(error);
        throw error;
      }
    }),
  );
  return outcomes.map((outcome) => {
    if (outcome.status === "rejected") throw outcome.reason;
    return outcome.value;
  });
}

/** So many rounds, one after another. */
export async function takeRounds(
  engines: readonly Engine[],
  rounds: number,
  options: LockstepOptions,
  onRound: (round: number, outcomes: readonly Exchanged[]) => void | Promise<void> = () => {},
): Promise<void> {
  for (let round = 1; round <= rounds; round += 1) await onRound(round, await takeRound(engines, options));
}
