/** One attempt of a view's members at a round's exchanges, by the clocks; and what one that a death broke had cost. */
import { asGradmeshError } from "../base/errors.js";
import { type CommunicatorClock, SLOTS_PER_EXCHANGE } from "../engine/communicator.js";
import type { Exchanged } from "../engine/outcome.js";
import type { ReduceReport } from "../reduce/calls.js";
import type { StrategyView } from "../strategy/strategy.js";
import { exchangeOf, isFirst, type PeerClock } from "./clock.js";
import type { Death } from "./coordinator.js";
import { LocalGroup } from "./group.js";
import type { VirtualNetwork } from "./network.js";
import type { VirtualPeer } from "./peer.js";
import type { PlanSets } from "./plans.js";
import { CollectiveTimes } from "./times.js";

export interface AttemptOptions {
  readonly view: StrategyView;
  /** By rank. */
  readonly members: readonly VirtualPeer[];
  readonly network: VirtualNetwork;
  readonly plans: PlanSets;
  readonly segmentElements: number;
  /** Who dies in it, and in which of the round's exchanges, from 0. */
  readonly death: Death | null;
}

export type AttemptOutcome =
  | { readonly kind: "done"; readonly outcomes: readonly Exchanged[] }
  | {
      readonly kind: "broken";
      /** Microseconds at which the last survivor waited for the one that was lost. */
      readonly at: number;
      /** Payload and framing that the survivors had sent. */
      readonly bytesSent: number;
    };

/** The clock of a peer that dies where the exchange begins. */
function dyingClock(clock: PeerClock, exchange: number, die: (slot: number) => void): CommunicatorClock {
  return {
    computed: () => clock.computed(),
    began(slot) {
      if (exchangeOf(slot) >= exchange) die(slot);
      clock.began(slot);
    },
    joined: (slot) => clock.joined(slot),
  };
}

/** @throws what an engine or a collective throws, other than for the death that was asked for. */
export async function attemptRound(options: AttemptOptions): Promise<AttemptOutcome> {
  const { view, members, network, plans, segmentElements, death } = options;
  const own = members.map(({ clock }) => clock);
  const times = new CollectiveTimes(own, network);
  const clocks = own.map((clock, rank) =>
    rank === death?.rank ? dyingClock(clock, death.exchange, (slot) => group.lose(rank, slot)) : clock,
  );
  const { links } = network;
  const group = new LocalGroup({ view, plans, segmentElements, links, clocks, timing: times });
  const settled = await Promise.allSettled(
    members.map(async ({ engine }, rank) => {
      try {
        return await engine.exchange(group.communicators[rank]!);
      } catch (error) {
        // The dead one's own end tells nobody anything; the others find out.
        if (rank !== death?.rank) group.fail(error);
        throw error;
      }
    }),
  );
  times.end(new Error("the attempt is over"));
  const outcomes = settled.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
  if (outcomes.length === members.length) return { kind: "done", outcomes };
  const failures = settled.flatMap((one) => (one.status === "rejected" ? [asGradmeshError(one.reason)] : []));
  const foreign = failures.find(({ code }) => code !== "ERR_PEER_LOST" && code !== "ERR_ABORTED");
  if (death === null || group.broken === null || foreign !== undefined) throw foreign ?? failures[0]!;
  return { kind: "broken", ...costOf(group, own, death.rank) };
}

const sentBytes = ({ bytesSent, bytesFraming }: ReduceReport) => bytesSent + bytesFraming;

/**
 * Whatever this process happened to do first, the same: the collective that broke counts whole (an upper bound), of the
 * exchanges before it those that were over, and the first collective of those that were under way.
 */
function costOf(
  group: LocalGroup,
  clocks: readonly PeerClock[],
  lost: number,
): { at: number; bytesSent: number } {
  const broken = group.broken!;
  const over = (slot: number) => clocks[lost]!.hasJoined(exchangeOf(slot));
  const counted = group.held.filter(
    ({ slot }) => exchangeOf(slot) < exchangeOf(broken.slot) && (isFirst(slot) || over(slot)),
  );
  const survivors = clocks.map((_, rank) => rank).filter((rank) => rank !== lost);
  const bytesSent = [...counted, broken].reduce(
    (sum, { reports }) => sum + survivors.reduce((all, rank) => all + sentBytes(reports[rank]!), 0),
    0,
  );
  return { at: Math.max(...survivors.map((rank) => clocks[rank]!.ready(broken.slot))), bytesSent };
}

/** Exchanges of a round of this engine's strategies. */
export const exchangesOf = ({ slotsPerRound }: { readonly slotsPerRound: number }): number =>
  slotsPerRound / SLOTS_PER_EXCHANGE;
