/** `bench codec --error`: the squared error of every codec on real tensors, and of sums of coded contributions. */
import { writeFile } from "node:fs/promises";
import { codecCases } from "../lib/native/abi.gen.js";
import { native } from "../lib/native/load.js";
import type { TensorSlot } from "../lib/tensor/layout.js";
import { type ErrorRow, errorRows, reducedExpected, reducedSpecs } from "./codec-expected.js";
import { Coder, normalizedError, onceError, ringError } from "./codec-reduce-error.js";
import { markdownTable } from "./codec-report.js";
import { makeTensors, quick, standard, type Tensors } from "./codec-tensors.js";

interface Measured {
  readonly bits: number;
  readonly error: number;
}

async function measureWhole(spec: string, tensor: Float32Array): Promise<Measured> {
  const coder = new Coder(spec);
  const decoded = await coder.decode(await coder.encode(tensor), tensor.length);
  return { bits: coder.bits(tensor.length), error: normalizedError(tensor, decoded) };
}

/** Only the matrices, each with its own specification. */
async function measureMatrices(
  specOf: (rows: number, columns: number) => string,
  tensor: Float32Array,
  slots: readonly TensorSlot[],
): Promise<Measured> {
  let [bits, elements, error, norm] = [0, 0, 0, 0];
  for (const { shape, offset, elements: count } of slots) {
    if (shape.length !== 2) continue;
    const part = tensor.slice(offset, offset + count);
    const own = await measureWhole(specOf(shape[0]!, shape[1]!), part);
    const square = part.reduce((sum, value) => sum + value * value, 0);
    bits += own.bits * count;
    elements += count;
    norm += square;
    error += own.error * square;
  }
  return { bits: bits / elements, error: error / norm };
}

const figure = (value: number | undefined) => (value === undefined ? "" : value.toExponential(1));

/** "9.7e-3 (9.6e-3)": what was measured, and the earlier figure. */
function cell(measured: number, expected: number | undefined): string {
  return `${figure(measured)}${expected === undefined ? "" : ` (${figure(expected)})`}`;
}

async function errorRow({ name, spec, expected }: ErrorRow, tensors: Tensors): Promise<string[]> {
  const measured: Measured[] = [];
  for (const tensor of [tensors.pseudoGradients[0]!, tensors.gradient, tensors.gaussian])
    measured.push(
      typeof spec === "string"
        ? await measureWhole(spec, tensor)
        : await measureMatrices(spec, tensor, tensors.slots),
    );
  const [pseudo, raw, gaussian] = measured.map(({ error }) => error) as [number, number, number];
  return [
    name,
    `${Number(measured[0]!.bits.toPrecision(4))}${expected === undefined ? "" : ` (${expected.bits})`}`,
    cell(pseudo, expected?.pseudo),
    cell(raw, expected?.raw),
    cell(gaussian, expected?.gaussian),
    expected === undefined ? "no earlier figure" : (expected.note ?? ""),
  ];
}

async function errorTable(tensors: Tensors): Promise<string> {
  const known = errorRows.flatMap(({ spec }) => (typeof spec === "string" ? new Coder(spec).spec : []));
  // lowrank's own cases are of a fixed matrix; the rows above take each matrix of the model.
  const others = codecCases.filter((spec) => !known.includes(spec) && !spec.startsWith("lowrank"));
  const lines: string[][] = [];
  for (const row of [...errorRows, ...others.map((spec) => ({ name: spec, spec }))])
    lines.push(await errorRow(row, tensors));
  return markdownTable(["codec", "bits", "pseudo-gradient", "gradient", "Gaussian", ""], lines);
}

async function reduceTable({ pseudoGradients }: Tensors): Promise<string> {
  const counts = [4, 8, 16, 64].filter((count) => count <= pseudoGradients.length);
  const lines: string[][] = [];
  for (const spec of reducedSpecs) {
    const coder = new Coder(spec);
    const hops = [];
    const once = [];
    for (const count of counts) {
      hops.push(await ringError(coder, pseudoGradients.slice(0, count)));
      once.push(await onceError(coder, pseudoGradients.slice(0, count)));
    }
    const cells = (errors: readonly number[], way: string) =>
      errors.map((error, at) => cell(error, reducedExpected[`${spec} ${way}`]?.[at]));
    const isFree = once.every(({ isOrderFree }) => isOrderFree === true);
    const equal = hops.every(({ areEqual }) => areEqual) ? "yes" : "no";
    lines.push([
      `${spec}, coded again at every hop of a ring`,
      ...cells(
        hops.map(({ error }) => error),
        "hops",
      ),
      equal,
    ]);
    const direct = isFree ? "yes, in any order" : "yes";
    lines.push([
      `${spec}, coded once, ${isFree ? "summed exactly" : "then summed"}`,
      ...cells(
        once.map(({ error }) => error),
        "once",
      ),
      direct,
    ]);
    lines.push([
      `${spec}, and the mean coded once`,
      ...cells(
        once.map(({ meanError }) => meanError),
        "mean",
      ),
      direct,
    ]);
  }
  return markdownTable(
    ["squared error of the sum", ...counts.map((count) => `n = ${count}`), "ranks equal?"],
    lines,
  );
}

/** Fourth moment over squared second: 3 of a Gaussian. */
function kurtosis(tensor: Float32Array): number {
  let [second, fourth] = [0, 0];
  for (const value of tensor) {
    second += value ** 2;
    fourth += value ** 4;
  }
  return (fourth * tensor.length) / second ** 2;
}

function cosine(a: Float32Array, b: Float32Array): number {
  const dot = (x: Float32Array, y: Float32Array) => x.reduce((sum, value, i) => sum + value * y[i]!, 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
}

/** Prints both tables; with `out` writes them to a file too. */
export async function run(values: {
  readonly quick: boolean;
  readonly out?: string | undefined;
}): Promise<void> {
  const protocol = values.quick ? quick : standard;
  const tensors = await makeTensors(protocol);
  const { pseudoGradients, gradient } = tensors;
  const { model, warmupSteps, innerSteps, workers } = protocol;
  const text = [
    `${gradient.length} parameters (${model.layers} layers, width ${model.width}), ${workers} workers on a shard each; pseudo-gradients of\n` +
      `${innerSteps} AdamW steps after ${warmupSteps}. Kurtosis ${kurtosis(pseudoGradients[0]!).toFixed(1)} (earlier 3.8), of the gradient ${kurtosis(gradient).toFixed(0)} (earlier 197); cosine between two\n` +
      `workers' pseudo-gradients ${cosine(pseudoGradients[0]!, pseudoGradients[1]!).toFixed(2)} (earlier 0.55). Digest of the tensors ${(await native.digest([...pseudoGradients, gradient])).slice(0, 16)}.`,
    "## Squared error / squared norm\n\nIn parentheses the earlier figures, of a model of the same shape on another text.",
    await errorTable(tensors),
    "## Where a sum is coded\n\nThe ring codes again at every hop; the last rank of a chunk keeps its own sum. Once: each rank codes\nits own, and the owner of a chunk adds; then it codes the mean, which all ranks decode.",
    await reduceTable(tensors),
  ].join("\n\n");
  process.stdout.write(`${text}\n`);
  if (values.out !== undefined)
    await writeFile(values.out, `# The codecs' error\n\n\`npm run bench -- codec --error\`\n\n${text}\n`);
}
