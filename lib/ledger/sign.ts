/** Who signs: accounts are Ed25519 keys (RFC 8032), the same as the peers' identities, and every signature is for one ledger. */
import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import { publicKeyFromRaw } from "@libp2p/crypto/keys";
import { peerIdFromPublicKey, peerIdFromString } from "@libp2p/peer-id";
import { GradmeshError } from "../base/errors.js";
import type { Identity } from "../peer/identity.js";
import type { Account, Hash, LedgerEvent, SignedEvent } from "./events.js";
import { checkHex, fixedBytes } from "./layout.js";
import { encodeEvent, encodeUnsigned, SIGNATURE_BYTES, ZERO_HASH } from "./record.js";

export interface Signer {
  readonly account: Account;
  /** An Ed25519 signature, 64 bytes. */
  sign(bytes: Uint8Array): Buffer;
}

const EVENT_DOMAIN = Buffer.from("gradmesh-event");

/** libp2p's raw form of an Ed25519 private key is the 32-byte seed and the public key. */
function rawKey(identity: Identity): { seed: Buffer; account: Account } {
  const raw = Buffer.from(identity.privateKey.raw);
  return { seed: raw.subarray(0, 32), account: raw.toString("hex", 32, 64) };
}

/** The seed of the identity's key, 64 hexadecimal characters, for proofs that are made with the key itself. Keep it in memory. */
export function secretOf(identity: Identity): string {
  return rawKey(identity).seed.toString("hex");
}

export function signerOf(identity: Identity): Signer {
  const { seed, account } = rawKey(identity);
  const x = Buffer.from(account, "hex").toString("base64url");
  const jwk = { kty: "OKP", crv: "Ed25519", d: seed.toString("base64url"), x };
  const key = createPrivateKey({ key: jwk, format: "jwk" });
  return { account, sign: (bytes) => sign(null, bytes, key) };
}

/** The account of a peer. @throws ERR_INVALID_ARGUMENT where the text is no peer id, or one of another kind of key. */
export function accountOfPeerId(peerId: string): Account {
  try {
    const id = peerIdFromString(peerId);
    if (id.type === "Ed25519") return Buffer.from(id.publicKey.raw).toString("hex");
  } catch (cause) {
    throw new GradmeshError("ERR_INVALID_ARGUMENT", `${JSON.stringify(peerId)} is no peer id`, { cause });
  }
  throw new GradmeshError("ERR_INVALID_ARGUMENT", `the peer id ${peerId} is not of an Ed25519 key`);
}

/** @throws ERR_LEDGER where the account is not 64 hexadecimal characters. */
export function peerIdOfAccount(account: Account): string {
  const raw = Buffer.from(checkHex("account", account, fixedBytes.account), "hex");
  return peerIdFromPublicKey(publicKeyFromRaw(raw)).toString();
}

/**
 * The points of small order with the sign bit cleared, in each encoding that a decoder might take: whoever names one as its
 * key can make signatures that hold for many messages, so nobody could be held to what was signed.
 */
const smallOrderKeys = new Set([
  "0000000000000000000000000000000000000000000000000000000000000000",
  "0100000000000000000000000000000000000000000000000000000000000000",
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]);

function importKey(account: Account): KeyObject | null {
  const raw = Buffer.from(account, "hex");
  if (raw.length !== fixedBytes.account) return null;
  const x = raw.toString("base64url");
  raw[31]! &= 0x7f;
  if (smallOrderKeys.has(raw.toString("hex"))) return null;
  try {
    return createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
  } catch {
    return null;
  }
}

const KEYS_MAX = 65_536;

/** Public keys by account, made once: making one takes as long as a third of a verification. */
export class KeyRing {
  readonly #keys = new Map<Account, KeyObject | null>();

  /** Whether the account signed the bytes. An account that is no key has signed nothing. */
  verify(account: Account, bytes: Uint8Array, signature: Uint8Array): boolean {
    let key = this.#keys.get(account);
    if (key === undefined) {
      if (this.#keys.size >= KEYS_MAX) this.#keys.clear();
      key = importKey(account);
      this.#keys.set(account, key);
    }
    return key !== null && verify(null, bytes, key, signature);
  }
}

/** The event that makes a ledger is signed before the ledger has an id. */
function idSigned(event: LedgerEvent, ledgerId: Hash): Hash {
  return event.kind === "RunCreated" ? ZERO_HASH : ledgerId;
}

/** What is signed of an event: the domain, the ledger's id, and the encoded event up to its signature. */
export function signedMessage(ledgerId: Hash, eventBytes: Uint8Array): Buffer {
  const content = eventBytes.subarray(0, eventBytes.length - SIGNATURE_BYTES);
  return Buffer.concat([EVENT_DOMAIN, Buffer.from(ledgerId, "hex"), content]);
}

/** The event signed for this ledger alone. @throws ERR_LEDGER naming the field whose value is impossible. */
export function signEvent(signer: Signer, ledgerId: Hash, nonce: bigint, event: LedgerEvent): SignedEvent {
  const content = { author: signer.account, nonce, event };
  const message = signedMessage(idSigned(event, ledgerId), encodeUnsigned(content));
  return { ...content, signature: signer.sign(message).toString("hex") };
}

/** Whether the signature is of the event's author, over just this event, for this ledger. @throws ERR_LEDGER as encoding does. */
export function verifyEvent(signed: SignedEvent, ledgerId: Hash, keys = new KeyRing()): boolean {
  const message = signedMessage(idSigned(signed.event, ledgerId), encodeEvent(signed));
  return keys.verify(signed.author, message, Buffer.from(signed.signature, "hex"));
}
