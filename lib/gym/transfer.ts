/** The state on its way from a member to peers that come: the broadcasts of a run, counted and timed. */
import { runLocal } from "../reduce/local.js";
import { plainRequest } from "../reduce/plan.js";
import { piecesOf } from "../run/state-transfer.js";
import type { NamedTensor } from "../tensor/layout.js";
import { unkeyed } from "./calls.js";
import { VirtualNetwork } from "./network.js";
import type { VirtualPeer } from "./peer.js";
import type { PlanSets } from "./plans.js";

export interface TransferOptions {
  readonly plans: PlanSets;
  readonly segmentElements: number;
  /** Whose state it is. */
  readonly round: number;
}

/** Sends pieces of memory from the first peer to the others; all of them wait for it. Gives the first one's bytes. */
async function broadcast(
  peers: readonly VirtualPeer[],
  sent: readonly Float32Array[],
  received: readonly (readonly Float32Array[])[],
  { plans, segmentElements }: TransferOptions,
): Promise<number> {
  const network = new VirtualNetwork(peers.map(({ profile }) => profile));
  const request = { ...plainRequest, collective: "broadcast", codec: "fp32", segmentElements } as const;
  const ranks = peers.map((_, rank) => rank);
  let bytes = 0;
  for (const [index, piece] of sent.entries()) {
    const set = plans.get({ ...request, ranks: peers.length, elements: piece.length }, ranks);
    const outputs = [new Float32Array(piece.length), ...received.map((pieces) => pieces[index]!)];
    await runLocal({ plans: set.plans, key: unkeyed, inputs: peers.map(() => piece), outputs });
    const ready = peers.map(({ clock }) => clock.now);
    const finish = await network.finishTimes(set, ready);
    for (const [at, { clock }] of peers.entries()) clock.waitUntil(finish[at]!);
    bytes += set.reports[0]!.bytesSent + set.reports[0]!.bytesFraming;
  }
  return bytes;
}

/** The source's state becomes the targets'. Gives the payload and framing bytes that the source sent. */
export async function transferState(
  source: VirtualPeer,
  targets: readonly VirtualPeer[],
  options: TransferOptions,
): Promise<number> {
  const places: Float32Array[][] = [];
  const bytes = Promise.withResolvers<number>();
  const receive = async (shared: readonly NamedTensor[]) => {
    places.push(piecesOf(shared));
    // Nobody's memory is written before all are ready to receive.
    if (places.length === targets.length)
      broadcast([source, ...targets], piecesOf(source.engine.shared), places, options).then(
        bytes.resolve,
        bytes.reject,
      );
    await bytes.promise;
  };
  await Promise.all(targets.map(({ engine }) => engine.adopt(options.round, receive)));
  return bytes.promise;
}
