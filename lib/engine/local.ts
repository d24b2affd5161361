/** A peer's own change of its gradients, before they are exchanged or taken: FedProx's proximal term (arXiv 1812.06127). */
import { GradmeshError } from "../base/errors.js";
import { axpby, copy, subtract } from "../tensor/elements.js";
import type { Graph } from "../tensor/graph.js";
import type { Trainer } from "../trainer/trainer.js";
import { rangeGraph } from "./ranges.js";

export interface ProximalOptions {
  /** Weight of mu / 2 |parameters - anchor|^2 in the loss; 0 changes no bit. */
  readonly mu: number;
  /** What the peer started the round from, float32 [n]. */
  readonly anchor: Float32Array;
  readonly parameters: Float32Array;
  readonly trainer: Trainer;
  readonly threads: number;
}

/** Adds mu (parameters - anchor) to a trainer's gradients. */
export class Proximal {
  readonly #options: ProximalOptions;
  readonly #gradients: Float32Array;
  readonly #adjust: Graph;

  /** @throws ERR_CONFIG for a trainer that shows no gradients. */
  constructor(options: ProximalOptions) {
    this.#options = options;
    this.#gradients = gradientsOf(options.trainer);
    const { threads, anchor } = options;
    const elements = anchor.length;
    this.#adjust = rangeGraph(elements, [{ begin: 0, elements }], threads, (graph, views) => {
      const away = subtract(graph, views.bucket("parameters"), views.bucket("anchor"));
      const gradients = views.bucket("gradients");
      copy(graph, axpby(graph, away, gradients, views.scalars("factors", 2)), gradients);
    });
  }

  /** Between the gradient of a step and its exchange or update. */
  async adjust(): Promise<void> {
    const { mu, anchor, parameters } = this.#options;
    if (mu === 0) return;
    const factors = Float32Array.of(mu, 1);
    await this.#adjust.run({ parameters, anchor, gradients: this.#gradients, factors });
  }

  close(): void {
    this.#adjust.close();
  }
}

/** A trainer's gradients. @throws ERR_CONFIG where it shows none. */
export function gradientsOf({ gradients }: Trainer): Float32Array {
  if (gradients !== undefined) return gradients;
  throw new GradmeshError(
    "ERR_CONFIG",
    "the trainer shows no gradients (Trainer.gradients, gradient and update), which this strategy works on; " +
      "give it those, or choose a strategy that exchanges what whole steps have changed, such as diloco",
  );
}
