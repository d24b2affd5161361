/**
 * A peer's side of the coordinator: an ordered queue of what it says, and the peer's answers. Lost channels are
 * replaced behind the peer's back, also while the coordinator restarts.
 *
 * What the loop of a peer does with each message:
 * - `welcome` (once): build the trainer from `config`; at round 0 also the state from the seed; then call `hello()`.
 * - `wait`: no view now; keep the state.
 * - `view`: if it is in `sync.targets`, receive the state of `round` from `sync.source`, then `synced` or `syncFailed`;
 *   if it is the source, send that state to the targets. Take the round's inner steps, unless it has from an earlier
 *   view of the same round, and say `finished`. All-reduce over `members` (rank = index; links live as long as the epoch), then `vote`.
 *   `view.signal` aborts as soon as the view is void: stop the transfer or collective, do not vote, take the next
 *   message. The state at the start of the round must stay intact until the commit, for retries and for joiners.
 * - `commit`: apply the result that was voted, then `applied`. It also comes after `view.signal` has aborted, and
 *   stays valid: keep the voted result until the next view.
 * - `notice`: show it. `end`: finish; it is the last message.
 */
import type { Clock } from "../base/clock.js";
import { type ErrorCode, errorCodes, GradmeshError } from "../base/errors.js";
import type { Channel } from "../peer/channel.js";
import { createMessageQueue } from "../peer/message-queue.js";
import { type Connection, createConnection } from "./member-connection.js";
import {
  type Commit,
  type CoordinatorMessage,
  type End,
  GROUP_VERSION,
  MEMBERS_MAX,
  type MeasuredLink,
  type Metrics,
  type Notice,
  type Pending,
  type View,
  type Vote,
  type Welcome,
} from "./messages.js";

/** What the peer holds now. */
export interface Standing {
  /** Null until the trainer is built from the welcome's config. */
  recipeDigest: string | null;
  /** Where members reach its control host. */
  addresses: string[];
  /** Whether others can open connections to this peer. */
  dialable: boolean;
  /** Of its shard; 1 until the trainer is built. */
  samples: number;
  /** The outer step that its state is the start of; -1 without state. */
  round: number;
  stateDigest: string | null;
}

/** Aborts when the view is void: another one, `wait`, `end`, or no coordinator any more. */
export type LiveView = View & { signal: AbortSignal };

export type MemberMessage =
  | Welcome
  | { type: "wait"; reason: string }
  | LiveView
  | Commit
  | { type: "notice"; notice: Notice }
  | End;

export interface MemberOptions {
  runId: string;
  /** The ticket's secret. */
  secret: string;
  /** The coordinator's address, for error messages. */
  address: string;
  /** One attempt to reach the coordinator. */
  connect(signal: AbortSignal): Promise<Channel>;
  /** Called at every hello, so it must be up to date before `applied` and `synced` are called. */
  standing(): Standing;
  clock: Clock;
  /** A number in [0, 1) that spreads the attempts of many peers. */
  random?(): number;
  /** How long the coordinator may stay away, at the start and later; asked each time. */
  reconnectLimitMs(): number;
  signal?: AbortSignal;
}

export interface Member {
  /**
   * May be iterated once; ends after `end` or `close`.
   * @throws ERR_UNREACHABLE when the coordinator stays away past reconnectLimitMs; the code of its refusal
   * (ERR_REFUSED, ERR_UNAUTHORIZED, ERR_PROTOCOL); ERR_PROTOCOL when it says what no coordinator says.
   */
  messages(): AsyncIterable<MemberMessage>;
  /** Says what the peer holds by now: once its trainer is built. */
  hello(): void;
  /** The outcome of a view's collective; repeated behind the scenes while the coordinator is away. */
  vote(
    vote:
      | Omit<Extract<Vote, { outcome: "done" }>, "type">
      | Omit<Extract<Vote, { outcome: "failed" }>, "type">,
  ): void;
  /** The commit of the round is applied and the state after it has this digest. */
  applied(report: { round: number; stateDigest: string; metrics: Metrics }): void;
  synced(report: { epoch: number; round: number; stateDigest: string }): void;
  syncFailed(report: { epoch: number; round: number; reason: string }): void;
  /** The inner steps of a view's round are done, also where the view is void by now. */
  finished(report: { epoch: number; round: number }): void;
  /** What this peer measured its links to be; said again to a coordinator that was away. */
  links(measured: MeasuredLink[]): void;
  /** Asks to leave at the next boundary, which comes as `end`. */
  leave(): void;
  close(): Promise<void>;
}

/** Messages that wait for the loop; beyond, news is dropped, which the loop can do without. */
const QUEUE_MESSAGES_MAX = 256;

interface ViewMembers {
  epoch: number;
  round: number;
  members: string[];
}

class CoordinatedMember implements Member {
  readonly #options: MemberOptions;
  readonly #queue = createMessageQueue();
  readonly #connection: Connection;
  #closed = false;
  #welcomed = false;
  #view: (ViewMembers & { controller: AbortController }) | null = null;
  /** The voted result whose commit was not applied yet. */
  #pending: Pending | null = null;
  #applied: { round: number; metrics: Metrics } | null = null;
  #committedRound = -1;
  /** What its links were last measured to be, for a coordinator that was restarted. */
  #measured = new Map<string, MeasuredLink>();
  #leaving = false;

