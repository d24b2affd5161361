/** How long the comparison of strategies is: the models, steps, peers and seeds of its full and its short form. */
import { tinyGpt } from "../lib/trainer/gpt.js";

/**
 * scratch: from random weights. pretrained: four peers go on from one worker's state, the papers' protocol. frontier: the
 * same with eight. clients: federated learning on digits whose classes differ from client to client. experts: two texts,
 * an expert for each.
 */
export const phases = ["scratch", "pretrained", "frontier", "clients", "experts"] as const;
export type Phase = (typeof phases)[number];

/** What the arms of a phase have in common. */
export interface PhaseForm {
  readonly peers: number;
  /** Inner steps of each peer; all arms of a phase have as many, and so as many tokens. */
  readonly steps: number;
  /** Steps of one worker on all data before them. */
  readonly pretrainSteps: number;
  readonly trainer: { readonly module: string; readonly options: Readonly<Record<string, unknown>> };
}

export interface Form {
  readonly name: "full" | "short";
  readonly phases: Readonly<Record<Phase, PhaseForm>>;
  /** Of the arms that run with every seed; the others run with the first. */
  readonly seeds: readonly number[];
  /** Only what the starred experiments need. */
  readonly starredOnly: boolean;
}

interface Shape {
  readonly model: Readonly<Record<string, number>>;
  readonly steps: Readonly<Record<"scratch" | "pretrain" | "pretrained", number>>;
}

/** Peak of AdamW's schedule; ddp is 0.03 nats better at 1e-2 from scratch, and 0.12 worse at 3e-3. */
const LEARNING_RATE = 6e-3;
export const WARMUP_STEPS = 30;

/** All windows of the text are for all peers, but where an arm says otherwise. */
function textTrainer({ model }: Shape, totalSteps: number): PhaseForm["trainer"] {
  const schedule = { learningRate: LEARNING_RATE, warmupSteps: WARMUP_STEPS, totalSteps };
  return {
    module: "gpt",
    options: { ...model, ...schedule, partition: { kind: "iid" }, validationBatches: 32 },
  };
}

/** Ten clients, whose images are of few digits each, and who have unlike numbers of them. */
function clientsForm(steps: number): PhaseForm {
  const partition = { kind: "dirichlet", alpha: 0.3, sizeAlpha: 10 };
  const options = { partition, hidden: [64], batch: 16, learningRate: 2e-3, totalSteps: steps };
  return { peers: 10, steps, pretrainSteps: 0, trainer: { module: "mlp", options } };
}

function phasesOf(shape: Shape): Form["phases"] {
  const { scratch, pretrain, pretrained } = shape.steps;
  const later = {
    steps: pretrained,
    pretrainSteps: pretrain,
    trainer: textTrainer(shape, pretrain + pretrained),
  };
  const fresh = { steps: scratch, pretrainSteps: 0, trainer: textTrainer(shape, scratch) };
  return {
    scratch: { peers: 4, ...fresh },
    pretrained: { peers: 4, ...later },
    frontier: { peers: 8, ...later },
    clients: clientsForm(scratch),
    experts: { peers: 2, ...fresh },
  };
}

/** 115 k parameters; rounds and steps are those of the facts that thresholds come from. */
const fullShape: Shape = { model: tinyGpt, steps: { scratch: 600, pretrain: 1000, pretrained: 2000 } };
/** 32 k parameters, a quarter of the time for a step; as many rounds from scratch, half as many after pre-training. */
const shortShape: Shape = {
  model: { ...tinyGpt, width: 32, context: 32 },
  steps: { scratch: 600, pretrain: 500, pretrained: 1000 },
};

const seedsOf = (count: number) => Array.from({ length: count }, (_, index) => index + 1);

/** @param seeds how many, from 1 on; null: the form's own number. */
export function formOf(name: Form["name"], seeds: number | null): Form {
  if (name === "full")
    return { name, phases: phasesOf(fullShape), seeds: seedsOf(seeds ?? 3), starredOnly: false };
  return { name, phases: phasesOf(shortShape), seeds: seedsOf(seeds ?? 1), starredOnly: true };
}
