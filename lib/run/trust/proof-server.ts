/** Shows others what they need to check this peer's work: members only, a few at a time, and no peer too often. */
import { type Clock, withLimit } from "../../base/clock.js";
import { asGradmeshError, GradmeshError } from "../../base/errors.js";
import type { Hash } from "../../ledger/events.js";
import type { Channel } from "../../peer/channel.js";
import { parseMessage } from "../../peer/message.js";
import type { Opening } from "../../verify/unit.js";
import {
  bytesOf,
  type ProofAnswer,
  type ProofQuestion,
  questionSchema,
  sendPieces,
} from "./proof-messages.js";
import { type RateLimit, Rates } from "./rate.js";
import { nextWord, REASON_CHARACTERS_MAX } from "./words.js";

/** What this peer can show. Errors are told to the asker, their code and message. */
export interface ProofSource {
  /** @throws ERR_INVALID_ARGUMENT where this peer has no such unit or transition. */
  opening(round: number, transition: number, signal: AbortSignal): Promise<Opening>;
  /** The arrays of the dispute's evidence (evidence.ts). @throws ERR_INVALID_ARGUMENT where this peer knows nothing of the dispute. */
  evidence(dispute: number, operator: number, signal: AbortSignal): Promise<readonly ArrayBufferView[]>;
}

export interface ProofServerLimits {
  /** Channels at the same time, of all peers and of one. */
  channelsMax: number;
  channelsPerPeerMax: number;
  /** Answers that are made and sent at the same time: each holds a copy of the model's state. One peer has one. */
  answersMax: number;
  rate: RateLimit;
  /** Time for the question. */
  questionLimitMs: number;
  /** Time to make an answer, and to send its first bytes. */
  answerLimitMs: number;
  /** The slowest reader that is waited for, beyond that. */
  bytesPerSecondMin: number;
}

export const proofServerLimits: ProofServerLimits = {
  channelsMax: 128,
  channelsPerPeerMax: 8,
  answersMax: 4,
  rate: { burst: 256, intervalMs: 50 },
  questionLimitMs: 10_000,
  answerLimitMs: 120_000,
  bytesPerSecondMin: 1 << 20,
};

export interface ProofServerOptions {
  readonly ledgerId: Hash;
  readonly source: ProofSource;
  /** Whether the peer takes part in the run, which is asked at every question. */
  readonly isMember: (peerId: string) => boolean;
  readonly clock: Clock;
  readonly limits?: Partial<ProofServerLimits>;
}

/** Peers whose rates are remembered. */
const PEERS_MAX = 4096;

/** An answer without its tensors, and these. */
interface Answer {
  readonly head: ProofAnswer;
  readonly tensors: readonly Uint8Array[];
}

class Refusal extends GradmeshError {
  constructor(
    code: "ERR_REFUSED" | "ERR_UNAUTHORIZED",
    reason: string,
    readonly retryMs: number | null = null,
  ) {
    super(code, reason);
  }
}

export class ProofServer {
  readonly #options: ProofServerOptions;
  readonly #limits: ProofServerLimits;
  readonly #rates: Rates;
  readonly #stop = new AbortController();
  /** Open channels, and of those whose answer is under way. */
  readonly #channels = new Set<Channel>();
  readonly #answering = new Map<Channel, string>();
  #waiting: (() => void)[] = [];

  constructor(options: ProofServerOptions) {
    this.#options = options;
    this.#limits = { ...proofServerLimits, ...options.limits };
    this.#rates = new Rates(this.#limits.rate, PEERS_MAX);
  }

