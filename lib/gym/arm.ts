/** Runs one arm: pre-training, rounds, evaluations; the same results however often it is stopped and goes on. */
import { GradmeshError } from "../base/errors.js";
import { createCollectiveCost } from "../strategy/cost.js";
import type { Strategy, StrategyView } from "../strategy/strategy.js";
import type { Trainer } from "../trainer/trainer.js";
import type { ArmPlan } from "./arms.js";
import { Cluster } from "./cluster.js";
import { Judge, type Worth } from "./evaluate.js";
import { EngineMaker } from "./maker.js";
import { type ArmResult, FORMAT, type ResultRow, type ResultStart } from "./results.js";
import type { PeerEvent, RoundReport } from "./round-report.js";
import { copyState, type TrainerState } from "./trainer-state.js";

export interface ArmOptions {
  /** What a relative trainer module is relative to. Default: the working folder. */
  readonly folder?: string;
  /** Where all trainers start from, in place of the seed: a pre-training that many arms share. */
  readonly initial?: TrainerState;
  /** After each round, with all rows so far; the arm waits for it. */
  readonly onRound?: (row: ResultRow, result: ArmResult, cluster: Cluster) => void | Promise<void>;
  /** Brings the cluster to where an earlier run of the arm was, and gives what it had come to by then; null: nothing. */
  readonly resume?: (cluster: Cluster, maker: EngineMaker) => Promise<ArmResult | null>;
  /** Ends the arm at the next boundary between rounds. */
  readonly signal?: AbortSignal;
}

export interface FinishedArm {
  readonly result: ArmResult;
  /** Of the lowest rank, at what all share where they share something: what a later arm can start from. */
  readonly state: TrainerState;
}

/** The strategies' own cost, the mean over the ranks, or null where they have no formula for these peers. */
function costOf(
  strategies: readonly Strategy[],
  trainer: Trainer,
  view: StrategyView,
  steps: number,
): number | null {
  const collectiveCost = createCollectiveCost();
  const question = { layout: trainer.layout, view, from: 0, to: steps, collectiveCost };
  const ranks = view.members.length;
  let sum = 0;
  try {
    for (const strategy of strategies)
      for (let rank = 0; rank < ranks; rank += 1) sum += strategy.cost({ ...question, rank }).bytesPerStep;
  } catch {
    return null;
  }
  return sum / ranks;
}

type ResultHead = Omit<ArmResult, "state" | "error" | "start" | "rows" | "events">;

class ArmRun {
  readonly #plan: ArmPlan;
  readonly #options: ArmOptions;
  readonly #maker: EngineMaker;
  readonly #cluster: Cluster;
  readonly #judge: Judge;
  #rows: ResultRow[] = [];
  #events: PeerEvent[] = [];
  #start: ResultStart | null = null;
  #head: ResultHead | null = null;

  constructor(plan: ArmPlan, options: ArmOptions, maker: EngineMaker) {
    this.#plan = plan;
    this.#options = options;
    this.#maker = maker;
    this.#cluster = new Cluster({ maker, profiles: plan.profiles, config: plan.config });
    this.#judge = new Judge(() => maker.trainer(0));
  }

  async run(): Promise<FinishedArm> {
    const { rounds } = this.#plan;
    const earlier = (await this.#options.resume?.(this.#cluster, this.#maker)) ?? null;
    if (earlier === null) await this.#begin();
    else this.#takeUp(earlier);
    while (this.#cluster.round < rounds) {
      this.#options.signal?.throwIfAborted();
      await this.#round();
    }
    return { result: this.#result("done"), state: this.#state() };
  }

  /** Starts the first peers. */
  async #begin(): Promise<void> {
    await this.#cluster.gather();
    const engines = this.#cluster.members.map(({ engine }) => engine);
    this.#head = this.#describe();
    const digest = await this.#cluster.digest();
    this.#start = { validation: await this.#judge.evaluate(engines), digest };
  }

  #takeUp({ rows, events, start, ...earlier }: ArmResult): void {
    const { round } = this.#cluster;
    const { state: _, error: __, ...head } = earlier;
    this.#head = head;
    this.#start = start;
    this.#rows = rows.filter((row) => row.round <= round);
    this.#events = events.filter((event) => event.round < round);
    if (this.#rows.length !== round)
      throw new GradmeshError(
        "ERR_CHECKPOINT",
        `the result of "${this.#plan.name}" has ${this.#rows.length} rounds, its snapshot is of round ${round}; delete both`,
      );
  }

  #describe(): ResultHead {
    const { name, arm, digest, config, profiles, roundSteps, rounds, pretrainSteps } = this.#plan;
    const { members } = this.#cluster;
    const { trainer } = members[0]!.engine;
    const { strategies } = this.#maker;
    const view = { epoch: 0, members: members.map((peer) => peer.member), seed: config.seed, measures: {} };
    return {
      format: FORMAT,
      name,
      arm,
      digest,
      seed: config.seed,
      strategies: strategies.map(({ recipe }) => recipe.strategy),
      peers: profiles.length,
      parameters: trainer.layout.elements,
      roundSteps,
      rounds,
      pretrainSteps,
      costBytesPerStep: costOf(strategies, trainer, view, roundSteps * rounds),
    };
  }

  async #round(): Promise<void> {
    const { events, ...report } = await this.#cluster.take();
    const row = {
      ...report,
      step: report.round * this.#plan.roundSteps,
      validation: await this.#worth(report),
    };
    this.#rows.push(row);
    this.#events.push(...events);
    await this.#options.onRound?.(row, this.#result("running"), this.#cluster);
  }

  async #worth({ round }: Pick<RoundReport, "round">): Promise<Worth | null> {
    const { evaluateRounds, rounds } = this.#plan;
    if (round % evaluateRounds !== 0 && round !== rounds) return null;
    return this.#judge.evaluate(this.#cluster.members.map(({ engine }) => engine));
  }

  #result(state: ArmResult["state"]): ArmResult {
    return { ...this.#head!, state, error: "", start: this.#start, rows: this.#rows, events: this.#events };
  }

  #state(): TrainerState {
    const { engine } = this.#cluster.members[0]!;
    const before = this.#options.initial?.steps ?? 0;
    return copyState(engine.trainer, before + engine.step, engine.anchor ?? engine.trainer.parameters);
  }

  async close(): Promise<void> {
    this.#judge.close();
    await this.#cluster.close();
  }
}

/** @throws what its trainer, strategy or config throws; the signal's reason; ERR_RUN_ENDED when all peers are gone. */
export async function runArm(plan: ArmPlan, options: ArmOptions = {}): Promise<FinishedArm> {
  const { folder = process.cwd(), initial = null } = options;
  const { config, shards } = plan;
  const maker = await EngineMaker.create({ config, shards, folder, initial });
  const run = new ArmRun(plan, options, maker);
  try {
    return await run.run();
  } finally {
    await run.close();
  }
}
