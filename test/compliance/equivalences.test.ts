/**
 * Where one strategy's plainest case is another strategy, taken through the engine: bit for bit where both round alike, else
 * within what float32 rounds off. Nothing is tuned here, so each is an oracle for both.
 */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { defineStrategy, exchangeEvery } from "../../lib/strategy/define.js";
import { plainRecipe } from "../../lib/strategy/recipe.js";
import { createStrategies } from "../../lib/strategy/registry.js";
import { Swarm, type SwarmOptions, withSwarm } from "./swarm.js";

const plain = { momentumStart: 0, momentumEnd: 0, momentumWarmupRounds: 0 };
const averaging = { outerLearningRate: 1, ...plain };
const sgd = { optimizer: "sgd", learningRate: 0.05 };

/** Parameters of rank 0 after so many rounds. */
const parametersAfter = (options: SwarmOptions, rounds: number): Promise<Float32Array> =>
  withSwarm(options, async (swarm) => {
    await swarm.take(rounds);
    return swarm.engines[0]!.trainer.parameters.slice();
  });

function expectSame(actual: Float32Array, expected: Float32Array): void {
  const at = actual.findIndex((value, index) => !Object.is(value, expected[index]));
  assert.ok(
    actual.length === expected.length && at < 0,
    `element ${at} is ${actual[at]}, not ${expected[at]}`,
  );
}

/** Euclidean distance beside the length of the second. */
function distance(actual: Float32Array, expected: Float32Array): number {
  let [apart, length] = [0, 0];
  for (const [index, value] of expected.entries()) {
    apart += (actual[index]! - value) ** 2;
    length += value ** 2;
  }
  return Math.sqrt(apart / length);
}

/** Both the same bits after each of three rounds, of so many peers; they do change. */
async function sameBits(
  one: unknown,
  other: unknown,
  options: Omit<SwarmOptions, "strategy"> = {},
): Promise<void> {
  const before = await parametersAfter({ ...options, strategy: one }, 0);
  for (const rounds of [1, 2, 3]) {
    const actual = await parametersAfter({ ...options, strategy: one }, rounds);
    expectSame(actual, await parametersAfter({ ...options, strategy: other }, rounds));
    assert.ok(distance(actual, before) > 1e-3);
  }
}

/** Both within rounding after a round and after three, which Adam may make more of. */
async function near(
  one: unknown,
  other: unknown,
  { within = 1e-6, ...options }: Omit<SwarmOptions, "strategy"> & { readonly within?: number } = {},
): Promise<void> {
  for (const rounds of [1, 3]) {
    const actual = await parametersAfter({ ...options, strategy: one }, rounds);
    const apart = distance(actual, await parametersAfter({ ...options, strategy: other }, rounds));
    assert.ok(apart <= rounds * within, `after ${rounds} rounds ${apart} apart`);
  }
}

const diloco = (options: object) => ({ name: "diloco", innerSteps: 4, ...options });

test("DiLoCo of one peer that averages is no communication at all", async () => {
  const alone = { name: "hdee", innerSteps: 4 };
  await near(diloco({ codec: "fp32", ...averaging }), alone, { peers: 1, within: 1e-7 });
  for (const strategy of [
    diloco({}),
    { name: "sparta" },
    { name: "demo" },
    { name: "noloco", innerSteps: 4 },
  ])
    await withSwarm({ strategy, peers: 1 }, async (swarm) => {
      for (const { bytesSent } of await swarm.take(2)) assert.is(bytesSent, 0);
    });
});

test("DiLoCo of one step that averages, of plain SGD inside, is data parallel SGD", async () => {
  const one = diloco({ innerSteps: 1, codec: "fp32", ...averaging });
  await near(one, { name: "ddp" }, { trainer: sgd, within: 1e-7 });
});

