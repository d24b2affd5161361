/** A peer's place on the network: listens, and opens authenticated channels to the peers it is told of. */
import { isIP } from "node:net";
import { noise } from "@chainsafe/libp2p-noise";
import { yamux } from "@chainsafe/libp2p-yamux";
import { identify } from "@libp2p/identify";
import type { Connection, PeerId, Stream } from "@libp2p/interface";
import { peerIdFromString } from "@libp2p/peer-id";
import { tcp } from "@libp2p/tcp";
import { type Multiaddr, multiaddr } from "@multiformats/multiaddr";
import { createLibp2p, type Libp2pOptions } from "libp2p";
import { type Clock, systemClock, withLimit } from "../base/clock.js";
import { asGradmeshError, GradmeshError } from "../base/errors.js";
import type { Identity } from "./identity.js";
import { type ChannelLimits, createStreamChannel, type PeerChannel } from "./libp2p-channel.js";

export interface HostLimits {
  /** Time to reach one address: socket, handshake, protocol. */
  connectLimitMs: number;
  /** New connections a second from one address; libp2p's own limit of 5 refuses peers that share a machine. */
  inboundPerSecond: number;
  /** Connections in their handshake at the same time. */
  inboundPending: number;
  connectionsMax: number;
  /** Channels of one protocol on one connection. */
  channelsMax: number;
}

export const hostLimits: HostLimits = {
  connectLimitMs: 5000,
  inboundPerSecond: 256,
  inboundPending: 128,
  connectionsMax: 512,
  channelsMax: 64,
};

export interface HostOptions {
  identity: Identity;
  /** An IP address of this machine (0.0.0.0 or :: for all) and a TCP port; port 0 picks one. */
  listen: { host: string; port: number };
  /** The IP address or name under which others reach this machine, where that is not the listening one (NAT). */
  advertiseHost?: string;
  clock?: Clock;
  limits?: Partial<HostLimits>;
  channelLimits?: Partial<ChannelLimits>;
}

/** Whom to connect to: a multiaddr that ends in /p2p/<peer id>, a known peer's id, or a peer and its multiaddrs. */
export type Target = string | { peerId: string; addresses: readonly string[] };

export interface Host {
  readonly peerId: string;
  readonly advertiseHost: string | undefined;
  /** The multiaddrs under which others can reach this host, each with its peer id. */
  addresses(): string[];
  /** Takes the channels that others open with this protocol; a handler that fails ends its channel. */
  handle(protocol: string, onChannel: (channel: PeerChannel) => void | Promise<void>): Promise<void>;
  unhandle(protocol: string): Promise<void>;
  /** @throws ERR_UNREACHABLE; ERR_PROTOCOL when the peer does not speak the protocol; the signal's reason. */
  connect(target: Target, protocol: string, signal?: AbortSignal): Promise<PeerChannel>;
  close(): Promise<void>;
}

/** Yamux lets a sender have a whole window under way while we pause; it must fit into libp2p's read buffer of 4 MiB. */
const STREAM_WINDOW_BYTES_MAX = 1 << 20;

function hostPart(host: string): string {
  const family = isIP(host);
  return family === 0 ? `/dns/${host}` : `/ip${family}/${host}`;
}

function libp2pOptions(options: HostOptions, limits: HostLimits): Libp2pOptions {
  const { host, port } = options.listen;
  if (isIP(host) === 0) {
    throw new GradmeshError(
      "ERR_CONFIG",
      `listen.host is "${host}"; it must be an IP address of this machine`,
    );
  }
  if (!Number.isInteger(port) || port < 0 || port > 65535) {
    throw new GradmeshError("ERR_CONFIG", `listen.port is ${port}; it must be an integer from 0 to 65535`);
  }
  return {
    privateKey: options.identity.privateKey,
    nodeInfo: { name: "gradmesh", version: "1", userAgent: "gradmesh" },
    addresses: { listen: [`${hostPart(host)}/tcp/${port}`] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux({ streamOptions: { maxStreamWindowSize: STREAM_WINDOW_BYTES_MAX } })],
    services: { identify: identify() },
    connectionManager: {
      inboundConnectionThreshold: limits.inboundPerSecond,
      maxIncomingPendingConnections: limits.inboundPending,
      maxConnections: limits.connectionsMax,
      addressDialTimeout: limits.connectLimitMs,
      // Nothing is dialed but what `connect` is told: no DNS lists of peers, no reconnecting on its own.
      resolvers: {},
      reconnectRetries: 0,
    },
  };
}

