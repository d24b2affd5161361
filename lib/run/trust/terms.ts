/** What a run's ledger is founded on, from the run's config. */

import { PER_MILLION } from "../../ledger/draw.js";
import { capabilityBits, type EventBody, type Hash } from "../../ledger/events.js";
import { POOL } from "../../ledger/rules/state.js";
import { createStrategies, roundSteps } from "../../strategy/registry.js";
import type { RunConfig } from "../config.js";

/** A challenger gets half of what a proven offender loses: the most the ledger allows (who is slashed never gains). */
const CHALLENGER_SHARE = PER_MILLION / 2;
/** Moves of the longest dispute that the ledger's trees allow, and as many again for what is between them. */
const DISPUTE_MOVES = 52;

const ppm = (share: number) => Math.round(share * PER_MILLION);

/**
 * The terms of a run. Stakes stay bound for longer than any work can be disputed and any dispute can last.
 * @param recipe digest of the run's recipe. @param firstRound the first that the run commits, above 0 after a checkpoint.
 * @param fresh digests of a fresh trainer's parameters and inner state.
 */
export function termsOf(
  { trust, strategy }: Pick<RunConfig, "trust" | "strategy">,
  recipe: string,
  firstRound: number,
  fresh: { readonly parameters: Hash; readonly inner: Hash },
): EventBody<"RunCreated"> {
  const { limitMs, moveLimitMs, lockMs } = trust;
  return {
    recipe,
    firstRound,
    // After a checkpoint the first round begins with its parameters, which nobody has hashed alone.
    parameters: firstRound === 0 ? fresh.parameters : POOL,
    inner: fresh.inner,
    unitSteps: roundSteps(createStrategies(strategy)),
    roundReward: BigInt(trust.reward),
    stakeMin: BigInt(trust.stake),
    disputeBond: BigInt(trust.bond),
    sampleRate: ppm(trust.rate),
    // Nothing checks an attestation yet, so that none lowers its author's rate of checks.
    sampleFloor: ppm(trust.rate),
    verifiers: trust.verifiers,
    slashRate: ppm(trust.slash),
    challengerShare: CHALLENGER_SHARE,
    forcedErrorPrize: BigInt(trust.bond),
    commitSpan: BigInt(limitMs),
    revealSpan: BigInt(limitMs),
    verdictSpan: BigInt(limitMs),
    moveSpan: BigInt(moveLimitMs),
    lockSpan: BigInt(lockMs),
    unbondSpan: BigInt(lockMs + DISPUTE_MOVES * moveLimitMs + 4 * limitMs),
  };
}

/** What a peer of a run may do there: everything but founding it. */
export const peerCapabilities =
  capabilityBits.worker | capabilityBits.verifier | capabilityBits.challenger | capabilityBits.referee;
