/**
 * What a ledger's records add up to: accounts, rounds, disputes and times to come. Plain data, changed only by apply. Amounts
 * are bigints without fractions, rates parts per million, times and spans milliseconds.
 */
import type { Check } from "../draw.js";
import type { Account, EventBody, Hash } from "../events.js";

/** The pool, as the account of a deposit. */
export const POOL: Account = "0".repeat(64);
/** Bounds of what is kept; an event that would pass one is refused. */
export const ACCOUNTS_MAX = 65_536;
export const UNBONDINGS_MAX = 64;
export const DELEGATIONS_MAX = 64;
export const DISPUTES_OPEN_MAX = 1024;
export const FORCED_ERRORS_MAX = 64;
/** Of a trace: five levels of a dispute's tree. */
export const TRACE_LEAVES_MAX = 2 ** 20;
/** Of which rounds work can be disputed, the newest included: workers keep the states of so many. */
export const DISPUTE_ROUNDS = 2;
/** Rounds that are kept after all is paid, for those who still read them. */
export const ROUNDS_KEPT = 4;

/** A run's terms as RunCreated has them, spans as numbers. */
export type Terms = {
  readonly [Field in keyof EventBody<"RunCreated">]: Field extends `${string}Span`
    ? number
    : EventBody<"RunCreated">[Field];
};

/** Stake on its way back, which a slash of `node` still reaches until it is released. */
export interface Unbonding {
  amount: bigint;
  /** Whose stake it was: the account's own, or that of the node it was delegated to. */
  readonly node: Account;
  /** When it may be released. */
  readonly at: number;
}

export interface AccountState {
  readonly account: Account;
  /** Of its last event. */
  nonce: bigint;
  registered: boolean;
  ejected: boolean;
  capabilities: number;
  /** Part of its delegators' rewards that it keeps. */
  commission: number;
  name: string;
  entry: Hash;
  /** The rate of checks that its attestation asks for, or null without one. */
  credentialRate: number | null;
  free: bigint;
  /** Its own stake. */
  bonded: bigint;
  /** Part of its own stake that is laid down in disputes: it can't be unbonded meanwhile. */
  pledged: bigint;
  unbonding: Unbonding[];
  /** What it has delegated, by node. */
  delegations: Map<Account, bigint>;
  /** What others have delegated to it. */
  delegated: bigint;
  /** Rewards of accepted work whose lock has not ended. */
  locked: bigint;
  claimable: bigint;
  /** Units of ownership of the model. */
  shares: bigint;
  /** The inner state that its last revealed unit ended with; null before one. */
  inner: Hash | null;
}

/**
 * assigned -> committed -> revealed -> verifying -> pending -> claimable, or out of the way:
 * expired: a deadline passed; soft: it could not be checked, nothing is paid; hard: a hard verdict stands, and its dispute is
 * awaited; disputed: one or more disputes are open; settled: a dispute showed it wrong, it is slashed; left: its worker was
 * lost without blame; forced: the submitter had planted an error in it.
 */
export type UnitStatus =
  | "assigned"
  | "committed"
  | "revealed"
  | "verifying"
  | "pending"
  | "claimable"
  | "expired"
  | "soft"
  | "hard"
  | "disputed"
  | "settled"
  | "left"
  | "forced";

export interface Payout {
  readonly account: Account;
  readonly amount: bigint;
}

/** A worker's unit of a round. */
export interface Unit {
  readonly worker: Account;
  status: UnitStatus;
  /** What the status will be once its disputes are over; meaningless where none is open. */
  resume: UnitStatus;
  commitment: Hash | null;
  /** Null until it is revealed. */
  revealed: Omit<EventBody<"WorkRevealed">, "round"> | null;
  /** The rate its transitions are checked at. */
  readonly ratePpm: number;
  /** The stakes behind the worker when the round opened: they share the reward. */
  readonly ownStake: bigint;
  readonly commission: number;
  readonly delegators: readonly Payout[];
  /** What its reward is split into, once it is accepted. */
  payouts: readonly Payout[];
  /** Until when it can be disputed; null while that is open-ended. */
  lockEnd: number | null;
  openDisputes: number;
}

export interface CheckState extends Check {
  commitment: Hash | null;
  /** 0 accept, 1 soft, 2 hard; null until it is revealed. */
  verdict: number | null;
  digest: Hash | null;
  /** Why it counts no more. */
  void: "left" | "silent" | null;
}

/** A unit that the submitter says it has planted an error in. */
export interface ForcedError {
  readonly commitment: Hash;
  revealed: boolean;
}

/** decided: all verdicts are in, contributions are exchanged. */
export type RoundPhase = "commit" | "reveal" | "verdictCommit" | "verdictReveal" | "decided" | "closed";

