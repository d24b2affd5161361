/**
 * Every event that a ledger can hold, once: its kind's number and the fields of its body in their order. Encoding, decoding,
 * types and `gradmesh ledger show` are made of this table. A number is never given to another kind.
 */

/**
 * How a field is written: integers little-endian; hash, account (an Ed25519 public key), vrf (a proof of RFC 9381) and salt
 * at their fixed lengths; text as u16 length and UTF-8, at most 256 bytes; hashes as u16 count and 32 bytes each, at most
 * 256; bytes as u32 length and the bytes, at most 65,536. In TypeScript u64 is a bigint, other integers are numbers, bytes
 * of any kind lowercase hexadecimal.
 */
export type FieldType =
  | "u8"
  | "u16"
  | "u32"
  | "u64"
  | "hash"
  | "account"
  | "vrf"
  | "salt"
  | "text"
  | "hashes"
  | "bytes";

/** An Ed25519 public key: 64 lowercase hexadecimal characters. It is the account, and with libp2p's prefix the peer id. */
export type Account = string;
/** 32 bytes: 64 lowercase hexadecimal characters. */
export type Hash = string;

/** Rates are parts per million, amounts are units without fractions, times and spans are milliseconds. */
export const eventKinds = {
  /** The first record. Its author is the submitter, who also orders the records (the sequencer). */
  RunCreated: {
    id: 1,
    fields: {
      recipe: "hash",
      /** The number of the first round: above 0 where a run goes on from a checkpoint. */
      firstRound: "u32",
      /**
       * native.digest of the parameters that the first round begins with, and of the inner state of a fresh trainer. With
       * them every unit must begin where the run and the worker's last unit ended; zeros: not known, and not checked.
       */
      parameters: "hash",
      inner: "hash",
      /** Inner steps of a work unit, which has one more transition: from the last state to the contribution. */
      unitSteps: "u32",
      /** Paid for a round in which every assigned unit is accepted; a unit that is not, leaves its part in the pool. */
      roundReward: "u64",
      stakeMin: "u64",
      /** Of what a challenger and a worker each lay down in a dispute. */
      disputeBond: "u64",
      /** Rate at which transitions are checked, and the least that credentials can lower it to. */
      sampleRate: "u32",
      sampleFloor: "u32",
      /** Verifiers drawn for each checked transition. */
      verifiers: "u8",
      /** Part of what a proven offender has at risk that is slashed; and of that, what the challenger gets: at most half. */
      slashRate: "u32",
      challengerShare: "u32",
      /** Paid to a verifier that finds a forced error, and slashed from one that missed it. */
      forcedErrorPrize: "u64",
      /** From a round's opening to the last commitment, from there to the last reveal, and so on to both verdict halves. */
      commitSpan: "u64",
      revealSpan: "u64",
      verdictSpan: "u64",
      /** Of one move in a dispute. */
      moveSpan: "u64",
      /** From acceptance until a reward can be claimed; a dispute can be opened until then. */
      lockSpan: "u64",
      unbondSpan: "u64",
    },
  },
  /** By the submitter: units come into being, in an account's free balance, or (account all zeros) in the pool. */
  Deposited: { id: 2, fields: { account: "account", amount: "u64" } },
  /**
   * capabilities: the bits of `capabilityBits`. commission: the part of delegators' rewards that a node keeps. entry: what
   * the entry check came to on its machine (golden vectors and a short replay drawn by ledger and account).
   */
  Registered: {
    id: 3,
    fields: { capabilities: "u16", commission: "u32", entry: "hash", name: "text" },
  },
  /** From free to bonded. */
  Bonded: { id: 4, fields: { amount: "u64" } },
  UnbondRequested: { id: 5, fields: { amount: "u64" } },
  /** From unbonding back to bonded. */
  Rebonded: { id: 6, fields: { amount: "u64" } },
  /** Matured unbonding back to free. */
  Released: { id: 7, fields: {} },
  /** From free out of the ledger. */
  Withdrawn: { id: 8, fields: { amount: "u64" } },
  Delegated: { id: 9, fields: { node: "account", amount: "u64" } },
  Undelegated: { id: 10, fields: { node: "account", amount: "u64" } },
  /** An attestation, which lowers the author's rate of checks to at least sampleFloor; never to nothing. */
  CredentialAdded: { id: 11, fields: { credential: "hash", sampleRate: "u32" } },
  /**
   * By the round's leader: the beacon's proof. workers are assigned a unit each, in this order; shards: the part of the data
   * that each of them reads, a byte a worker.
   */
  RoundOpened: { id: 12, fields: { round: "u32", proof: "vrf", workers: "hashes", shards: "bytes" } },
  /**
   * By anyone once the leader is late: the beacon falls back, the leader pays. By the sequencer at once where the leader is
   * not among the workers, as it is lost to the run; then it pays nothing.
   */
  RoundSkipped: { id: 13, fields: { round: "u32", workers: "hashes", shards: "bytes" } },
  /** commitment = SHA-256("gradmesh-commit" ‖ ledger id ‖ round u32 ‖ author ‖ root ‖ before ‖ after ‖ contribution ‖ salt). */
  WorkCommitted: { id: 14, fields: { round: "u32", commitment: "hash" } },
  /**
   * root: of the tree over the unit's states (lib/verify/unit.ts); before and after: the digests of the first and the last
   * state, and what they are made of beside the round's parameters (lib/verify/state.ts): the inner state before, the
   * parameters and the inner state after; contribution: of what is sent to the others, as they decode it.
   */
  WorkRevealed: {
    id: 15,
    fields: {
      round: "u32",
      root: "hash",
      before: "hash",
      after: "hash",
      inner: "hash",
      parametersAfter: "hash",
      innerAfter: "hash",
      contribution: "hash",
      salt: "salt",
    },
  },
  /**
   * By the account, or by the sequencer where the account is lost to the run: it leaves the round in every role without
   * blame; its unit is not paid, and the checks it was drawn for are void.
   */
  RoundLeft: { id: 16, fields: { round: "u32", account: "account" } },
  /** commitment = SHA-256("gradmesh-verdict" ‖ ledger id ‖ round ‖ author ‖ worker ‖ transition u32 ‖ verdict u8 ‖ digest ‖ salt). */
  VerdictCommitted: {
    id: 17,
    fields: { round: "u32", worker: "account", transition: "u32", commitment: "hash" },
  },
  /** verdict: 0 accept, 1 soft reject (could not check: no state was served), 2 hard reject. digest: what the verifier computed. */
  VerdictRevealed: {
    id: 18,
    fields: {
      round: "u32",
      worker: "account",
      transition: "u32",
      verdict: "u8",
      digest: "hash",
      salt: "salt",
    },
  },
  /**
   * By anyone with the challenger's capability, until the unit's lock ends: this transition of the unit is wrong. Transition 0 of the
   * sequencer is the aggregate of a closed round; its dispute begins with TraceOpened (path empty).
   */
  DisputeOpened: { id: 19, fields: { round: "u32", worker: "account", transition: "u32" } },
  /** By the worker: the children of the tree's node at hand. */
  Split: { id: 20, fields: { dispute: "u32", children: "hashes" } },
  /** By the challenger: the first child that it says is wrong. Of the tree of states the transition decides, and nobody picks. */
  Picked: { id: 21, fields: { dispute: "u32", index: "u16" } },
  /**
   * By the worker, once the tree of states is down at the transition: the state before it with its path, and the root and
   * the leaves of the trace of the step's operators (lib/verify/trace.ts).
   */
  TraceOpened: {
    id: 22,
    fields: { dispute: "u32", before: "hash", path: "hashes", trace: "hash", leaves: "u32" },
  },
  /** By the referee: it ran the one operator. winner: 0 worker, 1 challenger. evidence: digest of its report. */
  Settled: { id: 23, fields: { dispute: "u32", winner: "u8", operator: "u32", evidence: "hash" } },
  /**
   * By the submitter, before the round's reveals: digest of a planted bad unit; and after the verdicts what it was. path: shows
   * that the unit's leaf after the transition is the hash of the salt (lib/ledger/rules/forced.ts), which no step comes to.
   */
  ForcedErrorCommitted: { id: 24, fields: { round: "u32", commitment: "hash" } },
  ForcedErrorRevealed: {
    id: 25,
    fields: { round: "u32", worker: "account", transition: "u32", salt: "salt", path: "hashes" },
  },
  /**
   * By the sequencer: the round's aggregate is applied. result: of the aggregate; state: of all that members share;
   * parameters: those that the next round begins with; aggregated: whose work is in it.
   */
  RoundClosed: {
    id: 26,
    fields: { round: "u32", result: "hash", state: "hash", parameters: "hash", aggregated: "hashes" },
  },
  /** By the sequencer: the account is out of the run. evidence: digest of what shows why; reason in words. */
  Ejected: { id: 27, fields: { account: "account", evidence: "hash", reason: "text" } },
  /** Both are whole records of the same author and nonce (or, of the sequencer's, two heads of one number). */
  EquivocationProven: { id: 28, fields: { first: "bytes", second: "bytes" } },
  RewardClaimed: { id: 29, fields: { amount: "u64" } },
  /** Units of ownership of the model, which accepted work earns one for one with its reward. */
  SharesTransferred: { id: 30, fields: { account: "account", amount: "u64" } },
  /** A checkpoint or an aggregate that can be fetched: its digest, size and the round whose state it is. */
  ManifestPublished: { id: 31, fields: { round: "u32", digest: "hash", size: "u64" } },
  /** Nothing but the passing of time: deadlines before its record's time are over. */
  Advanced: { id: 32, fields: {} },
  /** By the sequencer every 1,024 records: the digest of the state before it. */
  Snapshot: { id: 33, fields: { state: "hash" } },
} as const satisfies Readonly<
  Record<string, { readonly id: number; readonly fields: Readonly<Record<string, FieldType>> }>
