/** gradmesh doctor: what this machine can do, and whether its bits are everyone's bits. */
import { readFile } from "node:fs/promises";
import { createServer } from "node:net";
import { Command } from "commander";
import { asGradmeshError, GradmeshError } from "../../base/errors.js";
import { native } from "../../native/load.js";
import { wholeNumber } from "../options.js";

interface Capabilities {
  cpu: { model: string; features: string[] };
  backends: string[];
  backend: string;
  threads: number;
  gpu: { available: boolean; reason?: string; devices?: string[] };
}

interface Golden {
  cases: { codec?: string; op?: string; state?: string; elements: number; seed: number; digest: string }[];
}

type Kind = "codec" | "op" | "state";

export interface Check {
  name: string;
  ok: boolean;
  text: string;
}

const vectorsUrl = new URL("../../../../test/vectors/", import.meta.url);

/** What the environment asks for. */
const wantedBackend = () => process.env.GRADMESH_FORCE_BACKEND ?? "auto";

/** The backend that this machine's runs would use. */
function checkBackend(found: Capabilities): Check {
  const name = "backend";
  try {
    native.backendForce(wantedBackend());
  } catch (error) {
    return { name, ok: false, text: `GRADMESH_FORCE_BACKEND: ${asGradmeshError(error).message}` };
  }
  const { backend } = JSON.parse(native.capabilities()) as Capabilities;
  return { name, ok: true, text: `${backend} (of ${found.backends.join(", ")})` };
}

/** Replays the golden vectors of one kind; the digests must be those of the file. */
async function replay(kind: Kind, where: string, device: string): Promise<Check> {
  const golden = JSON.parse(await readFile(new URL(`${kind}.json`, vectorsUrl), "utf8")) as Golden;
  const wrong: string[] = [];
  for (const { codec, op, state, elements, seed, digest } of golden.cases) {
    const name = codec ?? op ?? state ?? "";
    if ((await native.goldenRun(kind, name, elements, seed, device)) !== digest)
      wrong.push(`${name}[${elements}]`);
  }
  const all = golden.cases.length;
  const text = wrong.length === 0 ? `${all} of ${all} equal` : `different: ${wrong.join(", ")}`;
  return { name: `golden ${kind} vectors, ${where}`, ok: wrong.length === 0, text };
}

/** On every backend this CPU has, and on every GPU. */
async function replayEverywhere(kind: Kind, { backends, gpu }: Capabilities): Promise<Check[]> {
  const checks: Check[] = [];
  for (const backend of backends) {
    native.backendForce(backend);
    checks.push(await replay(kind, backend, "cpu"));
  }
  native.backendForce(wantedBackend());
  for (const index of (gpu.devices ?? []).keys())
    checks.push(await replay(kind, `cuda:${index}`, `cuda:${index}`));
  return checks;
}

/** Whether a port can be listened on; 0 asks for any. */
function checkPort(name: string, host: string, port: number): Promise<Check> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", (error: NodeJS.ErrnoException) =>
      resolve({
        name,
        ok: false,
        text: `${host}:${port} cannot be listened on (${error.code}); choose another port, or end what holds it`,
      }),
    );
    server.listen(port, host, () => {
      const address = server.address();
      const found = typeof address === "object" && address !== null ? address.port : port;
      server.close(() => resolve({ name, ok: true, text: `${host}:${found} is free` }));
    });
  });
}

function checkEncryption(): Check {
  const name = "bulk encryption";
  try {
    native.endpointClose(native.endpointCreate("127.0.0.1", 0, 1000, true, ""));
    return { name, ok: true, text: "AES-256-GCM" };
  } catch (error) {
    return { name, ok: false, text: asGradmeshError(error).message };
  }
}

/** Every check, in the order of the report. */
export async function doctorChecks(host: string, controlPort: number, bulkPort: number): Promise<Check[]> {
  const found = JSON.parse(native.capabilities()) as Capabilities;
  const { cpu, gpu } = found;
  const backend = checkBackend(found);
  if (!backend.ok) return [backend];
  return [
    { name: "gradmesh", ok: true, text: `${native.version()} on Node ${process.versions.node}` },
    { name: "CPU", ok: true, text: `${cpu.model}, ${found.threads} threads: ${cpu.features.join(" ")}` },
    backend,
    // A CPU-only peer is a full peer, so no GPU is a fact and not a fault.
    { name: "GPU", ok: true, text: gpu.available ? (gpu.devices ?? []).join(", ") : `none: ${gpu.reason}` },
    checkEncryption(),
    ...(await replayEverywhere("codec", found)),
    ...(await replayEverywhere("op", found)),
    ...(await replayEverywhere("state", found)),
    await checkPort("control port", host, controlPort),
    await checkPort("bulk port", host, bulkPort),
  ];
}

export function doctorCommand(): Command {
  return new Command("doctor")
    .description(
      "Checks this machine: CPU and backend, GPU, encryption, golden vectors on every backend, ports.",
    )
    .option("--host <address>", "the address to listen on", "127.0.0.1")
    .option("--control-port <n>", "libp2p port to try (0: any)", wholeNumber(0, 65535), 0)
    .option("--bulk-port <n>", "bulk port to try (0: any)", wholeNumber(0, 65535), 0)
    .option("--json", "the checks as JSON")
    .action(async (flags: { host: string; controlPort: number; bulkPort: number; json?: boolean }) => {
      const checks = await doctorChecks(flags.host, flags.controlPort, flags.bulkPort);
      if (flags.json) process.stdout.write(`${JSON.stringify(checks, null, 2)}\n`);
      else {
        const width = Math.max(...checks.map((check) => check.name.length));
        for (const { name, ok, text } of checks)
          process.stdout.write(`${ok ? "ok  " : "FAIL"}  ${name.padEnd(width)}  ${text}\n`);
      }
      const failed = checks.filter((check) => !check.ok);
      if (failed.length > 0)
        throw new GradmeshError(
          "ERR_UNSUPPORTED",
          `${failed.map((check) => check.name).join(", ")}: see above; a machine whose golden vectors differ may not join a verified run`,
        );
    });
}
