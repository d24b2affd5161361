/** Why a verified run has to end, as its rounds come to nothing. All by the ledger, so that a restart forgets nothing of it. */
import type { Account, LedgerRecord } from "../../ledger/events.js";
import type { Sequencer } from "../../ledger/ledger.js";
import { type LedgerState, ROUNDS_KEPT } from "../../ledger/rules/state.js";
import { peerIdOfAccount } from "../../ledger/sign.js";

type Records = Pick<Sequencer<unknown, unknown>, "count" | "records">;

/** In a row, after which the run ends: whatever keeps peers from being checked does not pass by itself. */
const EMPTY_ROUNDS_MAX = ROUNDS_KEPT;
/** Records that are read at a time. */
const PAGE_RECORDS = 256;
/** As a verdict has it. */
const NOT_SHOWN = 1;

/** The last rounds were closed with nobody's work; null where not. Names who most often said that it was shown nothing. */
export function nothingChecked({ terms, rounds, nextRound }: LedgerState): string | null {
  const last = Array.from({ length: EMPTY_ROUNDS_MAX }, (_, back) => rounds.get(nextRound - 1 - back));
  if (!last.every((round) => round?.closed?.aggregated.length === 0)) return null;
  const said = last
    .flatMap((round) => round!.checks)
    .filter(({ verdict }) => verdict === NOT_SHOWN)
    .map(({ verifier }) => verifier);
  const { verdictSpan, moveSpan } = terms!;
  const cure = `give peers more of it with trust.limitMs (${verdictSpan}) and trust.moveLimitMs (${moveSpan}), or faster machines and links`;
  return `in ${EMPTY_ROUNDS_MAX} rounds in a row nobody's work could be checked, as nobody's states could be shown in time; ${cure}${most(said)}`;
}

function most(said: readonly Account[]): string {
  const [first] = [...Map.groupBy(said, (account) => account)].sort(([, a], [, b]) => b.length - a.length);
  if (first === undefined) return "";
  const [account, own] = first;
  return `; of ${said.length} checks that said "not shown", ${own.length} are of ${peerIdOfAccount(account)}: where that is most of them, run without it`;
}

function* newestFirst(records: Records): Generator<LedgerRecord> {
  for (let to = records.count; to > 0; to -= PAGE_RECORDS)
    yield* [...records.records(Math.max(0, to - PAGE_RECORDS), to)].reverse();
}

/** How often the round was opened for somebody who stayed. */
function openings(records: Records, round: number): number {
  let opened = 0;
  let gone = new Set<Account>();
  for (const { event } of newestFirst(records)) {
    if (event.kind === "RoundClosed" && event.round !== round) break;
    if (event.kind === "Ejected" || (event.kind === "RoundLeft" && event.round === round))
      gone.add(event.account);
    if ((event.kind !== "RoundOpened" && event.kind !== "RoundSkipped") || event.round !== round) continue;
    if (event.workers.some((worker) => !gone.has(worker))) opened += 1;
    gone = new Set();
  }
  return opened;
}

/** The round, which is void, was so too often as those who stayed were too late; null where not. */
export function nothingInTime(records: Records, { terms }: LedgerState, round: number): string | null {
  const opened = openings(records, round);
  if (opened < EMPTY_ROUNDS_MAX) return null;
  const cure = `give peers more time with trust.limitMs (${terms!.verdictSpan}), or faster machines and links`;
  return `round ${round + 1} was opened ${opened} times, and each time everybody in it was too late; ${cure}`;
}
