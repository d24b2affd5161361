/** What the collective bench measured, as goals and as Markdown tables. */
import { markdownTable, sizeName } from "./codec-report.js";
import { loopback } from "./collective-limit.js";
import { isOurs, isRing, type Result } from "./collective-trials.js";
import { median } from "./median.js";

const MEBIBYTE = 2 ** 20;
/** Share of the physical limit, from this many bytes on, without loss. */
const LIMIT_BYTES_LEAST = 16 * MEBIBYTE;
const SHARE_FP32 = 0.95;
const SHARE_CODED = 0.9;
/** A codec is held to SHARE_CODED where its wire has at most so many times the bytes of fp32: 8 bits and scales. */
const CODED_SHARE_MOST = 0.27;
const LATENCY_FACTOR = 1.3;

const timeOf = (result: Result) => median(result.seconds);
const cpuOf = (result: Result) => median(result.cpuSeconds);
const shareOf = (result: Result) => result.limitSeconds / timeOf(result);
const nameOf = ({ library, collective }: Result) => `${library} ${collective}`;

/** The result with the least of `cost`; undefined of none. */
function least(results: readonly Result[], cost: (result: Result) => number): Result | undefined {
  return results.reduce<Result | undefined>(
    (best, each) => (best === undefined || cost(each) < cost(best) ? each : best),
    undefined,
  );
}

export interface Goal {
  readonly text: string;
  readonly reached: boolean;
}

const judge = (what: string, value: number, reached: boolean, of: string): Goal => ({
  text: `${what}: ${value.toFixed(2)} (${of})`,
  reached,
});

/** Goals of a network: shares of the limit, latency, and that fewer bits are faster. */
function networkGoals(cell: readonly Result[]): Goal[] {
  const goals: Goal[] = [];
  const ours = cell.filter(isOurs);
  const { bytes, profile } = cell[0]!;
  if (bytes >= LIMIT_BYTES_LEAST && profile.loss === 0)
    for (const codec of new Set(ours.map((each) => each.codec))) {
      const best = least(
        ours.filter((each) => each.codec === codec),
        timeOf,
      )!;
      const bits = (best.wireBytes * 32) / best.bytes;
      if (codec !== "fp32" && bits > 32 * CODED_SHARE_MOST) continue;
      const goal = codec === "fp32" ? SHARE_FP32 : SHARE_CODED;
      const share = shareOf(best);
      goals.push(judge(`${codec} at ${goal} of the limit`, share, share >= goal, nameOf(best)));
    }
  const direct = least(
    ours.filter(({ collective, codec }) => collective === "direct" && codec === "fp32"),
    timeOf,
  );
  if (bytes === MEBIBYTE && direct) {
    const factor = 1 / shareOf(direct);
    const what = `1 MiB fp32 within ${LATENCY_FACTOR} times the limit of direct`;
    goals.push(judge(what, factor, factor <= LATENCY_FACTOR, nameOf(direct)));
  }
  const fp32 = least(
    ours.filter(({ codec }) => codec === "fp32"),
    timeOf,
  );
  const int8 = least(
    ours.filter(({ codec }) => codec.startsWith("int8")),
    timeOf,
  );
  if (fp32 && int8) {
    const factor = timeOf(fp32) / timeOf(int8);
    goals.push(judge("int8 faster than fp32, times", factor, factor > 1, nameOf(int8)));
  }
  return goals;
}

/** Goals of loopback: less CPU time than gloo's best ring and than Open MPI over TCP, for fp32. */
function loopbackGoals(cell: readonly Result[]): Goal[] {
  if (cell[0]!.bytes < MEBIBYTE) return [];
  const ours = least(
    cell.filter((each) => each.library === "gradmesh" && each.codec === "fp32"),
    cpuOf,
  );
  if (ours === undefined) return [];
  const others = [
    [
      "gloo's best ring",
      least(
        cell.filter((each) => each.library === "gloo" && isRing(each)),
        cpuOf,
      ),
    ],
    [
      "Open MPI",
      least(
        cell.filter((each) => each.library === "Open MPI"),
        cpuOf,
      ),
    ],
  ] as const;
  return others.flatMap(([name, other]) => {
    if (other === undefined) return [];
    const ratio = cpuOf(ours) / cpuOf(other);
    return [judge(`CPU time below ${name}'s, of it`, ratio, ratio < 1, nameOf(ours))];
  });
}

/** The goals that hold for the results of one network and size. */
export const goalsOf = (cell: readonly Result[]): Goal[] =>
  cell[0]!.profile === loopback ? loopbackGoals(cell) : networkGoals(cell);

