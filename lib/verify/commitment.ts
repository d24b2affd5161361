/** Salted commitments: what an author binds itself to before others can know it. The author is inside, so nobody can copy one. */
import { createHash } from "node:crypto";
import { GradmeshError } from "../base/errors.js";
import type { Hash } from "./merkle.js";

/** An Ed25519 public key: 64 lowercase hexadecimal characters. */
type Account = string;

/** All bytes are lowercase hexadecimal, round counts from 0. */
export interface WorkCommitment {
  readonly ledgerId: Hash;
  readonly round: number;
  readonly author: Account;
  /** Of the unit (lib/verify/unit.ts), as before, after and contribution. */
  readonly root: Hash;
  readonly before: Hash;
  readonly after: Hash;
  readonly contribution: Hash;
  readonly salt: string;
}

export interface VerdictCommitment {
  readonly ledgerId: Hash;
  readonly round: number;
  readonly author: Account;
  readonly worker: Account;
  readonly transition: number;
  /** 0 accept, 1 soft reject, 2 hard reject. */
  readonly verdict: number;
  /** What the verifier computed; zeros where it could not. */
  readonly digest: Hash;
  readonly salt: string;
}

const HASH_CHARACTERS = 64;
const DOMAINS = { work: "gradmesh-commit", verdict: "gradmesh-verdict" } as const;

function bytes(name: string, value: string, characters?: number): Buffer {
  const fits =
    characters === undefined ? value.length > 0 && value.length % 2 === 0 : value.length === characters;
  if (fits && /^[0-9a-f]*$/.test(value)) return Buffer.from(value, "hex");
  throw new GradmeshError(
    "ERR_INVALID_ARGUMENT",
    `commitment: ${name} is ${JSON.stringify(value)}, not ${characters ?? "an even number of"} lowercase hexadecimal characters`,
  );
}

function unsigned(name: string, value: number, size: 1 | 4): Buffer {
  if (!Number.isInteger(value) || value < 0 || value >= 256 ** size) {
    throw new GradmeshError("ERR_INVALID_ARGUMENT", `commitment: ${name} is ${value}, not a u${8 * size}`);
  }
  const encoded = Buffer.alloc(size);
  encoded.writeUIntLE(value, 0, size);
  return encoded;
}

function sha256(domain: string, parts: readonly Buffer[]): Hash {
  const hash = createHash("sha256").update(domain);
  for (const part of parts) hash.update(part);
  return hash.digest("hex");
}

/**
 * SHA-256("gradmesh-commit" ‖ ledger id ‖ round u32 ‖ author ‖ root ‖ before ‖ after ‖ contribution ‖ salt), integers
 * little-endian: the commitment of WorkCommitted. @throws ERR_INVALID_ARGUMENT naming the field that does not fit.
 */
export function commitmentOf(work: WorkCommitment): Hash {
  const hash = (name: "ledgerId" | "author" | "root" | "before" | "after" | "contribution") =>
    bytes(name, work[name], HASH_CHARACTERS);
  return sha256(DOMAINS.work, [
    hash("ledgerId"),
    unsigned("round", work.round, 4),
    hash("author"),
    hash("root"),
    hash("before"),
    hash("after"),
    hash("contribution"),
    bytes("salt", work.salt),
  ]);
}

/**
 * SHA-256("gradmesh-verdict" ‖ ledger id ‖ round u32 ‖ author ‖ worker ‖ transition u32 ‖ verdict u8 ‖ digest ‖ salt): the
 * commitment of VerdictCommitted. @throws ERR_INVALID_ARGUMENT naming the field that does not fit.
 */
export function verdictCommitmentOf(verdict: VerdictCommitment): Hash {
  const hash = (name: "ledgerId" | "author" | "worker" | "digest") =>
    bytes(name, verdict[name], HASH_CHARACTERS);
  return sha256(DOMAINS.verdict, [
    hash("ledgerId"),
    unsigned("round", verdict.round, 4),
    hash("author"),
    hash("worker"),
    unsigned("transition", verdict.transition, 4),
    unsigned("verdict", verdict.verdict, 1),
    hash("digest"),
    bytes("salt", verdict.salt),
  ]);
}
