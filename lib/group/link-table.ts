/** The view that links belong to, the links there are, and waiting for either to change. */
import { GradmeshError } from "../base/errors.js";

/** The native endpoint as this room needs it; a link is a number that it gave out. */
export interface BulkEndpoint {
  /** The port that it listens on. */
  readonly port: number;
  /** Admits the sockets with this ticket within the limit; returns their link at once. */
  expect(secrets: LinkSecrets, limitMs: number): number;
  /** Opens sockets with a ticket; resolves with their link once the other side has accepted them. */
  dial(target: DialTarget, limitMs: number, signal?: AbortSignal): Promise<number>;
  /** Resolves once the link is open; rejects when it has ended. */
  ready(link: number, limitMs: number, signal?: AbortSignal): Promise<void>;
  /** Measures an open link; one probe at a time on a link. */
  probe(link: number, burst: LinkBurst, signal?: AbortSignal): Promise<LinkMeasure>;
  /** How many of its streams carry data from now on. */
  use(link: number, streams: number): Promise<void>;
  closeLink(link: number): void;
}

/** What opens a link, and nothing else does. */
export interface LinkSecrets {
  /** 32 random bytes. */
  ticket: Uint8Array;
  sendKey: Uint8Array;
  receiveKey: Uint8Array;
  /** Sockets of the link, 1 to 16; the same on both sides. */
  streams: number;
}

export interface DialTarget extends LinkSecrets {
  /** A numeric address. */
  host: string;
  port: number;
}

/** A probe: pings, then a burst. */
export interface LinkBurst {
  /** 0: pings alone. */
  bytes: number;
  /** How many of its streams the burst goes over. */
  streams: number;
  pings: number;
  limitMs: number;
}

export interface LinkMeasure {
  /** The least round trip, and the median one. */
  roundTripSeconds: number;
  medianSeconds: number;
  /** Of the burst, from here to there; 0 where there was none. */
  bytesPerSecond: number;
  bytesArrived: number;
}

/** Who takes part in an epoch, in rank order. */
export interface LinkView {
  readonly epoch: number;
  readonly members: readonly LinkMember[];
}

export interface LinkMember {
  readonly peerId: string;
  readonly addresses: readonly string[];
  /** False: nobody outside can open a connection to it; it opens them itself. By default true. */
  readonly dialable?: boolean;
}

export interface LinkEntry {
  link: number;
  /** What both sides call it. */
  name: string;
  /** The last epoch for which both sides agreed on it. */
  epoch: number;
  /** Its sockets. */
  streams: number;
}

/** Time for an endpoint to say whether a link is open. */
const READY_MS = 1000;

export class LinkTable {
  readonly #self: string;
  readonly #endpoint: BulkEndpoint;
  readonly #entries = new Map<string, LinkEntry>();
  #view: LinkView | undefined;
  #rank = -1;
  #closed = false;
  #waiters: (() => void)[] = [];

  constructor(self: string, endpoint: BulkEndpoint) {
    this.#self = self;
    this.#endpoint = endpoint;
  }

  get view(): LinkView | undefined {
    return this.#view;
  }

  get rank(): number {
    return this.#rank;
  }

  /** The links of the view by rank, -1 where there is none. */
  links(view: LinkView): Int32Array {
    return Int32Array.from(view.members, ({ peerId }) => this.#entries.get(peerId)?.link ?? -1);
  }

  /** Moves to a view: the links of peers that are not in it end. @throws ERR_INVALID_ARGUMENT for an impossible one. */
  adopt(view: LinkView, rank: number): void {
    const refuse = (why: string): never => {
      throw new GradmeshError("ERR_INVALID_ARGUMENT", why);
    };
    const ids = view.members.map(({ peerId }) => peerId);
    if (ids[rank] !== this.#self)
      refuse(`rank ${rank} of the view is ${ids[rank]}, not this peer, ${this.#self}`);
    if (new Set(ids).size !== ids.length) refuse(`the view of epoch ${view.epoch} names a peer twice`);
    const before = this.#view;
    if (before !== undefined && view.epoch < before.epoch) {
      refuse(`epoch ${view.epoch} is over; the links are at ${before.epoch}`);
    }
    if (before?.epoch === view.epoch && before.members.some(({ peerId }, other) => peerId !== ids[other])) {
      refuse(`epoch ${view.epoch} has other members already`);
    }
    this.#view = view;
    this.#rank = rank;
    for (const peerId of [...this.#entries.keys()]) if (!ids.includes(peerId)) this.drop(peerId);
    this.#notify();
  }

  /** The open links of the view, by peer, with their sockets. */
  get entries(): ReadonlyMap<string, Readonly<LinkEntry>> {
    return this.#entries;
  }

  drop(peerId: string): void {
    const entry = this.#entries.get(peerId);
    if (entry === undefined) return;
    this.#entries.delete(peerId);
    this.#endpoint.closeLink(entry.link);
  }

  /**
   * Stores a link that both sides have.
   * @throws ERR_ABORTED, and ends the link, when this peer has meanwhile moved on to a view without the other.
   */
  keep(peerId: string, entry: LinkEntry): void {
    if (this.#closed || !this.#view?.members.some((member) => member.peerId === peerId)) {
      this.#endpoint.closeLink(entry.link);
      throw new GradmeshError("ERR_ABORTED", `${peerId} left the view while it was being linked`);
    }
    if (this.#entries.get(peerId)?.link !== entry.link) this.drop(peerId);
    this.#entries.set(peerId, entry);
    this.#notify();
  }

  /** The link to a peer that is still open here; forgets one that has ended. */
  async openLink(peerId: string, signal: AbortSignal): Promise<LinkEntry | undefined> {
    const entry = this.#entries.get(peerId);
    if (entry === undefined) return undefined;
    try {
      await this.#endpoint.ready(entry.link, READY_MS, signal);
      return entry;
    } catch {
      signal.throwIfAborted();
      if (this.#entries.get(peerId) === entry) this.drop(peerId);
      return undefined;
    }
  }

  /** Resolves at the next change of the view or of the links; rejects with the signal's reason. */
  async changed(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    await new Promise<void>((resolve, reject) => {
      const abort = () => {
        this.#waiters = this.#waiters.filter((other) => other !== wake);
        reject(signal.reason);
      };
      const wake = () => {
        signal.removeEventListener("abort", abort);
        resolve();
      };
      signal.addEventListener("abort", abort, { once: true });
      this.#waiters.push(wake);
    });
  }

  close(): void {
    this.#closed = true;
    for (const peerId of [...this.#entries.keys()]) this.drop(peerId);
  }

  #notify(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const wake of waiters) wake();
  }
}
