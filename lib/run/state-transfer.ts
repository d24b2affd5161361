/** The run's state on its way to joining peers: one broadcast of each piece of memory, uncoded. */
import { GradmeshError } from "../base/errors.js";
import type { LiveView } from "../group/member.js";
import type { ReduceReport, Reducer } from "../reduce/calls.js";
import type { NamedTensor } from "../tensor/layout.js";
import type { RunConfig } from "./config.js";
import { type OperationNumbers, TRANSFERS_MAX } from "./operations.js";

export interface StateTransferOptions {
  reducer: Pick<Reducer, "broadcast">;
  numbers: OperationNumbers;
  /** This peer's id. */
  self: string;
  network: Pick<RunConfig["network"], "operationLimitMs" | "segmentElements">;
}

/** Tensors in their order, those that lie behind one another in memory as one. */
export function piecesOf(tensors: readonly NamedTensor[]): Float32Array[] {
  const pieces: Float32Array[] = [];
  for (const { data } of tensors) {
    const last = pieces.at(-1);
    const follows = last?.buffer === data.buffer && last.byteOffset + last.byteLength === data.byteOffset;
    if (last !== undefined && follows)
      pieces[pieces.length - 1] = new Float32Array(last.buffer, last.byteOffset, last.length + data.length);
    else if (data.length > 0) pieces.push(data);
  }
  return pieces;
}

export class StateTransfer {
  readonly #options: StateTransferOptions;

  constructor(options: StateTransferOptions) {
    this.#options = options;
  }

  /** To the view's targets, from its source, this peer. Gives the bytes sent. @throws as Reducer.broadcast does. */
  async send(view: LiveView, shared: readonly NamedTensor[]): Promise<number> {
    const reports = await this.#broadcast(view, shared, (piece, unused) => ({
      input: piece,
      output: unused,
    }));
    return reports.reduce((sum, { bytesSent, bytesFraming }) => sum + bytesSent + bytesFraming, 0);
  }

  /** Into these tensors. Gives the bytes received. @throws as Reducer.broadcast does. */
  async receive(view: LiveView, shared: readonly NamedTensor[]): Promise<number> {
    const reports = await this.#broadcast(view, shared, (piece, unused) => ({
      input: unused,
      output: piece,
    }));
    return reports.reduce((sum, { bytesReceived }) => sum + bytesReceived, 0);
  }

  async #broadcast(
    view: LiveView,
    shared: readonly NamedTensor[],
    sides: (piece: Float32Array, unused: Float32Array) => { input: Float32Array; output: Float32Array },
  ): Promise<ReduceReport[]> {
    const { reducer, numbers, self, network } = this.#options;
    const { source, targets } = view.sync!;
    const pieces = piecesOf(shared);
    if (pieces.length > TRANSFERS_MAX)
      throw new GradmeshError(
        "ERR_UNSUPPORTED",
        `the state lies in ${pieces.length} pieces of memory; allowed: ${TRANSFERS_MAX}; a trainer's inner state is best one array`,
      );
    // A side needs only the length of what it does not use.
    const unused = new Float32Array(Math.max(0, ...pieces.map(({ length }) => length)));
    const reports: ReduceReport[] = [];
    for (const [index, piece] of pieces.entries())
      reports.push(
        await reducer.broadcast({
          view,
          rank: view.members.findIndex(({ peerId }) => peerId === self),
          operation: numbers.transfer(view, index),
          segmentElements: network.segmentElements,
          limitMs: network.operationLimitMs,
          signal: view.signal,
          members: [source, ...targets],
          root: source,
          ...sides(piece, unused.subarray(0, piece.length)),
        }),
      );
    return reports;
  }
}
