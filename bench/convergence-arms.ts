/** All arms of the comparison as data: from scratch, after pre-training, at the frontier, federated, and experts. */
import { scratchArms } from "./convergence-arms-scratch.js";
import type { Form, PhaseForm } from "./convergence-forms.js";
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
  signs,
  sparseloco,
  sparta,
  upward,
} from "./convergence-recipes.js";

function pretrainedArms(form: PhaseForm): Entry[] {
  const { all, one } = rowsOf("pretrained");
  const H = 50;
  const eager = { name: "eager-diloco", innerSteps: H, codec: "fp32", ...outer(0.5) };
  const coded = (options: Section) => diloco(H, 0.9, options);
  const int4 = "int4_block:block=64";
  return [
    all(SINGLE, ddp(), { peers: 1 }),
    all(REFERENCE, ddp()),
    all("diloco", diloco(H, 0.9)),
    one("diloco-m0.5", diloco(H, 0.5)),
    all("local-sgd", { name: "local-sgd", innerSteps: H }),
    one("diloco-int4", coded(upward(int4))),
    one("diloco-eden2", coded(upward("eden:bits=2"))),
    one("diloco-eden1", coded(upward("eden:bits=1"))),
    one("diloco-int4-both", coded({ codec: int4 })),
    all("diloco-eden2-int4", coded({ codec: "eden:bits=2", downCodec: int4, ownerFeedback: 1 })),
    one("diloco-eden2-int4-forgets", coded({ codec: "eden:bits=2", downCodec: int4 })),
    all("streaming-int4", {
      name: "streaming-diloco",
      innerSteps: H,
      overlapSteps: 5,
      codec: int4,
      ...outer(0.9, 0.4),
    }),
    one("eager", eager),
    one("delayed", { ...eager, correction: false }),
    one(
      "async",
      { ...HALF_SPEEDS, name: "async-diloco", innerSteps: H, codec: "fp32", ...outer(0.9) },
      { note: fewerTokens },
    ),
    one("sparse-diloco", { name: "sparse-diloco", innerSteps: H, ...outer(0.9) }),
    all("noloco", { name: "noloco", innerSteps: H }),
    one("sparta-0.005", sparta(0.005)),
    all("sparseloco", sparseloco(20)),
    all("demo", demo(form, DEMO_CODEC)),
    one("distro", { name: "distro", ...signs(form) }),
    one("subspace", { name: "subspace", innerSteps: H, rank: 16 }),
    one("ddp-powersgd4", ddp({ powersgdRank: 4 })),
    one("fedavg", { name: "fedavg", innerSteps: H, ...halfDrawn }, { note: halfTokens }),
    one("fedprox", { name: "fedprox", innerSteps: H }),
    one("fedadam", { name: "fedadam", innerSteps: H }),
    one("fedyogi", { name: "fedyogi", innerSteps: H }),
    one("local-sgd-late", { name: "local-sgd", innerSteps: H }, late),
    one("fedavg-late", { name: "fedavg", innerSteps: H, weighting: "uniform" }, late),
  ];
}

function frontierArms(): Entry[] {
  const { all, one } = rowsOf("frontier");
  return [
    all(SINGLE, ddp(), { peers: 1 }),
    all(REFERENCE, ddp()),
    one("diloco", diloco(50, 0.9)),
    all("frontier", { preset: "frontier" }),
    all("frontier-5000", { preset: "frontier-5000" }),
  ];
}

function clientArms(): Entry[] {
  const { one } = rowsOf("clients");
  const federated = (name: string, options: Section = {}) => ({
    name,
    innerSteps: 10,
    fraction: 0.5,
    ...options,
  });
  return [
    one("central", ddp(), { peers: 1, note: "one worker on all images" }),
    one(REFERENCE, ddp()),
    one("fedavg", federated("fedavg")),
    one("fedavg-alike", federated("fedavg"), {
      trainer: { partition: { kind: "iid" } },
      note: "all images are for all clients",
    }),
    one("fedprox", federated("fedprox", { mu: 0.1 })),
    one("fedadam", federated("fedadam")),
    one("fedyogi", federated("fedyogi")),
  ];
}

/** At equal compute: each half of all ticks; 7 and 13 of 20; half each, of widths whose squares sum to no more than 64's. */
function expertArms(data: readonly string[]): Entry[] {
  const { all } = rowsOf("experts");
  const hdee = (experts: readonly Section[]) => ({ name: "hdee", innerSteps: 20, experts });
  const trainer = { data, partition: { kind: "domains" } };
  const sized = (width: number) => ({ steps: 10, trainer: { width } });
  return [
    all("alike", hdee([{ steps: 10 }]), { trainer, note: "MHo-IHo" }),
    all("steps-differ", hdee([{ steps: 7 }, { steps: 13 }]), { trainer, note: "MHo-IHe" }),
    all("sizes-differ", hdee([sized(40), sized(80)]), { trainer, note: "MHe-IHo" }),
  ];
}

/** @param domains the files of the two texts, the easier first. */
export function allArms({ phases }: Form, domains: readonly string[]): Entry[] {
  return [
    ...scratchArms(phases.scratch),
    ...pretrainedArms(phases.pretrained),
    ...frontierArms(),
    ...clientArms(),
    ...expertArms(domains),
  ];
}
