/** The Merkle tree: every leaf of every size proves itself and nothing else does. */
import { createHash } from "node:crypto";
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import {
  childCount,
  type Hash,
  leafHash,
  levelsOf,
  nodeHash,
  proofLength,
  treeOf,
  verifyProof,
} from "../../lib/verify/merkle.js";

const digestOf = (text: string): Hash => createHash("sha256").update(text).digest("hex");
const leavesOf = (count: number): Hash[] => Array.from({ length: count }, (_, index) => digestOf(`${index}`));
/** Around every boundary of the first three levels. */
const counts = [1, 2, 3, 15, 16, 17, 31, 32, 33, 255, 256, 257, 272, 273, 4095, 4096, 4097];

/** The root by the definition alone: recursion from the top, with hashes written out here. */
function rootOf(leaves: readonly Hash[]): Hash {
  const integer = (value: number) => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(value);
    return bytes;
  };
  const sha256 = (...parts: Uint8Array[]) => createHash("sha256").update(Buffer.concat(parts)).digest();
  let nodes: Uint8Array[] = leaves.map((leaf, index) =>
    sha256(Uint8Array.of(0), integer(index), Buffer.from(leaf, "hex")),
  );
  for (let level = 1; nodes.length > 1; level += 1) {
    const above: Uint8Array[] = [];
    for (let begin = 0; begin < nodes.length; begin += 16)
      above.push(sha256(Uint8Array.of(1, level), integer(leaves.length), ...nodes.slice(begin, begin + 16)));
    nodes = above;
  }
  return Buffer.from(nodes[0]!).toString("hex");
}

test("the root is the definition's", () => {
  for (const count of counts)
    assert.is(treeOf(leavesOf(count)).root, rootOf(leavesOf(count)), `${count} leaves`);
});

test("every leaf proves itself", () => {
  for (const count of counts.filter((each) => each < 300)) {
    const leaves = leavesOf(count);
    const tree = treeOf(leaves);
    for (const [index, leaf] of leaves.entries()) {
      const proof = tree.proof(index);
      assert.is(proof.length, proofLength(count, index));
      assert.ok(verifyProof(tree.root, count, index, leaf, proof), `leaf ${index} of ${count}`);
    }
  }
  const tree = treeOf(leavesOf(4097));
  for (const index of [0, 4095, 4096])
    assert.ok(verifyProof(tree.root, 4097, index, digestOf(`${index}`), tree.proof(index)));
});

test("a dispute finds its way down: children hash to their node, and the leaves are where they are said to be", () => {
  for (const count of counts) {
    const tree = treeOf(leavesOf(count));
    assert.is(tree.depth, levelsOf(count));
    assert.is(tree.node(tree.depth, 0), tree.root);
    const target = count - 1;
    let index = 0;
    for (let level = tree.depth; level > 0; level -= 1) {
      const children = tree.children(level, index);
      assert.is(children.length, childCount(count, level, index));
      assert.is(nodeHash(level, count, children), tree.node(level, index));
      const place = children.findIndex((_, child) => (16 * index + child + 1) * 16 ** (level - 1) > target);
      index = 16 * index + place;
      assert.is(tree.node(level - 1, index), children[place]);
    }
    assert.is(index, target);
    assert.is(leafHash(index, digestOf(`${index}`)), tree.node(0, index));
  }
});

