/** The submitter's side of a verified run: who is let in, who is kept out of views, and what it tells the ledger. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { systemClock } from "../../../lib/base/clock.js";
import type { GradmeshError } from "../../../lib/base/errors.js";
import type { CoordinatorHost } from "../../../lib/group/coordinator-host.js";
import type { LedgerEvent } from "../../../lib/ledger/events.js";
import { accountOfPeerId, signEvent, signerOf } from "../../../lib/ledger/sign.js";
import { generateIdentity, type Identity } from "../../../lib/peer/identity.js";
import type { RunEvent } from "../../../lib/run/events.js";
import { peerCapabilities } from "../../../lib/run/trust/terms.js";
import { foundLedger, TrustLead } from "../../../lib/run/trust/trust-lead.js";
import { hashOf, terms } from "../../ledger/rules-world.js";

const entry = hashOf("the right bits");

/** A lead with a coordinator that only notes what it is told. */
async function world() {
  const folder = mkdtempSync(join(tmpdir(), "gradmesh-lead-"));
  const path = join(folder, "ledger.sqlite");
  const identity = generateIdentity();
  await foundLedger(path, identity, terms);
  const events: RunEvent[] = [];
  const told: string[] = [];
  const open = () =>
    TrustLead.open({
      path,
      identity,
      clock: systemClock,
      pool: 6000n,
      grant: 2000n,
      entryOf: async () => entry,
      emit: (event) => void events.push(event),
      onFailure: (error) => assert.unreachable(String(error)),
    });
  const lead = await open();
  const state = {
    record: { round: 0, commit: null, members: [], stateDigest: null },
    phase: { name: "gathering" },
  };
  lead.bind({
    state,
    suspend: (peer: string, reason: string) => void told.push(`suspend ${peer}: ${reason}`),
    restore: (peer: string) => void told.push(`restore ${peer}`),
    expel: (peer: string, reason: string) => void told.push(`expel ${peer}: ${reason}`),
  } as unknown as CoordinatorHost);
  const nonces = new Map<string, bigint>();
  const say = async (who: Identity, event: LedgerEvent) => {
    const nonce = (nonces.get(who.peerId) ?? 0n) + 1n;
    nonces.set(who.peerId, nonce);
    return lead.served.submit(signEvent(signerOf(who), lead.sequencer.ledgerId, nonce, event));
  };
  const register = (who: Identity, digest = entry) =>
    say(who, {
      kind: "Registered",
      capabilities: peerCapabilities,
      commission: 0,
      entry: digest,
      name: "peer",
    });
  const account = (who: Identity) => lead.sequencer.state.accounts.get(accountOfPeerId(who.peerId));
  const close = async () => {
    await lead.close();
    rmSync(folder, { recursive: true });
  };
  return { lead, identity, events, told, say, register, account, close };
}

const settled = () => new Promise((resolve) => setTimeout(resolve, 50));

test("who passes the entry check is registered and granted its first stake, once; who does not is refused with the cure", async () => {
  const { lead, register, say, account, close } = await world();
  const [good, bad] = [generateIdentity(), generateIdentity()];
  const error = await register(bad, hashOf("other bits")).catch((caught: GradmeshError) => caught);
  assert.match(
    (error as GradmeshError).message,
    /the entry check of .* computes other bits.*gradmesh doctor/s,
  );
  assert.is(account(bad), undefined);
  await register(good);
  await lead.ledger.until(() => (account(good)?.free === 2000n ? true : null), AbortSignal.timeout(5000));
  await say(good, { kind: "Bonded", amount: 1000n });
  await register(good);
  await settled();
  assert.is(account(good)!.free + account(good)!.bonded, 2000n, "one grant");
  await close();
});

test("a peer whose bits differ again is ejected on the ledger with the evidence, expelled, and not let in again", async () => {
  const { lead, register, account, told, close } = await world();
  const peer = generateIdentity();
  await register(peer);
  const found = { type: "diverged", peer: peer.peerId, round: 3, own: "odd", expected: "even" } as const;
  lead.onDiverged({ ...found, again: false, reason: "after round 3" });
  await settled();
  assert.not(account(peer)!.ejected, "it is sent the state first");
  assert.is(lead.admission(peer.peerId), null);
  lead.onDiverged({ ...found, again: true, reason: "after round 4: it holds odd, more than half hold even" });
  await lead.ledger.until(() => (account(peer)?.ejected ? true : null), AbortSignal.timeout(5000));
  await settled();
  assert.match(told.join("\n"), new RegExp(`expel ${peer.peerId}: .*holds odd`));
  assert.match(JSON.stringify(lead.admission(peer.peerId)), /refuse.*ejected/);
  await close();
});

test("a round is open: who is not in it waits, who is lost leaves it without blame, and comes back after it", async () => {
  const { lead, identity, register, say, account, told, close } = await world();
  const [ada, bob, late] = [generateIdentity(), generateIdentity(), generateIdentity()];
  for (const peer of [ada, bob]) {
    await register(peer);
    await lead.ledger.until(() => (account(peer)?.free === 2000n ? true : null), AbortSignal.timeout(5000));
    await say(peer, { kind: "Bonded", amount: 1000n });
  }
  // The leader is lost, so that the sequencer opens the round without it.
  const leads = (peer: Identity) => accountOfPeerId(peer.peerId) === lead.sequencer.state.leader;
  const [inside, outside] = leads(ada) ? [bob, ada] : [ada, bob];
  const workers = [accountOfPeerId(inside.peerId)];
  await lead.ledger.submit({ kind: "RoundSkipped", round: 0, workers, shards: "01" });
  assert.is(lead.admission(inside.peerId), null);
  assert.match(JSON.stringify(lead.admission(outside.peerId)), /suspend.*goes on without it/);
  assert.match(JSON.stringify(lead.admission(late.peerId)), /suspend/);
  const members = [identity.peerId];
  lead.onNotice({ kind: "membership", epoch: 2, round: 0, members, changes: [], reason: "lost" });
  const unit = () => lead.sequencer.state.rounds.get(0)?.units.get(accountOfPeerId(inside.peerId));
  await lead.ledger.until((state) => (state.nextRound === 0 ? true : null), AbortSignal.timeout(5000));
  assert.is(unit(), undefined, "everybody is out of the round: it is opened again");
  assert.is(account(inside)!.bonded, 1000n);
  await settled();
  assert.ok(told.some((line) => line.startsWith(`restore ${outside.peerId}`)));
  assert.is(lead.admission(inside.peerId), null);
  await close();
});

test.run();
