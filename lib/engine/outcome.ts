/** What the parts of a round come to. */
/** What inner steps came to. */
export interface Trained {
  /** Mean loss over the steps, in nats; NaN of none. */
  readonly loss: number;
  /** Inner steps that this peer took. */
  readonly steps: number;
  readonly seconds: number;
}

/** What a round's exchanges came to, the commit apart. */
export interface Exchanged {
  /** Of the whole round. */
  readonly loss: number;
  readonly steps: number;
  /** Payload, framing and received bytes of all its collectives. */
  readonly bytesSent: number;
  readonly bytesFraming: number;
  readonly bytesReceived: number;
  /** Native seconds of the collectives, added up. */
  readonly seconds: number;
  /** What members compare: the same bytes on all of them where `equal`. */
  readonly results: readonly Float32Array[];
}

/** Which state of the run an engine holds. */
export interface Standing {
  /** Rounds committed; -1 while it holds no state of the run. */
  readonly round: number;
  /** Digest of the shared tensors and the round, 64 hex characters; null without state. */
  readonly stateDigest: string | null;
}
