/** The native endpoint as an object: it owns the bulk socket, the links and the thread that serves them. */
import { GradmeshError } from "../base/errors.js";
import type {
  BulkEndpoint,
  DialTarget,
  Encryption,
  LinkBurst,
  LinkMeasure,
  LinkSecrets,
} from "../group/links.js";
import { native, withCancel } from "../native/load.js";
import type { Plan } from "./plan.js";
import { bytesOf, checkAlike, type DeviceTensor, isDeviceTensor, type Range, type Tensor } from "./tensor.js";

export type { DeviceTensor, Tensor } from "./tensor.js";

export interface EndpointOptions {
  /** A numeric address of this machine, and a port; port 0 picks one. */
  host: string;
  port: number;
  /** A peer that is silent for so long in the middle of a collective is lost. */
  silenceLimitMs: number;
  encryption: Encryption;
  /** TCP's congestion control by name, as in "bbr". Default: the system's. */
  congestionControl?: string;
}

/** The arguments of one native collective; the lost rank counts within `links`. */
export interface CollectiveCall {
  plan: Plan;
  /** By rank, -1 at one's own. */
  links: Int32Array;
  /** A number of its own, the same on every rank, and above all earlier ones. */
  operation: number;
  /** Key the codec's random numbers; the same on every rank. */
  seed: number;
  step: number;
  limitMs: number;
  /**
   * Succeed only when every rank is done: one more one-way delay, for callers without a vote of their own. Default: true.
   */
  agree?: boolean;
  /** Both on the host, or both on the same GPU: complete there when the call is made, and kept until it ends. */
  input: Tensor;
  output: Tensor;
  /** Of a plan with error feedback at the owner, on the host: float32 [n] as it is, and as it becomes. */
  state?: Float32Array;
  next?: Float32Array;
  /** Filled with [payload bytes sent, framing bytes sent, bytes received, seconds, lost rank or -1, steps done]. */
  report: Float64Array;
}

/** Counts since the endpoint was made; bytes are those of this side. */
export interface EndpointStats {
  linksOpened: number;
  linksLost: number;
  operationsDone: number;
  operationsFailed: number;
  payloadBytesSent: number;
  payloadBytesReceived: number;
  framingBytesSent: number;
  framingBytesReceived: number;
  controlBytesSent: number;
  controlBytesReceived: number;
  /** Sockets that were not let in, by reason: garbage, unknownTicket, usedTicket, expiredTicket and more. */
  refused: Record<string, number>;
}

const nothing = new Float32Array(0);

export class Endpoint implements BulkEndpoint {
  #handle: number | undefined;

  /**
   * @throws ERR_IO when the port is taken or the address is not this machine's; ERR_INVALID_ARGUMENT for a congestion
   * control that the system lacks.
   */
  constructor({ host, port, silenceLimitMs, encryption, congestionControl = "" }: EndpointOptions) {
    const encrypted = encryption !== "none";
    this.#handle = native.endpointCreate(host, port, silenceLimitMs, encrypted, congestionControl);
  }

  get #open(): number {
    if (this.#handle === undefined) throw new GradmeshError("ERR_CLOSED", "the bulk endpoint is closed");
    return this.#handle;
  }

  get port(): number {
    return native.endpointPort(this.#open);
  }

  expect({ ticket, sendKey, receiveKey, streams }: LinkSecrets, limitMs: number): number {
    return native.endpointExpect(this.#open, ticket, sendKey, receiveKey, streams, limitMs);
  }

  async dial(target: DialTarget, limitMs: number, signal?: AbortSignal): Promise<number> {
    const { host, port, ticket, sendKey, receiveKey, streams } = target;
    return withCancel(signal, (cancel) =>
      native.endpointDial(this.#open, host, port, ticket, sendKey, receiveKey, streams, limitMs, cancel),
    );
  }

  async ready(link: number, limitMs: number, signal?: AbortSignal): Promise<void> {
    return withCancel(signal, (cancel) => native.linkReady(this.#open, link, limitMs, cancel));
  }

  /** Ends a link; one that has ended already, or whose endpoint is closed, is left as it is. */
  closeLink(link: number): void {
    if (this.#handle !== undefined) native.linkClose(this.#handle, link);
  }

  /** @throws ERR_PEER_LOST, ERR_TIMEOUT, ERR_INVALID_ARGUMENT for a link that is not open; the signal's reason. */
  async probe(link: number, burst: LinkBurst, signal?: AbortSignal): Promise<LinkMeasure> {
    const { bytes, streams, pings, limitMs } = burst;
    const result = new Float64Array(4);
    await withCancel(signal, (cancel) =>
      native.linkProbe(this.#open, link, bytes, streams, pings, limitMs, result, cancel),
    );
    const [roundTripSeconds = 0, medianSeconds = 0, bytesPerSecond = 0, bytesArrived = 0] = result;
    return { roundTripSeconds, medianSeconds, bytesPerSecond, bytesArrived };
  }

  /** How many of a link's streams carry data from now on. */
  async use(link: number, streams: number): Promise<void> {
    await native.linkUse(this.#open, link, streams);
  }

  /** What may leave on all links together, in bytes per second; 0: no limit. */
  pace(bytesPerSecond: number): void {
    native.endpointPace(this.#open, bytesPerSecond);
  }

  /** Rejects with the native code; the report is filled all the same. */
  async run(call: CollectiveCall, signal?: AbortSignal): Promise<void> {
    const { plan, links, operation, seed, step, limitMs, agree = true, input, output, report } = call;
    const { state = nothing, next = nothing } = call;
    checkAlike(input, output);
    const keys = [plan.handle, links, operation, seed, step, limitMs, agree] as const;
    if (isDeviceTensor(input) || isDeviceTensor(output)) {
      const { device, address, elements } = input as DeviceTensor;
      const target = (output as DeviceTensor).address;
      return withCancel(signal, (cancel) =>
        native.collectiveRunDevice(
          this.#open,
          ...keys,
          device,
          address,
          target,
          elements,
          state,
          next,
          report,
          cancel,
        ),
      );
    }
    return withCancel(signal, (cancel) =>
      native.collectiveRun(this.#open, ...keys, bytesOf(input), bytesOf(output), state, next, report, cancel),
    );
  }

  /** What of the output of an operation that failed lately is final: what every rank would have got. */
  finished(operation: number): Range[] {
    const found = JSON.parse(native.collectiveFinished(this.#open, operation)) as [number, number][];
    return found.map(([begin, elements]) => ({ begin, elements }));
  }

  stats(): EndpointStats {
    return JSON.parse(native.endpointStats(this.#open)) as EndpointStats;
  }

  /** For tests and the demo: this process raises the signal once so many steps of the operation are done. */
  fault(operation: number, steps: number, signal: number): void {
    native.endpointFault(this.#open, operation, steps, signal);
  }

  close(): void {
    if (this.#handle !== undefined) native.endpointClose(this.#handle);
    this.#handle = undefined;
  }
}
