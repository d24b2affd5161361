/** How the ledger hashes what is no record. */
import { hash } from "node:crypto";
import type { Hash } from "./events.js";

function u32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

/** SHA-256 over a domain, its length in front so that no domain continues another, and parts: hashes, and u32 little-endian. */
export function domainDigest(domain: string, ...parts: readonly (Hash | number)[]): Buffer {
  const bytes = parts.map((part) => (typeof part === "number" ? u32(part) : Buffer.from(part, "hex")));
  return hash(
    "sha256",
    Buffer.concat([Uint8Array.of(domain.length), Buffer.from(domain), ...bytes]),
    "buffer",
  );
}
