/** What the commands that read a ledger have in common: which file, whose account, and no word of it before it is audited. */
import { type AuditOptions, type AuditReport, audit } from "../ledger/audit.js";
import type { Account } from "../ledger/events.js";
import { faultOf, withSource } from "../ledger/file.js";
import { runRules } from "../ledger/rules/apply.js";
import type { Effect } from "../ledger/rules/effect.js";
import type { LedgerState } from "../ledger/rules/state.js";
import { accountOfPeerId } from "../ledger/sign.js";

/** For the help of every command that reads one. */
export const fileMeaning =
  "a ledger's file (ledger-<run>.sqlite in a peer's folder), or a binary export of one";
export const accountMeaning = "64 hexadecimal characters, or a peer id";

/** @throws ERR_INVALID_ARGUMENT for what is neither an account nor a peer id. */
export const accountNamed = (name: string): Account =>
  /^[0-9a-f]{64}$/.test(name) ? name : accountOfPeerId(name);

type RunAudit = Omit<AuditOptions<LedgerState, Effect>, "rules">;

/** By the rules of runs; whether it holds is the report's `fault`. @throws ERR_LEDGER, ERR_IO where it cannot be read. */
export function auditFile(path: string, options: RunAudit = {}): Promise<AuditReport<LedgerState>> {
  return withSource(path, (source) => audit(source, { rules: runRules, ...options }));
}

/** @throws ERR_LEDGER where it does not hold, with record, reason and cure; ERR_IO where it cannot be read. */
export async function auditedFile(
  path: string,
  onRecord?: NonNullable<RunAudit["onRecord"]>,
): Promise<AuditReport<LedgerState>> {
  const report = await auditFile(path, onRecord === undefined ? {} : { onRecord });
  const fault = faultOf(path, report);
  if (fault !== null) throw fault;
  return report;
}
