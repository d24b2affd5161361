/** Reductions over the members of a view: links them, runs the native collective, and names the peers that failed. */
import { type Clock, systemClock } from "../base/clock.js";
import { asGradmeshError, GradmeshError } from "../base/errors.js";
import type { BulkLinks, LinkView } from "../group/links.js";
import { type CollectiveName, collectives } from "../native/abi.gen.js";
import { openCodec } from "../native/codec.js";
import type { Endpoint, Tensor } from "./endpoint.js";

export interface ReduceReport {
  /** Payload that this peer sent. */
  bytesSent: number;
  /** Headers and trailers around it. */
  bytesFraming: number;
  bytesReceived: number;
  /** Of the collective alone, without linking. */
  seconds: number;
  /** Steps of the schedule that were done. */
  steps: number;
}

interface CallOptions {
  view: LinkView;
  /** This peer's place in view.members. */
  rank: number;
  /** Names this collective: the same number on every member, and above all earlier ones of the run, failed or not. */
  operation: number;
  /** Elements that travel at a time, so that coding, sending and receiving overlap. */
  segmentElements: number;
  /** For linking and the collective together. */
  limitMs: number;
  signal?: AbortSignal;
}

export interface AllReduceOptions extends CallOptions {
  collective: Exclude<CollectiveName, "broadcast">;
  /** A codec's specification, as in "int4_block:scale=fp32". */
  codec: string;
  /** Key the codec's random numbers, if it has any; the same on every member. By default 0. */
  key?: { seed: number; step: number };
  /** This peer's contribution, on the host or in a GPU's memory; stays as it is. */
  input: Tensor;
  /** The mean, the same bytes on every member; as long as the input. Its content after an error means nothing. */
  output: Tensor;
}

export interface BroadcastOptions extends CallOptions {
  /** The peers that take part, of the view's members, root and this peer included; all of them by default. */
  members?: readonly string[];
  /** The peer whose bytes the others get. */
  root: string;
  /** On the root: what it sends, which stays as it is. Elsewhere only its length counts. */
  input: Tensor;
  /** The root's elements, bit for bit. */
  output: Tensor;
}

export interface Reducer {
  /**
   * The mean of every member's input, the same bytes on all of them.
   * @throws ERR_PEER_LOST or ERR_UNREACHABLE with detail.peers, the peer ids that failed; ERR_TIMEOUT, ERR_ABORTED,
   * ERR_MISMATCH, ERR_PROTOCOL, ERR_INVALID_ARGUMENT. Inputs are intact.
   */
  allReduce(options: AllReduceOptions): Promise<ReduceReport>;
  /** The root's elements, uncoded, on every named member. @throws as allReduce does. */
  broadcast(options: BroadcastOptions): Promise<ReduceReport>;
}

export interface ReducerOptions {
  endpoint: Pick<Endpoint, "run">;
  links: Pick<BulkLinks, "ensure">;
  clock?: Clock;
}

/** What differs between the two calls; ranks count within `group`. */
interface GroupCall {
  /** Ranks of the view that take part, ascending. */
  group: number[];
  collective: CollectiveName;
  codec: string;
  key: { seed: number; step: number };
  root: number;
  input: Tensor;
  output: Tensor;
}

function toReport(report: Float64Array): ReduceReport {
  const [bytesSent = 0, bytesFraming = 0, bytesReceived = 0, seconds = 0, , steps = 0] = report;
  return { bytesSent, bytesFraming, bytesReceived, seconds, steps };
}

const unkeyed = { seed: 0, step: 0 };
const LOST_RANK = 4;
const REPORT_LENGTH = 6;

/** The native failure with what had been sent by then, naming the lost peer instead of its rank within the group. */
function nameLost(
  error: unknown,
  report: Float64Array,
  view: LinkView,
  group: readonly number[],
): GradmeshError {
  const failure = asGradmeshError(error);
  const bytesSent = report[0]! + report[1]!;
  const peerId = view.members[group[report[LOST_RANK]!] ?? -1]?.peerId;
  const message = peerId === undefined ? failure.message : `peer ${peerId}: ${failure.message}`;
  const detail = peerId === undefined ? { bytesSent } : { bytesSent, peers: [peerId] };
  return new GradmeshError(failure.code, message, { cause: failure, detail });
}

function groupOf(options: BroadcastOptions): number[] {
  const { view, rank, members, root } = options;
  const ids = view.members.map(({ peerId }) => peerId);
  const unknown = [...(members ?? []), root].find((peerId) => !ids.includes(peerId));
  if (unknown !== undefined) {
    throw new GradmeshError("ERR_INVALID_ARGUMENT", `${unknown} is not a member of epoch ${view.epoch}`);
  }
  const group = ids.flatMap((peerId, other) => ((members?.includes(peerId) ?? true) ? [other] : []));
  if (!group.includes(rank) || !group.includes(ids.indexOf(root))) {
    throw new GradmeshError(
      "ERR_INVALID_ARGUMENT",
      "the members of a broadcast must hold this peer and the root",
    );
  }
  return group;
}

export function createReducer({ endpoint, links, clock = systemClock }: ReducerOptions): Reducer {
  async function run(options: CallOptions, call: GroupCall): Promise<ReduceReport> {
    const { view, rank, operation, segmentElements, limitMs, signal } = options;
    const { group, collective, codec, key, root, input, output } = call;
    const start = clock.now();
    const all = await links.ensure(view, rank, limitMs, signal);
    const left = Math.max(1, Math.ceil(limitMs - (clock.now() - start)));
    const report = new Float64Array(REPORT_LENGTH);
    report[LOST_RANK] = -1;
    const native = {
      links: Int32Array.from(group, (member) => all[member]!),
      operation,
      collective: collectives[collective].id,
      rank: group.indexOf(rank),
      root,
      codec: openCodec(codec).id,
      seed: key.seed,
      step: key.step,
      segmentElements,
      limitMs: left,
      input,
      output,
      report,
    };
    try {
      await endpoint.run(native, signal);
    } catch (error) {
      throw nameLost(error, report, view, group);
    }
    return toReport(report);
  }

  return {
    allReduce(options) {
      const { collective, codec, key = unkeyed, input, output } = options;
      const group = options.view.members.map((_, other) => other);
      return run(options, { group, collective, codec, key, root: 0, input, output });
    },
    async broadcast(options) {
      const { view, root, input, output } = options;
      const group = groupOf(options);
      const rootRank = group.findIndex((member) => view.members[member]?.peerId === root);
      return run(options, {
        group,
        collective: "broadcast",
        codec: "fp32",
        key: unkeyed,
        root: rootRank,
        input,
        output,
      });
    },
  };
}
