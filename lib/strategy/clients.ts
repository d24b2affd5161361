/** Federated learning's choice of clients: which peers train in a round, and how much each one's result weighs. Pure. */
import { z } from "zod";
import { philox } from "../base/random.js";
import type { StrategyDefinition } from "./define.js";
import type { Schedule } from "./schedule.js";
import type { StrategyMember, StrategyView } from "./strategy.js";

/** Random numbers of round r are of stream FIRST_STREAM + r, which nothing else uses. */
const FIRST_STREAM = 0x5e1ec7 * 2 ** 24;

export const clientFields = {
  fraction: z
    .number()
    .gt(0)
    .max(1)
    .default(1)
    .describe("of the peers, how many train in a round, drawn anew each time; at least one"),
  weighting: z
    .enum(["samples", "uniform"])
    .default("samples")
    .describe("how results are averaged: by the samples of each peer's shard, or all alike"),
};

export interface ClientOptions {
  readonly fraction: number;
  readonly weighting: "samples" | "uniform";
}

/** By rank, whether a peer is one of the round's: the lowest numbers drawn by the seed, ties by shard. */
export function chosenClients({ members, seed }: StrategyView, round: number, fraction: number): boolean[] {
  const count = Math.max(1, Math.round(fraction * members.length));
  const draw = ({ shard }: StrategyMember) => philox(seed, FIRST_STREAM + round, shard);
  const order = members.toSorted((a, b) => draw(a) - draw(b) || a.shard - b.shard);
  const chosen = new Set(order.slice(0, count));
  return members.map((member) => chosen.has(member));
}

/** By rank, null where all weigh the same: an unweighted mean takes fewer roundings. */
export function clientWeights({ fraction, weighting }: ClientOptions): Schedule<readonly number[] | null> {
  return ({ round, view }) => {
    const chosen = chosenClients(view, round, fraction);
    const weights = view.members.map(({ samples }, rank) => {
      if (!chosen[rank]) return 0;
      return weighting === "samples" ? samples : 1;
    });
    return weights.every((weight) => weight === weights[0]) ? null : weights;
  };
}

/** The part of a definition by which only chosen clients train and count. @param innerSteps of a round. */
export function clientsOf(
  options: ClientOptions,
  innerSteps: number,
): Pick<StrategyDefinition, "weights" | "trains"> {
  const weights = clientWeights(options);
  if (options.fraction === 1) return { weights };
  return {
    weights,
    trains: (step, view, rank) =>
      chosenClients(view, Math.floor(step / innerSteps), options.fraction)[rank] ?? false,
  };
}
