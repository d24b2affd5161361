/** Asks other peers for what their work is checked by; what comes is as long as this peer's own model says, or is refused. */
import { type Clock, withLimit } from "../../base/clock.js";
import { GradmeshError } from "../../base/errors.js";
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
  /** Time for a question, its answer, and asking again where the other has no time yet. */
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
  /** By its number in the trace of the step. */
  readonly operator: number;
  /** Bytes of each of the operator's inputs. */
  readonly sizes: readonly number[];
}

type Refusal = Extract<ProofAnswer, { type: "refused" }>;
type AnswerTo<Question extends ProofQuestion> = Extract<ProofAnswer, { type: Question["type"] }>;
/** Fills tensors from what follows an answer. */
type Receive = (tensors: readonly Uint8Array[]) => Promise<void>;
type Take<Question extends ProofQuestion, Result> = (
  answer: AnswerTo<Question>,
  receive: Receive,
) => Promise<Result>;

/** The other side may say something else when it is asked again. */
class Later extends GradmeshError {
  constructor(
    { code, reason }: Refusal,
    peerId: string,
    readonly retryMs: number,
  ) {
    super(code, `${peerId} refuses: ${reason}`);
  }
}

/** Before asking again, also where the other says at once. */
const RETRY_MS_MIN = 20;

/** All methods throw ERR_PROOF for an answer that is not what was asked for, and the other's code where it refuses. */
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

  /** The inputs of the operator that a dispute is about. That they have the digests agreed on is for the caller to see. */
  evidence(peer: Peer, { sizes, ...asked }: EvidenceQuestion, signal?: AbortSignal): Promise<Uint8Array[]> {
    const { ledgerId } = this.#options;
    return this.#ask(peer, { type: "evidence", ledgerId, ...asked }, signal, async (answer, receive) => {
      checkSizes(peer.peerId, sizes, answer.sizes);
      const tensors = sizes.map((size) => new Uint8Array(size));
      await receive(tensors);
      return tensors;
    });
  }

  #ask<Question extends ProofQuestion, Result>(
    peer: Peer,
    question: Question,
    signal: AbortSignal | undefined,
    take: Take<Question, Result>,
  ): Promise<Result> {
    const { clock, limitMs } = this.#options;
    return withLimit(clock, limitMs, `a proof of ${peer.peerId}`, signal, async (limited) => {
      for (;;) {
        try {
          return await this.#once(peer, question, limited, take);
        } catch (error) {
          if (!(error instanceof Later)) throw error;
          await clock.sleep(Math.max(RETRY_MS_MIN, error.retryMs), limited);
        }
      }
    });
  }

  async #once<Question extends ProofQuestion, Result>(
    peer: Peer,
    question: Question,
    signal: AbortSignal,
    take: Take<Question, Result>,
  ): Promise<Result> {
    const { clock, limitMs, connect } = this.#options;
    const { peerId } = peer;
    const channel = await connect(peer, signal);
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
    } finally {
      await channel.close().catch(() => {});
    }
  }
}

function refusalOf(peerId: string, answer: Refusal): GradmeshError {
  if (answer.retryMs !== null) return new Later(answer, peerId, answer.retryMs);
  return new GradmeshError(answer.code, `${peerId} refuses: ${answer.reason}`);
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
