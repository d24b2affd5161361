/**
 * The virtual coordinator. It stands where the lowest rank does: a commit, and a new view after a death, takes each member's
 * message there and the answer back, one round trip. A run's other messages (views, heartbeats, who applied what) are free.
 */
import { exchangesOf } from "./attempt.js";
import { toMicroseconds } from "./clock.js";
import type { VirtualPeer } from "./peer.js";
import { delaySeconds, type Fate } from "./profile.js";

/** All members tell the coordinator, and hear from it once the last has. @param members by rank. */
export function agree(members: readonly VirtualPeer[]): void {
  const [place] = members;
  const way = (peer: VirtualPeer) =>
    peer === place ? 0 : toMicroseconds(delaySeconds(peer.profile, place!.profile));
  const heard = Math.max(...members.map((peer) => peer.clock.now + way(peer)));
  for (const peer of members) peer.clock.waitUntil(heard + way(peer));
}

/** A member that dies in an exchange of the round, from 0. */
export interface Death {
  readonly rank: number;
  readonly exchange: number;
}

/** The first member that dies in this round; the last one there does not. */
export function nextDeath(
  members: readonly VirtualPeer[],
  fates: ReadonlyMap<VirtualPeer, Fate>,
): Death | null {
  if (members.length < 2) return null;
  const deaths = members.flatMap((peer, rank): Death[] => {
    const { death } = fates.get(peer)!;
    return death === null ? [] : [{ rank, exchange: Math.floor(death * exchangesOf(peer.engine)) }];
  });
  return deaths.reduce<Death | null>(
    (first, one) => (first === null || one.exchange < first.exchange ? one : first),
    null,
  );
}
