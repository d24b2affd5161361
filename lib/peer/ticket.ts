/** The ticket of a run: one line of text that a person copies, which says where the run is and admits to it. */
import { createHash } from "node:crypto";
import { peerIdFromString } from "@libp2p/peer-id";
import { multiaddr } from "@multiformats/multiaddr";
import { z } from "zod";
import { type Clock, systemClock } from "../base/clock.js";
import { GradmeshError } from "../base/errors.js";
import { packMessage, parseMessage, unpackMessage } from "./message.js";

export interface Ticket {
  runId: string;
  /** The peer that hosts the run's coordinator. */
  peerId: string;
  /** Where it can be reached: multiaddrs. */
  addresses: string[];
  /** 16 bytes that admit to the run; whoever has them may join. */
  secret: Uint8Array;
  /** Milliseconds since 1970 after which the ticket admits nobody. */
  expires?: number;
}

export const SECRET_BYTES = 16;
const ADDRESSES_MAX = 16;
const TEXT_CHARACTERS_MAX = 4096;
const CHECKSUM_BYTES = 8;
const LENGTH_BYTES = 2;
const NAME = "gradmesh";
const VERSION = "1";
const PREFIX = NAME + VERSION;

function reads(parse: (text: string) => unknown): (text: string) => boolean {
  return (text) => {
    try {
      parse(text);
      return true;
    } catch {
      return false;
    }
  };
}

const schema = z.strictObject({
  runId: z.string().min(1).max(128),
  peerId: z.string().max(128).refine(reads(peerIdFromString), "is no peer id"),
  addresses: z
    .array(z.string().max(256).refine(reads(multiaddr), "is no multiaddr"))
    .min(1)
    .max(ADDRESSES_MAX),
  secret: z.instanceof(Uint8Array).refine((bytes) => bytes.length === SECRET_BYTES, "must have 16 bytes"),
  expires: z.int().positive().optional(),
});

function checksum(bytes: Uint8Array): Buffer {
  return createHash("sha256").update(PREFIX).update(bytes).digest().subarray(0, CHECKSUM_BYTES);
}

/** The ticket as text: "gradmesh1" and base64url of a length, the MessagePack fields, and 8 bytes of SHA-256. */
export function formatTicket(ticket: Ticket): string {
  const result = schema.safeParse(ticket);
  if (!result.success) {
    const issue = result.error.issues[0]!;
    throw new GradmeshError("ERR_INVALID_ARGUMENT", `ticket.${issue.path.join(".")}: ${issue.message}`);
  }
  const body = packMessage(result.data);
  const head = Buffer.alloc(LENGTH_BYTES);
  head.writeUInt16BE(body.length);
  const bytes = Buffer.concat([head, body]);
  return PREFIX + Buffer.concat([bytes, checksum(bytes)]).toString("base64url");
}

function refuse(why: string): never {
  throw new GradmeshError("ERR_INVALID_ARGUMENT", `the ticket cannot be used: ${why}`);
}

function decodeText(text: string): Buffer {
  // A terminal or a mail breaks long lines; no ticket holds white space.
  const compact = text.replace(/\s+/g, "");
  if (compact.length > TEXT_CHARACTERS_MAX)
    refuse(`it has ${compact.length} characters, too many for a ticket`);
  if (!compact.startsWith(NAME)) refuse(`it does not begin with "${PREFIX}"`);
  if (!compact.startsWith(PREFIX)) {
    refuse(
      `it is of version "${compact.slice(NAME.length, NAME.length + 1)}"; this gradmesh reads version ${VERSION}`,
    );
  }
  const encoded = compact.slice(PREFIX.length);
  const wrong = encoded.search(/[^A-Za-z0-9_-]/);
  if (wrong >= 0) refuse(`it is mistyped: "${encoded[wrong]}" is in no ticket`);
  const bytes = Buffer.from(encoded, "base64url");
  const announced = bytes.length < LENGTH_BYTES ? Number.POSITIVE_INFINITY : bytes.readUInt16BE();
  const expected = LENGTH_BYTES + announced + CHECKSUM_BYTES;
  if (bytes.length < expected) refuse("it is cut off at its end; copy the whole line");
  if (bytes.length > expected) refuse("something follows its end; copy only the ticket");
  // The last character may hold bits that decode to nothing; there is one spelling of a ticket.
  if (bytes.toString("base64url") !== encoded) refuse("it is mistyped at its end");
  return bytes;
}

/**
 * Reads a ticket; white space anywhere in it is ignored.
 * @throws ERR_INVALID_ARGUMENT saying whether it is cut off, mistyped, or of another version; ERR_UNAUTHORIZED when
 * it has expired.
 */
export function parseTicket(text: string, clock: Clock = systemClock): Ticket {
  const bytes = decodeText(text);
  const body = bytes.subarray(0, -CHECKSUM_BYTES);
  if (!checksum(body).equals(bytes.subarray(-CHECKSUM_BYTES)))
    refuse("it is mistyped: its checksum is wrong");
  const { expires, secret, ...fields } = parseMessage(schema, unpackMessage(body.subarray(LENGTH_BYTES)));
  if (expires !== undefined && expires < clock.wall()) {
    throw new GradmeshError("ERR_UNAUTHORIZED", `the ticket expired at ${new Date(expires).toISOString()}`);
  }
  return { ...fields, secret: Uint8Array.from(secret), ...(expires === undefined ? {} : { expires }) };
}