interface ParsedTarget {
  peer: PeerId;
  addresses: Multiaddr[];
}

function parseTarget(target: Target): ParsedTarget {
  const name = JSON.stringify(target);
  try {
    if (typeof target !== "string") {
      const suffix = `/p2p/${target.peerId}`;
      const full = target.addresses.map((address) =>
        address.includes("/p2p/") ? address : address + suffix,
      );
      return { peer: peerIdFromString(target.peerId), addresses: full.map((address) => multiaddr(address)) };
    }
    if (!target.startsWith("/")) return { peer: peerIdFromString(target), addresses: [] };
    const address = multiaddr(target);
    const id = address.getComponents().findLast((component) => component.name === "p2p")?.value;
    if (id === undefined)
      throw new Error("it does not end in /p2p/<peer id>, so nobody could prove to be it");
    return { peer: peerIdFromString(id), addresses: [address] };
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new GradmeshError("ERR_INVALID_ARGUMENT", `${name} is no address of a peer: ${why}`, { cause });
  }
}

function remoteHostOf(connection: Connection): string {
  const part = connection.remoteAddr
    .getComponents()
    .find(({ name }) => /^(ip4|ip6|dns|dns4|dns6)$/.test(name));
  return part?.value ?? "";
}

/** The sentences of an error and of all that it was made from, without repeats. */
function reasons(error: unknown): string {
  if (error instanceof AggregateError) return [...new Set(error.errors.map(reasons))].join("; ");
  return error instanceof Error ? error.message || error.name : String(error);
}

type Libp2pNode = Awaited<ReturnType<typeof createLibp2p>>;

class Libp2pHost implements Host {
  readonly peerId: string;
  readonly advertiseHost: string | undefined;
  readonly #node: Libp2pNode;
  readonly #clock: Clock;
  readonly #limits: HostLimits;
  readonly #channelLimits: Partial<ChannelLimits>;
  readonly #channels = new Set<PeerChannel>();
  #closing: Promise<void> | undefined;

  constructor(node: Libp2pNode, options: HostOptions, limits: HostLimits) {
    this.peerId = options.identity.peerId;
    this.advertiseHost = options.advertiseHost;
    this.#node = node;
    this.#clock = options.clock ?? systemClock;
    this.#limits = limits;
    this.#channelLimits = options.channelLimits ?? {};
  }

  addresses(): string[] {
    const listening = this.#node.getMultiaddrs();
    if (this.advertiseHost === undefined) return listening.map(String);
    const port = listening[0]?.getComponents().find(({ name }) => name === "tcp")?.value;
    return port === undefined ? [] : [`${hostPart(this.advertiseHost)}/tcp/${port}/p2p/${this.peerId}`];
  }

  async handle(protocol: string, onChannel: (channel: PeerChannel) => void | Promise<void>): Promise<void> {
    const onStream = (stream: Stream, connection: Connection) => {
      const channel = this.#wrap(stream, connection);
      Promise.resolve()
        .then(() => onChannel(channel))
        .catch(() => channel.close());
    };
    const max = this.#limits.channelsMax;
    await this.#node.handle(protocol, onStream, { maxInboundStreams: max, maxOutboundStreams: max });
  }

  async unhandle(protocol: string): Promise<void> {
    await this.#node.unhandle(protocol);
  }

