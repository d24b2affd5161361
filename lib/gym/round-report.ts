/** What a round of virtual peers came to: losses, bytes, virtual time, and what happened to whom. */
import type { Exchanged } from "../engine/outcome.js";
import { MICROSECONDS } from "./clock.js";
import type { VirtualPeer } from "./peer.js";

/** What happened to a peer. */
export interface PeerEvent {
  readonly round: number;
  readonly peer: string;
  readonly change: "joined" | "left" | "died" | "slow" | "back";
  /** Virtual. */
  readonly seconds: number;
  /** Of one that is back: the Euclidean norm of the work that it brings along, null where its strategy keeps none. */
  readonly norm?: number | null;
}

/** What a round came to; bytes are of all members together. */
export interface RoundReport {
  /** Rounds committed. */
  readonly round: number;
  readonly members: number;
  /** Mean over the members of their inner steps' mean loss, in nats. */
  readonly trainLoss: number;
  /** Virtual time at which the last member is done. */
  readonly seconds: number;
  /** Share of the members' time so far in which they computed. */
  readonly computeShare: number;
  readonly bytes: {
    readonly payload: number;
    readonly framing: number;
    readonly received: number;
    /** Payload and framing that attempts had sent which a death broke. */
    readonly retried: number;
    /** Payload and framing of the state for peers that came. */
    readonly state: number;
    /** Payload of the member that sent most. */
    readonly most: number;
  };
  /** Cluster.digest(). */
  readonly digest: string;
  readonly events: readonly PeerEvent[];
}

export interface RoundOutcome extends Pick<RoundReport, "round" | "digest" | "events"> {
  /** By rank, as are their outcomes. */
  readonly members: readonly VirtualPeer[];
  readonly outcomes: readonly Exchanged[];
  /** Bytes. */
  readonly retried: number;
  readonly state: number;
}

const sumOf = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0);

export function reportRound({
  round,
  members,
  outcomes,
  retried,
  state,
  digest,
  events,
}: RoundOutcome): RoundReport {
  const losses = outcomes.map(({ loss }) => loss).filter((loss) => !Number.isNaN(loss));
  const clocks = members.map(({ clock }) => clock);
  const lived = sumOf(clocks.map((clock) => clock.lived));
  const payload = outcomes.map(({ bytesSent }) => bytesSent);
  return {
    round,
    members: members.length,
    trainLoss: sumOf(losses) / losses.length,
    seconds: Math.max(...clocks.map(({ now }) => now)) / MICROSECONDS,
    computeShare: lived === 0 ? 1 : sumOf(clocks.map(({ worked }) => worked)) / lived,
    bytes: {
      payload: sumOf(payload),
      framing: sumOf(outcomes.map(({ bytesFraming }) => bytesFraming)),
      received: sumOf(outcomes.map(({ bytesReceived }) => bytesReceived)),
      retried,
      state,
      most: Math.max(...payload),
    },
    digest,
    events,
  };
}
