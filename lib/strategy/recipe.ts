/**
 * The slots of a recipe: what a training method of the field is made of, as plain JSON data. A recipe is hashed into the
 * run's id, so that peers with different ones cannot mix. Learning rates and decays are doubles; steps are inner steps.
 */
import type { AllReduceCollective } from "../reduce/calls.js";

/** When an exchange begins: after every inner step t > 0 with t mod steps = offset (offset 0: also at step 0 where it says so). */
export interface Trigger {
  readonly steps: number;
  readonly offset: number;
}

/**
 * What is sent. gradient: of the last inner step, before the inner optimizer takes it. delta: the pseudo-gradient, anchor
 * minus parameters. parameters: themselves. Of a mix: parameters alone, or delta and anchor (NoLoCo).
 */
export type Source = "gradient" | "delta" | "parameters" | "deltaAndAnchor";

/**
 * Which elements go in one exchange. all: the bucket. layers: `count` fragments of whole layers, strided (Streaming
 * DiLoCo). random: a share of all elements drawn anew each time by the shared seed (SPARTA), no bytes for the mask.
 * partition: the same share, so that 1 / share exchanges in turn cover every element once.
 */
export type Fragments =
  | { readonly kind: "all" }
  | { readonly kind: "layers"; readonly count: number }
  | { readonly kind: "random"; readonly share: number }
  | { readonly kind: "partition"; readonly count: number };

/**
 * What becomes of a sender's coding error. sender: e = decay e + x, the wire is of e, e = e - sent. momentum: the same
 * rule with a momentum in e's place (DeMo: what is sent leaves it). Both take contractive codecs, sent to owners or to all.
 */
export type Feedback =
  | { readonly kind: "none" }
  | { readonly kind: "sender"; readonly decay: number }
  | { readonly kind: "momentum"; readonly decay: number };

/** The wires: up to a chunk's owner, and its mean down, which may be another codec with feedback at the owner. */
export interface Coding {
  /** Specifications; `down` null: as up. */
  readonly up: string;
  readonly down: string | null;
  /** Decay of the owner's error feedback on the way down; null: none. Takes a contractive `down`. */
  readonly ownerFeedback: number | null;
}

/**
 * How it travels. gather: every rank's wire to every rank, each of which decodes and sums them in rank order (bytes grow
 * with the peers; nothing is coded twice). mix: one round of averaging with the neighbours of a graph.
 */
export type Route =
  | { readonly kind: "allReduce"; readonly collective: AllReduceCollective | "auto" }
  | { readonly kind: "gather" }
  | { readonly kind: "mix"; readonly topology: string }
  | { readonly kind: "powersgd"; readonly rank: number }
  | { readonly kind: "none" };

/** Rules over all contributions. The plain mean bears no faulty member at all; gathered, it shows who sent what. */
export const robustRules = [
  "mean",
  "median",
  "trimmedMean",
  "krum",
  "multiKrum",
  "centeredClip",
  "normClip",
] as const;

/**
 * How contributions become one. weighted: by each peer's samples. contributors: by the action's weights. robust: by a rule
 * over all of them, gathered (lib/strategy/robust.ts).
 */
export type Aggregate =
  | { readonly kind: "mean" }
  | { readonly kind: "weighted" }
  | { readonly kind: "medianNormClip" }
  | {
      readonly kind: "robust";
      readonly rule: (typeof robustRules)[number];
      /** Members that may send anything (f). */
      readonly faulty: number;
      /** Of multiKrum: contributions in the mean; null: members - faulty - 2. */
      readonly selected: number | null;
      /** Of centeredClip and normClip: the most that one may differ, in norm; null: the median one's. */
      readonly radius: number | null;
      /** Of centeredClip. */
      readonly iterations: number;
    };

/** What is done with it, on the anchor (of a delta) or on the parameters. */
export type Outer =
  /** inner: the inner optimizer takes the mean gradient. replace: the mean takes the place of the elements. */
  | { readonly kind: "inner" }
  | { readonly kind: "replace" }
  /** x = x - lr g. */
  | { readonly kind: "sgd" }
  /** b = m b + g; x = x - lr (g + m b). */
  | { readonly kind: "nesterov" }
  /** Nesterov whose momentum is updated once every `arrivals` contributions, plain SGD meanwhile (arXiv 2401.09135). */
  | { readonly kind: "delayedNesterov" }
  /** Of FedOpt, arXiv 2003.00295; no bias correction; v starts at epsilon squared. */
  | {
      readonly kind: "adam" | "yogi" | "adagrad";
      readonly beta1: number;
      readonly beta2: number;
      readonly epsilon: number;
    }
  /** x = x (1 - lr decay) - lr sign(g); sign(0) = 0. */
  | { readonly kind: "sign"; readonly weightDecay: number }
  /** m = alpha m + beta mean(delta) + gamma (anchor - mean(anchor)); anchor = anchor - m (NoLoCo, our sign). */
  | { readonly kind: "noloco"; readonly alpha: number; readonly beta: number; readonly gamma: number };

/**
 * Between sending and applying. overlap: so many inner steps pass (0: none), and the parameters become
 * mix parameters + (1 - mix) anchor. eager: a whole round passes, and the own part of the mean is exchanged for the
 * newest (arXiv 2502.12996). delayed: a whole round passes, nothing is corrected.
 */
export type Staleness =
  | { readonly kind: "overlap"; readonly steps: number; readonly mix: number }
  | { readonly kind: "eager" }
  | { readonly kind: "delayed" };

/** What happens where members change. */
export interface Membership {
  /** What a joining peer receives: the anchor with its outer state, the parameters with the inner optimizer's, or nothing. */
  readonly join: "anchor" | "parameters" | "parametersAndInner" | "nothing";
  /** Of a peer too slow for the round: its work goes into its next contribution, or nothing was lost. */
  readonly late: "carry" | "nothing";
}

/** A peer's own change of each inner step's gradient. proximal: + mu (parameters - anchor) (FedProx, arXiv 1812.06127). */
export type Local = { readonly kind: "none" } | { readonly kind: "proximal"; readonly mu: number };

export interface Recipe {
  readonly strategy: string;
  readonly trigger: Trigger;
  readonly source: Source;
  readonly fragments: Fragments;
  readonly feedback: Feedback;
  readonly coding: Coding;
  readonly route: Route;
  readonly aggregate: Aggregate;
  readonly outer: Outer;
  readonly staleness: Staleness;
  readonly membership: Membership;
  readonly local: Local;
  /**
   * What members agree on after an exchange, for the next view's measures. signal: the mean over members of the part of
   * their contribution that the mean keeps, |mean|^2 / mean |x|^2: 1 where all agree, 1 / members where it is noise.
   */
  readonly measure: "signal" | null;
  /** Inner steps between two commits; whether all members' results are the same bytes then. */
  readonly commit: { readonly steps: number; readonly equal: boolean };
}

/** A recipe with what most methods leave as it is. */
export const plainRecipe = {
  fragments: { kind: "all" },
  feedback: { kind: "none" },
  aggregate: { kind: "mean" },
  staleness: { kind: "overlap", steps: 0, mix: 0 },
  membership: { join: "anchor", late: "carry" },
  local: { kind: "none" },
  measure: null,
} as const satisfies Partial<Recipe>;
