/** Hosts: fixed ports, restarts, reconnecting, refusals, and that closing leaves nothing behind. */
import { execFile } from "node:child_process";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { promisify } from "node:util";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { GradmeshError } from "../../lib/base/errors.js";
import { createHost, type Host, type HostOptions } from "../../lib/peer/host.js";
import { generateIdentity } from "../../lib/peer/identity.js";
import { failure } from "../failure.js";
import { loopbackHost, openChannel } from "./hosts.js";

const protocol = "/gradmesh/test/1";

/** What a test leaves to be closed, also when it fails. */
const cleanups: (() => unknown)[] = [];
const test = suite("host");
test.after.each(async () => {
  await Promise.all(cleanups.splice(0).map((cleanup) => cleanup()));
});

async function openHost(options: Partial<HostOptions> = {}): Promise<Host> {
  const host = await loopbackHost(options);
  cleanups.push(() => host.close());
  return host;
}

async function openServer(onSocket: (socket: Socket) => void): Promise<number> {
  const server = createServer(onSocket);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  cleanups.push(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** Answers each message with the same message. */
async function serveEcho(host: Host): Promise<void> {
  await host.handle(protocol, async (channel) => {
    for await (const message of channel.messages()) await channel.send(message);
  });
}

async function echo(from: Host, to: string): Promise<unknown> {
  const channel = await from.connect(to, protocol);
  await channel.send("ping");
  for await (const message of channel.messages()) return message;
  throw new Error("the channel ended");
}

function portOf(host: Host): number {
  return Number(/\/tcp\/(\d+)/.exec(host.addresses()[0]!)![1]);
}

test("four hosts talk pairwise, and each knows who is there", async () => {
  const hosts = await Promise.all([1, 2, 3, 4].map(() => openHost()));
  for (const from of hosts) {
    for (const to of hosts) {
      if (from === to) continue;
      const [left, right] = await openChannel(from, to, protocol);
      assert.is(left.remote, to.peerId);
      assert.is(right.remote, from.peerId);
      assert.is(left.remoteHost, "127.0.0.1");
      assert.is(right.remoteHost, "127.0.0.1");
      await left.close();
    }
  }
});

test("a host that restarts gets its port again, and the others reconnect by the same address", async () => {
  const identity = generateIdentity();
  const client = await openHost();
  let server = await openHost({ identity });
  const port = portOf(server);
  const address = server.addresses()[0]!;
  for (let round = 0; round < 3; round += 1) {
    await serveEcho(server);
    assert.is(await echo(client, address), "ping");
    // Known by now, so the id alone is enough.
    assert.is(await echo(client, server.peerId), "ping");
    const lost = await client.connect(address, protocol);
    await server.close();
    await lost.closed;
    server = await openHost({ identity, listen: { host: "127.0.0.1", port } });
    assert.is(server.addresses()[0], address);
  }
});

test("a connection whose other side has fallen silent is dropped, and a new one made", async () => {
  const server = await openHost();
  await serveEcho(server);
  // A wire whose connections can be cut without either end hearing of it.
  const wires: { dead: boolean }[] = [];
  const port = await openServer((inner) => {
    const wire = { dead: false };
    wires.push(wire);
    const outer = connect(portOf(server), "127.0.0.1");
    const carry = (from: Socket, to: Socket) => {
      from.on("data", (data) => void (wire.dead || to.write(data))).on("error", () => {});
      from.on("close", () => to.destroy());
    };
    carry(inner, outer);
    carry(outer, inner);
  });
  const address = `/ip4/127.0.0.1/tcp/${port}/p2p/${server.peerId}`;
  const client = await openHost({ limits: { connectLimitMs: 1000 } });
  assert.is(await echo(client, address), "ping");
  wires[0]!.dead = true;
  assert.is(await echo(client, address), "ping");
  assert.is(wires.length, 2);
});

test("who is not there, is another, or does not know the protocol is refused clearly", async () => {
  const [client, server] = await Promise.all([openHost(), openHost()]);
  const nobody = generateIdentity().peerId;
  const port = portOf(server);
  const gone = await openHost();
  const address = gone.addresses()[0]!;
  await gone.close();
  assert.is((await failure(client.connect(address, protocol))).code, "ERR_UNREACHABLE");
  const impostor = await failure(client.connect(`/ip4/127.0.0.1/tcp/${port}/p2p/${nobody}`, protocol));
  assert.is(impostor.code, "ERR_UNREACHABLE");
  assert.is((await failure(client.connect(nobody, protocol))).code, "ERR_UNREACHABLE");
  assert.is((await failure(client.connect(server.addresses()[0]!, protocol))).code, "ERR_PROTOCOL");
  for (const target of [`/ip4/127.0.0.1/tcp/${port}`, "nobody", "/ip4/127.0.0.1", ""]) {
    const error = await failure(client.connect(target, protocol));
    assert.is(error.code, "ERR_INVALID_ARGUMENT");
    assert.ok(error.message.includes(JSON.stringify(target)), error.message);
  }
  await Promise.all([client.close(), server.close()]);
  assert.is((await failure(client.connect(address, protocol))).code, "ERR_CLOSED");
});

test("of several addresses, one that works is enough", async () => {
  const [client, server] = await Promise.all([openHost(), openHost()]);
  await serveEcho(server);
  const addresses = ["/ip4/127.0.0.1/tcp/1", `/ip4/127.0.0.1/tcp/${portOf(server)}`];
  const channel = await client.connect({ peerId: server.peerId, addresses }, protocol);
  assert.is(channel.remote, server.peerId);
});

test("a connect ends at its limit and with its signal where nobody answers", async () => {
  const port = await openServer((socket) => socket.on("error", () => {}).resume());
  const address = `/ip4/127.0.0.1/tcp/${port}/p2p/${generateIdentity().peerId}`;
  const client = await openHost({ limits: { connectLimitMs: 300 } });
  assert.is((await failure(client.connect(address, protocol))).code, "ERR_UNREACHABLE");
  const controller = new AbortController();
  const reason = new GradmeshError("ERR_ABORTED", "enough");
  const connecting = failure(client.connect(address, protocol, controller.signal));
  controller.abort(reason);
  assert.is(await connecting, reason);
});

test("an advertised host replaces the listening one in the addresses", async () => {
  const host = await openHost({ advertiseHost: "peer.example" });
  assert.equal(host.addresses(), [`/dns/peer.example/tcp/${portOf(host)}/p2p/${host.peerId}`]);
});

test("a taken port and an impossible address are named", async () => {
  const host = await openHost();
  const port = portOf(host);
  const listen = (address: string, number: number) =>
    failure(createHost({ identity: generateIdentity(), listen: { host: address, port: number } }));
  const taken = await listen("127.0.0.1", port);
  assert.is(taken.code, "ERR_IO");
  assert.ok(taken.message.includes(String(port)));
  assert.is((await listen("localhost", 0)).code, "ERR_CONFIG");
  assert.is((await listen("127.0.0.1", 70000)).code, "ERR_CONFIG");
});

test("many peers on one machine may connect at once", async () => {
  const server = await openHost();
  await serveEcho(server);
  const clients = await Promise.all(Array.from({ length: 24 }, () => openHost()));
  const answers = await Promise.all(clients.map((client) => echo(client, server.addresses()[0]!)));
  assert.ok(answers.every((answer) => answer === "ping"));
});

test("after closing, a process ends by itself", async () => {
  const script = `
    const { loopbackHost, openChannel } = await import(${JSON.stringify(new URL("./hosts.js", import.meta.url).href)});
    const [left, right] = [await loopbackHost(), await loopbackHost()];
    const [channel] = await openChannel(left, right, "/gradmesh/test/1");
    await channel.send("hello");
    await Promise.all([left.close(), right.close()]);
    console.log("closed");`;
  const run = promisify(execFile);
  const { stdout } = await run(process.execPath, ["--input-type=module", "-e", script], { timeout: 15_000 });
  assert.is(stdout, "closed\n");
});

test.run();
