/** Records of a ledger as a stream: those that are there, then each as it comes. */
import type { LedgerRecord } from "./events.js";
import { decodeRecord } from "./record.js";
import type { Store } from "./store.js";

export type Subscriber<Effect> = (record: LedgerRecord, effects: readonly Effect[]) => void;

/** Those who want to know of new records, and those who wait for one. */
export class Listeners<Effect> {
  readonly #subscribers = new Set<Subscriber<Effect>>();
  #wake = Promise.withResolvers<void>();
  closed = false;

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
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  }

  close(): void {
    this.closed = true;
    this.#wake.resolve();
  }

  /** Until a record came, or none will. */
  changed(): Promise<void> {
    return this.#wake.promise;
  }
}

/** Those from `from` to before `to`, decoded. @throws ERR_LEDGER where the file is damaged. */
export function* readRecords(store: Store, from: number, to: number): Generator<LedgerRecord> {
  for (const page of store.pages(from, to)) for (const bytes of page) yield decodeRecord(bytes);
}

interface Source {
  count(): number;
  read(from: number, to: number): Iterable<LedgerRecord>;
}

/** Ends when the signal aborts or the listeners are closed; nothing is kept for a slow reader, since all of it is on disk. */
export async function* subscribeTo<Effect>(
  source: Source,
  listeners: Listeners<Effect>,
  from: number,
  signal: AbortSignal,
): AsyncGenerator<LedgerRecord, void, undefined> {
  const over = () => signal.aborted || listeners.closed;
  for (let next = from; !over(); ) {
    const changed = listeners.changed();
    for (const record of source.read(next, source.count())) {
      next = record.seq + 1;
      yield record;
      if (over()) return;
    }
    if (next >= source.count()) await firstOf(changed, signal);
  }
}

/** Leaves nothing behind on a signal that lives long. */
async function firstOf(changed: Promise<void>, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const wake = () => resolve();
  signal.addEventListener("abort", wake, { once: true });
  changed.then(wake);
  await promise;
  signal.removeEventListener("abort", wake);
}