  constructor(options: MemberOptions) {
    this.#options = options;
    const { address, clock, random = Math.random } = options;
    this.#connection = createConnection({
      address,
      clock,
      random,
      reconnectLimitMs: () => options.reconnectLimitMs(),
      connect: (signal) => options.connect(signal),
      onOpen: () => {
        this.hello();
        this.links([...this.#measured.values()].slice(-MEMBERS_MAX));
        if (this.#leaving) this.leave();
      },
      onMessage: (message) => this.#hear(message),
      onFailure: (error) => this.#fail(error),
    });
    options.signal?.addEventListener("abort", () => void this.close(), { once: true });
    if (options.signal?.aborted) void this.close();
  }

  #hear(message: CoordinatorMessage): void {
    switch (message.type) {
      case "welcome":
        // Later ones answer reconnections, of which the loop knows nothing.
        if (!this.#welcomed) this.#queue.push(message);
        this.#welcomed = true;
        break;
      case "view":
        this.#hearView(message);
        break;
      case "commit":
        // Said again after a reconnection while the loop still applies it.
        if (message.round <= this.#committedRound) break;
        this.#committedRound = message.round;
        this.#queue.push(message);
        break;
      case "wait":
        this.#voidView("the coordinator has this peer wait");
        this.#queue.push(message);
        break;
      case "notice":
        if (this.#queue.size < QUEUE_MESSAGES_MAX) this.#queue.push(message);
        break;
      case "refused": {
        const code = Object.hasOwn(errorCodes, message.code) ? (message.code as ErrorCode) : "ERR_REFUSED";
        const { address } = this.#options;
        this.#fail(
          new GradmeshError(code, `the coordinator at ${address} refuses this peer: ${message.reason}`),
        );
        break;
      }
      case "end":
        this.#queue.push(message);
        void this.close();
        break;
    }
  }

  #hearView(message: View): void {
    const last = this.#view;
    const { epoch, round } = message;
    if (last !== null && (epoch < last.epoch || (epoch === last.epoch && round <= last.round))) return;
    this.#voidView(`epoch ${epoch} of round ${round} has begun`, lostSince(last, message));
    // A later view of the run means that no older result will be committed any more.
    this.#pending = null;
    const controller = new AbortController();
    const members = message.members.map(({ peerId }) => peerId);
    this.#view = { epoch, round, members, controller };
    this.#queue.push({ ...message, signal: controller.signal } satisfies LiveView);
  }

  /** @param lost members whose loss voids it: the same error as on members that find the loss by themselves. */
  #voidView(reason: string, lost: readonly string[] = []): void {
    const error =
      lost.length === 0
        ? new GradmeshError("ERR_ABORTED", `the view is void: ${reason}`)
        : new GradmeshError("ERR_PEER_LOST", `${lost.join(", ")} lost, says the coordinator: ${reason}`, {
            detail: { peers: lost },
          });
    this.#view?.controller.abort(error);
  }

  #fail(error: GradmeshError): void {
    this.#queue.end(error);
    void this.close();
  }

  messages(): AsyncIterable<MemberMessage> {
    return this.#queue.read(
      () => {},
      () => void this.close(),
    ) as AsyncIterable<MemberMessage>;
  }

  hello(): void {
    const { runId, secret } = this.#options;
    const { recipeDigest, addresses, dialable, samples, round, stateDigest } = this.#options.standing();
    this.#connection.send({
      type: "hello",
      version: GROUP_VERSION,
      runId,
      secret,
      recipeDigest,
      addresses,
      dialable,
      samples,
      round,
      stateDigest,
      pending: this.#pending,
      applied: this.#applied,
    });
  }

  vote(vote: Parameters<Member["vote"]>[0]): void {
    const { epoch, round } = vote;
    if (this.#view?.epoch !== epoch || this.#view.round !== round) return;
    if (vote.outcome === "done") this.#pending = { epoch, round, resultDigest: vote.resultDigest };
    this.#connection.send({ type: "vote", ...vote });
  }

  applied(report: { round: number; stateDigest: string; metrics: Metrics }): void {
    this.#pending = null;
    this.#applied = { round: report.round, metrics: report.metrics };
    this.#connection.send({ type: "applied", ...report });
  }

  synced(report: { epoch: number; round: number; stateDigest: string }): void {
    this.#connection.send({ type: "synced", ...report });
  }

  syncFailed(report: { epoch: number; round: number; reason: string }): void {
    this.#connection.send({ type: "sync-failed", ...report });
  }

  finished(report: { epoch: number; round: number }): void {
    this.#connection.send({ type: "finished", ...report });
  }

  links(measured: MeasuredLink[]): void {
    for (const link of measured) this.#measured.set(link.peerId, link);
    if (measured.length > 0) this.#connection.send({ type: "links", measured });
  }

  leave(): void {
    this.#leaving = true;
    this.#connection.send({ type: "leave" });
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#voidView("the member is closed");
    this.#queue.end();
    await this.#connection.close();
  }
}

/** Members of a view that are not in a later one of the same round; others go at the end of a round. */
function lostSince(last: ViewMembers | null, view: View): string[] {
  if (last?.round !== view.round) return [];
  return last.members.filter((peer) => !view.members.some(({ peerId }) => peerId === peer));
}

/** Starts to connect at once. */
export function createMember(options: MemberOptions): Member {
  return new CoordinatedMember(options);
}
