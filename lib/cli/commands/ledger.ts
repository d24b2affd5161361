/** gradmesh ledger: shows a ledger's records, audits it, says who has what, and exports it. */
import { Command, InvalidArgumentError } from "commander";
import { GradmeshError } from "../../base/errors.js";
import { formatBytes, formatCount } from "../../base/format.js";
import type { AuditReport } from "../../ledger/audit.js";
import type { LedgerRecord } from "../../ledger/events.js";
import { recordJson, writeExport } from "../../ledger/export.js";
import { faultOf, withSource } from "../../ledger/file.js";
import type { Head } from "../../ledger/head.js";
import { decodeRecord, recordHash } from "../../ledger/record.js";
import { booksOf } from "../../ledger/rules/digest.js";
import type { AccountState, LedgerState } from "../../ledger/rules/state.js";
import { peerIdOfAccount } from "../../ledger/sign.js";
import { accountMeaning, accountNamed, auditedFile, auditFile, fileMeaning } from "../ledger-source.js";
import { wholeNumber } from "../options.js";
import { short } from "../text.js";

function valueText(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(valueText).join(" ")}]`;
  if (typeof value !== "string") return `${value}`;
  return /^[0-9a-f]{24,}$/.test(value) ? short(value) : JSON.stringify(value);
}

function recordLine({ seq, time, author, event }: LedgerRecord): string {
  const { kind, ...body } = event;
  const fields = Object.entries(body).map(([name, value]) => `${name} ${valueText(value)}`);
  const when = new Date(time).toISOString();
  return `${String(seq).padStart(8)}  ${when}  ${short(author)}  ${kind}${fields.length > 0 ? ": " : ""}${fields.join(", ")}`;
}

function decodeAt(path: string, bytes: Buffer, seq: number): LedgerRecord {
  try {
    return decodeRecord(bytes);
  } catch (error) {
    if (!(error instanceof GradmeshError)) throw error;
    const cure = "gradmesh ledger verify says what was changed";
    throw new GradmeshError(
      "ERR_LEDGER",
      `record ${seq} of ${path} cannot be read: ${error.message}; ${cure}`,
      {
        cause: error,
      },
    );
  }
}

function showCommand(): Command {
  return new Command("show")
    .description("Prints the records in their order, without checking them.")
    .argument("<file>", fileMeaning)
    .option("--from <seq>", "the first record", wholeNumber(0, Number.MAX_SAFE_INTEGER), 0)
    .option("--limit <count>", "at most so many records", wholeNumber(1, Number.MAX_SAFE_INTEGER), 50)
    .option("--json", "a JSON object a line, with every field whole")
    .action(async (path: string, flags: { from: number; limit: number; json?: boolean }) => {
      await withSource(path, (source) => {
        let seq = flags.from;
        for (const page of source.pages(flags.from, flags.from + flags.limit))
          for (const bytes of page) {
            const record = decodeAt(path, bytes, seq++);
            process.stdout.write(
              `${flags.json ? recordJson(record, recordHash(bytes)) : recordLine(record)}\n`,
            );
          }
      });
    });
}

/** count:hash, as a receipt or another peer's ledger has it. */
function knownHead(text: string): Pick<Head, "count" | "hash"> {
  const match = /^(\d{1,15}):([0-9a-f]{64})$/.exec(text);
  if (match === null || Number(match[1]) < 1)
    throw new InvalidArgumentError(
      "COUNT:HASH is allowed, a count from 1 and 64 lowercase hexadecimal characters.",
    );
  return { count: Number(match[1]), hash: match[2]! };
}

function hashText(text: string): string {
  if (!/^[0-9a-f]{64}$/.test(text))
    throw new InvalidArgumentError("64 lowercase hexadecimal characters are allowed.");
  return text;
}

interface VerifyFlags {
  head?: Pick<Head, "count" | "hash">;
  id?: string;
  json?: boolean;
}

function verifyLines(path: string, report: AuditReport<LedgerState>): string[] {
  const { count, ledgerId, sequencer, head, hash, time } = report;
  const books = Object.entries(booksOf(report.state)).map(([place, amount]) => `${place} ${amount}`);
  return [
    `${path}: all ${formatCount(count)} records hold; the last is of ${new Date(time).toISOString()}`,
    `  ledger     ${ledgerId}`,
    `  sequencer  ${sequencer}`,
    `  head       ${count}:${hash}`,
    head === undefined
      ? "  signed by nobody: an end that was cut off would not be noticed"
      : `  signed     ${head.count}:${head.hash}`,
    `  state      ${report.stateDigest}`,
    `  units      ${books.join(", ")}`,
  ];
}

function verifyCommand(): Command {
  return new Command("verify")
    .description(
      "Audits the ledger from its first byte: chain, signatures, rules, books, snapshots, signed heads.",
    )
    .argument("<file>", fileMeaning)
    .option(
      "--head <count:hash>",
      "a head known from a receipt or another peer, which the ledger must contain",
      knownHead,
    )
    .option("--id <hash>", "the ledger's id, as `ledger verify` of another peer's copy prints it", hashText)
    .option("--json", "the same as JSON")
    .action(async (path: string, { head, id, json }: VerifyFlags) => {
      const known = {
        ...(head === undefined ? {} : { known: head }),
        ...(id === undefined ? {} : { ledgerId: id }),
      };
      const report = await auditFile(path, known);
      const fault = faultOf(path, report);
      const { state: _, ...plain } = report;
      if (json) process.stdout.write(`${JSON.stringify(plain, null, 2)}\n`);
      else if (fault === null) process.stdout.write(`${verifyLines(path, report).join("\n")}\n`);
      if (fault !== null) throw fault;
    });
}

const amounts = ["free", "bonded", "delegated", "locked", "claimable", "shares"] as const;

function balanceOf(account: AccountState): Record<string, string> {
  const sum = (list: Iterable<bigint>) => [...list].reduce((total, amount) => total + amount, 0n);
  const own = amounts.map((place) => [place, `${account[place]}`]);
  const unbonding = sum(account.unbonding.map(({ amount }) => amount));
  const out = sum(account.delegations.values());
  return { ...Object.fromEntries(own), unbonding: `${unbonding}`, delegatedToOthers: `${out}` };
}

function findAccount(path: string, state: LedgerState, name: string): AccountState {
  const found = state.accounts.get(accountNamed(name));
  if (found !== undefined) return found;
  throw new GradmeshError(
    "ERR_LEDGER",
    `${path} has no account ${name}; gradmesh ledger balance lists them all`,
  );
}

function balanceLines(state: LedgerState, accounts: readonly AccountState[]): string[] {
  return accounts.flatMap((account) => [
    `${account.account}  ${peerIdOfAccount(account.account)}${account.name === "" ? "" : `  ${JSON.stringify(account.name)}`}${account.ejected ? "  EJECTED" : ""}${account.account === state.submitter ? "  submitter" : ""}`,
    `  ${Object.entries(balanceOf(account))
      .map(([place, amount]) => `${place} ${amount}`)
      .join(", ")}`,
  ]);
}

function balanceCommand(): Command {
  return new Command("balance")
    .description("Audits the ledger, then says what every account has, or one.")
    .argument("<file>", fileMeaning)
    .argument("[account]", accountMeaning)
    .option("--json", "the same as JSON")
    .action(async (path: string, name: string | undefined, { json }: { json?: boolean }) => {
      const { state } = await auditedFile(path);
      const accounts = name === undefined ? [...state.accounts.values()] : [findAccount(path, state, name)];
      const rows = accounts.map((account) => [account.account, balanceOf(account)]);
      const text = json
        ? JSON.stringify(Object.fromEntries(rows), null, 2)
        : balanceLines(state, accounts).join("\n");
      process.stdout.write(`${text}\n`);
      if (name !== undefined || json) return;
      const books = Object.entries(booksOf(state)).map(([place, amount]) => `${place} ${amount}`);
      process.stdout.write(`in all: ${books.join(", ")}\n`);
    });
}

function exportCommand(): Command {
  return new Command("export")
    .description("Writes all records to a file: .jsonl for people and scripts, .bin for another audit.")
    .argument("<file>", fileMeaning)
    .requiredOption("--out <file>", "records.jsonl or records.bin; it must not exist")
    .action(async (path: string, { out }: { out: string }) => {
      const format = out.endsWith(".jsonl") ? "jsonl" : out.endsWith(".bin") ? "bin" : null;
      if (format === null)
        throw new GradmeshError(
          "ERR_CONFIG",
          `--out is ${out}; allowed is a name that ends in .jsonl or .bin`,
        );
      const bytes = await withSource(path, (source) => writeExport(source, out, format));
      process.stdout.write(`${out}: ${formatBytes(bytes)}\n`);
    });
}

export function ledgerCommand(): Command {
  return new Command("ledger")
    .description("Reads a run's ledger: its records, whether it holds, and who has what.")
    .addCommand(showCommand())
    .addCommand(verifyCommand())
    .addCommand(balanceCommand())
    .addCommand(exportCommand());
}