  #wrap(stream: Stream, connection: Connection): PeerChannel {
    const channel = createStreamChannel({
      stream,
      remote: connection.remotePeer.toString(),
      remoteHost: remoteHostOf(connection),
      clock: this.#clock,
      limits: this.#channelLimits,
    });
    if (stream.status === "open") this.#channels.add(channel);
    // Not at channel.closed: its last bytes may still be leaving then.
    stream.addEventListener("close", () => this.#channels.delete(channel), { once: true });
    return channel;
  }

  async connect(target: Target, protocol: string, signal?: AbortSignal): Promise<PeerChannel> {
    signal?.throwIfAborted();
    const parsed = parseTarget(target);
    if (this.#closing !== undefined) throw new GradmeshError("ERR_CLOSED", "the host is closed");
    const existing = this.#node.getConnections(parsed.peer);
    try {
      return await this.#open(parsed, protocol, signal);
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof Error && error.name === "UnsupportedProtocolError") {
        throw new GradmeshError("ERR_PROTOCOL", `${parsed.peer} does not speak ${protocol}`, {
          cause: error,
        });
      }
      // libp2p keeps a connection whose other side is gone until TCP notices; a failed stream is reason to drop it. One
      // that the other side has opened meanwhile, as a peer that nobody can dial does, is tried.
      const now = this.#node.getConnections(parsed.peer);
      const usable = now.filter((one) => one.direction === "inbound" && !existing.includes(one));
      for (const connection of now)
        if (!usable.includes(connection)) connection.abort(asGradmeshError(error));
      if (existing.length === 0 && usable.length === 0) throw this.#unreachable(parsed, error);
    }
    try {
      return await this.#open(parsed, protocol, signal);
    } catch (error) {
      signal?.throwIfAborted();
      throw this.#unreachable(parsed, error);
    }
  }

  async #open(
    { peer, addresses }: ParsedTarget,
    protocol: string,
    signal?: AbortSignal,
  ): Promise<PeerChannel> {
    const limit = this.#limits.connectLimitMs * Math.max(1, addresses.length);
    return withLimit(this.#clock, limit, `connecting to ${peer}`, signal, async (limited) => {
      const connection = await this.#node.dial(addresses.length > 0 ? addresses : peer, { signal: limited });
      const stream = await connection.newStream(protocol, {
        signal: limited,
        maxOutboundStreams: this.#limits.channelsMax,
      });
      if (limited.aborted) stream.abort(asGradmeshError(limited.reason));
      return this.#wrap(stream, connection);
    });
  }

  #unreachable({ peer, addresses }: ParsedTarget, error: unknown): GradmeshError {
    const where = addresses.length > 0 ? ` at ${addresses.join(", ")}` : "";
    return new GradmeshError("ERR_UNREACHABLE", `cannot reach ${peer}${where}: ${reasons(error)}`, {
      cause: error,
    });
  }

  close(): Promise<void> {
    this.#closing ??= (async () => {
      await Promise.all([...this.#channels].map((channel) => channel.close()));
      // Nothing is under way any more; libp2p would wait for each other side to agree that it is over.
      const reason = new GradmeshError("ERR_CLOSED", "the host is closed");
      for (const connection of this.#node.getConnections()) connection.abort(reason);
      await this.#node.stop();
    })();
    return this.#closing;
  }
}

/**
 * A host that listens; it talks TCP, Noise and Yamux, and does no discovery of any kind.
 * @throws ERR_CONFIG for an impossible address; ERR_IO when the port is taken or the address is not this machine's.
 */
export async function createHost(options: HostOptions): Promise<Host> {
  const limits = { ...hostLimits, ...options.limits };
  const init = libp2pOptions(options, limits);
  const { host, port } = options.listen;
  try {
    return new Libp2pHost(await createLibp2p(init), options, limits);
  } catch (cause) {
    throw new GradmeshError(
      "ERR_IO",
      `cannot listen on ${host} port ${port}: ${reasons(cause)}; is the port taken, or the address not this machine's?`,
      { cause },
    );
  }
}
