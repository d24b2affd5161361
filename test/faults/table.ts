/** What the fault tests cross, as data: faults, algorithms, arithmetic, phases of an operation, modes, places. */
/** What a victim does when so many of its steps are done (test/net/fault_peer.cpp). */
export type Harm =
  | "kill"
  | "stop"
  | "cut"
  | "slow"
  | "corrupt"
  /** One of the lies about the length of a frame: shorter, longer, empty, huge. */
  | "lie";

export interface Fault {
  readonly name: string;
  readonly doc: string;
  /** Of the first victim, by a step count. */
  readonly harm: Harm;
  /** Strikes a second victim when the first one is struck. */
  readonly second?: "kill" | "stop";
  /** A stopped victim goes on: within the silence limit, or after the others have the next result without it. */
  readonly resumes?: "in time" | "late";
  /** lost: survivors all fail with peer_lost naming a victim, or all succeed; well: everybody succeeds. */
  readonly ends: "lost" | "well";
  /**
   * The harm is to a link between two that both live. Each may name the other, and one of them may have succeeded where
   * the others fail: no agreement over a link that loses messages excludes that. A run's coordinator decides then.
   */
  readonly ofLink?: boolean;
  /** After this a link that says nothing is lost; milliseconds. */
  readonly silenceMs: number;
  /** Stated bound from the fault until every survivor has its error, beside the round trip; milliseconds. */
  readonly boundMs: number;
  /** What a survivor says of the link, where the fault was seen. */
  readonly says?: RegExp;
  /** The same on the test network: commands of its bridge (test/net/control.h), FROM and TO being hosts. */
  readonly onNetwork?: { readonly do: string; readonly undo: string };
}

const SILENCE_MS = 600;
const PATIENT_MS = 10_000;
/** Stated: a peer that is killed is seen within so long on loopback, as the kernel ends its connections. */
const KILLED_MS = 50;
/** A link that breaks the protocol is closed at once, and the abort passes. */
const BROKEN_MS = 50;
const CLOSED = /closed the connection|connection broke/;
const SILENT = /nothing was heard/;

export const faults: readonly Fault[] = [
  {
    name: "killed",
    doc: "SIGKILL: the kernel ends its connections",
    harm: "kill",
    ends: "lost",
    silenceMs: PATIENT_MS,
    boundMs: KILLED_MS,
    says: CLOSED,
  },
  {
    name: "stopped",
    doc: "SIGSTOP for good: its connections stay, and say nothing",
    harm: "stop",
    ends: "lost",
    silenceMs: SILENCE_MS,
    boundMs: SILENCE_MS,
    says: SILENT,
  },
  {
    name: "resumed late",
    doc: "SIGSTOP, then SIGCONT when the others have gone on; it ends with an error of its own and takes part again",
    harm: "stop",
    resumes: "late",
    ends: "lost",
    silenceMs: SILENCE_MS,
    boundMs: SILENCE_MS,
    says: SILENT,
  },
  {
    name: "resumed in time",
    doc: "SIGSTOP, then SIGCONT well within the silence limit: nobody fails",
    harm: "stop",
    resumes: "in time",
    ends: "well",
    silenceMs: PATIENT_MS,
    boundMs: 0,
  },
  {
    name: "cut one way",
    doc: "nothing that the victim sends to one other arrives; what that one sends does",
    harm: "cut",
    ends: "lost",
    ofLink: true,
    silenceMs: SILENCE_MS,
    boundMs: SILENCE_MS,
    says: SILENT,
    onNetwork: { do: "cut FROM TO", undo: "restore FROM TO" },
  },
  {
    name: "slow",
    doc: "all links of the victim at a tenth of their rate or less: right, only later; slow is not silent",
    harm: "slow",
    ends: "well",
    silenceMs: 2000,
    boundMs: 0,
    onNetwork: { do: "slow FROM 10", undo: "slow FROM 1" },
  },
  {
    name: "corrupted",
    doc: "a bit of what the victim sends to one other is flipped; checksum or GCM tag, or the header's own check",
    harm: "corrupt",
    ends: "lost",
    ofLink: true,
    silenceMs: PATIENT_MS,
    boundMs: BROKEN_MS,
    says: /checksum|authentic|a frame|sequence|allowed|schedule|expects|frame before/,
    onNetwork: { do: "corrupt FROM TO 0.02", undo: "corrupt FROM TO 0" },
  },
  {
    name: "lies",
    doc: "a data frame to one other says a length that is not the schedule's, under a checksum that fits",
    harm: "lie",
    ends: "lost",
    ofLink: true,
    silenceMs: PATIENT_MS,
    boundMs: BROKEN_MS,
    says: /the schedule has|are allowed|checksum|authentic/,
  },
  {
    name: "two killed",
    doc: "two of five are killed at once",
    harm: "kill",
    second: "kill",
    ends: "lost",
    silenceMs: PATIENT_MS,
    boundMs: KILLED_MS,
    says: CLOSED,
  },
  {
    name: "killed and stopped",
    doc: "of five one is killed and one is stopped at once",
    harm: "kill",
    second: "stop",
    ends: "lost",
    silenceMs: SILENCE_MS,
    boundMs: SILENCE_MS,
    says: CLOSED,
  },
];

