/** Text that several commands print: hashes cut short, JSON with amounts, tables. */

/** Of an account or hash, enough to tell it from others. */
export const short = (hex: string) => `${hex.slice(0, 12)}…`;

/** Amounts may be beyond what JSON's readers keep exactly, so they are text. */
export function amountsJson(value: unknown): string {
  return JSON.stringify(value, (_, part) => (typeof part === "bigint" ? `${part}` : part), 2);
}

/** One line a row. @param left how many of the columns, from the first on, are set flush left. */
export function tableLines(rows: readonly (readonly string[])[], gap: string, left = 0): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const cell = (text: string, column: number) =>
    column < left ? text.padEnd(widths[column]!) : text.padStart(widths[column]!);
  return rows.map((row) => row.map(cell).join(gap).trimEnd());
}
