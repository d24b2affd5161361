/** Sums under masks: exact whoever drops out, refused where they would tell of one, and never beside a robust rule. */
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import {
  type SecureHello,
  type SecureMasked,
  SecureMember,
  type SecureShares,
  unmaskMean,
} from "../../lib/engine/secure-sum.js";
import { checkTerms, type SecureTerms } from "../../lib/engine/secure-terms.js";
import { robustRules } from "../../lib/strategy/recipe.js";
import { createStrategies } from "../../lib/strategy/registry.js";
import { failure } from "../failure.js";

const termsOf = (n: number, more: Partial<SecureTerms> = {}): SecureTerms => ({
  name: "run 1 round 2",
  members: Array.from({ length: n }, (_, rank) => `peer-${rank}`),
  threshold: Math.floor(n / 2) + 1,
  contributorsMin: 3,
  elements: 33,
  bound: 8,
  aggregate: { kind: "mean" },
  ...more,
});

const contribution = (rank: number, elements: number) =>
  Float32Array.from({ length: elements }, (_, i) => Math.sin(100 * rank + i) * (i === 0 ? 20 : 3));

/** Until which message each member stays. */
type Stage = "shares" | "masked" | "reveal" | "end";
const stages: readonly Stage[] = ["shares", "masked", "reveal", "end"];

interface Outcome {
  readonly hellos: readonly SecureHello[];
  readonly shares: readonly SecureShares[];
  readonly masked: readonly SecureMasked[];
  readonly members: ReadonlyMap<string, SecureMember>;
  readonly mean: Float32Array;
}

async function sum(terms: SecureTerms, leaves: readonly Stage[]): Promise<Outcome> {
  const stays = (peerId: string, to: Stage) =>
    stages.indexOf(leaves[terms.members.indexOf(peerId)]!) > stages.indexOf(to);
  const members = new Map(terms.members.map((peerId) => [peerId, new SecureMember(terms, peerId)]));
  const hellos = [...members.values()].map((member) => member.hello());
  const shares: SecureShares[] = [];
  for (const [peerId, member] of members) {
    const own = await member.share(hellos);
    if (stays(peerId, "shares")) shares.push(...own);
  }
  const sharing = hellos.filter(({ peerId }) => stays(peerId, "shares"));
  const masked: SecureMasked[] = [];
  for (const { peerId } of sharing.filter((hello) => stays(hello.peerId, "masked"))) {
    const rank = terms.members.indexOf(peerId);
    const given = shares.filter(({ to }) => to === peerId);
    masked.push(members.get(peerId)!.mask(given, contribution(rank, terms.elements)));
  }
  const contributors = masked.map((one) => one.peerId);
  const reveals = contributors
    .filter((peerId) => stays(peerId, "reveal"))
    .map((peerId) => members.get(peerId)!.reveal(contributors));
  const mean = await unmaskMean(terms, sharing, masked, reveals);
  return { hellos: sharing, shares, masked, members, mean };
}

function expected({ elements, bound, members }: SecureTerms, contributors: readonly string[]): Float32Array {
  const steps = Math.floor((2 ** 31 - 1) / members.length);
  return Float32Array.from({ length: elements }, (_, i) => {
    let total = 0;
    for (const peerId of contributors) {
      const value = contribution(members.indexOf(peerId), elements)[i]!;
      total += Math.round((Math.min(bound, Math.max(-bound, value)) / bound) * steps);
    }
    return (total / steps / contributors.length) * bound;
  });
}

test("threat 29, drop-outs: whoever drops out and when, the sum of those who sent is exact as long as the threshold stays", async () => {
  const early = fc.constantFrom<Stage>("shares", "masked", "reveal");
  const count = (leaves: readonly Stage[]) => leaves.filter((stage) => stage === "end").length;
  const sent = (leaves: readonly Stage[]) => leaves.filter((stage) => /reveal|end/.test(stage)).length;
  /** Of 3 to 7 members, so many stay to the end that it is enough, or too few. */
  const leaving = (enough: boolean) =>
    fc
      .integer({ min: 3, max: 7 })
      .chain((n) => {
        const { threshold } = termsOf(n);
        const [min, max] = enough ? [threshold, n] : [0, threshold - 1];
        return fc.tuple(fc.integer({ min, max }), fc.array(early, { minLength: n, maxLength: n }));
      })
      .chain(([stay, leaves]) =>
        fc
          .shuffledSubarray(
            leaves.map((_, rank) => rank),
            { minLength: stay, maxLength: stay },
          )
          .map((staying) => leaves.map((stage, rank) => (staying.includes(rank) ? "end" : stage))),
      );
  await fc.assert(
    // Of three members the threshold is two, and a sum of two is none: see the next test.
    fc.asyncProperty(
      leaving(true).filter((leaves) => sent(leaves) >= termsOf(leaves.length).contributorsMin),
      async (leaves) => {
        const terms = termsOf(leaves.length);
        assert.ok(count(leaves) >= terms.threshold);
        const { masked, mean } = await sum(terms, leaves);
        assert.equal(
          mean,
          expected(
            terms,
            masked.map(({ peerId }) => peerId),
          ),
        );
      },
    ),
    { numRuns: 20, examples: [[["shares", "end", "masked", "end", "end"]]] },
  );
  await fc.assert(
    fc.asyncProperty(leaving(false), async (leaves) => {
      const terms = termsOf(leaves.length);
      assert.ok(count(leaves) < terms.threshold);
      assert.is((await failure(sum(terms, leaves))).code, "ERR_PROTOCOL");
    }),
    { numRuns: 20 },
  );
});

