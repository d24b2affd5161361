/** The words that both trust protocols use: digests, accounts, refusals, and the next message of a channel within a limit. */
import { z } from "zod";
import { type Clock, withLimit } from "../../base/clock.js";
import { type ErrorCode, errorCodes, GradmeshError } from "../../base/errors.js";
import type { Channel } from "../../peer/channel.js";

export const hashSchema = z.string().regex(/^[0-9a-f]{64}$/, "is no digest");
export const u32Schema = z
  .int()
  .nonnegative()
  .max(2 ** 32 - 1);

/** Bytes of at least one and at most so many. */
export const bytesSchema = (most: number) =>
  z.custom<Uint8Array>(
    (value) => value instanceof Uint8Array && value.length > 0 && value.length <= most,
    `must be 1 to ${most} bytes`,
  );

export const codeSchema = z.custom<ErrorCode>(
  (value) => typeof value === "string" && Object.hasOwn(errorCodes, value),
  "is no error code",
);

export const REASON_CHARACTERS_MAX = 1024;
export const reasonSchema = z.string().max(REASON_CHARACTERS_MAX);

/** The next message of a channel. @throws ERR_CLOSED when there is none, ERR_TIMEOUT, the signal's reason. */
export async function nextWord(
  channel: Pick<Channel, "remote">,
  words: AsyncIterator<unknown>,
  { clock, limitMs, signal }: { clock: Clock; limitMs: number; signal?: AbortSignal | undefined },
): Promise<unknown> {
  const what = `a message of ${channel.remote}`;
  const { done, value } = await withLimit(clock, limitMs, what, signal, () => words.next());
  if (done === true)
    throw new GradmeshError("ERR_CLOSED", `${channel.remote} closed the channel without a word`);
  return value;
}
