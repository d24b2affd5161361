/** The test network keeps what its profiles say, and leaves nothing behind. Needs root. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { listNamespaces, processesIn } from "./namespaces.js";
import { createNetwork, type Network, type NetworkOptions, networkUnavailable } from "./network.js";
import { linkOf, type Profile, profileNamed, profiles, queueBytes, tcpPayloadRate } from "./profiles.js";

const PORT = 7000;
const POLL_MS = 10;
/** Far more than a test takes: one that waits for what never comes fails by its own name. */
const LIMIT_MS = 30_000;
const flowProgram = fileURLToPath(new URL("flow.js", import.meta.url));
const mainProgram = fileURLToPath(new URL("main.js", import.meta.url));

/** Lines of a child as they come; each is handed out once. */
function recordsOf(child: ChildProcess): () => Promise<Record<string, number>> {
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  return async () => {
    const { done, value } = await lines.next();
    if (done) throw new Error("the program ended without a record");
    return JSON.parse(value);
  };
}

interface Flows {
  network: Network;
  /** Starts the flow server on a host; the function returned resolves with its next record. */
  serve(host: number): Promise<() => Promise<Record<string, number>>>;
  flow(host: number, ...args: (string | number)[]): ChildProcess;
}

const stdio = ["ignore", "pipe", "inherit"] as const;

async function withNetwork(options: NetworkOptions, body: (flows: Flows) => Promise<void>): Promise<void> {
  const network = await createNetwork(options);
  const flow: Flows["flow"] = (host, ...args) =>
    network.spawn(host, process.execPath, [flowProgram, ...args.map(String)], { stdio: [...stdio] });
  const serve: Flows["serve"] = async (host) => {
    const next = recordsOf(flow(host, "serve", PORT));
    await next();
    return next;
  };
  const guard = new AbortController();
  const limit = sleep(LIMIT_MS, undefined, { signal: guard.signal }).then(
    () => Promise.reject(new Error(`still waiting after ${LIMIT_MS / 1000} s`)),
    () => undefined,
  );
  try {
    await Promise.race([body({ network, serve, flow }), limit]);
  } finally {
    guard.abort();
    await network.close();
  }
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = performance.now() + LIMIT_MS; !(await condition()); await sleep(POLL_MS))
    if (performance.now() > end) throw new Error(`not yet after ${LIMIT_MS / 1000} s: ${condition}`);
}

