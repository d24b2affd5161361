/**
 * Aggregation of contributions that every member gathers whole: the same bytes in, the same rule, the same result on all of
 * them, with no owner in between who could lie about a sum.
 */
import { GradmeshError } from "../base/errors.js";
import { rowsOf } from "../reduce/gather-wires.js";
import { impossible, type RobustAggregate } from "../strategy/robust.js";
import type { Communicator, GatherAllCall } from "./communicator.js";
import type { ExchangeReport } from "./exchange.js";
import { applyRule, RowGraphs } from "./robust-rules.js";

/** One recipe's rule; graphs are kept by the contributions' number and length. */
export class RobustAggregator {
  readonly #aggregate: RobustAggregate;
  readonly #threads: number;
  readonly #graphs = new Map<string, RowGraphs>();

  constructor(aggregate: RobustAggregate, threads: number) {
    this.#aggregate = aggregate;
    this.#threads = threads;
  }

  /**
   * Gathers every member's `input` and writes what the rule makes of them to `output`, float32 [n].
   * @throws ERR_CONFIG where the view has too few members for the rule, with the inequality; as gatherAll and inspect do.
   */
  async run(call: Omit<GatherAllCall, "coders">, over: Communicator): Promise<ExchangeReport> {
    const { slot, input, output } = call;
    const coders = over.view.members.map(({ shard }) => shard);
    const members = coders.length;
    const why = impossible(this.#aggregate, members);
    if (why !== null) throw new GradmeshError("ERR_CONFIG", `strategy.aggregate: ${why}`);
    const gathered = new Float32Array(members * input.length);
    const report = await over.gatherAll({ ...call, coders, output: gathered });
    const contributions = rowsOf(gathered, input.length);
    await over.inspect?.({ slot, contributions });
    await applyRule(this.#kept(members, input.length), this.#aggregate, gathered, output);
    return report;
  }

  #kept(rows: number, columns: number): RowGraphs {
    const key = `${rows} ${columns}`;
    const graphs = this.#graphs.get(key) ?? new RowGraphs(rows, columns, this.#threads);
    this.#graphs.set(key, graphs);
    return graphs;
  }

  close(): void {
    for (const graphs of this.#graphs.values()) graphs.close();
  }
}
