/** Bulk endpoints without sockets, which keep the native one's promises about tickets, so that links are tested alone. */
import { GradmeshError } from "../../lib/base/errors.js";
import type { BulkEndpoint, DialTarget, LinkBurst, LinkMeasure, LinkSecrets } from "../../lib/group/links.js";

interface FakeLink {
  state: "expected" | "open" | "closed";
  sendKey: Uint8Array;
  receiveKey: Uint8Array;
  /** Sockets, and how many of them carry data. */
  streams: number;
  used: number;
  other?: FakeLink;
  changed: PromiseWithResolvers<void>;
}

export interface FakeEndpoint extends BulkEndpoint {
  /** Links that are open. */
  readonly openLinks: number;
  /** Sockets that were not let in. */
  readonly refused: number;
  /** The keys of a link, to compare both sides. */
  keys(link: number): { sendKey: Uint8Array; receiveKey: Uint8Array };
  isOpen(link: number): boolean;
  /** The link's sockets and how many of them carry data. */
  streams(link: number): { streams: number; used: number };
  /** Nobody can dial it from outside. */
  blocked: boolean;
  /** Bursts that were asked for, and what a probe measures. */
  readonly bursts: (LinkBurst & { link: number })[];
  measure(burst: LinkBurst & { link: number }): LinkMeasure;
  redeem(ticket: Uint8Array): FakeLink | undefined;
  close(): void;
}

const closedError = () => new GradmeshError("ERR_CLOSED", "the link is closed");

function closeBoth(link: FakeLink): void {
  for (const side of [link, link.other]) {
    if (side === undefined || side.state === "closed") continue;
    side.state = "closed";
    side.changed.resolve();
  }
}

/** Endpoints that reach each other by port; every address is this machine. */
export function createFakeNetwork() {
  const endpoints = new Map<number, FakeEndpoint>();
  let lastPort = 40_000;

  function createEndpoint(): FakeEndpoint {
    lastPort += 1;
    const port = lastPort;
    const links = new Map<number, FakeLink>();
    const tickets = new Map<string, FakeLink>();
    let lastLink = 0;
    let refused = 0;
    const add = (state: FakeLink["state"], { sendKey, receiveKey, streams }: LinkSecrets) => {
      const changed = Promise.withResolvers<void>();
      const link: FakeLink = { state, sendKey, receiveKey, streams, used: streams, changed };
      lastLink += 1;
      links.set(lastLink, link);
      return { id: lastLink, link };
    };
    const endpoint: FakeEndpoint = {
      port,
      get openLinks() {
        return [...links.values()].filter(({ state }) => state === "open").length;
      },
      get refused() {
        return refused;
      },
      keys: (link) => links.get(link)!,
      isOpen: (link) => links.get(link)?.state === "open",
      streams: (link) => links.get(link)!,
      blocked: false,
      bursts: [],
      measure: () => ({
        roundTripSeconds: 0.001,
        medianSeconds: 0.001,
        bytesPerSecond: 1e8,
        bytesArrived: 1,
      }),
      async probe(link, burst) {
        if (links.get(link)?.state !== "open") throw closedError();
        endpoint.bursts.push({ link, ...burst });
        return endpoint.measure({ link, ...burst });
      },
      async use(link, streams) {
        links.get(link)!.used = streams;
      },
      expect(secrets) {
        const { id, link } = add("expected", secrets);
        tickets.set(Buffer.from(secrets.ticket).toString("hex"), link);
        return id;
      },
      redeem(ticket) {
        const key = Buffer.from(ticket).toString("hex");
        const link = tickets.get(key);
        tickets.delete(key);
        if (link?.state === "expected") return link;
        refused += 1;
        return undefined;
      },
      async dial(target: DialTarget, _limitMs, signal) {
        signal?.throwIfAborted();
        const { port: targetPort, ticket } = target;
        const remote = endpoints.get(targetPort);
        if (remote === undefined || remote.blocked)
          throw new GradmeshError("ERR_IO", `nobody listens on port ${targetPort}`);
        const expected = remote.redeem(ticket);
        if (expected === undefined || expected.streams !== target.streams)
          throw new GradmeshError("ERR_UNAUTHORIZED", "the ticket is unknown or used");
        const { id, link } = add("open", target);
        link.other = expected;
        expected.other = link;
        expected.state = "open";
        expected.changed.resolve();
        return id;
      },
      async ready(id, _limitMs, signal) {
        const link = links.get(id);
        if (link?.state === "expected") {
          const aborted = new Promise<never>((_, reject) => {
            signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
          });
          await Promise.race([link.changed.promise, aborted]);
        }
        if (link?.state !== "open") throw closedError();
      },
      closeLink(id) {
        const link = links.get(id);
        if (link !== undefined) closeBoth(link);
      },
      close() {
        endpoints.delete(port);
        for (const link of links.values()) closeBoth(link);
      },
    };
    endpoints.set(port, endpoint);
    return endpoint;
  }

  return { createEndpoint };
}
