/** Hosts on loopback for the tests of this room and the next ones. */
import { noise } from "@chainsafe/libp2p-noise";
import { yamux } from "@chainsafe/libp2p-yamux";
import { identify } from "@libp2p/identify";
import type { Stream } from "@libp2p/interface";
import { tcp } from "@libp2p/tcp";
import { multiaddr } from "@multiformats/multiaddr";
import { createLibp2p } from "libp2p";
import { createHost, type Host, type HostOptions } from "../../lib/peer/host.js";
import { generateIdentity } from "../../lib/peer/identity.js";
import type { ChannelLimits, PeerChannel } from "../../lib/peer/libp2p-channel.js";

/** A host on a free port of 127.0.0.1, with a new identity unless one is given. */
export function loopbackHost(options: Partial<HostOptions> = {}): Promise<Host> {
  return createHost({ identity: generateIdentity(), listen: { host: "127.0.0.1", port: 0 }, ...options });
}

/** Both ends of a new channel between two hosts: the one that connected, and the one that was handed out. */
export async function openChannel(
  from: Host,
  to: Host,
  protocol: string,
): Promise<[PeerChannel, PeerChannel]> {
  const { promise: accepted, resolve } = Promise.withResolvers<PeerChannel>();
  await to.handle(protocol, resolve);
  const channel = await from.connect(to.addresses()[0]!, protocol);
  const both: [PeerChannel, PeerChannel] = [channel, await accepted];
  await to.unhandle(protocol);
  return both;
}

export async function hostPair(options: Partial<HostOptions> = {}) {
  const [left, right] = await Promise.all([loopbackHost(options), loopbackHost(options)]);
  return {
    left,
    right,
    channels: (protocol: string) => openChannel(left, right, protocol),
    async end() {
      await Promise.all([left.close(), right.close()]);
    },
  };
}

/** A bare libp2p stream to a host's channel, to send what no channel would. */
export async function rawPair(channelLimits: Partial<ChannelLimits>) {
  const protocol = "/gradmesh/test/1";
  const host = await loopbackHost({ channelLimits });
  const node = await createLibp2p({
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    services: { identify: identify() },
  });
  let accept: (channel: PeerChannel) => void = () => {};
  await host.handle(protocol, (channel) => accept(channel));
  const connection = await node.dial(multiaddr(host.addresses()[0]!));
  async function open(): Promise<{ stream: Stream; channel: PeerChannel }> {
    const accepted = new Promise<PeerChannel>((resolve) => {
      accept = resolve;
    });
    const stream = await connection.newStream(protocol);
    return { stream, channel: await accepted };
  }
  return {
    ...(await open()),
    /** Whether another stream on the same connection still works. */
    async again(): Promise<boolean> {
      const { channel } = await open();
      await channel.send("hello");
      return true;
    },
    async end() {
      await Promise.all([host.close(), node.stop()]);
    },
  };
}
