/** Bulk endpoints without sockets, which keep the native one's promises about tickets, so that links are tested alone. */
import { GradmeshError } from "../../lib/base/errors.js";
import type { BulkEndpoint, DialTarget } from "../../lib/group/links.js";

interface FakeLink {
  state: "expected" | "open" | "closed";
  sendKey: Uint8Array;
  receiveKey: Uint8Array;
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
    const add = (state: FakeLink["state"], sendKey: Uint8Array, receiveKey: Uint8Array) => {
      const link: FakeLink = { state, sendKey, receiveKey, changed: Promise.withResolvers<void>() };
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
      expect(ticket, sendKey, receiveKey) {
        const { id, link } = add("expected", sendKey, receiveKey);
        tickets.set(Buffer.from(ticket).toString("hex"), link);
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
      async dial({ port: target, ticket, sendKey, receiveKey }: DialTarget, _limitMs, signal) {
        signal?.throwIfAborted();
        const remote = endpoints.get(target);
        if (remote === undefined) throw new GradmeshError("ERR_IO", `nobody listens on port ${target}`);
        const expected = remote.redeem(ticket);
        if (expected === undefined)
          throw new GradmeshError("ERR_UNAUTHORIZED", "the ticket is unknown or used");
        const { id, link } = add("open", sendKey, receiveKey);
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
