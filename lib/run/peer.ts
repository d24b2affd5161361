/** A peer's whole life in a run: it joins, works through views and commits, keeps checkpoints, and ends with the run. */
import { systemClock } from "../base/clock.js";
import { asGradmeshError, type ErrorCode, errorCodes, GradmeshError } from "../base/errors.js";
import type { LoadedCheckpoint } from "../checkpoint/checkpoint.js";
import { createMember, type LiveView, type Member, type MemberMessage } from "../group/member.js";
import { type Commit, GROUP_PROTOCOL, type Notice, type Welcome } from "../group/messages.js";
import { Follower } from "../ledger/follower.js";
import { runRules } from "../ledger/rules/apply.js";
import { native } from "../native/load.js";
import { createHost, type Host } from "../peer/host.js";
import { type Identity, loadIdentity } from "../peer/identity.js";
import { parseTicket } from "../peer/ticket.js";
import { createStrategies } from "../strategy/registry.js";
import type { CheatPlan } from "./cheat.js";
import type { RunConfig } from "./config.js";
import type { EventSink } from "./events.js";
import type { FaultPlan } from "./fault.js";
import { type LastRun, PeerFolder } from "./folder.js";
import { type Lead, lead, openRun } from "./lead.js";
import { createTrainer } from "./replica.js";
import { type LocalOptions, Training } from "./training.js";
import { entryDigest } from "./trust/entry.js";
import { LEDGER_PROTOCOL, LedgerClient } from "./trust/ledger-protocol.js";
import type { RunLedger } from "./trust/run-ledger.js";
import { TrustLead } from "./trust/trust-lead.js";

export interface PeerOptions {
  /** Key, journal and checkpoints; made when it is not there. */
  folder: string;
  /** The first peer starts the run by its config; another joins by the ticket. */
  role: { kind: "first"; config: RunConfig } | { kind: "join"; ticket: string };
  /** What this peer decides for itself, given the run's config. */
  local(config: RunConfig): LocalOptions;
  /** The address to listen on before the run's config is known. */
  listen: { host: string; port: number; advertiseHost: string | null; dialable: boolean };
  checkpoint: LoadedCheckpoint | null;
  fault: FaultPlan | null;
  cheat: CheatPlan | null;
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

/** How long the coordinator may stay away before its welcome tells the run's own limit. */
const RECONNECT_LIMIT_MS = 60_000;

class Peer {
  readonly #options: PeerOptions;
  readonly #folder: PeerFolder;
  #identity: Identity | null = null;
  #host: Host | null = null;
  #lead: Lead | null = null;
  /** Of a verified run. */
  #ledger: RunLedger | null = null;
  #closeLedger: () => Promise<void> = async () => {};
  #member: Member | null = null;
  #training: Training | null = null;
  #runId = "";
  /** What the folder remembers of this run. */
  #last: LastRun | null = null;
  /** The work on views, one after the other. */
  #working: Promise<void> = Promise.resolve();
  #failure: unknown = null;

  constructor(options: PeerOptions) {
    this.#options = options;
    this.#folder = new PeerFolder(options.folder);
  }

  async run(): Promise<PeerResult> {
    const { signal } = this.#options;
    const onAbort = () => {
      if (this.#lead === null) this.#leave();
      else void this.#member?.close();
    };
    try {
      await this.#open();
      signal.addEventListener("abort", onAbort);
      if (signal.aborted) onAbort();
      return await this.#loop(this.#member!.messages());
    } finally {
      signal.removeEventListener("abort", onAbort);
      await this.#close().finally(() => this.#folder.release());
    }
  }

  #leave(): void {
    const reason = "for the end of the round, to leave the run";
    this.#options.emit({ type: "waiting", peer: this.#host!.peerId, reason });
    this.#member!.leave();
  }

  /** The run's config, as far as it is known. */
  get #config(): RunConfig | null {
    const { role } = this.#options;
    return role.kind === "first" ? role.config : (this.#training?.config ?? null);
  }

