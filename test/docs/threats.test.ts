/** docs/threats.md names tests that there are, by titles that they have, and commands that run them. */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const files = readdirSync(`${root}test`, { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".test.ts"))
  .map((name) => `test/${name}`);

interface Row {
  readonly number: number;
  readonly planted: readonly { readonly path: string; readonly title: string }[];
  /** Parts of names to give to npm test. */
  readonly runs: readonly string[];
}

function rowsOf(page: string): Row[] {
  return [...page.matchAll(/^\| (\d+) \| [^|]+ \| [^|]+ \| ([^|]+) \| ([^|]+) \|$/gm)].map(
    ([, number, planted, runs]) => ({
      number: Number(number),
      planted: [...planted!.matchAll(/\[[\w-]+\]\(\.\.\/([\w/.-]+)\): "([^"]+)"/g)].map(
        ([, path, title]) => ({
          path: path!,
          title: title!,
        }),
      ),
      runs: [...runs!.matchAll(/`npm test -- ([\w/.-]+)`/g)].map(([, part]) => part!),
    }),
  );
}

/** Titles of a file's tests; one that is made of parts ends before the first of them. */
function titlesOf(text: string): string[] {
  return [...text.matchAll(/\btest\(\s*(?:"([^"\n]+)"|`([^`$]+))/g)].map(([, whole, start]) =>
    (whole ?? start!).replace(/[\s:]+$/, ""),
  );
}

/** What is wrong with the rows, where `read` gives a test file's text. */
function complaints(
  rows: readonly Row[],
  paths: readonly string[],
  read: (path: string) => string,
): string[] {
  const found: string[] = [];
  for (const { number, planted, runs } of rows) {
    if (planted.length === 0) found.push(`${number}: no test`);
    for (const { path, title } of planted) {
      if (!paths.includes(path)) found.push(`${number}: there is no ${path}`);
      else if (!titlesOf(read(path)).includes(title)) found.push(`${number}: ${path} has no "${title}"`);
      if (!numbersOf(title).includes(number)) found.push(`${number}: "${title}" does not say its number`);
    }
    const run = runs.map((part) => paths.filter((path) => path.includes(part)).join());
    const named = new Set(planted.map(({ path }) => path));
    if (run.join() !== [...named].join()) found.push(`${number}: the commands run ${run}`);
  }
  return found;
}

/** "threat 6: ..." or "threats 6 and 11: ...". */
function numbersOf(title: string): number[] {
  const [, numbers = ""] = /^threats? ((?:\d+(?:, | and )?)+)/.exec(title) ?? [];
  return [...numbers.matchAll(/\d+/g)].map(Number);
}

const rows = rowsOf(readFileSync(`${root}docs/threats.md`, "utf8"));
const read = (path: string) => readFileSync(root + path, "utf8");

test("each row names tests that there are, and runs them", () => {
  assert.equal(complaints(rows, files, read), []);
});

test("each threat that a test plants has a row, and each row one number", () => {
  const planted = files.flatMap((path) => titlesOf(read(path)).flatMap(numbersOf));
  const expected = [...new Set(planted)].sort((a, b) => a - b);
  assert.ok(expected.length >= 24, `${expected}`);
  assert.equal(
    rows.map(({ number }) => number),
    expected,
  );
});

test("a wrong file, title, number or command is found", () => {
  const paths = ["test/a.test.ts", "test/b.test.ts"];
  // Put together here, so that this file has no such titles itself.
  const call = "test" + "(";
  const text = `${call}"threat 1: x", () => {});\n  ${call}\n    \`threats 2 and 3, y: $\{z}\`, () => {});`;
  const row = (number: number, path: string, title: string, part: string) =>
    complaints(
      rowsOf(`| ${number} | t | s | [a](../${path}): "${title}" | \`npm test -- ${part}\` |`),
      paths,
      () => text,
    ).length;
  assert.is(row(1, "test/a.test.ts", "threat 1: x", "test/a"), 0);
  assert.is(row(3, "test/a.test.ts", "threats 2 and 3, y", "test/a"), 0);
  assert.is(row(1, "test/c.test.ts", "threat 1: x", "test/a"), 2);
  assert.is(row(1, "test/a.test.ts", "threat 1", "test/a"), 1);
  assert.is(row(2, "test/a.test.ts", "threat 1: x", "test/a"), 1);
  assert.is(row(1, "test/a.test.ts", "threat 1: x", "test/b"), 1);
  assert.is(row(1, "test/a.test.ts", "threat 1: x", "test"), 1);
});

test.run();
