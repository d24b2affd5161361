/**
 * A program for hosts that the network's tests run; it prints JSON lines.
 *   serve PORT               TCP: echoes or swallows what comes; UDP: counts datagrams
 *   send ADDRESS PORT BYTES  one TCP flow of zeros, until the server has it all
 *   ping ADDRESS PORT COUNT  the least round trip of one byte over TCP
 *   cast ADDRESS PORT COUNT  UDP datagrams, and marks of their end
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { setPriority } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";

const PIECE_BYTES = 256 * 1024;
const WINDOW_MS = 100;
/** The first byte of a connection. */
const SINK = 1;
const ECHO = 2;
/** A datagram that ends a cast; sent so often that one arrives in spite of losses. */
const END = Buffer.of(255);
const ENDS = 20;
/** Holds a whole cast, for when the server gets no processor. */
const RECEIVE_BYTES = 16 << 20;
const DATAGRAM = Buffer.alloc(1000);
/** Datagrams sent at once, so that the line's queue holds them. */
const BURST = 20;

const print = (record: object) => process.stdout.write(`${JSON.stringify(record)}\n`);

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

/** Swallows a flow of zeros and reports its bytes, the median of its rate, and how many bytes are not zero. */
function sink(socket: Socket, first: Buffer): void {
  let [bytes, window, corrupted] = [0, 0, 0];
  const zeros = Buffer.alloc(PIECE_BYTES);
  const rates: number[] = [];
  let began = performance.now();
  const take = (piece: Buffer) => {
    bytes += piece.length;
    window += piece.length;
    if (!piece.equals(zeros.subarray(0, piece.length)))
      for (const byte of piece) corrupted += byte === 0 ? 0 : 1;
    const now = performance.now();
    if (now - began < WINDOW_MS) return;
    rates.push((window * 8) / (now - began) / 1000);
    [window, began] = [0, now];
  };
  take(first);
  socket.on("data", take);
  socket.on("end", () => {
    print({ bytes, corrupted, megabitsPerSecond: median(rates) });
    socket.end(Buffer.of(SINK));
  });
}

function serve(port: number): void {
  const server = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
    socket.on("error", () => socket.destroy());
    socket.once("data", (piece: Buffer) => {
      const rest = piece.subarray(1);
      if (piece[0] === SINK) return sink(socket, rest);
      socket.write(rest);
      socket.pipe(socket);
    });
  });
  const datagrams = createSocket({ type: "udp4", recvBufferSize: RECEIVE_BYTES });
  let received = 0;
  datagrams.on("message", (message) => {
    if (message.length > END.length) received++;
    else if (received >= 0) {
      print({ datagrams: received });
      received = -1;
    }
  });
  server.listen(port, () => datagrams.bind(port, () => print({ listening: port })));
}

async function dial(address: string, port: number, kind: number): Promise<Socket> {
  const socket = connect({ host: address, port, noDelay: true });
  await once(socket, "connect");
  socket.write(Buffer.of(kind));
  return socket;
}

async function send(address: string, port: number, bytes: number): Promise<void> {
  const socket = await dial(address, port, SINK);
  const piece = Buffer.alloc(PIECE_BYTES);
  for (let left = bytes; left > 0; left -= PIECE_BYTES)
    if (!socket.write(piece.subarray(0, Math.min(left, PIECE_BYTES)))) await once(socket, "drain");
  socket.end();
  await once(socket.resume(), "close");
}

async function ping(address: string, port: number, count: number): Promise<void> {
  const socket = await dial(address, port, ECHO);
  const trips: number[] = [];
  for (let trip = 0; trip < count; trip++) {
    const began = performance.now();
    socket.write(Buffer.of(0));
    await once(socket, "data");
    trips.push(performance.now() - began);
  }
  // Waiting for a processor only adds.
  print({ roundTripMs: Math.min(...trips) });
  socket.destroy();
}

async function cast(address: string, port: number, count: number): Promise<void> {
  const socket = createSocket("udp4");
  const sendOne = (datagram: Buffer) =>
    new Promise<void>((resolve, reject) => {
      socket.send(datagram, port, address, (error) => (error ? reject(error) : resolve()));
    });
  for (let sent = 1; sent <= count; sent++) {
    await sendOne(DATAGRAM);
    if (sent % BURST === 0) await sleep(1);
  }
  for (let sent = 0; sent < ENDS; sent++) await sendOne(END);
  socket.close();
}

// The network is measured, not how busy the machine is.
setPriority(-20);
const [role, ...words] = process.argv.slice(2);
const [address = "", port, count] = words;
if (role === "serve") serve(Number(words[0]));
else if (role === "send") await send(address, Number(port), Number(count));
else if (role === "ping") await ping(address, Number(port), Number(count));
else if (role === "cast") await cast(address, Number(port), Number(count));
else throw new Error(`role is "${role}"; allowed: serve, send, ping, cast`);
