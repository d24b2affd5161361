/** What random histories of a ledger are made of: attempts, and the events that they come to where the world stands. */
import fc from "fast-check";
import type { Account, LedgerEvent } from "../../lib/ledger/events.js";
import { forcedCommitmentOf, forcedLeaf } from "../../lib/ledger/rules/hashes.js";
import { standing } from "../../lib/ledger/rules/lookup.js";
import { type Dispute, type LedgerState, POOL, type UnitStatus } from "../../lib/ledger/rules/state.js";
import { commitmentOf, verdictCommitmentOf } from "../../lib/verify/commitment.js";
import { treeOf } from "../../lib/verify/merkle.js";
import { hashOf, shardsOf, type World } from "./rules-world.js";

/** What somebody tries: a kind of event, and numbers that say by whom, about what and how much. */
export interface Attempt {
  readonly kind: LedgerEvent["kind"] | "wait" | "everyone";
  readonly who: number;
  readonly what: number;
  readonly amount: number;
  readonly verdict: number;
}

const often: readonly Attempt["kind"][] = [
  "everyone",
  "everyone",
  "everyone",
  "everyone",
  "wait",
  "RoundClosed",
];
const kinds: readonly Attempt["kind"][] = [
  ...often,
  ...often,
  ...often,
  "DisputeOpened",
  "DisputeOpened",
  "DisputeOpened",
  "Split",
  "Picked",
  "Settled",
  "RoundSkipped",
  "RoundSkipped",
  "RoundOpened",
  "DisputeOpened",
  "DisputeOpened",
  "Settled",
  "Split",
  "Picked",
  "TraceOpened",
  "ForcedErrorCommitted",
  "ForcedErrorRevealed",
  "WorkCommitted",
  "WorkRevealed",
  "VerdictCommitted",
  "VerdictRevealed",
  "Deposited",
  "Registered",
  "Bonded",
  "UnbondRequested",
  "Rebonded",
  "Released",
  "Withdrawn",
  "Delegated",
  "Undelegated",
  "CredentialAdded",
  "RoundLeft",
  "Ejected",
  "RewardClaimed",
  "SharesTransferred",
  "ManifestPublished",
];
export const attempt: fc.Arbitrary<Attempt> = fc.record({
  kind: fc.constantFrom(...kinds),
  who: fc.nat(9),
  what: fc.nat(9),
  amount: fc.nat(400),
  verdict: fc.nat(7),
});

const operators = treeOf(Array.from({ length: 20 }, (_, index) => hashOf(`operator ${index}`)));
const plantedSalt = hashOf("planted");

/** Where an attempt is made. */
export interface Scene {
  readonly world: World;
  readonly state: LedgerState;
  one(place: number): Account;
}

/** A round's workers with their shards; now and then two have the same one. */
const staffed = (workers: readonly Account[], verdict: number) => ({
  workers: [...workers],
  shards: verdict === 7 ? "00".repeat(workers.length) : shardsOf(workers),
});

/** The verdict that a verifier makes up its mind to, from what it is about: mostly to accept. */
const mind = (place: number, amount: number) =>
  (place * 7 + amount) % 5 === 0 ? 2 : (place + amount) % 7 === 0 ? 1 : 0;

