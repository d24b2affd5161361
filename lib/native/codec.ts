/** Codecs by their specification, as in "int4_block:scale=fp32,rounding=stochastic"; docs/codecs.md lists them. */
import { type CodecName, codecs } from "./abi.gen.js";
import { native } from "./load.js";

/** What a codec with its options is; the words are those of native/codec/options.h. */
export interface Codec {
  /** What native calls take: valid in this process. */
  readonly id: number;
  /** Canonical: the name, then the options that differ from their defaults. */
  readonly spec: string;
  readonly name: CodecName;
  /** 16 hex characters, equal on two machines where the specifications are. */
  readonly fingerprint: string;
  /** Tensors are cut at multiples of it. */
  readonly blockElements: number;
  /** The wire is the float32 elements themselves. */
  readonly identity: boolean;
  /** Wires are float32 words whose sums decode to the sum. */
  readonly linear: boolean;
  /** The mean over its random numbers is the input. */
  readonly unbiased: boolean;
  /** It never makes a tensor's error larger than the tensor: the kind that error feedback accepts. */
  readonly contractive: boolean;
  /** A mean of coded tensors is exact in integers, free of order. */
  readonly exactSum: boolean;
}

/** The rank under which the mean of all ranks is coded. */
export const meanRank = 65_535;

/** In words, for help and errors. */
export const codecsAllowed =
  `a codec: ${Object.keys(codecs).join(", ")}; options follow a colon, ` +
  'as in "name:option=value,option=value" (docs/codecs.md)';

/** @throws ERR_INVALID_ARGUMENT naming the codec or option, its value, and what is allowed. */
export function openCodec(spec: string): Codec {
  return JSON.parse(native.codecDescribe(native.codecOpen(spec))) as Codec;
}

/** Wire bytes by kind: coded elements, indices of those that were kept, and scales. */
export interface CodecParts {
  readonly payload: number;
  readonly scales: number;
  readonly indices: number;
}

/** Of so many elements, coded at once. @throws as openCodec does. */
export function codecParts(spec: string, elements: number): CodecParts {
  return JSON.parse(native.codecParts(openCodec(spec).id, elements)) as CodecParts;
}

/** The codecs that are themselves with default options and hold `property`, for messages. */
export function codecsThat(
  property: "identity" | "linear" | "unbiased" | "contractive" | "exactSum",
): string[] {
  return Object.keys(codecs).filter((name) => openCodec(name)[property]);
}
