/** A worker of a run's ledger as a virtual peer that takes its inner steps again: on the data that it was given, from the state that it must have had. */
import type { Engine, StepWatcher } from "../engine/engine.js";
import { dataSeed } from "../ledger/draw.js";
import type { Account, Hash } from "../ledger/events.js";
import { loadState, partsOf, stateDigest, stateHash } from "../verify/state.js";
import type { RevealedUnit } from "./audit-ledger.js";

/** The tensors of a trainer's inner state, in its order. */
export type Inner = readonly Float32Array[];

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
  #last: Inner | null;
  #beacon: Hash = "";
  #leaves: Hash[] = [];
  #signal: AbortSignal | undefined;

  /** @param engine of the shard, as the run starts it; it is this worker's from now on. @param last what its last unit ended with, on whichever shard; null before one. */
  constructor(account: Account, shard: number, engine: Engine, last: Inner | null) {
    this.account = account;
    this.shard = shard;
    this.engine = engine;
    this.#fresh = this.#inner();
    this.#last = last;
    engine.watch(this);
  }

  /** What its last unit ended with; null before one. */
  get last(): Inner | null {
    return this.#last;
  }

  draw(step: number): number {
    this.#signal?.throwIfAborted();
    return dataSeed(this.#beacon, this.account, step);
  }

  async stepped(step: number): Promise<void> {
    this.#leaves.push(await stateDigest(this.engine.trainer, step + 1));
  }

  #inner(): Inner {
    return this.engine.trainer.innerState.map(({ data }) => data.slice());
  }

  /**
   * The engine's round on the data that the beacon gives this worker. The parameters must be those that the round begins with.
   * What comes after is the engine's: the exchange where the unit is aggregated, else adopting what the others have come to.
   * @throws as engines do; the signal's reason, before any inner step.
   */
  async work(beacon: Hash, revealed: RevealedUnit, signal?: AbortSignal): Promise<UnitReplay> {
    const { trainer, step } = this.engine;
    const { parameters } = trainer;
    const digestFrom = async (inner: Inner) => stateHash(await partsOf({ parameters, inner }, step));
    // A process that was started again begins with a fresh inner optimizer.
    const afresh = this.#last !== null && (await digestFrom(this.#fresh)) === revealed.said.get(0);
    const inner = afresh ? this.#fresh : (this.#last ?? this.#fresh);
    this.#beacon = beacon;
    this.#signal = signal;
    this.#leaves = [await digestFrom(inner)];
    loadState(trainer, { parameters, inner });
    await this.engine.train();
    this.#last = this.#inner();
    return { leaves: this.#leaves, afresh };
  }

  async close(): Promise<void> {
    await this.engine.close();
  }
}
