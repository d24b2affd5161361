/** Runs one cell of the fault table: a group of processes, an operation in which the fault strikes, what comes after. */
import { setTimeout as sleep } from "node:timers/promises";
import { Draw } from "../e2e/chaos-plan.js";
import { createNetwork, type Network } from "../net/network.js";
import { judge, type Observed, type Verdict } from "./checks.js";
import { faultProgram, Group } from "./group.js";
import { ids, type Run, wordsOf } from "./operation.js";
import type { Answer, Ended } from "./peer.js";
import { planCell } from "./plan.js";
import { salvage } from "./salvage.js";
import type { Cell } from "./table.js";

/** Bytes a second each way over all links of a slow peer: hundredths of loopback. */
const SLOW_RATE = 3_000_000;
const NETWORK_PROFILE = "1gbit-20ms";
const NETWORK_HOSTS = 4;
const ROUND_TRIP_MS = 20;
/** Below a third of the silence limit of its row. */
const PAUSE_MS = 300;

/** The survivors have ended: a fault that has not struck by then never does. */
const STRIKE_LIMIT_MS = 2000;

/** Undisturbed, of all ranks; and of the survivors-to-be alone where that is what the next operation must equal. */
async function references(run: Run): Promise<Pick<Observed, "whole" | "alone">> {
  const { cell, group } = run;
  const all = [...group.peers.keys()];
  const whole = await group.run(all, { ...wordsOf(run, all, ids.whole), keep: "whole" });
  if (cell.mode === "salvage") return { whole };
  const members = membersOfNext(run);
  return { whole, alone: await group.run(members, wordsOf(run, members, ids.alone)) };
}

/** Who runs the next operation: where the fault ends well nobody is left out. */
function membersOfNext({ cell, plan, group }: Run): number[] {
  return cell.fault.ends === "well" ? [...group.peers.keys()] : [...plan.survivors];
}

/** The victim's own schedule. */
function scheduleOf(run: Run): Promise<Answer & { steps: number; targets: number[] }> {
  const all = [...run.group.peers.keys()];
  const words = { ...wordsOf(run, all, ids.struck), members: all.join() };
  return run.group.peer(run.plan.victims[0]!).do("steps", words);
}

/** Where a link is harmed, one that the victim sends over, if it sends to a survivor at all. */
async function aimed(run: Run): Promise<Run> {
  const { targets } = await scheduleOf(run);
  const { survivors, other } = run.plan;
  const sent = survivors.filter((name) => targets.includes(name));
  return { ...run, plan: { ...run.plan, other: sent.length > 0 ? sent[other % sent.length]! : other } };
}

/** Tells the victim when to do its harm. */
async function arm(run: Run): Promise<void> {
  const { cell, plan, group, network } = run;
  const victim = group.peer(plan.victims[0]!);
  const { steps } = await scheduleOf(run);
  const at = { id: ids.struck, steps: Math.floor(plan.share * steps) };
  if (network && cell.fault.onNetwork) {
    await victim.do("fault", { ...at, do: "hold" });
    return;
  }
  const harm = cell.fault.harm === "lie" ? plan.lie : cell.fault.harm;
  const targets = harm === "slow" ? plan.survivors : [plan.other];
  const links = harm === "kill" || harm === "stop" ? [{}] : targets.map((peer) => ({ peer }));
  for (const link of links) await victim.do("fault", { ...at, do: harm, rate: SLOW_RATE, ...link });
}

function commandOf({ plan }: Run, line: string): string {
  return line.replace("FROM", String(plan.victims[0])).replace("TO", String(plan.other));
}

/** What happens once the victim's fault has struck; returns when it struck. */
async function strike(run: Run): Promise<number> {
  const { cell, plan, group, network } = run;
  const { fault } = cell;
  const [first, second] = plan.victims.map((name) => group.peer(name));
  let at = await first!.struck;
  if (network && fault.onNetwork) {
    await network.command(commandOf(run, fault.onNetwork.do));
    at = Number(process.hrtime.bigint());
    await first!.do("go");
  }
  if (fault.second) second!.signal(fault.second === "kill" ? "SIGKILL" : "SIGSTOP");
  if (fault.resumes === "in time") {
    await sleep(PAUSE_MS);
    first!.signal("SIGCONT");
  }
  return at;
}

/** Whether its victims tell nothing more. */
function diesOf({ fault }: Cell): boolean {
  return fault.harm === "kill" || (fault.harm === "stop" && !fault.resumes);
}

