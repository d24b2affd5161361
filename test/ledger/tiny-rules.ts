/** The least rules that a ledger can have: nonces grow, deposits add up, a withdrawal needs a balance. */
import { createHash } from "node:crypto";
import { GradmeshError } from "../../lib/base/errors.js";
import type { Account, EventBody, LedgerRecord } from "../../lib/ledger/events.js";
import type { Rules } from "../../lib/ledger/replica.js";
import { type Signer, signerOf } from "../../lib/ledger/sign.js";
import { generateIdentity } from "../../lib/peer/identity.js";

export interface TinyState {
  readonly nonces: Map<Account, bigint>;
  readonly balances: Map<Account, bigint>;
}

export type TinyEffect = { readonly type: "paid"; readonly account: Account; readonly amount: bigint };

function apply(state: TinyState, { author, nonce, event }: LedgerRecord): TinyEffect[] {
  const due = (state.nonces.get(author) ?? 0n) + 1n;
  if (nonce < due) throw new GradmeshError("ERR_LEDGER", `the nonce is ${nonce}; due is ${due}`);
  const effects: TinyEffect[] = [];
  const pay = (account: Account, amount: bigint) => {
    state.balances.set(account, (state.balances.get(account) ?? 0n) + amount);
    effects.push({ type: "paid", account, amount });
  };
  if (event.kind === "Withdrawn") {
    const balance = state.balances.get(author) ?? 0n;
    if (balance < event.amount) throw new GradmeshError("ERR_LEDGER", `the balance is ${balance}`);
    pay(author, -event.amount);
  }
  if (event.kind === "Deposited") pay(event.account, event.amount);
  state.nonces.set(author, nonce);
  return effects;
}

export const tinyRules: Rules<TinyState, TinyEffect> = {
  emptyState: () => ({ nonces: new Map(), balances: new Map() }),
  apply,
  nonceOf: (state, account) => state.nonces.get(account) ?? 0n,
  stateDigest({ nonces, balances }) {
    const sorted = [nonces, balances].map((map) => [...map].sort().map(([key, value]) => `${key}=${value}`));
    return createHash("sha256").update(JSON.stringify(sorted)).digest("hex");
  },
};

export const genesis: EventBody<"RunCreated"> = {
  recipe: "ab".repeat(32),
  firstRound: 0,
  parameters: "00".repeat(32),
  inner: "00".repeat(32),
  unitSteps: 8,
  roundReward: 1000n,
  stakeMin: 100n,
  disputeBond: 50n,
  sampleRate: 50_000,
  sampleFloor: 10_000,
  verifiers: 1,
  slashRate: 500_000,
  challengerShare: 400_000,
  forcedErrorPrize: 10n,
  commitSpan: 60_000n,
  revealSpan: 60_000n,
  verdictSpan: 60_000n,
  moveSpan: 60_000n,
  lockSpan: 600_000n,
  unbondSpan: 6_000_000n,
};

export function newSigner(): Signer {
  return signerOf(generateIdentity());
}
