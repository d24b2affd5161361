/** The native endpoint as an object: it owns the bulk socket, the links and the thread that serves them. */
import { GradmeshError } from "../base/errors.js";
import type { BulkEndpoint, DialTarget, Encryption } from "../group/links.js";
import { native, withCancel } from "../native/load.js";

export interface EndpointOptions {
  /** A numeric address of this machine, and a port; port 0 picks one. */
  host: string;
  port: number;
  /** A peer that is silent for so long in the middle of a collective is lost. */
  silenceLimitMs: number;
  encryption: Encryption;
}

/** Float32 elements in a GPU's memory that somebody else owns, as a framework's data pointer names them. */
export interface DeviceTensor {
  /** The GPU's number. */
  device: number;
  /** A device address, a multiple of 16. */
  address: number;
  elements: number;
}

/** What a collective reads or writes: memory of this machine, or of its GPU. */
export type Tensor = Float32Array | DeviceTensor;

/** The arguments of one native collective; rank, root and lost rank count within `links`. */
export interface CollectiveCall {
  links: Int32Array;
  operation: number;
  collective: number;
  rank: number;
  root: number;
  codec: number;
  /** Key the codec's random numbers; the same on every rank. */
  seed: number;
  step: number;
  segmentElements: number;
  limitMs: number;
  /** Both on the host, or both on the same GPU: complete there when the call is made, and kept until it ends. */
  input: Tensor;
  output: Tensor;
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

/** @throws ERR_INVALID_ARGUMENT unless both lie on one GPU and are as long as each other. */
function deviceArguments(input: Tensor, output: Tensor) {
  if (input instanceof Float32Array || output instanceof Float32Array || input.device !== output.device)
    throw new GradmeshError(
      "ERR_INVALID_ARGUMENT",
      "input and output lie on different devices; allowed: both on the host, or both on the same GPU",
    );
  if (input.elements !== output.elements)
    throw new GradmeshError(
      "ERR_INVALID_ARGUMENT",
      `input has ${input.elements} elements and output ${output.elements}; allowed: the same`,
    );
  return [input.device, input.address, output.address, input.elements] as const;
}

export class Endpoint implements BulkEndpoint {
  #handle: number | undefined;

  /** @throws ERR_IO when the port is taken or the address is not this machine's. */
  constructor({ host, port, silenceLimitMs, encryption }: EndpointOptions) {
    this.#handle = native.endpointCreate(host, port, silenceLimitMs, encryption !== "none");
  }

  get #open(): number {
    if (this.#handle === undefined) throw new GradmeshError("ERR_CLOSED", "the bulk endpoint is closed");
    return this.#handle;
  }

  get port(): number {
    return native.endpointPort(this.#open);
  }

  expect(ticket: Uint8Array, sendKey: Uint8Array, receiveKey: Uint8Array, limitMs: number): number {
    return native.endpointExpect(this.#open, ticket, sendKey, receiveKey, limitMs);
  }

  async dial(target: DialTarget, limitMs: number, signal?: AbortSignal): Promise<number> {
    const { host, port, ticket, sendKey, receiveKey } = target;
    return withCancel(signal, (cancel) =>
      native.endpointDial(this.#open, host, port, ticket, sendKey, receiveKey, limitMs, cancel),
    );
  }

  async ready(link: number, limitMs: number, signal?: AbortSignal): Promise<void> {
    return withCancel(signal, (cancel) => native.linkReady(this.#open, link, limitMs, cancel));
  }

  /** Ends a link; one that has ended already, or whose endpoint is closed, is left as it is. */
  closeLink(link: number): void {
    if (this.#handle !== undefined) native.linkClose(this.#handle, link);
  }

  /** Rejects with the native code; the report is filled all the same. */
  async run(call: CollectiveCall, signal?: AbortSignal): Promise<void> {
    const {
      links,
      operation,
      collective,
      rank,
      root,
      codec,
      seed,
      step,
      segmentElements,
      limitMs,
      input,
      output,
      report,
    } = call;
    const arguments_ = [links, operation, collective, rank, root, codec, seed, step] as const;
    const limits = [segmentElements, limitMs] as const;
    if (input instanceof Float32Array && output instanceof Float32Array)
      return withCancel(signal, (cancel) =>
        native.collectiveRun(this.#open, ...arguments_, ...limits, input, output, report, cancel),
      );
    const tensors = deviceArguments(input, output);
    return withCancel(signal, (cancel) =>
      native.collectiveRunDevice(this.#open, ...arguments_, ...limits, ...tensors, report, cancel),
    );
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
