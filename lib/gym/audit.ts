/**
 * Replays a verified run from its ledger alone: takes every inner step again that its aggregates are made of, and compares. So
 * anybody can show that the run's state is what honest work gives, needing no peer of it and believing none.
 */
import { availableParallelism } from "node:os";
import { GradmeshError } from "../base/errors.js";
import { Contributed } from "../engine/contributed.js";
import type { Account, Hash } from "../ledger/events.js";
import { peerIdOfAccount } from "../ledger/sign.js";
import { native } from "../native/load.js";
import { type RunConfig, runRecipe } from "../run/config.js";
import { freshDigests, runFingerprint } from "../run/replica.js";
import { termsOf } from "../run/trust/terms.js";
import type { StrategyView } from "../strategy/strategy.js";
import { treeOf } from "../verify/merkle.js";
import { type Difference, firstDifference } from "./audit-difference.js";
import { type LedgerRound, type LedgerUnit, type RunHistory, readHistory } from "./audit-ledger.js";
import { AuditWorker, type UnitReplay } from "./audit-worker.js";
import { LocalGroup } from "./group.js";
import { checkEqual, exchangeAll } from "./lockstep.js";
import { EngineMaker } from "./maker.js";
import { PlanSets } from "./plans.js";

export interface ReplayOptions {
  /** The ledger's file, or a binary export of one. */
  readonly ledger: string;
  /** The run's. */
  readonly config: RunConfig;
  /** What a relative trainer module is relative to. Default: the process's. */
  readonly folder?: string;
  /** The first so many; default: all that were closed. */
  readonly rounds?: number;
  /** Threads of the inner steps, which change no bit. Default: the machine's. */
  readonly threads?: number;
  /**
   * Goes on after a difference with honest work in the place of what differs, and evaluates each round: what the run would
   * have been, had all whose work counted done it. Default: the first difference ends the replay.
   */
  readonly honest?: boolean;
  /** Hears of each round as soon as it is compared. */
  readonly onRound?: (round: RoundReplay) => void;
  readonly signal?: AbortSignal;
}

/** A unit whose contribution is not in its round's aggregate. */
export interface LeftOut {
  readonly worker: Account;
  /** Its unit's on the ledger when the round was closed. */
  readonly status: string;
  /** Where it is not what honest work gives; null where it is, or where nothing of it was revealed. */
  readonly difference: Difference | null;
}

export interface RoundReplay {
  /** From 1. */
  readonly round: number;
  readonly workers: number;
  /** Workers in the aggregate, and the inner steps of them that were taken again. */
  readonly aggregated: number;
  readonly steps: number;
  /** Workers that began with a fresh inner optimizer, as one does whose process is started again. */
  readonly afresh: readonly Account[];
  readonly leftOut: readonly LeftOut[];
  /** Of the state after the round, as replayed; "" where it was not come to. */
  readonly state: Hash;
  /** The first thing that is not what honest work gives; null: all is equal. */
  readonly difference: Difference | null;
  /** After the round, with options.honest; else null. */
  readonly validationLoss: number | null;
  readonly seconds: number;
}

export interface ReplayReport {
  readonly ledgerId: Hash;
  readonly records: number;
  /** Closed rounds of the ledger. */
  readonly closed: number;
  /** Those that were replayed; without options.honest the last one is the first that differs, if one does. */
  readonly rounds: readonly RoundReplay[];
  /** Whether all that was replayed is equal. */
  readonly equal: boolean;
  /** The state after the last one that is equal; "" of none. */
  readonly state: Hash;
  readonly steps: number;
  readonly seconds: number;
}

const secondsSince = (at: number) => (performance.now() - at) / 1000;

