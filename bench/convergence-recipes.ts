/** What the arms of the comparison are made of: an arm, and the strategies' options that several of them share. */
import { type Phase, type PhaseForm, WARMUP_STEPS } from "./convergence-forms.js";

export interface Entry {
  readonly phase: Phase;
  /** Within its phase. */
  readonly name: string;
  /** A config's `strategy` section. */
  readonly strategy: unknown;
  /** Runs with every seed; the others run with the first alone. */
  readonly every: boolean;
  /** In place of the phase's peers: a number, or the gym's kinds of peers. */
  readonly peers?: number | readonly Readonly<Record<string, unknown>>[];
  /** Trainer options in place of the phase's. */
  readonly trainer?: Readonly<Record<string, unknown>>;
  readonly network?: Readonly<Record<string, unknown>>;
  /** What the name does not say. */
  readonly note?: string;
}

/** Of an arm that trains alone: what communication is compared with. */
export const SINGLE = "single";
/** Of data parallel training in fp32, beside which bytes and losses are set. */
export const REFERENCE = "ddp";

type Rest = Omit<Entry, "phase" | "name" | "strategy" | "every">;
export type Section = Readonly<Record<string, unknown>> | readonly Readonly<Record<string, unknown>>[];

/** Rows of a phase: `all` with every seed, `one` with the first. */
export function rowsOf(phase: Phase) {
  const row =
    (every: boolean) =>
    (name: string, strategy: Section, rest: Rest = {}): Entry => ({
      phase,
      name,
      strategy,
      every,
      ...rest,
    });
  return { all: row(true), one: row(false) };
}

/** Steps between the commits of what exchanges something at every step: peers compare their states so often. */
const COMMIT_STEPS = 50;

export const outer = (momentum: number, outerLearningRate = 0.7) => ({
  outerLearningRate,
  momentumStart: momentum,
  momentumEnd: momentum,
  momentumWarmupRounds: 0,
});

export const ddp = (options: Section = {}) => ({ name: "ddp", commitSteps: COMMIT_STEPS, ...options });
/** Fp32 unless it says otherwise. */
export const diloco = (innerSteps: number, momentum: number, options: Section = {}) => ({
  name: "diloco",
  innerSteps,
  codec: "fp32",
  ...outer(momentum),
  ...options,
});
/** Coded on the way up alone, as the figures were measured that it is compared with. */
export const upward = (codec: string) => ({ codec, downCodec: "fp32" });
export const sparta = (share: number) => ({ name: "sparta", share, commitEvery: COMMIT_STEPS });

const DEMO_RATE = 3e-3;
/** The inner optimizer's schedule in the other arms is the same, with another peak: up, and down to a tenth. */
export function signs({ steps, pretrainSteps }: PhaseForm) {
  const falling = steps + pretrainSteps - WARMUP_STEPS;
  const fallen = Math.max(0, pretrainSteps - WARMUP_STEPS) / falling;
  const warmupSteps = pretrainSteps > 0 ? 0 : WARMUP_STEPS;
  return {
    learningRate: DEMO_RATE * (1 - 0.9 * fallen),
    warmupSteps,
    decayStart: warmupSteps,
    decaySteps: steps - warmupSteps,
    finalLearningRate: DEMO_RATE / 10,
    weightDecay: 0.1,
    commitSteps: COMMIT_STEPS,
  };
}
export const demo = (form: PhaseForm, codec: string) => ({ name: "demo", codec, ...signs(form) });
/** 3.1 % of the coefficients. */
export const DEMO_CODEC = "dct_topk:rows=32,columns=32,k=32";

/** One in sixteen, signs alone: the paper's 2 bits have a finer magnitude. */
export const SPARSE_CODEC = "topk:k=256,values=sign";
export const sparseloco = (innerSteps: number, options: Section = {}) => ({
  name: "sparseloco",
  innerSteps,
  codec: SPARSE_CODEC,
  ...options,
});

/** Two of four peers at half the speed: in a round's time they take half the steps. */
export const HALF_SPEEDS = { speeds: [1, 1, 0.5, 0.5] };
export const fewerTokens = "two of four peers take half the steps: three quarters of the tokens";
/** A client that is not drawn does not train: half the tokens. */
export const halfDrawn = { fraction: 0.5 };
export const halfTokens = "half of the clients train in a round: half the tokens";

/**
 * One peer's inner steps are so late that the others exchange without them; by the next round it is back, and that one
 * waits for it. The exchange takes longer on this link than the peer is late.
 */
const onSlowLink = { link: "10mbit" };
export const late: Rest = {
  peers: [
    { ...onSlowLink, count: 3 },
    { ...onSlowLink, faults: { slow: 1, slowFactor: 1.05 } },
  ],
  network: { slowLimitMs: 50 },
  note: "one of four peers is too late for every second round",
};

/** Unique among all arms. */
export const armName = ({ phase, name }: Pick<Entry, "phase" | "name">): string => `${phase}.${name}`;
