/** Asks other peers for what their work is checked by; what comes is as long as this peer's own model says, or is refused. */
import { type Clock, withLimit } from "../../base/clock.js";
import { asGradmeshError, type ErrorCode, GradmeshError } from "../../base/errors.js";
import type { Hash } from "../../ledger/events.js";
import type { Channel } from "../../peer/channel.js";
import { parseMessage } from "../../peer/message.js";
import { verifyProof } from "../../verify/merkle.js";
import type { Opening } from "../../verify/unit.js";
import {
  answerSchema,
  bytesOf,
  type ProofAnswer,
  type ProofQuestion,
  receivePieces,
} from "./proof-messages.js";
import { nextWord } from "./words.js";

/** Numbers of elements, such as of a trainer's own state. */
export interface StateLengths {
  readonly parameters: { readonly length: number };
  readonly inner: readonly { readonly length: number }[];
}

export interface ProofClientOptions<Peer> {
  readonly ledgerId: Hash;
  /** Opens a channel of PROOF_PROTOCOL to a peer. */
  readonly connect: (peer: Peer, signal: AbortSignal) => Promise<Channel>;
  /** Of the model's state. */
  readonly like: StateLengths;
  /** Time for a question, its answer, and asking again where the other has no time yet, is away, or hangs up. */
  readonly limitMs: number;
  readonly clock: Clock;
}

export interface TransitionQuestion {
  readonly round: number;
  /** From 1 to the unit's steps + 1. */
  readonly transition: number;
  /** Where it is known what the peer has revealed, proofs are checked against it before any tensor is fetched. */
  readonly unit?: { readonly root: Hash; readonly steps: number };
}

export interface EvidenceQuestion {
  readonly dispute: number;
  /** The disputed leaf of the step's trace; 0 where the contribution is disputed. */
  readonly operator: number;
  /** Bytes of each array of the evidence. */
  readonly sizes: readonly number[];
}

type Refusal = ProofAnswer & { type: "refused" };
type AnswerTo<Question extends ProofQuestion> = Extract<ProofAnswer, { type: Question["type"] }>;
/** Fills tensors from what follows an answer. */
type Receive = (tensors: readonly Uint8Array[]) => Promise<void>;
type Take<Question extends ProofQuestion, Result> = (
  answer: AnswerTo<Question>,
  receive: Receive,
) => Promise<Result>;

/** The asked peer's own word that it shows nothing; the code is its choice. */
export class Refused extends GradmeshError {}

/** May go otherwise when it is asked again. */
class Later extends Error {
  override readonly cause: GradmeshError;

  constructor(
    cause: GradmeshError,
    readonly retryMs: number,
  ) {
    super(cause.message);
    this.cause = cause;
  }
}

/** Before asking again, also where the other says at once; doubled each time, up to the longest. */
const RETRY_MS_MIN = 20;
const RETRY_MS_MAX = 500;

/** A peer that restarts is away, then reachable without the protocol; and where it can be reached is its own word. */
const awayCodes: readonly ErrorCode[] = ["ERR_UNREACHABLE", "ERR_PROTOCOL", "ERR_INVALID_ARGUMENT"];
const hangUpCodes: readonly ErrorCode[] = ["ERR_CLOSED"];

const laterIf = (codes: readonly ErrorCode[], error: unknown): unknown =>
  error instanceof GradmeshError && codes.includes(error.code) ? new Later(error, 0) : error;

/** Whether the asked peer did not show what it was asked for; any other error is the asker's own trouble. */
export function showedNothing(error: unknown): boolean {
  if (error instanceof Refused) return true;
  return ["ERR_TIMEOUT", "ERR_PROOF", "ERR_PROTOCOL"].includes(asGradmeshError(error).code);
}

/**
 * All methods throw ERR_PROOF for an answer that is not what was asked for, ERR_PROTOCOL for what is no answer, ERR_TIMEOUT,
 * also for a peer that stays away, and Refused with the other's code. A failed dial or a lost channel alone ends nothing: a
 * referee that took it for silence would have an honest worker slashed.
 */
export class ProofClient<Peer extends { readonly peerId: string } = { readonly peerId: string }> {
  readonly #options: ProofClientOptions<Peer>;

  constructor(options: ProofClientOptions<Peer>) {
    this.#options = options;
  }

