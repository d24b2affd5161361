/** A ledger's file as what can be audited, whichever of its two forms it has, and what to say where it does not hold. */
import { GradmeshError } from "../base/errors.js";
import type { AuditReport, AuditSource } from "./audit.js";
import { isExport, readExport } from "./export.js";
import { openStore } from "./store.js";

/** The file, a ledger or a binary export of one, for as long as it is used. @throws ERR_LEDGER, ERR_IO. */
export async function withSource<Result>(
  path: string,
  use: (source: AuditSource) => Result | Promise<Result>,
): Promise<Result> {
  if (isExport(path)) return use(readExport(path));
  const store = openStore(path, { readOnly: true });
  try {
    return await use(store);
  } finally {
    store.close();
  }
}

/** Why the ledger does not hold, as the error to end with; null where it does. */
export function faultOf(path: string, { fault }: Pick<AuditReport<unknown>, "fault">): GradmeshError | null {
  if (fault === null) return null;
  const where = fault.seq === undefined ? path : `record ${fault.seq} of ${path}`;
  const cure = "take the ledger from another peer, or restore a copy with its -wal file";
  return new GradmeshError("ERR_LEDGER", `${where} does not hold: ${fault.reason}; ${cure}`);
}
