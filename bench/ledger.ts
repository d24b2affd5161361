/** The ledger: appends a second, from signed events to disk, and records a second of an audit that believes nothing. */
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { availableParallelism, cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { systemClock } from "../lib/base/clock.js";
import { GradmeshError } from "../lib/base/errors.js";
import { formatCount } from "../lib/base/format.js";
import { audit } from "../lib/ledger/audit.js";
import type { EventBody, LedgerEvent, SignedEvent } from "../lib/ledger/events.js";
import { Sequencer } from "../lib/ledger/ledger.js";
import { encodeEvent } from "../lib/ledger/record.js";
import { runRules } from "../lib/ledger/rules/apply.js";
import { type Signer, signEvent, signerOf } from "../lib/ledger/sign.js";
import { SignatureChecker } from "../lib/ledger/signatures.js";
import { openStore } from "../lib/ledger/store.js";
import { generateIdentity } from "../lib/peer/identity.js";
import { median } from "./median.js";

const MINUTE_MS = 60_000n;
const DAY_MS = 1440n * MINUTE_MS;

const genesis: EventBody<"RunCreated"> = {
  recipe: "00".repeat(32),
  parameters: "00".repeat(32),
  inner: "00".repeat(32),
  firstRound: 0,
  unitSteps: 16,
  roundReward: 1000n,
  stakeMin: 1n,
  disputeBond: 1n,
  sampleRate: 50_000,
  sampleFloor: 10_000,
  verifiers: 1,
  slashRate: 500_000,
  challengerShare: 400_000,
  forcedErrorPrize: 1n,
  commitSpan: MINUTE_MS,
  revealSpan: MINUTE_MS,
  verdictSpan: MINUTE_MS,
  moveSpan: MINUTE_MS,
  lockSpan: DAY_MS,
  unbondSpan: 30n * DAY_MS,
};

/** What every account does over and over: stake moves, and the books must balance after each. */
const cycle: readonly LedgerEvent[] = [
  { kind: "Bonded", amount: 2n },
  { kind: "UnbondRequested", amount: 1n },
  { kind: "Rebonded", amount: 1n },
];

function eventsOf(authors: readonly Signer[], ledgerId: string, count: number): SignedEvent[] {
  const registered: LedgerEvent = {
    kind: "Registered",
    capabilities: 2,
    commission: 0,
    entry: "00".repeat(32),
    name: "bench",
  };
  return Array.from({ length: count }, (_, index) => {
    const turn = Math.floor(index / authors.length);
    const event = turn === 0 ? registered : cycle[(turn - 1) % cycle.length]!;
    return signEvent(authors[index % authors.length]!, ledgerId, BigInt(turn + 1), event);
  });
}

/** Events that are on their way at once, as of many peers. */
const WINDOW = 16_384;
/** Threads start and code is compiled before the time counts. */
const WARM = 2048;

function perSecond(count: number, from: number): number {
  return count / ((performance.now() - from) / 1000);
}

/**
 * Only the signatures, on the same threads: what appends and audits are to come near, for they check each of them too. Timed
 * alone before them, so what else the machine does may make either look faster.
 */
async function timeSignatures(events: readonly SignedEvent[], ledgerId: string, threads: number) {
  const checker = new SignatureChecker(threads);
  const bytes = events.map(encodeEvent);
  await checker.check(ledgerId, bytes.slice(0, WARM));
  const from = performance.now();
  const good = await checker.check(ledgerId, bytes);
  const rate = perSecond(bytes.length, from);
  await checker.close();
  if (good.includes(0)) throw new GradmeshError("ERR_INTERNAL", "a signature of the benchmark does not hold");
  return rate;
}

/** From the first submission to the last event on disk, a window at a time. */
async function timeAppends(path: string, count: number, accounts: number, threads: number) {
  const signer = signerOf(generateIdentity());
  const ledger = Sequencer.open({ path, signer, clock: systemClock, rules: runRules, genesis, threads });
  const authors = Array.from({ length: accounts }, () => signerOf(generateIdentity()));
  const deposits = authors.map(({ account }) => ({
    kind: "Deposited" as const,
    account,
    amount: 10n ** 12n,
  }));
  await Promise.all(deposits.map((event) => ledger.append(event)));
  const events = eventsOf(authors, ledger.ledgerId, count);
  const signatures = await timeSignatures(events, ledger.ledgerId, threads);
  const warm = Math.min(WARM, count >> 1);
  await Promise.all(events.slice(0, warm).map((event) => ledger.submit(event)));
  const from = performance.now();
  for (let start = warm; start < count; start += WINDOW)
    await Promise.all(events.slice(start, start + WINDOW).map((event) => ledger.submit(event)));
  const appends = perSecond(count - warm, from);
  await ledger.close();
  return { appends, signatures };
}

async function timeAudit(path: string, threads: number) {
  const store = openStore(path, { readOnly: true });
  const from = performance.now();
  const { fault, count, hash } = await audit(store, { rules: runRules, threads });
  const audited = perSecond(count, from);
  store.close();
  if (fault !== null)
    throw new GradmeshError("ERR_LEDGER", `the benchmark's ledger does not hold: ${fault.reason}`);
  return { audited, count, hash };
}

const help = `bench ledger [options]
  --events N      events that are appended and audited; default 60000
  --accounts N    who sign them; default 256
  --trials N      each on a ledger of its own; default 5
  --threads N     for signatures; default: the machine's
`;

export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      events: { type: "string", default: "60000" },
      accounts: { type: "string", default: "256" },
      trials: { type: "string", default: "5" },
      threads: { type: "string", default: String(availableParallelism()) },
      help: { type: "boolean" },
    },
  });
  if (values.help) return void process.stdout.write(help);
  const [events, accounts, trials, threads] = [
    values.events,
    values.accounts,
    values.trials,
    values.threads,
  ].map(Number) as [number, number, number, number];
  for (const [name, value] of Object.entries({ events, accounts, trials, threads }))
    if (!Number.isInteger(value) || value < 1)
      throw new GradmeshError(
        "ERR_CONFIG",
        `--${name} is ${values[name as "events"]}; allowed is an integer from 1`,
      );
  process.stdout.write(
    `${cpus()[0]?.model}, ${cpus().length} cores; ${formatCount(events)} events of ${formatCount(accounts)} accounts, ${threads} threads for signatures, SQLite WAL with synchronous=FULL\n` +
      "trial  signatures/s   appends/s  of it   audited/s  of it  bytes/record  head\n",
  );
  const rates: { signatures: number; appends: number; audited: number }[] = [];
  for (let trial = 1; trial <= trials; trial++) {
    const folder = mkdtempSync(join(tmpdir(), "gradmesh-bench-"));
    try {
      const path = join(folder, "ledger.db");
      const { appends, signatures } = await timeAppends(path, events, accounts, threads);
      const { audited, count, hash } = await timeAudit(path, threads);
      rates.push({ signatures, appends, audited });
      const share = (rate: number) => (rate / signatures).toFixed(2).padStart(5);
      process.stdout.write(
        `${String(trial).padStart(5)}  ${formatCount(signatures).padStart(12)}  ${formatCount(appends).padStart(10)}  ${share(appends)}  ` +
          `${formatCount(audited).padStart(10)}  ${share(audited)}  ${(statSync(path).size / count).toFixed(0).padStart(12)}  ${hash.slice(0, 16)}\n`,
      );
    } finally {
      rmSync(folder, { recursive: true });
    }
  }
  const middle = (name: keyof (typeof rates)[number]) => formatCount(median(rates.map((rate) => rate[name])));
  process.stdout.write(
    `median of ${trials}: ${middle("appends")} appends/s, ${middle("audited")} audited records/s, where signatures alone take ${middle("signatures")}/s\n`,
  );
}
