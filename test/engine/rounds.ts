/** Engines with a toy trainer each, and their rounds, for tests. */
import { GradmeshError } from "../../lib/base/errors.js";
import type { Communicator } from "../../lib/engine/communicator.js";
import { Engine } from "../../lib/engine/engine.js";
import { createStrategies } from "../../lib/strategy/registry.js";
import type { Strategy } from "../../lib/strategy/strategy.js";
import { createToy } from "./exchanges.js";
import { createGroup } from "./group.js";

export async function enginesOf(strategies: readonly Strategy[], members: number): Promise<Engine[]> {
  const make = async (_: unknown, shard: number) =>
    Engine.create({ trainer: await createToy(shard), strategies, seed: 3, threads: 1 });
  return Promise.all(Array.from({ length: members }, make));
}

export const engines = (section: unknown, members: number) => enginesOf(createStrategies(section), members);

export const close = (group: readonly Engine[]) => Promise.all(group.map((engine) => engine.close()));

export async function round(group: readonly Engine[]): Promise<void> {
  const communicators = createGroup(group.length);
  await Promise.all(group.map((engine, rank) => engine.exchange(communicators[rank]!)));
  await Promise.all(group.map((engine) => engine.apply()));
}

/** A communicator whose collectives fail from the `from`-th call on. */
export function failing(inner: Communicator, from: number): Communicator {
  let calls = 0;
  const maybe = <Result>(work: () => Promise<Result>): Promise<Result> => {
    calls += 1;
    return calls > from ? Promise.reject(new GradmeshError("ERR_PEER_LOST", "a peer is lost")) : work();
  };
  return {
    view: inner.view,
    rank: inner.rank,
    allReduce: (call) => maybe(() => inner.allReduce(call)),
    mix: (call) => maybe(() => inner.mix(call)),
    gatherWords: (call) => maybe(() => inner.gatherWords(call)),
    gatherAll: (call) => maybe(() => inner.gatherAll(call)),
  };
}
