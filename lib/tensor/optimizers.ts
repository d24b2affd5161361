/**
 * The optimizers of native/ops/ops.def: each updates its state in place, and every tensor of state must be bound.
 * Tensors of one step have as many elements, in any shape; schedules are bound too, so that each run may have its own.
 */
import type { GraphBuilder } from "./builder.js";
import type { GraphTensor } from "./description.js";
import { expectElements, expectShape } from "./operator-checks.js";

/** One AdamW step (arXiv 1711.05101) on parameters, first and second moments, in place. */
export function adamw(
  graph: GraphBuilder,
  inputs: { gradients: GraphTensor; clip: GraphTensor; schedule: GraphTensor; decay: GraphTensor },
  state: { parameters: GraphTensor; first: GraphTensor; second: GraphTensor },
  settings: { beta1: number; beta2: number; epsilon: number; weightDecay: number },
): void {
  const { gradients, clip, schedule, decay } = inputs;
  const { parameters, first, second } = state;
  expectShape("adamw", "clip", clip, [2]);
  expectShape("adamw", "schedule", schedule, [2]);
  const elements = expectElements("adamw", [gradients, decay, parameters, first, second]);
  const floats = [settings.beta1, settings.beta2, settings.epsilon, settings.weightDecay];
  graph.node("adamw", [gradients, clip, schedule, decay], [parameters, first, second], [elements], floats);
}

/** Nesterov's step in place: b = m b + g, p = p - lr (g + m b); schedule[2] is lr and m. */
export function nesterov(
  graph: GraphBuilder,
  inputs: { gradient: GraphTensor; schedule: GraphTensor },
  state: { parameters: GraphTensor; momentum: GraphTensor },
): void {
  expectShape("nesterov", "schedule", inputs.schedule, [2]);
  const elements = expectElements("nesterov", [inputs.gradient, state.parameters, state.momentum]);
  graph.node("nesterov", [inputs.gradient, inputs.schedule], [state.parameters, state.momentum], [elements]);
}

/** p = p (1 - lr decay) - lr sign(g) in place, sign(0) = 0; schedule[2] is lr and the weight decay. */
export function signStep(
  graph: GraphBuilder,
  inputs: { gradient: GraphTensor; schedule: GraphTensor },
  state: { parameters: GraphTensor },
): void {
  expectShape("sign_step", "schedule", inputs.schedule, [2]);
  const elements = expectElements("sign_step", [inputs.gradient, state.parameters]);
  graph.node("sign_step", [inputs.gradient, inputs.schedule], [state.parameters], [elements]);
}

const adaptiveKinds = ["adam", "yogi", "adagrad"] as const; // in the order of ops.def

/** How FedOpt's second moment follows the squared gradient. */
export type AdaptiveKind = (typeof adaptiveKinds)[number];

/**
 * One step of FedOpt's server optimizers (arXiv 2003.00295) in place, without bias correction:
 * m = beta1 m + (1 - beta1) g; p = p - lr m / (sqrt(v) + epsilon); and v by kind
 * - adam: beta2 v + (1 - beta2) g^2,
 * - yogi: v - (1 - beta2) g^2 sign(v - g^2),
 * - adagrad: v + g^2; beta2 is not used.
 * The gradient is a pseudo-gradient, anchor minus parameters, so that the step descends. schedule[1] is lr; betas are
 * below 1; start v at epsilon^2 or more, as the paper does.
 */
export function adaptive(
  graph: GraphBuilder,
  inputs: { gradient: GraphTensor; schedule: GraphTensor },
  state: { parameters: GraphTensor; first: GraphTensor; second: GraphTensor },
  settings: { kind: AdaptiveKind; beta1: number; beta2: number; epsilon: number },
): void {
  const { parameters, first, second } = state;
  expectShape("adaptive", "schedule", inputs.schedule, [1]);
  const elements = expectElements("adaptive", [inputs.gradient, parameters, first, second]);
  graph.node(
    "adaptive",
    [inputs.gradient, inputs.schedule],
    [parameters, first, second],
    [elements, adaptiveKinds.indexOf(settings.kind)],
    [settings.beta1, settings.beta2, settings.epsilon],
  );
}
