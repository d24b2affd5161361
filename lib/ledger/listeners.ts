/** Those who hear of each record of a ledger as it comes. */
import type { LedgerRecord } from "./events.js";

export type Subscriber<Effect> = (record: LedgerRecord, effects: readonly Effect[]) => void;

export class Listeners<Effect> {
  readonly #subscribers = new Set<Subscriber<Effect>>();

  add(subscriber: Subscriber<Effect>): () => void {
    this.#subscribers.add(subscriber);
    return () => this.#subscribers.delete(subscriber);
  }

  emit(record: LedgerRecord, effects: readonly Effect[]): void {
    for (const subscriber of this.#subscribers) {
      try {
        subscriber(record, effects);
      } catch (error) {
        // The record stands whatever a listener makes of it; its defect is not to be lost either.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
