/** Convolutions as matrix products: the windows of images in NHWC as the rows of a matrix, and back. */
import { GradmeshError } from "../base/errors.js";
import type { OpName } from "../native/abi.gen.js";
import type { GraphBuilder } from "./builder.js";
import type { GraphTensor } from "./description.js";
import { expectShape } from "./operator-checks.js";

/** A square window of kernel x kernel pixels, every `stride` pixels, over images with so many of padding (+0) around. */
export interface Window {
  readonly kernel: number;
  readonly stride: number;
  /** Below kernel. */
  readonly padding: number;
}

/** Of images [B,H,W,C]: [B * OH * OW, K * K * C] with OH = floor((H + 2 padding - kernel) / stride) + 1, OW likewise. */
function columnsShape(
  op: OpName,
  images: GraphTensor,
  { kernel, stride, padding }: Window,
): [number, number] {
  expectShape(op, "images", images, [-1, -1, -1, -1]);
  const [batch, height, width, channels] = images.shape as [number, number, number, number];
  const places = (extent: number) => Math.floor((extent + 2 * padding - kernel) / stride) + 1;
  const whole = [kernel, stride, padding].every(Number.isSafeInteger);
  if (
    !whole ||
    kernel < 1 ||
    stride < 1 ||
    padding < 0 ||
    padding >= kernel ||
    places(Math.min(height, width)) < 1
  )
    throw new GradmeshError(
      "ERR_INVALID_ARGUMENT",
      `${op}: a window of kernel ${kernel}, stride ${stride} and padding ${padding} does not fit "${images.name}" ` +
        `[${images.shape}]; allowed: whole numbers from 1, a padding from 0 to kernel - 1, a kernel within the padded image`,
    );
  return [batch * places(height) * places(width), kernel * kernel * channels];
}

function integersOf(images: GraphTensor, { kernel, stride, padding }: Window): number[] {
  return [...images.shape, kernel, stride, padding];
}

/**
 * images[B,H,W,C] -> columns[B * OH * OW, K * K * C]: each row is a window's pixels, line by line, so that the columns
 * times a weight [K * K * C, F] are the convolution [B, OH, OW, F], seen as a matrix.
 * @throws ERR_INVALID_ARGUMENT for a window that does not fit.
 */
export function im2col(graph: GraphBuilder, images: GraphTensor, window: Window): GraphTensor {
  const out = graph.arena("im2col", columnsShape("im2col", images, window));
  graph.node("im2col", [images], [out], integersOf(images, window));
  return out;
}

/** im2col's gradient: d_columns -> dImages[B,H,W,C], where each pixel is the sum of its copies by ascending row. */
export function col2im(
  graph: GraphBuilder,
  dColumns: GraphTensor,
  dImages: GraphTensor,
  window: Window,
): void {
  expectShape("col2im", "d_columns", dColumns, columnsShape("col2im", dImages, window));
  graph.node("col2im", [dColumns], [dImages], integersOf(dImages, window));
}
