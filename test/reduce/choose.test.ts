/** The choice of a collective: the same for the same question, said in words, and direct until all links are known. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type ChoiceQuestion, chooseCollective, islandsOf } from "../../lib/reduce/choose.js";

const MEGABIT = 1e6 / 8;

/** All links alike. */
function even(ranks: number, bytesPerSecond: number, seconds: number) {
  const all = (value: number) =>
    Array.from({ length: ranks * ranks }, (_, at) => (at % (ranks + 1) === 0 ? 0 : value));
  return { bytesPerSecond: all(bytesPerSecond), seconds: all(seconds) };
}

const question = (change: Partial<ChoiceQuestion>): ChoiceQuestion => ({
  ranks: 4,
  elements: 1 << 20,
  codec: "fp32",
  segmentElements: 65_536,
  links: even(4, 1000 * MEGABIT, 0.01),
  ...change,
});

test("on even links direct wins: the fewest steps, and nothing sends less", async () => {
  const choice = await chooseCollective(question({}));
  assert.is(choice.collective, "direct");
  assert.is(choice.order, undefined);
  assert.match(choice.explain(), /^direct is predicted to take /);
  const seconds = choice.candidates.flatMap((one) => (one.refused === "" ? (one.seconds ?? []) : []));
  const direct = choice.candidates.find(({ collective }) => collective === "direct")!;
  assert.is(direct.seconds, Math.min(...seconds));
});

test("one slow pair: a ring goes around it where the tensor is large, in the order that avoids it", async () => {
  const links = even(4, 1000 * MEGABIT, 0.001);
  for (const at of [1, 4]) links.bytesPerSecond[at] = 5 * MEGABIT;
  const large = question({ links, elements: 1 << 24 });
  const { collective, order } = await chooseCollective(large);
  assert.is(collective, "ring");
  assert.equal([...order!].sort(), [0, 1, 2, 3]);
  const hops = order!.map((rank, at) => [rank, order![(at + 1) % 4]!].sort().join(" "));
  assert.not(hops.includes("0 1"));
  assert.equal((await chooseCollective(large)).order, order, "all ranks agree");
  assert.is((await chooseCollective(question({ links, elements: 64 }))).collective, "direct");
});

test("two sites far apart: islands, each with a leader", async () => {
  const site = (rank: number) => rank % 2;
  const links = even(6, 1000 * MEGABIT, 0.0005);
  for (let at = 0; at < 36; at += 1)
    if (site(Math.floor(at / 6)) !== site(at % 6)) {
      links.bytesPerSecond[at] = 20 * MEGABIT;
      links.seconds[at] = 0.05;
    }
  const leaders = islandsOf(links, 6);
  assert.equal(leaders.map(site), [0, 1, 0, 1, 0, 1]);
  assert.is(new Set(leaders).size, 2);
  const { candidates } = await chooseCollective(question({ ranks: 6, links, elements: 1 << 22 }));
  assert.is(candidates.find(({ collective }) => collective === "hierarchical")!.refused, "");
});

test("without all measurements, and for two ranks, it is direct, with the reason", async () => {
  const few = even(4, 1, 0.01);
  few.bytesPerSecond[7] = 0;
  const explained = async (change: Partial<ChoiceQuestion>) =>
    (await chooseCollective(question(change))).explain();
  assert.match(await explained({ links: few }), /^direct: 11 of 12 links are measured yet/);
  assert.match(await explained({ links: null }), /^direct: 0 of 12 links/);
  assert.match(await explained({ ranks: 2, links: even(2, 1, 1) }), /^direct: for 2 ranks/);
  assert.equal(islandsOf(null, 3), [0, 0, 0]);
});

test("a coded reduction does not go by halving and doubling, which takes none", async () => {
  const refusal = async (codec: string) => {
    const { candidates } = await chooseCollective(question({ codec }));
    return candidates.find(({ collective }) => collective === "halving_doubling")!.refused;
  };
  assert.is(await refusal("fp32"), "");
  assert.match(await refusal("int8_block"), /codec/);
});

test.run();
