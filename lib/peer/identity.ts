/** Who a peer is: an Ed25519 key in a file that only its owner can read, and the peer id derived from it. */
import { createPrivateKey, generateKeyPairSync, type KeyObject, randomBytes } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import { link, mkdir, open, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { privateKeyFromRaw } from "@libp2p/crypto/keys";
import type { PrivateKey } from "@libp2p/interface";
import { peerIdFromPrivateKey } from "@libp2p/peer-id";
import { ioError, syncFolder, writeFileDurable } from "../base/atomic-file.js";
import { GradmeshError } from "../base/errors.js";

export interface Identity {
  /** The peer id as text: a hash-free form of the public key, so it proves itself. */
  readonly peerId: string;
  /** libp2p's form of the key, for its handshake. */
  readonly privateKey: PrivateKey;
}

/** A PEM file of an Ed25519 key takes about 120 bytes; a longer file is something else. */
const KEY_FILE_BYTES_MAX = 4096;

function toIdentity(key: KeyObject): Identity {
  const { d, x } = key.export({ format: "jwk" });
  const raw = Buffer.concat([Buffer.from(d!, "base64url"), Buffer.from(x!, "base64url")]);
  const privateKey = privateKeyFromRaw(raw);
  return { peerId: peerIdFromPrivateKey(privateKey).toString(), privateKey };
}

/** A new identity that is kept nowhere. */
export function generateIdentity(): Identity {
  return toIdentity(generateKeyPairSync("ed25519").privateKey);
}

/** Writes a new key where there is none; when another process does so at the same moment, one of the keys wins. */
async function createKeyFile(path: string): Promise<void> {
  const pem = generateKeyPairSync("ed25519").privateKey.export({ format: "pem", type: "pkcs8" });
  const temporary = `${path}.tmp-${randomBytes(6).toString("hex")}`;
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await writeFileDurable(temporary, pem, 0o600);
    // Unlike a rename, a link never replaces a file that is there.
    await link(temporary, path).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "EEXIST") throw error;
    });
    await syncFolder(dirname(path));
  } catch (error) {
    throw ioError("create the key file", path, error);
  } finally {
    await rm(temporary, { force: true });
  }
}

async function readKeyFile(handle: FileHandle, path: string): Promise<Identity> {
  const stat = await handle.stat();
  if (!stat.isFile()) throw new GradmeshError("ERR_CONFIG", `the key file ${path} is not a file`);
  const mode = stat.mode & 0o777;
  if ((mode & 0o077) !== 0) {
    throw new GradmeshError(
      "ERR_CONFIG",
      `the key file ${path} has mode ${mode.toString(8).padStart(4, "0")}, so others can use this peer's identity; ` +
        `if only you had access so far: chmod 600 ${path}; otherwise delete it, and a new identity is made`,
    );
  }
  if (stat.size > KEY_FILE_BYTES_MAX) {
    throw new GradmeshError("ERR_CONFIG", `the key file ${path} has ${stat.size} bytes and is no key`);
  }
  try {
    const key = createPrivateKey({ key: await handle.readFile("utf8"), format: "pem" });
    if (key.asymmetricKeyType === "ed25519") return toIdentity(key);
  } catch (cause) {
    const cure = "restore it from a copy, or delete it to get a new identity";
    throw new GradmeshError("ERR_CONFIG", `the key file ${path} is torn or no PEM key; ${cure}`, { cause });
  }
  throw new GradmeshError("ERR_CONFIG", `the key file ${path} does not hold an Ed25519 key`);
}

async function openKeyFile(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, "r");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw ioError("read the key file", path, error);
  }
}

/**
 * The identity in a key file (PKCS #8 PEM, mode 0600); the file is made when there is none.
 * @throws ERR_CONFIG when others may read or write the file, or it is torn; ERR_IO from the system.
 */
export async function loadIdentity(path: string): Promise<Identity> {
  let handle = await openKeyFile(path);
  if (handle === undefined) {
    await createKeyFile(path);
    handle = await openKeyFile(path);
  }
  if (handle === undefined) throw new GradmeshError("ERR_IO", `the key file ${path} vanished`);
  try {
    return await readKeyFile(handle, path);
  } finally {
    await handle.close();
  }
}
