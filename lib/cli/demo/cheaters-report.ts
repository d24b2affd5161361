/** What a demo with cheaters came to: from the run's ledger, which anybody can audit, and from the peers' own clocks. */
import type { ReplayReport } from "../../gym/audit.js";
import type { Account } from "../../ledger/events.js";
import type { Effect } from "../../ledger/rules/effect.js";
import { accountOfPeerId } from "../../ledger/sign.js";
import type { CheatPlan } from "../../run/cheat.js";
import type { TimedEvent } from "../../run/events.js";
import { auditedFile } from "../ledger-source.js";
import { type Outcome, ofType, outcomeOf, sum } from "./outcome.js";

/** A cheater, and what became of it; null: it was not found before the run was over. Rounds count from 1. */
export interface CheaterReport {
  name: string;
  cheat: CheatPlan;
  found: {
    round: number;
    /** Who found it, by which step of the round. */
    verifier: string;
    transition: number;
    reason: string;
    dispute: number;
    /** Events of the dispute, its opening and the ruling included. */
    moves: number;
    ruling: string;
    /** Number of the ledger's record of it. */
    record: number;
    slashed: number;
  } | null;
}

export interface HonestReport {
  name: string;
  /** Rounds in which its work was accepted, and units earned with it. */
  accepted: number;
  earned: number;
}

/** The outcome is that of the honest peers. */
export interface CheatersReport extends Outcome {
  innerSteps: number;
  peers: number;
  cheaters: CheaterReport[];
  honest: HonestReport[];
  /** The run again, by its ledger alone, with honest work of all who counted: what it would have been. */
  replay: {
    /** Rounds from the first on whose states are the run's own, bit for bit. */
    equalRounds: number;
    rounds: number;
    /** Of the run and of honest work, after the last round. */
    validationLoss: number;
    honestLoss: number;
    seconds: number;
  };
  ledger: { path: string; records: number; bytesPerRound: number };
  /** Shares of the honest peers' seconds of inner steps. */
  verification: {
    rate: number;
    /** Hashing and keeping states; showing states to verifiers; replaying others' steps. */
    commit: number;
    serve: number;
    replay: number;
    total: number;
    /** Seconds a round that a peer waited for others' commitments, states and verdicts. */
    waitSecondsPerRound: number;
  };
  seconds: number;
}

export interface CheatersInput {
  events: readonly TimedEvent[];
  names: ReadonlyMap<string, string>;
  cheats: ReadonlyMap<string, CheatPlan>;
  ledgerPath: string;
  innerSteps: number;
  rate: number;
  seconds: number;
}

/** Effects of the events of a dispute. */
const moveTypes: ReadonlySet<Effect["type"]> = new Set(["disputed", "moved", "settled"]);

/** An effect, and the number of the ledger's record that had it. */
export interface Happened extends Effect {
  readonly record: number;
}

/** Audits the ledger. @throws ERR_LEDGER where it does not hold. */
async function readLedger(path: string) {
  const happened: Happened[] = [];
  const report = await auditedFile(path, ({ seq }, effects) =>
    happened.push(...effects.map((effect) => ({ ...effect, record: seq }))),
  );
  return { happened, records: report.count };
}

