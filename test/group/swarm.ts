/** A coordinator host and members in one process, on channels in memory and a clock that the test moves. */
import * as assert from "uvu/assert";
import { createManualClock, type ManualClock } from "../../lib/base/clock.js";
import { type CoordinatorHost, createCoordinatorHost } from "../../lib/group/coordinator-host.js";
import { createJournal, type Journal, openJournal } from "../../lib/group/journal.js";
import { createMember, type LiveView, type Member, type Standing } from "../../lib/group/member.js";
import type { Commit, Notice } from "../../lib/group/messages.js";
import type { RunSettings } from "../../lib/group/record.js";
import type { Channel } from "../../lib/peer/channel.js";
import { channelPair } from "../../lib/peer/memory-channel.js";
import { charterOf, resultOf, stateOf } from "./machine.js";

/** Lets everything run that needs no time to pass. */
export async function idle(): Promise<void> {
  // A message takes two turns of the event loop, and each of its consequences two more.
  for (let turn = 0; turn < 12; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

export class Swarm {
  readonly clock: ManualClock = createManualClock();
  readonly notices: Notice[] = [];
  readonly peers = new Map<string, SimulatedPeer>();
  readonly path: string;
  journal: Journal;
  host: CoordinatorHost | null = null;
  /** What the coordinator says is lost, as if it died before it could send. */
  deaf = false;
  /** Held work of peers: a collective ends once every member of its epoch has come to it. */
  readonly collectives = new Map<string, Map<string, (lost: string[] | null) => void>>();

  constructor(path: string, settings: Partial<RunSettings> = {}) {
    this.path = path;
    this.journal = createJournal(path, charterOf(settings), "secret");
    this.lead();
  }

  lead(): void {
    const onNotice = (notice: Notice) => this.notices.push(notice);
    this.host = createCoordinatorHost({ journal: this.journal, clock: this.clock, onNotice });
  }

  /** The coordinator's process dies. */
  async crash(): Promise<void> {
    const host = this.host;
    this.host = null;
    await host?.close();
    this.journal.close();
  }

  restart(): void {
    this.journal = openJournal(this.path);
    this.lead();
  }

  async connect(peer: SimulatedPeer): Promise<Channel> {
    await peer.running;
    if (this.host === null) throw new Error("connection refused");
    const [near, far] = channelPair(peer.id, "coordinator");
    this.host.serve(far);
    const deaf = () => this.deaf;
    return {
      remote: near.remote,
      closed: near.closed,
      close: () => near.close(),
      async send(message) {
        await peer.running;
        await near.send(message);
      },
      async *messages() {
        for await (const message of near.messages()) {
          await peer.running;
          if (!deaf()) yield message;
        }
      },
    };
  }

  join(id: string): SimulatedPeer {
    const peer = new SimulatedPeer(id, this);
    this.peers.set(id, peer);
    return peer;
  }

  /** The process of a peer is gone, and the links of the others to it break. */
  async kill(id: string): Promise<void> {
    const peer = this.peers.get(id)!;
    this.peers.delete(id);
    await peer.kill();
    for (const [key, waiting] of this.collectives) {
      if (!key.split(" ").slice(1).includes(id)) continue;
      waiting.delete(id);
      for (const fail of waiting.values()) fail([id]);
      this.collectives.delete(key);
    }
  }

  /** Passes time in small steps until the condition holds. */
  async until(condition: () => boolean, what: string, limitMs = 60_000): Promise<void> {
    const end = this.clock.now() + limitMs;
    for (;;) {
      await idle();
      if (condition()) return;
      for (const peer of this.peers.values()) if (peer.failure !== null) throw peer.failure;
      assert.ok(
        this.clock.now() < end,
        `${what} did not come in ${limitMs} ms: ${this.host?.state.phase.name}`,
      );
      this.clock.advance(50);
    }
  }

  round(): number {
    return this.host?.state.record.round ?? -1;
  }

  async close(): Promise<void> {
    await Promise.all([...this.peers.values()].map((peer) => peer.kill()));
    if (this.host !== null) await this.crash();
  }
}

/** The loop of a peer as it is meant to be, with digests in place of tensors. */
export class SimulatedPeer {
  readonly member: Member;
  readonly log: string[] = [];
  readonly standing: Standing = {
    recipeDigest: null,
    addresses: [],
    dialable: true,
    samples: 1,
    round: -1,
    stateDigest: null,
  };
  failure: Error | null = null;
  shard = -1;
  /** Rounds whose commits it applied, in order. */
  readonly applied: number[] = [];
  /** Rounds whose inner steps it took. */
  readonly trained: number[] = [];
  /** The last view that it worked on. */
  view: LiveView | null = null;
  /** It never comes to its collectives. */
  held = false;
  /** Time it takes to apply a commit. */
  applyMs = 0;
  /** Resolved while the process runs; pending while it is stopped (SIGSTOP). */
  running: Promise<void> = Promise.resolve();

  constructor(
    readonly id: string,
    readonly swarm: Swarm,
  ) {
    this.standing.addresses = [`/at/${id}`];
    this.member = createMember({
      runId: "run",
      secret: "secret",
      address: "/at/coordinator",
      connect: () => swarm.connect(this),
      standing: () => ({ ...this.standing }),
      clock: swarm.clock,
      random: () => 0.5,
      reconnectLimitMs: () => 5000,
    });
    this.#run().catch((error: Error) => {
      this.failure = error;
    });
  }

  async #run(): Promise<void> {
    for await (const message of this.member.messages()) {
      this.log.push(message.type);
      if (message.type === "welcome") {
        this.shard = message.shard;
        this.standing.recipeDigest = "recipe";
        if (message.round === 0) this.#hold(0);
        this.member.hello();
      } else if (message.type === "view") await this.#work(message);
      else if (message.type === "commit") await this.#apply(message);
      else if (message.type === "end") this.log.push(message.reason);
    }
  }

  #hold(round: number): void {
    this.standing.round = round;
    this.standing.stateDigest = stateOf(round);
  }

  async #work(view: LiveView): Promise<void> {
    this.view = view;
    const { epoch, round, members, sync, signal } = view;
    this.shard = members.find((member) => member.peerId === this.id)!.shard;
    if (sync?.targets.includes(this.id)) {
      this.#hold(this.swarm.peers.get(sync.source)!.standing.round);
      this.member.synced({ epoch, round, stateDigest: this.standing.stateDigest! });
    }
    assert.is(this.standing.round, round);
    if (this.trained.at(-1) !== round) {
      await this.swarm.clock.sleep(100);
      this.trained.push(round);
    }
    await this.running;
    if (signal.aborted) return;
    const names = members.map((member) => member.peerId);
    const lost = await this.#collective(`${epoch}/${round} ${names.join(" ")}`, names, signal);
    if (signal.aborted) return;
    if (lost === null)
      this.member.vote({ epoch, round, outcome: "done", resultDigest: resultOf(epoch, round) });
    else {
      const failure = { code: "ERR_PEER_LOST", lost, reason: "its link closed" };
      this.member.vote({ epoch, round, outcome: "failed", ...failure });
    }
  }

  /** Resolves once all have come, or with the peers that were lost. */
  #collective(key: string, names: string[], signal: AbortSignal): Promise<string[] | null> {
    const { promise, resolve } = Promise.withResolvers<string[] | null>();
    const { collectives } = this.swarm;
    const waiting = collectives.get(key) ?? new Map<string, (lost: string[] | null) => void>();
    collectives.set(key, waiting.set(this.id, resolve));
    signal.addEventListener("abort", () => resolve(null), { once: true });
    if (this.held) waiting.delete(this.id);
    else if (waiting.size === names.length) {
      collectives.delete(key);
      for (const finish of waiting.values()) finish(null);
    }
    return promise;
  }

  async #apply(commit: Commit): Promise<void> {
    assert.is(commit.round, this.standing.round, "a commit of another round");
    if (this.applyMs > 0) await this.swarm.clock.sleep(this.applyMs);
    this.#hold(commit.round + 1);
    this.applied.push(commit.round);
    const metrics = { trainLoss: 1 / (1 + commit.round) };
    this.member.applied({ round: commit.round, stateDigest: stateOf(commit.round + 1), metrics });
  }

  /** Stops the process until the returned function is called. */
  stop(): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.running = promise;
    return resolve;
  }

  async kill(): Promise<void> {
    await this.member.close();
  }
}
