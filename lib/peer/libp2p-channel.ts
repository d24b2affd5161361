/** A Channel over one libp2p stream: framed messages, bounded queues, back pressure both ways. */
import type { Stream } from "@libp2p/interface";
import type { Clock } from "../base/clock.js";
import { asGradmeshError, GradmeshError } from "../base/errors.js";
import { type Channel, MESSAGE_BYTES_MAX } from "./channel.js";
import { createFrameReader, type FrameReader, frameMessage, unpackMessage } from "./message.js";
import { createMessageQueue } from "./message-queue.js";

export interface ChannelLimits {
  /** Longest message that is accepted. */
  messageBytesMax: number;
  /** Received messages that wait for their reader before the stream is paused. */
  receiveMessagesMax: number;
  /** Bytes given to `send` that the other side has not taken; more means it does not read, and ends the channel. */
  sendBytesMax: number;
  /** Time for the last bytes to leave after `close`. */
  closeLimitMs: number;
}

export const channelLimits: ChannelLimits = {
  messageBytesMax: MESSAGE_BYTES_MAX,
  receiveMessagesMax: 256,
  sendBytesMax: 16 * MESSAGE_BYTES_MAX,
  closeLimitMs: 1000,
};

/** A channel that also knows where the other side is. */
export interface PeerChannel extends Channel {
  /** The IP address or name at the other end of the connection; empty where there is none. */
  readonly remoteHost: string;
}

export interface StreamChannelOptions {
  stream: Stream;
  remote: string;
  remoteHost: string;
  clock: Clock;
  limits?: Partial<ChannelLimits>;
}

