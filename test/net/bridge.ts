/** Runs the bridge program (bridge.cpp) and speaks its line protocol (control.h). */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const tree = fileURLToPath(new URL("../../../build", import.meta.url));

export interface Bridge {
  /** Runs one command and returns what follows "ok" in its answer; rejects with the bridge's reason. */
  command(line: string): Promise<string>;
  /** Ends the bridge and resolves once it is gone. */
  close(): Promise<void>;
  /** For an owner that exits now. */
  kill(): void;
}

/** The bridge's file; GRADMESH_NET_BRIDGE names another. It is built where the build tree lacks it. */
function bridgeProgram(): string {
  const named = process.env.GRADMESH_NET_BRIDGE;
  if (named) return named;
  const built = join(tree, "test", "net", "net_bridge");
  if (!existsSync(built))
    execFileSync("cmake", ["--build", tree, "--config", "Release", "--target", "net_bridge"], {
      stdio: "pipe",
    });
  return built;
}

interface Waiting {
  resolve(answer: string): void;
  reject(reason: Error): void;
}

/** Starts a bridge without hosts; `seed` draws its losses, jitter and damage. */
export function startBridge(seed: number): Bridge {
  const child = spawn(bridgeProgram(), [String(seed)], { stdio: ["pipe", "pipe", "inherit"] });
  const waiting: Waiting[] = [];
  const ended = endOf(child, waiting);
  // The end of the bridge is reported by its exit.
  child.stdin?.on("error", () => undefined);
  createInterface({ input: child.stdout! }).on("line", (line) => {
    const asked = waiting.shift();
    if (line.startsWith("ok")) asked?.resolve(line.slice("ok ".length));
    else asked?.reject(new Error(`net_bridge: ${line.replace(/^error /, "")}`));
  });
  return {
    command: (line) =>
      new Promise((resolve, reject) => {
        if (child.exitCode !== null || child.signalCode !== null || line.includes("\n"))
          return reject(new Error(`net_bridge has ended, or "${line}" is no single line`));
        waiting.push({ resolve, reject });
        child.stdin?.write(`${line}\n`);
      }),
    close: () => {
      child.stdin?.end();
      return ended;
    },
    kill: () => {
      child.kill("SIGKILL");
    },
  };
}

/** Resolves when the bridge has ended, after every command that waits was rejected. */
function endOf(child: ChildProcess, waiting: Waiting[]): Promise<void> {
  return new Promise((resolve) => {
    const end = (why: string) => {
      for (const { reject } of waiting.splice(0)) reject(new Error(`net_bridge: ${why}`));
      resolve();
    };
    child.once("error", ({ message }) => end(message));
    child.once("close", (code, signal) => end(`ended with ${signal ?? code}`));
  });
}
