/**
 * The keys of a bulk link: an ephemeral X25519 exchange (RFC 7748) over an authenticated channel, then HKDF-SHA256
 * (RFC 5869) to one AES-256 key for each direction. Whoever later learns a peer's identity key learns none of them.
 */
import {
  createHash,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
  type KeyObject,
} from "node:crypto";
import { GradmeshError } from "../base/errors.js";

export const PUBLIC_KEY_BYTES = 32;
export const BULK_TICKET_BYTES = 32;
const KEY_BYTES = 32;

/** What both sides know of a link; every field goes into its keys. */
export interface LinkContext {
  runId: string;
  epoch: number;
  /** The peer ids: of the one that expects the sockets, and of the one that dials them. */
  answerer: string;
  greeter: string;
  answererPublicKey: Uint8Array;
  greeterPublicKey: Uint8Array;
  streams: number;
  /** The 32 random bytes that open the sockets; the salt of the keys. */
  ticket: Uint8Array;
}

export interface LinkKeys {
  toGreeter: Uint8Array;
  toAnswerer: Uint8Array;
}

/** One side's half of an exchange; the private key never leaves it. */
export interface KeyExchange {
  readonly publicKey: Uint8Array;
  /** @throws ERR_PROTOCOL when the other's public key is no point that gives a secret. */
  derive(otherPublicKey: Uint8Array, context: LinkContext): LinkKeys;
}

function importPublicKey(bytes: Uint8Array): KeyObject {
  const x = Buffer.from(bytes).toString("base64url");
  return createPublicKey({ key: { kty: "OKP", crv: "X25519", x }, format: "jwk" });
}

export function createKeyExchange(): KeyExchange {
  const pair = generateKeyPairSync("x25519");
  const publicKey = Uint8Array.from(Buffer.from(pair.publicKey.export({ format: "jwk" }).x!, "base64url"));
  return {
    publicKey,
    derive(otherPublicKey, context) {
      let secret: Buffer;
      try {
        secret = diffieHellman({ privateKey: pair.privateKey, publicKey: importPublicKey(otherPublicKey) });
      } catch (cause) {
        throw new GradmeshError("ERR_PROTOCOL", "a public key for a bulk link gives no secret", { cause });
      }
      const keys = new Uint8Array(hkdfSync("sha256", secret, context.ticket, infoOf(context), 2 * KEY_BYTES));
      secret.fill(0);
      return { toGreeter: keys.slice(0, KEY_BYTES), toAnswerer: keys.slice(KEY_BYTES) };
    },
  };
}

/** JSON of an array, so that no two contexts are spelt alike. */
function infoOf(context: LinkContext): string {
  const key = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64url");
  const { runId, epoch, answerer, greeter, answererPublicKey, greeterPublicKey, streams } = context;
  return JSON.stringify([
    "gradmesh bulk 2",
    runId,
    epoch,
    answerer,
    greeter,
    key(answererPublicKey),
    key(greeterPublicKey),
    streams,
  ]);
}

/** What both sides call a link, to agree whether they still have the same one; tells nothing of its ticket. */
export function linkName(ticket: Uint8Array): string {
  return createHash("sha256").update("gradmesh link name").update(ticket).digest("hex").slice(0, 32);
}
