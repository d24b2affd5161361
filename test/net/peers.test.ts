/** Whole peers on the test network: one that nobody can dial, and long links that are striped and measured. Needs root. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { RunEvent } from "../../lib/run/events.js";
import { tinyConfig } from "../e2e/run.js";
import { createNetwork, networkUnavailable } from "./network.js";

const program = fileURLToPath(new URL("../../lib/cli/main.js", import.meta.url));
const oddTrainer = fileURLToPath(new URL("../e2e/odd-trainer.js", import.meta.url));
const text = "the whale sails the sea of ships and the captain waits for wind ".repeat(400);
const LIMIT_MS = 60_000;

type Named = RunEvent & { host: number };

/** Runs a config on hosts of a profile, the first host leading; gives all events once every peer has ended. */
async function runOn(
  profile: string,
  changes: Record<string, unknown>,
  flags: Record<number, string[]> = {},
) {
  const folder = await mkdtemp(join(tmpdir(), "gradmesh-net-"));
  const network = await createNetwork({ profile, hosts: 3 });
  const events: Named[] = [];
  const errors: string[] = [];
  const { promise: ticket, resolve: tell } = Promise.withResolvers<string>();
  const { promise: second, resolve: begun } = Promise.withResolvers<void>();
  const start = (host: number, args: string[]) => {
    const { address } = network.hosts[host]!;
    const own = ["--folder", join(folder, `${host}`), "--host", address, "--json", ...(flags[host] ?? [])];
    const child = network.spawn(host, process.execPath, [program, ...args, ...own]);
    createInterface({ input: child.stdout! }).on("line", (line) => {
      const event = JSON.parse(line) as RunEvent;
      events.push({ ...event, host });
      if (event.type === "ticket") tell(event.ticket);
      if (event.type === "started" && host === 1) begun();
    });
    child.stderr!.on("data", (data: Buffer) => errors.push(`${host}: ${data.toString()}`));
    return new Promise<number | null>((resolve) => child.once("close", resolve));
  };
  const late = setTimeout(() => void network.close(), LIMIT_MS);
  try {
    const data = join(folder, "text.txt");
    await writeFile(data, text);
    const { pauseMs = 0, ...rest } = changes;
    const config = tinyConfig(data, rest);
    const options = { gpt: config.trainer.options, pauseMs };
    const trainer = pauseMs === 0 ? config.trainer : { module: oddTrainer, options };
    await writeFile(join(folder, "config.json"), JSON.stringify({ ...config, trainer }));
    const ends = [start(0, ["run", join(folder, "config.json")])];
    ends.push(start(1, ["join", await ticket]));
    // So that host 1 has rank 1, whom host 2 would dial.
    await second;
    ends.push(start(2, ["join", await ticket]));
    assert.equal(await Promise.all(ends), [0, 0, 0], errors.join(""));
    return events;
  } finally {
    clearTimeout(late);
    await network.close();
    await rm(folder, { recursive: true, force: true });
  }
}

const of = <Type extends RunEvent["type"]>(events: Named[], type: Type) =>
  events.filter((event) => event.type === type) as unknown as (Extract<RunEvent, { type: Type }> & {
    host: number;
  })[];

/** All three ended with one state, having contributed to every round. */
function checkRun(events: Named[], rounds: number): void {
  const ends = of(events, "ended");
  assert.is(ends.length, 3);
  assert.is(new Set(ends.map(({ stateDigest }) => stateDigest)).size, 1);
  const done = of(events, "round").filter(({ host }) => host === 0);
  assert.is(done.length, rounds);
  assert.ok(done.every(({ contributors }) => contributors.length === 3));
}

const network = { ...tinyConfig("").network, silenceLimitMs: 5000 };
const unavailable = networkUnavailable();
const networked: typeof test = ((name: string, body: () => Promise<void>) => {
  if (unavailable === undefined) test(name, body);
  else test.skip(name, body);
}) as typeof test;
if (unavailable !== undefined) console.log(`skipped: peers on the test network: ${unavailable}`);

networked("a peer behind NAT takes part, whether it says that nobody can dial it or not", async () => {
  for (const flags of [{}, { 1: ["--no-dialable"] }])
    checkRun(await runOn("nat", { rounds: 3, network }, flags), 3);
});

networked("long links have several sockets, and are measured", async () => {
  const measuring = { ...network, probeShare: 0.2 };
  // Inner steps of 5 s leave the links free.
  const slow = { rounds: 4, network: measuring, strategy: { innerSteps: 2 }, pauseMs: 2500 };
  const events = await runOn("1gbit-100ms", slow);
  checkRun(events, 4);
  const links = of(events, "link");
  assert.ok(links.length > 0, "no link was measured");
  for (const { streams, roundTripSeconds, bytesPerSecond } of links) {
    assert.is(streams, 8);
    assert.ok(roundTripSeconds >= 0.1 && roundTripSeconds < 0.3, `${roundTripSeconds} s`);
    // The fastest quarter of a burst may leave a queue closer together than the line let it in.
    assert.ok(bytesPerSecond < 1.2 * 125e6, `${bytesPerSecond} bytes per second`);
  }
});

test.run();
