/** A worker of a run's ledger as a virtual peer that takes its inner steps again: on the data that it was given, from the state that it must have had. */
import type { Engine, StepWatcher } from "../engine/engine.js";
import { dataSeed } from "../ledger/draw.js";
import type { Account, Hash } from "../ledger/events.js";
import { loadState, partsOf, stateDigest, stateHash } from "../verify/state.js";
import type { LedgerUnit } from "./audit-ledger.js";

/** The tensors of a trainer's inner state, in its order. */
type Inner = readonly Float32Array[];

/** What a unit comes to. */
export interface UnitReplay {
  /** s_0 to s_H. */
  readonly leaves: readonly Hash[];
  /** It began with a fresh inner optimizer, though it had worked before. */
  readonly afresh: boolean;
}

export class AuditWorker implements StepWatcher {
  readonly account: Account;
  readonly shard: number;
  readonly engine: Engine;
  readonly #fresh: Inner;
  /** What its inner optimizer may hold: what its last unit ended with, or as a process that was started again begins. */
  #possible: Inner[];
  #beacon: Hash = "";
  #leaves: Hash[] = [];

  /** @param engine of the shard, as the run starts it; it is this worker's from now on. */
  constructor(account: Account, shard: number, engine: Engine) {
    this.account = account;
    this.shard = shard;
    this.engine = engine;
    this.#fresh = this.#inner();
    this.#possible = [this.#fresh];
    engine.watch(this);
  }

  draw(step: number): number {
    return dataSeed(this.#beacon, this.account, step);
  }

  async stepped(step: number): Promise<void> {
    this.#leaves.push(await stateDigest(this.engine.trainer, step + 1));
  }

  #inner(): Inner {
    return this.engine.trainer.innerState.map(({ data }) => data.slice());
  }

  /**
   * The engine's round on the data that the beacon gives this worker, where it has revealed a unit; else nothing: a unit that
   * nobody knows leaves no trace, by the rules of the ledger. The parameters must be those that the round begins with. What
   * comes after is the engine's: the exchange where the unit is aggregated, else adopting what the others have come to.
   */
  async work(beacon: Hash, { revealed }: LedgerUnit): Promise<UnitReplay | null> {
    if (revealed === null) return null;
    const { trainer, step } = this.engine;
    const { parameters } = trainer;
    const starts: Hash[] = [];
    for (const inner of this.#possible) starts.push(stateHash(await partsOf({ parameters, inner }, step)));
    const found = Math.max(0, starts.indexOf(revealed.leaves.get(0)!));
    const inner = this.#possible[found]!;
    const start = starts[found]!;
    this.#beacon = beacon;
    this.#leaves = [start];
    loadState(trainer, { parameters, inner });
    await this.engine.train();
    const afresh = inner === this.#fresh && this.#possible.length > 1;
    this.#possible = [this.#inner(), this.#fresh];
    return { leaves: this.#leaves, afresh };
  }

  async close(): Promise<void> {
    await this.engine.close();
  }
}
