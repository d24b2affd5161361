/** The rules of a round as a whole: its opening, leaving it, its end; and who is ejected from the run. */
import { beaconInput, beaconOf, skippedBeacon } from "../draw.js";
import type { Account, EventBody, Hash } from "../events.js";
import { vrfVerify } from "../vrf.js";
import type { Effect } from "./effect.js";
import { aggregateInput } from "./hashes.js";
import { accountOf, lesser, newUnit, refuse, registered, roundOf, standing, termsOf } from "./lookup.js";
import { advance, enter } from "./phases.js";
import { dropRound, forget, forgo, lockUnit } from "./rewards.js";
import type { Rule } from "./rule.js";
import { chooseLeader, fine, forfeit, lateFee, review } from "./slash.js";
import { type LedgerState, type Payout, POOL, type RoundState, type Unit, type UnitStatus } from "./state.js";

function checkNext(state: LedgerState, round: number): void {
  if (round !== state.nextRound) refuse(`the next round is ${state.nextRound}, not ${round}`);
  const before = state.rounds.get(round - 1);
  if (before !== undefined && before.phase !== "closed")
    refuse(`round ${before.round} is in its phase ${before.phase} and not closed`);
}

function checkWorkers(state: LedgerState, workers: readonly Account[]): void {
  if (workers.length === 0) refuse("a round has at least one worker");
  if (new Set(workers).size !== workers.length) refuse("a worker is named twice");
  const eligible = new Set(state.eligible);
  const other = workers.find((worker) => !eligible.has(worker));
  if (other !== undefined)
    refuse(
      `${other} cannot work: a worker is registered as one, not ejected, and has at least ${termsOf(state).stakeMin} of its own bonded`,
    );
}

/** Two workers of one shard would be paid for the same data. */
function checkShards(workers: readonly Account[], shards: string): void {
  const bytes = Buffer.from(shards, "hex");
  if (bytes.length !== workers.length)
    refuse(`shards has ${bytes.length} bytes for ${workers.length} workers; it has one a worker`);
  const twice = bytes.find((shard, index) => bytes.indexOf(shard) !== index);
  if (twice !== undefined) refuse(`shard ${twice} is given to two workers`);
}

/** Who has delegated to each of the workers, and how much. */
function delegatorsOf(state: LedgerState, workers: readonly Account[]): Map<Account, Payout[]> {
  const found = new Map<Account, Payout[]>(workers.map((worker) => [worker, []]));
  if (workers.every((worker) => accountOf(state, worker).delegated === 0n)) return found;
  for (const { account, delegations } of state.accounts.values())
    for (const [node, amount] of delegations) found.get(node)?.push({ account, amount });
  return found;
}

function assign(state: LedgerState, worker: Account, delegators: readonly Payout[]): Unit {
  const { bonded, commission, credentialRate } = accountOf(state, worker);
  const ratePpm = credentialRate ?? termsOf(state).sampleRate;
  return newUnit(worker, { ratePpm, ownStake: bonded, commission, delegators });
}

function open(
  state: LedgerState,
  { round, workers, shards }: Pick<EventBody<"RoundOpened">, "round" | "workers" | "shards">,
  { leader, beacon }: { leader: Account | null; beacon: Hash },
  now: number,
  effects: Effect[],
): void {
  const { roundReward, commitSpan } = termsOf(state);
  const budget = lesser(state.pool, roundReward);
  const unitReward = budget / BigInt(workers.length);
  const delegators = delegatorsOf(state, workers);
  const opened: RoundState = {
    round,
    leader,
    beacon,
    openedAt: now,
    workers: [...workers],
    shards: [...Buffer.from(shards, "hex")],
    units: new Map(workers.map((worker) => [worker, assign(state, worker, delegators.get(worker) ?? [])])),
    phase: "commit",
    deadline: 0,
    contestEnd: 0,
    checks: [],
    left: new Set(),
    forced: [],
    unitReward,
    reserved: unitReward * BigInt(workers.length),
    closed: null,
    aggregate: null,
  };
  state.pool -= opened.reserved;
  state.rounds.set(round, opened);
  state.beacon = beacon;
  state.nextRound = round + 1;
  chooseLeader(state, now);
  effects.push({ type: "opened", time: now, round, ...(leader === null ? {} : { account: leader }) });
  enter(state, opened, "commit", commitSpan, now, effects);
  forget(state, now);
}

