/** The experiments from random weights on sparse, streamed and mixed exchanges, and on peers that come and go. */
import {
  apart,
  atLeast,
  atMost,
  bits,
  type Experiment,
  percent,
  type Readings,
  scratchRow,
  starred,
  theirs,
  times,
} from "./convergence-checks.js";
import { bytesBothWays } from "./convergence-outcomes.js";

const sparse: readonly Experiment[] = [
  scratchRow(
    "13",
    "sparseloco, 6.25 % every 5 steps, with feedback and without",
    "sparseloco sparseloco-forgets sparseloco-h20-thin",
    "G 50 %; 0.1 nats worse without; a density of 1.56 % in 30 rounds is worse than training alone (a warning)",
    (at) => [
      atLeast("G", at.gap("scratch.sparseloco"), 0.35, percent),
      atLeast("L(without) - L(with)", apart(at, "sparseloco-forgets", "sparseloco"), 0.1),
      atMost("G(1.56 %, 30 rounds)", at.gap("scratch.sparseloco-h20-thin"), 0.1, percent),
    ],
    theirs,
  ),
  scratchRow(
    "14",
    "sparse both ways, with feedback at owners",
    "sparseloco sparseloco-two-sided",
    "G 31 %; bytes at 64 peers: test/strategy/sparseloco.test.ts",
    ({ gap, outcome }) => {
      const received = (name: string) => outcome(`scratch.${name}`).bytes.received;
      return [
        atLeast("G", gap("scratch.sparseloco-two-sided"), 0.2, percent),
        atMost(
          "received beside the gathered",
          received("sparseloco-two-sided") / received("sparseloco"),
          0.55,
          times,
        ),
      ];
    },
    theirs,
  ),
  scratchRow(
    "15",
    "demo, 32 of 1024 coefficients",
    "demo demo-signs",
    "G 68 %; one bit a value costs 0.014",
    (at) => [
      ...(at.short ? [] : [atLeast("G", at.gap("scratch.demo"), 0.5, percent)]),
      atMost("L(signs) - L(fp32)", apart(at, "demo-signs", "demo"), 0.06),
    ],
    { ...starred, ...theirs },
  ),
  scratchRow(
    "16",
    "demo without its transform",
    "demo demo-untransformed",
    "0.36 nats worse; a Hadamard transform, which is not built, is as good as the DCT",
    (at) => [
      atLeast("L(without) - L(with)", apart(at, "demo-untransformed", "demo"), at.short ? 0.08 : 0.15),
    ],
    { ...starred, ...theirs },
  ),
  scratchRow(
    "17",
    "PowerSGD of rank 4 and 1",
    "ddp-powersgd4 ddp-powersgd1",
    "G 42, -60 %",
    ({ gap, loss }) => [
      atLeast("G(4)", gap("scratch.ddp-powersgd4"), 0.25, percent),
      atLeast("L(1) - L(4)", loss("scratch.ddp-powersgd1") - loss("scratch.ddp-powersgd4"), 0),
    ],
    theirs,
  ),
];

const rank = (at: Readings, name: string) => bytesBothWays(at.outcome(`scratch.${name}`).bytes);

const others: readonly Experiment[] = [
  scratchRow(
    "18",
    "streaming in 2 fragments, overlap 0, 1, 5",
    "diloco streaming-t0 streaming-t1 streaming-t5",
    "G 44, 34, 31 %; a fragment's bytes at the peak: test/strategy/streaming-diloco.test.ts",
    (at) => [
      atMost("nats between overlap 0 and diloco", Math.abs(apart(at, "streaming-t0", "diloco")), 0.03),
      atMost("L(5) - L(0)", apart(at, "streaming-t5", "streaming-t0"), 0.12),
    ],
    starred,
  ),
  scratchRow(
    "23",
    "sparta of 5 % and 0.5 %",
    "sparta-0.05 sparta-0.005",
    "G 42 and 10 %; 32 p bits each way and no mask. How far apart weights are is not measured here",
    ({ gap, outcome, short }) => {
      const { bytes, parameters } = outcome("scratch.sparta-0.05");
      const most = (32 * 0.05 * 2 * 3) / 4;
      return [
        atLeast("G(5 %)", gap("scratch.sparta-0.05"), short ? 0.25 : 0.3, percent),
        atLeast("G(5 %) - G(0.5 %)", gap("scratch.sparta-0.05") - gap("scratch.sparta-0.005"), 0.2, percent),
        atMost("bits sent of a parameter", (8 * bytes.sent) / parameters, 1.01 * most, bits),
      ];
    },
    starred,
  ),
  scratchRow(
    "24",
    "sparta beside diloco",
    "sparta-diloco diloco-h50",
    "0.015 nats better",
    (at) => [atLeast("L(diloco) - L(both)", apart(at, "diloco-h50", "sparta-diloco"), 0)],
    theirs,
  ),
  scratchRow(
    "28",
    "diloco on unlike shards (quarters of the text)",
    "diloco diloco-shards",
    "0.04 nats better",
    (at) => [atMost("L(unlike) - L(alike)", apart(at, "diloco-shards", "diloco"), 0.05)],
  ),
  scratchRow(
    "26",
    "peers die in the exchanges and come back with nothing",
    "diloco diloco-dies",
    "none published; survivors agree: test/compliance/faults.test.ts",
    (at) => [atMost("L(deaths) - L(none)", apart(at, "diloco-dies", "diloco"), 0.05)],
  ),
  scratchRow(
    "27",
    "a peer joins at step 300, one leaves at 440",
    "diloco diloco-joins",
    "none published",
    (at) => [atMost("nats beside fixed membership", Math.abs(apart(at, "diloco-joins", "diloco")), 0.03)],
  ),
  scratchRow(
    "rank",
    "subspace: bytes by rank",
    "subspace-r4 subspace subspace-r64",
    "rank / columns of fp32's; the loss falls",
    (at) => [
      atMost("bytes of rank 16 / of 4", rank(at, "subspace") / rank(at, "subspace-r4"), 4.01, times),
      atMost("bytes of rank 64 / of 16", rank(at, "subspace-r64") / rank(at, "subspace"), 4.01, times),
      atLeast("L(4) - L(64)", apart(at, "subspace-r4", "subspace-r64"), 0),
    ],
  ),
  scratchRow(
    "graphs",
    "sparse diloco of 8 peers: loss against spectral gap",
    "sparse8-complete sparse8-one_peer_exponential sparse8-regular sparse8-small_world sparse8-ring",
    "the less a graph mixes, the higher the loss",
    (at) => [
      atMost("L(complete) - L(ring)", apart(at, "sparse8-complete", "sparse8-ring"), 0),
      atMost(
        "L(one-peer exponential) - L(ring)",
        apart(at, "sparse8-one_peer_exponential", "sparse8-ring"),
        0.01,
      ),
    ],
    theirs,
  ),
];

export const sparseRows: readonly Experiment[] = [...sparse, ...others];
