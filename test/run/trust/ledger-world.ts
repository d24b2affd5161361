/** A sequencer, its server and peers that follow it, over channels that a test can cut, count and change. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Clock, systemClock } from "../../../lib/base/clock.js";
import { GradmeshError } from "../../../lib/base/errors.js";
import type { Account, LedgerEvent } from "../../../lib/ledger/events.js";
import { Follower } from "../../../lib/ledger/follower.js";
import { Sequencer } from "../../../lib/ledger/ledger.js";
import { accountOfPeerId, signerOf } from "../../../lib/ledger/sign.js";
import type { Channel } from "../../../lib/peer/channel.js";
import { generateIdentity, type Identity } from "../../../lib/peer/identity.js";
import { channelPair } from "../../../lib/peer/memory-channel.js";
import {
  LedgerClient,
  LedgerServer,
  type LedgerServerOptions,
} from "../../../lib/run/trust/ledger-protocol.js";
import { genesis, type TinyEffect, type TinyState, tinyRules } from "../../ledger/tiny-rules.js";

export type Client = LedgerClient<TinyState, TinyEffect>;

/** What a test does to one connection. */
export interface Wire {
  /** Called with each message before it is sent; false loses it, and the connection with it. */
  toServer?(message: unknown): boolean | Promise<boolean>;
  /** Called after the message was sent; false cuts the connection. */
  toClient?(message: unknown): boolean;
}

export interface PeerOptions {
  clock?: Clock;
  identity?: Identity;
  path?: string;
  wire?: (connection: number) => Wire;
  /** Instead of the world's server. */
  serve?: (channel: Channel) => unknown;
  reconnectLimitMs?: number;
  onFailure?: (error: GradmeshError) => void;
}

/** One end of a channel, whose messages pass through a wire. */
function wired(
  channel: Channel,
  pass: (message: unknown) => boolean | Promise<boolean>,
  lose: boolean,
): Channel {
  return {
    remote: channel.remote,
    closed: channel.closed,
    messages: () => channel.messages(),
    close: () => channel.close(),
    async send(message) {
      if (!lose) await channel.send(message);
      if (await pass(message)) {
        if (lose) await channel.send(message);
        return;
      }
      await channel.close();
      throw new GradmeshError("ERR_CLOSED", "the test cut the connection");
    },
  };
}

export class World {
  readonly folder = mkdtempSync(join(tmpdir(), "gradmesh-ledger-"));
  readonly leader = generateIdentity();
  readonly sequencer: Sequencer<TinyState, TinyEffect>;
  server: LedgerServer;
  /** Connections that peers have made, and their far ends. */
  connections: Channel[] = [];
  readonly #clients: { client: Client; follower: Follower<TinyState, TinyEffect> }[] = [];

  constructor(options: Partial<LedgerServerOptions> = {}) {
    this.sequencer = Sequencer.open({
      path: join(this.folder, "sequencer.sqlite"),
      signer: signerOf(this.leader),
      clock: systemClock,
      rules: tinyRules,
      genesis,
      threads: 0,
    });
    this.server = this.serverOf(options);
  }

  serverOf(options: Partial<LedgerServerOptions> = {}): LedgerServer {
    return new LedgerServer({
      sequencer: this.sequencer,
      isMember: () => true,
      clock: systemClock,
      ...options,
    });
  }

  /** A new follower in a file of its own, or of a file that is there. */
  follower(path = join(this.folder, `follower-${this.#clients.length}.sqlite`)) {
    return Follower.open({ path, ledgerId: this.sequencer.ledgerId, rules: tinyRules, threads: 0 });
  }

  peer(options: PeerOptions = {}): Client & { follower: Follower<TinyState, TinyEffect> } {
    const identity = options.identity ?? generateIdentity();
    const follower = this.follower(options.path);
    let connection = 0;
    const client = new LedgerClient<TinyState, TinyEffect>({
      follower,
      rules: tinyRules,
      identity,
      clock: options.clock ?? systemClock,
      random: () => 0,
      limits: { reconnectLimitMs: options.reconnectLimitMs ?? 20_000 },
      ...(options.onFailure === undefined ? {} : { onFailure: options.onFailure }),
      connect: async () => {
        const wire = options.wire?.(connection++) ?? {};
        const [near, far] = channelPair(identity.peerId, this.leader.peerId);
        this.connections.push(far);
        const serve = options.serve ?? ((channel) => this.server.serve(channel));
        void serve(wired(far, (message) => wire.toClient?.(message) ?? true, false));
        return wired(near, (message) => wire.toServer?.(message) ?? true, true);
      },
    });
    this.#clients.push({ client, follower });
    return Object.assign(client, { follower });
  }

  balanceOf(peerId: string): bigint {
    return this.sequencer.state.balances.get(accountOfPeerId(peerId)) ?? 0n;
  }

  async end(): Promise<void> {
    for (const { client, follower } of this.#clients) {
      await client.close();
      await follower.close();
    }
    await this.server.close();
    await this.sequencer.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A world for one test, ended with it. */
export async function inWorld(work: (world: World) => Promise<void>): Promise<void> {
  const world = new World();
  try {
    await work(world);
  } finally {
    await world.end();
  }
}

export const deposit = (account: Account, amount: bigint): LedgerEvent => ({
  kind: "Deposited",
  account,
  amount,
});
export const balance = (account: Account) => (state: TinyState) => state.balances.get(account) ?? 0n;

/** Lets whatever is ready go on once. */
export const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
