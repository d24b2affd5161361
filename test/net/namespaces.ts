/** Network namespaces of this process: their names, their processes, and the removal of what killed owners left. */
import { execFileSync } from "node:child_process";
import { accessSync, constants, readdirSync, readFileSync, statSync } from "node:fs";

const folder = "/run/netns";
/** Bits of CapEff in /proc/self/status. */
const capabilities = { CAP_NET_ADMIN: 12n, CAP_SYS_ADMIN: 21n };
const NAME = /^gm(\d+)-(\d+)-\d+-h\d+$/;

let networks = 0;

export function namespacePath(name: string): string {
  return `${folder}/${name}`;
}

/** When a process began, in clock ticks since boot, which tells it from a later one of the same id; null if it is gone. */
function beginOf(pid: number | string): string | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The name before it, in parentheses, may hold anything. Field 22 is the 20th after it.
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return ["Z", "X"].includes(fields[0]!) ? null : fields[19]!;
  } catch {
    return null;
  }
}

/** Names for the namespaces of one more network, which carry their owner. */
export function namespaceNames(hosts: number): string[] {
  const network = `gm${process.pid}-${beginOf(process.pid)}-${networks++}`;
  return Array.from({ length: hosts }, (_, host) => `${network}-h${host}`);
}

/** What of this module's namespaces there is on this machine. */
export function listNamespaces(): string[] {
  try {
    return readdirSync(folder).filter((name) => NAME.test(name));
  } catch {
    return [];
  }
}

/** Ids of the processes inside any of the namespaces. */
export function processesIn(names: readonly string[]): number[] {
  const inodes = new Set(names.map((name) => inodeOf(namespacePath(name))));
  inodes.delete(null);
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return pids.filter((pid) => inodes.has(inodeOf(`/proc/${pid}/ns/net`))).map(Number);
}

/** With the device, since /run/netns/<name> is a plain file until the namespace is mounted there. */
function inodeOf(path: string): string | null {
  try {
    const { dev, ino } = statSync(path);
    return `${dev}:${ino}`;
  } catch {
    return null;
  }
}

/** Adds namespaces. */
export function addNamespaces(names: readonly string[]): void {
  batch(names.map((name) => `netns add ${name}`));
}

/** Kills what runs in the namespaces and removes them. */
export function removeNamespaces(names: readonly string[]): void {
  for (const pid of processesIn(names)) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It has just ended.
    }
  }
  const there = new Set(listNamespaces());
  batch(names.filter((name) => there.has(name)).map((name) => `netns del ${name}`));
}

/** Removes the namespaces whose owner is gone; returns their names. */
export function sweepNamespaces(): string[] {
  const stale = listNamespaces().filter((name) => {
    const [, pid, begin] = NAME.exec(name)!;
    return beginOf(pid!) !== begin;
  });
  if (stale.length > 0) removeNamespaces(stale);
  return stale;
}

function batch(lines: readonly string[]): void {
  if (lines.length === 0) return;
  execFileSync("ip", ["-force", "-batch", "-"], { input: `${lines.join("\n")}\n`, stdio: "pipe" });
}

/** Why no network can be made here, or undefined where one can. */
export function networkUnavailable(): string | undefined {
  if (process.platform !== "linux") return "network namespaces are Linux's";
  if (process.getuid?.() !== 0) return "needs root, to make network namespaces";
  const effective = BigInt(`0x${/^CapEff:\s*(\w+)/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1]}`);
  for (const [name, bit] of Object.entries(capabilities))
    if (!((effective >> bit) & 1n)) return `root lacks ${name} here, as in a container without privileges`;
  try {
    accessSync("/dev/net/tun", constants.R_OK | constants.W_OK);
  } catch {
    return "there is no /dev/net/tun";
  }
  for (const [command, option] of [
    ["ip", "-V"],
    ["tc", "-V"],
    ["nsenter", "-V"],
  ] as const) {
    try {
      execFileSync(command, [option], { stdio: "pipe" });
    } catch {
      return `there is no ${command} (Debian: iproute2, util-linux)`;
    }
  }
  return undefined;
}
