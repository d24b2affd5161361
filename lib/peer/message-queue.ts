/** A bounded queue of received messages with one reader; the channels differ only in what fills it. */
import { GradmeshError } from "../base/errors.js";

export interface MessageQueue {
  /** Appends a message; drops it once the queue has ended. */
  push(message: unknown): void;
  /** No message follows; those queued are still read. With an error, the reader gets it after them. */
  end(error?: GradmeshError): void;
  /** Messages waiting for the reader. */
  readonly size: number;
  /** The messages in order; may be called once. `onTake` runs after each message was taken out. */
  read(onTake: () => void, onStop: () => void): AsyncIterable<unknown>;
}

export function createMessageQueue(): MessageQueue {
  const queue: unknown[] = [];
  let ended = false;
  let failure: GradmeshError | undefined;
  let reading = false;
  let wake: (() => void) | undefined;
  const notify = () => {
    wake?.();
    wake = undefined;
  };

  async function* iterate(onTake: () => void, onStop: () => void): AsyncGenerator<unknown> {
    try {
      for (;;) {
        if (queue.length > 0) {
          const message = queue.shift();
          onTake();
          yield message;
        } else if (ended) {
          if (failure !== undefined) throw failure;
          return;
        } else {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      }
    } finally {
      onStop();
    }
  }

  return {
    push(message) {
      if (ended) return;
      queue.push(message);
      notify();
    },
    end(error) {
      if (ended) return;
      ended = true;
      failure = error;
      notify();
    },
    get size() {
      return queue.length;
    },
    read(onTake, onStop) {
      if (reading) {
        throw new GradmeshError("ERR_INVALID_ARGUMENT", "the messages of a channel may be iterated once");
      }
      reading = true;
      return iterate(onTake, onStop);
    },
  };
}
