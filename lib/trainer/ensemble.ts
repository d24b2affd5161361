/**
 * The loss of several experts as one model (hdee, arXiv 2502.19385; Branch-Train-Merge, arXiv 2208.03306): a mixture of
 * what they predict, from the losses that each of them has alone.
 */
import { GradmeshError } from "../base/errors.js";
import { GraphBuilder } from "../tensor/builder.js";
import type { GraphBinding, GraphTensor } from "../tensor/description.js";
import { copy, mean, subtract } from "../tensor/elements.js";
import { crossEntropy, matmul, matmulBackwardWeight } from "../tensor/operators.js";

export interface EnsembleOptions {
  /**
   * Tokens that belong together. 1: each token is predicted by the plain mean of the experts' probabilities. More, such as
   * the model's context: within a window the experts are weighed by how well they did on the tokens before, Bayes' rule
   * from equal weights on, which over a whole window comes to -log((sum over experts of exp(-their total loss)) / experts).
   */
  readonly window: number;
  /** Equal parts of the losses, in order; 1 where there are no domains. */
  readonly domains: number;
}

export interface EnsembleLoss {
  /** Mean over the domains, in nats a token. */
  readonly loss: number;
  readonly domains: readonly number[];
}

/** minus log of the mean of exp(-x) over the E rows of x[E,W] -> [W], to `out`. */
function appendMixture(graph: GraphBuilder, x: GraphTensor, out: GraphTensor): void {
  const [experts, windows] = x.shape as [number, number];
  const constant = (name: string, shape: readonly number[]) =>
    graph.view(graph.binding(name, shape[0]! * shape[1]!), shape);
  const targets = graph.binding("targets", windows, "i32");
  // The transpose: a product of x^T with minus the identity, exact.
  const logits = graph.arena("logits", [windows, experts]);
  matmulBackwardWeight(graph, x, constant("minusIdentity", [experts, experts]), logits);
  // The cross-entropy of class 0 is log(sum of exp(logits)) - logits[0]; of equal logits it is log(experts).
  const relative = crossEntropy(graph, logits, graph.view(targets, [windows]));
  const uniform = crossEntropy(graph, constant("equal", [1, experts]), graph.view(targets, [1]));
  const first = matmul(graph, logits, constant("minusFirst", [experts, 1]), uniform);
  subtract(graph, first, relative, out);
}

/** Bindings: losses [E * N], ones [window], the constants of the mixture, mixture [N / window], means [domains]. */
function ensembleGraph(experts: number, tokens: number, { window, domains }: EnsembleOptions): GraphBuilder {
  const graph = new GraphBuilder();
  const windows = tokens / window;
  const losses = graph.view(graph.binding("losses", experts * tokens), [experts * windows, window]);
  const totals = matmul(graph, losses, graph.view(graph.binding("ones", window), [window, 1]));
  const mixture: GraphBinding = graph.binding("mixture", windows);
  const rows = copy(graph, totals, graph.arena("totals", [experts, windows]));
  appendMixture(graph, rows, graph.view(mixture, [windows]));
  const means = graph.binding("means", domains);
  const part = windows / domains;
  for (let domain = 0; domain < domains; domain++)
    mean(graph, graph.view(mixture, [part], domain * part), graph.view(means, [1], domain));
  return graph;
}

function check(losses: readonly Float32Array[], { window, domains }: EnsembleOptions): void {
  const tokens = losses[0]?.length ?? 0;
  const whole = [window, domains].every((count) => Number.isSafeInteger(count) && count > 0);
  if (
    whole &&
    tokens > 0 &&
    tokens % (window * domains) === 0 &&
    losses.every(({ length }) => length === tokens)
  )
    return;
  throw new GradmeshError(
    "ERR_INVALID_ARGUMENT",
    `ensemble: ${losses.length} experts with [${losses.map(({ length }) => length)}] losses, window ${window}, ` +
      `${domains} domains; allowed: one expert or more, each with as many losses, a multiple of window times domains`,
  );
}

/**
 * @param losses what evaluateTokens() of each expert gave, float32 [N] each.
 * @throws ERR_INVALID_ARGUMENT for lengths that differ or are no multiple of window x domains.
 */
export async function ensembleLoss(
  losses: readonly Float32Array[],
  options: EnsembleOptions,
): Promise<EnsembleLoss> {
  check(losses, options);
  const [experts, tokens] = [losses.length, losses[0]!.length];
  const { window, domains } = options;
  const all = new Float32Array(experts * tokens);
  for (const [expert, values] of losses.entries()) all.set(values, expert * tokens);
  const minusIdentity = new Float32Array(experts * experts);
  for (let expert = 0; expert < experts; expert++) minusIdentity[expert * experts + expert] = -1;
  const means = new Float32Array(domains);
  const graph = ensembleGraph(experts, tokens, options).build(1);
  try {
    await graph.run({
      losses: all,
      ones: new Float32Array(window).fill(1),
      minusIdentity,
      equal: new Float32Array(experts),
      minusFirst: minusIdentity.slice(0, experts),
      targets: new Int32Array(tokens / window),
      mixture: new Float32Array(tokens / window),
      means,
    });
  } finally {
    graph.close();
  }
  const byDomain = Array.from(means, (value) => value / window);
  return { loss: byDomain.reduce((sum, value) => sum + value, 0) / domains, domains: byDomain };
}