export const roundOpened: Rule<"RoundOpened"> = (state, body, { author, now }) => {
  checkNext(state, body.round);
  if (author !== state.leader)
    refuse(`the leader of round ${body.round} is ${state.leader ?? "nobody yet"}, not ${author}`);
  checkWorkers(state, body.workers);
  checkShards(body.workers, body.shards);
  const input = beaconInput(state.ledgerId, state.beacon, body.round);
  const output = vrfVerify(author, input, body.proof);
  if (output === null) return refuse(`the proof of round ${body.round}'s beacon does not hold`);
  return (effects) => open(state, body, { leader: author, beacon: beaconOf(output) }, now, effects);
};

export const roundSkipped: Rule<"RoundSkipped"> = (state, body, { author, now }) => {
  checkNext(state, body.round);
  if (author !== state.submitter) registered(state, author);
  const { leader } = state;
  const late = state.leaderSince + termsOf(state).moveSpan;
  if (leader === null) return refuse("nobody can work, so nobody is late");
  // A leader that is lost to the run is not waited for, and owes nothing.
  const lost = author === state.submitter && !body.workers.includes(leader);
  if (now < late && !lost)
    refuse(`the leader ${leader} has until ${late} to open round ${body.round}, and it is ${now}`);
  checkWorkers(state, body.workers);
  checkShards(body.workers, body.shards);
  return (effects) => {
    const beacon = skippedBeacon(state.beacon, body.round);
    open(state, body, { leader: null, beacon }, now, effects);
    effects.push({ type: "skipped", time: now, round: body.round, account: leader, other: author });
    if (lost) return;
    const reason = `was late to open round ${body.round}`;
    forfeit(state, fine(state, leader, lateFee(state), reason, now, effects), leader);
  };
};

/** A unit that its worker's loss ends. One that is accused or disputed goes on: nobody leaves from under an accusation. */
const leavable: readonly UnitStatus[] = ["assigned", "committed", "revealed", "verifying", "pending"];

function leave(
  state: LedgerState,
  round: RoundState,
  account: Account,
  reason: string,
  now: number,
  effects: Effect[],
): void {
  round.left.add(account);
  const unit = round.units.get(account);
  const ends = unit !== undefined && leavable.includes(unit.status);
  if (ends) {
    forgo(state, round, unit);
    unit.status = "left";
  }
  for (const check of round.checks)
    if (check.verdict === null && check.void === null)
      if (check.verifier === account || (ends && check.worker === account)) check.void = "left";
  effects.push({ type: "left", time: now, round: round.round, account, reason });
  advance(state, round, now, effects);
}

export const roundLeft: Rule<"RoundLeft"> = (state, { round: number, account }, { author, now }) => {
  const round = roundOf(state, number);
  if (author !== account && author !== state.submitter)
    refuse(`only ${account} itself or the sequencer says that it leaves`);
  if (round.phase === "closed") refuse(`round ${number} is closed`);
  if (round.left.has(account)) refuse(`${account} has left round ${number} already`);
  const unit = round.units.get(account);
  if (unit === undefined && !round.checks.some(({ verifier }) => verifier === account))
    refuse(`${account} has no part in round ${number}`);
  if (author === account && author !== state.submitter && unit !== undefined && unit.status !== "assigned")
    refuse(
      `the unit of ${account} is ${unit.status}: who has committed leaves by the sequencer's word only, as it might fear a check`,
    );
  const reason = author === account ? "left" : "was lost to the run";
  return (effects) => leave(state, round, account, reason, now, effects);
};