/** Faults of the control plane, whose rows are tests of whole runs. */
export const elsewhere: readonly { readonly name: string; readonly covered: readonly string[] }[] = [
  {
    name: "coordinator away",
    covered: [
      "test/e2e/faults.test.ts: the coordinator's process is killed and started again",
      "test/e2e/faults.test.ts: the coordinator is killed in the middle of an all-reduce",
      "test/e2e/faults.test.ts: a coordinator that was killed before its members heard of the end",
      "test/e2e/chaos-plan.ts: traps that kill it at a commit, a vote, a recovery, a transfer and the end",
      "test/faults/coordinator.test.ts: members reduce while it is stopped, and go on when it wakes",
    ],
  },
];

export interface Arithmetic {
  readonly dtype: "fp32" | "bf16" | "fp16";
  readonly codec: string;
}

const plain: readonly Arithmetic[] = [
  { dtype: "fp32", codec: "fp32" },
  { dtype: "bf16", codec: "bf16" },
];
/** Codecs without random numbers, so that a part alone has the bytes that it has in the whole. */
const coded: readonly Arithmetic[] = [
  ...plain,
  { dtype: "fp32", codec: "int8_block" },
  { dtype: "fp16", codec: "int4_block" },
];

export interface Algorithm {
  readonly name: string;
  readonly arithmetics: readonly Arithmetic[];
  /** Every rank ends with the same bytes. */
  readonly alike: boolean;
  /** Has a mode `salvage`. */
  readonly salvageable: boolean;
  /** Its root may not be a victim in mode salvage: nobody else has its bytes. */
  readonly rooted?: "source" | "sink";
  /** Further words of its request, by rank count. */
  readonly words?: (ranks: number) => Readonly<Record<string, string>>;
}

export const algorithms: readonly Algorithm[] = [
  { name: "ring", arithmetics: coded, alike: true, salvageable: true },
  { name: "direct", arithmetics: coded, alike: true, salvageable: true },
  { name: "halving_doubling", arithmetics: plain, alike: true, salvageable: true },
  {
    name: "hierarchical",
    arithmetics: coded,
    alike: true,
    salvageable: true,
    words: (ranks) => ({ islands: Array.from({ length: ranks }, (_, rank) => (rank < 2 ? 0 : 2)).join() }),
  },
  { name: "tree_reduce", arithmetics: plain, alike: false, salvageable: false, rooted: "sink" },
  { name: "reduce_scatter", arithmetics: coded, alike: false, salvageable: false },
  { name: "broadcast", arithmetics: coded, alike: true, salvageable: true, rooted: "source" },
  { name: "tree_broadcast", arithmetics: coded, alike: true, salvageable: true, rooted: "source" },
  { name: "all_gather", arithmetics: coded, alike: true, salvageable: false },
  {
    name: "mix",
    arithmetics: coded,
    alike: false,
    salvageable: false,
    words: () => ({ topology: "exponential" }),
  },
];

/** Thirds of the victim's steps, in which a point is drawn. */
export const phases = ["first", "middle", "last"] as const;
export type Phase = (typeof phases)[number];
export type Mode = "exact" | "salvage";
export type Place = "loopback" | "network";

export interface Cell {
  readonly fault: Fault;
  readonly algorithm: Algorithm;
  readonly phase: Phase;
  readonly mode: Mode;
  readonly place: Place;
  /** Everything else is drawn from it: arithmetic, encryption, victims, sizes, the step. */
  readonly seed: number;
}
