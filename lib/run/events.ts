/** What a peer tells about its run as it goes: the lines of `--json`, and what progress and reports are made of. */

import type { MembershipChange, ViewLinks } from "../group/messages.js";

/** How a round's wall time was spent, in seconds. */
export interface RoundSeconds {
  /** Inner steps. */
  train: number;
  /** The rest of the time until the commit: collectives that inner steps did not hide, and waiting for slower peers. */
  sync: number;
  /** Native time of the collectives that gave the result, added up. */
  reduce: number;
  /** What waited for the commit, digest and evaluation. */
  apply: number;
}

export type RunEvent =
  | {
      type: "started";
      peer: string;
      pid: number;
      runId: string;
      shard: number;
      round: number;
      /** Of the whole run. */
      rounds: number;
      parameters: number;
      backend: string;
    }
  | { type: "ticket"; peer: string; ticket: string }
  | { type: "waiting"; peer: string; reason: string }
  | {
      type: "view";
      peer: string;
      epoch: number;
      round: number;
      members: string[];
      source: string | null;
      /** The matrix of the members' links, row-major, the sender first; null while nothing was measured. */
      links: ViewLinks | null;
    }
  | { type: "evaluated"; peer: string; round: number; validationLoss: number }
  | { type: "trained"; peer: string; round: number; loss: number; steps: number; seconds: number }
  | {
      type: "failed";
      peer: string;
      epoch: number;
      round: number;
      code: string;
      lost: string[];
      reason: string;
    }
  /** The link to another peer was measured. */
  | {
      type: "link";
      peer: string;
      to: string;
      /** From this peer to the other. */
      bytesPerSecond: number;
      roundTripSeconds: number;
      /** Its sockets, and how many of them carry data. */
      streams: number;
      streamsUsed: number;
    }
  /** Under collective "auto": what is used from this round on, and why. */
  | { type: "chosen"; peer: string; round: number; collective: string; reason: string }
  /** Under onLoss "salvage": `kept` of the result's elements are of the attempt that failed. */
  | {
      type: "salvaged";
      peer: string;
      epoch: number;
      round: number;
      elements: number;
      kept: number;
      /** How many peers contributed to each part of the result. */
      parts: { begin: number; elements: number; peers: number }[];
    }
  /** This peer was too slow for round `from`; its inner steps go into its contribution to round `into`. */
  | {
      type: "carried";
      peer: string;
      from: number;
      into: number;
      steps: number;
      /** Euclidean norm of what is carried. */
      norm: number;
    }
  | { type: "synced"; peer: string; round: number; source: string; bytes: number; seconds: number }
  | {
      type: "round";
      peer: string;
      epoch: number;
      round: number;
      contributors: string[];
      /** Mean of the round's inner steps; null where this peer took none. */
      trainLoss: number | null;
      validationLoss: number;
      /** Payload and framing bytes this peer sent for the round, failed attempts included. */
      bytesSent: number;
      bytesRetried: number;
      seconds: RoundSeconds;
      /** Of all that a joining peer is sent: the same on all members, but where the method lets them differ. */
      stateDigest: string;
    }
  /** Of a verified run: all that this round's members did was committed to, and what was drawn of it is right. */
  | {
      type: "verified";
      peer: string;
      round: number;
      /** Steps of others that this peer replayed. */
      checks: number;
      /** Hashing and keeping its own states; showing them to verifiers; replaying others'; waiting for others. */
      seconds: { commit: number; serve: number; replay: number; wait: number };
    }
  /** This peer replayed a transition of another's work: from 1 to the steps of a round, and one for what is sent. */
  | {
      type: "checked";
      peer: string;
      round: number;
      worker: string;
      transition: number;
      verdict: "accept" | "soft" | "hard";
      reason: string;
      seconds: number;
    }
  /** The run's ledger: what happened to a peer's stake, rewards or place, in words; of the first peer alone. */
  | {
      type: "ledger";
      peer: string;
      /** Number of the record. */
      seq: number;
      what: "disputed" | "settled" | "slashed" | "ejected" | "rejected" | "accepted" | "paid";
      subject: string;
      round: number | null;
      amount: string | null;
      reason: string;
    }
  | { type: "membership"; change: MembershipChange; subject: string; reason: string; epoch: number }
  | { type: "checkpoint"; peer: string; round: number; path: string }
  /** Something went wrong that the peer can do without; it goes on. */
  | { type: "warning"; peer: string; round: number; code: string; reason: string }
  | { type: "ended"; peer: string; reason: string; round: number; stateDigest: string };

/** An event as printed: with the milliseconds since the epoch at which it happened. */
export type TimedEvent = RunEvent & { at: number };

export type EventSink = (event: RunEvent) => void;
