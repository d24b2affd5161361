/**
 * The bulk links between the members of a view. For each pair the higher rank says hello over an authenticated
 * channel; the lower checks that it is a member, and answers that both still have a link, or with the ticket of a new
 * one. Both derive its keys, the lower expects the sockets, the higher dials them. Where the lower rank cannot be
 * dialed from outside the roles turn: it says hello and dials.
 */
import { type Clock, systemClock, withLimit } from "../base/clock.js";
import { asGradmeshError, GradmeshError } from "../base/errors.js";
import type { Host } from "../peer/host.js";
import { LinkAnswerer } from "./link-answerer.js";
import { dialLink, type HandshakeOptions, LinkRefusal } from "./link-handshake.js";
import { BULK_PROTOCOL, type Encryption } from "./link-messages.js";
import { createTurns, linkRole, undialable } from "./link-roles.js";
import {
  type BulkEndpoint,
  type LinkEntry,
  type LinkMember,
  LinkTable,
  type LinkView,
} from "./link-table.js";
import type { StreamsSetting } from "./streams.js";

export type { Encryption } from "./link-messages.js";
export type {
  BulkEndpoint,
  DialTarget,
  LinkBurst,
  LinkMeasure,
  LinkMember,
  LinkSecrets,
  LinkView,
} from "./link-table.js";

export interface BulkLinksOptions {
  host: Pick<Host, "peerId" | "advertiseHost" | "handle" | "unhandle" | "connect">;
  endpoint: BulkEndpoint;
  runId: string;
  /** How the endpoint was created; the other side must use the same. */
  encryption?: Encryption;
  clock?: Clock;
  /** How long a hello waits for this peer to reach its epoch. */
  viewWaitMs?: number;
  /** How long one message, and then the sockets, may take. */
  stepLimitMs?: number;
  /** Sockets of the links that this peer dials. By default by the round trip. */
  streams?: StreamsSetting;
  /** How long the lower rank waits to be dialed before it tries to dial itself. */
  turnAfterMs?: number;
}

/** A link that is open, by its native number. */
export interface OpenLink {
  readonly link: number;
  readonly streams: number;
}

export interface BulkLinks {
  /**
   * Links this peer with every other member, within the limit. Links of peers that stay and are open on both sides
   * are kept, those of peers that are not in the view end. A call for a later epoch ends those for earlier ones.
   * @param rank this peer's place in view.members.
   * @returns the links by rank, -1 at one's own.
   * @throws ERR_UNREACHABLE with detail.peers, the members that could not be linked; ERR_ABORTED when a later epoch
   * took over; ERR_INVALID_ARGUMENT for a view that cannot be; the signal's reason.
   */
  ensure(view: LinkView, rank: number, limitMs: number, signal?: AbortSignal): Promise<Int32Array>;
  /** The links there are, by peer id. */
  open(): ReadonlyMap<string, OpenLink>;
  /** Ends every link and every call, and takes no more hellos. */
  close(): Promise<void>;
}

/** Whom to greet, and where to note why it failed. */
interface Greeting {
  member: LinkMember;
  epoch: number;
  /** This is the lower rank. */
  turned: boolean;
  reasons: Map<string, string>;
}

/** A pause before a failed hello is said again. */
const RETRY_MS = 50;

class MemberLinks implements BulkLinks {
  readonly #host: BulkLinksOptions["host"];
  readonly #handshake: HandshakeOptions;
  readonly #clock: Clock;
  readonly #viewWaitMs: number;
  readonly #answerer: LinkAnswerer;
  readonly #turnAfterMs: number;
  readonly #table: LinkTable;
  /** The higher rank of a pair greets and answers one at a time, so that the two make one link when both greet. */
  readonly #turns = createTurns();
  readonly #closing = new AbortController();
  /** Ends the calls for the current epoch when a newer one comes. */
  #current = { epoch: -1, controller: new AbortController() };

