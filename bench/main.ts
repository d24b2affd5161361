/** npm run bench [-- <name> [options]]: no name runs the canonical workload and prints two numbers. */
import { asGradmeshError, GradmeshError } from "../lib/base/errors.js";

type Bench = (args: string[]) => Promise<void>;

/** Every benchmark by name; each prints what it measured, on what, and a digest of its result. */
const benches: Record<string, { run: () => Promise<Bench>; doc: string }> = {
  canonical: {
    run: async () => (await import("./canonical.js")).run,
    doc: "the demo's swarm without a kill: bytes and seconds per inner step",
  },
  step: {
    run: async () => (await import("./step.js")).run,
    doc: "one training step on one thread, beside PyTorch in the same run; --strategies: bytes and seconds by strategy and link",
  },
  codec: {
    run: async () => (await import("./codec.js")).run,
    doc: "codecs by backend and size beside memcpy, PyTorch and zfp; --error: their squared error on a model's tensors",
  },
  collective: {
    run: async () => (await import("./collective.js")).run,
    doc: "all-reduce by size, ranks, link and codec, one process a rank, beside gloo and Open MPI; --kill: a peer dies",
  },
  convergence: {
    run: async () => (await import("./convergence.js")).run,
    doc: "every strategy at equal tokens on the GPT: final loss beside bytes, a table, a plot and experiments",
  },
  ledger: {
    run: async () => (await import("./ledger.js")).run,
    doc: "appends a second from signed events to disk, and records a second of a whole audit",
  },
  digest: {
    run: async () => (await import("./digest.js")).run,
    doc: "the digest of state by size, backend and threads beside SHA-256, and its share of a training step",
  },
  mixing: {
    run: async () => (await import("./mixing.js")).run,
    doc: "rounds of gossip until ranks agree, by mixing graph, beside published figures",
  },
  reduce: {
    run: async () => (await import("./reduce.js")).run,
    doc: "all-reduce over loopback in this process: median and p99 by size, ranks, collective and codec",
  },
  robust: {
    run: async () => (await import("./robust.js")).run,
    doc: "robust aggregation of what 16 peers sent, one thread: time by rule beside that of the mean",
  },
  scale: {
    run: async () => (await import("./scale.js")).run,
    doc: "simulated seconds a sync for 8 to 1024 peers by algorithm, as a plot; --measured: the simulation's error",
  },
};

/** A misspelt option is the caller's, and not a fault of the benchmark. */
function errorOf(error: unknown): GradmeshError {
  const isOption = error instanceof TypeError && `${Reflect.get(error, "code")}`.startsWith("ERR_PARSE_ARGS");
  return isOption
    ? new GradmeshError("ERR_CONFIG", `${error.message}; "bench ${name} --help" lists what there is`)
    : asGradmeshError(error);
}

const [name = "canonical", ...args] = process.argv.slice(2);
try {
  const bench = Object.hasOwn(benches, name) ? benches[name] : undefined;
  if (bench === undefined)
    throw new GradmeshError(
      "ERR_CONFIG",
      `there is no benchmark "${name}"; allowed:\n${Object.entries(benches)
        .map(([known, { doc }]) => `  ${known}: ${doc}`)
        .join("\n")}`,
    );
  await (await bench.run())(args);
} catch (error) {
  const { code, message } = errorOf(error);
  process.stderr.write(`error ${code}: ${message}\n`);
  process.exitCode = 1;
}