  /** Key, host, coordinator or the way to it. */
  async #open(): Promise<void> {
    const { role, listen, checkpoint, emit } = this.#options;
    await this.#folder.prepare();
    this.#folder.claim();
    const identity = await loadIdentity(this.#folder.identity);
    this.#identity = identity;
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
    this.#last = { runId: this.#runId, controlPort, leads: role.kind === "first", over: false };
    await this.#folder.remember(this.#last);
    this.#member = createMember({
      ...link,
      runId: this.#runId,
      standing: () => ({
        recipeDigest: this.#training?.recipe ?? null,
        addresses: host.addresses(),
        dialable: this.#options.listen.dialable,
        samples: this.#training?.replica.samples ?? 1,
        ...(this.#training?.replica.standing ?? { round: -1, stateDigest: null }),
      }),
      clock: systemClock,
      reconnectLimitMs: () => this.#config?.network.reconnectLimitMs ?? RECONNECT_LIMIT_MS,
    });
    if (this.#failure !== null) throw this.#failure;
    if (this.#lead !== null) emit({ type: "ticket", peer: host.peerId, ticket: this.#lead.ticket });
  }

  async #startRun(config: RunConfig) {
    const { checkpoint } = this.#options;
    const manifest = checkpoint?.manifest ?? null;
    const journal = await openRun(this.#folder, this.#identity!, config, manifest);
    this.#runId = journal.charter.runId;
    const onFailure = (error: unknown) => void this.#fail(error);
    const trust = journal.charter.ledgerId === null ? null : await this.#openLedger(config, onFailure);
    const leading = await lead({ journal, host: this.#host!, trust, onFailure });
    this.#lead = leading;
    this.#ledger = trust?.ledger ?? null;
    return {
      secret: journal.secret,
      address: "this process",
      connect: async () => leading.connect(),
    };
  }

  /** Of a verified run that this peer leads. */
  #openLedger(config: RunConfig, onFailure: (error: unknown) => void): Promise<TrustLead> {
    const { trust, rounds, trainer } = config;
    return TrustLead.open({
      path: this.#folder.ledger(this.#runId),
      identity: this.#identity!,
      clock: systemClock,
      pool: BigInt(trust.reward) * BigInt(rounds),
      grant: BigInt(trust.grant),
      emit: this.#options.emit,
      onFailure,
      entryOf: async (ledgerId, account) => {
        const options = { config, shard: 0, threads: trainer.threads, folder: process.cwd() };
        const replayer = await createTrainer(options, createStrategies(config.strategy));
        const digest = entryDigest({ ledgerId, account, trainer: replayer, device: "cpu" });
        return digest.finally(() => replayer.close());
      },
    });
  }

  /** Another peer's way to the ledger of the run that it joins. */
  #followLedger(ledgerId: string): RunLedger {
    const { role } = this.#options;
    const ticket = parseTicket(role.kind === "join" ? role.ticket : "");
    const identity = this.#identity!;
    const rules = runRules;
    const follower = Follower.open({ path: this.#folder.ledger(this.#runId), ledgerId, rules });
    const client = new LedgerClient({
      follower,
      rules,
      identity,
      clock: systemClock,
      random: Math.random,
      connect: (signal) => this.#host!.connect(ticket, LEDGER_PROTOCOL, signal),
      onFailure: (error) => void this.#fail(error),
    });
    this.#closeLedger = async () => {
      await client.close();
      await follower.close();
    };
    return client;
  }

  #wayTo(text: string) {
    const ticket = parseTicket(text);
    this.#runId = ticket.runId;
    const host = this.#host!;
    return {
      secret: Buffer.from(ticket.secret).toString("base64url"),
      address: ticket.addresses[0]!,
      connect: (signal: AbortSignal) => host.connect(ticket, GROUP_PROTOCOL, signal),
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
        const { epoch, round, members, sync, links } = message;
        emit({
          type: "view",
          peer,
          epoch,
          round,
          members: members.map((m) => m.peerId),
          source: sync?.source ?? null,
          links,
        });
        this.#working = this.#working.then(() => this.#work(message));
      }
    }
    if (this.#failure !== null) throw this.#failure;
    signal.throwIfAborted();
    throw new GradmeshError("ERR_CLOSED", "the connection to the coordinator ended");
  }

  async #work(view: LiveView): Promise<void> {
    try {
      await this.#training!.work(view);
    } catch (error) {
      // For the others this peer is lost.
      await this.#fail(error);
    }
  }

