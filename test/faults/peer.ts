/** A fault peer (test/net/fault_peer.cpp) as an object: it is asked by a line and answers by one. */
import type { ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";

/** No answer takes longer; none should come near. */
const ANSWER_LIMIT_MS = 40_000;
const MESSAGE_CHARACTERS_MAX = 4000;

export type Words = Readonly<Record<string, string | number>>;
export type Ranges = readonly (readonly [begin: number, elements: number])[];

export interface Answer {
  /** "ok", or the name of the native code. */
  readonly code: string;
  readonly message?: string;
}

/** How an operation ended at one peer. */
export interface Ended extends Answer {
  /** Nanoseconds of the machine's monotonic clock. */
  readonly at: number;
  readonly seconds: number;
  readonly steps: number;
  /** A peer, or -1. */
  readonly lost: number;
  /** Of what its output means at this rank. */
  readonly digest: string;
  readonly inputIntact: boolean;
}

export interface Resources {
  readonly descriptors: number;
  readonly threads: number;
  readonly residentBytes: number;
  readonly heapBytes: number;
}

interface Waiting {
  readonly what: string;
  resolve(answer: Answer): void;
  reject(reason: Error): void;
  readonly guard: NodeJS.Timeout;
}

export class FaultPeer {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, Waiting>();
  #asked = 0;
  #errors = "";
  /** When its fault struck, in nanoseconds as `at`; never where none does. */
  readonly struck: Promise<number>;
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  #strike: (at: number) => void = () => {};

  constructor(
    child: ChildProcess,
    readonly name: number,
  ) {
    this.#child = child;
    this.struck = new Promise((resolve) => {
      this.#strike = resolve;
    });
    child.stderr!.on("data", (piece: Buffer) => {
      this.#errors = (this.#errors + piece.toString()).slice(-MESSAGE_CHARACTERS_MAX);
    });
    child.stdin!.on("error", () => {}); // it has ended, which `ended` says
    createInterface({ input: child.stdout! }).on("line", (line) => this.#hear(JSON.parse(line)));
    this.ended = new Promise((resolve) => {
      child.on("error", ({ message }) => {
        this.#errors += message;
      });
      child.on("close", (code, signal) => {
        const why = `peer ${this.name} has ended (${signal ?? code}) ${this.#errors.trim()}`;
        for (const { reject, what, guard } of this.#waiting.values()) {
          clearTimeout(guard);
          reject(new Error(`${why}: ${what}`));
        }
        this.#waiting.clear();
        resolve({ code, signal });
      });
    });
  }

  #hear(line: Answer & { answer?: number; event?: string; at?: number }): void {
    if (line.event === "fault") this.#strike(line.at!);
    const waiting = this.#waiting.get(line.answer ?? 0);
    if (!waiting) return;
    this.#waiting.delete(line.answer!);
    clearTimeout(waiting.guard);
    waiting.resolve(line);
  }

  /**
   * Resolves with the answer, whatever its code.
   * @throws Error where the process ends or does not answer.
   */
  ask<T extends Answer = Answer>(verb: string, words: Words = {}): Promise<T> {
    const number = ++this.#asked;
    const what = [verb, ...Object.entries(words).map(([name, value]) => `${name}=${value}`)].join(" ");
    return new Promise<T>((resolve, reject) => {
      const late = () => reject(new Error(`peer ${this.name} does not answer: ${what}`));
      const guard = setTimeout(late, ANSWER_LIMIT_MS);
      this.#waiting.set(number, { what, resolve: resolve as (answer: Answer) => void, reject, guard });
      this.#child.stdin!.write(`${number} ${what}\n`);
    });
  }

  /** As ask(), for what must succeed. */
  async do<T extends Answer = Answer>(verb: string, words: Words = {}): Promise<T> {
    const answer = await this.ask<T>(verb, words);
    if (answer.code !== "ok")
      throw new Error(`peer ${this.name}: ${verb}: ${answer.code}, ${answer.message}`);
    return answer;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Ends it; the reason where it did not end well (a sanitizer's, for example). */
  async exit(): Promise<string | null> {
    this.#child.stdin!.write("0 exit\n");
    const { code, signal } = await this.ended;
    return code === 0 ? null : `peer ${this.name} ended with ${signal ?? code}: ${this.#errors.trim()}`;
  }

  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.ended;
  }
}