  /** Answers the channel's one question and closes it; never rejects. For Host.handle(PROOF_PROTOCOL, ...). */
  async serve(channel: Channel): Promise<void> {
    const gone = new AbortController();
    const signal = AbortSignal.any([this.#stop.signal, gone.signal]);
    void channel.closed.then(() => gone.abort(new GradmeshError("ERR_CLOSED", "the asker is gone")));
    try {
      const answer = await this.#prepare(channel, signal);
      if (answer !== null) await this.#send(channel, answer, signal);
    } catch {
      // The asker sees that the channel closes before all has come.
    } finally {
      this.#channels.delete(channel);
      this.#answering.delete(channel);
      for (const wake of this.#waiting.splice(0)) wake();
      await channel.close().catch(() => {});
    }
  }

  /** The answer to the channel's question, or null where it was refused. */
  async #prepare(channel: Channel, signal: AbortSignal): Promise<Answer | null> {
    const { clock } = this.#options;
    try {
      this.#admit(channel);
      const question = await this.#question(channel, signal);
      await this.#turn(channel, signal);
      const { answerLimitMs } = this.#limits;
      return await withLimit(clock, answerLimitMs, "the answer", signal, (limited) =>
        this.#make(question, limited),
      );
    } catch (error) {
      await this.#refuse(channel, error);
      return null;
    }
  }

  #admit(channel: Channel): void {
    const { channelsMax, channelsPerPeerMax } = this.#limits;
    this.#stop.signal.throwIfAborted();
    if (!this.#options.isMember(channel.remote))
      throw new Refusal("ERR_UNAUTHORIZED", `${channel.remote} takes no part in the run`);
    const ofPeer = [...this.#channels].filter(({ remote }) => remote === channel.remote).length;
    if (this.#channels.size >= channelsMax || ofPeer >= channelsPerPeerMax)
      throw new Refusal("ERR_REFUSED", "too many questions at the same time", 100);
    this.#channels.add(channel);
  }

  async #question(channel: Channel, signal: AbortSignal): Promise<ProofQuestion> {
    const { clock, ledgerId } = this.#options;
    const words = channel.messages()[Symbol.asyncIterator]();
    const limitMs = this.#limits.questionLimitMs;
    const question = parseMessage(questionSchema, await nextWord(channel, words, { clock, limitMs, signal }));
    if (question.ledgerId !== ledgerId)
      throw new Refusal("ERR_UNAUTHORIZED", `this peer's ledger is ${ledgerId}, not ${question.ledgerId}`);
    const waitMs = this.#rates.take(channel.remote, clock.now());
    if (waitMs > 0) throw new Refusal("ERR_REFUSED", `${channel.remote} asks too often`, Math.ceil(waitMs));
    return question;
  }

  /** Waits until an answer is free, and the peer's own before it is done. */
  async #turn(channel: Channel, signal: AbortSignal): Promise<void> {
    const isBusy = () =>
      this.#answering.size >= this.#limits.answersMax ||
      [...this.#answering.values()].includes(channel.remote);
    while (isBusy()) {
      signal.throwIfAborted();
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiting.push(resolve);
      const abort = () => resolve();
      signal.addEventListener("abort", abort, { once: true });
      await promise;
      signal.removeEventListener("abort", abort);
    }
    signal.throwIfAborted();
    this.#answering.set(channel, channel.remote);
  }

  async #send(channel: Channel, { head, tensors }: Answer, signal: AbortSignal): Promise<void> {
    const { answerLimitMs, bytesPerSecondMin } = this.#limits;
    const bytes = tensors.reduce((sum, { length }) => sum + length, 0);
    const limitMs = answerLimitMs + (1000 * bytes) / bytesPerSecondMin;
    await withLimit(this.#options.clock, limitMs, `sending to ${channel.remote}`, signal, async (limited) => {
      await channel.send(head);
      await sendPieces(channel, tensors, limited);
    });
  }

  async #make(question: ProofQuestion, signal: AbortSignal): Promise<Answer> {
    const { source } = this.#options;
    if (question.type === "evidence") {
      const arrays = await source.evidence(question.dispute, question.operator, signal);
      const tensors = arrays.map(bytesOf);
      return { head: { type: "evidence", sizes: tensors.map(({ length }) => length) }, tensors };
    }
    const { state, leaves, proofs } = await source.opening(question.round, question.transition, signal);
    const tensors = [state.parameters, ...state.inner].map(bytesOf);
    const [before, after] = proofs;
    const head: ProofAnswer = {
      type: "opening",
      leaves: [...leaves],
      proofs: [[...before], [...after]],
      sizes: tensors.map(({ length }) => length),
    };
    return { head, tensors };
  }

  async #refuse(channel: Channel, error: unknown): Promise<void> {
    const { code, message } = asGradmeshError(error);
    const retryMs = error instanceof Refusal ? error.retryMs : null;
    const reason = message.slice(0, REASON_CHARACTERS_MAX);
    const { clock } = this.#options;
    // A reader that has stopped is not waited for.
    const send = () => channel.send({ type: "refused", code, reason, retryMs });
    await withLimit(clock, this.#limits.questionLimitMs, "a refusal", this.#stop.signal, send).catch(
      () => {},
    );
  }

  /** Ends every answer under way. */
  close(): void {
    this.#stop.abort(new GradmeshError("ERR_CLOSED", "the peer is closing"));
  }
}
