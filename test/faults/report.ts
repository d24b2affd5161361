/** The table that a run of many cells prints. */
import type { Verdict } from "./checks.js";
import { algorithms, type Cell, faults } from "./table.js";

export interface Row {
  readonly cell: Cell;
  readonly verdict: Verdict;
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

const numbers = (values: readonly (number | null)[]) => values.filter((value) => value !== null);
const shown = (values: readonly number[]) => (values.length > 0 ? median(values).toFixed(0) : "-");

/** "seen/next of failed cells, cells": medians in milliseconds. */
function entry(rows: readonly Row[]): string {
  if (rows.length === 0) return "";
  const verdicts = rows.map(({ verdict }) => verdict);
  const seen = numbers(verdicts.map(({ seenMs }) => seenMs));
  const next = numbers(verdicts.map(({ nextMs }) => nextMs));
  return `${shown(seen)}/${shown(next)} (${rows.length})`;
}

/**
 * Fault by algorithm: median milliseconds from the fault until every survivor had its error, then until all had the next
 * result, and how many cells; behind it how the cells of a fault ended, and what share
 * salvage kept: least, median, most.
 */
export function report(rows: readonly Row[]): string {
  const header = [
    "fault",
    ...algorithms.map(({ name }) => name),
    "failed/well/split",
    "seen p50/most, ms",
    "kept, %",
  ];
  const lines = faults.flatMap((fault) => {
    const own = rows.filter(({ cell }) => cell.fault === fault);
    if (own.length === 0) return [];
    const count = (outcome: string) => own.filter(({ verdict }) => verdict.outcome === outcome).length;
    const seen = numbers(own.map(({ verdict }) => verdict.seenMs));
    const kept = numbers(own.map(({ verdict }) => verdict.kept)).map((share) => share * 100);
    return [
      [
        fault.name,
        ...algorithms.map((algorithm) => entry(own.filter(({ cell }) => cell.algorithm === algorithm))),
        `${count("failed")}/${count("well")}/${count("split")}`,
        seen.length > 0 ? `${median(seen).toFixed(1)}/${Math.max(...seen).toFixed(0)}` : "-",
        kept.length > 0
          ? `${Math.min(...kept).toFixed(0)}/${shown(kept)}/${Math.max(...kept).toFixed(0)}`
          : "-",
      ],
    ];
  });
  const width = (column: number) => Math.max(...[header, ...lines].map((line) => line[column]!.length));
  const padded = (line: readonly string[]) =>
    line
      .map((text, column) => text.padEnd(width(column)))
      .join("  ")
      .trimEnd();
  return [header, ...lines].map(padded).join("\n");
}
