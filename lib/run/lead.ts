/** The run's first peer leads it: it hosts the coordinator, whose journal lets a restarted one go on. */
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { systemClock } from "../base/clock.js";
import { GradmeshError } from "../base/errors.js";
import type { CheckpointManifest } from "../checkpoint/checkpoint.js";
import { listRounds } from "../checkpoint/rounds.js";
import { type CoordinatorHost, createCoordinatorHost } from "../group/coordinator-host.js";
import { createJournal, type Journal, openJournal } from "../group/journal.js";
import { GROUP_PROTOCOL } from "../group/messages.js";
import { type Charter, defaultRunSettings, type RunRecord } from "../group/record.js";
import type { Channel } from "../peer/channel.js";
import type { Host } from "../peer/host.js";
import type { Identity } from "../peer/identity.js";
import { channelPair } from "../peer/memory-channel.js";
import { formatTicket, SECRET_BYTES } from "../peer/ticket.js";
import { type RunConfig, runRecipe } from "./config.js";
import type { PeerFolder } from "./folder.js";
import { freshDigests, runFingerprint } from "./replica.js";
import { LEDGER_PROTOCOL, LedgerServer } from "./trust/ledger-protocol.js";
import { termsOf } from "./trust/terms.js";
import { foundLedger, type TrustLead } from "./trust/trust-lead.js";

/** Beats a peer may miss before it counts as silent. */
const BEATS_PER_SILENCE = 5;
/** How long the end of the run may take to reach every member. */
const FAREWELL_LIMIT_MS = 3000;

/** The run's id: 64 bits of its recipe, 64 of chance. */
function newRunId(recipe: string): string {
  return `${recipe.slice(0, 16)}${randomBytes(8).toString("hex")}`;
}

function charterOf(
  runId: string,
  recipe: string,
  config: RunConfig,
  from: CheckpointManifest | null,
  ledgerId: string | null,
): Charter {
  const { network, rounds, peersMin, peersMax } = config;
  return {
    runId,
    recipeDigest: recipe,
    // Through JSON, so that what the journal keeps is what peers are told.
    config: JSON.parse(JSON.stringify(config)),
    settings: {
      ...defaultRunSettings,
      rounds,
      peersMin: from === null ? peersMin : Math.max(1, from.members.length),
      peersMax,
      beatMs: network.silenceLimitMs / BEATS_PER_SILENCE,
      silenceLimitMs: network.silenceLimitMs,
      roundLimitMs: network.roundLimitMs,
      slowLimitMs: network.slowLimitMs,
      syncLimitMs: network.operationLimitMs,
      recoverLimitMs: network.recoverLimitMs,
    },
    ledgerId,
    start: { round: from?.round ?? 0, stateDigest: from?.stateDigest ?? null },
  };
}

/**
 * The journal to lead from: that of the run this folder led last if it has not ended, else a new one. A run resumed
 * from a checkpoint is a new run whose peers keep their shards.
 * @throws ERR_CONFIG when the folder's unfinished run has another recipe.
 */
export async function openRun(
  folder: PeerFolder,
  identity: Identity,
  config: RunConfig,
  from: CheckpointManifest | null,
): Promise<Journal> {
  const recipe = runRecipe(config, await runFingerprint(config, process.cwd()));
  const last = from === null ? await folder.last() : null;
  if (last?.leads && existsSync(folder.journal(last.runId))) {
    const journal = openJournal(folder.journal(last.runId));
    // A run whose end was not told to its members is led once more, to tell them.
    const { ended } = journal.record;
    const goesOn = ended === null || !last.over;
    if (goesOn && journal.charter.recipeDigest === recipe) return journal;
    journal.close();
    if (ended === null)
      throw new GradmeshError(
        "ERR_CONFIG",
        `${folder.path} holds an unfinished run of another config or other data; give another --folder, or what it was started with`,
      );
  }
  if (from === null) await refuseUsedFolder(folder);
  const runId = newRunId(recipe);
  const firstRound = from?.round ?? 0;
  const found = async () => {
    const fresh = await freshDigests(config, process.cwd());
    return foundLedger(folder.ledger(runId), identity, termsOf(config, recipe, firstRound, fresh));
  };
  const ledgerId = config.trust.verify ? await found() : null;
  const journal = createJournal(
    folder.journal(runId),
    charterOf(runId, recipe, config, from, ledgerId),
    randomBytes(SECRET_BYTES).toString("base64url"),
  );
  const members = from?.members ?? [];
  journal.append(
    members.map(({ peerId, shard }) => ({ type: "admitted" as const, peer: peerId, shard })),
    Date.now(),
  );
  return journal;
}