>;

export type EventKind = keyof typeof eventKinds;

type FieldValue<Type extends FieldType> = Type extends "u8" | "u16" | "u32"
  ? number
  : Type extends "u64"
    ? bigint
    : Type extends "hashes"
      ? readonly string[]
      : string;

/** The body of an event of one kind. */
export type EventBody<Kind extends EventKind> = {
  readonly [Field in keyof (typeof eventKinds)[Kind]["fields"]]: (typeof eventKinds)[Kind]["fields"][Field] extends FieldType
    ? FieldValue<(typeof eventKinds)[Kind]["fields"][Field]>
    : never;
};

export type LedgerEvent = { [Kind in EventKind]: { readonly kind: Kind } & EventBody<Kind> }[EventKind];

/** What a node may do, as bits of `capabilities`; one identity may hold many, but not for the same work unit. */
export const capabilityBits = {
  submitter: 1,
  worker: 2,
  verifier: 4,
  challenger: 8,
  referee: 16,
  delegator: 32,
  relay: 64,
} as const;
export type Capability = keyof typeof capabilityBits;

/**
 * An event as its author signs it. Nonces of an author grow, from 1, and may leave some out: each is signed once only, so the
 * author of an event that is refused takes a larger one for the next.
 */
export interface SignedEvent {
  readonly author: Account;
  readonly nonce: bigint;
  readonly event: LedgerEvent;
  /** Ed25519 (RFC 8032), 64 bytes, over the domain, the ledger's id, kind, author, nonce and body. */
  readonly signature: string;
}

/** An event in its place. */
export interface LedgerRecord extends SignedEvent {
  /** From 0. */
  readonly seq: number;
  /** Hash of the record before; of the first, zeros. */
  readonly previous: Hash;
  /** Milliseconds since the epoch by the sequencer's clock; never less than the record's before. */
  readonly time: number;
}