/** The operation in which the fault strikes. */
async function disturbed(
  run: Run,
): Promise<Pick<Observed, "struckAt" | "survivors"> & { victim: Promise<Ended | undefined> }> {
  const { cell, plan, group } = run;
  const all = [...group.peers.keys()];
  const words = { ...wordsOf(run, all, ids.struck), members: all.join(), keep: "struck" };
  await arm(run);
  const struck = strike(run);
  const ends = all.map((name) => group.post(name, words));
  for (const end of ends) end.catch(() => {}); // those of victims are not looked at
  const survivors = await Promise.all(plan.survivors.map((name) => ends[name]!));
  const over = sleep(STRIKE_LIMIT_MS, null, { ref: false });
  const victim = diesOf(cell) ? Promise.resolve(undefined) : ends[plan.victims[0]!]!;
  return { struckAt: await Promise.race([struck, over]), survivors, victim };
}

async function forgetVictims({ plan, group }: Run): Promise<void> {
  await Promise.all(plan.survivors.map((name) => group.unlink(name, plan.victims)));
}

/** A victim that wakes late ends with an error of its own, and takes part again over new links. */
async function returns(run: Run): Promise<Ended[]> {
  const { plan, group } = run;
  const victim = plan.victims[0]!;
  await group.unlink(victim, plan.survivors);
  for (const name of plan.survivors) await group.link(victim, name);
  const all = [...group.peers.keys()];
  return group.run(all, wordsOf(run, all, ids.again));
}

async function observe(run: Run): Promise<Observed> {
  const { cell, plan, group } = run;
  const { fault } = cell;
  const before = await references(run);
  const bad = before.whole.find(({ code }) => code !== "ok");
  if (bad) throw new Error(`undisturbed: ${bad.code}, ${bad.message}`);
  const { struckAt, survivors, victim } = await disturbed(run);
  if (fault.ends === "lost") await forgetVictims(run);
  const members = membersOfNext(run);
  const rest =
    cell.mode === "salvage"
      ? await salvage(run, survivors)
      : { next: await group.run(members, wordsOf(run, members, ids.next)), problems: [] };
  if (fault.resumes === "late") group.peer(plan.victims[0]!).signal("SIGCONT");
  const observed = { ...before, struckAt, survivors, victim: await victim, ...rest };
  return fault.resumes === "late" ? { ...observed, again: await returns(run) } : observed;
}

/** Ends what lives, with nothing left open. */
async function finish({ cell, plan, group }: Run): Promise<string[]> {
  const victims = diesOf(cell) ? [] : plan.victims;
  const living = [...plan.survivors, ...victims];
  const others = (name: number) => [...group.peers.keys()].filter((other) => other !== name);
  await Promise.all(living.map((name) => group.unlink(name, others(name))));
  return [...(await group.leaks(living)), ...(await group.exit(living))];
}

async function runWith(cell: Cell, program: string, network?: Network): Promise<Verdict> {
  const draw = new Draw(cell.seed);
  const plan = planCell(cell, draw);
  const { encrypted, streams } = plan;
  const group = new Group({
    program,
    seed: cell.seed,
    silenceMs: cell.fault.silenceMs,
    encrypted,
    streams,
    network,
  });
  let run: Run = { cell, plan, group, network };
  try {
    const names = Array.from({ length: plan.ranks }, (_, name) => name);
    await Promise.all(names.map((name) => group.start(name)));
    const proxied = !network && !["kill", "stop"].includes(cell.fault.harm);
    await group.linkAll(names, plan.victims[0]!, proxied);
    run = await aimed(run);
    const observed = await observe(run);
    const problems = [...observed.problems, ...(await finish(run))];
    return judge(cell, run.plan, { ...observed, problems }, network ? ROUND_TRIP_MS : 0);
  } finally {
    await group.close();
    if (network && cell.fault.onNetwork) await network.command(commandOf(run, cell.fault.onNetwork.undo));
  }
}

/** Runs a cell; on a network that cells share, which it leaves as it was. */
export async function runCell(cell: Cell, program = faultProgram, network?: Network): Promise<Verdict> {
  if (cell.place === "loopback") return runWith(cell, program);
  if (network) return runWith(cell, program, network);
  const made = await openNetwork();
  try {
    return await runWith(cell, program, made);
  } finally {
    await made.close();
  }
}

export function openNetwork(): Promise<Network> {
  return createNetwork({ profile: NETWORK_PROFILE, hosts: NETWORK_HOSTS });
}
