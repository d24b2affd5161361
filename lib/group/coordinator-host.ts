/**
 * Runs the coordinator: feeds it the messages and closings of channels and the ticks of a clock, makes its facts
 * durable, then carries out its actions.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import type { Clock } from "../base/clock.js";
import { asGradmeshError, type ErrorCode } from "../base/errors.js";
import type { Channel } from "../peer/channel.js";
import { parseMessage } from "../peer/message.js";
import { coordinate } from "./coordinator.js";
import type { Journal } from "./journal.js";
import {
  type CoordinatorMessage,
  GROUP_VERSION,
  type Hello,
  type Notice,
  type PeerMessage,
  peerMessageSchema,
} from "./messages.js";
import { type Action, type CoordinatorEvent, type CoordinatorState, initialState } from "./state.js";

export interface HostLimits {
  /** Connections that have not said a valid hello; more are closed at once. */
  strangersMax: number;
  /** Time for the first hello. */
  helloLimitMs: number;
  /** Time for the last messages to leave before a channel is closed. */
  closeLimitMs: number;
}

export const hostLimits: HostLimits = { strangersMax: 32, helloLimitMs: 10_000, closeLimitMs: 1000 };

export interface CoordinatorHostOptions {
  /** From createJournal or openJournal; closing it is its opener's affair, after the host's `close`. */
  journal: Journal;
  clock: Clock;
  limits?: Partial<HostLimits>;
  /** News for people, also sent to every member. */
  onNotice?(notice: Notice): void;
  /** Each decision with its reason, for logs. */
  onDecision?(reason: string): void;
  /** Why a peer that says hello is refused, or must wait outside of views; null: neither. */
  admission?(peer: string): Admission | null;
  /** A member's bits differ from the others'; again: it was sent the state before, and is refused. */
  onDiverged?(found: Extract<Action, { type: "diverged" }>): void;
}

export type Admission = { readonly refuse: string } | { readonly suspend: string };

export interface CoordinatorHost {
  /** The state as it is now; never changed in place. */
  readonly state: CoordinatorState;
  /** Resolves when the run ends, complete (code null) or not; rejects with the error when the journal fails. */
  readonly ended: Promise<{ reason: string; code: string | null }>;
  /** Speaks with the peer on the other side of the channel until either side closes it. */
  serve(channel: Channel): void;
  /** The peer is in no view until it is restored, and stays connected. */
  suspend(peer: string, reason: string): void;
  /** At once, so that all of them are in the next view. */
  restore(peers: readonly string[]): void;
  /** The peer is out of the run, for the reason. */
  expel(peer: string, reason: string): void;
  /** The run cannot go on: it ends with this for everybody. */
  end(reason: string, code: ErrorCode): void;
  /** Stops deciding and closes every channel; the run itself can go on under a new host. */
  close(): Promise<void>;
}

/** One connection. */
interface Session {
  readonly channel: Channel;
  /** It is the peer's current connection. */
  admitted: boolean;
  /** Settles once the last message has left. */
  sent: Promise<void>;
}

class Host implements CoordinatorHost {
  readonly ended: Promise<{ reason: string; code: string | null }>;
  readonly #options: CoordinatorHostOptions;
  readonly #limits: HostLimits;
  readonly #secret: Uint8Array;
  readonly #stop = new AbortController();
  readonly #sessions = new Set<Session>();
  readonly #byPeer = new Map<string, Session>();
  readonly #end = Promise.withResolvers<{ reason: string; code: string | null }>();
  #state: CoordinatorState;

  constructor(options: CoordinatorHostOptions) {
    const { journal, clock } = options;
    this.#options = options;
    this.#limits = { ...hostLimits, ...options.limits };
    this.#secret = sha256(journal.secret);
    this.#state = initialState(journal.charter, journal.record, clock.now());
    this.ended = this.#end.promise;
    // Whoever does not watch the end must not die of it.
    this.ended.catch(() => {});
    this.#tellEnd();
    void this.#tick();
  }

  get state(): CoordinatorState {
    return this.#state;
  }

