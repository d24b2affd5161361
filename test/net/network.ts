/** Hosts on one machine, each a network namespace, joined by links of a profile; faults at run time. See README.md. */
import { type ChildProcess, execFile, type SpawnOptions, spawn } from "node:child_process";
import { once } from "node:events";
import { promisify } from "node:util";
import { type Bridge, startBridge } from "./bridge.js";
import {
  addNamespaces,
  namespaceNames,
  namespacePath,
  networkUnavailable,
  removeNamespaces,
  sweepNamespaces,
} from "./namespaces.js";
import { checkLink, type Link, linkOf, mtuOf, type Profile, profileNamed, queueBytes } from "./profiles.js";

export { networkUnavailable } from "./namespaces.js";

const run = promisify(execFile);
const HOSTS_MAX = 64;
const DEVICE = "wan0";
/** Packets between the device and the bridge, for when the bridge gets no processor. */
const DEVICE_QUEUE_PACKETS = 4000;
/** A super-packet of 64 KiB with the headers of its segments passes tbf whole; a smaller bucket would cut it up. */
const BURST_BYTES_MIN = 80 * 1024;
const BURST_MS = 1;

export interface NetworkOptions {
  /** A name of profiles.ts, or a profile. */
  readonly profile: string | Profile;
  readonly hosts: number;
  /** TCP congestion control of every host; the machine's own where absent. */
  readonly congestionControl?: string;
  /** Draws losses, jitter and damage. */
  readonly seed?: number;
}

export interface Host {
  readonly name: string;
  /** IPv4. */
  readonly address: string;
  /** As `ip netns` knows it. */
  readonly namespace: string;
}

export interface HostStats {
  /** Segments of at most the MTU, and their IP bytes. */
  readonly sent: { packets: number; bytes: number };
  readonly received: { packets: number; bytes: number };
  /** Segments: lost by probability or cut at the source, dropped by the full queue into the host, refused by it. */
  readonly lost: number;
  readonly corrupted: number;
  readonly overflowed: number;
  readonly cut: number;
  readonly refused: number;
  readonly strays: number;
}

export interface NetworkStats {
  /** Of the bridge, the receiving side of the hosts' TCP included. */
  readonly cpuSeconds: number;
  readonly hosts: readonly HostStats[];
}

export interface Network {
  readonly profile: Profile;
  readonly hosts: readonly Host[];
  /** Starts a program inside a host. It is killed with the network. */
  spawn(host: number, command: string, args?: readonly string[], options?: SpawnOptions): ChildProcess;
  /**
   * Runs a fault command (control.h): `cut 0 1`, `restore * *`, `loss 0 * 0.01`, `corrupt 0 1 0.001`, `slow 2 10`,
   * `stats`. Resolves with its answer, rejects with the reason.
   */
  command(line: string): Promise<string>;
  stats(): Promise<NetworkStats>;
  /** Kills what runs in the hosts and removes them. */
  close(): Promise<void>;
}

/** Networks that this process has to remove before it ends. */
const open = new Set<() => void>();
const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

function removeAll(): void {
  for (const remove of open) remove();
}

function endBySignal(signal: NodeJS.Signals): void {
  removeAll();
  // The default action, now that the handler is off.
  process.kill(process.pid, signal);
}

function register(remove: () => void): void {
  if (open.size === 0) {
    process.on("exit", removeAll);
    for (const signal of signals) process.once(signal, endBySignal);
  }
  open.add(remove);
}

function unregister(remove: () => void): void {
  if (!open.delete(remove) || open.size > 0) return;
  process.off("exit", removeAll);
  for (const signal of signals) process.off(signal, endBySignal);
}

/** tbf on the host's device: the line out of the host, which holds its senders back as a network card does. */
function uplink(link: Link, factor = 1): string {
  const rate = Math.round((link.megabitsPerSecond * 1e6) / factor);
  const burst = Math.max(BURST_BYTES_MIN, Math.round((rate / 8 / 1000) * BURST_MS));
  return `tc qdisc replace dev ${DEVICE} root tbf rate ${rate}bit burst ${burst} limit ${queueBytes(link) + burst}`;
}

/** The bridge's command that makes a host (control.h). */
function hostCommand(link: Link, namespace: string): string {
  const numbers = [
    link.megabitsPerSecond * 1e6,
    queueBytes(link),
    Math.round((link.roundTripMs / 2) * 1e6),
    Math.round((link.jitterMs ?? 0) * 1e6),
    link.loss ?? 0,
  ];
  return `host ${namespacePath(namespace)} ${numbers.join(" ")} ${link.refusesCalls ? "nat" : "open"}`;
}

/** Runs lines of shell inside a namespace; rejects with what they wrote to stderr. */
async function shell(namespace: string, lines: readonly string[]): Promise<void> {
  const inside = [`--net=${namespacePath(namespace)}`, "--", "sh", "-ec", lines.join("\n")];
  await run("nsenter", inside).catch(({ stderr, message }) => {
    throw new Error(`no test network: ${stderr || message}`);
  });
}