/** By whom and what is tried; null where there is nothing of the kind. */
export function eventOf(
  history: Scene,
  kind: LedgerEvent["kind"],
  { who, what, amount: number, verdict }: Attempt,
): [Account, LedgerEvent] | null {
  const { world, state } = history;
  const author = history.one(who);
  const account = history.one(what);
  const amount = BigInt(number);
  const round = state.rounds.get(state.nextRound - 1);
  const dispute = pick([...state.disputes.values()], what);
  const current = round?.round ?? 0;
  const planted = { round: current, worker: account, transition: 1 + (verdict % 4), salt: plantedSalt };
  const made = () => {
    const known = world.made.get(`${current} ${author}`);
    if (known === undefined)
      world.make(
        author,
        number % 3 === 0 ? { [1 + (verdict % 4)]: forcedLeaf(world.ledgerId, plantedSalt) } : {},
      );
    return world.work(author);
  };
  switch (kind) {
    case "Deposited":
      return [who < 8 ? world.submitter : author, { kind, account: verdict === 0 ? POOL : account, amount }];
    case "Registered":
      return [
        author,
        {
          kind,
          capabilities: 127 - (number % 8 === 0 ? 2 : 0),
          commission: number * 100,
          entry: POOL,
          name: "",
        },
      ];
    case "Bonded":
    case "UnbondRequested":
    case "Rebonded":
    case "Withdrawn":
    case "RewardClaimed":
      return [author, { kind, amount: verdict === 0 ? amount * 10n : amount }];
    case "Released":
      return [author, { kind }];
    case "Delegated":
    case "Undelegated":
      return [author, { kind, node: account, amount }];
    case "CredentialAdded":
      return [author, { kind, credential: POOL, sampleRate: number * 1000 }];
    case "SharesTransferred":
      return [author, { kind, account, amount }];
    case "RoundSkipped":
      world.now += 10;
      return [
        author,
        { kind, round: state.nextRound, ...staffed(state.eligible.slice(verdict % 3), verdict) },
      ];
    case "RoundOpened":
      return state.leader === null
        ? null
        : [
            state.leader,
            {
              kind,
              round: state.nextRound,
              proof: verdict < 6 ? world.proof() : "00".repeat(80),
              ...staffed(state.eligible, verdict),
            },
          ];
    case "RoundClosed": {
      const done = (status: UnitStatus) => status === "pending" || status === "claimable";
      const aggregated = [...(round?.units.values() ?? [])].filter(
        (unit) => done(standing(unit)) || verdict === 0,
      );
      return [
        world.submitter,
        {
          kind,
          round: current,
          result: POOL,
          parameters: POOL,
          state: POOL,
          aggregated: aggregated.map(({ worker }) => worker),
        },
      ];
    }
    case "RoundLeft":
      return [verdict < 2 ? author : world.submitter, { kind, round: current, account }];
    case "Ejected":
      return number < 380 ? null : [world.submitter, { kind, account, evidence: POOL, reason: "" }];
    case "ManifestPublished":
      return [author, { kind, round: current, digest: POOL, size: amount }];
    case "WorkCommitted":
      return round === undefined
        ? null
        : [
            author,
            {
              kind,
              round: current,
              commitment: commitmentOf({ ledgerId: world.ledgerId, round: current, author, ...made() }),
            },
          ];
    case "WorkRevealed":
      return round === undefined ? null : [author, { kind, round: current, ...made() }];
    case "VerdictCommitted":
    case "VerdictRevealed": {
      const found = pick(round?.checks ?? [], what);
      if (found === undefined) return null;
      const { worker, transition, verifier } = found;
      const content = { worker, transition, verdict: mind(what, transition), digest: POOL, salt: POOL };
      if (kind === "VerdictRevealed") return [verifier, { kind, round: current, ...content }];
      const bound = { ledgerId: world.ledgerId, round: current, author: verifier, ...content };
      return [verifier, { kind, round: current, worker, transition, commitment: verdictCommitmentOf(bound) }];
    }
    case "DisputeOpened":
      return [
        author,
        { kind, round: Math.max(0, current - (verdict % 3)), worker: account, transition: verdict % 5 },
      ];
    case "ForcedErrorCommitted":
      return [
        world.submitter,
        {
          kind,
          round: current,
          commitment: forcedCommitmentOf({ ledgerId: world.ledgerId, author: world.submitter, ...planted }),
        },
      ];
    case "ForcedErrorRevealed":
      return [
        world.submitter,
        {
          kind,
          ...planted,
          path: world.made.get(`${current} ${account}`)?.tree.proof(planted.transition) ?? [],
        },
      ];
    case "Split":
    case "Picked":
    case "TraceOpened":
    case "Settled":
      return dispute === undefined ? null : moveOf(world, dispute, kind, number, verdict);
    default:
      return null;
  }
}

function pick<Item>(items: readonly Item[], place: number): Item | undefined {
  return items.length === 0 ? undefined : items[place % items.length];
}

/** A move in the dispute, the right one mostly, whoever's turn it is. */
function moveOf(
  world: World,
  dispute: Dispute,
  kind: "Split" | "Picked" | "TraceOpened" | "Settled",
  number: number,
  verdict: number,
): [Account, LedgerEvent] {
  const { id, worker, challenger, referee, level, index, phase, transition, round } = dispute;
  const unit = world.made.get(`${round} ${worker}`);
  if (verdict < 6 && dispute.turn === "worker") kind = phase === "trace" ? "TraceOpened" : "Split";
  else if (verdict < 6) kind = dispute.turn === "challenger" ? "Picked" : "Settled";
  switch (kind) {
    case "Split": {
      const tree = phase === "operators" ? operators : phase === "states" ? unit?.tree : undefined;
      const children = level > 0 && tree !== undefined ? tree.children(level, index) : [POOL];
      return [worker, { kind, dispute: id, children }];
    }
    case "Picked":
      return [challenger, { kind, dispute: id, index: number % 17 }];
    case "TraceOpened": {
      const before =
        transition === 0
          ? (world.state.rounds.get(round)?.aggregate?.revealed?.before ?? POOL)
          : (unit?.leaves[transition - 1] ?? POOL);
      const path = transition === 0 ? [] : (unit?.tree.proof(transition - 1) ?? []);
      return [worker, { kind, dispute: id, before, path, trace: operators.root, leaves: operators.count }];
    }
    case "Settled":
      return [
        referee ?? challenger,
        { kind, dispute: id, winner: number % 2, operator: dispute.operator ?? 0, evidence: POOL },
      ];
  }
}
