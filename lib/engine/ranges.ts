/** Parts of a bucket as graphs see them: one node for each contiguous range, packed tensors beside the whole bucket. */
import { GraphBuilder } from "../tensor/builder.js";
import type { GraphBinding, GraphTensor } from "../tensor/description.js";
import type { Graph } from "../tensor/graph.js";

/** Elements of a bucket, counted from its start. */
export interface BucketRange {
  readonly begin: number;
  readonly elements: number;
}

export const lengthOf = (ranges: readonly BucketRange[]) =>
  ranges.reduce((sum, { elements }) => sum + elements, 0);

/** Views of one range: of a whole bucket by `bucket`, of a packed tensor that holds the ranges one after another by `packed`. */
export interface RangeViews {
  readonly elements: number;
  bucket(name: string): GraphTensor;
  packed(name: string): GraphTensor;
  /** A small tensor of scalars, the same for each range. */
  scalars(name: string, extent: number): GraphTensor;
}

/** A graph whose nodes `write` appends, once for each range. @param elements of the bucket. */
export function rangeGraph(
  elements: number,
  ranges: readonly BucketRange[],
  threads: number,
  write: (graph: GraphBuilder, views: RangeViews) => void,
): Graph {
  const graph = new GraphBuilder();
  const bindings = new Map<string, GraphBinding>();
  const bound = (name: string, size: number) => {
    const known = bindings.get(name) ?? graph.binding(name, size);
    bindings.set(name, known);
    return known;
  };
  const packedElements = lengthOf(ranges);
  let at = 0;
  for (const { begin, elements: count } of ranges) {
    const place = at;
    write(graph, {
      elements: count,
      bucket: (name) => graph.view(bound(name, elements), [count], begin),
      packed: (name) => graph.view(bound(name, packedElements), [count], place),
      scalars: (name, extent) => graph.view(bound(name, extent), [extent]),
    });
    at += count;
  }
  return graph.build(threads);
}