test("streaming one fragment at once is DiLoCo, whatever the codec", async () => {
  for (const coding of [
    { codec: "fp32" },
    { codec: "eden:bits=2", downCodec: "int4_block", ownerFeedback: 1 },
  ]) {
    const options = { innerSteps: 4, outerLearningRate: 0.7, ...coding };
    const streaming = { name: "streaming-diloco", fragments: 1, overlapSteps: 0, mix: 0, ...options };
    await sameBits(streaming, diloco(options));
    await sameBits(
      {
        name: "frontier",
        momentumStart: 0.5,
        momentumWarmupRounds: 10,
        downCodec: null,
        ownerFeedback: null,
        ...options,
      },
      diloco(options),
    );
  }
});

test("streaming without overlap by plain averaging sends every fragment's own steps", async () => {
  // Of one peer nothing is averaged, so any fragments in any turn change nothing.
  const streaming = {
    name: "streaming-diloco",
    innerSteps: 6,
    fragments: 3,
    overlapSteps: 0,
    mix: 0,
    codec: "fp32",
  };
  await near({ ...streaming, ...averaging }, { name: "hdee", innerSteps: 6 }, { peers: 1, within: 1e-7 });
});

test("eager updates of one peer are DiLoCo of one peer", async () => {
  const options = { innerSteps: 4, codec: "fp32", momentumStart: 0.5, momentumEnd: 0.5 };
  await sameBits({ name: "eager-diloco", ...options }, diloco(options), { peers: 1 });
});

test("NoLoCo of two peers has nothing to pull together, and without momentum it is DiLoCo", async () => {
  const noloco = (gamma: number, alpha = 0.5) => ({ name: "noloco", innerSteps: 4, gamma, alpha });
  await sameBits(noloco(0.7), noloco(0), { peers: 2 });
  await withSwarm({ strategy: noloco(0.7), peers: 2 }, async (swarm) => {
    await swarm.take(2);
    const [one, other] = swarm.digests();
    assert.is(one, other);
  });
  await near(noloco(0.7, 0), diloco({ codec: "fp32", ...plain, outerLearningRate: 0.7 }), { peers: 2 });
});

test("SPARTA of all parameters is local SGD of one step, however they are chosen", async () => {
  const local = { name: "local-sgd", innerSteps: 1 };
  await sameBits({ name: "sparta", share: 1 }, local);
  await sameBits({ name: "sparta", share: 1, selector: "partition" }, local);
});

/** DeMo's exchange with plain SGD in place of the sign. */
const transformed = (up: string) =>
  defineStrategy({
    recipe: {
      ...plainRecipe,
      strategy: "demo without sign",
      trigger: exchangeEvery(1),
      source: "gradient",
      feedback: { kind: "momentum", decay: 0 },
      coding: { up, down: null, ownerFeedback: null },
      route: { kind: "gather" },
      outer: { kind: "sgd" },
      membership: { join: "parameters", late: "nothing" },
      commit: { steps: 1, equal: true },
    },
    learningRate: () => sgd.learningRate,
  });

test("DeMo of all coefficients, without memory and sign, is data parallel SGD", async () => {
  // The toy's rate falls from its first step on by a little, so one step counts.
  const ddp = await parametersAfter({ strategy: { name: "ddp" }, trainer: sgd }, 1);
  const after = (up: string) => parametersAfter({ strategies: [transformed(up)], trainer: sgd }, 1);
  assert.ok(distance(await after("dct_topk:k=4096"), ddp) <= 1e-6);
  assert.ok(distance(await after("fp32"), ddp) <= 1e-7);
  assert.ok(distance(await after("dct_topk:k=64"), ddp) > 1e-4);
});

test("SparseLoCo that keeps all elements is federated averaging, and owes nothing", async () => {
  const options = { innerSteps: 4 };
  const sparse = { name: "sparseloco", codec: "topk:k=4096", ...options };
  const averaged = { name: "fedavg", weighting: "uniform", ...options };
  await sameBits(sparse, averaged);
  await withSwarm({ strategy: sparse }, async (swarm) => {
    await swarm.take(2);
    const feedback = swarm.engines[0]!.local.find(({ name }) => name.includes("feedback"));
    assert.ok(feedback!.data.every((value) => value === 0));
  });
});

