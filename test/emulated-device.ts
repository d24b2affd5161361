/** Makes this process, and those it starts, take the emulated device for a GPU. Import it before anything runs there. */
import { fileURLToPath } from "node:url";

/** The plugin that the native build makes of the kernels' sources for tests. */
export const emulatedPlugin = fileURLToPath(
  new URL("../../build/cuda/host/gradmesh_cuda_emulated.so", import.meta.url),
);

process.env.GRADMESH_CUDA_PLUGIN = emulatedPlugin;