  /** This peer cannot go on; the loop ends with the reason. */
  async #fail(error: unknown): Promise<void> {
    this.#failure ??= error;
    await this.#member?.close();
  }

  async #welcome(welcome: Welcome): Promise<void> {
    const { local, checkpoint, fault, cheat, emit } = this.#options;
    const host = this.#host!;
    const training = await Training.begin(
      {
        runId: this.#runId,
        host,
        member: this.#member!,
        checkpoints: this.#folder.checkpoints,
        local,
        checkpoint,
        fault,
        cheat,
        emit,
      },
      welcome,
    );
    this.#training = training;
    if (welcome.ledgerId !== null) {
      this.#ledger ??= this.#followLedger(welcome.ledgerId);
      await training.join(this.#ledger, this.#options.signal);
    }
    const { replica } = training;
    const peer = host.peerId;
    const { backend } = JSON.parse(native.capabilities()) as { backend: string };
    const { round } = replica.standing;
    const { device } = local(training.config);
    emit({
      type: "started",
      peer,
      pid: process.pid,
      runId: this.#runId,
      shard: replica.shard,
      round,
      rounds: training.config.rounds,
      parameters: replica.parameters,
      backend: device === "cpu" ? backend : `${device}, ${backend}`,
    });
    for (const { warnings } of replica.engine.strategies)
      for (const reason of warnings?.(training.config.rounds) ?? [])
        emit({ type: "warning", peer, round: Math.max(0, round), code: "ERR_CONFIG", reason });
    if (this.#lead !== null && round >= 0)
      emit({ type: "evaluated", peer, round, validationLoss: await replica.evaluate() });
    this.#member!.hello();
  }

  async #commit(commit: Commit): Promise<void> {
    await this.#working;
    const training = this.#training!;
    const event = await training.commit(commit);
    const trust = this.#lead?.trust ?? null;
    if (trust !== null) trust.applied(commit.round, await training.parametersDigest());
    this.#options.emit(event);
    const { peer, round, trainLoss, validationLoss, bytesSent, seconds } = event;
    this.#member!.applied({
      round: commit.round,
      stateDigest: training.replica.standing.stateDigest ?? "",
      metrics: {
        ...(trainLoss === null ? {} : { trainLoss }),
        validationLoss,
        bytesSent,
        seconds: seconds.train + seconds.sync + seconds.apply,
      },
    });
    // The next view waits in the queue meanwhile, so nothing changes the tensors while they are written.
    try {
      const path = await training.keepCheckpoint(commit.epoch);
      if (path !== null) this.#options.emit({ type: "checkpoint", peer, round, path });
    } catch (error) {
      // A full disk costs this checkpoint, not the run: the others hold the state, and older checkpoints stay.
      const { code, message } = asGradmeshError(error);
      if (code !== "ERR_IO") throw error;
      this.#options.emit({ type: "warning", peer, round, code, reason: message });
    }
  }

  #tell(notice: Notice): void {
    if (notice.kind !== "membership") return;
    for (const { peerId, change, reason } of notice.changes)
      this.#options.emit({ type: "membership", change, subject: peerId, reason, epoch: notice.epoch });
  }

  async #end(reason: string, code: string | null): Promise<PeerResult> {
    // A view that the end has cut off still tells how it ended.
    await this.#working;
    this.#training?.quiet();
    if (code !== null) {
      const known = Object.hasOwn(errorCodes, code) ? (code as ErrorCode) : "ERR_RUN_ENDED";
      throw new GradmeshError(known, reason);
    }
    const replica = this.#training?.replica;
    const { round } = replica?.standing ?? this.#lead?.record ?? { round: -1 };
    const stateDigest = replica?.ownDigest ?? this.#lead?.record.stateDigest ?? "";
    this.#options.emit({ type: "ended", peer: this.#host!.peerId, reason, round, stateDigest });
    return { reason, round, stateDigest };
  }

  async #close(): Promise<void> {
    await this.#member?.close();
    const over = await this.#lead?.close();
    // Where this cannot be kept, the next start only tells the end once more.
    if (over === true) await this.#folder.remember({ ...this.#last!, over }).catch(() => {});
    await this.#training?.disconnect();
    await this.#working;
    await this.#training?.close();
    await this.#closeLedger();
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
