/** Strangers at the ports of a running run: garbage, wrong tickets, absurd lengths; they are refused, the run unharmed. */
import { randomBytes } from "node:crypto";
import { connect, createServer } from "node:net";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { startPeer } from "../../lib/cli/swarm.js";
import { formatTicket, parseTicket } from "../../lib/peer/ticket.js";
import { type TestRun, withRun } from "./run.js";

const LOOPBACK = "127.0.0.1";

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, LOOPBACK, resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Sends bytes to a port; resolves once the other side has closed the socket. */
function attack(port: number, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(port, LOOPBACK, () => socket.write(bytes));
    socket.on("error", () => {});
    socket.on("close", () => resolve());
    socket.resume();
  });
}

/** What a stranger might send to open a bulk link: noise, a hello with a made-up ticket, a length of 4 GiB. */
function hostileBytes(): Uint8Array[] {
  const hello = (body: Buffer) => Buffer.concat([Buffer.from("GMB1"), Buffer.from([1, 0, 0, 0]), body]);
  return [
    randomBytes(4096),
    Buffer.alloc(64, 0xff),
    hello(randomBytes(56)),
    Buffer.concat([Buffer.from([0xff, 0xff, 0xff, 0xff]), randomBytes(64)]),
    Buffer.concat([hello(randomBytes(32)), Buffer.alloc(1 << 16, 0xff)]),
    Buffer.from("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".padEnd(128)),
  ];
}

async function startRun(run: TestRun, bulkPort: number): Promise<string> {
  run.start("first", ["run", `${run.folder}/config.json`, "--bulk-port", String(bulkPort)]);
  const { ticket } = await run.event("ticket", () => true);
  run.start("second", ["join", ticket]);
  run.start("third", ["join", ticket]);
  return ticket;
}

test("garbage, made-up tickets and 4 GiB lengths at both ports do not disturb the run", () =>
  withRun({ rounds: 60, strategy: { innerSteps: 10 } }, async (run) => {
    const bulkPort = await freePort();
    const ticket = await startRun(run, bulkPort);
    const controlPort = Number(/\/tcp\/(\d+)/.exec(parseTicket(ticket).addresses[0]!)![1]);
    await run.event("round", (event) => event.name === "first" && event.round === 2);
    for (const port of [bulkPort, controlPort])
      await Promise.all(hostileBytes().map((bytes) => attack(port, bytes)));
    const names = ["first", "second", "third"];
    const digests = await run.digests(names);
    assert.is(new Set(digests).size, 1);
    assert.is(run.events.filter((event) => event.type === "failed").length, 0, "no all-reduce failed");
    assert.is(run.history("third").size, 60);
  }));

test("a ticket with another secret, or of another run, is refused with a reason", () =>
  withRun({ rounds: 400, strategy: { innerSteps: 10 } }, async (run) => {
    const ticket = parseTicket(await startRun(run, 0));
    await run.event("round", (event) => event.name === "first" && event.round === 2);
    const forged = [
      { ...ticket, secret: Uint8Array.from(randomBytes(ticket.secret.length)) },
      { ...ticket, runId: "another-run" },
    ];
    const attempts = forged.map(formatTicket).map(async (text, index) => {
      const stranger = startPeer(
        "stranger",
        ["join", text, "--folder", run.peerFolder(`s${index}`)],
        () => {},
      );
      assert.is((await stranger.exited).code, 1);
      assert.match(stranger.stderr(), /error ERR_(UNAUTHORIZED|REFUSED): .+/);
    });
    await Promise.all(attempts);
    assert.is(new Set(await run.digests(["first", "second", "third"])).size, 1);
    assert.is(run.events.filter((event) => event.type === "failed").length, 0);
  }));

test.run();
