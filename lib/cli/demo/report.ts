/** The demo's closing report: pure arithmetic over the events of all peers. */
import type { TimedEvent } from "../../run/events.js";
import { type EventOf, type Outcome, ofType, outcomeOf, sum } from "./outcome.js";

type RoundEvent = EventOf<"round">;

/** What happened to the peer that was killed, as the parent process and the survivors saw it. */
export interface KillCost {
  peer: string;
  round: number;
  /** Seconds from the end of the process, as its parent saw it, to the first survivor's typed error; 0: not later. */
  detectionSeconds: number;
  /** Seconds from the end of the process to the survivors' commit of the same round. */
  recoverySeconds: number;
  /** Payload and framing bytes the survivors sent again. */
  bytesRetried: number;
  /** Inner steps of the killed peer that no round got. */
  innerStepsLost: number;
  /** The round at which the peer contributed again, or null. */
  rejoinedRound: number | null;
  /** Seconds its state transfer took, or null. */
  catchUpSeconds: number | null;
}

export interface DemoReport extends Outcome {
  innerSteps: number;
  peers: number;
  bytesPerInnerStep: {
    /** Sent by one peer, mean over peers and rounds, everything counted. */
    sent: number;
    /** What fp32 data parallel (ring all-reduce of every gradient) sends. */
    dataParallelFp32: number;
    reduction: number;
  };
  /** Share of the wall time of a round that is not inner steps or the outer step, mean over peers. */
  syncShare: number;
  /** From the start of the first process to the end of the last. */
  seconds: number;
  /** The rounds alone: the slowest peer's inner steps, sync and outer step, summed. */
  trainingSeconds: number;
  kill: KillCost | null;
  checkpoint: { path: string; resume: string } | null;
}

export interface ReportInput {
  events: readonly TimedEvent[];
  innerSteps: number;
  peers: number;
  seconds: number;
  /** Bytes one peer sends per step in fp32 data parallel over as many peers. */
  dataParallelBytes: number;
  killed: { peer: string; at: number; round: number } | null;
  checkpoint: { path: string; resume: string } | null;
}

const wallSeconds = ({ seconds }: RoundEvent) => seconds.train + seconds.sync + seconds.apply;

/** Each round takes as long as its slowest peer. */
function roundSeconds(rounds: readonly RoundEvent[]): number {
  const slowest = new Map<number, number>();
  for (const event of rounds)
    slowest.set(event.round, Math.max(slowest.get(event.round) ?? 0, wallSeconds(event)));
  return sum([...slowest.values()]);
}

function killCost(input: ReportInput, rounds: readonly RoundEvent[]): KillCost | null {
  if (input.killed === null) return null;
  const { peer, at, round } = input.killed;
  const survivors = rounds.filter((event) => event.round === round && event.peer !== peer);
  const failures = input.events.filter((event) => event.type === "failed" && event.at >= at - 1000);
  const back = rounds.find((event) => event.peer === peer && event.round > round);
  const synced = ofType(input.events, "synced").find((event) => event.peer === peer && event.at > at);
  const first = (events: readonly TimedEvent[]) =>
    events.length === 0 ? 0 : Math.max(0, Math.min(...events.map((event) => event.at)) - at) / 1000;
  return {
    peer,
    round,
    detectionSeconds: first(failures),
    recoverySeconds: first(survivors),
    bytesRetried: sum(survivors.map((event) => event.bytesRetried)),
    innerStepsLost: input.innerSteps,
    rejoinedRound: back?.round ?? null,
    catchUpSeconds: synced?.seconds ?? null,
  };
}

/** The report of a finished demo. @throws as outcomeOf. */
export function makeReport(input: ReportInput): DemoReport {
  const rounds = ofType(input.events, "round");
  // A killed peer that came back when the run was over has no digest: kill.rejoinedRound is null then.
  const outcome = outcomeOf(input.events, input.peers, (peer) => peer);
  const sent = sum(rounds.map((event) => event.bytesSent)) / (rounds.length * input.innerSteps);
  const syncSeconds = sum(rounds.map((event) => event.seconds.sync));
  return {
    ...outcome,
    innerSteps: input.innerSteps,
    peers: input.peers,
    bytesPerInnerStep: {
      sent,
      dataParallelFp32: input.dataParallelBytes,
      reduction: input.dataParallelBytes / sent,
    },
    syncShare: syncSeconds / sum(rounds.map(wallSeconds)),
    seconds: input.seconds,
    trainingSeconds: roundSeconds(rounds),
    kill: killCost(input, rounds),
    checkpoint: input.checkpoint,
  };
}