/** A namespace may choose only what the machine allows every program. */
function chooseCongestionControl(name: string): string {
  const allowed = "/proc/sys/net/ipv4/tcp_allowed_congestion_control";
  return `echo ${name} 2>/dev/null >/proc/sys/net/ipv4/tcp_congestion_control || {
    echo "congestion control ${name} is not among $(cat ${allowed}), which ${allowed} allows" >&2; exit 1; }`;
}

async function setUpHost(host: Host, link: Link, mtu: number, congestionControl?: string): Promise<void> {
  await shell(host.namespace, [
    "ip link set lo up",
    // Without IPv6 the kernel sends nothing of its own.
    "echo 1 2>/dev/null >/proc/sys/net/ipv6/conf/all/disable_ipv6 || true",
    ...(congestionControl ? [chooseCongestionControl(congestionControl)] : []),
    `ip addr add ${host.address}/24 dev ${DEVICE}`,
    uplink(link),
    `ip link set ${DEVICE} mtu ${mtu} txqueuelen ${DEVICE_QUEUE_PACKETS} up`,
  ]);
}

function checkOptions(options: NetworkOptions, profile: Profile): Link[] {
  const { hosts, congestionControl = "" } = options;
  if (!Number.isInteger(hosts) || hosts < 1 || hosts > HOSTS_MAX)
    throw new RangeError(`hosts is ${hosts}; allowed: 1 to ${HOSTS_MAX}`);
  if (!/^\w*$/.test(congestionControl)) throw new RangeError(`congestionControl is "${congestionControl}"`);
  const links = Array.from({ length: hosts }, (_, host) => linkOf(profile, host));
  for (const [host, link] of links.entries()) checkLink(link, `host ${host}`);
  return links;
}

/**
 * Makes a network of hosts 10.77.0.1, 10.77.0.2, ...; first removes networks whose owners were killed.
 * @throws Error where this machine cannot (networkUnavailable), RangeError for impossible options.
 */
export async function createNetwork(options: NetworkOptions): Promise<Network> {
  const profile = typeof options.profile === "string" ? profileNamed(options.profile) : options.profile;
  const links = checkOptions(options, profile);
  const reason = networkUnavailable();
  if (reason) throw new Error(`no test network: ${reason}`);
  sweepNamespaces();
  const names = namespaceNames(options.hosts);
  const hosts = names.map((namespace, host) => ({
    name: `h${host}`,
    address: `10.77.0.${host + 1}`,
    namespace,
  }));
  const bridge = startBridge(options.seed ?? 1);
  const removeNow = () => {
    bridge.kill();
    removeNamespaces(names);
  };
  register(removeNow);
  const network = openNetwork(profile, hosts, links, bridge, () => unregister(removeNow));
  try {
    addNamespaces(names);
    for (const [host, link] of links.entries()) await bridge.command(hostCommand(link, names[host]!));
    const setUp = (host: Host, link: Link) =>
      setUpHost(host, link, mtuOf(profile), options.congestionControl);
    await Promise.all(hosts.map((host, index) => setUp(host, links[index]!)));
  } catch (error) {
    await network.close();
    throw error;
  }
  return network;
}

function openNetwork(
  profile: Profile,
  hosts: readonly Host[],
  links: readonly Link[],
  bridge: Bridge,
  onClosed: () => void,
): Network {
  const names = hosts.map(({ namespace }) => namespace);
  const children = new Set<ChildProcess>();

  function spawnIn(index: number, command: string, args: readonly string[] = [], options: SpawnOptions = {}) {
    const host = hosts[index];
    if (!host) throw new RangeError(`host is ${index}; this network has ${hosts.length}`);
    const inside = [`--net=${namespacePath(host.namespace)}`, "--", command, ...args];
    const child = spawn("nsenter", inside, options);
    children.add(child);
    child.once("exit", () => children.delete(child));
    child.once("error", () => children.delete(child));
    return child;
  }

  async function command(line: string): Promise<string> {
    const answer = await bridge.command(line);
    const slow = /^\s*slow\s+(\S+)\s+(\S+)/.exec(line);
    if (slow) {
      const slowed = hosts.filter((_, index) => slow[1] === "*" || Number(slow[1]) === index);
      const change = (host: Host) =>
        shell(host.namespace, [uplink(links[hosts.indexOf(host)]!, Number(slow[2]))]);
      await Promise.all(slowed.map(change));
    }
    return answer;
  }

  async function close(): Promise<void> {
    const left = [...children].map((child) => once(child, "exit").catch(() => undefined));
    removeNamespaces(names);
    await Promise.all([...left, bridge.close()]);
    onClosed();
  }

  return {
    profile,
    hosts,
    spawn: spawnIn,
    command,
    stats: async () => JSON.parse(await bridge.command("stats")) as NetworkStats,
    close,
  };
}