test("threat 6: no other leaf, index, number of leaves, root or proof passes", () => {
  const count = fc.integer({ min: 1, max: 600 });
  const forged = fc.tuple(count, fc.nat(), fc.nat(), fc.nat(), fc.integer({ min: 1, max: 15 }));
  const check = ([size, at, where, other, bit]: [number, number, number, number, number]) => {
    const leaves = leavesOf(size);
    const tree = treeOf(leaves);
    const index = at % size;
    const leaf = leaves[index]!;
    const proof = tree.proof(index);
    const flip = (hash: Hash) => {
      const place = where % 64;
      return (
        hash.slice(0, place) + (Number.parseInt(hash[place]!, 16) ^ bit).toString(16) + hash.slice(place + 1)
      );
    };
    const index2 = other % size;
    if (index2 !== index) {
      assert.not.ok(verifyProof(tree.root, size, index2, leaf, proof), "another index");
      assert.not.ok(verifyProof(tree.root, size, index, leaves[index2]!, proof), "another leaf");
    }
    const size2 = 1 + (other % 700);
    if (size2 !== size) assert.not.ok(verifyProof(tree.root, size2, index, leaf, proof), "another size");
    assert.not.ok(verifyProof(flip(tree.root), size, index, leaf, proof), "another root");
    assert.not.ok(verifyProof(tree.root, size, index, flip(leaf), proof), "a changed leaf");
    assert.not.ok(verifyProof(tree.root, size, index, leaf, [...proof, digestOf("more")]), "too long");
    if (proof.length > 0) {
      const place = where % proof.length;
      assert.not.ok(
        verifyProof(tree.root, size, index, leaf, proof.with(place, flip(proof[place]!))),
        "changed",
      );
      assert.not.ok(verifyProof(tree.root, size, index, leaf, proof.slice(1)), "too short");
      assert.not.ok(
        verifyProof(tree.root, size, index, leaf, proof.with(place, `${proof[place]} `)),
        "malformed",
      );
    }
    // A node of any level, with the path above it, is no leaf of a smaller tree.
    if (tree.depth > 1)
      for (let level = 1; level < tree.depth; level += 1) {
        const width = Math.ceil(size / 16 ** level);
        const above = proof.slice(-proofLength(width, Math.floor(index / 16 ** level)) || proof.length);
        const node = tree.node(level, Math.floor(index / 16 ** level));
        assert.not.ok(
          verifyProof(tree.root, width, Math.floor(index / 16 ** level), node, above),
          "a node as leaf",
        );
      }
  };
  fc.assert(fc.property(forged, check), { numRuns: 300 });
});

test("threat 6: garbage proves nothing and throws nothing", () => {
  const tree = treeOf(leavesOf(20));
  const garbage = fc.anything();
  const verify = verifyProof as (...values: unknown[]) => boolean;
  fc.assert(
    fc.property(garbage, garbage, garbage, garbage, garbage, (root, count, index, leaf, proof) => {
      assert.is(verify(root, count, index, leaf, proof), false);
      assert.is(verify(tree.root, count, index, leaf, proof), false);
      assert.is(verify(tree.root, 20, 3, digestOf("3"), proof), false);
      assert.is(verify(tree.root, 20, 3, digestOf("3"), Array(18).fill(proof)), false);
    }),
    { numRuns: 2000 },
  );
  for (const count of [0, -1, 1.5, Number.NaN, 2 ** 32, Number.POSITIVE_INFINITY])
    assert.is(verifyProof(tree.root, count, 0, digestOf("0"), []), false);
});

test("two lists never share a root, also where one continues or nests the other", () => {
  const roots = new Set<Hash>();
  for (let count = 1; count <= 300; count += 1) roots.add(treeOf(leavesOf(count)).root);
  roots.add(treeOf([digestOf("0"), digestOf("0")]).root);
  // The roots of subtrees as leaves.
  roots.add(treeOf([treeOf(leavesOf(16)).root, treeOf(leavesOf(32).slice(16)).root]).root);
  assert.is(roots.size, 302);
});

test("impossible trees and nodes are refused by name", () => {
  const refused = (work: () => unknown, words: RegExp) =>
    assert.throws(work, (error: { code: string; message: string }) => {
      assert.is(error.code, "ERR_INVALID_ARGUMENT");
      return words.test(error.message);
    });
  refused(() => treeOf([]), /number of leaves is 0/);
  refused(() => treeOf([digestOf("0"), "xyz"]), /leaf 1 of a tree is no digest/);
  refused(() => treeOf([digestOf("0").toUpperCase()]), /leaf 0 of a tree/);
  refused(() => levelsOf(2 ** 32), /number of leaves/);
  refused(() => childCount(17, 3, 0), /has nodes of levels 1 to 2/);
  refused(() => childCount(17, 1, 2), /level 1 of a tree of 17 leaves has 2/);
  refused(() => treeOf(leavesOf(3)).proof(3), /no leaf 3/);
  assert.is(levelsOf(2 ** 32 - 1), 8);
});

test.run();