function isThere(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

const addressOf = (network: Network, host: number) => network.hosts[host]!.address;

/** The rate of one flow from host 0 to host 1, in Mbit/s of payload. */
async function rateOf({ network, serve, flow }: Flows, bytes: number): Promise<number> {
  const next = await serve(1);
  const sender = flow(0, "send", addressOf(network, 1), PORT, bytes);
  await once(sender, "exit");
  const { bytes: received, megabitsPerSecond } = await next();
  assert.is(received, bytes);
  return megabitsPerSecond!;
}

function within(value: number, wanted: number, share: number): void {
  assert.ok(Math.abs(value / wanted - 1) <= share, `${value}, wanted ${wanted} within ${share * 100} %`);
}

/** In Mbit/s. */
const payloadRate = (profile: Profile) => (tcpPayloadRate(profile, profile.link) * 8) / 1e6;

test("an impossible profile, link or number of hosts is refused by name", async () => {
  const failure = (options: NetworkOptions) =>
    createNetwork(options).then(
      () => "made",
      ({ message }) => message,
    );
  assert.match(await failure({ profile: "moon", hosts: 2 }), /no profile "moon"; allowed: lan, 1gbit-20ms/);
  assert.match(await failure({ profile: "lan", hosts: 65 }), /hosts is 65; allowed: 1 to 64/);
  const link = { ...profileNamed("lan").link, loss: 2 };
  assert.match(await failure({ profile: { doc: "", link }, hosts: 1 }), /host 0: loss is 2; allowed: 0 to 1/);
});

test("profiles: a host's own link, its queue, and what TCP can carry", () => {
  assert.is(linkOf(profiles["slow-peer"]!, 1).megabitsPerSecond, 100);
  assert.is(linkOf(profiles["slow-peer"]!, 0).megabitsPerSecond, 1000);
  assert.is(queueBytes(profiles["1gbit-20ms"]!.link), 2_500_000);
  assert.is(queueBytes(profiles.lan!.link), 5_000_000);
  assert.is(Math.round(payloadRate(profiles["1gbit-20ms"]!)), 965);
});

const reason = networkUnavailable();
const networked = reason ? test.skip : test;
if (reason) console.log(`skipped: the test network ${reason}`);

networked("100 Mbit/s and 20 ms are that", async () => {
  await withNetwork({ profile: "100mbit-20ms", hosts: 2 }, async (flows) => {
    within(await rateOf(flows, 15_000_000), payloadRate(flows.network.profile), 0.05);
    const pinging = flows.flow(0, "ping", addressOf(flows.network, 1), PORT, 20);
    within((await recordsOf(pinging)()).roundTripMs!, 20, 0.1);
  });
});

networked(
  "1 Gbit/s and 20 ms are that, and a tenth of it when slowed ten times, into the host and out of it",
  async () => {
    await withNetwork({ profile: "1gbit-20ms", hosts: 2 }, async (flows) => {
      const wanted = payloadRate(flows.network.profile);
      within(await rateOf(flows, 150_000_000), wanted, 0.05);
    });
    for (const slowed of [0, 1])
      await withNetwork({ profile: "1gbit-20ms", hosts: 2 }, async (flows) => {
        await flows.network.command(`slow ${slowed} 10`);
        within(await rateOf(flows, 15_000_000), payloadRate(profileNamed("100mbit-20ms")), 0.05);
      });
  },
);

networked("datagrams are lost as often as the profile says", async () => {
  const link = { megabitsPerSecond: 1000, roundTripMs: 2, queueMs: 50, loss: 0.1 };
  await withNetwork({ profile: { doc: "", link }, hosts: 2, seed: 7 }, async ({ network, serve, flow }) => {
    const next = await serve(1);
    flow(0, "cast", addressOf(network, 1), PORT, 5000);
    // 4,500 with a deviation of 21.
    within((await next()).datagrams!, 4500, 0.03);
  });
});

networked(
  "a link cut one way lets nothing pass that way, everything the other way, and can be restored",
  async () => {
    await withNetwork({ profile: "lan", hosts: 3 }, async ({ network, serve, flow }) => {
      const [next0, next1] = [await serve(0), await serve(1)];
      await network.command("cut 0 1");
      await once(flow(0, "cast", addressOf(network, 1), PORT, 200), "exit");
      flow(1, "cast", addressOf(network, 0), PORT, 200);
      assert.equal(await next0(), { datagrams: 200 });
      const { hosts } = await network.stats();
      assert.is(hosts[0]!.cut, 220, "200 datagrams and 20 marks of their end");
      assert.is(hosts[1]!.received.packets, 0);
      await network.command("restore * *");
      flow(0, "cast", addressOf(network, 1), PORT, 100);
      assert.equal(await next1(), { datagrams: 100 });
    });
  },
);

networked("corrupted bytes reach the program, each once", async () => {
  await withNetwork({ profile: "lan", hosts: 2 }, async ({ network, serve, flow }) => {
    const next = await serve(1);
    await network.command("corrupt 0 1 0.01");
    flow(0, "send", addressOf(network, 1), PORT, 10_000_000);
    const { bytes, corrupted } = await next();
    assert.is(bytes, 10_000_000);
    const damaged = (await network.stats()).hosts[0]!.corrupted;
    assert.ok(damaged > 20, `${damaged} damaged`);
    // The byte that chooses the flow, or one that is damaged twice.
    assert.ok(Math.abs(corrupted! - damaged) <= 2, `${corrupted} of ${damaged}`);
  });
});

networked("a host behind a router cannot be dialled, and can dial", async () => {
  await withNetwork({ profile: "nat", hosts: 2 }, async ({ network, serve, flow }) => {
    await serve(0);
    await serve(1);
    flow(0, "ping", addressOf(network, 1), PORT, 1);
    await until(async () => (await network.stats()).hosts[1]!.refused > 0);
    const dialling = flow(1, "ping", addressOf(network, 0), PORT, 1);
    assert.ok((await recordsOf(dialling)()).roundTripMs! >= 20);
  });
});

networked("an unknown fault is refused by name", async () => {
  await withNetwork({ profile: "lan", hosts: 2 }, async ({ network }) => {
    const failure = (line: string) => network.command(line).catch(({ message }) => message);
    assert.match(await failure("burn 0"), /no command "burn"; allowed: host, cut/);
    assert.match(await failure("cut 0 2"), /index below 2 or \*/);
    assert.match(await failure("slow 0 0.5"), /factor at least 1/);
    assert.match(await failure("loss 0 1 2"), /PROBABILITY from 0 to 1/);
  });
});

networked("close leaves no namespace and no process", async () => {
  const network = await createNetwork({ profile: "lan", hosts: 3 });
  const names = network.hosts.map(({ namespace }) => namespace);
  const stubborn = network.spawn(1, "sh", ["-c", "trap '' TERM INT; sleep 1000 & wait"]);
  await until(() => processesIn(names).length >= 2);
  const pids = processesIn(names);
  const ended = once(stubborn, "exit");
  await network.close();
  await ended;
  assert.equal(
    names.filter((name) => listNamespaces().includes(name)),
    [],
  );
  // A killed grandchild is gone once its new parent has seen it.
  await until(() => !pids.some(isThere));
  await network.command("stats").then(
    () => assert.unreachable("the bridge answers"),
    ({ message }) => assert.match(message, /has ended/),
  );
});

/** Another process with a network of two hosts, each of which runs a program; `left` are its namespaces. */
async function startOwner() {
  const words = ["--profile", "lan", "--hosts", "2", "--", "sh", "-c", "echo ready; exec sleep 1000"];
  const owner = spawn(process.execPath, [mainProgram, ...words], { stdio: [...stdio] });
  const lines = createInterface({ input: owner.stdout! })[Symbol.asyncIterator]();
  for (const _ of [0, 1]) assert.match(String((await lines.next()).value), /ready/);
  const left = () => listNamespaces().filter((name) => name.startsWith(`gm${owner.pid}-`));
  return { owner, left };
}

networked("what a killed owner left is removed by the next network", async () => {
  const { owner, left } = await startOwner();
  owner.kill("SIGKILL");
  await once(owner, "exit");
  assert.is(left().length, 2);
  const pids = processesIn(left());
  assert.is(pids.length, 2);
  await withNetwork({ profile: "lan", hosts: 1 }, async () => {
    assert.equal(left(), []);
    await until(() => !pids.some(isThere));
  });
});

networked("an interrupted owner removes its network", async () => {
  const { owner, left } = await startOwner();
  owner.kill("SIGTERM");
  const [code, signal] = await once(owner, "exit");
  assert.equal([code, signal], [null, "SIGTERM"]);
  assert.equal(left(), []);
});

test.run();
