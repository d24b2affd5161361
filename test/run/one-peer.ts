/** One peer's replica and its work on views, over collectives that a test makes up. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { LiveView, Member } from "../../lib/group/member.js";
import type { AllReduceOptions, BroadcastOptions, Reducer } from "../../lib/reduce/calls.js";
import { parseConfig } from "../../lib/run/config.js";
import type { RunEvent } from "../../lib/run/events.js";
import { Exchange } from "../../lib/run/exchange.js";
import { Replica } from "../../lib/run/replica.js";

/** Every step takes 1 from the only parameter: its gradient is 1. */
const trainer = `export const createTrainer = async (_, parameters = new Float32Array(1)) => {
  const gradients = new Float32Array(1);
  const result = { loss: 1, tokens: 1 };
  return {
    layout: { elements: 1, tensors: () => [] },
    parameters,
    innerState: [],
    fingerprint: "one-1",
    gradients,
    step: async () => { parameters[0] -= 1; return result; },
    gradient: async () => { gradients[0] = 1; return result; },
    update: async () => { parameters[0] -= gradients[0]; },
    evaluate: async () => ({ loss: 1 }),
    close() {},
  };
};`;

/** What the test's network does; by default a peer is alone and its reductions give what it sent. */
export interface FakeNetwork {
  allReduce(options: AllReduceOptions & { input: Float32Array; output: Float32Array }): Promise<void>;
  broadcast(options: BroadcastOptions & { input: Float32Array; output: Float32Array }): Promise<void>;
}

export const nothingSent = { bytesSent: 0, bytesFraming: 0, bytesReceived: 0, seconds: 0, steps: 0 };

export async function createOnePeer(
  folder: string,
  config: { strategy: unknown; network?: object },
  network: Partial<FakeNetwork>,
  member: Partial<Member> = {},
) {
  await writeFile(join(folder, "trainer.mjs"), trainer);
  const whole = parseConfig({ trainer: { module: "./trainer.mjs" }, ...config });
  const replica = await Replica.create({ config: whole, shard: 0, threads: 1, folder });
  const events: RunEvent[] = [];
  const run = (work: ((options: never) => Promise<void>) | undefined) => async (options: never) => {
    await work?.(options);
    return nothingSent;
  };
  const reducer = { allReduce: run(network.allReduce), broadcast: run(network.broadcast) };
  const exchange = new Exchange({
    replica,
    reducer: reducer as unknown as Reducer,
    endpoint: { finished: () => [] } as never,
    member: { vote: () => {}, finished: () => {}, ...member } as unknown as Member,
    runId: "run",
    self: "me",
    seed: whole.seed,
    rounds: whole.rounds,
    network: whole.network,
    prober: { resume() {}, pause() {}, close() {} },
    fault: null,
    trust: null,
    emit: (event) => void events.push(event),
  });
  return { replica, exchange, events };
}

const memberOf = (peerId: string, shard: number) => ({
  peerId,
  addresses: [],
  shard,
  samples: 1,
  dialable: true,
});

/** A view of this peer, "me", and others. */
export function viewOf(changes: Partial<LiveView>, others: readonly string[] = []): LiveView {
  const members = ["me", ...others].map(memberOf);
  const plain = { type: "view", epoch: 1, round: 0, sync: null, again: false, links: null } as const;
  return { ...plain, members, signal: new AbortController().signal, ...changes };
}
