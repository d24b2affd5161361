/** The rows of `bench step --strategies`: every strategy that sends something, at rounds of equal length where it has any. */

export interface StepRow {
  readonly name: string;
  /** A config's `strategy` section. */
  readonly strategy: unknown;
}

/** Of a round, in which what exchanges at every step commits once. */
const STEPS = 20;
const H = { innerSteps: STEPS };
const everyStep = { commitSteps: STEPS };

export const stepRows: readonly StepRow[] = [
  { name: "ddp fp32", strategy: { name: "ddp", ...everyStep } },
  { name: "ddp int8", strategy: { name: "ddp", codec: "int8_block", ...everyStep } },
  { name: "ddp powersgd 4", strategy: { name: "ddp", powersgdRank: 4, ...everyStep } },
  { name: "local-sgd", strategy: { name: "local-sgd", ...H } },
  { name: "fedavg, half", strategy: { name: "fedavg", fraction: 0.5, ...H } },
  { name: "fedprox", strategy: { name: "fedprox", ...H } },
  { name: "fedadam", strategy: { name: "fedadam", ...H } },
  { name: "fedyogi", strategy: { name: "fedyogi", ...H } },
  { name: "diloco fp32", strategy: { name: "diloco", codec: "fp32", ...H } },
  { name: "diloco int8", strategy: { name: "diloco", ...H } },
  { name: "streaming-diloco", strategy: { name: "streaming-diloco", ...H } },
  { name: "eager-diloco", strategy: { name: "eager-diloco", ...H } },
  { name: "async-diloco", strategy: { name: "async-diloco", speeds: [1, 1, 0.5, 0.5], ...H } },
  { name: "sparse-diloco", strategy: { name: "sparse-diloco", ...H } },
  { name: "noloco", strategy: { name: "noloco", ...H } },
  { name: "sparta", strategy: { name: "sparta", commitEvery: STEPS } },
  {
    name: "sparta + diloco",
    strategy: [
      { name: "sparta", commitEvery: STEPS },
      { name: "diloco", ...H },
    ],
  },
  { name: "sparseloco", strategy: { name: "sparseloco", ...H } },
  { name: "demo", strategy: { name: "demo", ...everyStep } },
  { name: "distro", strategy: { name: "distro", ...everyStep } },
  { name: "subspace", strategy: { name: "subspace", ...H } },
  { name: "preset frontier", strategy: { preset: "frontier" } },
];