  async #tick(): Promise<void> {
    const { beatMs, silenceLimitMs } = this.#state.charter.settings;
    // Well below half the silence limit, where the coordinator takes a gap for its own sleep.
    const period = Math.min(beatMs, silenceLimitMs / 4);
    const { signal } = this.#stop;
    while (!signal.aborted) {
      this.#step({ type: "tick" });
      await this.#options.clock.sleep(period, signal).catch(() => {});
    }
  }

  /** One event: decide, make it durable, carry it out. */
  #step(event: CoordinatorEvent): void {
    if (this.#stop.signal.aborted) return;
    const { journal, clock, onDecision } = this.#options;
    try {
      const { state, actions, reason } = coordinate(this.#state, event, clock.now());
      const facts = actions.flatMap((action) => (action.type === "record" ? [action.fact] : []));
      journal.append(facts, clock.wall());
      this.#state = state;
      for (const action of actions) this.#perform(action);
      if (reason !== "") onDecision?.(reason);
      this.#tellEnd();
    } catch (error) {
      // Deciding without a journal would promise peers what a restart forgets.
      this.#end.reject(asGradmeshError(error));
      void this.close();
    }
  }

  #tellEnd(): void {
    if (this.#state.record.ended !== null) this.#end.resolve(this.#state.record.ended);
  }

  #perform(action: Action): void {
    if (action.type === "send") this.#send(this.#byPeer.get(action.peer), action.message);
    else if (action.type === "close") this.#dismiss(this.#byPeer.get(action.peer));
    else if (action.type === "notify") {
      for (const session of this.#byPeer.values())
        this.#send(session, { type: "notice", notice: action.notice });
      this.#options.onNotice?.(action.notice);
    } else if (action.type === "diverged") this.#options.onDiverged?.(action);
  }

  suspend(peer: string, reason: string): void {
    this.#step({ type: "suspend", peer, reason });
  }

  restore(peers: readonly string[]): void {
    this.#step({ type: "restore", peers });
  }

  expel(peer: string, reason: string): void {
    const session = this.#byPeer.get(peer);
    if (session !== undefined) this.#fault(session, "ERR_REFUSED", reason);
  }

  end(reason: string, code: ErrorCode): void {
    this.#step({ type: "end", reason, code });
  }

  #send(session: Session | undefined, message: CoordinatorMessage): void {
    // A channel that cannot send closes, and its closing is an event of its own.
    if (session !== undefined) session.sent = session.channel.send(message).catch(() => {});
  }

  /** Ends a connection that the coordinator already knows to be over. */
  #dismiss(session: Session | undefined): void {
    if (session === undefined) return;
    this.#forget(session);
    void this.#hangUp(session);
  }

  /** Closes the channel after its last message, such as the reason of a refusal. */
  async #hangUp(session: Session): Promise<void> {
    const { clock } = this.#options;
    const sent = new AbortController();
    const late = clock.sleep(this.#limits.closeLimitMs, sent.signal).catch(() => {});
    await Promise.race([session.sent, late]);
    sent.abort();
    await session.channel.close().catch(() => {});
  }

  /** Whether it was the peer's current connection. */
  #forget(session: Session): boolean {
    this.#sessions.delete(session);
    if (this.#byPeer.get(session.channel.remote) !== session) return false;
    this.#byPeer.delete(session.channel.remote);
    return true;
  }

  serve(channel: Channel): void {
    const strangers = [...this.#sessions].filter((session) => !session.admitted).length;
    if (this.#stop.signal.aborted || strangers >= this.#limits.strangersMax) {
      void channel.close().catch(() => {});
      return;
    }
    const session: Session = { channel, admitted: false, sent: Promise.resolve() };
    this.#sessions.add(session);
    void this.#converse(session);
  }

  async #converse(session: Session): Promise<void> {
    const { channel } = session;
    const over = new AbortController();
    void this.#awaitHello(session, over.signal);
    let reason = "its connection closed";
    try {
      for await (const message of channel.messages()) {
        // What follows a fault is not heard; its reason must still leave before the iteration closes the channel.
        if (!this.#sessions.has(session)) continue;
        this.#receive(session, message);
      }
    } catch (error) {
      reason = asGradmeshError(error).message;
    }
    over.abort();
    const peer = channel.remote;
    if (this.#forget(session)) this.#step({ type: "closed", peer, reason });
    await channel.close().catch(() => {});
  }

  async #awaitHello(session: Session, signal: AbortSignal): Promise<void> {
    const { helloLimitMs } = this.#limits;
    try {
      await this.#options.clock.sleep(helloLimitMs, AbortSignal.any([signal, this.#stop.signal]));
    } catch {
      return;
    }
    if (!session.admitted) this.#turnAway(session, "ERR_PROTOCOL", `no hello within ${helloLimitMs} ms`);
  }

  #receive(session: Session, raw: unknown): void {
    const other = foreignVersion(raw);
    if (other !== null) {
      const cure = "use the same release of gradmesh on both sides";
      const reason = `it speaks version ${other} of the protocol, the coordinator ${GROUP_VERSION}; ${cure}`;
      this.#fault(session, "ERR_REFUSED", reason);
      return;
    }
    const peer = session.channel.remote;
    const message = this.#parse(session, raw);
    if (message === null) return;
    if (message.type === "hello") this.#hello(session, message);
    else if (!session.admitted) this.#fault(session, "ERR_PROTOCOL", `${message.type} came before hello`);
    else {
      // The answer tells the peer that the coordinator is alive.
      if (message.type === "beat") this.#send(session, { type: "beat" });
      this.#step({ type: "message", peer, message });
    }
  }

  #parse(session: Session, raw: unknown): PeerMessage | null {
    try {
      return parseMessage(peerMessageSchema, raw);
    } catch (error) {
      this.#fault(session, "ERR_PROTOCOL", asGradmeshError(error).message);
      return null;
    }
  }

  #hello(session: Session, message: Hello): void {
    const { secret, ...hello } = message;
    const peer = session.channel.remote;
    if (!timingSafeEqual(sha256(secret), this.#secret)) {
      this.#fault(session, "ERR_UNAUTHORIZED", "its ticket's secret is wrong; ask for a new ticket");
      return;
    }
    const admission = this.#options.admission?.(peer) ?? null;
    if (admission !== null && "refuse" in admission) {
      this.#fault(session, "ERR_REFUSED", admission.refuse);
      return;
    }
    const fresh = !session.admitted;
    const older = this.#byPeer.get(peer);
    if (older !== undefined && older !== session) {
      this.#turnAway(older, "ERR_REFUSED", "a newer connection of the same peer id replaced this one");
    }
    session.admitted = true;
    this.#byPeer.set(peer, session);
    // In one step: a view that it completed would be void at once.
    this.#step({
      type: "hello",
      peer,
      hello,
      fresh,
      ...(admission === null ? {} : { suspended: admission.suspend }),
    });
  }

  /** What no correct peer says: an admitted one is gone for the run, a stranger never was there. */
  #fault(session: Session, code: ErrorCode, reason: string): void {
    const peer = session.channel.remote;
    if (this.#byPeer.get(peer) === session) this.#step({ type: "fault", peer, code, reason });
    else this.#turnAway(session, code, reason);
  }

  #turnAway(session: Session, code: ErrorCode, reason: string): void {
    this.#send(session, { type: "refused", reason, code });
    this.#dismiss(session);
  }

  async close(): Promise<void> {
    this.#stop.abort();
    const sessions = [...this.#sessions];
    this.#sessions.clear();
    this.#byPeer.clear();
    await Promise.all(sessions.map((session) => this.#hangUp(session)));
  }
}

function sha256(text: string): Uint8Array {
  return createHash("sha256").update(text).digest();
}

/** The version of a hello that another release sent, whose other fields are not known here; else null. */
function foreignVersion(raw: unknown): number | null {
  if (typeof raw !== "object" || raw === null || !("type" in raw) || raw.type !== "hello") return null;
  if (!("version" in raw) || typeof raw.version !== "number") return null;
  return raw.version === GROUP_VERSION ? null : raw.version;
}

/** Starts to lead the journal's run at once; after a restart it first waits for the members it had. */
export function createCoordinatorHost(options: CoordinatorHostOptions): CoordinatorHost {
  return new Host(options);
}
