/** A lead of a verified run whose coordinator only notes what it is told, and peers that say things on its ledger. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { systemClock } from "../../../lib/base/clock.js";
import type { CoordinatorHost } from "../../../lib/group/coordinator-host.js";
import type { LedgerEvent } from "../../../lib/ledger/events.js";
import { accountOfPeerId, signEvent, signerOf } from "../../../lib/ledger/sign.js";
import { generateIdentity, type Identity } from "../../../lib/peer/identity.js";
import type { RunEvent } from "../../../lib/run/events.js";
import { peerCapabilities } from "../../../lib/run/trust/terms.js";
import { foundLedger, TrustLead } from "../../../lib/run/trust/trust-lead.js";
import { commitmentOf } from "../../../lib/verify/commitment.js";
import { hashOf, madeUpWork, shardsOf, terms } from "../../ledger/rules-world.js";

export const entry = hashOf("the right bits");
/** Nothing is checked, so that all that is revealed is accepted. */
const genesis = { ...terms, sampleRate: 0, sampleFloor: 0 };

/** A ledger whose time the test makes, and peers that say things on it. */
export async function setting(changes: Partial<typeof terms> = {}) {
  const folder = mkdtempSync(join(tmpdir(), "gradmesh-lead-"));
  const path = join(folder, "ledger.sqlite");
  const identity = generateIdentity();
  const ledgerId = await foundLedger(path, identity, { ...genesis, ...changes });
  // Not before the first record, which would be a ledger's time that stands still for a while.
  const time = { now: Date.now(), step: 0, looks: 0 };
  const clock = {
    ...systemClock,
    now: () => time.now,
    sleep: (ms: number, signal?: AbortSignal) => {
      time.looks += 1;
      return systemClock.sleep(ms, signal);
    },
    wall: () => {
      time.now += time.step;
      return time.now;
    },
  };
  const nonces = new Map<string, bigint>();
  const sign = (who: Identity, event: LedgerEvent) => {
    const nonce = (nonces.get(who.peerId) ?? 0n) + 1n;
    nonces.set(who.peerId, nonce);
    return signEvent(signerOf(who), ledgerId, nonce, event);
  };
  const remove = () => rmSync(folder, { recursive: true });
  return { path, identity, time, clock, ledgerId, sign, remove };
}

export const registration = (digest = entry): LedgerEvent => ({
  kind: "Registered",
  capabilities: peerCapabilities,
  commission: 0,
  entry: digest,
  name: "peer",
});

export const accountOf = (who: Identity) => accountOfPeerId(who.peerId);

/** The events of a round of these workers, up to where each of them is accepted. @param root of what they did. */
export function roundOf(ledgerId: string, workers: readonly Identity[], root = madeUpWork.root) {
  const content = { ...madeUpWork, root };
  const accounts = workers.map(accountOf);
  const opening = { kind: "RoundSkipped", round: 0, workers: accounts, shards: shardsOf(accounts) } as const;
  const committed = workers.map((who) => {
    const commitment = commitmentOf({ ledgerId, round: 0, author: accountOf(who), ...content });
    return { who, event: { kind: "WorkCommitted", round: 0, commitment } as const };
  });
  const revealed = workers.map((who) => ({
    who,
    event: { kind: "WorkRevealed", round: 0, ...content } as const,
  }));
  return { opening, said: [...committed, ...revealed] };
}

/** What the lead reads of a coordinator's record. */
export interface Recorded {
  round: number;
  commit: null | { round: number; contributors: string[]; resultDigest: string };
  members: string[];
  stateDigest: null | string;
}

/** A lead with a coordinator that only notes what it is told. @param record of a coordinator that was started again. */
export async function world(
  into?: Awaited<ReturnType<typeof setting>>,
  record: Recorded = { round: 0, commit: null, members: [], stateDigest: null },
) {
  const place = into ?? (await setting());
  const { path, identity, time, clock, ledgerId, sign } = place;
  const events: RunEvent[] = [];
  const told: string[] = [];
  /** Accounts whose entry check has begun. */
  const checked: string[] = [];
  const lead = await TrustLead.open({
    path,
    identity,
    clock,
    pool: 6000n,
    grant: 2000n,
    entryOf: async (_ledgerId, account) => {
      checked.push(account);
      return entry;
    },
    emit: (event) => void events.push(event),
    onFailure: (error) => assert.unreachable(String(error)),
  });
  const state = {
    record,
    charter: { settings: { recoverLimitMs: 30 } },
    phase: { name: "gathering" } as { name: string; votes?: Map<string, unknown> },
    peers: new Map<string, { suspended: boolean }>(),
  };
  const mark = (peer: string, suspended: boolean) => {
    if (state.peers.has(peer)) state.peers.set(peer, { suspended });
  };
  await lead.bind({
    state,
    suspend: (peer: string, reason: string) => {
      mark(peer, true);
      told.push(`suspend ${peer}: ${reason}`);
    },
    restore: (peers: readonly string[]) => {
      for (const peer of peers) mark(peer, false);
      told.push(`restore ${peers.join(" ")}`);
    },
    expel: (peer: string, reason: string) => void told.push(`expel ${peer}: ${reason}`),
    end: (reason: string, code: string) => void told.push(`end ${code}: ${reason}`),
  } as unknown as CoordinatorHost);
  const say = (who: Identity, event: LedgerEvent, from = who) =>
    lead.served.submit(sign(who, event), from.peerId);
  const register = (who: Identity, digest = entry) => say(who, registration(digest));
  const account = (who: Identity) => lead.sequencer.state.accounts.get(accountOf(who));
  const until = (find: () => boolean) =>
    lead.ledger.until(() => (find() ? true : null), AbortSignal.timeout(5000));
  /** Registered, with its stake. */
  const join = async (...peers: Identity[]) => {
    for (const peer of peers) {
      await register(peer);
      await until(() => account(peer)?.free === 2000n);
      await say(peer, { kind: "Bonded", amount: 1000n });
    }
  };
  /** All that the account has or will have. */
  const worth = (who: Identity) => {
    const { free, bonded, unbonding } = account(who)!;
    return free + bonded + unbonding.reduce((sum, { amount }) => sum + amount, 0n);
  };
  /** All that the lead does about what is recorded by now is done: what it owes to whoever comes later is, too. */
  const fence = async () => {
    const last = generateIdentity();
    await register(last);
    await until(() => account(last)?.free === 2000n);
  };
  /** The lead has looked at what nobody tells it, and done what follows. */
  const look = async () => {
    const before = time.looks;
    await eventually(() => time.looks > before);
    await fence();
  };
  const close = async () => {
    await lead.close();
    place.remove();
  };
  return {
    ...{ lead, identity, events, told, checked, state, time, ledgerId, place },
    ...{ sign, say, register, join, account, worth, until, fence, look, close },
  };
}

/** Resolves once it is so, which no record may tell; fails after five seconds. */
export async function eventually(isSo: () => boolean): Promise<void> {
  const end = performance.now() + 5000;
  while (!isSo()) {
    assert.ok(performance.now() < end, `it did not come to be so: ${isSo}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}
