/** Who opens the connections of a pair of members. */
import { GradmeshError } from "../base/errors.js";
import type { LinkView } from "./link-table.js";

/** greet: this peer dials. await: the other does. neither: nobody can. */
export type LinkRole = "greet" | "await" | "neither";

/** The higher rank dials; where one of the two cannot be dialed from outside, that one does. */
export function linkRole(view: LinkView, rank: number, other: number): LinkRole {
  const [own, theirs] = [rank, other].map((member) => view.members[member]?.dialable ?? true);
  if (!own && !theirs) return "neither";
  if (own && theirs) return other < rank ? "greet" : "await";
  return own ? "await" : "greet";
}

/** @throws ERR_UNAUTHORIZED for a stranger; ERR_REFUSED for a lower rank that does not say that the roles are turned. */
export function checkGreeter(view: LinkView, rank: number, peerId: string, turned: boolean): void {
  const other = view.members.findIndex((member) => member.peerId === peerId);
  if (other < 0)
    throw new GradmeshError("ERR_UNAUTHORIZED", `${peerId} is not in the view of epoch ${view.epoch}`);
  if (other === rank || other < rank !== turned)
    throw new GradmeshError("ERR_REFUSED", `rank ${other} must wait for the hello of rank ${rank}`);
}

/** Why two peers that nobody can dial are not linked, and what helps. */
export function undialable(self: string, other: string): string {
  return (
    `neither ${self} nor ${other} can be dialed from outside; forward a TCP port to one of them ` +
    "(network.bulkPort and network.controlPort, with network.advertiseHost), or join through a relay or VPN that both reach"
  );
}

/** One piece of work at a time for each peer, in the order in which they are asked for. */
export function createTurns() {
  const last = new Map<string, Promise<void>>();
  return async <T>(peerId: string, work: () => Promise<T>): Promise<T> => {
    const before = last.get(peerId);
    const { promise, resolve } = Promise.withResolvers<void>();
    last.set(peerId, promise);
    await before;
    try {
      return await work();
    } finally {
      resolve();
      if (last.get(peerId) === promise) last.delete(peerId);
    }
  };
}
