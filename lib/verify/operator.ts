/** Runs a single operator of a graph on given inputs: what a referee does. */
import { GradmeshError } from "../base/errors.js";
import type { GraphDescription } from "../tensor/description.js";
import { Graph } from "../tensor/graph.js";
import type { Values } from "./trace.js";

/** The operator alone as a graph; each of its tensors is a binding of its own, named by its id. */
function alone({ tensors, nodes }: GraphDescription, index: number): GraphDescription {
  const node = nodes[index];
  if (node === undefined)
    throw new GradmeshError("ERR_INVALID_ARGUMENT", `operator: there is no node ${index}`);
  const ids = [...new Set([...node.inputs, ...node.outputs])];
  const place = (id: number) => ids.indexOf(id);
  const own = ids.map((id) => tensors[id]!);
  return {
    bindings: own.map(({ id, elements, kind }, at) => ({ index: at, name: String(id), elements, kind })),
    tensors: own.map((tensor, at) => ({ ...tensor, id: at, binding: at, offset: 0 })),
    nodes: [{ ...node, inputs: node.inputs.map(place), outputs: node.outputs.map(place) }],
  };
}

/**
 * @param reads the values of what node `index` reads, by tensor id: its inputs, and the outputs that it updates in place. They
 * are not changed.
 * @returns the values of its outputs, in order.
 * @throws ERR_INVALID_ARGUMENT for values that are absent or do not fit, or that the operator refuses, such as a token that
 * there is not.
 */
export async function runOperator(
  graph: GraphDescription,
  index: number,
  reads: ReadonlyMap<number, Values>,
): Promise<Values[]> {
  const description = alone(graph, index);
  const { outputs } = graph.nodes[index]!;
  const buffers: Record<string, Values> = {};
  for (const { name, elements } of description.bindings) {
    const given = reads.get(Number(name));
    if (given !== undefined) buffers[name] = given.slice();
    else if (outputs.includes(Number(name))) buffers[name] = new Float32Array(elements);
  }
  const single = new Graph(description, 1);
  try {
    await single.run(buffers);
    return outputs.map((id) => buffers[id]!);
  } finally {
    single.close();
  }
}