/** A new run's checkpoints would push out those of the run before. @throws ERR_CONFIG with what to do instead. */
async function refuseUsedFolder(folder: PeerFolder): Promise<void> {
  const newest = (await listRounds(folder.checkpoints)).find(({ manifest }) => manifest !== null)?.manifest;
  if (newest === undefined || newest === null) return;
  throw new GradmeshError(
    "ERR_CONFIG",
    `${folder.path} holds checkpoints of run ${newest.runId} up to round ${newest.round}; go on with "gradmesh resume ${folder.path}", or give another --folder for a new run`,
  );
}

export interface Lead {
  readonly ticket: string;
  /** Of a verified run. */
  readonly trust: TrustLead | null;
  readonly record: RunRecord;
  /** A channel of the first peer to its own coordinator. */
  connect(): Channel;
  /** Waits, for a bounded time, until every other member has heard the end, then stops. True when the run has ended. */
  close(): Promise<boolean>;
}

/** Whoever the coordinator has let in may follow the ledger and submit to it. */
async function serveLedger(
  trust: TrustLead,
  coordinator: CoordinatorHost,
  host: Host,
): Promise<LedgerServer> {
  await trust.bind(coordinator);
  const server = new LedgerServer({
    sequencer: trust.served,
    isMember: (peer) => coordinator.state.peers.has(peer),
    clock: systemClock,
  });
  await host.handle(LEDGER_PROTOCOL, (channel) => server.serve(channel));
  return server;
}

export interface LeadOptions {
  readonly journal: Journal;
  readonly host: Host;
  /** Of a verified run; closed with the lead. */
  readonly trust: TrustLead | null;
  /** It can lead no longer: its journal or ledger cannot be written. */
  onFailure(error: unknown): void;
}

/** Hosts the coordinator of the journal's run on this peer's host, and a verified run's ledger. */
export async function lead({ journal, host, trust, onFailure }: LeadOptions): Promise<Lead> {
  const coordinator: CoordinatorHost = createCoordinatorHost({
    journal,
    clock: systemClock,
    ...(trust === null
      ? {}
      : {
          admission: (peer) => trust.admission(peer),
          onNotice: (notice) => trust.onNotice(notice),
          onDiverged: (found) => trust.onDiverged(found),
        }),
  });
  coordinator.ended.catch(onFailure);
  const ledgers = trust === null ? null : await serveLedger(trust, coordinator, host);
  // Members of a run that had ended before this process led it; they come to hear of the end.
  const { record, charter } = journal;
  const untold = new Set(record.ended === null ? [] : record.members);
  untold.delete(host.peerId);
  const farewellMs = untold.size > 0 ? charter.settings.recoverLimitMs : FAREWELL_LIMIT_MS;
  await host.handle(GROUP_PROTOCOL, (channel) => {
    void channel.closed.then(() => untold.delete(channel.remote));
    coordinator.serve(channel);
  });
  return {
    trust,
    ticket: formatTicket({
      runId: journal.charter.runId,
      peerId: host.peerId,
      addresses: host.addresses(),
      secret: Uint8Array.from(Buffer.from(journal.secret, "base64url")),
    }),
    get record() {
      return coordinator.state.record;
    },
    connect() {
      const [own, served] = channelPair(host.peerId, host.peerId);
      coordinator.serve(served);
      return own;
    },
    async close() {
      const until = systemClock.now() + farewellMs;
      const ended = coordinator.state.record.ended !== null;
      const waiting = () => coordinator.state.peers.size > 0 || untold.size > 0;
      while (ended && waiting() && systemClock.now() < until) await systemClock.sleep(20);
      await coordinator.close();
      await ledgers?.close();
      await trust?.close();
      journal.close();
      return ended;
    },
  };
}
