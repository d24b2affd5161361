/**
 * Measures this peer's links while nothing else uses them: each once it is made, with the number of its streams that
 * carries most, and now and then after. Over time it takes no more than a stated share of a link.
 */
import type { Clock } from "../base/clock.js";
import type { BulkEndpoint, LinkMeasure } from "./link-table.js";
import type { OpenLink } from "./links.js";
import type { MeasuredLink } from "./messages.js";
import { fewestStreams, type StreamTrial, streamTrials } from "./streams.js";

/** A measured link, for those who watch. */
export interface LinkNews extends MeasuredLink {
  roundTripSeconds: number;
  streams: number;
  streamsUsed: number;
}

export interface ProberOptions {
  /** This peer's id. */
  self: string;
  endpoint: Pick<BulkEndpoint, "probe" | "use">;
  /** The links there are, by peer id. */
  links(): ReadonlyMap<string, OpenLink>;
  clock: Clock;
  /** Of a link, that probes may take over time; 0: nothing is measured. */
  share: number;
  report(news: LinkNews): void;
}

export interface Prober {
  /** The links are free: goes on measuring until `pause`. */
  resume(): void;
  /** The links are needed: ends a probe under way. */
  pause(): void;
  /** Measures nothing any more. */
  close(): void;
}

/** What is known of one peer's link. */
interface Known {
  link: number;
  streamsUsed: number;
  at: number;
  bytes: number;
}

/** A measurement under way, which goes on after a pause. */
interface Unfinished {
  link: number;
  trials: StreamTrial[];
  roundTripSeconds: number;
  /** Of the next burst. */
  bytes: number;
}

/** Of the first burst; a later one has a single ping before it. */
const PINGS = 5;
/** The first burst; others are four times the one before until one takes long enough to tell the rate. */
const BURST_BYTES = 256 << 10;
const BURST_GROWTH = 4;
const BURST_BYTES_MAX = 16 << 20;
/** A burst that takes less than so many round trips has measured TCP's start alone. */
const BURST_ROUND_TRIPS = 4;
const BURST_SECONDS = 0.02;
/** A link that was measured is measured again after so long at the earliest. */
const AGAIN_MS = 60_000;
const PROBE_LIMIT_MS = 20_000;
/** How often to look whether a link is due. */
const LOOK_MS = 1000;
const LOOK_MS_MAX = 60_000;
/** Peers that were once linked and are remembered, so that one that comes and goes is not measured more often. */
const PEERS_MAX = 1024;

/** Whether the burst took long enough for its rate to mean something, or no longer one is allowed. */
export function tellsRate(bytes: number, { roundTripSeconds, bytesPerSecond }: LinkMeasure): boolean {
  const seconds = bytes / bytesPerSecond;
  return bytes >= BURST_BYTES_MAX || seconds >= Math.max(BURST_ROUND_TRIPS * roundTripSeconds, BURST_SECONDS);
}

/** How long after a probe that took all of a link for so long the probes are within the share of it. */
export function owedMs(tookMs: number, share: number): number {
  return tookMs / share;
}

class LinkProber implements Prober {
  readonly #options: ProberOptions;
  readonly #known = new Map<string, Known>();
  /** The link to each peer that was tried last: one whose probe was cut short is no new one. */
  readonly #tried = new Map<string, number>();
  readonly #unfinished = new Map<string, Unfinished>();
  /** Until then the probes so far are more than the share. */
  #owedUntil = 0;
  #running: AbortController | null = null;
  #closed = false;
  #loop: Promise<void> = Promise.resolve();

  constructor(options: ProberOptions) {
    this.#options = options;
  }

  resume(): void {
    if (this.#running !== null || this.#closed || this.#options.share === 0) return;
    const running = new AbortController();
    this.#running = running;
    this.#loop = this.#loop.then(() => this.#run(running.signal)).catch(() => {});
  }

  pause(): void {
    this.#running?.abort();
    this.#running = null;
  }

  close(): void {
    this.#closed = true;
    this.pause();
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { clock, links } = this.#options;
    while (!signal.aborted) {
      const next = this.#due();
      const done = next !== null && (await this.#try(next, links().get(next)!, signal));
      const owed = this.#owedUntil - clock.now();
      if (!done) await clock.sleep(Math.min(LOOK_MS_MAX, Math.max(LOOK_MS, owed)), signal);
    }
  }

  /** False for a link that ends meanwhile, or a probe that is cut short. */
  async #try(peerId: string, open: OpenLink, signal: AbortSignal): Promise<boolean> {
    this.#tried.set(peerId, open.link);
    return this.#measure(peerId, open, signal).then(
      () => true,
      () => false,
    );
  }