/** @throws ERR_CONFIG where the config is not that of the ledger's run, naming what differs. */
async function checkConfig(config: RunConfig, { terms }: RunHistory, folder: string): Promise<void> {
  const refuse = (why: string) => {
    throw new GradmeshError("ERR_CONFIG", `this is not the config of the ledger's run: ${why}`);
  };
  if (!config.trust.verify) refuse("its trust.verify is false, and only verified runs have a ledger");
  const recipe = runRecipe(config, await runFingerprint(config, folder));
  if (recipe !== terms.recipe)
    refuse(
      `its recipe is ${recipe}, the ledger's ${terms.recipe}; seed, rounds, peers, strategy, trainer with its data, or terms of trust differ`,
    );
  const own = termsOf(config, recipe, terms.firstRound, await freshDigests(config, folder));
  for (const [name, value] of Object.entries(own))
    if (`${terms[name as keyof typeof terms]}` !== `${value}`)
      refuse(`its ${name} comes to ${value}, the ledger's is ${terms[name as keyof typeof terms]}`);
  if (terms.firstRound > 0)
    throw new GradmeshError(
      "ERR_UNSUPPORTED",
      `the ledger begins with round ${terms.firstRound + 1}, from a checkpoint, whose state no ledger holds; replay the ledger of the run from its start`,
    );
}

/**
 * Audits the ledger, then replays its rounds up to the first that differs.
 * @throws ERR_LEDGER where the ledger does not hold; ERR_CONFIG for another run's config; as trainers do; the signal's reason.
 */
export async function replayRun(options: ReplayOptions): Promise<ReplayReport> {
  const { ledger, folder = process.cwd(), rounds: most, honest = false, onRound, signal } = options;
  const startedAt = performance.now();
  const history = await readHistory(ledger, signal);
  const threads = options.threads ?? availableParallelism();
  const config = { ...options.config, trainer: { ...options.config.trainer, threads } };
  await checkConfig(config, history, folder);
  const replay = await RunReplay.create(config, folder);
  const rounds: RoundReplay[] = [];
  try {
    for (const round of history.rounds.slice(0, most)) {
      signal?.throwIfAborted();
      const compared = await replay.take(round, honest);
      rounds.push(compared);
      onRound?.(compared);
      if (compared.difference !== null && !honest) break;
    }
  } finally {
    await replay.close();
  }
  const { ledgerId, records } = history;
  return {
    ledgerId,
    records,
    closed: history.rounds.length,
    rounds,
    equal: rounds.every(({ difference }) => difference === null),
    state: rounds.findLast(({ difference }) => difference === null)?.state ?? "",
    steps: rounds.reduce((sum, { steps }) => sum + steps, 0),
    seconds: secondsSince(startedAt),
  };
}

/** What a unit came to, and where it is not what the ledger says. */
interface Worked {
  readonly unit: LedgerUnit;
  readonly replay: UnitReplay | null;
  readonly difference: Difference | null;
}

class RunReplay {
  readonly #config: RunConfig;
  readonly #maker: EngineMaker;
  readonly #plans = new PlanSets();
  readonly #workers = new Map<Account, AuditWorker>();
  #contributed: Contributed | null = null;
  /** One that holds the state after the last round. */
  #holder: AuditWorker | null = null;

  private constructor(config: RunConfig, maker: EngineMaker) {
    this.#config = config;
    this.#maker = maker;
  }

  static async create(config: RunConfig, folder: string): Promise<RunReplay> {
    const maker = await EngineMaker.create({ config, shards: config.peersMax, folder, initial: null });
    return new RunReplay(config, maker);
  }

  /** @throws as engines do. */
  async take(round: LedgerRound, honest: boolean): Promise<RoundReplay> {
    const startedAt = performance.now();
    const worked: Worked[] = [];
    for (const unit of round.units) worked.push(await this.#work(round, unit));
    const isIn = ({ unit }: Worked) => round.aggregated.includes(unit.worker);
    const wrong = worked.find((one) => isIn(one) && one.difference !== null)?.difference ?? null;
    const stops = wrong !== null && !honest;
    const { state, difference } = stops ? { state: "", difference: null } : await this.#aggregate(round);
    return {
      round: round.round + 1,
      workers: round.units.length,
      aggregated: round.aggregated.length,
      steps: round.aggregated.length * this.#roundSteps,
      afresh: worked.filter(({ replay }) => replay?.afresh).map(({ unit }) => unit.worker),
      leftOut: worked
        .filter((one) => !isIn(one))
        .map(({ unit: { worker, status }, difference }) => ({ worker, status, difference })),
      state,
      difference: wrong ?? difference,
      validationLoss: honest ? (await this.#holder!.engine.evaluate()).loss : null,
      seconds: secondsSince(startedAt),
    };
  }

  get #roundSteps(): number {
    const [worker] = this.#workers.values();
    return worker!.engine.roundSteps;
  }

  /** The account's virtual peer, at this round. One that has another shard now begins anew, as a run's does. */
  async #workerOf({ worker: account, shard }: LedgerUnit, round: number): Promise<AuditWorker> {
    let worker = this.#workers.get(account);
    if (worker?.shard !== shard) {
      await worker?.close();
      worker = new AuditWorker(account, shard, await this.#maker.engine(shard), worker);
      this.#workers.set(account, worker);
    }
    if (worker.engine.standing.round !== round) await this.#adopt(worker, round);
    return worker;
  }

  /** A worker whose own round did not count goes on from what the others hold. */
  async #adopt(worker: AuditWorker, round: number): Promise<void> {
    const state = this.#holder!.engine.shared;
    await worker.engine.adopt(round, async (shared) => {
      for (const [index, { data }] of shared.entries()) data.set(state[index]!.data);
    });
  }

