/** For tests and the demo: a signal to this process in the middle of a round's collectives. */
import { constants } from "node:os";
import type { Endpoint } from "../reduce/endpoint.js";

/** In round `round`, once its collectives have taken `steps` steps, this process gets `signal`. */
export interface FaultPlan {
  /** From 1, as people count rounds. */
  round: number;
  steps: number;
  signal: NodeJS.Signals;
}

/** Watches the collectives of the planned round. */
export class Fault {
  readonly #plan: FaultPlan;
  readonly #endpoint: Pick<Endpoint, "fault">;
  #active = false;
  #taken = 0;

  constructor(plan: FaultPlan, endpoint: Pick<Endpoint, "fault">) {
    this.#plan = plan;
    this.#endpoint = endpoint;
  }

  /** Exchanges of a round begin, from 0, or begin again. */
  enter(round: number): void {
    this.#active = round + 1 === this.#plan.round;
    this.#taken = 0;
  }

  began(operation: number): void {
    const { steps, signal } = this.#plan;
    if (this.#active)
      this.#endpoint.fault(operation, Math.max(1, steps - this.#taken), constants.signals[signal]);
  }

  ended(steps: number): void {
    this.#taken += steps;
  }
}
