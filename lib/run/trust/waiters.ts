/** Those who wait until a ledger's state has what they look for. */

interface Waiter<State> {
  /** Looks; and when it finds, is done. */
  look(state: State): boolean;
  reject(reason: unknown): void;
}

export class Waiters<State> {
  readonly #waiting = new Set<Waiter<State>>();
  #failure: { readonly reason: unknown } | null = null;

  /**
   * The first that `find` finds: in `state` as it is, or after a later change.
   * @throws the signal's reason, what `find` throws, or what `fail` was given.
   */
  until<T>(state: State, find: (state: State) => T | null, signal?: AbortSignal): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      signal?.throwIfAborted();
      if (this.#failure !== null) throw this.#failure.reason;
      const found = find(state);
      if (found !== null) {
        resolve(found);
        return;
      }
      const end = () => {
        this.#waiting.delete(waiter);
        signal?.removeEventListener("abort", abort);
      };
      const abort = () => waiter.reject(signal?.reason);
      const waiter: Waiter<State> = {
        look(now) {
          const later = find(now);
          if (later === null) return false;
          end();
          resolve(later);
          return true;
        },
        reject(reason) {
          end();
          reject(reason);
        },
      };
      signal?.addEventListener("abort", abort, { once: true });
      this.#waiting.add(waiter);
    });
  }

  /** All look again. */
  changed(state: State): void {
    for (const waiter of [...this.#waiting])
      try {
        waiter.look(state);
      } catch (error) {
        waiter.reject(error);
      }
  }

  /** Ends all that wait, and all that will. */
  fail(reason: unknown): void {
    this.#failure ??= { reason };
    for (const waiter of [...this.#waiting]) waiter.reject(reason);
  }
}
