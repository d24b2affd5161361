/** What the codec bench measured, as data and as Markdown tables. */

/** What a codec is; `bits` are of the wire, an element. */
export interface Description {
  readonly codec: string;
  readonly bits: number;
  readonly block: number;
  readonly linear: boolean;
  readonly unbiased: boolean;
  readonly contractive: boolean;
  readonly exactSum: boolean;
}

/** One operation on one backend; seconds are medians. */
export interface Time {
  readonly backend: string;
  readonly operation: string;
  /** The bytes of float32 elements that were asked for, and those of whole blocks that were coded. */
  readonly size: number;
  readonly bytes: number;
  /** Bytes read and written. */
  readonly moved: number;
  readonly seconds: number;
  /** Of memcpy of the bytes that the operation reads and writes, taken in turns with it. */
  readonly memcpySeconds: number;
  /** memcpySeconds / seconds, the median over turns. */
  readonly ratio: number;
  readonly turns: number;
  readonly digest: string;
}

/** What users would otherwise pick, measured in the same way. */
export interface PeerTime extends Omit<Time, "backend" | "digest"> {
  readonly peer: string;
}

export interface CodecResult extends Description {
  readonly times: readonly Time[];
}

/** The content of bench/results/codec.json; bindings/codec-docs.mjs reads it. */
export interface Report {
  readonly machine: string;
  readonly date: string;
  readonly cases: readonly CodecResult[];
  readonly peers: readonly PeerTime[];
}

/** Below this a buffer may lie in a cache. */
const MEMORY_BYTES_LEAST = 64 * 2 ** 20;
const MEMCPY_GOAL = 0.8;
const GIGABYTES_GOAL = 1;
/** Codecs that sort or transform: their goal is a speed, not a share of memcpy's. */
const transforms = ["topk", "dct_topk", "eden"];
/** No goal is set for its matrix products. */
const goalless = ["lowrank"];

const rowName = (codec: string) => codec.split(":")[0]!;
/** GB/s of float32 elements in or out. */
const speed = ({ bytes, seconds }: Pick<Time, "bytes" | "seconds">) => bytes / seconds / 1e9;
export const sizeName = (bytes: number) =>
  bytes % 2 ** 20 === 0 ? `${bytes / 2 ** 20} MiB` : `${Math.round(bytes / 2 ** 10)} KiB`;

/** Whether a measured time misses the goal of its codec; only AVX-512 on memory-resident buffers has one. */
export function isUnderGoal(codec: string, time: Time): boolean {
  if (time.backend !== "avx512" || time.size < MEMORY_BYTES_LEAST) return false;
  if (goalless.includes(rowName(codec))) return false;
  if (transforms.includes(rowName(codec))) return speed(time) < GIGABYTES_GOAL;
  return time.ratio < MEMCPY_GOAL;
}

/** A table with its columns padded, so that it reads as text too. */
export function markdownTable(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = heads.map((head, at) => Math.max(head.length, 3, ...rows.map((row) => row[at]!.length)));
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, at) => cell.padEnd(widths[at]!)).join(" | ")} |`;
  return [line(heads), line(widths.map((width) => "-".repeat(width))), ...rows.map(line)].join("\n");
}

const digits = (value: number) => (value >= 100 ? value.toFixed(0) : value.toPrecision(3));

/** The table of one size: a row a codec and backend, a cell an operation as "GB/s (share of memcpy)". */
function speedTable(cases: readonly CodecResult[], size: number): string {
  const operations = [...new Set(cases.flatMap(({ times }) => times.map(({ operation }) => operation)))];
  const backends = [...new Set(cases.flatMap(({ times }) => times.map(({ backend }) => backend)))];
  const rows = cases.flatMap(({ codec, bits, times }) =>
    backends.map((backend) => {
      const own = times.filter((time) => time.backend === backend && time.size === size);
      const cells = operations.map((name) => {
        const time = own.find(({ operation }) => operation === name);
        if (time === undefined) return "-";
        return `${digits(speed(time))} (${time.ratio.toFixed(2)})${isUnderGoal(codec, time) ? " !" : ""}`;
      });
      return [
        codec,
        String(Number(bits.toPrecision(5))),
        backend,
        ...cells,
        own[0]?.digest.slice(0, 8) ?? "",
      ];
    }),
  );
  return markdownTable(["codec", "bits", "backend", ...operations, "digest"], rows);
}

/** The codec of ours that does the same work, by how a peer's name begins. */
const counterparts: Readonly<Record<string, string>> = {
  "torch.quantize_per_channel int8": "int8_block",
  "torch.quantize_per_tensor int8": "int8_block",
  "torch bfloat16": "bf16",
  "torch half": "fp16",
  "torch.topk 64 of 4096": "topk",
  zfp: "int8_block",
};

function counterpart({ peer }: PeerTime): string | undefined {
  return Object.entries(counterparts).find(([name]) => peer.startsWith(name))?.[1];
}

/** PyTorch's figures hold what a call from Python costs, about a microsecond. */
function peerTable(report: Report): string {
  const rows = report.peers.map((peer) => {
    const { operation, size } = peer;
    const ours = report.cases.find(({ codec }) => codec === counterpart(peer));
    const own = ours?.times.filter((time) => time.operation === operation && time.size === size).at(-1);
    const first = [
      peer.peer,
      operation,
      sizeName(size),
      `${digits(speed(peer))} (${peer.ratio.toPrecision(2)})`,
    ];
    if (ours === undefined || own === undefined) return [...first, "not measured", "-"];
    const found = `${ours.codec} ${own.backend}: ${digits(speed(own))} (${own.ratio.toFixed(2)})`;
    return [...first, found, digits(speed(own) / speed(peer))];
  });
  return markdownTable(["peer", "operation", "size", "GB/s (of memcpy)", "ours", "times as fast"], rows);
}

export function markdownReport(report: Report, missing: readonly string[]): string {
  const { cases } = report;
  const sizes = [...new Set(cases.flatMap(({ times }) => times.map(({ size }) => size)))];
  const parts = [
    `${report.machine}, ${report.date}; one thread. GB/s of float32 in (encode) or out (the others), and in parentheses the\nshare of memcpy's speed at the bytes that the call reads and writes, taken in turns; medians. "!" misses the goal of\nAVX-512 on memory-resident buffers: ${MEMCPY_GOAL} of memcpy, or ${GIGABYTES_GOAL} GB/s of ${transforms.join(", ")}.`,
    ...sizes.map((size) => `## ${sizeName(size)}\n\n${speedTable(cases, size)}`),
  ];
  const peers = report.peers.length > 0 ? [peerTable(report)] : [];
  parts.push(["## Beside what users would otherwise pick", ...missing, ...peers].join("\n\n"));
  return `${parts.join("\n\n")}\n`;
}
