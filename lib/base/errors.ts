/** The one error class of gradmesh, with stable string codes. */
import { nativeErrorCodes } from "./codes.gen.js";

/** Every stable code with its meaning; the native ones come from bindings/abi.def. */
export const errorCodes = {
  ...nativeErrorCodes,
  ERR_CONFIG:
    "a config file or option is impossible; the message names the key, its value and what is allowed",
  ERR_CHECKPOINT: "a checkpoint is torn, foreign or absent; the message names the file",
  ERR_REFUSED: "the coordinator does not admit this peer; the message says why",
  ERR_DIVERGED: "peers that must hold the same bits do not; the message names them",
  ERR_TRAINER: "the trainer failed; the message has the step and the trainer's own words",
  ERR_UNREACHABLE: "a peer could not be reached in the time given",
  ERR_RUN_ENDED: "the run has ended; the message says why",
  ERR_LEDGER:
    "the ledger's rules refuse an event or record, or its chain is broken; the message names it and says why",
  ERR_PROOF: "a proof does not hold; the message says which and where",
} as const;

export type ErrorCode = keyof typeof errorCodes;

/** What a program may need of an error, beside its code. */
export interface ErrorDetail {
  /** Peer ids of the peers that failed. */
  peers?: readonly string[];
  /** Payload and framing bytes this peer had sent when a collective failed. */
  bytesSent?: number;
}

export class GradmeshError extends Error {
  override readonly name = "GradmeshError";
  readonly detail: ErrorDetail;

  constructor(
    readonly code: ErrorCode,
    message: string,
    options?: ErrorOptions & { detail?: ErrorDetail },
  ) {
    super(message, options);
    this.detail = options?.detail ?? {};
  }
}

/** The error as a GradmeshError; a foreign one becomes ERR_INTERNAL with the original as its cause. */
export function asGradmeshError(error: unknown): GradmeshError {
  if (error instanceof GradmeshError) return error;
  return new GradmeshError("ERR_INTERNAL", error instanceof Error ? error.message : String(error), {
    cause: error,
  });
}
