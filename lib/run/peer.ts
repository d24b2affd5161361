/** A peer's whole life in a run: it joins, works through views and commits, keeps checkpoints, and ends with the run. */
import { systemClock } from "../base/clock.js";
import { type ErrorCode, errorCodes, GradmeshError } from "../base/errors.js";
import { type LoadedCheckpoint, saveCheckpoint } from "../checkpoint/checkpoint.js";
import { type BulkLinks, createBulkLinks } from "../group/links.js";
import { createMember, type Member, type MemberMessage } from "../group/member.js";
import { type Commit, GROUP_PROTOCOL, type Notice, type Welcome } from "../group/messages.js";
import { native } from "../native/load.js";
import { createHost, type Host } from "../peer/host.js";
import { loadIdentity } from "../peer/identity.js";
import { parseTicket } from "../peer/ticket.js";
import { createReducer } from "../reduce/all-reduce.js";
import { Endpoint } from "../reduce/endpoint.js";
import { parseConfig, type RunConfig, runRecipe } from "./config.js";
import type { EventSink } from "./events.js";
import { Exchange, type FaultPlan } from "./exchange.js";
import { PeerFolder } from "./folder.js";
import { type Lead, lead, openRun } from "./lead.js";
import { Replica } from "./replica.js";

/** What is each peer's own, and no part of the run's recipe. */
export interface LocalOptions {
  network: RunConfig["network"];
  threads: number;
  checkpoint: RunConfig["checkpoint"];
}

export interface PeerOptions {
  /** Key, journal and checkpoints; made when it is not there. */
  folder: string;
  /** The first peer starts the run by its config; another joins by the ticket. */
  role: { kind: "first"; config: RunConfig } | { kind: "join"; ticket: string };
  /** What this peer decides for itself, given the run's config. */
  local(config: RunConfig): LocalOptions;
  /** The address to listen on before the run's config is known. */
  listen: { host: string; port: number; advertiseHost: string | null };
  checkpoint: LoadedCheckpoint | null;
  fault: FaultPlan | null;
  emit: EventSink;
  /** Aborts to leave the run at the next boundary; the first peer stops at once, and can be started again. */
  signal: AbortSignal;
}

/** How the run ended for this peer. */
export interface PeerResult {
  reason: string;
  round: number;
  stateDigest: string;
}

/** What the welcome makes possible. */
interface Training {
  config: RunConfig;
  /** Digest of what all peers must have in common. */
  recipe: string;
  local: LocalOptions;
  replica: Replica;
  endpoint: Endpoint;
  links: BulkLinks;
  exchange: Exchange;
  stateDigest: string;
}

class Peer {
  readonly #options: PeerOptions;
  readonly #folder: PeerFolder;
  #host: Host | null = null;
  #lead: Lead | null = null;
  #member: Member | null = null;
  #training: Training | null = null;
  #runId = "";
  /** The work on views, one after the other. */
  #working: Promise<void> = Promise.resolve();
  #failure: unknown = null;
  #shards: { peerId: string; shard: number }[] = [];

  constructor(options: PeerOptions) {
    this.#options = options;
    this.#folder = new PeerFolder(options.folder);
  }

  async run(): Promise<PeerResult> {
    const { signal } = this.#options;
    const onAbort = () => {
      if (this.#lead === null) this.#member?.leave();
      else void this.#member?.close();
    };
    try {
      await this.#open();
      signal.addEventListener("abort", onAbort);
      if (signal.aborted) onAbort();
      return await this.#loop(this.#member!.messages());
    } finally {
      signal.removeEventListener("abort", onAbort);
      await this.#close();
    }
  }

  /** Key, host, coordinator or the way to it. */
  async #open(): Promise<void> {
    const { role, listen, checkpoint, emit } = this.#options;
    await this.#folder.prepare();
    const identity = await loadIdentity(this.#folder.identity);
    const last = await this.#folder.last();
    // A restarted peer must be found where it was; a port that was asked for by name goes first.
    const port = listen.port !== 0 ? listen.port : (last?.controlPort ?? 0);
    const host = await createHost({
      identity,
      listen: { host: listen.host, port },
      ...(listen.advertiseHost === null ? {} : { advertiseHost: listen.advertiseHost }),
    });
    this.#host = host;
    if (checkpoint !== null && checkpoint.manifest.peerId !== host.peerId)
      throw new GradmeshError(
        "ERR_CHECKPOINT",
        `${checkpoint.folder} belongs to peer ${checkpoint.manifest.peerId}, and the key in ${this.#folder.path} is of ${host.peerId}; resume in the folder of that peer`,
      );
    const link = role.kind === "first" ? await this.#startRun(role.config) : this.#wayTo(role.ticket);
    const controlPort = Number(/\/tcp\/(\d+)/.exec(host.addresses()[0] ?? "")?.[1]);
    await this.#folder.remember({ runId: this.#runId, controlPort, leads: role.kind === "first" });
    this.#member = createMember({
      ...link,
      runId: this.#runId,
      standing: () => ({
        recipeDigest: this.#training?.recipe ?? null,
        addresses: host.addresses(),
        round: this.#training?.replica.round ?? -1,
        stateDigest: this.#holdsState() ? this.#training!.stateDigest : null,
      }),
      clock: systemClock,
      reconnectLimitMs: link.reconnectLimitMs,
    });
    if (this.#lead !== null) emit({ type: "ticket", peer: host.peerId, ticket: this.#lead.ticket });
  }

