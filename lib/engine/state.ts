/** Which tensors make up a peer's state: what members share and a joiner receives, and what stays on its peer. */
import type { Recipe, Strategy } from "../strategy/strategy.js";
import type { NamedTensor } from "../tensor/layout.js";
import type { Trainer } from "../trainer/trainer.js";
import type { Exchange } from "./exchange.js";

/** After each commit the parameters are the anchor, so they need no place of their own; fragments in turn have moved on. */
export function parametersFollow({ membership, fragments, staleness, commit, outer }: Recipe): boolean {
  return (
    membership.join === "anchor" &&
    fragments.kind === "all" &&
    staleness.kind === "overlap" &&
    staleness.mix === 0 &&
    commit.equal &&
    outer.kind !== "delayedNesterov"
  );
}

const bucket = (name: string, data: Float32Array): NamedTensor => ({ name, shape: [data.length], data });

/** Names of exchanges' tensors begin with their strategy, counted where it appears more than once. */
function prefixed(
  strategies: readonly Strategy[],
  exchanges: readonly (Exchange | null)[],
  which: "shared" | "local",
): NamedTensor[] {
  return exchanges.flatMap((exchange, index) =>
    (exchange?.[which] ?? []).map(({ name, ...rest }) => ({
      ...rest,
      name: `${strategies[index]!.recipe.strategy}.${index}/${name}`,
    })),
  );
}

const joins = (strategies: readonly Strategy[]) => strategies.map(({ recipe }) => recipe.membership.join);

export function sharedTensors(
  trainer: Trainer,
  strategies: readonly Strategy[],
  exchanges: readonly (Exchange | null)[],
): readonly NamedTensor[] {
  const own = prefixed(strategies, exchanges, "shared");
  const ways = joins(strategies);
  if (ways.includes("anchor") || ways.every((way) => way === "nothing")) return own;
  const inner = ways.includes("parametersAndInner") ? trainer.innerState : [];
  return [bucket("parameters", trainer.parameters), ...inner, ...own];
}

export function localTensors(
  trainer: Trainer,
  strategies: readonly Strategy[],
  exchanges: readonly (Exchange | null)[],
): readonly NamedTensor[] {
  const shared = new Set(sharedTensors(trainer, strategies, exchanges).map(({ data }) => data));
  const follow = strategies.some(({ recipe }) => parametersFollow(recipe));
  const parameters = follow ? [] : [bucket("parameters", trainer.parameters)];
  const all = [...parameters, ...trainer.innerState, ...prefixed(strategies, exchanges, "local")];
  return all.filter(({ data }) => !shared.has(data));
}

/** Whether what members share is the same bytes on all of them: also where what one averages follows another's anchor. */
export function sharesBytes(strategies: readonly Strategy[]): boolean {
  const recipes = strategies.map(({ recipe }) => recipe);
  return recipes.some(parametersFollow) || recipes.every(({ commit }) => commit.equal);
}

/** All that a round changes, each once: within a round the parameters are not the anchor. */
export function everyTensor(
  trainer: Trainer,
  shared: readonly NamedTensor[],
  local: readonly NamedTensor[],
): NamedTensor[] {
  const parameters = bucket("parameters", trainer.parameters);
  const all = [parameters, ...shared, ...local];
  return [...new Map(all.map((tensor) => [tensor.data, tensor])).values()];
}
