/** Views and readings of strategies' actions that the tests of this room share. */
import type { GradmeshError } from "../../lib/base/errors.js";
import { createCollectiveCost } from "../../lib/strategy/cost.js";
import { createStrategies } from "../../lib/strategy/registry.js";
import type { Action, Strategy, StrategyCost, StrategyView } from "../../lib/strategy/strategy.js";
import { TensorLayout } from "../../lib/tensor/layout.js";

export function viewOf(peers: number, samples: (shard: number) => number = () => 1, seed = 7): StrategyView {
  const members = Array.from({ length: peers }, (_, shard) => ({
    peerId: `peer-${shard}`,
    shard,
    samples: samples(shard),
  }));
  return { epoch: 1, members, seed, measures: {} };
}

export const one = (options: unknown): Strategy => createStrategies(options)[0]!;

/** "begin 3", "apply 2", "commit 0", and the fragment where it is not 0. */
export function brief(action: Action): string {
  if (action.kind === "commit") return `commit ${action.round}`;
  return `${action.kind} ${action.exchange}${action.fragment === 0 ? "" : ` of ${action.fragment}`}`;
}

/** The actions of the steps from 0 to `last`, without the steps that have none: "20: begin 0, apply 0, commit 0". */
export function timetable(strategy: Strategy, last: number, view = viewOf(4)): string[] {
  return Array.from({ length: last + 1 }, (_, step) => {
    const list = strategy.actions(step, view).map(brief);
    return list.length === 0 ? "" : `${step}: ${list.join(", ")}`;
  }).filter((line) => line !== "");
}

export const layoutOf = (elements: number) => new TensorLayout([{ name: "all", shape: [elements] }]);

/** What the first rounds up to step `to` cost rank 0. */
export function costOf(
  options: unknown,
  to: number,
  { layout = layoutOf(100_000), view = viewOf(4), rank = 0 } = {},
): StrategyCost {
  return one(options).cost({ layout, rank, view, from: 0, to, collectiveCost: createCollectiveCost() });
}

export const configError = (message: string | RegExp) => (error: GradmeshError) =>
  error.code === "ERR_CONFIG" &&
  (typeof message === "string" ? error.message === message : message.test(error.message));
