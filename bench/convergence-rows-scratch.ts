/** The experiments from random weights: anchors, DiLoCo's numbers, codecs and their feedback. */
import {
  apart,
  atLeast,
  atMost,
  bits,
  type Check,
  type Experiment,
  percent,
  type Readings,
  scratchRow,
  starred,
  theirs,
  times,
  wireBits,
} from "./convergence-checks.js";

/** Payload as the strategies' own formula has it, of arms whose members stay. */
function bytesAsPriced({ all }: Readings): Check[] {
  const priced = all.filter(({ bytes, events }) => bytes.cost !== null && bytes.cost > 0 && events === 0);
  const errors = priced.map(({ bytes }) => Math.abs(bytes.sent / bytes.cost! - 1));
  return [atMost(`${priced.length} arms, largest error`, Math.max(0, ...errors), 0.0005, percent)];
}

const anchors: readonly Experiment[] = [
  scratchRow(
    "0",
    "anchors: training alone and ddp differ",
    "single",
    "0.54 nats",
    (at) => [
      atLeast("single - ddp", apart(at, "single", "ddp"), at.short ? 0.18 : 0.35),
      atMost("range of ddp over the seeds", 2 * at.outcome("scratch.ddp").spread, 0.04),
    ],
    starred,
  ),
  scratchRow(
    "same",
    "the same seed ends in the same state",
    "ddp-again",
    "equal digests",
    ({ outcome }) => {
      const [one, again] = [outcome("scratch.ddp"), outcome("scratch.ddp-again")].map(
        ({ digests }) => digests[0]!,
      );
      return [{ found: `${one!.slice(0, 12)} and ${again!.slice(0, 12)}`, holds: one === again }];
    },
    starred,
  ),
  scratchRow("bytes", "what was sent is what cost() says", "single", "equal", bytesAsPriced, starred),
];

const numbers: readonly Experiment[] = [
  scratchRow(
    "3",
    "momentum from scratch, 30 rounds: 0.5, plain averaging, 0.9",
    "diloco diloco-m0.9 local-sgd",
    "G 42, 39, 7 %",
    (at) => [
      atLeast("L(0.9) - L(0.5)", apart(at, "diloco-m0.9", "diloco"), at.short ? 0.01 : 0.08),
      atLeast("G(0.5)", at.gap("scratch.diloco"), 0.3, percent),
    ],
    starred,
  ),
  scratchRow(
    "4",
    "inner steps 5, 20, 50, 100",
    "diloco-h5 diloco diloco-h50 diloco-h100",
    "G 66, 42, 26, 17 %, monotone",
    (at) => {
      const gaps = ["diloco-h5", "diloco", "diloco-h50", "diloco-h100"].map((name) =>
        at.gap(`scratch.${name}`),
      );
      const expected = [0.66, 0.42, 0.26, 0.17];
      const falling = gaps.every((gap, index) => index === 0 || gap < gaps[index - 1]!);
      return [
        { found: `G ${gaps.map(percent).join(", ")}, monotone`, holds: falling },
        atMost(
          "farthest from the expected",
          Math.max(...gaps.map((gap, index) => Math.abs(gap - expected[index]!))),
          0.1,
          percent,
        ),
      ];
    },
    theirs,
  ),
  scratchRow(
    "5",
    "an adaptive outer optimizer is worse than Nesterov",
    "fedadam diloco",
    "0.38 nats worse",
    (at) => [atLeast("L(Adam) - L(Nesterov)", apart(at, "fedadam", "diloco"), 0.15)],
    theirs,
  ),
];

const codecBounds: readonly (readonly [arm: string, codec: string, nats: number])[] = [
  ["diloco-int8", "int8_block:block=128", 0.01],
  ["diloco-int4", "int4_block:block=64", 0.015],
  ["diloco-e3m0", "e3m0:block=4096", 0.02],
  ["diloco-eden2", "eden:bits=2", 0.025],
  ["diloco-eden1", "eden:bits=1", 0.045],
];

const codecs: readonly Experiment[] = [
  scratchRow(
    "6",
    "codecs of pseudo-gradients on the way up",
    `diloco ${codecBounds.map(([arm]) => arm).join(" ")}`,
    "0.000, -0.001, 0.003, 0.006, 0.014 nats at 8.1, 4.25, 4.0, 2.01, 1.01 bits; u8 codebooks are not built: int8 is as good",
    (at) =>
      codecBounds.map(([arm, codec, bound]) =>
        atMost(
          `${codec} at ${bits(wireBits(codec, at.outcome(`scratch.${arm}`).parameters))} bits`,
          apart(at, arm, "diloco"),
          bound,
        ),
      ),
    starred,
  ),
  scratchRow(
    "7",
    "4 bits both ways, summed exactly",
    "diloco diloco-int4-both",
    "0.003 nats apart; all ranks' states equal, or the arm fails",
    (at) => [atMost("nats apart", Math.abs(apart(at, "diloco-int4-both", "diloco")), 0.015)],
    starred,
  ),
  scratchRow(
    "9",
    "ddp by 1 unbiased bit up, beside signs with feedback (int8 down)",
    "ddp-eden1 ddp-sign-fed-back",
    "G 80 and 14 %",
    ({ gap, short }) => [
      atLeast("G(eden)", gap("scratch.ddp-eden1"), short ? 0.45 : 0.65, percent),
      atLeast(
        "G(eden) - G(signs)",
        gap("scratch.ddp-eden1") - gap("scratch.ddp-sign-fed-back"),
        0.3,
        percent,
      ),
    ],
    { ...starred, ...theirs },
  ),
  scratchRow(
    "10",
    "averages of 2 steps by 1 unbiased bit up",
    "fedavg-h2-eden1",
    "G 80 % at 0.505 bits",
    (at) => [
      atLeast("G", at.gap("scratch.fedavg-h2-eden1"), 0.65, percent),
      atLeast(
        "fp32 bits up / its",
        (2 * 32) / wireBits("eden:bits=1", at.outcome("scratch.ddp").parameters),
        60,
        times,
      ),
    ],
    theirs,
  ),
  scratchRow(
    "11",
    "signs with feedback beside signs alone (unbiased with feedback is refused: test/strategy/checks.test.ts)",
    "sign sign-fed-back",
    "0.025 nats better",
    (at) => [atLeast("L(alone) - L(fed back)", apart(at, "sign", "sign-fed-back"), 0.01)],
    theirs,
  ),
];

export const scratchRows: readonly Experiment[] = [...anchors, ...numbers, ...codecs];
