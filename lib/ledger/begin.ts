/** How a sequencer begins a ledger, and takes up one that it left. */
import { GradmeshError } from "../base/errors.js";
import type { LedgerRecord } from "./events.js";
import { type Head, signHead } from "./head.js";
import type { SequencerOptions } from "./ledger.js";
import { encodeEvent, placeEvent, recordHash, ZERO_HASH } from "./record.js";
import { replay } from "./replay.js";
import { Replica } from "./replica.js";
import { type Signer, signEvent } from "./sign.js";
import { createStore, damaged, type Store } from "./store.js";

/** A file with the first record: the submitter's terms, signed before there is an id to sign for. @throws as a rule refuses them. */
export function createLedger<State, Effect>(options: SequencerOptions<State, Effect>): Store {
  const { path, signer, clock, rules, genesis } = options;
  if (genesis === undefined)
    throw new GradmeshError("ERR_CONFIG", `there is no ledger ${path}, and nothing to begin one with`);
  const signed = signEvent(signer, ZERO_HASH, 1n, { kind: "RunCreated", ...genesis });
  const place = { seq: 0, previous: ZERO_HASH, time: Math.floor(clock.wall()) };
  const bytes = placeEvent(place, encodeEvent(signed));
  const ledgerId = recordHash(bytes);
  new Replica(rules).apply({ ...place, ...signed }, ledgerId);
  return createStore(path, { ledgerId, records: [bytes], head: signHead(signer, ledgerId, 1, ledgerId) });
}

/** A sequencer signs a head with every transaction, so its file ends at one. */
export function replayOwn<State, Effect>(
  store: Store,
  replica: Replica<State, Effect>,
  { path, signer, genesis }: SequencerOptions<State, Effect>,
): Head {
  const head = replay(store, replica, (first) => checkFirst(path, first, signer, genesis));
  if (head === undefined || head.count !== replica.count)
    throw damaged(path, `it has ${replica.count} records, but its signed head counts ${head?.count ?? 0}`);
  return head;
}

function checkFirst(path: string, { author, event }: LedgerRecord, signer: Signer, genesis?: object): void {
  if (author !== signer.account)
    throw new GradmeshError(
      "ERR_CONFIG",
      `the ledger ${path} is led by ${author}, and this peer's key is ${signer.account}`,
    );
  const differs = Object.entries(genesis ?? {}).find(
    ([name, value]) => (event as unknown as Record<string, unknown>)[name] !== value,
  );
  if (differs !== undefined)
    throw new GradmeshError(
      "ERR_CONFIG",
      `the ledger ${path} is of a run with another ${differs[0]}; choose another file, or the same config`,
    );
}