export interface RoundState {
  readonly round: number;
  /** Null where the leader was late. */
  readonly leader: Account | null;
  readonly beacon: Hash;
  readonly openedAt: number;
  readonly workers: readonly Account[];
  /** The part of the data that each of them reads, in the order of `workers`. */
  readonly shards: readonly number[];
  /** By worker, in the order of `workers`. */
  readonly units: Map<Account, Unit>;
  phase: RoundPhase;
  /** Of the phase; meaningless once decided. */
  deadline: number;
  /** Until when accusers must have opened their disputes and forced errors be revealed; 0 until decided. */
  contestEnd: number;
  checks: CheckState[];
  /** Who left the round, in every role. */
  readonly left: Set<Account>;
  readonly forced: ForcedError[];
  /** What each unit pays. */
  readonly unitReward: bigint;
  /** Kept back from the pool for units that are not decided. */
  reserved: bigint;
  closed: { readonly result: Hash; readonly state: Hash; readonly aggregated: readonly Account[] } | null;
  /** The round's aggregate as a unit of the sequencer's, which pays nothing and can be disputed; null until closed. */
  aggregate: Unit | null;
}

/**
 * states: the worker splits the tree of its states down to the transition; trace: it opens the step's operators; operators:
 * it splits, the challenger picks; referee: one operator is to be run; over.
 */
export type DisputePhase = "states" | "trace" | "operators" | "referee" | "over";

export interface Dispute {
  readonly id: number;
  readonly round: number;
  readonly worker: Account;
  readonly challenger: Account;
  /** 0 for the round's aggregate. */
  readonly transition: number;
  readonly openedAt: number;
  /** What the challenger laid down out of its free balance; 0 where it pledged stake instead. */
  held: bigint;
  /** What the challenger and the worker pledged of their stakes. */
  challengerPledge: bigint;
  workerPledge: bigint;
  phase: DisputePhase;
  /** Who loses if it does not move before the deadline; null once over. */
  turn: "worker" | "challenger" | "referee" | null;
  deadline: number;
  /** Events of the dispute, its opening included. */
  moves: number;
  /** Leaves of the tree at hand: of states, then of operators. */
  leaves: number;
  /** The node at hand and its place in the tree; leaves are level 0. */
  level: number;
  index: number;
  node: Hash;
  /** What the node at hand was split into, while the challenger is to pick one. */
  children: readonly Hash[] | null;
  /** leafHash of the state after the transition (or of the contribution), once the tree of states is down there. */
  leaf: Hash | null;
  /** The digest of the state before it and the root of the operators' trace, once opened. */
  before: Hash | null;
  trace: Hash | null;
  /** The first operator that the challenger says is wrong, and its leaf hash in the trace. */
  operator: number | null;
  operatorLeaf: Hash | null;
  referee: Account | null;
  /** Referees that were silent. */
  readonly silent: Account[];
  outcome: "worker" | "challenger" | "void" | null;
}

/** Something that happens when its time comes, unless it is out of date by then. */
export type Timer =
  | { readonly at: number; readonly kind: "phase"; readonly round: number; readonly phase: RoundPhase }
  | { readonly at: number; readonly kind: "contest"; readonly round: number }
  | { readonly at: number; readonly kind: "lock"; readonly round: number }
  | { readonly at: number; readonly kind: "move"; readonly dispute: number; readonly moves: number };

export interface LedgerState {
  ledgerId: Hash;
  /** Author of the first event: it orders the records, and funds the run. "" before it. */
  submitter: Account;
  terms: Terms | null;
  /** Of the last record. */
  time: number;
  readonly accounts: Map<Account, AccountState>;
  /** Who can work, in order of account: registered for it, not ejected, with stakeMin of its own at stake. */
  readonly eligible: Account[];
  /** Whose work is in the last aggregate. */
  aggregated: ReadonlySet<Account>;
  /** Who is to open the next round, and since when. */
  leader: Account | null;
  leaderSince: number;
  /** The number of the next round; the first is the terms' firstRound. */
  nextRound: number;
  /** What the next round begins with; zeros where it is not known. */
  parameters: Hash;
  /** Of the last round that was opened; of none, the ledger's id. */
  beacon: Hash;
  readonly rounds: Map<number, RoundState>;
  nextDispute: number;
  readonly disputes: Map<number, Dispute>;
  /** In order of time. */
  readonly timers: Timer[];
  /** Equivocations that were slashed. */
  readonly proven: Set<string>;
  deposited: bigint;
  withdrawn: bigint;
  pool: bigint;
  burned: bigint;
  manifest: (EventBody<"ManifestPublished"> & { readonly author: Account }) | null;
}

export function emptyState(): LedgerState {
  return {
    ledgerId: POOL,
    submitter: "",
    terms: null,
    time: 0,
    accounts: new Map(),
    eligible: [],
    aggregated: new Set(),
    leader: null,
    leaderSince: 0,
    nextRound: 0,
    parameters: POOL,
    beacon: POOL,
    rounds: new Map(),
    nextDispute: 0,
    disputes: new Map(),
    timers: [],
    proven: new Set(),
    deposited: 0n,
    withdrawn: 0n,
    pool: 0n,
    burned: 0n,
    manifest: null,
  };
}
