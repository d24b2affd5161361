/** Faulty rounds in processes that live on: what they hold must not grow. */
import { Draw } from "../e2e/chaos-plan.js";
import { Group } from "./group.js";
import type { Answer, Resources } from "./peer.js";

const SURVIVORS = [0, 1, 2];
const VICTIM = 3;
const ELEMENTS = 60_000;
/** After these rounds everything that is remembered up to a bound is there. */
const WARM_ROUNDS = 10;
/** Less than a tenth of what one tensor a round would come to. */
const GROWTH_BYTES_MAX = 1 << 20;
const HARMS = ["kill", "corrupt", "shorter", "huge"];
const COLLECTIVES = ["ring", "direct", "halving_doubling", "broadcast"];

export interface LeakOptions {
  readonly program: string;
  readonly seed: number;
  readonly rounds: number;
  /** A sanitizer's own memory grows. */
  readonly sanitized?: boolean;
}

/** One round with a new victim; what the survivors hold after it. */
async function faultyRound(group: Group, draw: Draw, round: number): Promise<Resources> {
  const all = [...SURVIVORS, VICTIM];
  const harm = draw.pick(HARMS);
  await group.start(VICTIM);
  await Promise.all(SURVIVORS.map((name) => group.link(VICTIM, name, harm !== "kill")));
  const words = {
    id: round + 1,
    collective: draw.pick(COLLECTIVES),
    elements: ELEMENTS,
    segment: 2000,
    members: all.join(),
  };
  const victim = group.peer(VICTIM);
  const { steps } = await victim.do<Answer & { steps: number }>("steps", words);
  const at = { id: words.id, steps: draw.between(0, steps - 1), do: harm, peer: draw.pick(SURVIVORS) };
  await victim.do("fault", at);
  const ends = all.map((name) => group.post(name, words));
  ends[VICTIM]!.catch(() => {}); // it may be killed
  await Promise.all(SURVIVORS.map((name) => ends[name]!));
  await victim.kill();
  await Promise.all(SURVIVORS.map((name) => group.unlink(name, [VICTIM])));
  return group.peer(SURVIVORS[0]!).do<Resources & Answer>("resources");
}

/** @returns what the first survivor held, in words, and what grew. */
export async function runLeaks(options: LeakOptions): Promise<{ text: string; problems: string[] }> {
  const { program, seed, rounds, sanitized = false } = options;
  const draw = new Draw(seed);
  const group = new Group({ program, seed, silenceMs: 10_000, encrypted: false, streams: 1 });
  try {
    await Promise.all(SURVIVORS.map((name) => group.start(name)));
    await group.linkAll(SURVIVORS, SURVIVORS[0]!, false);
    const held: Resources[] = [];
    for (let round = 0; round < WARM_ROUNDS + rounds; round++)
      held.push(await faultyRound(group, draw, round));
    const [from, to] = [held[WARM_ROUNDS - 1]!, held.at(-1)!];
    const problems = (["residentBytes", "heapBytes"] as const).flatMap((kind) =>
      !sanitized && to[kind] - from[kind] > GROWTH_BYTES_MAX
        ? [`${kind} grew from ${from[kind]} to ${to[kind]} in ${rounds} rounds`]
        : [],
    );
    const others = (name: number) => SURVIVORS.filter((other) => other !== name);
    await Promise.all(SURVIVORS.map((name) => group.unlink(name, others(name))));
    problems.push(...(await group.leaks(SURVIVORS)), ...(await group.exit(SURVIVORS)));
    const kib = (kind: "residentBytes" | "heapBytes") => `${((to[kind] - from[kind]) / 1024).toFixed(0)} KiB`;
    return { text: `resident ${kib("residentBytes")}, heap ${kib("heapBytes")} more`, problems };
  } finally {
    await group.close();
  }
}
