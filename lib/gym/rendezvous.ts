/** Where the members' coroutines meet: a numbered meeting takes place once every member has come to it. */
import { asGradmeshError, type GradmeshError } from "../base/errors.js";

interface Meeting<Call, Result> {
  /** By member; undefined while it has not come. */
  readonly calls: (Call | undefined)[];
  come: number;
  /** It takes place, or did. */
  begun: boolean;
  readonly outcome: PromiseWithResolvers<readonly Result[]>;
}

export interface RendezvousOptions<Call, Result> {
  readonly members: number;
  /** What a meeting does: the members' calls in, their results out, both by member. */
  hold(number: number, calls: readonly Call[]): Promise<readonly Result[]>;
  /** At a meeting to which all but absent members have come: why there can be no more. Absent members' calls are undefined. */
  broken(number: number, calls: readonly (Call | undefined)[]): Promise<unknown>;
}

/** Each member comes to every meeting; several may take place at a time. */
export class Rendezvous<Call, Result> {
  readonly #options: RendezvousOptions<Call, Result>;
  readonly #open = new Map<number, Meeting<Call, Result>>();
  /** Members that left: the first meeting without them, or that any may be. */
  readonly #left = new Map<number, { readonly number: number; readonly any: boolean }>();
  #failure: GradmeshError | null = null;
  #breaking = false;

  constructor(options: RendezvousOptions<Call, Result>) {
    this.#options = options;
  }

  /** Resolves with the member's result once all have come. @throws what the meeting threw, or why this has failed. */
  async meet(member: number, number: number, call: Call): Promise<Result> {
    if (this.#failure !== null) throw this.#failure;
    const meeting = this.#open.get(number) ?? this.#convene(number);
    if (meeting.calls[member] === undefined) meeting.come += 1;
    meeting.calls[member] = call;
    this.#look(number, meeting);
    return (await meeting.outcome.promise)[member]!;
  }

  /**
   * A member comes to no further meeting, or to none from a number on. The first without it to which all others have come,
   * or the one of that number, ends all that are not over.
   */
  leave(member: number, from: number | null = null): void {
    this.#left.set(member, { number: from ?? Number.NEGATIVE_INFINITY, any: from === null });
    for (const [number, meeting] of this.#open) this.#look(number, meeting);
  }

  /** Ends every meeting that is not over, and all later ones, with this error. */
  fail(error: unknown): void {
    this.#failure ??= asGradmeshError(error);
    for (const { outcome } of this.#open.values()) outcome.reject(this.#failure);
    this.#open.clear();
  }

  #convene(number: number): Meeting<Call, Result> {
    const calls = new Array<Call | undefined>(this.#options.members).fill(undefined);
    const meeting = { calls, come: 0, begun: false, outcome: Promise.withResolvers<readonly Result[]>() };
    // One that fails while nobody waits is no unhandled rejection.
    meeting.outcome.promise.catch(() => {});
    this.#open.set(number, meeting);
    return meeting;
  }

  #look(number: number, meeting: Meeting<Call, Result>): void {
    const { calls, come, begun, outcome } = meeting;
    if (begun) return;
    if (come === this.#options.members) {
      meeting.begun = true;
      void this.#hold(number, calls as readonly Call[], outcome);
    } else if (this.#breaks(number, calls)) void this.#break(number, calls);
  }

  /** All come to it but members that left, for one of whom it is the first without him. */
  #breaks(number: number, calls: readonly (Call | undefined)[]): boolean {
    const missing = calls.flatMap((call, member) => (call === undefined ? [this.#left.get(member)] : []));
    return (
      missing.every((from) => from !== undefined && number >= from.number) &&
      missing.some((from) => from?.any || from?.number === number)
    );
  }

  async #hold(
    number: number,
    calls: readonly Call[],
    outcome: PromiseWithResolvers<readonly Result[]>,
  ): Promise<void> {
    try {
      outcome.resolve(await this.#options.hold(number, calls));
      this.#open.delete(number);
    } catch (error) {
      this.fail(error);
    }
  }

  async #break(number: number, calls: readonly (Call | undefined)[]): Promise<void> {
    if (this.#breaking) return;
    this.#breaking = true;
    try {
      this.fail(await this.#options.broken(number, calls));
    } catch (error) {
      this.fail(error);
    }
  }
}
