/** The rules of accounts: deposits, registration, stakes and delegations, their way back, attestations. */
import { PER_MILLION } from "../draw.js";
import type { Account } from "../events.js";
import { capabilityBits } from "../events.js";
import { accountOf, checkRoom, hasCapability, lesser, refuse, registered, termsOf } from "./lookup.js";
import type { Rule } from "./rule.js";
import { review } from "./slash.js";
import { type AccountState, DELEGATIONS_MAX, type LedgerState, POOL, UNBONDINGS_MAX } from "./state.js";

const DEPOSITED_MAX = 2n ** 63n - 1n;
const CAPABILITIES_MAX = Object.values(capabilityBits).reduce((all, bit) => all | bit, 0);

function positive(amount: bigint): void {
  if (amount <= 0n) refuse(`the amount is ${amount}; allowed: 1 and more`);
}

function spend(state: LedgerState, author: Account, amount: bigint): AccountState {
  positive(amount);
  const own = state.accounts.get(author);
  const free = own?.free ?? 0n;
  if (free < amount) refuse(`${amount} is more than the ${free} that ${author} has free`);
  return own!;
}

export const deposited: Rule<"Deposited"> = (state, { account, amount }, { author, now }) => {
  if (author !== state.submitter) refuse("only the submitter makes deposits");
  positive(amount);
  if (state.deposited + amount > DEPOSITED_MAX)
    refuse(`the deposits would come to more than ${DEPOSITED_MAX}`);
  if (account !== POOL) checkRoom(state, account);
  return (effects) => {
    state.deposited += amount;
    if (account === POOL) state.pool += amount;
    else accountOf(state, account).free += amount;
    effects.push({ type: "deposited", time: now, account, amount });
  };
};

export const registeredRule: Rule<"Registered"> = (state, body, { author, now }) => {
  const { capabilities, commission, entry, name } = body;
  checkRoom(state, author);
  const known = state.accounts.get(author);
  if (known?.ejected) refuse(`${author} was ejected`);
  if ((capabilities & ~CAPABILITIES_MAX) !== 0 || capabilities === 0)
    refuse(`capabilities is ${capabilities}; allowed: bits of ${CAPABILITIES_MAX}, at least one`);
  if (commission > PER_MILLION) refuse(`commission is ${commission}; allowed: 0 to ${PER_MILLION}`);
  if (known !== undefined && known.delegated > 0n && commission > known.commission)
    refuse(`commission may not rise while others have delegated ${known.delegated}`);
  return (effects) => {
    Object.assign(accountOf(state, author), { registered: true, capabilities, commission, entry, name });
    review(state, author, now);
    effects.push({ type: "registered", time: now, account: author, reason: name });
  };
};

export const bonded: Rule<"Bonded"> = (state, { amount }, { author, now }) => {
  registered(state, author);
  const own = spend(state, author, amount);
  return (effects) => {
    own.free -= amount;
    own.bonded += amount;
    review(state, author, now);
    effects.push({ type: "stake", time: now, account: author, amount, reason: "bonded" });
  };
};

function checkUnbondings({ account, unbonding }: AccountState): void {
  if (unbonding.length >= UNBONDINGS_MAX)
    refuse(`${account} has ${UNBONDINGS_MAX} amounts unbonding; release those that can be`);
}

export const unbondRequested: Rule<"UnbondRequested"> = (state, { amount }, { author, now }) => {
  positive(amount);
  const own = state.accounts.get(author);
  const able = own === undefined ? 0n : own.bonded - own.pledged;
  if (own === undefined || able < amount)
    return refuse(
      `${amount} is more than ${able}: ${author} has bonded ${own?.bonded ?? 0n}, of which ${own?.pledged ?? 0n} is pledged in disputes`,
    );
  checkUnbondings(own);
  const at = now + termsOf(state).unbondSpan;
  return (effects) => {
    own.bonded -= amount;
    own.unbonding.push({ amount, node: author, at });
    review(state, author, now);
    effects.push({ type: "stake", time: now, account: author, amount, reason: "unbonding" });
  };
};

