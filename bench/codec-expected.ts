/** Which codecs `bench codec --error` measures, and the earlier figures that it prints beside. */

/** Earlier figures: measured once on a model of the same shape, on another text. */
export interface Expected {
  /** Where that codec was not quite ours, how it differed. */
  readonly note?: string;
  readonly bits: string;
  readonly pseudo: number;
  readonly raw?: number;
  readonly gaussian?: number;
}

/** What is coded: the whole tensor with one specification, or each matrix with one of its own. */
export interface ErrorRow {
  readonly name: string;
  readonly spec: string | ((rows: number, columns: number) => string);
  readonly expected?: Expected;
}

export const errorRows: readonly ErrorRow[] = [
  ...(
    [
      ["int8_block:block=128,scale=fp32", { bits: "8.125", pseudo: 4.6e-5, raw: 8.7e-5, gaussian: 4.2e-5 }],
      [
        "mxfp8_e4m3",
        { note: "earlier: a float scale a 128 elements", bits: "8.125", pseudo: 6.6e-4, raw: 5.8e-4 },
      ],
      ["int4_block:block=32,scale=fp32", { bits: "4.5", pseudo: 9.6e-3, raw: 1.3e-2 }],
      ["int4_block:scale=fp32", { bits: "4.125", pseudo: 1.5e-2, raw: 2.6e-2 }],
      ["int4_block:block=32,scale=fp32,rounding=stochastic", { bits: "4.5", pseudo: 1.9e-2, raw: 2.6e-2 }],
      ["nf4", { bits: "4.25", pseudo: 8.6e-3, raw: 9.9e-3 }],
      ["mxfp4", { note: "earlier: a float16 scale", bits: "4.25-4.5", pseudo: 1.0e-2, raw: 1.0e-2 }],
      ["e3m0:block=128", { note: "earlier: another scale", bits: "4.125", pseudo: 3.7e-2, raw: 2.05e-1 }],
      ["eden:bits=4", { bits: "4", pseudo: 9.6e-3, raw: 9.6e-3, gaussian: 9.6e-3 }],
      ["eden:bits=3", { bits: "3", pseudo: 3.6e-2, raw: 3.6e-2, gaussian: 3.6e-2 }],
      ["eden:bits=2", { bits: "2", pseudo: 1.33e-1, raw: 1.33e-1, gaussian: 1.33e-1 }],
      ["eden:bits=1", { bits: "1", pseudo: 5.7e-1, raw: 5.7e-1, gaussian: 5.7e-1 }],
      ["eden:bits=1,scale=least", { bits: "1", pseudo: 3.6e-1, raw: 3.6e-1, gaussian: 3.6e-1 }],
      ["int2_block:scale=fp32", { note: "earlier: ternary", bits: "2.25", pseudo: 5.2e-1 }],
      ["sign1", { note: "earlier: a scale a tensor", bits: "1", pseudo: 3.9e-1, raw: 6.3e-1 }],
      ["topk:k=256", { bits: "2.75", pseudo: 0.64, raw: 0.356 }],
      ["topk", { bits: "0.69", pseudo: 0.858, raw: 0.602 }],
      ["topk:k=8", { bits: "-", pseudo: 0.971, raw: 0.847 }],
    ] as const
  ).map(([spec, expected]) => ({ name: spec, spec, expected })),
  ...(
    [
      [64, { bits: "0.69", pseudo: 0.85, raw: 0.827 }],
      [8, { bits: "-", pseudo: 0.965, raw: 0.954 }],
    ] as const
  ).map(([k, expected]) => ({
    name: `dct_topk, ${k} of 4096 coefficients, each matrix`,
    spec: (rows: number, columns: number) => {
      const kept = Math.max(Math.round((k * tileSide(rows) * tileSide(columns)) / 4096), 1);
      return `dct_topk:rows=${rows},columns=${columns},k=${kept}`;
    },
    expected,
  })),
  ...(
    [
      [4, { pseudo: 0.585, raw: 0.227 }],
      [1, { pseudo: 0.851, raw: 0.527 }],
    ] as const
  ).map(([rank, expected]) => ({
    name: `lowrank, rank ${rank}, each matrix`,
    spec: (rows: number, columns: number) => `lowrank:rows=${rows},columns=${columns},rank=${rank}`,
    expected: { ...expected, bits: "-", note: "one power iteration; earlier: the SVD, which is the least" },
  })),
];

/** The side of dct_topk's tiles: the largest divisor that is at most 64. */
function tileSide(length: number): number {
  let side = Math.min(length, 64);
  while (length % side !== 0) side--;
  return side;
}

/** The codecs of the second table. */
export const reducedSpecs = [
  "int4_block:scale=fp32",
  "int4_block",
  "int4_block:rounding=stochastic",
  "int8_block:block=128,scale=fp32",
  "int8_block:block=128",
] as const;

/** Earlier figures at 4, 8, 16 and 64 ranks: per hop with the closest scale, once with a power of two. */
export const reducedExpected: Readonly<Record<string, readonly (number | undefined)[]>> = {
  "int4_block:scale=fp32 hops": [2.8e-2, 4.6e-2, 8.0e-2, 1.28e-1],
  "int4_block once": [1.1e-2, 6.7e-3, 4.1e-3, 1.7e-3],
  "int8_block:block=128,scale=fp32 hops": [8.4e-5, undefined, undefined, 9.3e-4],
  "int8_block:block=128 once": [3.4e-5, undefined, undefined, 5.0e-6],
};
