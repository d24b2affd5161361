/** The doctor: golden vectors on every backend, taken ports, and a forced backend that does not exist. */
import { createServer } from "node:net";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { doctorChecks } from "../../lib/cli/commands/doctor.js";
import { native } from "../../lib/native/load.js";

test("a sound machine passes every check, the golden vectors on each of its backends", async () => {
  const checks = await doctorChecks("127.0.0.1", 0, 0);
  assert.equal(
    checks.filter(({ ok }) => !ok),
    [],
  );
  const { backends } = JSON.parse(native.capabilities()) as { backends: string[] };
  const golden = checks.filter(({ name }) => name.startsWith("golden"));
  assert.is(golden.length, 3 * backends.length);
});

test("a port that is taken fails, naming it", async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  const failed = (await doctorChecks("127.0.0.1", port, 0)).filter(({ ok }) => !ok);
  server.close();
  assert.is(failed.length, 1);
  assert.is(failed[0]!.name, "control port");
  assert.match(failed[0]!.text, new RegExp(`127.0.0.1:${port} cannot be listened on \\(EADDRINUSE\\)`));
});

test("a forced backend that does not exist fails, as it would in a run; one that exists is kept", async () => {
  try {
    process.env.GRADMESH_FORCE_BACKEND = "nonsense";
    const [only, ...rest] = await doctorChecks("127.0.0.1", 0, 0);
    assert.equal([only!.name, only!.ok, rest.length], ["backend", false, 0]);
    assert.match(only!.text, /nonsense.*auto, scalar/);
    process.env.GRADMESH_FORCE_BACKEND = "scalar";
    const checks = await doctorChecks("127.0.0.1", 0, 0);
    assert.match(checks.find(({ name }) => name === "backend")!.text, /^scalar /);
    assert.is((JSON.parse(native.capabilities()) as { backend: string }).backend, "scalar");
  } finally {
    delete process.env.GRADMESH_FORCE_BACKEND;
    native.backendForce("auto");
  }
});

test.run();
