/** Every strategy as small as it still does all it does, for runs of real processes. */
import { strategies } from "../../lib/strategy/registry.js";

/** A config's `strategy` section. */
export type Section = Readonly<Record<string, unknown>> | readonly Readonly<Record<string, unknown>>[];

/** By name; several rows of one strategy differ by what makes another path of it. Rounds are of 4 inner steps. */
export const sections: Readonly<Record<string, Section>> = {
  ddp: { name: "ddp", codec: "int8_block", commitSteps: 4 },
  "ddp, a commit a step": { name: "ddp" },
  "ddp by PowerSGD": { name: "ddp", powersgdRank: 2, commitSteps: 4 },
  "local-sgd": { name: "local-sgd", innerSteps: 4 },
  fedavg: { name: "fedavg", innerSteps: 4, fraction: 0.5 },
  fedprox: { name: "fedprox", innerSteps: 4, mu: 0.1 },
  fedadam: { name: "fedadam", innerSteps: 4 },
  fedyogi: { name: "fedyogi", innerSteps: 4 },
  diloco: { name: "diloco", innerSteps: 4 },
  "diloco with owner feedback": {
    name: "diloco",
    innerSteps: 4,
    codec: "eden:bits=2",
    downCodec: "int4_block",
    ownerFeedback: 1,
  },
  "streaming-diloco": { name: "streaming-diloco", innerSteps: 4, overlapSteps: 1 },
  "eager-diloco": { name: "eager-diloco", innerSteps: 4 },
  "async-diloco": { name: "async-diloco", innerSteps: 4, speeds: [1, 0.5], dylu: false },
  "sparse-diloco": { name: "sparse-diloco", innerSteps: 4 },
  sparseloco: { name: "sparseloco", innerSteps: 4 },
  noloco: { name: "noloco", innerSteps: 4 },
  "noloco, a commit every other exchange": { name: "noloco", innerSteps: 2, commitEvery: 2 },
  sparta: { name: "sparta", share: 0.01, commitEvery: 4 },
  "sparta beside diloco": [
    { name: "sparta", share: 0.01, commitEvery: 4 },
    { name: "diloco", innerSteps: 4 },
  ],
  demo: { name: "demo", commitSteps: 4 },
  distro: { name: "distro", commitSteps: 4 },
  subspace: { name: "subspace", innerSteps: 4 },
  frontier: { name: "frontier", innerSteps: 4 },
  hdee: { name: "hdee", innerSteps: 4, experts: [{ steps: null }, { steps: 2 }] },
};

const namesOf = (section: Section) => [section].flat().map((one) => (one as { name: string }).name);

/** Strategies without a row. */
export function missing(): string[] {
  const known = new Set(Object.values(sections).flatMap(namesOf));
  return Object.keys(strategies).filter((name) => !known.has(name));
}