  #holdsState(): boolean {
    return this.#training !== null && this.#training.replica.round >= 0;
  }

  async #startRun(config: RunConfig) {
    const { checkpoint } = this.#options;
    const journal = await openRun(this.#folder, config, checkpoint?.manifest ?? null);
    this.#runId = journal.charter.runId;
    const leading = await lead(journal, this.#host!, () => {});
    this.#lead = leading;
    return {
      secret: journal.secret,
      address: "this process",
      connect: async () => leading.connect(),
      reconnectLimitMs: config.network.reconnectLimitMs,
    };
  }

  #wayTo(text: string) {
    const ticket = parseTicket(text);
    this.#runId = ticket.runId;
    const host = this.#host!;
    return {
      secret: Buffer.from(ticket.secret).toString("base64url"),
      address: ticket.addresses[0]!,
      connect: (signal: AbortSignal) => host.connect(ticket, GROUP_PROTOCOL, signal),
      // The run's own limit is not known before the welcome.
      reconnectLimitMs: 60_000,
    };
  }

  async #loop(messages: AsyncIterable<MemberMessage>): Promise<PeerResult> {
    const { emit, signal } = this.#options;
    const peer = this.#host!.peerId;
    for await (const message of messages) {
      if (message.type === "welcome") await this.#welcome(message);
      else if (message.type === "wait") emit({ type: "waiting", peer, reason: message.reason });
      else if (message.type === "notice") this.#tell(message.notice);
      else if (message.type === "commit") await this.#commit(message);
      else if (message.type === "end") return await this.#end(message.reason, message.code);
      else {
        const { epoch, round, members, sync } = message;
        this.#shards = members.map(({ peerId, shard }) => ({ peerId, shard }));
        emit({
          type: "view",
          peer,
          epoch,
          round,
          members: members.map((m) => m.peerId),
          source: sync?.source ?? null,
        });
        this.#working = this.#working.then(() => this.#work(message));
      }
    }
    if (this.#failure !== null) throw this.#failure;
    signal.throwIfAborted();
    throw new GradmeshError("ERR_CLOSED", "the connection to the coordinator ended");
  }

  async #work(view: Parameters<Exchange["run"]>[0]): Promise<void> {
    try {
      const training = this.#training!;
      const self = this.#host!.peerId;
      const shard = view.members.find(({ peerId }) => peerId === self)?.shard;
      if (shard !== undefined && shard !== training.replica.shard) await this.#changeShard(shard);
      await training.exchange.run(view);
      if (view.sync?.targets.includes(self)) training.stateDigest = await training.replica.digest();
    } catch (error) {
      // This peer cannot go on; the loop ends with the reason, and the others with a lost peer.
      this.#failure = error;
      await this.#member!.close();
    }
  }

  /** Another peer reads this one's shard since it was away; it goes on with another, and a fresh inner optimizer. */
  async #changeShard(shard: number): Promise<void> {
    const training = this.#training!;
    const { config, local, replica: old } = training;
    training.replica = await Replica.create({ config, shard, threads: local.threads, folder: process.cwd() });
    if (old.round < 0) training.replica.forget();
    else
      await training.replica.adopt(old.round, async (shared) => {
        for (const [index, tensor] of shared.entries()) tensor.set(old.shared[index]!);
      });
    training.exchange = this.#exchangeOf(training);
    await old.close();
  }

  #exchangeOf({ config, replica, endpoint, links }: Omit<Training, "exchange">): Exchange {
    return new Exchange({
      replica,
      reducer: createReducer({ endpoint, links }),
      endpoint,
      member: this.#member!,
      self: this.#host!.peerId,
      network: config.network,
      fault: this.#options.fault,
      emit: this.#options.emit,
    });
  }

  async #welcome({ config: told, shard, round }: Welcome): Promise<void> {
    const { checkpoint, emit } = this.#options;
    const config = parseConfig(told, "the run's config");
    const local = this.#options.local(config);
    const replica = await Replica.create({ config, shard, threads: local.threads, folder: process.cwd() });
    if (checkpoint !== null) await replica.restore(checkpoint);
    else if (round !== 0) replica.forget();
    const host = this.#host!;
    const endpoint = new Endpoint({
      host: local.network.host,
      port: local.network.bulkPort,
      silenceLimitMs: local.network.silenceLimitMs,
      encryption: config.network.encryption,
    });
    const links = await createBulkLinks({
      host,
      endpoint,
      runId: this.#runId,
      encryption: config.network.encryption,
    });
    const recipe = runRecipe(config, replica.fingerprint);
    const stateDigest = replica.round >= 0 ? await replica.digest() : "";
    const training = { config, recipe, local, replica, endpoint, links, stateDigest };
    this.#training = { ...training, exchange: this.#exchangeOf(training) };
    const { backend } = JSON.parse(native.capabilities()) as { backend: string };
    const { parameters } = replica;
    emit({
      type: "started",
      peer: host.peerId,
      pid: process.pid,
      runId: this.#runId,
      shard,
      round: replica.round,
      parameters,
      backend,
    });
    if (this.#lead !== null && replica.round >= 0)
      emit({
        type: "evaluated",
        peer: host.peerId,
        round: replica.round,
        validationLoss: await replica.evaluate(),
      });
    this.#member!.hello();
  }

  async #commit({ epoch, round, contributors }: Commit): Promise<void> {
    const { emit } = this.#options;
    await this.#working;
    const training = this.#training!;
    const { replica, exchange } = training;
    const account = exchange.account;
    const committedAt = performance.now();
    await replica.apply();
    training.stateDigest = await replica.digest();
    const validationLoss = await replica.evaluate();
    const trained = account.trained;
    const trainLoss = trained?.loss ?? Number.NaN;
    const seconds = {
      train: trained?.seconds ?? 0,
      sync: trained === null ? 0 : (committedAt - account.trainedAt) / 1000,
      reduce: account.reduceSeconds,
      apply: (performance.now() - committedAt) / 1000,
    };
    const { bytesSent, bytesRetried } = account;
    emit({
      type: "round",
      peer: this.#host!.peerId,
      epoch,
      round: replica.round,
      contributors,
      trainLoss,
      validationLoss,
      bytesSent,
      bytesRetried,
      seconds,
      stateDigest: training.stateDigest,
    });
    this.#member!.applied({
      round,
      stateDigest: training.stateDigest,
      metrics: {
        trainLoss,
        validationLoss,
        bytesSent,
        seconds: seconds.train + seconds.sync + seconds.apply,
      },
    });
    await this.#keepCheckpoint(epoch);
  }

  /** The next view waits in the queue meanwhile, so nothing changes the tensors while they are written. */
  async #keepCheckpoint(epoch: number): Promise<void> {
    const { config, local, replica, stateDigest } = this.#training!;
    const { everyRounds, keep } = local.checkpoint;
    const { round } = replica;
    if (everyRounds === 0 || (round % everyRounds !== 0 && round !== config.rounds)) return;
    const peerId = this.#host!.peerId;
    const { folder } = await saveCheckpoint(
      this.#folder.checkpoints,
      {
        state: {
          runId: this.#runId,
          config,
          peerId,
          shard: replica.shard,
          round,
          epoch,
          step: replica.step,
          members: this.#shards,
          stateDigest,
          random: replica.random,
          createdBy: `gradmesh ${native.version()}`,
        },
        ...replica.tensors(),
      },
      { keep },
    );
    this.#options.emit({ type: "checkpoint", peer: peerId, round, path: folder });
  }

  #tell(notice: Notice): void {
    if (notice.kind !== "membership") return;
    for (const { peerId, change, reason } of notice.changes)
      this.#options.emit({ type: "membership", change, subject: peerId, reason, epoch: notice.epoch });
  }

  async #end(reason: string, code: string | null): Promise<PeerResult> {
    if (code !== null) {
      const known = Object.hasOwn(errorCodes, code) ? (code as ErrorCode) : "ERR_RUN_ENDED";
      throw new GradmeshError(known, reason);
    }
    const round = this.#training?.replica.round ?? -1;
    const stateDigest = this.#training?.stateDigest ?? "";
    this.#options.emit({ type: "ended", peer: this.#host!.peerId, reason, round, stateDigest });
    return { reason, round, stateDigest };
  }

  async #close(): Promise<void> {
    await this.#member?.close();
    await this.#lead?.close();
    await this.#training?.links.close();
    this.#training?.endpoint.close();
    await this.#working;
    await this.#training?.replica.close();
    await this.#host?.close();
  }
}

/**
 * Takes part in a run until it ends.
 * @throws the code of what ended it otherwise: ERR_UNREACHABLE, ERR_REFUSED, ERR_DIVERGED, ERR_CONFIG, ERR_CHECKPOINT,
 * ERR_IO; the signal's reason after an abort of the first peer.
 */
export function runPeer(options: PeerOptions): Promise<PeerResult> {
  return new Peer(options).run();
}
