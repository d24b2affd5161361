/** The options of `bench collective`, and what they say to do. */

import type { parseArgs } from "node:util";
import { GradmeshError } from "../lib/base/errors.js";
import { profiles } from "../test/net/profiles.js";
import { isOurs, kindsOf } from "./collective-trials.js";

const ALL_SIZES = "64KiB,256KiB,1MiB,4MiB,16MiB,64MiB,256MiB";
const ALL_PROFILES = ["loopback", ...Object.keys(profiles).filter((name) => name !== "nat")];
const RANKS_MOST = 16;
const STREAMS_MOST = 16;

export const options = {
  profiles: { type: "string", default: "loopback,1gbit-20ms" },
  ranks: { type: "string", default: "4" },
  sizes: { type: "string", default: "1MiB,16MiB,64MiB" },
  codecs: { type: "string", default: "fp32,bf16,int8_block,int4_block" },
  collectives: { type: "string", default: "ring,direct" },
  coded: { type: "string", default: "direct" },
  streams: { type: "string", default: "auto" },
  pace: { type: "string", default: "0" },
  probe: { type: "string", default: "8" },
  agree: { type: "boolean", default: false },
  security: { type: "string", default: "plain" },
  libraries: { type: "string", default: "gradmesh,gloo,Open MPI" },
  "congestion-control": { type: "string" },
  rounds: { type: "string", default: "15" },
  turns: { type: "string", default: "3" },
  all: { type: "boolean", default: false },
  kill: { type: "boolean", default: false },
  build: { type: "string" },
  json: { type: "string" },
  out: { type: "string" },
  help: { type: "boolean", default: false },
} as const;

export const help = `bench collective [options]
  --profiles A,B     of ${ALL_PROFILES.join(", ")} (all but loopback need root)
  --ranks 2,4,8      processes, one a host
  --sizes 1MiB,...   of float32; up to 1024MiB
  --codecs A,B       of ours; --collectives A,B of ours for fp32; --coded A,B of ours for the other codecs
  --streams N        sockets of each link of ours; auto: as many as the links' rate x round trip needs
  --pace N           what a rank of ours sends at most, in percent of the network's rate; 0: no limit
  --probe N          MiB of the burst by which ours measure each link of a network first, as runs do; 0: none
  --agree            ours end only when all ranks are done, as runs without a vote do
  --security A,B     of ours: plain, encrypted
  --libraries A,B    of gradmesh, gloo, Open MPI
  --congestion-control NAME   of the hosts of a network; else this machine's
  --rounds N         timed rounds of a trial, at most; fewer where a round is long
  --turns N          launches of each library, in turns
  --all              every size, 2, 4 and 8 ranks, every profile: hours
  --kill             instead: the last rank is killed in the middle of an all-reduce, --rounds times
  --build FOLDER     cmake's build folder, where not build/
  --json FILE, --out FILE     the results; the tables
`;

const fail = (message: string): never => {
  throw new GradmeshError("ERR_CONFIG", message);
};

function parseSizes(text: string): number[] {
  return text.split(",").map((part) => {
    const found = /^(\d+)(KiB|MiB)$/.exec(part);
    const bytes = found ? Number(found[1]) * (found[2] === "KiB" ? 2 ** 10 : 2 ** 20) : 0;
    return bytes > 0 && bytes <= 2 ** 30
      ? bytes
      : fail(`--sizes has "${part}"; allowed: up to 1024MiB, as in 1MiB`);
  });
}

function parseCounts(name: string, text: string, least: number, most: number): number[] {
  return text.split(",").map((part) => {
    const count = Number(part);
    return Number.isSafeInteger(count) && count >= least && count <= most
      ? count
      : fail(`--${name} has "${part}"; allowed: ${least} to ${most}`);
  });
}

function parseNames(name: string, text: string, allowed: readonly string[]): string[] {
  const names = text.split(",");
  const bad = names.find((each) => !allowed.includes(each));
  return bad === undefined ? names : fail(`--${name} has "${bad}"; allowed: ${allowed.join(", ")}`);
}

export type Values = ReturnType<typeof parseArgs<{ options: typeof options }>>["values"];

/** @throws ERR_CONFIG that names the option, its value and what is allowed. */
export function planOf(values: Values) {
  const libraries = parseNames("libraries", values.libraries, ["gradmesh", "gloo", "Open MPI"]);
  const security = parseNames("security", values.security, ["plain", "encrypted"]);
  const kinds = kindsOf(
    values.collectives.split(","),
    values.coded.split(","),
    values.codecs.split(","),
    security,
  );
  return {
    kinds: kinds.filter((kind) => libraries.includes(isOurs(kind) ? "gradmesh" : kind.library)),
    sizes: parseSizes(values.all ? ALL_SIZES : values.sizes),
    rounds: parseCounts("rounds", values.rounds, 1, 1000)[0]!,
    streams: values.streams === "auto" ? null : parseCounts("streams", values.streams, 1, STREAMS_MOST)[0]!,
    pacePercent: parseCounts("pace", values.pace, 0, 100)[0]!,
    probeMebibytes: parseCounts("probe", values.probe, 0, 256)[0]!,
    agree: values.agree,
    turns: parseCounts("turns", values.turns, 1, 100)[0]!,
    ranks: values.all ? [2, 4, 8] : parseCounts("ranks", values.ranks, 2, RANKS_MOST),
    profiles: values.all ? ALL_PROFILES : parseNames("profiles", values.profiles, ALL_PROFILES),
  };
}