  async #work({ round, beacon }: LedgerRound, unit: LedgerUnit): Promise<Worked> {
    const worker = await this.#workerOf(unit, round);
    const before = worker.engine.trainer.parameters.slice();
    const replay = await worker.work(beacon, unit);
    if (replay === null) return { unit, replay, difference: null };
    const contribution = await this.#contributionOf(worker, round, before);
    return { unit, replay, difference: differenceOf(unit, replay, contribution) };
  }

  /** The digest of what the others decode of the worker's contribution. */
  async #contributionOf({ engine, shard }: AuditWorker, round: number, before: Float32Array): Promise<Hash> {
    const { seed, rounds, trainer } = this.#config;
    const { strategies, roundSteps } = engine;
    const { elements } = engine.trainer.layout;
    const steps = rounds * roundSteps;
    this.#contributed ??= new Contributed({ strategies, seed, steps, elements, threads: trainer.threads });
    const end = (round + 1) * roundSteps;
    const parameters = { before, after: engine.trainer.parameters };
    return native.digest([await this.#contributed.decoded(parameters, end, shard)]);
  }

  /** The exchange of those that the ledger names, and what it leads to. */
  async #aggregate(round: LedgerRound): Promise<{ state: Hash; difference: Difference | null }> {
    const members = round.aggregated.map((account) => this.#workers.get(account)!);
    if (members.length === 0)
      throw new GradmeshError(
        "ERR_LEDGER",
        `round ${round.round + 1} was closed with nobody in its aggregate`,
      );
    const engines = members.map(({ engine }) => engine);
    const view: StrategyView = {
      epoch: 0,
      members: members.map(({ account, shard, engine }) => ({
        peerId: peerIdOfAccount(account),
        shard,
        samples: engine.trainer.samples ?? 1,
      })),
      seed: this.#config.seed,
      steps: this.#config.rounds * engines[0]!.roundSteps,
      measures: {},
    };
    const { segmentElements } = this.#config.network;
    const group = new LocalGroup({ view, plans: this.#plans, segmentElements });
    const outcomes = await exchangeAll(engines, group);
    checkEqual(outcomes, view.members);
    const result = await native.digest([...outcomes[0]!.results]);
    for (const engine of engines) await engine.apply();
    this.#holder = members[0]!;
    const { trainer } = this.#holder.engine;
    const [state, parameters] = [
      await this.#holder.engine.digest(),
      await native.digest([trainer.parameters]),
    ];
    for (const worker of this.#workers.values())
      if (!members.includes(worker)) await this.#adopt(worker, round.round + 1);
    const compared = [
      ["aggregate", round.result, result],
      ["parameters", round.parameters ?? parameters, parameters],
      ["state", round.state, state],
    ] as const;
    const found = compared.find(([, said, replayed]) => said !== replayed);
    if (found === undefined) return { state, difference: null };
    const [of, said, replayed] = found;
    return { state, difference: { of, worker: null, leaves: null, said, replayed } };
  }

  async close(): Promise<void> {
    for (const worker of this.#workers.values()) await worker.close();
    this.#contributed?.close();
    this.#plans.close();
  }
}

function differenceOf(
  { worker, revealed }: LedgerUnit,
  { leaves }: UnitReplay,
  contribution: Hash,
): Difference | null {
  const all = [...leaves, contribution];
  return firstDifference(worker, revealed!, all, () => treeOf(all).root);
}