/** @param happened in order. */
export function cheaterReport(
  { events, names }: Pick<CheatersInput, "events" | "names">,
  name: string,
  cheat: CheatPlan,
  happened: readonly Happened[],
): CheaterReport {
  const peer = [...names].find(([, known]) => known === name)?.[0];
  const account = peer === undefined ? "" : accountOfPeerId(peer);
  // Fines are slashed too, without a dispute; so is the bond of an accuser who was wrong, in a dispute of another's work.
  const accused = new Set(
    happened.filter((one) => one.type === "disputed" && one.account === account).map((one) => one.dispute),
  );
  const slashed = happened.find(
    (one) => one.type === "slashed" && one.account === account && accused.has(one.dispute),
  );
  // The ledger's state forgets what is settled and paid; its records do not.
  const moves = happened.filter(({ type, dispute }) => moveTypes.has(type) && dispute === slashed?.dispute);
  const opened = moves.find(({ type }) => type === "disputed");
  const settled = moves.find(({ type }) => type === "settled");
  if (slashed?.dispute === undefined || opened === undefined) return { name, cheat, found: null };
  const { round = 0, transition = 0, other: challenger = "" } = opened;
  const checked = ofType(events, "checked").find(
    (event) => event.worker === peer && event.round === round && event.verdict === "hard",
  );
  const found = {
    round: round + 1,
    verifier: nameOf(names, challenger),
    transition,
    reason: checked?.reason ?? "",
    dispute: slashed.dispute,
    moves: moves.length,
    ruling: settled?.reason ?? "",
    record: slashed.record,
    slashed: Number(slashed.amount ?? 0n),
  };
  return { name, cheat, found };
}

const nameOf = (names: ReadonlyMap<string, string>, account: Account) =>
  [...names].find(([peer]) => accountOfPeerId(peer) === account)?.[1] ?? account.slice(0, 12);

function honestReports(
  { names, cheats }: CheatersInput,
  { happened }: Awaited<ReturnType<typeof readLedger>>,
): HonestReport[] {
  return [...names]
    .filter(([, name]) => !cheats.has(name))
    .map(([peer, name]) => {
      const own = happened.filter(
        ({ type, account }) => type === "accepted" && account === accountOfPeerId(peer),
      );
      return { name, accepted: own.length, earned: sum(own.map(({ amount }) => Number(amount ?? 0n))) };
    })
    .sort((a, b) => a.name.localeCompare(b.name));
}

function verificationCost({ events, names, cheats, rate }: CheatersInput): CheatersReport["verification"] {
  const honest = (event: { peer: string }) => !cheats.has(names.get(event.peer) ?? "");
  const verified = ofType(events, "verified").filter(honest);
  const training = sum(
    ofType(events, "round")
      .filter(honest)
      .map(({ seconds }) => seconds.train),
  );
  const share = (part: "commit" | "serve" | "replay") =>
    sum(verified.map(({ seconds }) => seconds[part])) / training;
  const [commit, serve, replay] = [share("commit"), share("serve"), share("replay")];
  const waited = sum(verified.map(({ seconds }) => seconds.wait));
  return {
    rate,
    commit,
    serve,
    replay,
    total: commit + serve + replay,
    waitSecondsPerRound: waited / Math.max(1, verified.length),
  };
}

function replayOf({ rounds, seconds }: ReplayReport, validationLoss: number): CheatersReport["replay"] {
  const different = rounds.findIndex(({ difference }) => difference !== null);
  return {
    equalRounds: different < 0 ? rounds.length : different,
    rounds: rounds.length,
    validationLoss,
    honestLoss: rounds.at(-1)?.validationLoss ?? Number.NaN,
    seconds,
  };
}

/** @throws ERR_LEDGER where the ledger does not hold; as outcomeOf for the honest peers. */
export async function makeCheatersReport(
  input: CheatersInput,
  ledgerBytes: number,
  replayed: ReplayReport,
): Promise<CheatersReport> {
  const { events, names, cheats, ledgerPath, innerSteps, seconds } = input;
  const honest = (peer: string) => {
    const name = names.get(peer);
    return name === undefined || cheats.has(name) ? null : name;
  };
  const outcome = outcomeOf(events, names.size - cheats.size, honest);
  const ledger = await readLedger(ledgerPath);
  return {
    ...outcome,
    innerSteps,
    peers: names.size,
    cheaters: [...cheats].map(([name, cheat]) => cheaterReport(input, name, cheat, ledger.happened)),
    honest: honestReports(input, ledger),
    replay: replayOf(replayed, outcome.validationLoss.end),
    ledger: { path: ledgerPath, records: ledger.records, bytesPerRound: ledgerBytes / outcome.rounds },
    verification: verificationCost(input),
    seconds,
  };
}
