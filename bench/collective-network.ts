/** Loopback, or a test network of hosts whose links have a profile, as benches of several processes use them. */
import { createNetwork } from "../test/net/network.js";
import { linkOf, profileNamed, tcpPayloadRate } from "../test/net/profiles.js";
import { type Hosts, loopbackHosts } from "./collective-launch.js";
import { type LinkProfile, loopback } from "./collective-limit.js";

export interface Network {
  readonly profile: LinkProfile;
  readonly hosts: Hosts;
}

/** @throws Error where this machine cannot (networkUnavailable). */
export async function openNetwork(
  name: string,
  ranks: number,
  congestion: string | undefined,
): Promise<Network> {
  if (name === loopback.name) return { profile: loopback, hosts: loopbackHosts(ranks) };
  const profile = profileNamed(name);
  const network = await createNetwork({
    ...{ profile, hosts: ranks },
    ...(congestion === undefined ? {} : { congestionControl: congestion }),
  });
  const namespaces = network.hosts.map(({ namespace }) => `/run/netns/${namespace}`);
  const links = network.hosts.map((_, host) => linkOf(profile, host));
  return {
    profile: {
      name,
      bitsPerSecond: Math.min(...links.map(({ megabitsPerSecond }) => megabitsPerSecond)) * 1e6,
      payloadBitsPerSecond: 8 * Math.min(...links.map((link) => tcpPayloadRate(profile, link))),
      delaySeconds: Math.max(...links.map(({ roundTripMs }) => roundTripMs)) / 2000,
      loss: Math.max(...links.map(({ loss = 0 }) => loss)),
    },
    hosts: {
      addresses: network.hosts.map(({ address }) => address),
      subnet: `${network.hosts[0]!.address}/24`.replace(/\d+\/24$/, "0/24"),
      namespaces,
      wrap: (host, command) => ["nsenter", `--net=${namespaces[host]}`, "--", ...command],
      close: () => network.close(),
    },
  };
}
