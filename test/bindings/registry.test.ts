/** The generator's reading of registries, and the table of codecs that it writes. */
import { test } from "uvu";
import * as assert from "uvu/assert";

// Plain JavaScript without types; it must run before TypeScript is installed.
const load = (name: string) => import(new URL(`../../../bindings/${name}`, import.meta.url).href);
const { parseCodecs, parseRows } = await load("registry.mjs");
const { codecDocs } = await load("codec-docs.mjs");

const text = `// GM_CODEC(in, a, comment)
GM_CODEC(first, 0, "8 bits, a scale", "none, ever", "kept | all", "a paper (2020)")
GM_NUMBER(first, block, 256, 16, 4096, "elements, in all")
GM_CHOICE(first, scale, 1, "pow2 fp32", "of a block")
GM_CASE("first:block=16,scale=pow2")
GM_CODEC(second, 1, "", "x", "y", "z")
`;

test("strings hold commas, parentheses and nothing", () => {
  assert.equal(parseCodecs(text), {
    rows: [
      {
        name: "first",
        id: 0,
        wire: "8 bits, a scale",
        error: "none, ever",
        special: "kept | all",
        source: "a paper (2020)",
        options: [
          { name: "block", initial: 256, least: 16, most: 4096, doc: "elements, in all" },
          { name: "scale", initial: "fp32", choices: ["pow2", "fp32"], doc: "of a block" },
        ],
      },
      { name: "second", id: 1, wire: "", error: "x", special: "y", source: "z", options: [] },
    ],
    cases: ["first", "first:block=16,scale=pow2", "second"],
  });
});

test("a row that is no row is refused with its text", () => {
  for (const [bad, pattern] of [
    ["GM_OP(a, 1,)", /not a list.*GM_OP\(a, 1,\)/],
    ['GM_OP(a, "b)', /not a list/],
    ["GM_OP(a b, c)", /not a list/],
    ["GM_OP(a,", /one line/],
    ["GM_OP(a)", /has 2 fields, this row has 1/],
    ["GM_OTHER(a, b)", /unknown macro; known: GM_OP/],
  ] as const)
    assert.throws(() => parseRows(bad, { GM_OP: 2 }), pattern);
  assert.throws(() => parseCodecs('GM_NUMBER(none, block, 1, 1, 2, "")'), /there is no codec none/);
});

test("the table says what was measured, and what was not", () => {
  const codecs = parseCodecs(text);
  assert.match(codecDocs(codecs, null), /No speed has been measured/);
  assert.match(codecDocs(codecs, null), /\| `second` \| \? \|( {2}\|){4} not measured \|/);
  const time = {
    backend: "avx2",
    operation: "encode",
    size: 2 ** 28,
    bytes: 2 ** 28,
    seconds: 0.1,
    ratio: 0.5,
  };
  const found = {
    codec: "second",
    bits: 16,
    linear: false,
    unbiased: true,
    contractive: false,
    exactSum: true,
  };
  const results = {
    machine: "a CPU",
    date: "today",
    cases: [{ ...found, times: [time, { ...time, backend: "avx512", seconds: 0.02, ratio: 0.9 }] }],
  };
  const docs = codecDocs(codecs, results);
  assert.match(docs, "| `second` | 2 |  | yes |  | yes | 13.4 (0.90) | not measured |");
  assert.match(docs, "a CPU, avx512, today");
  assert.match(docs, "kept \\| all");
});

test.run();
