/** Rounds of a lead's world in which every step is checked: up to their verdicts, and their end. */
import * as assert from "uvu/assert";
import { generateIdentity, type Identity } from "../../../lib/peer/identity.js";
import { emptyResult } from "../../../lib/run/trust/standing.js";
import { commitmentOf, verdictCommitmentOf } from "../../../lib/verify/commitment.js";
import { hashOf, madeUpWork, shardsOf } from "../../ledger/rules-world.js";
import { accountOf, setting, world } from "./lead-world.js";

type World = Awaited<ReturnType<typeof world>>;

export const [ACCEPT, SOFT, HARD] = [0, 1, 2] as const;

/** The leader is late, so that the sequencer opens the round in its place. */
export async function opened(
  { lead, time }: Pick<World, "lead" | "time">,
  round: number,
  peers: readonly Identity[],
) {
  const workers = peers.map(accountOf);
  time.now += 50;
  await lead.ledger.submit({ kind: "RoundSkipped", round, workers, shards: shardsOf(workers) });
}

/**
 * A round of these peers up to where its verdicts are in.
 * @param soft whose states nobody was shown, or what each verdict is. @param late who does not commit in time.
 */
export async function decided(
  made: Pick<World, "lead" | "time" | "ledgerId" | "say" | "until">,
  round: number,
  peers: readonly Identity[],
  soft: readonly Identity[] | ((verifier: Identity, worker: Identity) => number),
  late: readonly Identity[] = [],
) {
  const { lead, time, ledgerId, say, until } = made;
  const byAccount = new Map(peers.map((peer) => [accountOf(peer), peer]));
  const verdictOf =
    typeof soft === "function"
      ? soft
      : (_verifier: Identity, worker: Identity) => (soft.includes(worker) ? SOFT : ACCEPT);
  await opened(made, round, peers);
  const content = madeUpWork;
  const punctual = peers.filter((who) => !late.includes(who));
  for (const who of punctual) {
    const commitment = commitmentOf({ ledgerId, round, author: accountOf(who), ...content });
    await say(who, { kind: "WorkCommitted", round, commitment });
  }
  const found = lead.sequencer.state.rounds.get(round)!;
  if (late.length > 0) time.now += 100;
  await until(() => found.phase === "reveal");
  for (const who of punctual) await say(who, { kind: "WorkRevealed", round, ...content });
  const verdicts = found.checks.map(({ worker, transition, verifier }) => {
    const who = byAccount.get(verifier)!;
    const verdict = verdictOf(who, byAccount.get(worker)!);
    return { who, said: { worker, transition, verdict, digest: hashOf("digest"), salt: hashOf("salt") } };
  });
  for (const { who, said } of verdicts) {
    const { worker, transition } = said;
    const commitment = verdictCommitmentOf({ ledgerId, round, author: accountOf(who), ...said });
    await say(who, { kind: "VerdictCommitted", round, worker, transition, commitment });
  }
  for (const { who, said } of verdicts) await say(who, { kind: "VerdictRevealed", round, ...said });
  assert.is(found.phase, "decided");
  return found;
}

/** The members have voted, and have applied it: for nothing where no other result is given. */
export async function committed(
  { lead, state, until }: Pick<World, "lead" | "state" | "until">,
  round: number,
  peers: readonly Identity[],
  resultDigest = emptyResult(round),
) {
  const contributors = peers.map(({ peerId }) => peerId);
  const stateDigest = hashOf("state");
  Object.assign(state.record, {
    round: round + 1,
    commit: { round, contributors, resultDigest },
    stateDigest,
  });
  lead.onNotice({ kind: "commit", epoch: 1, round, contributors, stateDigest, metrics: [] });
  await until(() => lead.sequencer.state.rounds.get(round)?.phase === "closed");
  const { closed } = lead.sequencer.state.rounds.get(round)!;
  assert.is(closed!.aggregated.length === 0, resultDigest === emptyResult(round));
}

/** Three peers that are connected and have their stake; every step is checked by somebody. */
export async function three() {
  const made = await world(await setting({ sampleRate: 1_000_000, sampleFloor: 1_000_000 }));
  const peers = [generateIdentity(), generateIdentity(), generateIdentity()] as const;
  await made.join(...peers);
  for (const { peerId } of peers) made.state.peers.set(peerId, { suspended: false });
  made.told.length = 0;
  return { ...made, peers };
}
