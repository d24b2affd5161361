/** The trials of `bench collective` as data, and what their records say. */
import { GradmeshError } from "../lib/base/errors.js";
import { copySeconds, type LinkProfile, lineSeconds, loopback, wireSeconds } from "./collective-limit.js";

export type Library = "gradmesh" | "gradmesh encrypted" | "gloo" | "Open MPI";

/** One thing that is timed, at each size. */
export interface Kind {
  readonly library: Library;
  readonly collective: string;
  readonly codec: string;
}

/** What one rank wrote of one trial; -1 stands for "not known". */
export interface RankRecord {
  readonly rank: number;
  readonly collective: string;
  readonly codec: string;
  readonly bytes: number;
  /** Seconds of a clock that all ranks share, a timed round each. */
  readonly started: readonly number[];
  readonly ended: readonly number[];
  readonly user: readonly number[];
  readonly system: readonly number[];
  /** Sent by this rank in a round. */
  readonly payloadBytes: number;
  readonly framingBytes: number;
  /** Of the whole tensor as its codec has it. */
  readonly wireBytes: number;
  readonly digest: string;
}

/** What all turns together say of a kind at one size, on one network. */
export interface Result extends Kind {
  readonly profile: LinkProfile;
  readonly ranks: number;
  readonly bytes: number;
  /** From the first rank's start to the last rank's end, a round each. */
  readonly seconds: readonly number[];
  /** CPU seconds of all ranks, a round each. */
  readonly cpuSeconds: readonly number[];
  readonly systemShare: number;
  /** Sent by all ranks together in a round; undefined where the library does not say. */
  readonly payloadBytes: number | undefined;
  readonly framingBytes: number | undefined;
  /** Of the whole tensor as its codec has it. */
  readonly wireBytes: number;
  /** See wireSeconds, and copySeconds on loopback. */
  readonly limitSeconds: number;
  /** See lineSeconds; 0 on loopback. */
  readonly lineSeconds: number;
  readonly digest: string;
}

const ringKinds = ["ring", "ring_chunked"];
/** gloo's all-reduces for memory of the CPU. */
export const glooAlgorithms = [...ringKinds, "bcube", "halving_doubling"];
export const isRing = (kind: Kind): boolean => ringKinds.includes(kind.collective);
export const isOurs = ({ library }: Kind): boolean => library.startsWith("gradmesh");

/** Ours: fp32 with every one of `collectives`, each codec with those of `coded`; then what they are measured beside. */
export function kindsOf(
  collectives: readonly string[],
  coded: readonly string[],
  codecs: readonly string[],
  securities: readonly string[],
): Kind[] {
  const ours = securities.flatMap((security) => {
    const library: Library = security === "encrypted" ? "gradmesh encrypted" : "gradmesh";
    return codecs.flatMap((codec) =>
      (codec === "fp32" ? collectives : coded).map((collective) => ({ library, collective, codec })),
    );
  });
  const gloo = glooAlgorithms.map((collective) => ({ library: "gloo" as const, collective, codec: "fp32" }));
  return [...ours, ...gloo, { library: "Open MPI", collective: "allreduce", codec: "fp32" }];
}

/**
 * Timed rounds of a turn: `roundsMost` over all turns, fewer where a round is long, so that a trial ends;
 * never under one a turn.
 */
export function roundsOfTurn(estimateSeconds: number, roundsMost: number, turns: number): number {
  const trialSecondsMost = 6;
  const rounds = Math.min(roundsMost, Math.ceil(trialSecondsMost / Math.max(estimateSeconds, 1e-6)));
  return Math.max(1, Math.ceil(rounds / turns));
}

/** About how long a round may take: the wire's time, or copies of 1 GB/s. Only plans rounds and time limits. */
export function estimateSeconds(profile: LinkProfile, ranks: number, bytes: number): number {
  if (profile === loopback) return copySeconds(ranks, bytes, 4e9);
  return (
    (wireSeconds(profile, ranks, bytes) + 2 * ranks * profile.delaySeconds) /
    (1 - Math.min(0.9, 300 * profile.loss))
  );
}

interface Gathered {
  seconds: number[];
  cpuSeconds: number[];
  user: number;
  system: number;
  last: readonly RankRecord[];
  digest: string;
}

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

/** Gathers the records of one network's launches, in turns, into results. */
export class Gatherer {
  readonly #gathered = new Map<string, Gathered & { kind: Kind; bytes: number }>();

  /**
   * The records of all ranks of one trial of one launch.
   * @throws ERR_DIVERGED where ranks or turns of ours hold different bytes.
   */
  add(library: Library, records: readonly RankRecord[]): void {
    const { collective, codec, bytes, digest, started } = records[0]!;
    const kind = { library, collective, codec };
    const key = JSON.stringify([kind, bytes]);
    const all = this.#gathered.get(key) ?? {
      ...{ kind, bytes, seconds: [], cpuSeconds: [], user: 0, system: 0, last: records, digest },
    };
    const expected = isOurs(kind) ? all.digest : digest;
    if (isOurs(kind) && records.some((record) => record.digest !== expected))
      throw new GradmeshError("ERR_DIVERGED", `${library} ${collective} ${codec}: ranks or turns differ`);
    for (const [round] of started.entries()) {
      const [user, system] = [records.map((r) => r.user[round]!), records.map((r) => r.system[round]!)];
      const [first, last] = [records.map((r) => r.started[round]!), records.map((r) => r.ended[round]!)];
      all.seconds.push(Math.max(...last) - Math.min(...first));
      all.cpuSeconds.push(sum(user) + sum(system));
      all.user += sum(user);
      all.system += sum(system);
    }
    all.last = records;
    this.#gathered.set(key, all);
  }

  /** copyRate(bytes, ranks): bytes a second of memcpy; see copySeconds. */
  results(profile: LinkProfile, ranks: number, copyRate: (bytes: number) => number): Result[] {
    return [...this.#gathered.values()].map(({ kind, bytes, last, user, system, ...rest }) => {
      const total = (of: (record: RankRecord) => number) =>
        last.some((record) => of(record) < 0) ? undefined : sum(last.map(of));
      const payloadBytes = total((record) => record.payloadBytes);
      const wireBytes = last[0]!.wireBytes < 0 ? bytes : last[0]!.wireBytes;
      const limitSeconds =
        profile === loopback
          ? copySeconds(ranks, wireBytes, copyRate(bytes))
          : wireSeconds(profile, ranks, wireBytes);
      const systemShare = system / Math.max(user + system, 1e-9);
      const framingBytes = total((record) => record.framingBytes);
      const { seconds, cpuSeconds, digest } = rest;
      return {
        ...{ ...kind, profile, ranks, bytes, seconds, cpuSeconds, systemShare, payloadBytes, framingBytes },
        ...{ wireBytes, limitSeconds, lineSeconds: lineSeconds(profile, ranks, wireBytes), digest },
      };
    });
  }
}