  /**
   * What a transition of the peer's unit is checked by. That the tensors hash to the leaf, and the leaves to a root that
   * was not given here, is for the caller to see (verdictOf, lib/verify/replay.ts).
   */
  transition(peer: Peer, { unit, ...asked }: TransitionQuestion, signal?: AbortSignal): Promise<Opening> {
    const { ledgerId, like } = this.#options;
    const lengths = [like.parameters.length, ...like.inner.map(({ length }) => length)];
    const sizes = lengths.map((length) => length * Float32Array.BYTES_PER_ELEMENT);
    return this.#ask(peer, { type: "opening", ledgerId, ...asked }, signal, async (answer, receive) => {
      const { leaves, proofs } = answer;
      if (unit !== undefined) checkLeaves(peer.peerId, asked.transition, unit, answer);
      checkSizes(peer.peerId, sizes, answer.sizes);
      const parameters = new Float32Array(like.parameters.length);
      const inner = like.inner.map(({ length }) => new Float32Array(length));
      await receive([parameters, ...inner].map(bytesOf));
      return { transition: asked.transition, state: { parameters, inner }, leaves, proofs };
    });
  }

  /** The arrays of a dispute's evidence (evidence.ts). What they prove is for the caller to see. */
  evidence(peer: Peer, { sizes, ...asked }: EvidenceQuestion, signal?: AbortSignal): Promise<Uint8Array[]> {
    const { ledgerId } = this.#options;
    return this.#ask(peer, { type: "evidence", ledgerId, ...asked }, signal, async (answer, receive) => {
      checkSizes(peer.peerId, sizes, answer.sizes);
      const tensors = sizes.map((size) => new Uint8Array(size));
      await receive(tensors);
      return tensors;
    });
  }

  async #ask<Question extends ProofQuestion, Result>(
    peer: Peer,
    question: Question,
    signal: AbortSignal | undefined,
    take: Take<Question, Result>,
  ): Promise<Result> {
    const { clock, limitMs } = this.#options;
    let failed: Later | null = null;
    const work = async (limited: AbortSignal) => {
      for (let pauseMs = RETRY_MS_MIN; ; pauseMs = Math.min(2 * pauseMs, RETRY_MS_MAX)) {
        try {
          return await this.#once(peer, question, limited, take);
        } catch (error) {
          if (!(error instanceof Later)) throw error;
          failed = error;
          await clock.sleep(Math.max(pauseMs, error.retryMs), limited);
        }
      }
    };
    try {
      return await withLimit(clock, limitMs, `a proof of ${peer.peerId}`, signal, work);
    } catch (error) {
      throw signal?.aborted === true ? error : timedOut(error, failed);
    }
  }

  async #once<Question extends ProofQuestion, Result>(
    peer: Peer,
    question: Question,
    signal: AbortSignal,
    take: Take<Question, Result>,
  ): Promise<Result> {
    const { clock, limitMs, connect } = this.#options;
    const { peerId } = peer;
    const channel = await connect(peer, signal).catch((error: unknown) => {
      throw laterIf(awayCodes, error);
    });
    try {
      signal.throwIfAborted();
      const words = channel.messages()[Symbol.asyncIterator]();
      const next = () => nextWord(channel, words, { clock, limitMs, signal });
      await channel.send(question);
      const answer = parseMessage(answerSchema, await next());
      if (answer.type === "refused") throw refusalOf(peerId, answer);
      if (answer.type !== question.type)
        throw new GradmeshError(
          "ERR_PROOF",
          `${peerId} was asked for an ${question.type}, not an ${answer.type}`,
        );
      return await take(answer as AnswerTo<Question>, (tensors) => receivePieces(peerId, next, tensors));
    } catch (error) {
      throw laterIf(hangUpCodes, error);
    } finally {
      await channel.close().catch(() => {});
    }
  }
}

function refusalOf(peerId: string, { code, reason, retryMs }: Refusal): Later | Refused {
  const refused = new Refused(code, `${peerId} refuses: ${reason}`);
  return retryMs === null ? refused : new Later(refused, retryMs);
}

/** A time that is up says why the last try had failed. */
function timedOut(error: unknown, failed: Later | null): unknown {
  if (failed === null || !(error instanceof GradmeshError) || error.code !== "ERR_TIMEOUT") return error;
  return new GradmeshError("ERR_TIMEOUT", `${error.message}; the last try: ${failed.message}`, {
    cause: failed.cause,
  });
}

function checkLeaves(
  peerId: string,
  transition: number,
  { root, steps }: { readonly root: Hash; readonly steps: number },
  { leaves, proofs }: AnswerTo<ProofQuestion & { type: "opening" }>,
): void {
  for (const [which, leaf] of leaves.entries()) {
    const index = transition - 1 + which;
    if (!verifyProof(root, steps + 2, index, leaf, proofs[which]!))
      throw new GradmeshError("ERR_PROOF", `${peerId} did not prove leaf ${index} against its unit's root`);
  }
}

function checkSizes(peerId: string, expected: readonly number[], announced: readonly number[]): void {
  if (announced.length !== expected.length)
    throw new GradmeshError(
      "ERR_PROOF",
      `${peerId} announces ${announced.length} tensors, where there are ${expected.length}`,
    );
  const wrong = announced.findIndex((size, index) => size !== expected[index]);
  if (wrong >= 0)
    throw new GradmeshError(
      "ERR_PROOF",
      `${peerId} announces ${announced[wrong]} bytes of tensor ${wrong}, which has ${expected[wrong]}`,
    );
}
