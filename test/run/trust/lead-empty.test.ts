/** Rounds of which nothing could be checked: everybody stays in the run, which ends where that does not change. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { generateIdentity, type Identity } from "../../../lib/peer/identity.js";
import { emptyResult } from "../../../lib/run/trust/standing.js";
import { commitmentOf, verdictCommitmentOf } from "../../../lib/verify/commitment.js";
import { hashOf, opaque, shardsOf } from "../../ledger/rules-world.js";
import { accountOf, eventually, setting, world } from "./lead-world.js";

/** Every step is checked by somebody. */
const everyStep = { sampleRate: 1_000_000, sampleFloor: 1_000_000 };
const [ACCEPT, SOFT] = [0, 1] as const;

/** A round of these peers up to where its verdicts are in. @param soft whose states nobody was shown. */
async function decided(
  { lead, time, ledgerId, say }: Awaited<ReturnType<typeof world>>,
  round: number,
  peers: readonly Identity[],
  soft: readonly Identity[],
) {
  const workers = peers.map(accountOf);
  const byAccount = new Map(peers.map((peer) => [accountOf(peer), peer]));
  // The leader is late.
  time.now += 50;
  await lead.ledger.submit({ kind: "RoundSkipped", round, workers, shards: shardsOf(workers) });
  const work = { root: hashOf("root"), before: hashOf("before"), after: hashOf("after"), ...opaque };
  const content = { ...work, contribution: hashOf("contribution"), salt: hashOf("salt") };
  for (const who of peers) {
    const commitment = commitmentOf({ ledgerId, round, author: accountOf(who), ...content });
    await say(who, { kind: "WorkCommitted", round, commitment });
  }
  for (const who of peers) await say(who, { kind: "WorkRevealed", round, ...content });
  const found = lead.sequencer.state.rounds.get(round)!;
  const verdicts = found.checks.map(({ worker, transition, verifier }) => ({
    who: byAccount.get(verifier)!,
    said: {
      ...{ worker, transition, digest: hashOf("digest"), salt: hashOf("salt") },
      verdict: soft.some((one) => accountOf(one) === worker) ? SOFT : ACCEPT,
    },
  }));
  for (const { who, said } of verdicts) {
    const { worker, transition } = said;
    const commitment = verdictCommitmentOf({ ledgerId, round, author: accountOf(who), ...said });
    await say(who, { kind: "VerdictCommitted", round, worker, transition, commitment });
  }
  for (const { who, said } of verdicts) await say(who, { kind: "VerdictRevealed", round, ...said });
  assert.is(found.phase, "decided");
}

/** The members have voted for nothing, and have applied it. */
async function committed(
  { lead, state, until }: Awaited<ReturnType<typeof world>>,
  round: number,
  peers: readonly Identity[],
) {
  const contributors = peers.map(({ peerId }) => peerId);
  const stateDigest = hashOf("state");
  const commit = { round, contributors, resultDigest: emptyResult(round) };
  Object.assign(state.record, { round: round + 1, commit, stateDigest });
  lead.onNotice({ kind: "commit", epoch: 1, round, contributors, stateDigest, metrics: [] });
  await until(() => lead.sequencer.state.rounds.get(round)?.phase === "closed");
  assert.equal(lead.sequencer.state.rounds.get(round)!.closed!.aggregated, []);
}

async function three() {
  const made = await world(await setting(everyStep));
  const peers = [generateIdentity(), generateIdentity(), generateIdentity()];
  await made.join(...peers);
  for (const { peerId } of peers) made.state.peers.set(peerId, { suspended: false });
  made.told.length = 0;
  return { ...made, peers };
}

test("where nobody's work counts nobody is taken out of the round, also who comes back or comes late", async () => {
  const made = await three();
  const { lead, told, peers, events, fence, close } = made;
  const [ada] = peers as [Identity];
  const late = generateIdentity();
  await made.join(late);
  await decided(made, 0, peers, peers);
  await fence();
  assert.equal(told, []);
  assert.is(lead.admission(ada.peerId), null);
  assert.is(lead.admission(late.peerId), null, "it can hold the state for the others");
  await committed(made, 0, peers);
  await fence();
  assert.equal(told, []);
  assert.equal(
    events.filter(({ type }) => type === "warning"),
    [],
  );
  await close();
});

test("where somebody's work counts the others wait for the next round", async () => {
  const made = await three();
  const { lead, told, peers, fence, close } = made;
  const [ada, bob, eve] = peers as [Identity, Identity, Identity];
  await decided(made, 0, peers, [ada, bob]);
  await fence();
  assert.equal(
    told.map((line) => line.replace(/: .*/, "")).sort(),
    [`suspend ${ada.peerId}`, `suspend ${bob.peerId}`].sort(),
  );
  assert.match(told[0]!, /round 1 goes on without it, as its work in it does not count \(soft\)/);
  assert.is(lead.admission(eve.peerId), null);
  assert.match(JSON.stringify(lead.admission(ada.peerId)), /suspend.*goes on without it/);
  await close();
});

test("a run ends with the cause and the cure after four rounds in a row in which nobody's work counts", async () => {
  const made = await three();
  const { told, peers, fence, close } = made;
  for (let round = 0; round < 4; round += 1) {
    await fence();
    assert.equal(told, []);
    await decided(made, round, peers, peers);
    await committed(made, round, peers);
  }
  await eventually(() => told.length > 0);
  assert.match(
    told[0]!,
    /^end ERR_TIMEOUT: in 4 rounds in a row .* could be checked.*trust\.limitMs \(100\) and trust\.moveLimitMs \(10\)/,
  );
  await close();
});

test.run();
