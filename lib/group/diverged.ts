/**
 * Members whose bits differ from the others': the few against more than half are sent the state once; one that differs again
 * is refused. Without a majority nobody can tell who is right, and the run ends.
 */
import { refuse, type Turn, unseat, wait } from "./state.js";

/** Who holds something else than what more than half hold; null where no value has so many. */
export function minorityOf(
  digests: ReadonlyMap<string, string>,
): { expected: string; others: ReadonlyMap<string, string> } | null {
  const holders = Map.groupBy(digests, ([, digest]) => digest);
  const most = [...holders].find(([, held]) => 2 * held.length > digests.size);
  if (most === undefined) return null;
  const [expected] = most;
  return { expected, others: new Map([...digests].filter(([, digest]) => digest !== expected)) };
}

/**
 * Takes out a member with other bits: it is sent the state with the next view that it is in, or it was before and is refused.
 * @param round whose work differs.
 */
export function settleDiverged(
  turn: Turn,
  peer: string,
  { round, what, own, expected }: { round: number; what: string; own: string; expected: string },
): void {
  const { diverged } = turn.state;
  const there = turn.state.peers.get(peer);
  const again = diverged.has(peer);
  const reason = `${what}: it holds ${own}, more than half of the peers hold ${expected}`;
  turn.actions.push({ type: "diverged", peer, round, own, expected, again, reason });
  if (again) {
    refuse(turn, peer, "ERR_DIVERGED", `${reason}; it was sent the state once, and its bits differ again`);
    return;
  }
  diverged.set(peer, round);
  unseat(turn, peer, "lost", reason);
  if (there === undefined) return;
  there.round = -1;
  there.stateDigest = null;
  wait(turn, peer, `for the state of another peer: ${reason}`);
}
