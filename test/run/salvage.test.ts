/** What is kept of a failed all-reduce: its words, the one list that all ranks read, and who contributed to what. */
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import {
  countPeers,
  cutParts,
  KEPT_WORDS,
  type Kept,
  mergeParts,
  type Part,
  packKept,
  unpackKept,
} from "../../lib/run/salvage.js";

const part = (begin: number, elements: number, peers: number): Part => ({ begin, elements, peers });

/** Ascending parts that do not overlap. */
const partsOf = fc
  .array(fc.tuple(fc.nat(2 ** 35), fc.integer({ min: 1, max: 2 ** 35 }), fc.integer({ min: 1, max: 64 })), {
    maxLength: 64,
  })
  .map((list) => {
    let at = 0;
    return list.map(([gap, elements, peers]) => {
      const begin = at + gap;
      at = begin + elements;
      return part(begin, elements, peers);
    });
  });

function gather(all: readonly (Kept | null)[]): Float32Array {
  const words = new Float32Array(KEPT_WORDS * all.length);
  for (const [rank, kept] of all.entries()) words.set(packKept(kept), rank * KEPT_WORDS);
  return words;
}

test("what is packed is read again, bit for bit, also as floats that are NaN", () => {
  fc.assert(
    fc.property(fc.array(partsOf, { minLength: 1, maxLength: 5 }), fc.maxSafeNat(), (lists, id) => {
      const operation = id + 1;
      const { parts } = unpackKept(gather(lists.map((list) => ({ operation, parts: list }))));
      assert.equal(parts, lists);
    }),
  );
});

test("only the last operation that anybody began counts; who holds none of it holds nothing", () => {
  const old = { operation: 7, parts: [part(0, 5, 4)] };
  const last = { operation: 2 ** 40 + 1, parts: [part(3, 9, 4)] };
  assert.equal(unpackKept(gather([old, null, last])), {
    operation: last.operation,
    parts: [[], [], last.parts],
  });
  assert.equal(unpackKept(gather([null, null])), { operation: 0, parts: [[], []] });
});

test("of too many parts the largest are told", () => {
  const parts = Array.from({ length: 100 }, (_, at) => part(at * 1000, at + 1, 3));
  assert.equal(unpackKept(gather([{ operation: 1, parts }])).parts[0], parts.slice(36));
});

test("counts by range: those of the failed attempt where it is kept, else the survivors", () => {
  const held = [[part(0, 30, 4)], [part(20, 20, 4)], []];
  const reused = [
    { begin: 0, elements: 16 },
    { begin: 24, elements: 16 },
  ];
  assert.equal(countPeers(60, 3, held, reused), [
    part(0, 16, 4),
    part(16, 8, 3),
    part(24, 16, 4),
    part(40, 20, 3),
  ]);
  assert.equal(countPeers(60, 3, [[], [], []], []), [part(0, 60, 3)]);
  assert.equal(cutParts([part(0, 10, 2), part(10, 10, 3)], [{ begin: 5, elements: 10 }]), [
    part(5, 5, 2),
    part(10, 5, 3),
  ]);
  assert.equal(mergeParts([part(10, 5, 2), part(0, 10, 2), part(15, 1, 3)]), [
    part(0, 15, 2),
    part(15, 1, 3),
  ]);
});

test.run();
