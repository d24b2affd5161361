/** Replays the rounds of a verified run one after another, in the order of its ledger. */
import { secondsSince } from "../base/clock.js";
import { Contributed } from "../engine/contributed.js";
import type { Engine } from "../engine/engine.js";
import type { Account, Hash } from "../ledger/events.js";
import { peerIdOfAccount } from "../ledger/sign.js";
import { native } from "../native/load.js";
import type { RunConfig } from "../run/config.js";
import { emptyResult } from "../run/trust/standing.js";
import type { StrategyView } from "../strategy/strategy.js";
import { treeOf } from "../verify/merkle.js";
import { type Difference, droppedWork, firstDifference } from "./audit-difference.js";
import type { LedgerOpening, LedgerRound, LedgerUnit, RevealedUnit } from "./audit-ledger.js";
import { AuditWorker, type Inner, type UnitReplay } from "./audit-worker.js";
import { LocalGroup } from "./group.js";
import { checkEqual, exchangeAll } from "./lockstep.js";
import { EngineMaker } from "./maker.js";
import { PlanSets } from "./plans.js";

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
  /** Units of openings of the round before this one, to which all workers were lost: they count for nothing. */
  readonly voided: readonly LeftOut[];
  /** Of the state after the round, as replayed; "" where it was not come to. */
  readonly state: Hash;
  /** The first thing that is not what honest work gives; null: all is equal. */
  readonly difference: Difference | null;
  /** After the round, with options.honest; else null. */
  readonly validationLoss: number | null;
  readonly seconds: number;
}

/** What a unit came to, and where it is not what the ledger says. */
interface Worked {
  readonly unit: LedgerUnit;
  readonly replay: UnitReplay | null;
  readonly difference: Difference | null;
}

const leftOut = ({ unit: { worker, status }, difference }: Worked): LeftOut => ({
  worker,
  status,
  difference,
});

export class RoundReplayer {
  readonly #config: RunConfig;
  readonly #maker: EngineMaker;
  readonly #plans = new PlanSets();
  /** Of the last round's units; an engine is as large as a peer. */
  readonly #workers = new Map<Account, AuditWorker>();
  /** What the last units of others ended with. */
  readonly #lasts = new Map<Account, Inner>();
  #contributed: Contributed | null = null;
  /** A copy of what all peers share between two rounds; empty before the first engine. */
  #shared: readonly Float32Array[] = [];

  private constructor(config: RunConfig, maker: EngineMaker) {
    this.#config = config;
    this.#maker = maker;
  }

  static async create(config: RunConfig, folder: string): Promise<RoundReplayer> {
    const maker = await EngineMaker.create({ config, shards: config.peersMax, folder, initial: null });
    return new RoundReplayer(config, maker);
  }

