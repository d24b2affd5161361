/** An ordered, message-oriented control connection to one authenticated peer. */

/** Largest control message; a longer one is refused before anything is allocated for it. */
export const MESSAGE_BYTES_MAX = 1 << 20;

export interface Channel {
  /** The peer id of the other side, proved by libp2p's handshake. */
  readonly remote: string;
  /** Queues one message (plain data: msgpackr). Rejects with ERR_CLOSED once the channel is closed. */
  send(message: unknown): Promise<void>;
  /** The messages of the other side, in order, ending when the channel closes. May be iterated once. */
  messages(): AsyncIterable<unknown>;
  /** Resolves when the channel is closed by either side, or lost. */
  readonly closed: Promise<void>;
  close(): Promise<void>;
}
