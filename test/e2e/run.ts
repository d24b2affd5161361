/** A small real run for end-to-end tests: peers are processes running the public commands on loopback. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type PeerExit, type PeerProcess, startPeer } from "../../lib/cli/swarm.js";
import type { TimedEvent } from "../../lib/run/events.js";
import { PeerFolder } from "../../lib/run/folder.js";

type EventOf<Type extends TimedEvent["type"]> = Extract<TimedEvent, { type: Type }>;

/** A GPT so small that a round takes milliseconds; the config is otherwise that of a real run. */
export function tinyConfig(data: string, changes: Record<string, unknown> = {}) {
  return {
    name: "test",
    seed: 7,
    rounds: 8,
    peersMin: 3,
    peersMax: 4,
    trainer: {
      module: "gpt",
      options: {
        data,
        layers: 1,
        width: 32,
        heads: 2,
        context: 16,
        batch: 4,
        totalSteps: 100,
        validationBatches: 2,
      },
    },
    strategy: { innerSteps: 3 },
    network: { segmentElements: 256, silenceLimitMs: 2000, recoverLimitMs: 5000 },
    checkpoint: { everyRounds: 2, keep: 10 },
    ...changes,
  };
}

/** Text with some structure, made from a seed: the tests read no file of the machine. */
export function sampleText(): string {
  const words = "the whale sea ship of and a captain white to harpoon sailed in deep wind".split(" ");
  let state = 1;
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 16;
  };
  return Array.from({ length: 6000 }, () => words[next() % words.length]).join(" ");
}

/** Peers of one test by name, their events, and waiting for what happens. */
export class TestRun {
  readonly events: (TimedEvent & { name: string })[] = [];
  readonly #peers = new Map<string, PeerProcess>();
  readonly #exits = new Map<string, PeerExit>();
  readonly #spared = new Set<string>();
  readonly #watchers = new Set<() => void>();
  /** Hears each event as it comes. */
  onEvent: (event: TimedEvent & { name: string }) => void = () => {};

  private constructor(readonly folder: string) {
    process.once("exit", this.#onExit);
  }

  static async create(changes: Record<string, unknown> = {}): Promise<TestRun> {
    const folder = await mkdtemp(join(tmpdir(), "gradmesh-e2e-"));
    await writeFile(join(folder, "text.txt"), sampleText());
    await writeFile(
      join(folder, "config.json"),
      JSON.stringify(tinyConfig(join(folder, "text.txt"), changes)),
    );
    return new TestRun(folder);
  }

  /** Of a peer that has started. */
  async ledgerPath(name: string): Promise<string> {
    const { runId } = await this.event("started", (event) => event.name === name);
    return new PeerFolder(this.peerFolder(name)).ledger(runId);
  }

  peerFolder(name: string): string {
    return join(this.folder, "peers", name);
  }

  /** Starts `gradmesh <args> --folder <the peer's> --json`. */
  start(name: string, args: readonly string[]): PeerProcess {
    this.#exits.delete(name);
    const peer = startPeer(name, [...args, "--folder", this.peerFolder(name)], (event) => {
      const named = { ...event, name };
      this.events.push(named);
      this.onEvent(named);
      this.#wake();
    });
    this.#peers.set(name, peer);
    peer.exited.then((exit) => {
      this.#exits.set(name, exit);
      this.#wake();
    });
    return peer;
  }

  /** Starts the first peer and as many others as asked for; resolves with the ticket. */
  async startAll(others: readonly (readonly [name: string, ...args: string[]])[]): Promise<string> {
    this.start("first", ["run", join(this.folder, "config.json")]);
    const { ticket } = await this.event("ticket", () => true);
    for (const [name, ...args] of others) this.start(name, ["join", ticket, ...args]);
    return ticket;
  }

  peer(name: string): PeerProcess {
    const peer = this.#peers.get(name);
    if (peer === undefined) throw new Error(`no peer ${name}`);
    return peer;
  }

  /** The failure of this peer is part of the test. */
  spare(name: string): void {
    this.#spared.add(name);
  }

  #wake(): void {
    for (const watcher of this.#watchers) watcher();
  }

  /** Resolves once `look` gives something; rejects when a peer it is not told to spare has failed. */
  async until<T>(what: string, look: () => T | undefined | false): Promise<T> {
    for (;;) {
      const found = look();
      if (found !== undefined && found !== false) return found;
      const bad = [...this.#exits].find(
        ([name, exit]) => exit.code !== 0 && exit.signal === null && !this.#spared.has(name),
      );
      if (bad !== undefined)
        throw new Error(
          `waiting for ${what}: ${bad[0]} ended with ${bad[1].code}: ${this.peer(bad[0]).stderr()}`,
        );
      await new Promise<void>((resolve) => {
        const watcher = () => {
          this.#watchers.delete(watcher);
          resolve();
        };
        this.#watchers.add(watcher);
      });
    }
  }

  /** The first event of a type that suits. */
  event<Type extends TimedEvent["type"]>(
    type: Type,
    suits: (event: EventOf<Type> & { name: string }) => boolean,
  ): Promise<EventOf<Type> & { name: string }> {
    const isIt = (event: TimedEvent & { name: string }): event is EventOf<Type> & { name: string } =>
      event.type === type && suits(event as EventOf<Type> & { name: string });
    return this.until(`a "${type}" event`, () => this.events.find(isIt));
  }

  exited(name: string): Promise<PeerExit> {
    return this.until(`the end of ${name}`, () => this.#exits.get(name));
  }

  /** Waits for the run's end on these peers, and gives each one's last state digest. */
  async digests(names: readonly string[]): Promise<string[]> {
    const ends = await Promise.all(names.map((name) => this.event("ended", (event) => event.name === name)));
    for (const name of names) await this.exited(name);
    return ends.map((end) => end.stateDigest);
  }

  /** State digests by round, as this peer saw them. */
  history(name: string): Map<number, string> {
    const rounds = this.events.filter((event) => event.type === "round" && event.name === name);
    return new Map(
      rounds.map((event) => [(event as EventOf<"round">).round, (event as EventOf<"round">).stateDigest]),
    );
  }

  /** A test that ends before its run leaves no process behind. */
  readonly #onExit = () => {
    for (const peer of this.#peers.values()) peer.kill("SIGKILL");
  };

  /** Ends what is left and deletes the folder. */
  async close(): Promise<void> {
    process.off("exit", this.#onExit);
    for (const peer of this.#peers.values()) peer.kill("SIGKILL");
    for (const name of this.#peers.keys()) await this.#peers.get(name)!.exited;
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** Runs a test body on a fresh run, which is closed also when the body fails. */
export async function withRun(
  changes: Record<string, unknown>,
  body: (run: TestRun) => Promise<void>,
): Promise<void> {
  const run = await TestRun.create(changes);
  try {
    await body(run);
  } finally {
    await run.close();
  }
}
