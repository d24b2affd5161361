/** What a run's model is worth: of peers that agree theirs, of gossiping peers that of their mean, of experts their ensemble. */
import type { Engine } from "../engine/engine.js";
import { GraphBuilder } from "../tensor/builder.js";
import { axpby } from "../tensor/elements.js";
import type { Graph } from "../tensor/graph.js";
import { ensembleLoss } from "../trainer/ensemble.js";
import type { Trainer } from "../trainer/trainer.js";

/** Losses in nats, accuracy from 0 to 1. */
export interface Worth {
  readonly loss: number;
  readonly accuracy?: number;
  /** Where peers' models differ: of the least and of the greatest loss of a single one. */
  readonly single?: { readonly least: number; readonly greatest: number };
}

export class Judge {
  /** A trainer of its own for the mean of models, made when it is first needed. */
  #trainer: Trainer | null = null;
  #sum: Graph | null = null;
  readonly #make: () => Promise<Trainer>;

  /** @param make a trainer that no peer uses. */
  constructor(make: () => Promise<Trainer>) {
    this.#make = make;
  }

  /** @param engines by rank; at least one. */
  async evaluate(engines: readonly Engine[]): Promise<Worth> {
    const [first] = engines;
    if (first!.equal) return first!.evaluate();
    const single = await singleLosses(engines);
    const together = isEnsemble(first!) ? await ensemble(engines) : await this.#mean(engines);
    return { ...together, single };
  }

  /** The mean of the peers' models, which those who average without agreeing end with. */
  async #mean(engines: readonly Engine[]): Promise<Worth> {
    this.#trainer ??= await this.#make();
    const { parameters } = this.#trainer;
    this.#sum ??= sumGraph(parameters.length);
    const factors = Float32Array.of(1 / engines.length, 1);
    let total = new Float32Array(parameters.length);
    let sum = new Float32Array(parameters.length);
    for (const { anchor, trainer } of engines) {
      await this.#sum.run({ model: anchor ?? trainer.parameters, total, factors, sum });
      [total, sum] = [sum, total];
    }
    parameters.set(total);
    this.#trainer.parametersChanged?.();
    return this.#trainer.evaluate();
  }

  close(): void {
    this.#trainer?.close();
    this.#sum?.close();
  }
}

/** total + model / models. */
function sumGraph(elements: number): Graph {
  const graph = new GraphBuilder();
  const tensor = (name: string, extent = elements) => graph.view(graph.binding(name, extent), [extent]);
  axpby(graph, tensor("model"), tensor("total"), tensor("factors", 2), tensor("sum"));
  return graph.build(1);
}

async function singleLosses(engines: readonly Engine[]): Promise<{ least: number; greatest: number }> {
  const losses: number[] = [];
  for (const engine of engines) losses.push((await engine.evaluate()).loss);
  return { least: Math.min(...losses), greatest: Math.max(...losses) };
}

/** Experts that never exchange anything are one model only where they are evaluated. */
const isEnsemble = ({ strategies, trainer }: Engine) =>
  trainer.evaluateTokens !== undefined && strategies.every(({ recipe }) => recipe.route.kind === "none");

/**
 * The mixture of the experts, all as likely at the start of each domain and weighted by how well they told it so far
 * (Bayes; the domain posterior of Branch-Train-Merge, arXiv 2208.03306).
 */
async function ensemble(engines: readonly Engine[]): Promise<Worth> {
  const experts: Float32Array[] = [];
  for (const { trainer } of engines) experts.push(await trainer.evaluateTokens!());
  const domains = engines[0]!.trainer.domains?.length ?? 1;
  const { loss } = await ensembleLoss(experts, { window: experts[0]!.length / domains, domains });
  return { loss };
}