test("PowerSGD of a rank at which nothing is saved is data parallel training", async () => {
  await sameBits({ name: "ddp", powersgdRank: 64 }, { name: "ddp" });
});

test("sparse DiLoCo where all are neighbours is DiLoCo", async () => {
  for (const options of [averaging, { momentumStart: 0.5, momentumEnd: 0.9, momentumWarmupRounds: 10 }]) {
    const sparse = { name: "sparse-diloco", innerSteps: 4, topology: "complete", ...options };
    await near(sparse, diloco({ codec: "fp32", ...options }));
  }
});

test("FedProx that pulls with 0 is FedAvg, which is DiLoCo that averages, and local SGD", async () => {
  const options = { innerSteps: 4 };
  const averaged = { name: "fedavg", weighting: "uniform", ...options };
  await sameBits({ name: "fedprox", mu: 0, weighting: "uniform", ...options }, averaged);
  await sameBits(diloco({ codec: "fp32", ...averaging }), averaged);
  await near({ name: "local-sgd", ...options }, averaged);
});

test("FedAdam without memory, whose adaptivity hardly adapts, is FedAvg", async () => {
  const options = { innerSteps: 4, weighting: "uniform" };
  // From v = epsilon^2 it comes to 0.99 epsilon^2 and a change's square, so the divisor to epsilon (1 + sqrt 0.99).
  const scaled = { beta1: 0, beta2: 0.99, epsilon: 1, serverLearningRate: 1 + Math.sqrt(0.99) };
  for (const name of ["fedadam", "fedyogi"]) {
    const adaptive = await parametersAfter({ strategy: { name, ...options, ...scaled } }, 1);
    const averaged = await parametersAfter({ strategy: { name: "fedavg", ...options } }, 1);
    assert.ok(distance(adaptive, averaged) <= (name === "fedadam" ? 1e-5 : 1e-3), name);
  }
});

test("asynchronous DiLoCo of equal speeds is DiLoCo, with momentum and any codec", async () => {
  for (const codec of ["fp32", "int8_block", "eden:bits=1"])
    for (const dylu of [true, false])
      await sameBits({ name: "async-diloco", innerSteps: 4, codec, dylu }, diloco({ codec }));
});

test("a subspace of all directions is DiLoCo", async () => {
  const subspace = { name: "subspace", innerSteps: 4, rank: 64, columns: 64, ...averaging };
  await near(subspace, diloco({ codec: "fp32", ...averaging }), { within: 1e-5 });
});

test("a top-k of all elements is fp32, with feedback and without", async () => {
  for (const feedback of ["none", "sender"])
    await sameBits({ name: "ddp", codec: "topk:k=4096", feedback }, { name: "ddp" });
});

test("a peer that changed nothing takes its part of the mean", async () => {
  const lazy = (ranks: number) => {
    const [strategy] = createStrategies(diloco({ codec: "fp32", ...averaging }));
    return [{ ...strategy!, trains: (_: number, __: unknown, rank: number) => rank < ranks }];
  };
  const four = await parametersAfter({ strategies: lazy(3), peers: 4 }, 1);
  const less = diloco({ codec: "fp32", ...averaging, outerLearningRate: 3 / 4 });
  assert.ok(distance(four, await parametersAfter({ strategy: less, peers: 3 }, 1)) <= 1e-7);
});

test("who has which rank changes nothing, where sums are exact", async () => {
  const trained = async (strategy: unknown, order: readonly number[]) => {
    const swarm = await Swarm.create({ strategy });
    try {
      swarm.peers = order.map((shard) => swarm.peers[shard]!);
      await swarm.take(3);
      assert.is(new Set(swarm.digests()).size, 1);
      return swarm.digests()[0];
    } finally {
      await swarm.close();
    }
  };
  for (const codec of ["int8_block", "int4_block", "e3m0"]) {
    const strategy = diloco({ codec });
    const digest = await trained(strategy, [0, 1, 2, 3]);
    for (const order of [
      [3, 2, 1, 0],
      [2, 0, 3, 1],
    ])
      assert.is(await trained(strategy, order), digest, `${codec} in the order ${order}`);
  }
});

test.run();
