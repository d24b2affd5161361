/** Live progress of the gym: a bar for each arm on a terminal, plain lines elsewhere, JSON lines on request. */
import { MultiBar, Presets, type SingleBar } from "cli-progress";
import { formatSeconds } from "../base/format.js";
import type { GymEvent, Progress } from "./runner.js";

export interface GymProgress {
  event(event: GymEvent): void;
  close(): void;
}

/** How far a job is, in words. */
function standing({ loss, seconds, unit }: Progress): string {
  const told = loss === null ? "" : `loss ${loss.toFixed(4)}`;
  return unit === "steps" ? told : [told, `${formatSeconds(seconds)} simulated`].filter(Boolean).join(", ");
}

/** One line for an event, or null where a person needs none. */
export function gymLine(event: GymEvent): string | null {
  switch (event.type) {
    case "skipped":
      return `${event.name} is done already`;
    case "done":
      return `${event.name} is done`;
    case "failed":
      return `${event.name} failed: ${event.reason}`;
    case "progress":
      return `${event.name}: ${event.unit === "rounds" ? "round" : "step"} ${event.done}/${event.total}  ${standing(event)}`;
    default:
      return null;
  }
}

/** Lines of progress are at least so far apart for each job; its last one always comes. */
const LINE_MS = 5_000;

function lines(stream: NodeJS.WritableStream, now: () => number): GymProgress {
  const told = new Map<string, number>();
  return {
    event(event) {
      if (event.type === "progress") {
        const last = told.get(event.name) ?? Number.NEGATIVE_INFINITY;
        if (event.done < event.total && now() - last < LINE_MS) return;
        told.set(event.name, now());
      }
      const line = gymLine(event);
      if (line !== null) stream.write(`${line}\n`);
    },
    close: () => {},
  };
}

function bars(stream: NodeJS.WriteStream): GymProgress {
  const all = new MultiBar(
    {
      format: "{bar} {value}/{total} {name}  {state}  {duration_formatted}",
      stream,
      hideCursor: true,
      barsize: 20,
    },
    Presets.shades_classic,
  );
  const open = new Map<string, SingleBar>();
  return {
    event(event) {
      if (event.type === "progress") {
        const bar = open.get(event.name) ?? all.create(event.total, 0, { name: event.name, state: "" });
        open.set(event.name, bar);
        bar.update(event.done, { name: event.name, state: standing(event) });
        return;
      }
      const bar = open.get(event.name);
      if (bar !== undefined && event.type === "done") {
        all.remove(bar);
        open.delete(event.name);
      }
      const line = gymLine(event);
      if (line !== null) all.log(`${line}\n`);
    },
    close: () => all.stop(),
  };
}

/** @param now milliseconds, for how often lines come. */
export function createGymProgress(
  mode: "terminal" | "lines" | "json",
  stream: NodeJS.WriteStream,
  now: () => number = () => performance.now(),
): GymProgress {
  if (mode === "json")
    return { event: (event) => void stream.write(`${JSON.stringify(event)}\n`), close: () => {} };
  return mode === "terminal" ? bars(stream) : lines(stream, now);
}
