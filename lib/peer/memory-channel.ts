/** Two joined channels inside one process, with the libp2p channel's behaviour, for tests and the simulator. */
import { GradmeshError } from "../base/errors.js";
import type { Channel } from "./channel.js";
import { packMessage, unpackMessage } from "./message.js";
import { createMessageQueue } from "./message-queue.js";

/** Messages that wait for a reader before `send` waits too. */
const QUEUE_MESSAGES_MAX = 256;

interface Side extends Channel {
  /** Takes a message that arrives later; resolves once the queue has room, or the channel is closed. */
  receive(body: Uint8Array): Promise<void>;
  end(): void;
}

function createSide(remote: string, other: () => Side): Side {
  const queue = createMessageQueue();
  const { promise: closed, resolve: resolveClosed } = Promise.withResolvers<void>();
  let open = true;
  let arriving = 0;
  let waiting: (() => void)[] = [];
  const release = () => {
    for (const wake of waiting) wake();
    waiting = [];
  };
  const side: Side = {
    remote,
    closed,
    async send(message) {
      if (!open) throw new GradmeshError("ERR_CLOSED", `the channel to ${remote} is closed`);
      // Packed even in memory: the reader must get a copy, and what the wire refuses must fail here too.
      const body = packMessage(message);
      await other().receive(body);
    },
    messages: () => queue.read(release, () => void side.close()),
    async close() {
      // After the messages that are under way: a close never overtakes what was sent before it.
      setImmediate(() => other().end());
      side.end();
    },
    async receive(body) {
      arriving += 1;
      setImmediate(() => {
        arriving -= 1;
        queue.push(unpackMessage(body));
      });
      while (open && queue.size + arriving >= QUEUE_MESSAGES_MAX) {
        await new Promise<void>((resolve) => waiting.push(resolve));
      }
    },
    end() {
      if (!open) return;
      open = false;
      queue.end();
      release();
      resolveClosed();
    },
  };
  return side;
}

/**
 * A pair of joined channels: what one sends the other receives. `left` and `right` are the peer ids of the sides, so
 * the first channel's `remote` is `right`.
 */
export function channelPair(left = "left", right = "right"): [Channel, Channel] {
  const first: Side = createSide(right, () => second);
  const second: Side = createSide(left, () => first);
  return [first, second];
}
