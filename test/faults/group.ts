/** Fault peers that are linked each with each, on loopback or on hosts of a test network. */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { Network } from "../net/network.js";
import { type Ended, FaultPeer, type Resources, type Words } from "./peer.js";

/** Ticket and two keys. */
const SECRET_BYTES = 96;
/** What is given back takes a moment. */
const SETTLE_LIMIT_MS = 5000;
const SETTLE_POLL_MS = 5;

const built = (tree: string) =>
  fileURLToPath(new URL(`../../../${tree}/test/net/net_fault_peer`, import.meta.url));

/** The program; GRADMESH_FAULT_PEER names another. */
export const faultProgram = process.env.GRADMESH_FAULT_PEER ?? built("build");
/** The same under AddressSanitizer and UBSan, where it has been built. */
export const sanitizedProgram = existsSync(built("build/sanitize")) ? built("build/sanitize") : null;

export interface GroupOptions {
  readonly program: string;
  readonly seed: number;
  readonly silenceMs: number;
  readonly encrypted: boolean;
  readonly streams: number;
  /** Peers are on its hosts; absent: on loopback. */
  readonly network?: Network | undefined;
}

export class Group {
  readonly #options: GroupOptions;
  readonly peers = new Map<number, FaultPeer>();
  readonly #ports = new Map<number, number>();
  readonly #before = new Map<number, Resources>();
  /** What each peer had before it had an endpoint. */
  readonly #bare = new Map<number, Resources>();

  constructor(options: GroupOptions) {
    this.#options = options;
  }

  peer(name: number): FaultPeer {
    return this.peers.get(name)!;
  }

  #addressOf(name: number): string {
    return this.#options.network?.hosts[name]?.address ?? "127.0.0.1";
  }

  /** Starts a peer with an endpoint and no links. */
  async start(name: number): Promise<void> {
    const { program, seed, silenceMs, encrypted, network } = this.#options;
    const args = [String(name), String(seed)];
    const stdio = { stdio: "pipe" } as const;
    const child = network ? network.spawn(name, program, args, stdio) : spawn(program, args, stdio);
    const peer = new FaultPeer(child, name);
    this.peers.set(name, peer);
    this.#bare.set(name, await peer.do<Resources & { code: string }>("resources"));
    const words = { host: this.#addressOf(name), silence: silenceMs, encrypted: Number(encrypted) };
    const { port } = await peer.do<{ code: string; port: number }>("open", words);
    this.#ports.set(name, port);
    this.#before.set(name, await peer.do<Resources & { code: string }>("resources"));
  }

  /** Links two peers; through a proxy of the dialer's where that may do harm. */
  async link(dialer: number, acceptor: number, proxied = false): Promise<void> {
    const secrets = randomBytes(SECRET_BYTES).toString("hex");
    const { streams } = this.#options;
    await this.peer(acceptor).do("expect", { peer: dialer, secrets, streams });
    const host = this.#addressOf(acceptor);
    const target = { peer: acceptor, host, port: this.#ports.get(acceptor)!, secrets, streams };
    await Promise.all([
      this.peer(dialer).do("dial", { ...target, proxy: Number(proxied) }),
      this.peer(acceptor).do("ready", { peer: dialer }),
    ]);
  }

  /** Links each with each; `dialer` dials all others, through proxies where `proxied`. */
  async linkAll(names: readonly number[], dialer: number, proxied: boolean): Promise<void> {
    const links: Promise<void>[] = [];
    for (const [at, low] of names.entries())
      for (const high of names.slice(at + 1)) {
        const [from, to] = low === dialer ? [low, high] : [high, low];
        links.push(this.link(from, to, proxied && from === dialer));
      }
    await Promise.all(links);
  }

  async unlink(name: number, others: readonly number[]): Promise<void> {
    await Promise.all(others.map((other) => this.peer(name).do("unlink", { peer: other })));
  }

  /** Posts an operation at one peer; its end. */
  post(name: number, words: Words): Promise<Ended> {
    return this.peer(name).ask<Ended>("run", words);
  }

  /** Runs an operation among members; their ends, in order. */
  run(members: readonly number[], words: Words): Promise<Ended[]> {
    return Promise.all(members.map((member) => this.post(member, { ...words, members: members.join() })));
  }

  /** What peers without links still hold beyond what they began with; descriptors and threads. */
  async leaks(names: readonly number[]): Promise<string[]> {
    return (await Promise.all(names.map((name) => this.#leaksOf(name)))).flat();
  }

  async #leaksOf(name: number): Promise<string[]> {
    const held = await this.#settle(name, this.#before.get(name)!);
    await this.peer(name).do("close");
    const left = await this.#settle(name, this.#bare.get(name)!);
    return [...held, ...left.map((problem) => `${problem}, its endpoint closed`)];
  }

  /** Waits until a peer holds no more than before. */
  async #settle(name: number, before: Resources): Promise<string[]> {
    const more = (now: Resources) =>
      (["descriptors", "threads"] as const).filter((kind) => now[kind] > before[kind]);
    const ask = () => this.peer(name).do<Resources & { code: string }>("resources");
    let now = await ask();
    for (const end = performance.now() + SETTLE_LIMIT_MS; more(now).length > 0; now = await ask()) {
      if (performance.now() > end) break;
      await sleep(SETTLE_POLL_MS);
    }
    return more(now).map((kind) => `peer ${name} has ${now[kind]} ${kind} where it had ${before[kind]}`);
  }

  /** Ends every peer by itself; why some did not end well. */
  async exit(names: readonly number[]): Promise<string[]> {
    const reasons = await Promise.all(names.map((name) => this.peer(name).exit()));
    return reasons.filter((reason) => reason !== null);
  }

  /** Kills what is left. */
  async close(): Promise<void> {
    await Promise.all([...this.peers.values()].map((peer) => peer.kill()));
  }
}