test("threat 29, unmasking one: of a sum of two each would know the other's, so it is refused though the threshold stays", async () => {
  const terms = termsOf(3);
  assert.is(terms.threshold, 2);
  for (const gone of [0, 1, 2])
    for (const stage of ["shares", "masked"] as const) {
      const leaves = terms.members.map((_, rank) => (rank === gone ? stage : "end"));
      const { code, message } = await failure(sum(terms, leaves));
      assert.is(code, "ERR_PROTOCOL");
      assert.match(message, /a sum of 2 contributions would tell too much of each; needed: 3/);
    }
});

test("a masked contribution tells nothing: every bit is as often 1 as 0, whatever it hides", async () => {
  const terms = termsOf(3, { elements: 4096 });
  const { masked } = await sum(terms, ["end", "end", "end"]);
  for (const { words } of masked)
    for (let bit = 0; bit < 32; bit += 1) {
      const ones = words.reduce((count, word) => count + ((word >>> bit) & 1), 0);
      // Six deviations of a fair coin.
      assert.ok(Math.abs(ones - 2048) < 6 * 32, `bit ${bit}: ${ones}`);
    }
});

test("threat 29, unmasking one: a sum of too few is refused by each member, and so is a second set of contributors", async () => {
  const terms = termsOf(5, { threshold: 3, contributorsMin: 4 });
  const members = terms.members.map((peerId) => new SecureMember(terms, peerId));
  const hellos = members.map((member) => member.hello());
  const shares = (await Promise.all(members.map((member) => member.share(hellos)))).flat();
  const first = members[0]!;
  const given = shares.filter(({ to }) => to === "peer-0");
  first.mask(given, contribution(0, terms.elements));
  assert.throws(() => first.mask(given, contribution(0, terms.elements)), /a second one would tell/);
  assert.throws(
    () => first.reveal(["peer-0"]),
    /a sum of 1 contributions would tell too much of each; needed: 4/,
  );
  assert.throws(() => first.reveal(["peer-0", "peer-1", "peer-2", "peer-2"]), /a sum of 3 contributions/);
  const { seeds, maskKeys } = first.reveal(["peer-0", "peer-1", "peer-2", "peer-3"]);
  assert.equal([...maskKeys.keys()], ["peer-4"]);
  assert.not.ok(seeds.has("peer-4"), "never both of one member");
  assert.throws(() => first.reveal(["peer-0", "peer-1", "peer-2", "peer-4"]), /already/);
});

/** Members of three who have all said hello and shared. */
async function shared(terms = termsOf(3)) {
  const members = terms.members.map((peerId) => new SecureMember(terms, peerId));
  const hellos = members.map((member) => member.hello());
  const shares = (await Promise.all(members.map((member) => member.share(hellos)))).flat();
  const mask = (rank: number) =>
    members[rank]!.mask(
      shares.filter(({ to }) => to === `peer-${rank}`),
      contribution(rank, terms.elements),
    );
  return { terms, members, hellos, shares, mask };
}

test("sealed shares that are forged, another's or a stranger's are refused by the receiver", async () => {
  const { members, shares, mask } = await shared();
  const [own, other] = shares.filter(({ to }) => to === "peer-0");
  const masked = (one: SecureShares) => () => members[0]!.mask([one, other!], contribution(0, 33));
  const sealed = own!.sealed.map((byte, i) => (i === 5 ? byte ^ 1 : byte));
  assert.throws(masked({ ...own!, sealed }), /what peer-1 sealed for peer-0 does not open/);
  assert.throws(masked({ ...own!, from: "peer-2" }), /what peer-2 sealed for peer-0 does not open/);
  assert.throws(masked({ ...own!, from: "peer-9" }), /shares of peer-9 for peer-0/);
  assert.throws(masked({ ...own!, from: "peer-0" }), /shares of peer-0 for peer-0/);
  const foreign = shares.find(({ from, to }) => from === "peer-1" && to === "peer-2")!;
  assert.throws(masked(foreign), /shares of peer-1 for peer-2/);
  mask(0);
});

