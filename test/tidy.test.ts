/** The checkout keeps its own rules; each rule's checker is itself tested on a bad example. */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";
import * as rules from "./tidy-rules.js";

const root = fileURLToPath(new URL("../..", import.meta.url));

function filesBelow(folder: string, pattern: RegExp): rules.Source[] {
  if (!existsSync(join(root, folder))) return [];
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && pattern.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length))
    .sort()
    .map((path) => ({ path, text: readFileSync(join(root, path), "utf8") }));
}

function fileAt(path: string): rules.Source {
  return { path, text: readFileSync(join(root, path), "utf8") };
}

const typescript = ["lib", "test", "bench"].flatMap((folder) => filesBelow(folder, /\.ts$/));
const lib = typescript.filter(({ path }) => path.startsWith("lib/"));
const nativeCode = filesBelow("native", /\.(cpp|h|def)$/);
const cudaCode = filesBelow("cuda", /\.(cu|h)$/);
const scripts = ["scripts", "bindings"].flatMap((folder) => filesBelow(folder, /\.(mjs|cpp|h|def)$/));
const nativeTests = filesBelow("test/native", /\.(cpp|h)$/);
const everything = [...typescript, ...nativeCode, ...cudaCode, ...scripts, ...nativeTests];
const isGenerated = ({ path }: rules.Source) => /\.gen\.(ts|h)$/.test(path);

/** No file breaks the rule, and each bad example does. */
function rule(
  name: string,
  sources: readonly rules.Source[],
  check: (source: rules.Source) => string[],
  bad: readonly [path: string, text: string][],
): void {
  test(name, () => {
    assert.ok(sources.length > 0, "the rule looks at no file");
    for (const [path, text] of bad)
      assert.is.not(check({ path, text }).length, 0, `not caught: ${path}: ${text}`);
    assert.equal(sources.flatMap(check), []);
  });
}

rule("rooms of lib import only earlier rooms", lib, rules.libOrder, [
  ["lib/base/a.ts", 'import { x } from "../peer/x.js";'],
  ["lib/group/a.ts", 'import type {\n  X,\n} from "../run/x.js";'],
  ["lib/base/a.ts", 'export * from "../cli/x.js";'],
  ["lib/base/a.ts", 'const x = await import("../cli/x.js");'],
  ["lib/misc/a.ts", ""],
]);

test("an import of an earlier room, of one's own room and of a package is fine", () => {
  const text = 'import a from "../base/a.js";\nimport b from "./b.js";\nimport c from "zod";';
  assert.equal(rules.libOrder({ path: "lib/peer/x.ts", text }), []);
});

rule("rooms of native include only earlier rooms", nativeCode, rules.nativeOrder, [
  ["native/base/a.h", '#include "codec/codec.h"'],
  ["native/codec/isa/a.cpp", '#  include "collective/schedule.h"'],
  ["native/misc/a.h", ""],
]);

const written = everything.filter((source) => !isGenerated(source));
rule("files are short", written, rules.fileSize, [["lib/a.ts", "\n".repeat(401)]]);

rule("nothing is left for later", everything, rules.unfinishedWork, [
  ["lib/a.ts", `// ${"TO"}${"DO"}: later`],
]);

rule("every TypeScript file says what it is for", typescript, rules.headComment, [
  ["lib/a.ts", 'import a from "a";\n/** late */'],
  ["lib/a.ts", ""],
]);

const builds = [
  ...filesBelow("cmake", /\.cmake$/),
  ...["CMakeLists.txt", "cuda/CMakeLists.txt", "cuda/host/CMakeLists.txt"].map(fileAt),
];
const kernels = [...nativeCode, ...cudaCode, ...builds];
rule("kernels use no libm and no fast math", kernels, rules.exactArithmetic, [
  ["native/ops/a.h", "float y = std::exp(x);"],
  ["native/ops/a.h", "float y = expf(x);"],
  ["native/collective/a.h", "float y = ::tanhf(x);"],
  ["native/ops/a.h", "double y = exp(x);"],
  ["native/ops/a.h", "y = __builtin_tanhf (x);"],
  ["native/codec/a.h", "y = std::fma(a, b, c);"],
  ["cuda/codec/a.cu", "y = expf(x);"],
  ["CMakeLists.txt", "add_compile_options(-ffast-math)"],
]);

test("our own functions, and words in comments, are not libm", () => {
  const text = "// std::exp( is forbidden\nfloat y = exact::exp(x) + exact::fma(a, b, c) + my_expf(x);";
  assert.equal(rules.exactArithmetic({ path: "native/ops/a.h", text }), []);
});

rule(
  "only bindings/node includes napi.h",
  [...nativeCode, ...scripts, ...nativeTests],
  rules.napiOnlyInBindings,
  [
    ["native/abi/a.cpp", "#include <napi.h>"],
    ["test/native/a.cpp", '#include "node_api.h"'],
  ],
);

test("every file in lib is reached from an entry point", () => {
  const bad = [
    { path: "lib/index.ts", text: 'export * from "./base/a.js";' },
    { path: "lib/base/a.ts", text: "" },
    { path: "lib/base/b.ts", text: 'import "./a.js";' },
  ];
  assert.equal(rules.deadFiles(bad, ["lib/index.ts"]), ["lib/base/b.ts: nothing imports it"]);
  const manifest = JSON.parse(fileAt("package.json").text);
  const published = [
    ...Object.values(manifest.bin),
    ...Object.values(manifest.exports).map((entry) => (entry as { default: string }).default),
  ];
  const entries = (published as string[]).map((path) =>
    path.replace(/^(\.\/)?dist\//, "").replace(/\.js$/, ".ts"),
  );
  assert.ok(
    entries.every((path) => existsSync(join(root, path))),
    `entry points: ${entries}`,
  );
  assert.equal(rules.deadFiles(lib, entries), []);
});

test("documents link only to what is there", () => {
  const bad = {
    path: "docs/a.md",
    text: "[a](b.md) [b](../c.md#d) [c](https://x.y) [d](#e)\n```\n[e](f)\n```",
  };
  assert.equal(rules.brokenLinks(bad, () => false).length, 2);
  const documents = [
    ...readdirSync(root),
    ...readdirSync(join(root, "docs")).map((name) => `docs/${name}`),
  ].filter((name) => name.endsWith(".md"));
  assert.ok(documents.includes("ARCHITECTURE.md") && documents.includes("docs/codecs.md"));
  const broken = documents.flatMap((path) =>
    rules.brokenLinks(fileAt(path), (link) => existsSync(join(root, link))),
  );
  assert.equal(broken, []);
});

test("package-lock.json is of this package.json", () => {
  const bad = rules.staleLock(
    { dependencies: { a: "1" } },
    { packages: { "": { dependencies: { a: "2" } } } },
  );
  assert.equal(bad, ["package-lock.json: a is 2, package.json says 1"]);
  const read = (path: string) => JSON.parse(fileAt(path).text);
  assert.equal(rules.staleLock(read("package.json"), read("package-lock.json")), []);
});

test("generated files are fresh", () => {
  execFileSync(process.execPath, [join(root, "bindings", "generate.mjs"), "--check"], { stdio: "pipe" });
});

test.run();
