/**
 * A 16-ary Merkle tree of SHA-256 over an ordered list of digests: what a unit of work and a step's operators commit to.
 *
 * leaf = H(0x00 ‖ index u32 ‖ digest), node = H(0x01 ‖ level u8 ‖ leaves u32 ‖ children), integers little-endian. Leaves are
 * level 0; the node `index` of a level stands over the nodes 16·index to 16·index + 15 of the level below, as far as
 * there are any: no node is repeated to fill the last. The leading byte keeps leaves and nodes apart (as in RFC 6962), the
 * index keeps leaves in their places, and the level and the number of the tree's leaves keep a node from passing for one of
 * another level or another tree. So a root belongs to one list only, its length included.
 */
import { hash } from "node:crypto";
import { GradmeshError } from "../base/errors.js";

/** 32 bytes: 64 lowercase hexadecimal characters. */
export type Hash = string;

/** Children of a full node. */
export const FAN_OUT = 16;
const FAN_OUT_BITS = 4;
/** A leaf's index and the number of leaves are written as u32. */
export const LEAVES_MAX = 2 ** 32 - 1;

const HASH_BYTES = 32;
const HASH_PATTERN = /^[0-9a-f]{64}$/;

export interface Tree {
  readonly root: Hash;
  /** Leaves. */
  readonly count: number;
  /** Levels above the leaves: 0 where the only leaf is the root. */
  readonly depth: number;
  /** The hash of a node; leaves are level 0. */
  node(level: number, index: number): Hash;
  /** The hashes under a node of level 1 to depth, from left to right: of level 1, leaf hashes. */
  children(level: number, index: number): readonly Hash[];
  /** What proves a leaf against the root: the siblings on its way up, level by level, from left to right. */
  proof(index: number): readonly Hash[];
}

/** Whether a value has the form of a digest. */
export function isHash(value: unknown): value is Hash {
  return typeof value === "string" && HASH_PATTERN.test(value);
}

function refuse(message: string): never {
  throw new GradmeshError("ERR_INVALID_ARGUMENT", message);
}

function checkCount(count: number): void {
  if (!Number.isInteger(count) || count < 1 || count > LEAVES_MAX)
    refuse(`a tree's number of leaves is ${count}; allowed: an integer from 1 to ${LEAVES_MAX}`);
}

/** Nodes of a level: a shift by so many bits would wrap above 31. */
function widthOf(count: number, level: number): number {
  return Math.ceil(count / 2 ** (FAN_OUT_BITS * level));
}

/** Levels above the leaves of a tree with so many: 0 for one, 1 for up to 16. @throws ERR_INVALID_ARGUMENT. */
export function levelsOf(count: number): number {
  checkCount(count);
  let levels = 0;
  while (widthOf(count, levels) > 1) levels += 1;
  return levels;
}

/** How many children a node of level 1 or more has. @throws ERR_INVALID_ARGUMENT where there is no such node. */
export function childCount(count: number, level: number, index: number): number {
  const levels = levelsOf(count);
  if (!Number.isInteger(level) || level < 1 || level > levels)
    refuse(`a node's level is ${level}; a tree of ${count} leaves has nodes of levels 1 to ${levels}`);
  const width = widthOf(count, level);
  if (!Number.isInteger(index) || index < 0 || index >= width)
    refuse(`a node's index is ${index}; level ${level} of a tree of ${count} leaves has ${width}`);
  return Math.min(FAN_OUT, widthOf(count, level - 1) - FAN_OUT * index);
}

/** The hash of a leaf in its place. */
export function leafHash(index: number, leaf: Hash): Hash {
  const bytes = Buffer.alloc(5 + HASH_BYTES);
  bytes.writeUInt32LE(index, 1);
  bytes.write(leaf, 5, "hex");
  return hash("sha256", bytes, "hex");
}

/** The hash of a node of a tree with `count` leaves over its children's hashes, 1 to 16 of them. */
export function nodeHash(level: number, count: number, children: readonly Hash[]): Hash {
  const bytes = Buffer.alloc(6 + HASH_BYTES * children.length);
  bytes[0] = 1;
  bytes[1] = level;
  bytes.writeUInt32LE(count, 2);
  for (const [place, child] of children.entries()) bytes.write(child, 6 + HASH_BYTES * place, "hex");
  return hash("sha256", bytes, "hex");
}

/**
 * The tree over these digests, which keeps a hash of every node.
 * @throws ERR_INVALID_ARGUMENT when there is none, or one is no digest.
 */
export function treeOf(leaves: readonly Hash[]): Tree {
  const count = leaves.length;
  const depth = levelsOf(count);
  const wrong = leaves.findIndex((leaf) => !isHash(leaf));
  if (wrong >= 0)
    refuse(`leaf ${wrong} of a tree is no digest; allowed: 64 lowercase hexadecimal characters`);
  const levels: Hash[][] = [leaves.map((leaf, index) => leafHash(index, leaf))];
  const under = (level: number, index: number) =>
    levels[level - 1]!.slice(FAN_OUT * index, FAN_OUT * (index + 1));
  for (let level = 1; level <= depth; level += 1)
    levels.push(
      Array.from({ length: widthOf(count, level) }, (_, index) =>
        nodeHash(level, count, under(level, index)),
      ),
    );
  return {
    root: levels[depth]![0]!,
    count,
    depth,
    node(level, index) {
      const found = levels[level]?.[index];
      return found ?? refuse(`a tree of ${count} leaves has no node ${index} of level ${level}`);
    },
    children(level, index) {
      childCount(count, level, index);
      return under(level, index);
    },
    proof(index) {
      if (levels[0]![index] === undefined) refuse(`a tree of ${count} leaves has no leaf ${index}`);
      const path = Array.from({ length: depth }, (_, below) => {
        const place = Math.floor(index / 2 ** (FAN_OUT_BITS * below));
        return under(below + 1, Math.floor(place / FAN_OUT)).toSpliced(place % FAN_OUT, 1);
      });
      return path.flat();
    },
  };
}

/** How many hashes a leaf's proof has. */
export function proofLength(count: number, index: number): number {
  let length = 0;
  for (let level = 1, place = index; level <= levelsOf(count); level += 1) {
    place = Math.floor(place / FAN_OUT);
    length += childCount(count, level, place) - 1;
  }
  return length;
}

/**
 * Whether the digest `leaf` is leaf `index` of the tree with this root and number of leaves. Never throws: whatever is
 * malformed, too short or too long proves nothing.
 */
export function verifyProof(
  root: Hash,
  count: number,
  index: number,
  leaf: Hash,
  proof: readonly Hash[],
): boolean {
  if (!Number.isInteger(count) || count < 1 || count > LEAVES_MAX) return false;
  if (!Number.isInteger(index) || index < 0 || index >= count) return false;
  if (!isHash(root) || !isHash(leaf) || !Array.isArray(proof) || proof.length !== proofLength(count, index))
    return false;
  if (!proof.every(isHash)) return false;
  let current = leafHash(index, leaf);
  let taken = 0;
  for (let level = 1, place = index; level <= levelsOf(count); level += 1) {
    const parent = Math.floor(place / FAN_OUT);
    const siblings = proof.slice(taken, taken + childCount(count, level, parent) - 1);
    taken += siblings.length;
    current = nodeHash(level, count, siblings.toSpliced(place % FAN_OUT, 0, current));
    place = parent;
  }
  return current === root;
}
