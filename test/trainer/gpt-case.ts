/** Random parameters, tokens and buffers for the graph of a step of the GPT, drawn from a printed seed. */
import { native } from "../../lib/native/load.js";
import type { TensorLayout } from "../../lib/tensor/layout.js";
import { type GptShape, gptLayout } from "../../lib/trainer/gpt-model.js";

/** The buffers that stepGraph() binds. */
export interface GptCase {
  readonly layout: TensorLayout;
  readonly buffers: {
    readonly parameters: Float32Array;
    readonly gradients: Float32Array;
    readonly first: Float32Array;
    readonly second: Float32Array;
    readonly decay: Float32Array;
    readonly tokens: Int32Array;
    readonly targets: Int32Array;
    readonly schedule: Float32Array;
    readonly loss: Float32Array;
    readonly clip: Float32Array;
  };
}

/** Every parameter is random, biases too, with gains near 1, so that no gradient is zero by accident. */
export async function gptCase(shape: GptShape, seed: number): Promise<GptCase> {
  const layout = gptLayout(shape);
  const bucket = () => new Float32Array(layout.elements);
  const [parameters, decay] = [bucket(), bucket()];
  await native.randomNormal(seed, 0, 0, 0.3, parameters);
  for (const { name, shape: extents } of layout.slots) {
    const view = layout.view(parameters, name);
    if (name.endsWith(".gain")) view.set(view.map((value) => 1 + value));
    if (extents.length === 2) layout.view(decay, name).fill(1);
  }
  const rows = shape.batch * shape.context;
  const drawTokens = async (stream: number) => {
    const uniform = new Float32Array(rows);
    await native.randomUniform(seed, stream, 0, uniform);
    return Int32Array.from(uniform, (u) => Math.floor(u * shape.vocabulary));
  };
  return {
    layout,
    buffers: {
      parameters,
      gradients: bucket(),
      first: bucket(),
      second: bucket(),
      decay,
      tokens: await drawTokens(1),
      targets: await drawTokens(2),
      schedule: new Float32Array([0, 1]),
      loss: new Float32Array(1),
      clip: new Float32Array(2),
    },
  };
}

/** The Euclidean distance of two vectors over the length of the second. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let [difference, length] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    difference += (actual[i]! - expected[i]!) ** 2;
    length += expected[i]! ** 2;
  }
  return Math.sqrt(difference / length);
}
