/**
 * The verifiable random function ECVRF-EDWARDS25519-SHA512-TAI of RFC 9381 (suite 3): for an account and an input there is
 * one output, which only the account's owner can compute and everybody can check. Its key is the account's own Ed25519 key.
 */
import { createHash } from "node:crypto";
import { mulAddUnsafe } from "@noble/curves/abstract/curve.js";
import { ed25519 } from "@noble/curves/ed25519.js";
import { GradmeshError } from "../base/errors.js";
import type { Account } from "./events.js";

const { Point } = ed25519;
type EdwardsPoint = InstanceType<typeof Point>;

const SUITE = 3;
const ENCODE_DOMAIN = 1;
const CHALLENGE_DOMAIN = 2;
const OUTPUT_DOMAIN = 3;
const END = 0;

const POINT_BYTES = 32;
const CHALLENGE_BYTES = 16;
const SCALAR_BYTES = 32;
/** Of a proof: gamma, challenge, response. */
export const VRF_PROOF_BYTES = POINT_BYTES + CHALLENGE_BYTES + SCALAR_BYTES;

function sha512(...parts: (Uint8Array | number)[]): Buffer {
  const digest = createHash("sha512");
  for (const part of parts) digest.update(typeof part === "number" ? Uint8Array.of(part) : part);
  return digest.digest();
}

function fromLittleEndian(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes).reverse().toString("hex")}`);
}

/** The bytes of a text of exactly so many, lowercase hexadecimal; else null. */
function bytesOf(text: unknown, length: number): Buffer | null {
  if (typeof text !== "string" || text.length !== 2 * length || !/^[0-9a-f]*$/.test(text)) return null;
  return Buffer.from(text, "hex");
}

/** A point from its one canonical encoding (RFC 8032, 5.1.3: y below the field's prime, no negative zero), else null. */
function pointOf(bytes: Uint8Array): EdwardsPoint | null {
  try {
    return Point.fromBytes(bytes);
  } catch {
    return null;
  }
}

/** The input as a point of the prime-order group: try and increment (RFC 9381, 5.4.1.1). Public in all it depends on. */
function encodeToCurve(key: Uint8Array, alpha: Uint8Array): EdwardsPoint {
  // Half of all encodings are points: 256 failures in a row have a chance of 2^-256.
  for (let counter = 0; counter < 256; counter += 1) {
    const encoded = sha512(SUITE, ENCODE_DOMAIN, key, alpha, counter, END).subarray(0, POINT_BYTES);
    const point = pointOf(encoded)?.clearCofactor();
    if (point !== undefined && !point.is0()) return point;
  }
  throw new GradmeshError("ERR_INTERNAL", "no point was found for the input of a verifiable random function");
}

function challengeOf(points: readonly Uint8Array[]): Uint8Array {
  return sha512(SUITE, CHALLENGE_DOMAIN, ...points, END).subarray(0, CHALLENGE_BYTES);
}

/**
 * The proof of the output for `alpha` (RFC 9381, 5.1), which `vrfVerify` turns into the output.
 * @param secret an Ed25519 secret key (RFC 8032's seed): 32 bytes in lowercase hexadecimal.
 * @returns 80 bytes in lowercase hexadecimal; always the same for the same key and alpha.
 * @throws ERR_INVALID_ARGUMENT when the secret is not of that form.
 */
export function vrfProve(secret: string, alpha: Uint8Array): string {
  const seed = bytesOf(secret, SCALAR_BYTES);
  if (seed === null)
    throw new GradmeshError(
      "ERR_INVALID_ARGUMENT",
      "the secret of a verifiable random function must be 32 bytes in lowercase hexadecimal",
    );
  const { scalar, prefix, pointBytes } = ed25519.utils.getExtendedPublicKey(seed);
  const input = encodeToCurve(pointBytes, alpha);
  const inputBytes = input.toBytes();
  const gamma = input.multiply(scalar).toBytes();
  // The nonce of RFC 8032: no randomness is used, so none can leak the key.
  const nonce = Point.Fn.create(fromLittleEndian(sha512(prefix, inputBytes)));
  const u = Point.BASE.multiply(nonce).toBytes();
  const v = input.multiply(nonce).toBytes();
  const challenge = challengeOf([pointBytes, inputBytes, gamma, u, v]);
  const response = Point.Fn.create(nonce + fromLittleEndian(challenge) * scalar);
  return Buffer.concat([gamma, challenge, Point.Fn.toBytes(response)]).toString("hex");
}

/**
 * The output that a proof shows to be the account's for `alpha` (RFC 9381, 5.3, the key validated), or null where it shows
 * nothing: another key or input, any changed bit, an encoding that is not the canonical one, a response that is not below
 * the group's order, an account of low order (for which many outputs would verify). Never throws for what others sent.
 * @returns 64 bytes in lowercase hexadecimal.
 */
export function vrfVerify(account: Account, alpha: Uint8Array, proof: string): string | null {
  const keyBytes = bytesOf(account, POINT_BYTES);
  const bytes = bytesOf(proof, VRF_PROOF_BYTES);
  if (keyBytes === null || bytes === null) return null;
  const gammaBytes = bytes.subarray(0, POINT_BYTES);
  const challengeBytes = bytes.subarray(POINT_BYTES, POINT_BYTES + CHALLENGE_BYTES);
  const challenge = fromLittleEndian(challengeBytes);
  const response = fromLittleEndian(bytes.subarray(POINT_BYTES + CHALLENGE_BYTES));
  if (response >= Point.Fn.ORDER) return null;
  const key = pointOf(keyBytes);
  const gamma = pointOf(gammaBytes);
  if (key === null || gamma === null || key.isSmallOrder()) return null;
  const input = encodeToCurve(keyBytes, alpha);
  const u = mulAddUnsafe(Point, [Point.BASE, key.negate()], [response, challenge]).toBytes();
  const v = mulAddUnsafe(Point, [input, gamma.negate()], [response, challenge]).toBytes();
  if (!challengeBytes.equals(challengeOf([keyBytes, input.toBytes(), gammaBytes, u, v]))) return null;
  return sha512(SUITE, OUTPUT_DOMAIN, gamma.clearCofactor().toBytes(), END).toString("hex");
}
