/** The arms from random weights: every strategy, and the variants that experiments need. */
import type { PhaseForm } from "./convergence-forms.js";
import {
  DEMO_CODEC,
  ddp,
  demo,
  diloco,
  type Entry,
  fewerTokens,
  HALF_SPEEDS,
  halfDrawn,
  halfTokens,
  late,
  outer,
  REFERENCE,
  rowsOf,
  type Section,
  SINGLE,
  SPARSE_CODEC,
  signs,
  sparseloco,
  sparta,
  upward,
} from "./convergence-recipes.js";

export function scratchArms(form: PhaseForm): Entry[] {
  const { all, one } = rowsOf("scratch");
  return [
    all(SINGLE, ddp(), { peers: 1 }),
    all(REFERENCE, ddp()),
    one("ddp-again", ddp(), { note: "the reference a second time: the same digest" }),
    one("ddp-int8", ddp({ codec: "int8_block" })),
    one("ddp-int4", ddp({ codec: "int4_block:block=64" })),
    all("ddp-eden1", ddp({ codec: "eden:bits=1", downCodec: "int8_block" })),
    one("ddp-sign-fed-back", ddp({ codec: "sign1", feedback: "sender", downCodec: "int8_block" })),
    all("ddp-powersgd4", ddp({ powersgdRank: 4 })),
    one("ddp-powersgd1", ddp({ powersgdRank: 1 })),
    one("ddp-shards", ddp(), { trainer: { partition: { kind: "contiguous" } } }),
    all("local-sgd", { name: "local-sgd", innerSteps: 20 }),
    one("fedavg-h2-eden1", { name: "fedavg", innerSteps: 2, codec: "eden:bits=1", downCodec: "int8_block" }),
    one("fedavg-all", { name: "fedavg", innerSteps: 20 }),
    all("fedavg", { name: "fedavg", innerSteps: 20, ...halfDrawn }, { note: halfTokens }),
    all("fedprox", { name: "fedprox", innerSteps: 20 }),
    all("fedadam", { name: "fedadam", innerSteps: 20 }),
    all("fedyogi", { name: "fedyogi", innerSteps: 20 }),
    all("diloco", diloco(20, 0.5)),
    one("diloco-m0.9", diloco(20, 0.9)),
    one("diloco-warmup", diloco(20, 0.5, { momentumEnd: 0.9, momentumWarmupRounds: 10 })),
    one("diloco-h5", diloco(5, 0.5)),
    one("diloco-h50", diloco(50, 0.5)),
    one("diloco-h100", diloco(100, 0.5)),
    ...codecArms(one),
    one("diloco-shards", diloco(20, 0.5), { trainer: { partition: { kind: "contiguous" } } }),
    one("diloco-dies", diloco(20, 0.5), {
      peers: [{ count: 4, faults: { death: 0.05, returnRounds: 1 } }],
      note: "a peer dies in one round of twenty, in the exchange, and is back in the next with nothing",
    }),
    one("diloco-joins", diloco(20, 0.5), {
      peers: [{ count: 3 }, { joinRound: 15 }, { leaveRound: 22 }],
      note: "one of four leaves at step 440, one more has joined at step 300",
    }),
    one("local-sgd-late", { name: "local-sgd", innerSteps: 20 }, late),
    one("fedavg-late", { name: "fedavg", innerSteps: 20, weighting: "uniform" }, late),
    ...streamArms(),
    ...gossipArms(),
    ...sparseArms(form),
    all("frontier", { preset: "frontier", ...outer(0.5) }, { note: "the preset with momentum 0.5" }),
  ];
}

function codecArms(one: ReturnType<typeof rowsOf>["one"]): Entry[] {
  return [
    one("diloco-int8", diloco(20, 0.5, upward("int8_block:block=128"))),
    one("diloco-int4", diloco(20, 0.5, upward("int4_block:block=64"))),
    one("diloco-e3m0", diloco(20, 0.5, upward("e3m0:block=4096"))),
    one("diloco-eden2", diloco(20, 0.5, upward("eden:bits=2"))),
    one("diloco-eden1", diloco(20, 0.5, upward("eden:bits=1"))),
    one("diloco-int4-both", diloco(20, 0.5, { codec: "int4_block:block=64" })),
  ];
}

function streamArms(): Entry[] {
  const { all, one } = rowsOf("scratch");
  const streaming = (overlapSteps: number, options: Section = {}) => ({
    name: "streaming-diloco",
    innerSteps: 20,
    fragments: 2,
    overlapSteps,
    mix: overlapSteps === 0 ? 0 : 0.5,
    codec: "fp32",
    ...outer(0.5),
    ...options,
  });
  const eager = { name: "eager-diloco", innerSteps: 20, codec: "fp32", ...outer(0.5) };
  return [
    one("streaming-t0", streaming(0)),
    one("streaming-t1", streaming(1)),
    one("streaming-t5", streaming(5)),
    all("streaming-e3m0", streaming(1, { codec: "e3m0" })),
    all("eager", eager),
    one("delayed", { ...eager, correction: false }),
    all(
      "async",
      { name: "async-diloco", innerSteps: 20, codec: "fp32", ...outer(0.5), ...HALF_SPEEDS },
      { note: fewerTokens },
    ),
  ];
}

function gossipArms(): Entry[] {
  const { all, one } = rowsOf("scratch");
  const sparse = { name: "sparse-diloco", innerSteps: 20, ...outer(0.5) };
  const graphs = ["complete", "one_peer_exponential", "regular:degree=4", "small_world", "ring"];
  return [
    all("sparse-diloco", sparse),
    ...graphs.map((topology) =>
      one(`sparse8-${topology.split(":")[0]}`, { ...sparse, topology }, { peers: 8, note: "eight peers" }),
    ),
    all("noloco", { name: "noloco", innerSteps: 20 }),
    one("noloco-exponential", { name: "noloco", innerSteps: 20, topology: "one_peer_exponential" }),
    all("sparta-0.05", sparta(0.05)),
    one("sparta-0.005", sparta(0.005)),
    all("sparta-diloco", [sparta(0.005), diloco(50, 0.5)]),
  ];
}

function sparseArms(form: PhaseForm): Entry[] {
  const { all, one } = rowsOf("scratch");
  const subspace = { name: "subspace", innerSteps: 20 };
  return [
    all("sparseloco", sparseloco(5)),
    one("sparseloco-forgets", sparseloco(5, { feedbackDecay: 0 })),
    one("sparseloco-h20-thin", sparseloco(20, { codec: "topk:k=64,values=sign" })),
    one("sparseloco-two-sided", sparseloco(5, { way: "direct", downCodec: SPARSE_CODEC, ownerFeedback: 1 })),
    one("sign", sparseloco(20, { way: "direct", codec: "sign1", downCodec: "fp32", feedbackDecay: 0 })),
    one(
      "sign-fed-back",
      sparseloco(20, { way: "direct", codec: "sign1", downCodec: "fp32", feedbackDecay: 1 }),
    ),
    all("demo", demo(form, DEMO_CODEC)),
    one("demo-signs", demo(form, `${DEMO_CODEC},values=sign`)),
    one("demo-untransformed", demo(form, "topk:block=1024,k=32")),
    all("distro", { name: "distro", ...signs(form) }),
    one("subspace-r4", { ...subspace, rank: 4 }),
    all("subspace", { ...subspace, rank: 16 }),
    one("subspace-r64", { ...subspace, rank: 64 }),
  ];
}