export const rebonded: Rule<"Rebonded"> = (state, { amount }, { author, now }) => {
  positive(amount);
  const own = registered(state, author);
  const unbonding = own.unbonding.reduce(
    (sum, entry) => sum + (entry.node === author ? entry.amount : 0n),
    0n,
  );
  if (unbonding < amount)
    refuse(`${amount} is more than the ${unbonding} of its own that ${author} has unbonding`);
  return (effects) => {
    let left = amount;
    for (const entry of own.unbonding.toReversed()) {
      if (entry.node !== author) continue;
      const part = lesser(entry.amount, left);
      entry.amount -= part;
      left -= part;
    }
    own.unbonding = own.unbonding.filter((entry) => entry.amount > 0n);
    own.bonded += amount;
    review(state, author, now);
    effects.push({ type: "stake", time: now, account: author, amount, reason: "bonded again" });
  };
};

export const released: Rule<"Released"> = (state, _body, { author, now }) => {
  const own = state.accounts.get(author);
  const matured = own?.unbonding.filter((entry) => entry.at <= now) ?? [];
  const amount = matured.reduce((sum, entry) => sum + entry.amount, 0n);
  if (own === undefined || amount === 0n) return refuse(`nothing of ${author} has matured`);
  return (effects) => {
    own.unbonding = own.unbonding.filter((entry) => entry.at > now);
    own.free += amount;
    effects.push({ type: "stake", time: now, account: author, amount, reason: "released" });
  };
};

export const withdrawn: Rule<"Withdrawn"> = (state, { amount }, { author, now }) => {
  const own = spend(state, author, amount);
  return (effects) => {
    own.free -= amount;
    state.withdrawn += amount;
    effects.push({ type: "stake", time: now, account: author, amount, reason: "withdrawn" });
  };
};

export const delegated: Rule<"Delegated"> = (state, { node, amount }, { author, now }) => {
  if (!hasCapability(registered(state, author), "delegator")) refuse(`${author} is no delegator`);
  if (node === author) refuse("nobody delegates to itself; bond it instead");
  const target = registered(state, node);
  const own = spend(state, author, amount);
  const before = own.delegations.get(node);
  if (before === undefined && own.delegations.size >= DELEGATIONS_MAX)
    refuse(`${author} has delegated to ${DELEGATIONS_MAX} nodes already`);
  return (effects) => {
    own.free -= amount;
    own.delegations.set(node, (before ?? 0n) + amount);
    target.delegated += amount;
    effects.push({ type: "stake", time: now, account: author, other: node, amount, reason: "delegated" });
  };
};

export const undelegated: Rule<"Undelegated"> = (state, { node, amount }, { author, now }) => {
  positive(amount);
  const own = state.accounts.get(author);
  const there = own?.delegations.get(node) ?? 0n;
  if (own === undefined || there < amount)
    return refuse(`${amount} is more than the ${there} that ${author} has delegated to ${node}`);
  checkUnbondings(own);
  const at = now + termsOf(state).unbondSpan;
  return (effects) => {
    if (there === amount) own.delegations.delete(node);
    else own.delegations.set(node, there - amount);
    accountOf(state, node).delegated -= amount;
    own.unbonding.push({ amount, node, at });
    effects.push({ type: "stake", time: now, account: author, other: node, amount, reason: "undelegated" });
  };
};

export const credentialAdded: Rule<"CredentialAdded"> = (state, { sampleRate }, { author, now }) => {
  const own = registered(state, author);
  const terms = termsOf(state);
  if (sampleRate < terms.sampleFloor || sampleRate > terms.sampleRate)
    refuse(
      `an attestation asks for checks at ${sampleRate} ppm; allowed: ${terms.sampleFloor} to ${terms.sampleRate}`,
    );
  return (effects) => {
    own.credentialRate = sampleRate;
    effects.push({
      type: "stake",
      time: now,
      account: author,
      reason: `attested: checked at ${sampleRate} ppm`,
    });
  };
};