class StreamChannel implements PeerChannel {
  readonly remote: string;
  readonly remoteHost: string;
  readonly closed: Promise<void>;
  readonly #stream: Stream;
  readonly #clock: Clock;
  readonly #limits: ChannelLimits;
  readonly #reader: FrameReader;
  readonly #queue = createMessageQueue();
  readonly #resolveClosed: () => void;
  /** Whether the other side closed its end in order, so that half a message cannot be a loss. */
  #orderly = false;
  #open = true;
  #remoteEnded = false;
  #inputEnded = false;
  #sending: Promise<void> = Promise.resolve();
  #sendBytes = 0;
  #failure: GradmeshError | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: StreamChannelOptions) {
    this.remote = options.remote;
    this.remoteHost = options.remoteHost;
    this.#stream = options.stream;
    this.#clock = options.clock;
    this.#limits = { ...channelLimits, ...options.limits };
    this.#reader = createFrameReader(this.#limits.messageBytesMax);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.closed = promise;
    this.#resolveClosed = resolve;
    this.#listen();
  }

  #listen(): void {
    const stream = this.#stream;
    stream.addEventListener("message", (event) => {
      if (this.#inputEnded) return;
      this.#reader.push(event.data.subarray());
      this.#pump();
    });
    // The other side will send no more. What it sent before is still read: "end" follows the last byte, and a
    // paused stream, whose reader may never come back, is resumed for it.
    stream.addEventListener("remoteCloseWrite", () => {
      if (stream.readStatus === "paused") stream.resume();
    });
    stream.addEventListener("end", () => {
      this.#orderly = stream.status === "open" || stream.status === "closing";
      this.#onRemoteEnd();
    });
    stream.addEventListener("close", () => {
      // A stream that closes while paused keeps its unread bytes until it is resumed.
      if (stream.readStatus === "paused") stream.resume();
      this.#onRemoteEnd();
    });
    // Either event may have passed before this channel was made.
    if (stream.readableEnded || stream.status !== "open") queueMicrotask(() => this.#onRemoteEnd());
  }

  #markClosed(): void {
    this.#open = false;
    this.#resolveClosed();
  }

  #onRemoteEnd(): void {
    if (this.#remoteEnded) return;
    this.#remoteEnded = true;
    this.#markClosed();
    this.#pump();
    void this.#endStream();
  }

  /** Moves whole messages from the bytes received to the queue, as far as there is room. */
  #pump(): void {
    try {
      while (!this.#inputEnded && this.#queue.size < this.#limits.receiveMessagesMax) {
        const body = this.#reader.next();
        if (body !== undefined) this.#queue.push(unpackMessage(body));
        else if (this.#remoteEnded) this.#endInput();
        else break;
      }
      this.#steer();
    } catch (error) {
      this.#fail(asGradmeshError(error));
    }
  }

  /** Pauses the stream while the queue is full, so that the other side's window closes; resumes it afterwards. */
  #steer(): void {
    if (this.#inputEnded || this.#stream.status !== "open" || this.#stream.remoteWriteStatus === "closed")
      return;
    const full = this.#queue.size >= this.#limits.receiveMessagesMax;
    if (full && this.#stream.readStatus === "readable") this.#stream.pause();
    if (!full && this.#stream.readStatus === "paused") this.#stream.resume();
  }

  #endInput(): void {
    if (this.#reader.pending > 0 && this.#orderly) {
      throw new GradmeshError("ERR_PROTOCOL", `${this.remote} ended its channel in the middle of a message`);
    }
    this.#inputEnded = true;
    this.#queue.end();
  }

  #fail(error: GradmeshError): void {
    this.#failure ??= error;
    this.#inputEnded = true;
    this.#queue.end(error);
    this.#markClosed();
    this.#stream.abort(error);
  }

  async send(message: unknown): Promise<void> {
    if (!this.#open) throw this.#closedError();
    const frame = frameMessage(message);
    if (this.#sendBytes > 0 && this.#sendBytes + frame.length > this.#limits.sendBytesMax) {
      this.#fail(
        new GradmeshError(
          "ERR_CLOSED",
          `${this.remote} does not read: ${this.#sendBytes} bytes wait to be sent`,
        ),
      );
      throw this.#closedError();
    }
    this.#sendBytes += frame.length;
    const turn = this.#sending.then(() => this.#write(frame));
    this.#sending = turn.catch(() => {});
    try {
      await turn;
    } finally {
      this.#sendBytes -= frame.length;
    }
  }

  async #write(frame: Uint8Array): Promise<void> {
    try {
      this.#stream.send(frame);
    } catch (cause) {
      throw this.#closedError(cause);
    }
    await this.#drained();
    if (this.#stream.status !== "open" && this.#stream.writeBufferLength > 0) throw this.#closedError();
  }

  /**
   * Resolves once the stream takes more bytes, or is closed. libp2p's own `onDrain` keeps its first promise for
   * ever, so from the second time on it would not wait.
   */
  async #drained(): Promise<void> {
    const stream = this.#stream;
    while (stream.status === "open" && stream.writableNeedsDrain) {
      await new Promise<void>((resolve) => {
        const wake = () => {
          stream.removeEventListener("drain", wake);
          stream.removeEventListener("close", wake);
          resolve();
        };
        stream.addEventListener("drain", wake);
        stream.addEventListener("close", wake);
      });
    }
  }

  messages(): AsyncIterable<unknown> {
    return this.#queue.read(
      () => this.#pump(),
      () => void this.close(),
    );
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#inputEnded = true;
    this.#queue.end();
    this.#markClosed();
    // Bytes that nobody will read must not keep the other side's window closed.
    if (this.#stream.status === "open" && this.#stream.readStatus === "paused") this.#stream.resume();
    await this.#endStream();
  }

  /** Lets the last bytes leave, closes this side, and gives the other a moment to close its own. */
  async #endStream(): Promise<void> {
    const stream = this.#stream;
    if (stream.status !== "open") return;
    const gone = new AbortController();
    stream.addEventListener("close", () => gone.abort(), { once: true });
    const late = this.#clock.sleep(this.#limits.closeLimitMs, gone.signal).then(
      () =>
        stream.abort(new GradmeshError("ERR_TIMEOUT", `${this.remote} did not close its side of a channel`)),
      () => {},
    );
    try {
      await this.#sending;
      await stream.close();
    } catch {
      // It was closed or lost meanwhile, which is what is wanted here.
    }
    await late;
  }

  #closedError(cause: unknown = this.#failure): GradmeshError {
    const why = this.#failure === undefined ? "" : `: ${this.#failure.message}`;
    return new GradmeshError("ERR_CLOSED", `the channel to ${this.remote} is closed${why}`, { cause });
  }
}

/**
 * A channel over a stream. Its messages end when the other side closes or is lost, and throw ERR_PROTOCOL when it
 * sent what no correct peer sends; leaving the iteration closes the channel.
 */
export function createStreamChannel(options: StreamChannelOptions): PeerChannel {
  return new StreamChannel(options);
}
