/** A run of CPU and GPU peers: the digests of a run of CPU peers alone. The GPU is emulated. */
import "../emulated-device.js";
import { access } from "node:fs/promises";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { withRun } from "./run.js";

const config = { rounds: 2, peersMin: 2, peersMax: 2 };
/** A busy machine must not make a peer look lost. */
const network = { segmentElements: 256, silenceLimitMs: 30_000 };

/** The digests of all rounds, of a run whose second peer trains on `device`. */
async function historyWith(device: string): Promise<Map<number, string>> {
  let history = new Map<number, string>();
  await withRun({ ...config, network }, async (run) => {
    await run.startAll([["second", "--device", device]]);
    const [first, second] = await run.digests(["first", "second"]);
    assert.is(first, second);
    history = run.history("first");
    assert.equal(history, run.history("second"));
    const { backend } = await run.event("started", ({ name }) => name === "second");
    assert.is(backend.startsWith("cuda, "), device === "cuda");
  });
  return history;
}

test("a GPU peer and a CPU peer agree in every round, and with a run of CPU peers", async () => {
  const mixed = await historyWith("cuda");
  assert.is(mixed.size, config.rounds);
  assert.equal(mixed, await historyWith("cpu"));
});

test("without a GPU --device cuda fails before anything is written, and says why and what to do", () =>
  withRun({ ...config, network }, async (run) => {
    process.env.GRADMESH_SIMT_ERROR = "100";
    run.spare("first");
    const peer = run.start("first", ["run", join(run.folder, "config.json"), "--device", "cuda"]);
    process.env.GRADMESH_SIMT_ERROR = "";
    assert.is((await peer.exited).code, 1);
    assert.match(
      peer.stderr(),
      /^error ERR_UNSUPPORTED: device "cuda" cannot be used: no GPU: the NVIDIA driver finds no GPU.*the CPU trains, with the same bits$/m,
    );
    assert.equal(run.events, []);
    assert.is(
      await access(run.peerFolder("first")).then(
        () => true,
        () => false,
      ),
      false,
    );
  }));

test.run();
