/** The gym's view of what `bench step --strategies` measures: the same strategies and links, on a virtual clock. */
import { fileURLToPath } from "node:url";
import { runArm } from "../lib/gym/arm.js";
import { planOne } from "../lib/gym/arms.js";
import { linkOf, type Profile } from "../test/net/profiles.js";

const module = fileURLToPath(new URL("./step-trainer.js", import.meta.url));

export interface SimulatedRun {
  readonly strategy: unknown;
  readonly options: Readonly<Record<string, unknown>>;
  readonly peers: number;
  readonly rounds: number;
  /** Null: peers without a network between them. */
  readonly profile: Profile | null;
  /** Of an inner step, as it was measured. */
  readonly secondsPerStep: number;
}

export interface Simulated {
  /** What one peer sends for each inner step by the strategy's own formula, the mean over the peers. */
  readonly cost: number;
  /** Payload and framing, by the schedules. */
  readonly bytes: number;
  /** For each inner step, all rounds but the first; null without a network. */
  readonly seconds: number | null;
}

/** @throws as the gym does. */
export async function simulateRun(run: SimulatedRun): Promise<Simulated> {
  const { strategy, options, peers, rounds, profile, secondsPerStep } = run;
  const kinds = Array.from({ length: peers }, (_, host) => {
    if (profile === null) return { secondsPerStep };
    const { megabitsPerSecond: upMbit, roundTripMs } = linkOf(profile, host);
    return { secondsPerStep, upMbit, downMbit: upMbit, delayMs: roundTripMs / 2 };
  });
  const plan = planOne({
    name: "step",
    peers: kinds,
    config: { rounds, strategy, trainer: { module, options } },
  });
  const { result } = await runArm(plan);
  const { rows, roundSteps, costBytesPerStep } = result;
  const later = rows.slice(1);
  const steps = later.length * roundSteps;
  const sent = later.reduce((sum, { bytes, members }) => sum + (bytes.payload + bytes.framing) / members, 0);
  return {
    cost: costBytesPerStep ?? Number.NaN,
    bytes: sent / steps,
    seconds: profile === null ? null : (rows.at(-1)!.seconds - rows[0]!.seconds) / steps,
  };
}