  constructor(options: BulkLinksOptions) {
    this.#host = options.host;
    this.#clock = options.clock ?? systemClock;
    this.#viewWaitMs = options.viewWaitMs ?? 10_000;
    this.#turnAfterMs = options.turnAfterMs ?? 3000;
    this.#table = new LinkTable(options.host.peerId, options.endpoint);
    this.#handshake = {
      self: options.host.peerId,
      runId: options.runId,
      encryption: options.encryption ?? "aes-256-gcm",
      endpoint: options.endpoint,
      clock: this.#clock,
      advertiseHost: options.host.advertiseHost,
      streams: options.streams ?? "auto",
      stepLimitMs: options.stepLimitMs ?? 5000,
    };
    this.#answerer = new LinkAnswerer({
      table: this.#table,
      handshake: this.#handshake,
      turns: this.#turns,
      viewWaitMs: this.#viewWaitMs,
      closing: this.#closing.signal,
    });
  }

  async start(): Promise<void> {
    await this.#host.handle(BULK_PROTOCOL, (channel) => this.#answerer.answer(channel));
  }

  open(): ReadonlyMap<string, OpenLink> {
    return this.#table.entries;
  }

  async close(): Promise<void> {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort(new GradmeshError("ERR_CLOSED", "the bulk links are closed"));
    this.#table.close();
    await this.#host.unhandle(BULK_PROTOCOL);
  }

  async ensure(view: LinkView, rank: number, limitMs: number, signal?: AbortSignal): Promise<Int32Array> {
    this.#closing.signal.throwIfAborted();
    signal?.throwIfAborted();
    this.#table.adopt(view, rank);
    const stop = AbortSignal.any([
      this.#epochSignal(view.epoch),
      this.#closing.signal,
      ...(signal ? [signal] : []),
    ]);
    const reasons = new Map<string, string>();
    const linkOne = async (member: LinkMember, other: number) => {
      if (other === rank) return;
      const what = `linking to ${member.peerId}`;
      try {
        await withLimit(this.#clock, limitMs, what, stop, (limited) =>
          this.#linkTo(view, rank, other, reasons, limited),
        );
        reasons.delete(member.peerId);
      } catch (error) {
        const tried = reasons.get(member.peerId);
        const { message } = asGradmeshError(error);
        reasons.set(member.peerId, tried === undefined ? message : `${message}; ${tried}`);
      }
    };
    await Promise.all(view.members.map(linkOne));
    stop.throwIfAborted();
    if (reasons.size === 0) return this.#table.links(view);
    throw new GradmeshError(
      "ERR_UNREACHABLE",
      `no bulk link for epoch ${view.epoch} to ${[...reasons].map(([peerId, why]) => `${peerId} (${why})`).join(", ")}`,
      { detail: { peers: [...reasons.keys()] } },
    );
  }

  #epochSignal(epoch: number): AbortSignal {
    if (epoch > this.#current.epoch) {
      this.#current.controller.abort(new GradmeshError("ERR_ABORTED", `epoch ${epoch} took over`));
      this.#current = { epoch, controller: new AbortController() };
    }
    return this.#current.controller.signal;
  }

  async #linkTo(
    view: LinkView,
    rank: number,
    other: number,
    reasons: Map<string, string>,
    signal: AbortSignal,
  ): Promise<void> {
    const member = view.members[other]!;
    const greeting = { member, epoch: view.epoch, turned: rank < other, reasons };
    const role = linkRole(view, rank, other);
    if (role === "neither")
      throw new GradmeshError("ERR_UNREACHABLE", undialable(this.#handshake.self, member.peerId));
    if (role === "greet") return this.#greet(greeting, signal);
    const found = new AbortController();
    const both = AbortSignal.any([signal, found.signal]);
    const ways = [this.#awaitHello(member.peerId, view.epoch, both)];
    if (greeting.turned && member.dialable !== false)
      ways.push(this.#clock.sleep(this.#turnAfterMs, both).then(() => this.#greet(greeting, both)));
    try {
      await Promise.race(ways);
    } finally {
      found.abort(new GradmeshError("ERR_ABORTED", `${member.peerId} is linked`));
      for (const way of ways) way.catch(() => {});
    }
  }

  // ---- who dials says hello ----

  async #greet(greeting: Greeting, signal: AbortSignal): Promise<void> {
    const { member, epoch, turned, reasons } = greeting;
    const { peerId } = member;
    const attempt = async () => {
      signal.throwIfAborted();
      const entry = await this.#table.openLink(peerId, signal);
      if (entry?.epoch !== epoch) await this.#greetOnce(greeting, entry, signal);
    };
    for (;;) {
      try {
        await (turned ? attempt() : this.#turns(peerId, attempt));
        return;
      } catch (error) {
        signal.throwIfAborted();
        if (error instanceof LinkRefusal) throw error;
        reasons.set(peerId, asGradmeshError(error).message);
        await this.#clock.sleep(RETRY_MS, signal);
      }
    }
  }

  async #greetOnce(
    { member, epoch, turned }: Greeting,
    known: LinkEntry | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const channel = await this.#host.connect(member, BULK_PROTOCOL, signal);
    try {
      const answerLimitMs = this.#viewWaitMs + this.#handshake.stepLimitMs;
      const greeting = { epoch, known, turned, answerLimitMs };
      this.#table.keep(member.peerId, await dialLink(channel, greeting, this.#handshake, signal));
    } finally {
      void channel.close();
    }
  }

  // ---- the other waits for it; LinkAnswerer answers ----

  async #awaitHello(peerId: string, epoch: number, signal: AbortSignal): Promise<void> {
    for (;;) {
      // Waiting begins before the look, which gives a hello time to be answered unseen.
      const waiting = new AbortController();
      const changed = this.#table.changed(AbortSignal.any([signal, waiting.signal]));
      changed.catch(() => {});
      try {
        const entry = await this.#table.openLink(peerId, signal);
        if (entry?.epoch === epoch) return;
        await changed;
      } finally {
        waiting.abort();
      }
    }
  }
}

/** Bulk links of this peer; takes the hellos of others from now on. */
export async function createBulkLinks(options: BulkLinksOptions): Promise<BulkLinks> {
  const links = new MemberLinks(options);
  await links.start();
  return links;
}
