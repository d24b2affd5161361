/** Where graphs may run, checked before anything depends on it. */
import { asGradmeshError, GradmeshError } from "../base/errors.js";
import { GraphBuilder } from "./builder.js";
import { copy } from "./operators.js";

/**
 * Builds the smallest graph there and frees it.
 * @param device "cpu", "cuda" (the first GPU) or "cuda:<index>".
 * @throws ERR_INVALID_ARGUMENT for a device that is none of these; ERR_UNSUPPORTED where there is no such GPU, with the
 * reason.
 */
export function checkDevice(device: string): void {
  const graph = new GraphBuilder();
  const tensor = (name: string) => graph.view(graph.binding(name, 1), [1]);
  copy(graph, tensor("source"), tensor("target"));
  try {
    graph.build(1, device).close();
  } catch (cause) {
    const { code, message } = asGradmeshError(cause);
    if (code !== "ERR_UNSUPPORTED") throw cause;
    throw new GradmeshError(
      code,
      `device "${device}" cannot be used: ${message}; without it ("cpu") the CPU trains, with the same bits`,
      { cause },
    );
  }
}
