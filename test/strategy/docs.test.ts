/** docs/strategies.md is what the registry says. */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { strategiesDoc } from "./strategies-doc.js";

const path = fileURLToPath(new URL("../../../docs/strategies.md", import.meta.url));

test("docs/strategies.md is up to date; GRADMESH_UPDATE_DOCS=1 writes it anew", () => {
  if (process.env.GRADMESH_UPDATE_DOCS === "1") writeFileSync(path, strategiesDoc());
  assert.is(readFileSync(path, "utf8"), strategiesDoc());
});

test.run();
