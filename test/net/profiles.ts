/** Link profiles as data: what a network between sites does to the traffic of each host. */

/**
 * One host's link to the network, in both directions. What a network would call 1 Gbit/s here carries 1 Gbit/s of IP
 * packets: with 1,500-byte packets TCP's payload is at most 1448/1500 of it.
 */
export interface Link {
  /** Bits of IP packets a second, headers included, Ethernet's own bytes not. */
  readonly megabitsPerSecond: number;
  /** Between two hosts with this link; between two unlike links it is the mean of both. */
  readonly roundTripMs: number;
  /** Each packet is late by up to this, uniformly; packets of a pair stay in order. */
  readonly jitterMs?: number;
  /** Probability that a segment which the host sends is lost. */
  readonly loss?: number;
  /** The queue into the host, as time at its rate; at least 256 KiB. A full queue drops what comes. */
  readonly queueMs: number;
  /** Drops the TCP connections that others open to the host; those it opens work. */
  readonly refusesCalls?: boolean;
}

export interface Profile {
  readonly doc: string;
  readonly link: Link;
  /** What differs for single hosts, by index. */
  readonly hosts?: Readonly<Record<number, Partial<Link>>>;
  /** Bytes of the largest IP packet. */
  readonly mtu?: number;
}

const gigabit20 = { megabitsPerSecond: 1000, roundTripMs: 20, queueMs: 20 };

export const profiles: Readonly<Record<string, Profile>> = {
  lan: {
    doc: "10 Gbit/s, 0.2 ms",
    link: { megabitsPerSecond: 10_000, roundTripMs: 0.2, queueMs: 4 },
  },
  "1gbit-20ms": { doc: "1 Gbit/s, 20 ms", link: gigabit20 },
  "100mbit-20ms": {
    doc: "100 Mbit/s, 20 ms, as published figures have it",
    link: { megabitsPerSecond: 100, roundTripMs: 20, queueMs: 20 },
  },
  "100mbit-40ms": {
    doc: "100 Mbit/s, 40 ms",
    link: { megabitsPerSecond: 100, roundTripMs: 40, queueMs: 40 },
  },
  "1gbit-100ms": {
    doc: "1 Gbit/s, 100 ms: a long fat link",
    link: { megabitsPerSecond: 1000, roundTripMs: 100, queueMs: 100 },
  },
  transatlantic: {
    doc: "400 Mbit/s, 90 ms, 0.1 % loss",
    link: { megabitsPerSecond: 400, roundTripMs: 90, queueMs: 90, loss: 0.001 },
  },
  "slow-peer": {
    doc: "1 Gbit/s, 20 ms, host 1 at 100 Mbit/s",
    link: gigabit20,
    hosts: { 1: { megabitsPerSecond: 100 } },
  },
  nat: {
    doc: "1 Gbit/s, 20 ms, host 1 cannot be dialled from outside",
    link: gigabit20,
    hosts: { 1: { refusesCalls: true } },
  },
};

const DEFAULT_MTU = 1500;
const QUEUE_BYTES_MIN = 256 * 1024;
/** IPv4 and TCP headers with timestamps. */
const TCP_HEADER_BYTES = 52;

export function mtuOf(profile: Profile): number {
  return profile.mtu ?? DEFAULT_MTU;
}

/** The link of one host. */
export function linkOf(profile: Profile, host: number): Link {
  return { ...profile.link, ...profile.hosts?.[host] };
}

/** What the queue into a host holds. */
export function queueBytes(link: Link): number {
  return Math.max(QUEUE_BYTES_MIN, Math.round((link.megabitsPerSecond * 1000 * link.queueMs) / 8));
}

/** Payload bytes a second that TCP can carry at most over a link: the physical limit of a benchmark. */
export function tcpPayloadRate(profile: Profile, link: Link): number {
  return ((link.megabitsPerSecond * 1e6) / 8) * (1 - TCP_HEADER_BYTES / mtuOf(profile));
}

/**
 * The profile of a name.
 * @throws RangeError that names the profiles there are.
 */
export function profileNamed(name: string): Profile {
  const found = Object.hasOwn(profiles, name) ? profiles[name] : undefined;
  if (!found)
    throw new RangeError(`there is no profile "${name}"; allowed: ${Object.keys(profiles).join(", ")}`);
  return found;
}

/** @throws RangeError that names the field, its value and what is allowed. */
export function checkLink(link: Link, what: string): void {
  const limits: readonly [keyof Link, number, number][] = [
    ["megabitsPerSecond", 0.1, 100_000],
    ["roundTripMs", 0, 10_000],
    ["jitterMs", 0, 10_000],
    ["loss", 0, 1],
    ["queueMs", 0, 10_000],
  ];
  for (const [key, least, most] of limits) {
    const value = link[key] ?? 0;
    if (typeof value !== "number" || !(value >= least && value <= most))
      throw new RangeError(`${what}: ${key} is ${value}; allowed: ${least} to ${most}`);
  }
}
