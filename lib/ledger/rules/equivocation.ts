/** The rule of who signed two things of which only one can be: proven by the two alone, and slashed once. */
import { decodeHead, HEAD_BYTES, provenEquivocation } from "../head.js";
import { decodeRecord } from "../record.js";
import { refuse, registered, termsOf } from "./lookup.js";
import type { Rule } from "./rule.js";
import { distribute, slash } from "./slash.js";

/** The offence's name: a third event of the same nonce is no second offence. */
function offenceOf(offender: string, first: Uint8Array): string {
  return first.length === HEAD_BYTES
    ? `${offender} head ${decodeHead(first).count}`
    : `${offender} nonce ${decodeRecord(first).nonce}`;
}

export const equivocationProven: Rule<"EquivocationProven"> = (state, body, { author, now }) => {
  registered(state, author);
  const first = Buffer.from(body.first, "hex");
  const second = Buffer.from(body.second, "hex");
  const offender = provenEquivocation(first, second, state.ledgerId, state.submitter);
  const offence = offenceOf(offender, first);
  if (state.proven.has(offence)) refuse(`this equivocation is proven already: ${offence}`);
  if (author === offender) refuse("nobody proves its own equivocation");
  termsOf(state);
  if (!state.accounts.has(offender)) refuse(`${offender} has no account here`);
  return (effects) => {
    state.proven.add(offence);
    const slashed = slash(state, offender, now);
    const prize = distribute(state, slashed, offender, author);
    const amount = slashed.own + slashed.others;
    effects.push({
      type: "slashed",
      time: now,
      account: offender,
      other: author,
      amount,
      reason: `signed two: ${offence}`,
    });
    if (prize > 0n)
      effects.push({ type: "paid", time: now, account: author, amount: prize, reason: `proved ${offence}` });
  };
};
