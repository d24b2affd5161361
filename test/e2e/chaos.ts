/**
 * Attacks real runs: peers are killed, stopped, interrupted and started again as a seed says, and what must hold of
 * every run is checked. `node dist/test/e2e/chaos.js [first seed] [runs] [rounds]`; a failure leaves its story in a file.
 */
import { cp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { type Life, type NamedEvent, violations } from "./chaos-checks.js";
import { configOf, Draw, SILENCE_MS, type Trap, traps } from "./chaos-plan.js";
import { TestRun } from "./run.js";

/** No round for so long, with nothing done to any process meanwhile: somebody hangs. */
const STALL_MS = 30_000;
/** A peer that was stopped may hold an older state than its last event says; after this it has told. */
const SETTLE_MS = 4000;

/** A peer of the run over all its processes. */
interface Actor {
  name: string;
  life: Life;
  stoppedUntil: number | null;
  /** When it was last stopped, killed or started. */
  troubledAt: number;
  restartAt: number | null;
}

export interface ChaosOptions {
  seed: number;
  rounds: number;
  /** After this the run is left in peace. */
  chaosMs: number;
  /** Prints what is done. */
  log?: (line: string) => void;
}

export interface ChaosReport {
  seed: number;
  rounds: number;
  actions: number;
  /** How the run ended: "complete", or the code of its error. */
  ending: string;
  problems: string[];
}

class Chaos {
  readonly #options: ChaosOptions;
  readonly #draw: Draw;
  readonly #run: TestRun;
  readonly #actors = new Map<string, Actor>();
  readonly #lives: Life[] = [];
  readonly #story: string[] = [];
  readonly #startedAt = Date.now();
  /** In a gentle run somebody who holds the newest state always lives, so it must complete. */
  readonly #gentle: boolean;
  /** Attacked also in its last rounds and at its end. */
  readonly #restless: boolean;
  /** Longest time between two actions. */
  readonly #pauseMs: number;
  /** Names by peer id. */
  readonly #names = new Map<string, string>();
  #ticket = "";
  #trap: Trap | null = null;
  #actions = 0;
  #calm = false;
  /** When the run last made a round, or something was done to it. */
  #movedAt = Date.now();
  #round = 0;

  constructor(options: ChaosOptions, run: TestRun) {
    this.#options = options;
    this.#draw = new Draw(options.seed);
    this.#run = run;
    this.#gentle = this.#draw.next() < 0.85;
    this.#restless = this.#draw.next() < 0.4;
    this.#pauseMs = this.#draw.pick([500, 1200, 2500]);
    run.onEvent = (event) => this.#hear(event);
  }

  #tell(line: string): void {
    const text = `${((Date.now() - this.#startedAt) / 1000).toFixed(2)} ${line}`;
    this.#story.push(text);
    this.#options.log?.(text);
  }

  // ---- processes ----

  #start(name: string): void {
    const args = name === "first" ? ["run", join(this.#run.folder, "config.json")] : ["join", this.#ticket];
    const faulty = !this.#calm && this.#ticket !== "" && this.#draw.next() < 0.3;
    if (faulty) {
      const signal = this.#draw.next() < 0.7 ? "SIGKILL" : "SIGSTOP";
      args.push(
        "--fault",
        `${this.#round + this.#draw.between(1, 6)}:${this.#draw.between(0, 120)}:${signal}`,
      );
    }
    this.#tell(`start ${name} ${args.slice(2).join(" ")}`);
    const peer = this.#run.start(name, args);
    const stderr = () => peer.stderr();
    const life: Life = { name, fate: "none", faulty, events: [], exit: null, stderr };
    this.#lives.push(life);
    this.#actors.set(name, { name, life, stoppedUntil: null, troubledAt: Date.now(), restartAt: null });
    void peer.exited.then((exit) => {
      life.exit = exit;
      this.#tell(`end ${name}: ${exit.signal ?? exit.code} ${peer.stderr()}`);
      if (exit.code !== 0 || life.fate !== "none") {
        this.#actors.get(name)!.restartAt = Date.now() + this.#draw.between(0, 2500);
      }
    });
  }

  /** What matters of an event, with names instead of peer ids. */
  #tellEvent({ name, at: _, type, ...event }: NamedEvent): void {
    if (type === "trained" || type === "ticket" || type === "evaluated") return;
    const named = JSON.stringify(event, (key, value) => {
      if (["peer", "seconds", "bytesSent", "trainLoss", "bytesRetried", "path"].includes(key))
        return undefined;
      return value;
    });
    const line = [...this.#names].reduce((text, [peer, known]) => text.replaceAll(peer, known), named);
    this.#tell(`  ${name} ${type} ${line}`);
  }

  #hear(event: NamedEvent): void {
    const actor = this.#actors.get(event.name);
    if (actor === undefined) return;
    actor.life.events.push(event);
    if (event.type === "ticket") this.#ticket = event.ticket;
    if (event.type === "round" && event.round > this.#round) {
      this.#round = event.round;
      this.#movedAt = Date.now();
    }
    if (event.type === "started") this.#names.set(event.peer, event.name);
    this.#tellEvent(event);
    const trap = this.#trap;
    if (trap === null || this.#calm || !trap.springs(event)) return;
    this.#trap = null;
    const delayMs = this.#draw.next() < 0.5 ? 0 : this.#draw.between(0, 40);
    void sleep(delayMs).then(() => this.#kill(trap.victims(event), trap.name));
  }

  #alive(): Actor[] {
    return [...this.#actors.values()].filter(({ life }) => life.exit === null && life.fate === "none");
  }
  #awake(): Actor[] {
    return this.#alive().filter(({ stoppedUntil }) => stoppedUntil === null);
  }

  /** Whether somebody beside these peers surely holds the newest state. */
  #mayLose(names: readonly string[]): boolean {
    if (!this.#gentle) return true;
    return this.#awake().some(({ name, life, troubledAt }) => {
      const last = life.events.findLast(({ type }) => type === "round");
      const newest = last?.type === "round" && last.round === this.#round;
      return !names.includes(name) && newest && !life.faulty && Date.now() - troubledAt > SETTLE_MS;
    });
  }

  #kill(names: readonly string[], why: string): void {
    const victims = this.#alive().filter(({ name }) => names.includes(name));
    if (victims.length === 0 || this.#calm || (!this.#mayLose(names) && !this.#over())) return;
    for (const actor of victims) {
      this.#signal(actor, "SIGKILL", why);
      actor.life.fate = "killed";
    }
  }

  #signal(actor: Actor, signal: NodeJS.Signals, why: string): void {
    this.#actions += 1;
    actor.troubledAt = Date.now();
    this.#movedAt = Date.now();
    this.#tell(`${signal} ${actor.name} (${why})`);
    this.#run.peer(actor.name).kill(signal);
  }

  // ---- what may be done ----

  #stop(leastMs: number, mostMs: number, why: string): void {
    const awake = this.#awake();
    if (awake.length === 0) return;
    const actor = this.#draw.pick(awake);
    this.#signal(actor, "SIGSTOP", why);
    actor.stoppedUntil = Date.now() + this.#draw.between(leastMs, mostMs);
  }

  #interrupt(): void {
    const others = this.#awake().filter(({ name, life }) => name !== "first" || life.events.length > 0);
    if (others.length === 0) return;
    const actor = this.#draw.pick(others);
    if (!this.#mayLose([actor.name])) return;
    this.#signal(actor, "SIGINT", "leaves");
    actor.life.fate = "interrupted";
  }

  #setTrap(): void {
    const nameOf = (peer: string) => this.#names.get(peer);
    const others = () => this.#alive().map(({ name }) => name);
    this.#trap = this.#draw.pick(traps(nameOf, () => this.#draw.pick(others())));
  }

  #act(): void {
    const dice = this.#draw.next();
    const alive = this.#alive().map(({ name }) => name);
    if (alive.length === 0) return;
    if (dice < 0.2) this.#kill([this.#draw.pick(alive)], "at random");
    else if (dice < 0.28) this.#kill([this.#draw.pick(alive), this.#draw.pick(alive)], "two at once");
    else if (dice < 0.4) this.#stop(SILENCE_MS + 200, SILENCE_MS + 2000, "long");
    else if (dice < 0.55) this.#stop(50, SILENCE_MS / 2, "short");
    else if (dice < 0.65) this.#interrupt();
    else this.#setTrap();
  }

  // ---- the run ----

  /** Continues who was stopped long enough, also by a fault, and starts again who is due. */
  async #tend(): Promise<void> {
    for (const actor of [...this.#actors.values()]) {
      const { name, life, stoppedUntil, restartAt } = actor;
      if (life.exit !== null) {
        const due = restartAt !== null && (this.#calm || Date.now() >= restartAt);
        if (due && !this.#over()) this.#start(name);
        continue;
      }
      if (stoppedUntil === null && (await isStopped(this.#run.peer(name).pid))) {
        actor.stoppedUntil = Date.now() + this.#draw.between(100, SILENCE_MS + 2000);
        actor.troubledAt = Date.now();
        this.#tell(`${name} has stopped`);
      }
      if (stoppedUntil !== null && (this.#calm || Date.now() >= stoppedUntil)) {
        actor.stoppedUntil = null;
        this.#signal(actor, "SIGCONT", "goes on");
      }
    }
  }

  /** The run has ended for everybody, or for the first peer, whose process led it. */
  #over(): boolean {
    return this.#lives.some(({ events, exit, stderr }) => {
      const ended = events.at(-1);
      const complete = ended?.type === "ended" && ended.reason === "complete";
      return complete || (exit !== null && /ERR_CHECKPOINT|ERR_DIVERGED/.test(stderr()));
    });
  }

  async #ends(): Promise<void> {
    this.#calm = true;
    const until = Date.now() + STALL_MS;
    // Who is only now on the way to the run finds no coordinator any more.
    for (const actor of this.#alive()) {
      this.#run.peer(actor.name).kill("SIGCONT");
      if (actor.life.events.some(({ type }) => type === "round" || type === "synced")) continue;
      this.#tell(`SIGKILL ${actor.name} (came too late)`);
      actor.life.fate = "killed";
      this.#run.peer(actor.name).kill("SIGKILL");
    }
    while (this.#lives.some(({ exit }) => exit === null) && Date.now() < until) {
      await sleep(20);
      // Whoever was not told the end before the coordinator was killed hears it from its next process.
      const { life } = this.#actors.get("first")!;
      if (life.exit !== null && life.fate !== "none" && this.#alive().length > 0) this.#start("first");
    }
  }

  async play(): Promise<ChaosReport> {
    const { seed, chaosMs } = this.#options;
    const count = this.#draw.between(3, 5);
    this.#tell(
      `seed ${seed}: ${count} peers, ${this.#gentle ? "gentle" : "harsh"}${this.#restless ? ", restless" : ""}`,
    );
    this.#start("first");
    await this.#run.event("ticket", () => true);
    for (let index = 1; index < count; index++) this.#start(`peer${index}`);
    let nextAt = Date.now() + 1500;
    const problems: string[] = [];
    while (!this.#over()) {
      await sleep(10);
      await this.#tend();
      const late = this.#round > this.#options.rounds * (this.#restless ? 1 : 0.7);
      this.#calm ||= late || Date.now() - this.#startedAt > chaosMs;
      if (Date.now() - this.#movedAt > STALL_MS) {
        problems.push(`no round for ${STALL_MS} ms after round ${this.#round}`);
        break;
      }
      if (this.#calm || Date.now() < nextAt) continue;
      this.#act();
      nextAt = Date.now() + this.#draw.between(50, this.#pauseMs);
    }
    if (problems.length === 0) await this.#ends();
    const codes = this.#lives.map(({ stderr }) => /error (ERR_CHECKPOINT)/.exec(stderr())?.[1]);
    const ending = codes.find((code) => code !== undefined) ?? "complete";
    const lostAll = !this.#gentle && ending === "ERR_CHECKPOINT";
    problems.push(...violations(this.#lives, lostAll ? ["ERR_CHECKPOINT"] : []));
    if (problems.length > 0) await this.#keepStory(problems);
    return { seed, rounds: this.#round, actions: this.#actions, ending, problems };
  }

  /** Leaves what happened in files that outlive the run's folder. */
  async #keepStory(problems: readonly string[]): Promise<void> {
    const path = join(tmpdir(), `gradmesh-chaos-${this.#options.seed}`);
    await writeFile(`${path}.txt`, [...problems, "", ...this.#story].join("\n"));
    await cp(this.#run.folder, path, { recursive: true, force: true });
  }
}

/** Whether a process is stopped by a signal. */
async function isStopped(pid: number): Promise<boolean> {
  const text = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  return text.slice(text.lastIndexOf(")") + 2).startsWith("T");
}

/** One attacked run. */
export async function playChaos(options: ChaosOptions): Promise<ChaosReport> {
  const run = await TestRun.create(configOf(options.seed, options.rounds));
  try {
    return await new Chaos(options, run).play();
  } finally {
    await run.close();
  }
}

async function main(): Promise<void> {
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));
  const [first = Date.now() % 1_000_000, runs = 10, rounds = 80] = process.argv.slice(2).map(Number);
  const log = process.env.CHAOS_LOG === undefined ? {} : { log: (line: string) => console.log(line) };
  for (let seed = first; seed < first + runs; seed++) {
    const startedAt = Date.now();
    const { ending, actions, problems, ...report } = await playChaos({
      seed,
      rounds,
      chaosMs: 30_000,
      ...log,
    });
    const seconds = ((Date.now() - startedAt) / 1000).toFixed(1);
    console.log(`seed ${seed}: ${ending} after ${report.rounds} rounds, ${actions} actions, ${seconds} s`);
    for (const problem of problems) console.log(`  VIOLATION ${problem}`);
    if (problems.length > 0) process.exitCode = 1;
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) await main();