const digits = (value: number) => (value >= 100 ? value.toFixed(0) : value.toPrecision(3));
const ratio = (ours: number, other: Result | undefined, of: (result: Result) => number) =>
  other === undefined ? "-" : (ours / of(other)).toFixed(2);

function row(result: Result, cell: readonly Result[]): string[] {
  const fp32 = cell.filter(({ library }) => library === "gloo");
  const gloo = least(fp32, timeOf);
  const mpi = cell.find(({ library }) => library === "Open MPI");
  const { payloadBytes, framingBytes, ranks } = result;
  const sent = (bytes: number) => digits(bytes / ranks / MEBIBYTE);
  const ending = framingBytes === undefined ? "" : ` + ${(framingBytes / ranks / 1024).toFixed(1)} KiB`;
  const time = timeOf(result);
  return [
    result.library,
    result.collective,
    result.codec,
    digits(time * 1e3),
    `${digits(Math.min(...result.seconds) * 1e3)} - ${digits(Math.max(...result.seconds) * 1e3)}`,
    shareOf(result).toFixed(2),
    result.lineSeconds === 0 ? "-" : (result.lineSeconds / time).toFixed(2),
    payloadBytes === undefined ? "-" : `${sent(payloadBytes)} MiB${ending}`,
    digits(cpuOf(result) * 1e3),
    result.systemShare.toFixed(2),
    ratio(time, gloo, timeOf),
    ratio(cpuOf(result), least(fp32.filter(isRing), cpuOf), cpuOf),
    ratio(time, mpi, timeOf),
    ratio(cpuOf(result), mpi, cpuOf),
    result.digest.slice(0, 8),
  ];
}

const heads = [
  ...[
    "library",
    "collective",
    "codec",
    "ms",
    "least - most",
    "of limit",
    "of line",
    "sent a rank",
    "CPU ms",
    "system",
  ],
  ...["time / gloo best", "CPU / gloo best ring", "time / MPI", "CPU / MPI", "digest"],
];

/** One network and size: the table, then each goal and whether it is reached. */
export function cellReport(cell: readonly Result[]): string {
  const { profile, ranks, bytes } = cell[0]!;
  const rounds = Math.max(...cell.map(({ seconds }) => seconds.length));
  const goals = goalsOf(cell).map(({ text, reached }) => `- ${reached ? "reached" : "MISSED"}: ${text}`);
  const limit = `limit of ${cell[0]!.codec}: ${digits(cell[0]!.limitSeconds * 1e3)} ms`;
  return [
    `## ${profile.name}, ${ranks} ranks, ${sizeName(bytes)} (${rounds} rounds; ${limit})`,
    markdownTable(
      heads,
      cell.map((result) => row(result, cell)),
    ),
    ...(goals.length > 0 ? [goals.join("\n")] : []),
  ].join("\n\n");
}

/** Every cell of the results, in the order they came. */
export function cellsOf(results: readonly Result[]): Result[][] {
  const cells = new Map<string, Result[]>();
  for (const result of results) {
    const key = `${result.profile.name} ${result.ranks} ${result.bytes}`;
    cells.set(key, [...(cells.get(key) ?? []), result]);
  }
  return [...cells.values()];
}

export interface Setting {
  readonly machine: string;
  readonly date: string;
  readonly congestionControl: string;
  readonly turns: number;
  readonly missing: readonly string[];
}

/** What the tables' columns are, and on what they were measured. */
export function headReport({ machine, date, congestionControl, turns, missing }: Setting): string {
  return [
    `${machine}, ${date}, congestion control ${congestionControl}. One process a rank; libraries in ${turns} turns; medians.`,
    "A round lasts from the first rank's start to the last rank's end. CPU ms: all ranks, user and system, until all have\n" +
      "ended (Open MPI: until a rank's own call has; the bridge of a network is not in it); \"system\" is the kernel's share.\n" +
      "Libraries other than gradmesh are fp32 sums; gradmesh computes the mean. gloo best: the least time of its four\n" +
      "all-reduces; gloo best ring: the least CPU of its two rings. On a network gradmesh measures each link by a burst first,\n" +
      "as runs do, and opens as many sockets a link as rate x round trip needs; it ends when a rank's own steps are done, as\n" +
      "the others do.",
    "Of limit, on a network: (2(n-1)/n x coded bytes / bandwidth + 2 x one-way delay) / time: the two latency steps of direct,\n" +
      "for all; bandwidth is what TCP's payload can have of it, 1448/1500. Of line: 2(n-1)/n x coded bytes / the line's rate of IP\n" +
      "packets / time, without latency. On loopback: 4(n-1) x coded bytes copied (into the kernel and out)\n" +
      "at the speed of memcpy of buffers of that size on min(n, cores) cores at once, measured in this run.",
    ...missing,
  ].join("\n\n");
}
