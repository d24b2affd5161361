/** Writes a file or a whole folder so that a crash leaves the old content or the new, never half of it. */
import { randomBytes } from "node:crypto";
import { closeSync, fsyncSync, openSync } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { GradmeshError } from "./errors.js";

/** What may be written: text, bytes, or pieces of bytes that are not copied. */
export type FileContent = string | Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

const cures: Record<string, string> = {
  ENOSPC: "the disk is full: free some space, or choose a folder on another disk",
  EDQUOT: "the disk quota is used up: free some space, or choose a folder on another disk",
  EACCES: "permission denied: choose a folder that this user may write to",
  EPERM: "the system forbids it: choose a folder that this user may write to",
  EROFS: "the file system is read-only: choose a folder on a writable one",
  ENOENT: "the folder that should hold it does not exist: create it first",
  ENOTDIR: "a part of the path is a file, not a folder: choose another path",
  EISDIR: "a folder is in its place: choose another path",
  EMFILE: "too many files are open: raise the limit with `ulimit -n`",
  ENFILE: "too many files are open on this machine",
  EIO: "the disk reports an error: check it with `dmesg`",
  ENAMETOOLONG: "the name is too long",
};

/** The system's error as an ERR_IO that names the path, what was tried, and the cure. */
export function ioError(action: string, path: string, cause: unknown): GradmeshError {
  if (cause instanceof GradmeshError) return cause;
  const code = (cause as NodeJS.ErrnoException | null)?.code;
  const reason = (code && cures[code]) ?? (cause instanceof Error ? cause.message : String(cause));
  return new GradmeshError("ERR_IO", `cannot ${action} ${path}: ${reason}${code ? ` (${code})` : ""}`, {
    cause,
  });
}

/** A name beside the path that no reader takes for the real one; `isTemporaryName` knows it. */
function temporaryPath(path: string): string {
  return join(dirname(path), `.${basename(path)}.tmp-${randomBytes(6).toString("hex")}`);
}

/** Whether an interrupted write left this name; such a file or folder may be deleted. */
export function isTemporaryName(name: string): boolean {
  return /^\..+\.tmp-[0-9a-f]{12}$/.test(name);
}

/** Where `writeFolderAtomic` keeps the folder it replaces, until the new one is in place. */
export function replacedPath(path: string): string {
  return `${path}.old`;
}

/** A file system that cannot sync folders has nothing to do. */
function ignoreUnsyncable(error: unknown): void {
  const code = (error as NodeJS.ErrnoException).code;
  if (code !== "EINVAL" && code !== "ENOTSUP") throw error;
}

/** Makes the entries of a folder durable. */
export async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } catch (error) {
    ignoreUnsyncable(error);
  } finally {
    await handle.close();
  }
}

/** The same for those who cannot wait, as between two steps of a database. */
export function syncFolderSync(path: string): void {
  const folder = openSync(path, "r");
  try {
    fsyncSync(folder);
  } catch (error) {
    ignoreUnsyncable(error);
  } finally {
    closeSync(folder);
  }
}

async function writeAll(handle: FileHandle, piece: Uint8Array): Promise<void> {
  let written = 0;
  while (written < piece.byteLength) {
    const { bytesWritten } = await handle.write(piece, written, piece.byteLength - written);
    written += bytesWritten;
  }
}

function* onePiece(content: string | Uint8Array): Iterable<Uint8Array> {
  yield typeof content === "string" ? Buffer.from(content, "utf8") : content;
}

/**
 * Writes a new file and makes its bytes durable; it must not exist. For use inside `writeFolderAtomic`.
 * @param mode the permission bits, before the umask.
 * @throws what the system or the content's iterator throws.
 */
export async function writeFileDurable(path: string, content: FileContent, mode = 0o666): Promise<void> {
  const pieces = typeof content === "string" || content instanceof Uint8Array ? onePiece(content) : content;
  const handle = await open(path, "wx", mode);
  try {
    for await (const piece of pieces) await writeAll(handle, piece);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * Writes or replaces a file: a temporary file beside it, fsync, rename, fsync of the folder.
 * @param options.mode the permission bits of the file, before the umask; 0o666 by default.
 * @throws ERR_IO naming the path and the cure; the old content is unchanged.
 */
export async function writeFileAtomic(
  path: string,
  content: FileContent,
  options: { mode?: number } = {},
): Promise<void> {
  const temporary = temporaryPath(path);
  try {
    await writeFileDurable(temporary, content, options.mode);
    await rename(temporary, path);
    await syncFolder(dirname(path));
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw ioError("write", path, error);
  }
}

/**
 * Deletes a folder, if it is there, so that a crash never leaves half of it under its name: it first takes a name
 * that `removeTemporaries` clears.
 * @throws what the system throws.
 */
export async function removeFolderAtomic(path: string): Promise<void> {
  const temporary = temporaryPath(path);
  try {
    await rename(path, temporary);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw error;
  }
  await rm(temporary, { recursive: true, force: true });
}

/** Moves a full folder to its place; an older one there steps aside first, since rename replaces only empty ones. */
async function moveFolderIntoPlace(temporary: string, path: string): Promise<void> {
  const aside = replacedPath(path);
  try {
    await rename(temporary, path);
    return;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code !== "ENOTEMPTY" && code !== "EEXIST") throw error;
  }
  await removeFolderAtomic(aside);
  await rename(path, aside);
  try {
    await rename(temporary, path);
  } catch (error) {
    await rename(aside, path);
    throw error;
  }
  await syncFolder(dirname(path));
  await removeFolderAtomic(aside);
}

/**
 * Writes or replaces a flat folder: `fill` writes its files into a temporary folder beside it (with
 * `writeFileDurable`), which is then renamed. A crash while an older folder is being replaced may leave that one
 * as `<path>.old` (see `replacedPath`) and none at the path; readers must look there too.
 * @throws ERR_IO naming the path and the cure, or what `fill` throws; the old content is unchanged.
 */
export async function writeFolderAtomic(
  path: string,
  fill: (folder: string) => Promise<void>,
): Promise<void> {
  const temporary = temporaryPath(path);
  try {
    await mkdir(temporary);
    await fill(temporary);
    await syncFolder(temporary);
    await moveFolderIntoPlace(temporary, path);
    await syncFolder(dirname(path));
  } catch (error) {
    await rm(temporary, { recursive: true, force: true }).catch(() => undefined);
    throw ioError("write", path, error);
  }
}

/** Deletes what interrupted writes left in a folder. Only the folder's one writer may call it. */
export async function removeTemporaries(folder: string): Promise<void> {
  for (const name of await readdir(folder))
    if (isTemporaryName(name)) await rm(join(folder, name), { recursive: true, force: true });
}
