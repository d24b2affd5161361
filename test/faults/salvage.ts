/** Mode salvage: what the failed operation finished is kept, the rest is reduced again by the survivors; both are proved. */
import { ids, type Run, wordsOf } from "./operation.js";
import type { Answer, Ended, Ranges } from "./peer.js";

interface Parts extends Answer {
  /** Elements that hold the result of all ranks of the failed operation, and those of the survivors alone. */
  readonly kept: Ranges;
  readonly again: Ranges;
}

const BYTES = { fp32: 4, bf16: 2, fp16: 2 } as const;
const wordOf = (ranges: Ranges) => ranges.map(([begin, elements]) => `${begin}:${elements}`).join("+") || "-";
const total = (ranges: Ranges) => ranges.reduce((sum, [, elements]) => sum + elements, 0);

/** What each survivor holds: all of it where it succeeded. */
function heldBy({ plan, group }: Run, survivors: readonly Ended[]): Promise<Ranges[]> {
  return Promise.all(
    plan.survivors.map(async (name, at): Promise<Ranges> => {
      if (survivors[at]!.code === "ok") return [[0, plan.elements]];
      const { ranges } = await group
        .peer(name)
        .do<Answer & { ranges: Ranges }>("finished", { id: ids.struck });
      return ranges;
    }),
  );
}

/** Elements of a peer's kept output `a` that differ from those of `b`, whose first element is `first` of the whole. */
async function differ(run: Run, name: number, b: string, ranges: Ranges, first = 0): Promise<number> {
  const words = { a: "struck", b, first, ranges: wordOf(ranges), size: BYTES[run.plan.arithmetic.dtype] };
  return (await run.group.peer(name).do<Answer & { differ: number }>("compare", words)).differ;
}

/** Each kept part has the bytes of the undisturbed whole; each other one those of the survivors' operation on it. */
async function prove(run: Run, { kept, again }: Parts): Promise<string[]> {
  const { plan, group } = run;
  const problems: string[] = [];
  const check = async (b: string, ranges: Ranges, first: number, whose: string) => {
    for (const name of plan.survivors) {
      const wrong = await differ(run, name, b, ranges, first);
      if (wrong > 0)
        problems.push(`peer ${name}: ${wrong} of ${total(ranges)} elements are not those of ${whose}`);
    }
  };
  await check("whole", kept, 0, "all ranks");
  for (const [at, [first, elements]] of again.entries()) {
    const keep = `part${at}`;
    const words = wordsOf(run, plan.survivors, ids.parts + at);
    for (const end of await group.run(plan.survivors, { ...words, first, elements, keep }))
      if (end.code !== "ok") problems.push(`a part alone: ${end.code}, ${end.message}`);
    await check(keep, [[first, elements]], first, "the survivors");
  }
  return problems;
}

/** Runs the cell's operation on what is left; its ends, what is wrong with the parts, and the share that was kept. */
export async function salvage(
  run: Run,
  survivors: readonly Ended[],
): Promise<{ next: Ended[]; problems: string[]; kept: number }> {
  const { plan, group } = run;
  const held = await heldBy(run, survivors);
  const problems: string[] = [];
  for (const [at, name] of plan.survivors.entries())
    if ((await differ(run, name, "whole", held[at]!)) > 0)
      problems.push(`peer ${name}: what it says is finished is not what all ranks would have got`);
  const words = { ...wordsOf(run, plan.survivors, ids.next), held: held.map(wordOf).join("/") };
  const ask = (name: number) =>
    group.peer(name).do<Parts>("contributors", {
      ...words,
      members: plan.survivors.join(),
      before: plan.ranks,
    });
  const parts = await Promise.all(plan.survivors.map(ask));
  if (new Set(parts.map(({ kept, again }) => JSON.stringify([kept, again]))).size > 1)
    problems.push("survivors count contributors differently");
  if (total(parts[0]!.kept) + total(parts[0]!.again) !== plan.elements)
    problems.push("the parts are not the whole");
  const next = await group.run(plan.survivors, { ...words, keep: "struck" });
  if (next.every(({ code }) => code === "ok")) problems.push(...(await prove(run, parts[0]!)));
  return { next, problems, kept: total(parts[0]!.kept) / plan.elements };
}
