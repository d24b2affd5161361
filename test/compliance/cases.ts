/** Every strategy of the registry at least once, small enough for a toy network, and variants that act differently. */
export interface Case {
  readonly name: string;
  /** A config's `strategy` section. */
  readonly strategy: unknown;
  /** Rounds in which the loss falls to at most this part of what it was. */
  readonly converges: { readonly rounds: number; readonly to: number };
}

const row = (name: string, strategy: unknown, rounds: number, to = 0.7): Case => ({
  name,
  strategy,
  converges: { rounds, to },
});

const outer = { momentumStart: 0.5, momentumEnd: 0.5, momentumWarmupRounds: 0 };
const signs = { learningRate: 0.004, feedbackDecay: 0.9 };

export const cases: readonly Case[] = [
  row("ddp", { name: "ddp" }, 40),
  row(
    "ddp, coded and fed back",
    { name: "ddp", codec: "int4_block", feedback: "sender", commitSteps: 3 },
    14,
  ),
  row("ddp, PowerSGD", { name: "ddp", powersgdRank: 2, commitSteps: 2 }, 20, 0.75),
  row("local-sgd", { name: "local-sgd", innerSteps: 4 }, 16),
  row("fedavg", { name: "fedavg", innerSteps: 4, fraction: 0.5 }, 14),
  row("fedprox", { name: "fedprox", innerSteps: 4 }, 16),
  row("fedadam", { name: "fedadam", innerSteps: 4 }, 24, 0.75),
  row("fedyogi", { name: "fedyogi", innerSteps: 4 }, 24, 0.75),
  row("diloco", { name: "diloco", innerSteps: 4 }, 14),
  row(
    "diloco, coded both ways",
    {
      name: "diloco",
      innerSteps: 4,
      codec: "eden:bits=2",
      downCodec: "int4_block",
      ownerFeedback: 1,
      ...outer,
    },
    12,
  ),
  row("diloco around a ring", { name: "diloco", innerSteps: 4, codec: "fp32", collective: "ring" }, 14),
  row(
    "diloco, every contribution to every member",
    { name: "diloco", innerSteps: 4, aggregate: { rule: "mean" } },
    14,
  ),
  row(
    "diloco by the median",
    { name: "diloco", innerSteps: 4, aggregate: { rule: "median", faulty: 1 } },
    16,
  ),
  row(
    "ddp, clipped around a center",
    { name: "ddp", codec: "fp32", commitSteps: 2, aggregate: { rule: "centeredClip", faulty: 1 } },
    24,
  ),
  row(
    "local-sgd, trimmed",
    { name: "local-sgd", innerSteps: 4, aggregate: { rule: "trimmedMean", faulty: 1 } },
    18,
  ),
  row("streaming-diloco", { name: "streaming-diloco", innerSteps: 6, fragments: 3, overlapSteps: 1 }, 10),
  row(
    "streaming-diloco, always on its way",
    { name: "streaming-diloco", innerSteps: 6, fragments: 3, overlapSteps: 2, mix: 0 },
    14,
  ),
  row("eager-diloco", { name: "eager-diloco", innerSteps: 4, ...outer, outerLearningRate: 0.4 }, 16, 0.85),
  row(
    "eager-diloco, naive delay",
    { name: "eager-diloco", innerSteps: 4, correction: false, ...outer, outerLearningRate: 0.4 },
    14,
    0.92,
  ),
  row("async-diloco, fewer steps", { name: "async-diloco", innerSteps: 4, speeds: [1, 0.5, 1, 0.25] }, 16),
  row(
    "async-diloco, seldom",
    { name: "async-diloco", innerSteps: 4, speeds: [1, 0.5, 0.4, 1], dylu: false, ...outer },
    18,
  ),
  row("sparse-diloco", { name: "sparse-diloco", innerSteps: 4 }, 14),
  row(
    "sparse-diloco on a ring",
    { name: "sparse-diloco", innerSteps: 4, topology: "ring", commitEvery: 2 },
    6,
  ),
  row("noloco", { name: "noloco", innerSteps: 4 }, 16),
  row("sparta", { name: "sparta", share: 0.05, commitEvery: 4 }, 16),
  row(
    "sparta by parts",
    { name: "sparta", share: 0.25, selector: "partition", interval: 2, overlapSteps: 1 },
    30,
  ),
  row("demo", { name: "demo", ...signs }, 70, 0.75),
  row("distro", { name: "distro", codec: "dct_topk:k=128,values=sign", commitSteps: 2, ...signs }, 25),
  row("sparseloco", { name: "sparseloco", innerSteps: 4, codec: "topk:k=512,values=int2" }, 16),
  row(
    "sparseloco, summed at owners",
    {
      name: "sparseloco",
      innerSteps: 4,
      way: "direct",
      codec: "topk:k=512",
      downCodec: "topk:k=1024",
      ownerFeedback: 0.9,
      clip: true,
    },
    16,
  ),
  row("subspace", { name: "subspace", innerSteps: 4, rank: 16 }, 20),
  row("frontier", { name: "frontier", innerSteps: 4, ...outer }, 12),
  row(
    "frontier, streams and rises by measure",
    {
      name: "frontier",
      innerSteps: 6,
      fragments: 3,
      overlapSteps: 1,
      codec: "eden:bits=1",
      bits: [
        [2, "eden:bits=2", "int4_block"],
        [50, "eden:bits=3", "int8_block"],
      ],
      noise: 0.05,
      ...outer,
    },
    12,
  ),
  row("hdee", { name: "hdee", innerSteps: 4, experts: [{ steps: 4 }, { steps: 2 }] }, 26),
  row(
    "sparta beside diloco",
    [
      { name: "sparta", share: 0.02 },
      { name: "diloco", innerSteps: 6, ...outer },
    ],
    8,
  ),
  row(
    "parts beside streaming-diloco",
    [
      { name: "sparta", share: 0.25, selector: "partition", interval: 2, overlapSteps: 1 },
      { name: "streaming-diloco", innerSteps: 6, fragments: 2, overlapSteps: 2 },
    ],
    10,
  ),
];
