/** Live progress of a run: a bar with lines above it on a terminal, plain lines elsewhere, JSON lines on request. */
import { MultiBar, Presets, type SingleBar } from "cli-progress";
import { formatBytes, formatSeconds } from "../base/format.js";
import type { RunEvent, TimedEvent } from "../run/events.js";

export interface Progress {
  event(event: TimedEvent): void;
  close(): void;
}

/** A peer's name for people: the one it was given, else the end of its peer id. */
export type NameOf = (peer: string) => string;

export const shortPeer: NameOf = (peer) => peer.slice(-8);

type RoundEvent = Extract<RunEvent, { type: "round" }>;

/** JSON has no NaN: null is a loss of no steps, or of a model that is lost. */
const lossWord = (loss: number | null) => (loss === null ? "-" : loss.toFixed(3));

/** One line for a finished round: losses by peer, bytes, seconds. */
export function roundLine(round: readonly RoundEvent[], rounds: number, nameOf: NameOf): string {
  const sorted = [...round].sort((a, b) => nameOf(a.peer).localeCompare(nameOf(b.peer)));
  const first = sorted[0]!;
  const losses = sorted
    .map((event) => `${nameOf(event.peer)} ${lossWord(event.trainLoss)}/${lossWord(event.validationLoss)}`)
    .join("  ");
  const seconds = Math.max(...sorted.map(({ seconds: s }) => s.train + s.sync + s.apply));
  const sync = Math.max(...sorted.map((event) => event.seconds.sync));
  const bytes = sorted.reduce((total, event) => total + event.bytesSent, 0) / sorted.length;
  const nobody = first.contributors.length === 0 ? "; nobody's work counted" : "";
  return (
    `round ${String(first.round).padStart(String(rounds).length)}/${rounds}  loss train/val: ${losses}  ` +
    `sent ${formatBytes(bytes)} a peer  ${formatSeconds(seconds)} (sync ${formatSeconds(sync)})${nobody}`
  );
}

/** One line for an event other than a round, or null where a person needs none. */
export function eventLine(event: RunEvent, nameOf: NameOf): string | null {
  switch (event.type) {
    case "started":
      return `${nameOf(event.peer)} started: shard ${event.shard}, ${event.parameters} parameters, ${event.backend}`;
    case "ticket":
      return `ticket for other peers: ${event.ticket}`;
    case "waiting":
      return `${nameOf(event.peer)} waits: ${event.reason}`;
    case "failed":
      return (
        `${nameOf(event.peer)} round ${event.round + 1}, epoch ${event.epoch}: all-reduce ended with ${event.code}` +
        `${event.lost.length > 0 ? `, lost ${event.lost.map(nameOf).join(", ")}` : ""}`
      );
    case "membership":
      return `epoch ${event.epoch}: ${nameOf(event.subject)} ${event.change}: ${event.reason}`;
    case "synced":
      return (
        `${nameOf(event.peer)} caught up at round ${event.round} from ${nameOf(event.source)}: ` +
        `${formatBytes(event.bytes)} in ${formatSeconds(event.seconds)}`
      );
    case "chosen":
      return `round ${event.round + 1} on: ${event.reason}`;
    case "salvaged":
      return (
        `${nameOf(event.peer)} round ${event.round + 1}: ${event.kept} of ${event.elements} elements are kept from the ` +
        "attempt that failed"
      );
    case "carried":
      return (
        `${nameOf(event.peer)} was too slow for round ${event.from + 1}; its ${event.steps} inner steps go into round ` +
        `${event.into + 1}`
      );
    case "checked":
      if (event.verdict === "accept") return null;
      return (
        `${nameOf(event.peer)} round ${event.round + 1}: step ${event.transition} of ${nameOf(event.worker)} is ` +
        `${event.verdict === "hard" ? "wrong" : "not shown"}: ${event.reason}`
      );
    case "ledger":
      if (event.what === "accepted" || event.what === "paid") return null;
      return (
        `ledger ${event.seq}: ${nameOf(event.subject)} ${event.what}` +
        `${event.amount === null ? "" : ` ${event.amount} units`}: ${event.reason}`
      );
    case "checkpoint":
      return `${nameOf(event.peer)} checkpoint at round ${event.round}: ${event.path}`;
    case "warning":
      return `${nameOf(event.peer)} warning at round ${event.round}, training goes on: ${event.reason} (${event.code})`;
    case "ended":
      return `${nameOf(event.peer)} ended at round ${event.round}: ${event.reason}`;
    default:
      return null;
  }
}

/** Gathers the round events of the peers watched, and gives the line once all contributors among them have reported. */
function roundGatherer(peers: number, nameOf: NameOf) {
  const open = new Map<number, RoundEvent[]>();
  return (event: RoundEvent, rounds: number): string | null => {
    const gathered = [...(open.get(event.round) ?? []), event];
    open.set(event.round, gathered);
    // Nobody contributes to a round in which nobody could be checked; all report it.
    if (gathered.length < Math.min(peers, event.contributors.length || peers)) return null;
    open.delete(event.round);
    return roundLine(gathered, rounds, nameOf);
  };
}

/** What a person watching one peer wants to know, and one watching many does not. */
const ownEvents: ReadonlySet<RunEvent["type"]> = new Set(["waiting", "checkpoint", "ended"]);

export interface ProgressOptions {
  mode: "terminal" | "lines" | "json";
  /** How many peers' events are fed in: 1 in a peer's own process, all of them in the demo. */
  peers: number;
  nameOf: NameOf;
  stream: NodeJS.WriteStream;
}

export function createProgress({ mode, peers, nameOf, stream }: ProgressOptions): Progress {
  if (mode === "json") {
    return { event: (event) => void stream.write(`${JSON.stringify(event)}\n`), close: () => {} };
  }
  const gather = roundGatherer(peers, nameOf);
  let rounds = 0;
  const lineOf = (event: TimedEvent) => {
    if (event.type === "started") rounds = event.rounds;
    if (event.type === "round") return gather(event, rounds);
    // Of several peers, what each does by itself is too much to read; the report has it.
    return peers > 1 && ownEvents.has(event.type) ? null : eventLine(event, nameOf);
  };
  if (mode === "lines") {
    return {
      event(event) {
        const line = lineOf(event);
        if (line !== null) stream.write(`${line}\n`);
      },
      close: () => {},
    };
  }
  const bars = new MultiBar(
    {
      format: "{bar} round {value}/{total}  {state}  {duration_formatted}",
      stream,
      hideCursor: true,
      barsize: 24,
    },
    Presets.shades_classic,
  );
  const bar: SingleBar = bars.create(1, 0, { state: "starting" });
  return {
    event(event) {
      const line = lineOf(event);
      if (line !== null) bars.log(`${line}\n`);
      if (event.type === "started") bar.setTotal(rounds);
      if (event.type === "trained")
        bar.update({ state: `${nameOf(event.peer)} trained, loss ${lossWord(event.loss)}` });
      if (event.type === "round")
        bar.update(event.round, { state: `validation loss ${lossWord(event.validationLoss)}` });
    },
    close: () => bars.stop(),
  };
}

/** The mode that suits the stream and the flags. */
export function progressMode(json: boolean, stream: NodeJS.WriteStream): ProgressOptions["mode"] {
  if (json) return "json";
  return stream.isTTY ? "terminal" : "lines";
}
