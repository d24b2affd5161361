/** Checks the signatures of many events, on threads where there are enough of them to be worth it. */
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { asGradmeshError } from "../base/errors.js";
import { eventKinds, type Hash } from "./events.js";
import { eventAuthor, eventKindId, eventSignature, ZERO_HASH } from "./record.js";
import { KeyRing, signedMessage } from "./sign.js";

/** Events one after the other in one buffer, which goes to a thread without being copied. */
export interface SignatureBatch {
  readonly ledgerId: Hash;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly lengths: Uint32Array;
}

/** Fewer are checked where they are: a thread's answer takes as long as some of them. */
const INLINE_MAX = 16;
/** Of one batch, so that both threads have work when a few hundred events wait. */
const BATCH_EVENTS = 128;

/** 1 where the signature of the event holds, 0 where not, in the order of the batch. */
export function checkSignatures({ ledgerId, bytes, lengths }: SignatureBatch, keys: KeyRing): Uint8Array {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let start = 0;
  return Uint8Array.from(lengths, (length) => {
    const event = buffer.subarray(start, start + length);
    start += length;
    return Number(holds(ledgerId, event, keys));
  });
}

/** The event is well-formed already; the one that makes a ledger is signed for the id of zeros. */
function holds(ledgerId: Hash, event: Buffer, keys: KeyRing): boolean {
  const id = eventKindId(event) === eventKinds.RunCreated.id ? ZERO_HASH : ledgerId;
  return keys.verify(eventAuthor(event), signedMessage(id, event), eventSignature(event));
}

function toBatch(ledgerId: Hash, events: readonly Uint8Array[]): SignatureBatch {
  const lengths = Uint32Array.from(events, (event) => event.length);
  const bytes = new Uint8Array(lengths.reduce((sum, length) => sum + length, 0));
  let end = 0;
  for (const event of events) {
    bytes.set(event, end);
    end += event.length;
  }
  return { ledgerId, bytes, lengths };
}

interface Thread {
  readonly worker: Worker;
  /** Who waits, in the order of their batches. */
  readonly waiting: { resolve(result: Uint8Array): void; reject(error: Error): void }[];
}

/** The threads are started when first needed, and keep no process alive that waits for none of them. */
export class SignatureChecker {
  readonly #threadsMax: number;
  readonly #threads: Thread[] = [];
  readonly #keys = new KeyRing();

  constructor(threads = availableParallelism()) {
    this.#threadsMax = threads;
  }

  /**
   * Which of the encoded events are signed by their author for this ledger: 1 or 0 for each.
   * @throws ERR_INTERNAL where a thread ends in the middle.
   */
  async check(ledgerId: Hash, events: readonly Uint8Array[]): Promise<Uint8Array> {
    if (events.length <= INLINE_MAX || this.#threadsMax === 0)
      return checkSignatures(toBatch(ledgerId, events), this.#keys);
    const parts: Promise<Uint8Array>[] = [];
    for (let start = 0; start < events.length; start += BATCH_EVENTS)
      parts.push(this.#send(toBatch(ledgerId, events.slice(start, start + BATCH_EVENTS))));
    return Buffer.concat(await Promise.all(parts));
  }

  async close(): Promise<void> {
    await Promise.all(this.#threads.splice(0).map(({ worker }) => worker.terminate()));
  }

  #send(batch: SignatureBatch): Promise<Uint8Array> {
    const thread = this.#thread();
    return new Promise((resolve, reject) => {
      thread.waiting.push({ resolve, reject });
      thread.worker.ref();
      thread.worker.postMessage(batch, [batch.bytes.buffer]);
    });
  }

  /** An idle thread, a new one, or the one with the least to do. */
  #thread(): Thread {
    const least = this.#threads.reduce<Thread | undefined>(
      (best, next) => (best === undefined || next.waiting.length < best.waiting.length ? next : best),
      undefined,
    );
    if (least !== undefined && (least.waiting.length === 0 || this.#threads.length >= this.#threadsMax))
      return least;
    return this.#start();
  }

  #start(): Thread {
    const worker = new Worker(new URL("./signature-worker.js", import.meta.url));
    const thread: Thread = { worker, waiting: [] };
    this.#threads.push(thread);
    worker.on("message", (result: Uint8Array) => {
      thread.waiting.shift()?.resolve(result);
      if (thread.waiting.length === 0) worker.unref();
    });
    const fail = (error: Error) => {
      const index = this.#threads.indexOf(thread);
      if (index >= 0) this.#threads.splice(index, 1);
      for (const { reject } of thread.waiting.splice(0)) reject(asGradmeshError(error));
    };
    worker.on("error", fail);
    worker.on("exit", () => fail(new Error("a thread that checks signatures ended")));
    return thread;
  }
}
