/** gradmesh reward: who earned what in a run, and why, from its audited ledger. */
import { Command } from "commander";
import { GradmeshError } from "../../base/errors.js";
import type { Account } from "../../ledger/events.js";
import type { Effect } from "../../ledger/rules/effect.js";
import type { LedgerState } from "../../ledger/rules/state.js";
import { accountMeaning, accountNamed, auditedFile, fileMeaning } from "../ledger-source.js";
import { amountsJson, tableLines } from "../text.js";

/** What an account's deeds came to. Amounts are units. */
interface Earnings {
  accepted: number;
  rejected: number;
  /** Matured rewards of its work and of its delegations, and prizes. */
  work: bigint;
  delegation: bigint;
  prizes: bigint;
  /** Slashes and fines. */
  lost: bigint;
  claimed: bigint;
  readonly why: Effect[];
}

const newEarnings = (): Earnings => ({
  accepted: 0,
  rejected: 0,
  work: 0n,
  delegation: 0n,
  prizes: 0n,
  lost: 0n,
  claimed: 0n,
  why: [],
});

function count(earned: Earnings, { type, amount = 0n, reason = "" }: Effect): void {
  if (type === "accepted") earned.accepted += 1;
  else if (type === "rejected") earned.rejected += 1;
  else if (type === "slashed") earned.lost += amount;
  else if (type === "claimed") earned.claimed += amount;
  else if (type !== "paid") return;
  else if (reason === "work") earned.work += amount;
  else if (reason.startsWith("delegated")) earned.delegation += amount;
  else earned.prizes += amount;
}

const told: readonly Effect["type"][] = [
  "accepted",
  "rejected",
  "paid",
  "claimed",
  "slashed",
  "settled",
  "ejected",
];

/** What the effects of a ledger's records mean for each account. */
export function earningsOf(effects: Iterable<Effect>): Map<Account, Earnings> {
  const found = new Map<Account, Earnings>();
  for (const effect of effects) {
    const { account, type } = effect;
    if (account === undefined || !told.includes(type)) continue;
    const earned = found.get(account) ?? newEarnings();
    found.set(account, earned);
    count(earned, effect);
    earned.why.push(effect);
  }
  return found;
}

function rowsOf(state: LedgerState, earnings: ReadonlyMap<Account, Earnings>) {
  return [...state.accounts.values()]
    .filter(({ account, shares, locked }) => earnings.has(account) || shares > 0n || locked > 0n)
    .map(({ account, name, ejected, locked, claimable, shares }) => {
      const { why: _, ...earned } = earnings.get(account) ?? newEarnings();
      return { account, name, ejected, ...earned, locked, claimable, shares };
    })
    .sort((a, b) =>
      a.shares === b.shares ? (a.account < b.account ? -1 : 1) : a.shares > b.shares ? -1 : 1,
    );
}

const columns = [
  ["accepted", "accepted"],
  ["rejected", "rejected"],
  ["work", "work"],
  ["delegation", "delegation"],
  ["prizes", "prizes"],
  ["lost", "lost"],
  ["locked", "locked"],
  ["claimable", "claimable"],
  ["claimed", "claimed"],
  ["shares", "shares"],
] as const;

function table(rows: ReturnType<typeof rowsOf>): string[] {
  const cells = [
    ["peer", ...columns.map(([, title]) => title)],
    ...rows.map((row) => [
      `${row.name === "" ? row.account.slice(0, 12) : row.name}${row.ejected ? " (ejected)" : ""}`,
      ...columns.map(([key]) => `${row[key]}`),
    ]),
  ];
  return tableLines(cells, "  ", 1);
}

function whyLine({ time, round, type, amount, reason, transition, dispute }: Effect): string {
  const where = [
    round === undefined ? "" : `round ${round + 1}`,
    dispute === undefined ? "" : `dispute ${dispute}`,
    transition === undefined ? "" : `transition ${transition}`,
  ].filter((part) => part !== "");
  const what = amount === undefined ? type : `${type} ${amount}`;
  return `${new Date(time).toISOString()}  ${[...where, what].join(", ")}${reason === undefined ? "" : `: ${reason}`}`;
}

function one(path: string, earnings: ReadonlyMap<Account, Earnings>, name: string): Earnings {
  const found = earnings.get(accountNamed(name));
  if (found !== undefined) return found;
  throw new GradmeshError(
    "ERR_LEDGER",
    `${path}: nothing was earned or lost by ${name}; gradmesh reward lists who did`,
  );
}

export function rewardCommand(): Command {
  return new Command("reward")
    .description("Audits a run's ledger, then says who earned what, and for one account why.")
    .argument("<file>", fileMeaning)
    .argument("[account]", accountMeaning)
    .option("--json", "the same as JSON")
    .action(async (path: string, name: string | undefined, { json }: { json?: boolean }) => {
      const effects: Effect[] = [];
      const { state } = await auditedFile(path, (_, did) => effects.push(...did));
      const earnings = earningsOf(effects);
      const rows = rowsOf(state, earnings);
      const data = name === undefined ? rows : one(path, earnings, name);
      const lines = name === undefined ? table(rows) : one(path, earnings, name).why.map(whyLine);
      process.stdout.write(`${json ? amountsJson(data) : lines.join("\n")}\n`);
    });
}
