/** The rule of the first event: which terms a run can have, above all that stakes stay bound for as long as they may be slashed. */

import { levelsOf } from "../../verify/merkle.js";
import { PER_MILLION } from "../draw.js";
import type { EventBody } from "../events.js";
import { eventKinds } from "../events.js";
import { accountOf, refuse } from "./lookup.js";
import type { Rule } from "./rule.js";
import { type LedgerState, type Terms, TRACE_LEAVES_MAX } from "./state.js";

/** Referees that are drawn one after the other while each is silent; then the submitter is. */
export const REFEREES_MAX = 3;
const SPAN_MAX = 2n ** 42n;
/** Each is drawn by chance by every peer, so this bounds how long a draw takes: of a million, about half a second for each worker. */
const UNIT_STEPS_MAX = 2 ** 20;

/** Moves of the longest dispute about a unit of so many inner steps, after its opening, silent referees included. */
export function disputeMovesMax(unitSteps: number): number {
  const states = levelsOf(unitSteps + 2);
  const operators = 2 * levelsOf(TRACE_LEAVES_MAX);
  return states + 1 + operators + REFEREES_MAX;
}

const spanNames = ["commitSpan", "revealSpan", "verdictSpan", "moveSpan", "lockSpan", "unbondSpan"] as const;

function within(name: string, value: number | bigint, least: number | bigint, most: number | bigint): void {
  if (value < least || value > most) refuse(`${name} is ${value}; allowed: ${least} to ${most}`);
}

/**
 * From when a worker's stake is last needed for a unit (the round's opening) to when the last dispute about it is over. What
 * is unbonded in between must not be out of reach before.
 */
export function exposureSpan(terms: Terms): number {
  const { commitSpan, revealSpan, verdictSpan, moveSpan, lockSpan, unitSteps } = terms;
  const decided = commitSpan + revealSpan + 2 * verdictSpan + moveSpan;
  return decided + lockSpan + disputeMovesMax(unitSteps) * moveSpan;
}

function toTerms(body: EventBody<"RunCreated">): Terms {
  const fields = Object.keys(eventKinds.RunCreated.fields) as (keyof Terms)[];
  const spans: readonly string[] = spanNames;
  return Object.fromEntries(
    fields.map((name) => [name, spans.includes(name) ? Number(body[name]) : body[name]]),
  ) as unknown as Terms;
}

function checkTerms(body: EventBody<"RunCreated">): Terms {
  within("unitSteps", body.unitSteps, 1, UNIT_STEPS_MAX);
  for (const name of spanNames) within(name, body[name], 1n, SPAN_MAX);
  within("stakeMin", body.stakeMin, 1n, 2n ** 62n);
  within("roundReward", body.roundReward, 0n, 2n ** 62n);
  within("sampleRate", body.sampleRate, 0, PER_MILLION);
  within("sampleFloor", body.sampleFloor, Math.min(1, body.sampleRate), body.sampleRate);
  within("verifiers", body.verifiers, 1, 255);
  within("slashRate", body.slashRate, 0, PER_MILLION);
  within("challengerShare", body.challengerShare, 0, PER_MILLION / 2);
  within("disputeBond", body.disputeBond, 0n, body.stakeMin);
  within("forcedErrorPrize", body.forcedErrorPrize, 0n, body.stakeMin);
  const terms = toTerms(body);
  const exposure = exposureSpan(terms);
  if (terms.unbondSpan <= exposure)
    refuse(
      `unbondSpan must be longer than work can be disputed: commitSpan ${terms.commitSpan} + revealSpan ${terms.revealSpan} ` +
        `+ 2 x verdictSpan ${terms.verdictSpan} + moveSpan ${terms.moveSpan} + lockSpan ${terms.lockSpan} ` +
        `+ the longest dispute, ${disputeMovesMax(terms.unitSteps)} x moveSpan ${terms.moveSpan}, = ${exposure} < unbondSpan; ` +
        `it is ${terms.unbondSpan}`,
    );
  return terms;
}

/** The ledger's id is the hash of this very record, so it is given beside it. */
export function runCreated(ledgerId: string): Rule<"RunCreated"> {
  return (state: LedgerState, body, { author, now }) => {
    if (state.terms !== null) refuse("the ledger has a RunCreated already");
    const terms = checkTerms(body);
    return (effects) => {
      state.ledgerId = ledgerId;
      state.beacon = ledgerId;
      state.submitter = author;
      state.terms = terms;
      state.nextRound = terms.firstRound;
      state.parameters = terms.parameters;
      accountOf(state, author);
      effects.push({ type: "created", time: now, account: author });
    };
  };
}
