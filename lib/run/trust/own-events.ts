/** What the sequencer's own peer appends in answer to what happens: one event after another, each made in its turn. */
import { asGradmeshError } from "../../base/errors.js";
import type { LedgerEvent } from "../../ledger/events.js";
import type { Sequencer } from "../../ledger/ledger.js";
import { isRefusal } from "../../ledger/replica.js";

export interface OwnEventsOptions {
  readonly sequencer: Pick<Sequencer<unknown, unknown>, "append">;
  /** Hears what the rules refused: it is out of date, or a fault that must be seen. */
  warn(reason: string): void;
  /** Nothing can be appended any more. */
  onFailure(error: unknown): void;
}

/** An event, or how to make it once those before it are recorded; null: it is not needed any more. */
export type Making = LedgerEvent | (() => LedgerEvent | null);

export class OwnEvents {
  readonly #options: OwnEventsOptions;
  #last: Promise<void> = Promise.resolve();

  constructor(options: OwnEventsOptions) {
    this.#options = options;
  }

  /** @param onRefused the rules have refused it. */
  append(making: Making, onRefused: () => void = () => {}): void {
    this.#last = this.#last.then(() => this.#append(making, onRefused));
  }

  /** Settles once what was to be appended until now is on disk, or refused; never rejects. */
  get done(): Promise<void> {
    return this.#last;
  }

  async #append(making: Making, onRefused: () => void): Promise<void> {
    const { sequencer, warn, onFailure } = this.#options;
    let what = "an event";
    try {
      const event = typeof making === "function" ? making() : making;
      if (event === null) return;
      what = event.kind;
      await sequencer.append(event);
    } catch (error) {
      const { code, message } = asGradmeshError(error);
      if (code === "ERR_CLOSED") return;
      if (!isRefusal(error)) return onFailure(error);
      onRefused();
      warn(`${what} was refused: ${message}`);
    }
  }
}
