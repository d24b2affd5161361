/** Several peers on one machine: OS processes running the public commands with --json, and the events they print. */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { type ErrorCode, errorCodes, GradmeshError } from "../base/errors.js";
import type { TimedEvent } from "../run/events.js";
import { type Progress, shortPeer } from "./progress.js";

const mainPath = fileURLToPath(new URL("./main.js", import.meta.url));
/** The last lines of a peer's stderr kept to explain a failure. */
const STDERR_LINES_MAX = 20;

export interface PeerExit {
  at: number;
  code: number | null;
  signal: NodeJS.Signals | null;
}

/** One peer process. `exited` resolves when it ends, however it ends. */
export interface PeerProcess {
  readonly name: string;
  readonly pid: number;
  readonly exited: Promise<PeerExit>;
  /** The end of what it wrote to stderr. */
  stderr(): string;
  kill(signal: NodeJS.Signals): void;
}

/**
 * Starts `gradmesh <args> --json` and hands on each event it prints.
 * @throws ERR_IO when the process cannot be started.
 */
export function startPeer(
  name: string,
  args: readonly string[],
  onEvent: (event: TimedEvent, name: string) => void,
): PeerProcess {
  const child: ChildProcess = spawn(process.execPath, [mainPath, ...args, "--json"], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  if (child.pid === undefined) throw new GradmeshError("ERR_IO", `peer ${name} could not be started`);
  const errors: string[] = [];
  createInterface({ input: child.stdout! }).on("line", (line) => {
    if (line.startsWith("{")) onEvent(JSON.parse(line) as TimedEvent, name);
  });
  createInterface({ input: child.stderr! }).on("line", (line) => {
    errors.push(line);
    if (errors.length > STDERR_LINES_MAX) errors.shift();
  });
  const exited = new Promise<PeerExit>((resolve) => {
    let ended: PeerExit | undefined;
    child.once("exit", (code, signal) => {
      ended = { at: Date.now(), code, signal };
    });
    // "close" comes once the pipes are drained too, so every event has been handed on by then.
    child.once("close", (code, signal) => resolve(ended ?? { at: Date.now(), code, signal }));
  });
  return {
    name,
    pid: child.pid,
    exited,
    stderr: () => errors.join("\n"),
    kill: (signal) => void child.kill(signal),
  };
}

export interface SwarmOptions {
  progress: Progress;
  /** An exit that is no failure, such as a planned kill. */
  expected(name: string, exit: PeerExit): boolean;
}

/** The peers of one run, their events gathered; the first failure ends all of them. */
export class Swarm {
  readonly events: TimedEvent[] = [];
  readonly #options: SwarmOptions;
  /** Names by peer id. */
  readonly #names: Map<string, string>;
  readonly #processes = new Map<string, PeerProcess>();
  readonly #failure = Promise.withResolvers<never>();

  /** @param names filled with each peer's name by its id, as soon as it is known. */
  constructor(options: SwarmOptions, names: Map<string, string>) {
    this.#options = options;
    this.#names = names;
    this.#failure.promise.catch(() => {});
  }

  /** Starts a peer; `onEvent` hears each of its events after the progress has. */
  launch(name: string, args: readonly string[], onEvent: (event: TimedEvent) => void = () => {}): void {
    const peer = startPeer(name, args, (event) => {
      if (event.type === "started") this.#names.set(event.peer, name);
      this.#hear(event, name);
      onEvent(event);
    });
    this.#processes.set(name, peer);
    peer.exited.then((exit) => {
      this.#processes.delete(name);
      if (exit.code === 0 || this.#options.expected(name, exit)) return;
      const words = peer.stderr() || "(it said nothing)";
      const named = /^error (ERR_\w+): ([\s\S]*)/m.exec(words);
      if (named !== null && Object.hasOwn(errorCodes, named[1]!)) {
        this.fail(new GradmeshError(named[1] as ErrorCode, `${name}: ${named[2]}`));
        return;
      }
      this.fail(
        new GradmeshError("ERR_INTERNAL", `${name} ended with ${exit.signal ?? exit.code}:\n${words}`),
      );
    });
  }

  #hear(event: TimedEvent, name: string): void {
    // Every peer prints the membership notices; those of the first process are enough.
    if (event.type === "membership" && name !== this.#processes.keys().next().value) return;
    this.events.push(event);
    if (event.type !== "ticket") this.#options.progress.event(event);
  }

  nameOf(peer: string): string {
    return this.#names.get(peer) ?? shortPeer(peer);
  }

  fail(error: unknown): void {
    this.#failure.reject(error);
  }

  /** Resolves when every process has ended well. @throws the first failure, after ending the others. */
  async finished(signal: AbortSignal): Promise<void> {
    const onAbort = () => this.fail(signal.reason);
    signal.addEventListener("abort", onAbort);
    try {
      while (this.#processes.size > 0)
        await Promise.race([
          this.#failure.promise,
          ...[...this.#processes.values()].map((peer) => peer.exited),
        ]);
      // An exit handler may have failed after the last race.
      await Promise.race([this.#failure.promise, Promise.resolve()]);
    } finally {
      signal.removeEventListener("abort", onAbort);
      for (const peer of this.#processes.values()) peer.kill("SIGKILL");
    }
  }
}
