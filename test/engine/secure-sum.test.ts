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
import { createStrategies } from "../../lib/strategy/registry.js";
import { failure } from "../failure.js";

const termsOf = (n: number, more: Partial<SecureTerms> = {}): SecureTerms => ({
  name: "run 1 round 2",
  members: Array.from({ length: n }, (_, rank) => `peer-${rank}`),
  threshold: Math.floor(n / 2) + 1,
  contributorsMin: 2,
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
    fc.asyncProperty(leaving(true), async (leaves) => {
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
    }),
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

test("forged shares are found: sealed ones by the receiver, revealed ones by what was announced", async () => {
  const terms = termsOf(3);
  const members = terms.members.map((peerId) => new SecureMember(terms, peerId));
  const hellos = members.map((member) => member.hello());
  const shares = (await Promise.all(members.map((member) => member.share(hellos)))).flat();
  const to = (peerId: string) => shares.filter((one) => one.to === peerId);
  const [one, other] = to("peer-0");
  const bent = { ...one!, sealed: one!.sealed.map((byte, i) => (i === 5 ? byte ^ 1 : byte)) };
  assert.throws(
    () => members[0]!.mask([bent, other!], contribution(0, 33)),
    /what peer-1 sealed for peer-0 does not open/,
  );
  const again = terms.members.map((peerId) => new SecureMember(terms, peerId));
  const greetings = again.map((member) => member.hello());
  const given = (await Promise.all(again.map((member) => member.share(greetings)))).flat();
  const masked = again.map((member, rank) =>
    member.mask(
      given.filter((each) => each.to === `peer-${rank}`),
      contribution(rank, 33),
    ),
  );
  const reveals = again.map((member) => member.reveal(terms.members));
  const share = reveals[0]!.seeds.get("peer-1")!;
  const lie = {
    ...reveals[0]!,
    seeds: new Map(reveals[0]!.seeds).set("peer-1", share.with(3, share[3]! ^ 1)),
  };
  const { code, detail } = await failure(unmaskMean(terms, greetings, masked, [lie, ...reveals.slice(1)]));
  assert.is(code, "ERR_PROOF");
  assert.equal(detail.peers, ["peer-1"]);
});

test("threat 30, masks beside a robust rule: a rule that must see contributions is refused beside masks that hide them", () => {
  const rules = ["mean", "median", "trimmedMean", "krum", "multiKrum", "centeredClip", "normClip"];
  for (const rule of rules) {
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
    [{ contributorsMin: 1 }, /contributorsMin k is 1; allowed: 2 to 4/],
    [{ bound: 0 }, /bound is 0/],
  ];
  for (const [more, why] of cases) assert.throws(() => checkTerms(termsOf(4, more)), why);
});

test.run();
