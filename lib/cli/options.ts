/** Parsers of command-line values: each names the option, the value and what is allowed. */
import { InvalidArgumentError } from "commander";
import { GradmeshError } from "../base/errors.js";
import { PER_MILLION } from "../ledger/draw.js";
import { type CheatPlan, cheatKinds } from "../run/cheat.js";
import type { FaultPlan } from "../run/fault.js";

/** A whole number from `least` to `most`. */
export function wholeNumber(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < least || value > most)
      throw new InvalidArgumentError(`a whole number from ${least} to ${most} is allowed.`);
    return value;
  };
}

/** A share of one, such as 0.05, in parts per million: as finely as a run's terms have it. @param least of these parts. */
export function sharePpm(least: number): (text: string) => number {
  return (text) => {
    const value = Math.round(Number(text) * PER_MILLION);
    if (!/^(0|1|0?\.\d{1,6}|1\.0{1,6})$/.test(text) || value < least)
      throw new InvalidArgumentError(
        `a share from ${least / PER_MILLION} to 1 is allowed, with six digits after the point at most.`,
      );
    return value;
  };
}

/** cpu, cuda or cuda:<index>. */
export function deviceName(text: string): string {
  if (!/^(cpu|cuda(:\d{1,3})?)$/.test(text))
    throw new InvalidArgumentError("cpu, cuda, or cuda:<index> such as cuda:1 is allowed.");
  return text;
}

const faultSignals = ["SIGKILL", "SIGSTOP", "SIGTERM"] as const;

/** round:steps:signal, such as 6:9:SIGKILL. */
export function faultPlan(text: string): FaultPlan {
  const match = /^(\d{1,9}):(\d{1,9}):(\w+)$/.exec(text);
  const signal = faultSignals.find((name) => name === match?.[3]);
  if (match === null || signal === undefined || Number(match[1]) < 1)
    throw new InvalidArgumentError(
      `ROUND:STEPS:SIGNAL is allowed, with a round from 1 and a signal of ${faultSignals.join(", ")}.`,
    );
  return { round: Number(match[1]), steps: Number(match[2]), signal };
}

/** kind:round, such as skip:3. */
export function cheatPlan(text: string): CheatPlan {
  const [name, round] = text.split(":");
  const kind = cheatKinds.find((known) => known === name);
  if (kind === undefined || !/^[1-9]\d{0,8}$/.test(round ?? ""))
    throw new InvalidArgumentError(
      `KIND:ROUND is allowed, with a kind of ${cheatKinds.join(", ")} and a round from 1.`,
    );
  return { kind, round: Number(round) };
}

/** Aborts at the first Ctrl-C or SIGTERM; a second one ends the process at once. */
export function interruptSignal(): AbortSignal {
  const controller = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const)
    process.once(name, () => {
      process.once(name, () => process.exit(130));
      controller.abort(new GradmeshError("ERR_ABORTED", `interrupted by ${name}`));
    });
  return controller.signal;
}
