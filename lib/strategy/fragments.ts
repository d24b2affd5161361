/** Which elements of a bucket each fragment of a recipe holds, as ranges; pure, so that cost and exchange agree. */
import { GradmeshError } from "../base/errors.js";
import type { Range } from "../reduce/tensor.js";
import type { TensorLayout, TensorSlot } from "../tensor/layout.js";
import type { Fragments } from "./recipe.js";

/** How many fragments take turns; of `random` one, drawn anew each time. */
export function fragmentCount(fragments: Fragments): number {
  return fragments.kind === "layers" || fragments.kind === "partition" ? fragments.count : 1;
}

/** "block3" of "block3.qkv.weight"; "layers.3" of "layers.3.weight"; a name without a dot is a layer of its own. */
function layerOf(name: string): string {
  const [first = "", second = ""] = name.split(".");
  return /^\d+$/.test(second) ? `${first}.${second}` : first;
}

/** Neighbouring tensors of one layer, in bucket order. */
function layersOf(layout: TensorLayout): TensorSlot[][] {
  const layers: TensorSlot[][] = [];
  for (const slot of layout.slots) {
    const last = layers.at(-1);
    if (last !== undefined && layerOf(last[0]!.name) === layerOf(slot.name)) last.push(slot);
    else layers.push([slot]);
  }
  return layers;
}

/** Ascending ranges, those that touch made one. */
function joined(ranges: readonly Range[]): Range[] {
  const result: Range[] = [];
  for (const { begin, elements } of ranges) {
    const last = result.at(-1);
    if (last !== undefined && last.begin + last.elements === begin)
      result.splice(-1, 1, { begin: last.begin, elements: last.elements + elements });
    else result.push({ begin, elements });
  }
  return result;
}

/** Layer l goes to fragment l mod count, so that each holds early and late layers (arXiv 2501.18512, strided). */
function stridedLayers(layout: TensorLayout, count: number): Range[][] {
  const layers = layersOf(layout);
  if (layers.length < count)
    throw new GradmeshError(
      "ERR_CONFIG",
      `strategy.fragments is ${count}, but the model has ${layers.length} layers; allowed: at most ${layers.length}`,
    );
  return Array.from({ length: count }, (_, fragment) =>
    joined(
      layers
        .filter((_, layer) => layer % count === fragment)
        .flat()
        .map(({ offset, elements }) => ({ begin: offset, elements })),
    ),
  );
}

function evenParts(elements: number, count: number): Range[][] {
  if (elements < count)
    throw new GradmeshError(
      "ERR_CONFIG",
      `a partition into ${count} parts needs as many elements, but the model has ${elements}`,
    );
  const edge = (part: number) => Math.floor((elements * part) / count);
  return Array.from({ length: count }, (_, part) => [
    { begin: edge(part), elements: edge(part + 1) - edge(part) },
  ]);
}

/**
 * The ranges of each fragment, ascending and disjoint; together they are the whole bucket. Of `random` it is the bucket
 * from which the elements are drawn.
 * @throws ERR_CONFIG where there are fewer layers or elements than fragments.
 */
export function fragmentRanges(fragments: Fragments, layout: TensorLayout): Range[][] {
  if (fragments.kind === "layers") return stridedLayers(layout, fragments.count);
  if (fragments.kind === "partition") return evenParts(layout.elements, fragments.count);
  return [[{ begin: 0, elements: layout.elements }]];
}

/** How many elements `random` draws of a bucket: the share rounded, at least one. */
export function randomCount(share: number, elements: number): number {
  return Math.min(elements, Math.max(1, Math.round(share * elements)));
}

/** Elements that one exchange of this fragment carries. @throws as fragmentRanges(). */
export function fragmentElements(fragments: Fragments, layout: TensorLayout, fragment: number): number {
  if (fragments.kind === "random") return randomCount(fragments.share, layout.elements);
  return fragmentRanges(fragments, layout)[fragment]!.reduce((sum, { elements }) => sum + elements, 0);
}