test("a member shares once: a second time it would seal other shares under the same keys", async () => {
  const { members, hellos } = await shared();
  const { code, message } = await failure(members[0]!.share(hellos));
  assert.is(code, "ERR_PROTOCOL");
  assert.match(message, /this member has shared already/);
});

test("a member reveals nothing for a sum with one that shared nothing with it", async () => {
  const { terms, members, mask } = await shared();
  mask(0);
  assert.throws(
    () => members[0]!.reveal([...terms.members, "peer-9"]),
    /peer-9 shared nothing with this member/,
  );
  members[0]!.reveal(terms.members);
});

test("a contribution of another length, of a stranger or sent twice is none that was announced", async () => {
  const { terms, members, hellos, mask } = await shared();
  const masked = terms.members.map((_, rank) => mask(rank));
  const reveals = members.map((member) => member.reveal(terms.members));
  const words = masked[0]!.words;
  const cases: [SecureMasked[], string][] = [
    [[...masked, { peerId: "peer-9", words }], "peer-9"],
    [[{ peerId: "peer-0", words: words.slice(1) }, ...masked.slice(1)], "peer-0"],
    [[...masked, masked[0]!], "one member twice"],
  ];
  for (const [sent, who] of cases) {
    const { code, message } = await failure(unmaskMean(terms, hellos, sent, reveals));
    assert.is(code, "ERR_PROTOCOL");
    assert.match(message, `a contribution of ${who} is none that was announced`);
  }
  await unmaskMean(terms, hellos, masked, reveals);
});

test("forged shares of a seed or of a lost member's mask key do not give what was announced", async () => {
  for (const kind of ["seeds", "maskKeys"] as const) {
    const { terms, members, hellos, mask } = await shared(termsOf(4));
    // With mask keys to reveal, the last one is gone.
    const there = kind === "seeds" ? [0, 1, 2, 3] : [0, 1, 2];
    const masked = there.map(mask);
    const contributors = masked.map(({ peerId }) => peerId);
    const [liar, ...reveals] = there.map((rank) => members[rank]!.reveal(contributors));
    await unmaskMean(terms, hellos, masked, [liar!, ...reveals]);
    const of = kind === "seeds" ? "peer-1" : "peer-3";
    const share = liar![kind].get(of)!;
    const lie = { ...liar!, [kind]: new Map(liar![kind]).set(of, share.with(3, share[3]! ^ 1)) };
    const { code, detail } = await failure(unmaskMean(terms, hellos, masked, [lie, ...reveals]));
    assert.is(code, "ERR_PROOF", kind);
    assert.equal(detail.peers, [of]);
  }
});

test("threat 30, masks beside a robust rule: a rule that must see contributions is refused beside masks that hide them", () => {
  for (const rule of robustRules) {
    const { aggregate } = createStrategies({ name: "diloco", aggregate: { rule } })[0]!.recipe;
    assert.throws(
      () => new SecureMember(termsOf(9, { aggregate }), "peer-0"),
      (error: { code: string; message: string }) =>
        error.code === "ERR_CONFIG" &&
        error.message.includes(`aggregate is "${rule}": masks hide each contribution`),
    );
  }
});

test("impossible terms are refused with the field and what is allowed", () => {
  const cases: [Partial<SecureTerms>, RegExp][] = [
    [{ members: ["a", "b"] }, /2 members; allowed: 3 to 255/],
    [{ members: ["a", "b", "b"] }, /each once/],
    [{ threshold: 2 }, /threshold t is 2; allowed: n \/ 2 < t <= n, with n = 4/],
    [{ threshold: 5 }, /threshold t is 5/],
    [
      { contributorsMin: 2 },
      /contributorsMin k is 2; allowed: 3 to 4 \(of a sum of two, each knows the other's\)/,
    ],
    [{ contributorsMin: 5 }, /contributorsMin k is 5; allowed: 3 to 4/],
    [{ bound: 0 }, /bound is 0/],
  ];
  for (const [more, why] of cases) assert.throws(() => checkTerms(termsOf(4, more)), why);
});

test.run();
