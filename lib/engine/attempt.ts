/** One attempt at a round's exchanges with the members of one view: what is under way, and what waits for the commit. */
import { GradmeshError } from "../base/errors.js";
import type { ApplyAction, BeginAction } from "../strategy/strategy.js";
import { type Communicator, SLOTS_PER_EXCHANGE } from "./communicator.js";
import type { Exchange, ExchangeReport, Flight } from "./exchange.js";
import type { Phase, Planned } from "./timeline.js";

interface UnderWay {
  readonly index: number;
  readonly flight: Flight;
  readonly slot: number;
  readonly outcome: Promise<ExchangeReport>;
}

export class Attempt {
  readonly #exchanges: readonly (Exchange | null)[];
  readonly #over: Communicator;
  readonly #underWay = new Map<string, UnderWay>();
  readonly #outcomes: Promise<ExchangeReport>[] = [];
  readonly #deferred: (() => Promise<void>)[] = [];
  /** Flights that wait for the commit. */
  readonly #sent: Flight[] = [];
  readonly results: Float32Array[] = [];
  readonly reports: ExchangeReport[] = [];
  #slot = 0;

  constructor(exchanges: readonly (Exchange | null)[], over: Communicator) {
    this.#exchanges = exchanges;
    this.#over = over;
  }

  /** Captures all of them before anything else happens. @param last nothing of the round comes after it but the commit. */
  async begin(begins: readonly Planned<BeginAction>[], last = false): Promise<void> {
    const captured: [Planned<BeginAction>, Flight][] = [];
    for (const planned of begins)
      captured.push([planned, await this.#exchanges[planned.index]!.capture(planned.action, this.#over)]);
    for (const [{ index, action }, flight] of captured) {
      const slot = this.#slot;
      this.#slot += SLOTS_PER_EXCHANGE;
      this.#over.clock?.began(slot);
      let next = slot;
      const outcome = flight.communicate(this.#over, () => this.#take(next++, slot), last);
      // Whoever waits for it hears of a failure.
      outcome.catch(() => {});
      this.#outcomes.push(outcome);
      this.#underWay.set(nameOf(index, action), { index, flight, slot, outcome });
    }
  }

  #take(slot: number, first: number): number {
    if (slot < first + SLOTS_PER_EXCHANGE) return slot;
    throw new GradmeshError("ERR_INTERNAL", `an exchange used more than ${SLOTS_PER_EXCHANGE} collectives`);
  }

  /** Waits for what the applies need, then takes them in their order; or, deferred, leaves them to `finish`. */
  async apply(applies: Phase["applies"], deferred: boolean): Promise<void> {
    const ready: (() => Promise<void>)[] = [];
    for (const { index, action } of applies) {
      const name = nameOf(index, action);
      const underWay = this.#underWay.get(name);
      if (underWay === undefined)
        throw new GradmeshError("ERR_INTERNAL", `exchange ${name} is applied and was not begun in its round`);
      const { flight, slot, outcome } = underWay;
      const report = await outcome;
      this.#over.clock?.joined(slot);
      this.#underWay.delete(name);
      this.reports.push(report);
      if (deferred) {
        this.results.push(...flight.results);
        this.#sent.push(flight);
      }
      ready.push(() => this.#applyOne(index, flight, action, report));
    }
    if (deferred) this.#deferred.push(...ready);
    else for (const one of ready) await one();
  }

  async #applyOne(
    index: number,
    flight: Flight,
    action: ApplyAction,
    { measures }: ExchangeReport,
  ): Promise<void> {
    await flight.apply(action, this.#over);
    if (measures !== undefined) this.#exchanges[index]!.setMeasures?.(measures);
  }

  /** What waits for the commit, after those that are there. */
  defer(work: () => Promise<void>): void {
    this.#deferred.push(work);
  }

  /** In place of finish: the commit may have come, and this peer takes another's state. */
  counted(): void {
    for (const flight of this.#sent.splice(0)) flight.counted?.(this.#over);
  }

  /** After the commit. */
  async finish(): Promise<void> {
    for (const work of this.#deferred.splice(0)) await work();
  }

  /** Resolves once nothing of it is under way, however it ended. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#outcomes);
  }

  /** @throws ERR_INTERNAL where a strategy began what it never applies. */
  checkDone(): void {
    const [left] = this.#underWay.keys();
    if (left !== undefined)
      throw new GradmeshError("ERR_INTERNAL", `exchange ${left} is still under way at the round's end`);
  }
}

const nameOf = (index: number, { exchange, fragment }: BeginAction | ApplyAction) =>
  `${index}:${exchange}:${fragment}`;