/** What the sequencer says the aggregate is, can be disputed like a unit. */
function closeAggregate(state: LedgerState, round: RoundState, result: Hash, now: number): void {
  const nobody = { ratePpm: 0, ownStake: 0n, commission: 0, delegators: [] };
  round.aggregate = newUnit(state.submitter, nobody);
  round.aggregate.status = "pending";
  lockUnit(state, round, round.aggregate, now);
  const contributions = round.closed!.aggregated.map(
    (account) => round.units.get(account)!.revealed!.contribution,
  );
  const before = aggregateInput(contributions);
  const nothing = { inner: POOL, parametersAfter: POOL, innerAfter: POOL };
  round.aggregate.revealed = {
    ...nothing,
    root: result,
    before,
    after: result,
    contribution: result,
    salt: result,
  };
}

/** Everybody is out of it, and nothing about it is in dispute. */
function isVoid(round: RoundState): boolean {
  const out: readonly UnitStatus[] = ["left", "expired"];
  return [...round.units.values()].every(({ status }) => out.includes(status));
}

export const roundClosed: Rule<"RoundClosed"> = (state, body, { author, now }) => {
  const round = roundOf(state, body.round);
  if (author !== state.submitter) refuse("only the sequencer closes a round");
  const isEmpty = body.aggregated.length === 0 && isVoid(round);
  if (round.phase === "closed" || (round.phase !== "decided" && !isEmpty))
    refuse(`round ${body.round} is in its phase ${round.phase}, not decided`);
  if (new Set(body.aggregated).size !== body.aggregated.length) refuse("an account is named twice");
  for (const account of body.aggregated) {
    const unit = round.units.get(account);
    const status = unit === undefined ? "not of the round" : standing(unit);
    if (status !== "pending" && status !== "claimable")
      refuse(`the unit of ${account} is ${status}, so it cannot be in the aggregate`);
  }
  const { result, state: digest, parameters, aggregated } = body;
  return (effects) => {
    state.parameters = parameters;
    round.phase = "closed";
    round.closed = { result, state: digest, aggregated };
    if (isEmpty) {
      // It is opened again, under a new beacon; disputes about work that is gone, all over by now, mean nothing then.
      dropRound(state, round.round);
      state.nextRound = round.round;
    } else {
      closeAggregate(state, round, result, now);
      if (aggregated.length > 0) state.aggregated = new Set(aggregated);
    }
    chooseLeader(state, now);
    state.leaderSince = now;
    effects.push({ type: "closed", time: now, round: body.round, amount: BigInt(aggregated.length) });
  };
};

export const ejected: Rule<"Ejected"> = (state, { account, reason }, { author, now }) => {
  if (author !== state.submitter) refuse("only the sequencer ejects");
  const own = registered(state, account);
  return (effects) => {
    own.ejected = true;
    review(state, account, now);
    effects.push({ type: "ejected", time: now, account, reason });
    for (const round of state.rounds.values())
      if (round.phase !== "closed" && !round.left.has(account))
        leave(state, round, account, "was ejected", now, effects);
  };
};

export const manifestPublished: Rule<"ManifestPublished"> = (state, body, { author, now }) => {
  if (author !== state.submitter) registered(state, author);
  if (body.round >= state.nextRound) refuse(`round ${body.round} is not opened yet`);
  const { round, digest, size } = body;
  return (effects) => {
    state.manifest = { round, digest, size, author };
    effects.push({ type: "published", time: now, round, account: author, amount: size });
  };
};

/** Only the sequencer appends what says nothing of its own. */
export const sequencerOnly: Rule<"Advanced" | "Snapshot"> = (state, _body, { author }) => {
  if (author !== state.submitter) refuse("only the sequencer appends it");
  return () => {};
};
