/** Members of a group with a toy trainer each, and their exchanges taken step by step, for tests. */
import * as assert from "uvu/assert";
import { type Communicator, SLOTS_PER_EXCHANGE } from "../../lib/engine/communicator.js";
import { createExchange } from "../../lib/engine/create.js";
import type { Exchange, Flight } from "../../lib/engine/exchange.js";
import { native } from "../../lib/native/load.js";
import { plainRecipe, type Recipe } from "../../lib/strategy/recipe.js";
import type { ApplyAction, BeginAction } from "../../lib/strategy/strategy.js";
import { TensorLayout } from "../../lib/tensor/layout.js";
import type { StepContext, Trainer } from "../../lib/trainer/trainer.js";
import { createGroup } from "./group.js";

/** Matrices that PowerSGD factors, one that it does not, and vectors. */
export const toyLayout = new TensorLayout([
  { name: "embedding", shape: [48, 64] },
  { name: "bias", shape: [64] },
  { name: "block.weight", shape: [3, 10, 20] },
  { name: "block.small", shape: [2, 2] },
]);

/** loss = |x - target|^2 / 2 plus noise of the step, so that gradients differ between shards and steps; plain SGD. */
export interface Toy extends Trainer {
  readonly gradients: Float32Array;
  gradient(context: StepContext): Promise<{ loss: number; tokens: number }>;
  update(context: StepContext): Promise<void>;
}

export async function normals(seed: number, stream: number, elements: number): Promise<Float32Array> {
  const target = new Float32Array(elements);
  await native.randomNormal(seed, stream, 0, 1, target);
  return target;
}

const LEARNING_RATE = 0.1;

export async function createToy(shard: number, layout = toyLayout): Promise<Toy> {
  const { elements } = layout;
  const parameters = await normals(7, 0, elements);
  const target = await normals(7, 1 + shard, elements);
  const gradients = new Float32Array(elements);
  const toy: Toy = {
    layout,
    parameters,
    gradients,
    innerState: [],
    fingerprint: "toy",
    async gradient({ step }) {
      const noise = await normals(8 + shard, step, elements);
      for (const [i, value] of parameters.entries()) gradients[i] = value - target[i]! + 0.1 * noise[i]!;
      return { loss: 0, tokens: 1 };
    },
    async update() {
      for (const [i, value] of gradients.entries()) parameters[i]! -= Math.fround(LEARNING_RATE * value);
    },
    async step(context) {
      const result = await toy.gradient(context);
      await toy.update(context);
      return result;
    },
    evaluate: async () => ({ loss: 0 }),
    close() {},
  };
  return toy;
}

/** Fails at the first element whose bits differ, with its place: a deep comparison prints thousands of elements. */
export function assertSame(actual: Float32Array, expected: Float32Array): void {
  assert.is(actual.length, expected.length);
  const at = actual.findIndex((value, i) => !Object.is(value, expected[i]));
  assert.ok(at < 0, `element ${at} is ${actual[at]}, not ${expected[at]}`);
}

export const recipeOf = (slots: Partial<Recipe>): Recipe => ({
  ...plainRecipe,
  strategy: "test",
  trigger: { steps: 1, offset: 0 },
  source: "delta",
  coding: { up: "fp32", down: null, ownerFeedback: null },
  route: { kind: "allReduce", collective: "direct" },
  outer: { kind: "sgd" },
  commit: { steps: 1, equal: true },
  ...slots,
});

/** How an exchange of the recipe begins. */
export function beginOf(recipe: Recipe, exchange: number, changed: Partial<BeginAction> = {}): BeginAction {
  const { route, coding } = recipe;
  const collective =
    route.kind === "allReduce" ? route.collective : route.kind === "none" ? "direct" : route.kind;
  return {
    kind: "begin",
    exchange,
    fragment: 0,
    up: coding.up,
    down: coding.down,
    collective,
    topologyRound: exchange,
    weights: null,
    ...changed,
  };
}

export function applyOf(exchange: number, changed: Partial<ApplyAction> = {}): ApplyAction {
  return {
    kind: "apply",
    exchange,
    fragment: 0,
    learningRate: 1,
    momentum: 0,
    mix: 0,
    weights: null,
    ...changed,
  };
}

export interface Member {
  readonly toy: Toy;
  readonly exchange: Exchange;
  readonly over: Communicator;
}

export async function createMembers(recipe: Recipe, count: number, layout = toyLayout): Promise<Member[]> {
  const members: Member[] = [];
  for (const over of createGroup(count)) {
    const toy = await createToy(over.rank, layout);
    const exchange = createExchange({ recipe, trainer: toy, seed: 1, index: 0, threads: 1 })!;
    await exchange.start();
    members.push({ toy, exchange, over });
  }
  return members;
}

/** Lets every member send; what they get waits for finish(). */
export async function send(members: readonly Member[], begin: BeginAction): Promise<readonly Flight[]> {
  const flights = await Promise.all(members.map(({ exchange, over }) => exchange.capture(begin, over)));
  await communicate(members, flights);
  return flights;
}

/** What was captured by each member goes to all. */
export async function communicate(members: readonly Member[], flights: readonly Flight[]): Promise<void> {
  const outcomes = flights.map((flight, rank) => {
    let slot = flight.begin.exchange * SLOTS_PER_EXCHANGE;
    return flight.communicate(members[rank]!.over, () => slot++, true);
  });
  await Promise.all(outcomes);
}

export async function finish(
  members: readonly Member[],
  flights: readonly Flight[],
  action: ApplyAction,
): Promise<void> {
  await Promise.all(flights.map((flight, rank) => flight.apply(action, members[rank]!.over)));
}

/** Everything that makes up a member's state, as one digest. */
export async function digestOf({ toy, exchange }: Member): Promise<string> {
  const tensors = [...exchange.shared, ...exchange.local].map(({ data }) => data);
  return native.digest([toy.parameters, ...tensors]);
}

export async function close(members: readonly Member[]): Promise<void> {
  for (const { exchange } of members) exchange.close();
}
