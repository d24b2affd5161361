/** Brings a replica to the end of a ledger's own file, when its owner opens it. */
import { GradmeshError } from "../base/errors.js";
import type { LedgerRecord } from "./events.js";
import { type Head, verifyHead } from "./head.js";
import { decodeRecord, recordHash } from "./record.js";
import type { Replica } from "./replica.js";
import { KeyRing, verifyEvent } from "./sign.js";
import { damaged, type Store } from "./store.js";

/**
 * Chain, rules and the last signed head are checked. The head vouches for the records before it; those after it are there
 * without one, so their own signatures are checked.
 * @throws ERR_LEDGER naming the file and the record.
 */
export function replay<State, Effect>(
  store: Store,
  replica: Replica<State, Effect>,
  onFirst: (record: LedgerRecord) => void = () => {},
): Head | undefined {
  const head = store.head();
  const keys = new KeyRing();
  let headHash = "";
  for (const page of store.pages(0))
    for (const bytes of page) {
      const record = decodeNext(store.path, bytes, replica.count);
      const hash = recordHash(bytes);
      if (replica.count === 0) checkFirst(store, hash, record, onFirst);
      if (replica.count >= (head?.count ?? 0) && !verifyEvent(record, store.ledgerId, keys))
        throw damaged(store.path, `record ${replica.count} is not signed by its author`);
      replica.apply(record, hash);
      if (replica.count === head?.count) headHash = hash;
    }
  if (head === undefined) return undefined;
  if (head.count > replica.count)
    throw damaged(
      store.path,
      `${replica.count} records are left of the ${head.count} that its signed head counts`,
    );
  if (head.hash !== headHash || !verifyHead(head, store.ledgerId, replica.sequencer, keys))
    throw damaged(store.path, `its head of ${head.count} records is not signed by the sequencer`);
  return head;
}

function checkFirst(
  store: Store,
  hash: string,
  record: LedgerRecord,
  onFirst: (record: LedgerRecord) => void,
): void {
  if (hash !== store.ledgerId) throw damaged(store.path, `its first record is not that of ${store.ledgerId}`);
  onFirst(record);
}

function decodeNext(path: string, bytes: Buffer, seq: number): LedgerRecord {
  try {
    return decodeRecord(bytes);
  } catch (error) {
    if (error instanceof GradmeshError) throw damaged(path, `record ${seq}: ${error.message}`, error);
    throw error;
  }
}
