/** Two networks for images of handwritten digits as operator graphs: a multilayer perceptron and a small convolutional one. */
import type { GraphBuilder } from "../tensor/builder.js";
import type { GraphTensor } from "../tensor/description.js";
import { copy } from "../tensor/elements.js";
import { TensorLayout } from "../tensor/layout.js";
import { crossEntropy, gelu, matmul } from "../tensor/operators.js";
import { im2col, type Window } from "../tensor/windows.js";
import { CLASSES, PIXELS, SIDE } from "./digits-data.js";
import type { Forward, Model, Parameter } from "./model.js";

/** Halves height and width. */
const WINDOW: Window = { kernel: 3, stride: 2, padding: 1 };
const halved = (side: number) => Math.floor((side + 2 * WINDOW.padding - WINDOW.kernel) / WINDOW.stride) + 1;

function layer(name: string, inputs: number, outputs: number) {
  return [
    { name: `${name}.weight`, shape: [inputs, outputs] },
    { name: `${name}.bias`, shape: [outputs] },
  ];
}

function linear(graph: GraphBuilder, x: GraphTensor, name: string, of: Parameter): GraphTensor {
  return matmul(graph, x, of(`${name}.weight`), of(`${name}.bias`));
}

function boundImages(graph: GraphBuilder, batch: number, shape: readonly number[]): GraphTensor {
  return graph.view(graph.binding("images", batch * PIXELS), [batch, ...shape]);
}

function classified(graph: GraphBuilder, logits: GraphTensor): Forward {
  const rows = logits.shape[0]!;
  const labels = graph.view(graph.binding("labels", rows, "i32"), [rows]);
  return { losses: crossEntropy(graph, logits, labels), logits };
}

/** Dense layers of these widths with GELU between. Binds images f32 [batch * PIXELS] and labels i32 [batch]. */
export function mlpModel(hidden: readonly number[]): Model {
  const inputs = [PIXELS, ...hidden];
  const layout = new TensorLayout([
    ...hidden.flatMap((width, index) => layer(`layer${index}`, inputs[index]!, width)),
    ...layer("head", inputs.at(-1)!, CLASSES),
  ]);
  return {
    layout,
    classes: CLASSES,
    forward(graph, of, batch) {
      let x = boundImages(graph, batch, [PIXELS]);
      for (const index of hidden.keys()) {
        graph.scope = `layer${index}.`;
        x = gelu(graph, linear(graph, x, `layer${index}`, of));
      }
      graph.scope = "head.";
      return classified(graph, linear(graph, x, "head", of));
    },
  };
}

/** The same values in another shape. */
function reshape(graph: GraphBuilder, x: GraphTensor, shape: readonly number[]): GraphTensor {
  return copy(graph, x, graph.arena("reshape", shape));
}

/**
 * Convolutions of 3 x 3 with stride 2 and so many channels, GELU after each, then a dense layer. Binds images f32
 * [batch * PIXELS] and labels i32 [batch].
 */
export function cnnModel(channels: readonly number[]): Model {
  const inputs = [1, ...channels];
  const sides = [SIDE];
  for (const index of channels.keys()) sides.push(halved(sides[index]!));
  const last = sides.at(-1)! ** 2 * inputs.at(-1)!;
  const area = WINDOW.kernel ** 2;
  const layout = new TensorLayout([
    ...channels.flatMap((count, index) => layer(`convolution${index}`, area * inputs[index]!, count)),
    ...layer("head", last, CLASSES),
  ]);
  return {
    layout,
    classes: CLASSES,
    forward(graph, of, batch) {
      let x = boundImages(graph, batch, [SIDE, SIDE, 1]);
      for (const [index, count] of channels.entries()) {
        graph.scope = `convolution${index}.`;
        const columns = im2col(graph, x, WINDOW);
        const side = sides[index + 1]!;
        const filtered = gelu(graph, linear(graph, columns, `convolution${index}`, of));
        const next = index + 1 < channels.length ? [batch, side, side, count] : [batch, last];
        x = reshape(graph, filtered, next);
      }
      graph.scope = "head.";
      return classified(graph, linear(graph, x, "head", of));
    },
  };
}