  /** The peer whose link to measure now: a new peer's at once, another when its time has come and nothing is owed. */
  #due(): string | null {
    const { self, links, clock } = this.#options;
    const now = clock.now();
    // Each peer begins behind its own id, so that not all of them measure towards the same one at once.
    const ids = [...links().keys()].sort();
    const ordered = [...ids.filter((id) => id > self), ...ids.filter((id) => id < self)];
    for (const id of [...this.#tried.keys()]) if (!links().has(id)) this.#forget(id);
    const fresh = ordered.find((id) => this.#tried.get(id) !== links().get(id)!.link);
    // A link that is made again and again would otherwise be measured each time.
    if (fresh !== undefined && (now >= this.#owedUntil || !this.#tried.has(fresh))) return fresh;
    if (now < this.#owedUntil) return null;
    const measuredAt = (id: string) => this.#known.get(id)?.at ?? Number.NEGATIVE_INFINITY;
    const oldest = ordered.sort((a, b) => measuredAt(a) - measuredAt(b))[0];
    return oldest !== undefined && now - measuredAt(oldest) >= AGAIN_MS ? oldest : null;
  }

  #forget(peerId: string): void {
    if (this.#tried.size > PEERS_MAX) this.#tried.delete(peerId);
    this.#known.delete(peerId);
    this.#unfinished.delete(peerId);
  }

  async #measure(peerId: string, open: OpenLink, signal: AbortSignal): Promise<void> {
    const { endpoint, clock, report } = this.#options;
    const known = this.#known.get(peerId);
    const again = known?.link === open.link ? known : null;
    let unfinished = this.#unfinished.get(peerId);
    if (unfinished?.link !== open.link) {
      const bytes = again?.bytes ?? BURST_BYTES;
      unfinished = { link: open.link, trials: [], roundTripSeconds: Number.POSITIVE_INFINITY, bytes };
      this.#unfinished.set(peerId, unfinished);
    }
    const { trials } = unfinished;
    const due = again === null ? streamTrials(open.streams) : [again.streamsUsed];
    for (const streams of due.slice(trials.length)) {
      await this.#burst(unfinished, streams, signal);
    }
    const { bytes, roundTripSeconds } = unfinished;
    this.#unfinished.delete(peerId);
    const streamsUsed = fewestStreams(trials);
    if (streamsUsed !== again?.streamsUsed) await endpoint.use(open.link, streamsUsed);
    this.#known.set(peerId, { link: open.link, streamsUsed, at: clock.now(), bytes });
    const { bytesPerSecond } = trials.find(({ streams }) => streams === streamsUsed)!;
    const { streams } = open;
    const seconds = Math.min(60, roundTripSeconds / 2);
    report({ peerId, bytesPerSecond, seconds, roundTripSeconds, streams, streamsUsed });
  }

  /** Bursts that grow until one tells the rate; each adds to what is owed. */
  async #burst(unfinished: Unfinished, streams: number, signal: AbortSignal): Promise<void> {
    const { endpoint, clock, share } = this.#options;
    for (;;) {
      const { link, bytes, roundTripSeconds } = unfinished;
      const pings = roundTripSeconds === Number.POSITIVE_INFINITY ? PINGS : 1;
      const start = clock.now();
      let tookMs = Number.NaN;
      try {
        const measure = await endpoint.probe(
          link,
          { bytes, streams, pings, limitMs: PROBE_LIMIT_MS },
          signal,
        );
        if (measure.bytesPerSecond > 0) tookMs = (bytes / measure.bytesPerSecond) * 1000;
        unfinished.roundTripSeconds = Math.min(roundTripSeconds, measure.roundTripSeconds);
        if (tellsRate(bytes, measure)) {
          unfinished.trials.push({ streams, bytesPerSecond: measure.bytesPerSecond });
          return;
        }
        unfinished.bytes = Math.min(BURST_BYTES_MAX, bytes * BURST_GROWTH);
      } finally {
        // One that was cut short took no more of the link than all of it until then.
        if (Number.isNaN(tookMs)) tookMs = clock.now() - start;
        this.#owedUntil = Math.max(clock.now(), this.#owedUntil) + owedMs(tookMs, share);
      }
    }
  }
}

/** Measures nothing until `resume`. */
export function createProber(options: ProberOptions): Prober {
  return new LinkProber(options);
}
