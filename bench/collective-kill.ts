/** A peer killed in the middle of an all-reduce: when the survivors see it, and when they have the next result. */
import { GradmeshError } from "../lib/base/errors.js";
import { markdownTable, sizeName } from "./codec-report.js";
import { launch, loopbackHosts } from "./collective-launch.js";
import type { RankRecord } from "./collective-trials.js";
import { median } from "./median.js";

/** What a survivor wrote: seconds from the kill. */
interface Survivor {
  readonly rank: number;
  readonly seenSeconds: number;
  readonly resultSeconds: number;
  readonly digest: string;
}

/** One launch in which the last rank was killed. */
export interface Kill {
  /** From the kill to when the last survivor's operation had failed. */
  readonly seenSeconds: number;
  /** From there to when the last survivor had the result of an all-reduce among them. */
  readonly recoverySeconds: number;
  /** Undisturbed all-reduces of all ranks, and of the survivors alone: medians. */
  readonly allSeconds: number;
  readonly survivorsSeconds: number;
}

const SEEN_SECONDS_MOST = 0.05;
const RECOVERY_FACTOR = 1.2;
const UNDISTURBED_ROUNDS = 5;
const LAUNCH_SECONDS_MOST = 120;

function roundSeconds(records: readonly RankRecord[]): number {
  const last = (round: number) => Math.max(...records.map(({ ended }) => ended[round]!));
  const first = (round: number) => Math.min(...records.map(({ started }) => started[round]!));
  return median(records[0]!.started.map((_, round) => last(round) - first(round)));
}

/**
 * The launch as its ranks wrote it: each an undisturbed record, survivors then one among themselves, then what they saw.
 * @throws ERR_DIVERGED where the survivors hold different bytes.
 */
export function readKill(ranks: readonly (readonly unknown[])[]): Kill {
  const living = ranks.slice(0, -1) as (readonly [RankRecord, RankRecord, Survivor])[];
  const saw = living.map(([, , survivor]) => survivor);
  if (new Set(saw.map(({ digest }) => digest)).size !== 1)
    throw new GradmeshError("ERR_DIVERGED", "after the kill the survivors hold different bytes");
  const seenSeconds = Math.max(...saw.map((each) => each.seenSeconds));
  return {
    seenSeconds,
    recoverySeconds: Math.max(...saw.map((each) => each.resultSeconds)) - seenSeconds,
    allSeconds: roundSeconds(ranks.map(([all]) => all as RankRecord)),
    survivorsSeconds: roundSeconds(living.map(([, alone]) => alone)),
  };
}

/** Kills `turns` times, on loopback. */
export async function measureKills(
  programs: string,
  ranks: number,
  bytes: number,
  collective: string,
  turns: number,
): Promise<Kill[]> {
  const kills: Kill[] = [];
  for (let turn = 0; turn < turns; turn++)
    kills.push(
      readKill(
        await launch({
          library: "gradmesh",
          hosts: loopbackHosts(ranks),
          programs,
          trials: [`${collective}/fp32/${bytes}/${UNDISTURBED_ROUNDS}`],
          warmup: 1,
          streams: 1,
          paceMbit: 0,
          probeBytes: 0,
          agree: true,
          limitSeconds: LAUNCH_SECONDS_MOST,
          kill: true,
        }),
      ),
    );
  return kills;
}

/** A table of medians and worst cases, and the two goals. */
export function killReport(kills: readonly Kill[], ranks: number, bytes: number, collective: string): string {
  const columns: readonly [string, (kill: Kill) => number][] = [
    ["seen by all, ms", ({ seenSeconds }) => seenSeconds * 1e3],
    ["then the result, ms", ({ recoverySeconds }) => recoverySeconds * 1e3],
    [`undisturbed, ${ranks} ranks, ms`, ({ allSeconds }) => allSeconds * 1e3],
    [`undisturbed, ${ranks - 1} ranks, ms`, ({ survivorsSeconds }) => survivorsSeconds * 1e3],
    ["of undisturbed, all ranks", (kill) => kill.recoverySeconds / kill.allSeconds],
    ["of undisturbed, survivors", (kill) => kill.recoverySeconds / kill.survivorsSeconds],
  ];
  const line = (name: string, of: (values: number[]) => number) => [
    name,
    ...columns.map(([, value]) => of(kills.map(value)).toPrecision(3)),
  ];
  const seen = Math.max(...kills.map(({ seenSeconds }) => seenSeconds));
  const factor = median(kills.map((kill) => kill.recoverySeconds / kill.survivorsSeconds));
  const judge = (reached: boolean, text: string) => `- ${reached ? "reached" : "MISSED"}: ${text}`;
  return [
    `## A peer killed in the middle of ${collective} fp32, ${sizeName(bytes)}, ${ranks} ranks, loopback (${kills.length} times)`,
    markdownTable(
      ["", ...columns.map(([name]) => name)],
      [
        line("median", median),
        line("least", (values) => Math.min(...values)),
        line("most", (values) => Math.max(...values)),
      ],
    ),
    [
      judge(seen < SEEN_SECONDS_MOST, `seen within 50 ms: ${(seen * 1e3).toFixed(1)} ms at worst`),
      judge(
        factor <= RECOVERY_FACTOR,
        `result after that within ${RECOVERY_FACTOR} times an undisturbed all-reduce of the survivors: ${factor.toFixed(2)}`,
      ),
    ].join("\n"),
  ].join("\n\n");
}
