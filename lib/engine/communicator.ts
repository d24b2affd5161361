/** What the engine needs of a network: collectives among the members of one view. A run's and the gym's are both this. */
import type { AllReduceCollective, ReduceReport } from "../reduce/calls.js";
import type { GatheredTensor } from "../reduce/gather-wires.js";
import type { StrategyView } from "../strategy/strategy.js";

/** Of one collective; all but `input`, `output`, `residue` and `nextResidue` the same on every member. */
interface Call {
  /** Names the collective within the round: ascending in the order in which they begin. */
  readonly slot: number;
  /** The codec's specification. */
  readonly codec: string;
  /** Keys the codec's random numbers. */
  readonly key: { readonly seed: number; readonly step: number };
  /** This peer's contribution, float32 [n]; stays as it is. */
  readonly input: Float32Array;
  /** float32 [n]; its content after an error means nothing. */
  readonly output: Float32Array;
}

export interface AllReduceCall extends Call {
  /** gather: every wire to every member; else as the names say. */
  readonly collective: AllReduceCollective | "auto" | "gather";
  /** The codec of the mean on its way down; null: as up. Only of direct. */
  readonly down: string | null;
  /** By rank, of a weighted mean; null: the mean. */
  readonly weights: readonly number[] | null;
  /**
   * The owner's error feedback: state [n], of which a rank uses its own chunk, `next` what it becomes when the round
   * commits, and the decay; null: none.
   */
  readonly owner: {
    readonly state: Float32Array;
    readonly next: Float32Array;
    readonly decay: number;
  } | null;
  /** The last one of the round, whose result is voted on: what a failed attempt finished may be kept (salvage). */
  readonly last: boolean;
}

export interface MixCall extends Call {
  readonly topology: string;
  /** Of a time-varying graph. */
  readonly topologyRound: number;
}

/** Every member's words to every member: output [ranks x n], by rank, bit for bit. */
export interface GatherWordsCall {
  readonly slot: number;
  /** float32 [n], n at most 4096. */
  readonly input: Float32Array;
  readonly output: Float32Array;
}

/** Every member's contribution to every member, coded once by each, decoded alike by all: output [ranks x n], by rank. */
export interface GatherAllCall extends GatheredTensor {
  readonly slot: number;
}

/** What all members hold alike before it is aggregated. */
export interface Gathered {
  /** Of the gatherAll. */
  readonly slot: number;
  /** By rank, as everybody decodes them: float32 [n] each, live views that stay as they are. */
  readonly contributions: readonly Float32Array[];
}

/**
 * One view's. Several calls may be under way at once, up to 16; each is begun in the order of its slot.
 * @throws GradmeshError as Reducer does; inputs are intact, and the round may be begun again with another communicator.
 */
export interface Communicator {
  readonly view: StrategyView;
  /** This peer's place in view.members. */
  readonly rank: number;
  allReduce(call: AllReduceCall): Promise<ReduceReport>;
  mix(call: MixCall): Promise<ReduceReport>;
  gatherWords(call: GatherWordsCall): Promise<ReduceReport>;
  /** @throws ERR_DIVERGED with detail.peers where contributions have NaN or infinite elements, the same on all members. */
  gatherAll(call: GatherAllCall): Promise<ReduceReport>;
  /**
   * Looks at what was gathered before it is aggregated: a verified run compares it with what its members committed to.
   * @throws GradmeshError with detail.peers, without whom the round is begun again.
   */
  inspect?(gathered: Gathered): Promise<void>;
  /**
   * Where a clock is not the machine's: tells it that this peer computed an inner step, began or waits for a collective.
   * A run's does nothing.
   */
  readonly clock?: CommunicatorClock;
}

/** Slots that one exchange may use: its own block, so that exchanges side by side name theirs alike on all members. */
export const SLOTS_PER_EXCHANGE = 8;

/** The gym's virtual clock, told by the engine. */
export interface CommunicatorClock {
  /** An inner step was computed. */
  computed(): void;
  /** An exchange begins now, with the slots from `slot` on to slot + SLOTS_PER_EXCHANGE - 1, one after another. */
  began(slot: number): void;
  /** This peer now waits for the exchange that began with this slot, and uses its result. */
  joined(slot: number): void;
}
