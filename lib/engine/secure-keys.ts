/** Keys and masks of a secure sum: X25519 (RFC 7748), HKDF-SHA256 (RFC 5869), AES-256 in counter mode and in GCM. */
import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from "node:crypto";
import { x25519 } from "@noble/curves/ed25519.js";
import { GradmeshError } from "../base/errors.js";

const KEY_BYTES = 32;
const TAG_BYTES = 16;
const NONCE_BYTES = 12;
const COUNTER_BYTES = 16;

export interface KeyPair {
  readonly secret: Uint8Array;
  readonly public: Uint8Array;
}

export function newKeys(): KeyPair {
  const secret = Uint8Array.from(randomBytes(KEY_BYTES));
  return { secret, public: publicOf(secret) };
}

export const publicOf = (secret: Uint8Array): Uint8Array => x25519.getPublicKey(secret);
export const newSeed = (): Uint8Array => Uint8Array.from(randomBytes(KEY_BYTES));

/** Of a seed, which tells nothing of it: a wrong one that was put together of shares is found. */
export const seedDigest = (seed: Uint8Array): Uint8Array =>
  Uint8Array.from(createHash("sha256").update("gradmesh secure seed").update(seed).digest());

const derive = (secret: Uint8Array, ...words: string[]): Uint8Array =>
  new Uint8Array(hkdfSync("sha256", secret, new Uint8Array(0), JSON.stringify(words), KEY_BYTES));

/** @throws ERR_PROTOCOL for a public key that gives no secret. */
function agree(secret: Uint8Array, other: Uint8Array): Uint8Array {
  try {
    return x25519.getSharedSecret(secret, other);
  } catch (cause) {
    throw new GradmeshError("ERR_PROTOCOL", "secure sum: a public key gives no secret", { cause });
  }
}

/** The seed of the mask that two members share: what one adds the other takes away. */
export const pairSeed = (secret: Uint8Array, other: Uint8Array, sum: string): Uint8Array =>
  derive(agree(secret, other), "gradmesh secure mask", sum);

/** total = total + sign times the mask of the seed, mod 2^32. */
export function addMask(total: Uint32Array, seed: Uint8Array, sign: 1 | -1): void {
  const stream = createCipheriv("aes-256-ctr", seed, new Uint8Array(COUNTER_BYTES));
  const bytes = stream.update(new Uint8Array(4 * total.length));
  const mask = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let i = 0; i < total.length; i += 1) total[i] = total[i]! + sign * mask.getUint32(4 * i, true);
}

/** A message from one member to another. The key is used once: sum and direction are in it. */
const channelKey = (secret: Uint8Array, other: Uint8Array, sum: string, from: string, to: string) =>
  derive(agree(secret, other), "gradmesh secure share", sum, from, to);

export interface Way {
  readonly sum: string;
  readonly from: string;
  readonly to: string;
}

export function seal(
  own: Uint8Array,
  other: Uint8Array,
  { sum, from, to }: Way,
  text: Uint8Array,
): Uint8Array {
  const cipher = createCipheriv(
    "aes-256-gcm",
    channelKey(own, other, sum, from, to),
    new Uint8Array(NONCE_BYTES),
  );
  return Uint8Array.from(Buffer.concat([cipher.update(text), cipher.final(), cipher.getAuthTag()]));
}

/** @throws ERR_PROTOCOL naming the sender where it is not what it sealed. */
export function open(
  own: Uint8Array,
  other: Uint8Array,
  { sum, from, to }: Way,
  sealed: Uint8Array,
): Uint8Array {
  try {
    const key = channelKey(own, other, sum, from, to);
    const cipher = createDecipheriv("aes-256-gcm", key, new Uint8Array(NONCE_BYTES));
    cipher.setAuthTag(sealed.subarray(-TAG_BYTES));
    return Uint8Array.from(Buffer.concat([cipher.update(sealed.subarray(0, -TAG_BYTES)), cipher.final()]));
  } catch (cause) {
    throw new GradmeshError("ERR_PROTOCOL", `secure sum: what ${from} sealed for ${to} does not open`, {
      cause,
      detail: { peers: [from] },
    });
  }
}
