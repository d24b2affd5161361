/**
 * One recipe's exchanges on one peer's tensors. An exchange has three parts, so that a round can be begun again: capture
 * reads the state into memory of its own, communicate sends that and changes no state, apply changes the state.
 */

import type { ReduceReport } from "../reduce/calls.js";
import type { ApplyAction, BeginAction } from "../strategy/strategy.js";
import type { NamedTensor } from "../tensor/layout.js";
import type { Communicator } from "./communicator.js";

/** Bytes and seconds of the collectives of an exchange on this peer. */
export interface ExchangeReport
  extends Pick<ReduceReport, "bytesSent" | "bytesFraming" | "bytesReceived" | "seconds"> {
  /** Agreed by all members; merged into the next view's measures. */
  readonly measures?: Readonly<Record<string, number>>;
}

/** What is under way between a begin and its apply. */
export interface Flight {
  readonly begin: BeginAction;
  /** Resolves when the result is whole. `state` was not touched. */
  communicate(communicator: Communicator, slots: () => number, last: boolean): Promise<ExchangeReport>;
  /** What all members compare by digest: equal on all where recipe.commit.equal says so. */
  readonly results: readonly Float32Array[];
  apply(action: ApplyAction, communicator: Communicator): Promise<void>;
  /** The round committed with it, for all this peer knows, and it takes another's state: what was sent is not owed again. */
  counted?(communicator: Communicator): void;
}

/** Live views of what an exchange keeps between rounds. */
export interface ExchangeState {
  /** What every member holds in the same bytes, and a joining peer receives. */
  readonly shared: readonly NamedTensor[];
  /** What stays on its peer: error feedback, a gossiping peer's anchor, what is under way. */
  readonly local: readonly NamedTensor[];
}

export interface Exchange extends ExchangeState {
  /** Of those that have one: the parameters that all members share, float32 [n], where they are not the trainer's own. */
  readonly anchor?: Float32Array;
  /** The state becomes that of a run's start: anchor = parameters. */
  start(): Promise<void>;
  /** After a joining peer's shared tensors were written: parameters and what else follows from them. */
  adopted(): Promise<void>;
  /** After a checkpoint was read into all of its tensors: what is in none of them, such as parameters that follow. */
  restored?(): Promise<void>;
  /** Reads the state into memory of its own; changes none. */
  capture(begin: BeginAction, communicator: Communicator): Promise<Flight>;
  /** What the last exchange agreed on, for the next view; it is part of the shared state. */
  readonly measures?: Readonly<Record<string, number>>;
  setMeasures?(measures: Readonly<Record<string, number>>): void;
  /** Takes over what the same peer's exchange on other data had carried. */
  inherit?(from: Exchange): void;
  /**
   * The round goes on without this peer: what it would have sent goes into its next contribution, until a round commits
   * with it. Gives its Euclidean norm.
   */
  carry?(): Promise<number>;
  /** Gives what puts back what is carried now: a round that is begun again sends what an apply in it had let go of. */
  keepCarried?(): () => void;
  /** What was carried may be in a round that this peer did not see commit. */
  dropCarried?(): void;
  /** A local change of the gradient before the inner optimizer takes it (FedProx). */
  adjustGradient?(): Promise<void>;
  close(): void;
}