  /**
   * @param honest goes on after a difference, with honest work in its place, and evaluates.
   * @throws as engines do; the signal's reason, before any inner step.
   */
  async take(round: LedgerRound, honest: boolean, signal?: AbortSignal): Promise<RoundReplay> {
    const startedAt = performance.now();
    const voided: Worked[] = [];
    for (const opening of round.voided) voided.push(...(await this.#takeVoid(round.round, opening, signal)));
    const worked = await this.#takeUnits(round.round, round, signal);
    const isIn = ({ unit }: Worked) => round.aggregated.includes(unit.worker);
    const wrong = worked.find((one) => isIn(one) && one.difference !== null)?.difference ?? null;
    const stops = wrong !== null && !honest;
    const { state, difference } = stops ? { state: "", difference: null } : await this.#aggregate(round);
    const began = [...voided, ...worked].filter(({ replay }) => replay?.afresh);
    const replayed = {
      round: round.round + 1,
      workers: round.units.length,
      aggregated: round.aggregated.length,
      steps: round.aggregated.length * this.#roundSteps,
      afresh: [...new Set(began.map(({ unit }) => unit.worker))],
      leftOut: worked.filter((one) => !isIn(one)).map(leftOut),
      voided: voided.map(leftOut),
      state,
      difference: wrong ?? difference,
      validationLoss: honest ? (await this.#anyEngine(round.aggregated[0]).evaluate(signal)).loss : null,
    };
    await this.#closeOthers(round);
    return { ...replayed, seconds: secondsSince(startedAt) };
  }

  get #roundSteps(): number {
    const [worker] = this.#workers.values();
    return worker!.engine.roundSteps;
  }

  /** The account's, or where there is none that of any worker: all hold the same. */
  #anyEngine(account: Account | undefined): Engine {
    const [any] = this.#workers.values();
    return (account === undefined ? any! : this.#workers.get(account)!).engine;
  }

  /** The account's virtual peer, at this round. One that has another shard now begins anew, as a run's does. */
  async #workerOf({ worker: account, shard }: LedgerUnit, round: number): Promise<AuditWorker> {
    let worker = this.#workers.get(account);
    if (worker?.shard !== shard) {
      if (worker !== undefined) await this.#close(worker);
      const engine = await this.#maker.engine(shard);
      if (this.#shared.length === 0) this.#share(engine);
      worker = new AuditWorker(account, shard, engine, this.#lasts.get(account) ?? null);
      this.#workers.set(account, worker);
    }
    if (worker.engine.standing.round !== round) await this.#adopt(worker, round);
    return worker;
  }

  #share({ shared }: Engine): void {
    this.#shared = shared.map(({ data }) => data.slice());
  }

  /** A worker whose own round did not count goes on from what the others hold. */
  async #adopt(worker: AuditWorker, round: number): Promise<void> {
    await worker.engine.adopt(round, async (shared) => {
      for (const [index, { data }] of shared.entries()) data.set(this.#shared[index]!);
    });
  }

  async #close(worker: AuditWorker): Promise<void> {
    if (worker.last !== null) this.#lasts.set(worker.account, worker.last);
    this.#workers.delete(worker.account);
    await worker.close();
  }

  /** Workers without a unit in the round may never come back. */
  async #closeOthers({ units }: LedgerRound): Promise<void> {
    const accounts = new Set(units.map(({ worker }) => worker));
    for (const worker of [...this.#workers.values()])
      if (!accounts.has(worker.account)) await this.#close(worker);
  }

  /** An opening to which all workers were lost: of their work there remain the inner states of those who had revealed it. */
  async #takeVoid(round: number, opening: LedgerOpening, signal?: AbortSignal): Promise<Worked[]> {
    const worked = await this.#takeUnits(round, opening, signal);
    for (const worker of this.#workers.values()) await this.#adopt(worker, round);
    return worked;
  }

  async #takeUnits(
    round: number,
    { beacon, units }: LedgerOpening,
    signal: AbortSignal | undefined,
  ): Promise<Worked[]> {
    const worked: Worked[] = [];
    for (const unit of units) {
      const { revealed } = unit;
      // A unit that nobody knows leaves no trace, by the rules of the ledger.
      if (revealed === null) worked.push({ unit, replay: null, difference: null });
      else worked.push(await this.#work(round, beacon, { ...unit, revealed }, signal));
    }
    return worked;
  }

  async #work(
    round: number,
    beacon: Hash,
    unit: LedgerUnit & { readonly revealed: RevealedUnit },
    signal: AbortSignal | undefined,
  ): Promise<Worked> {
    const worker = await this.#workerOf(unit, round);
    const before = worker.engine.trainer.parameters.slice();
    const replay = await worker.work(beacon, unit.revealed, signal);
    const leaves = [...replay.leaves, await this.#contributionOf(worker, round, before)];
    const difference = firstDifference(unit.worker, unit.revealed, leaves, () => treeOf(leaves).root);
    return { unit, replay, difference };
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

  /** A round in which nobody's work counted: the state stays as it was. */
  async #pass(round: LedgerRound): Promise<{ state: Hash; difference: Difference | null }> {
    for (const worker of this.#workers.values()) await this.#adopt(worker, round.round + 1);
    const compared = await this.#compare(round, emptyResult(round.round), this.#anyEngine(undefined));
    return { ...compared, difference: droppedWork(round) ?? compared.difference };
  }

  /** The exchange of those that the ledger names, and what it leads to. */
  async #aggregate(round: LedgerRound): Promise<{ state: Hash; difference: Difference | null }> {
    if (round.aggregated.length === 0) return this.#pass(round);
    const members = round.aggregated.map((account) => this.#workers.get(account)!);
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
    const [holder] = engines as [Engine];
    this.#share(holder);
    return this.#compare(round, result, holder);
  }

  /** What the ledger says that the round leads to, with what this engine holds now. */
  async #compare(
    round: LedgerRound,
    result: Hash,
    holder: Engine,
  ): Promise<{ state: Hash; difference: Difference | null }> {
    const [state, parameters] = [await holder.digest(), await native.digest([holder.trainer.parameters])];
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
