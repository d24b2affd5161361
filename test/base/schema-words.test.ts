/** What schemas allow, in words. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { z } from "zod";
import { describeKeys } from "../../lib/base/schema-words.js";

const described = (schema: z.ZodType) =>
  describeKeys(z.object({ key: schema }))[0] ?? { key: "", allowed: "", default: undefined, meaning: "" };

test("every kind of value has its words", () => {
  const cases: readonly [z.ZodType, string][] = [
    [z.int().min(1).max(16), "an integer from 1 to 16"],
    [z.int().min(256).max(1024).multipleOf(256), "a multiple of 256 from 256 to 1024"],
    [z.number().min(0).lt(1), "a number from 0 to less than 1"],
    [z.number().gt(0).max(1), "a number above 0 to 1"],
    [z.number(), "a number"],
    [z.boolean(), "true or false"],
    [z.enum(["a", "b"]), '"a", "b"'],
    [z.literal("a"), '"a"'],
    [z.string().min(1).max(9), "text of 1 to 9 characters"],
    [z.int().min(1).max(2).nullable(), "an integer from 1 to 2, or null"],
    [z.array(z.boolean()).max(3), "a list of at most 3 entries, each true or false"],
    [z.array(z.boolean()), "a list, each true or false"],
    [z.array(z.tuple([z.boolean(), z.null()])), "a list, each [true or false, null]"],
    [z.record(z.string(), z.unknown()), "an object"],
    [z.unknown().meta({ allowed: "as I say" }), "as I say"],
  ];
  for (const [schema, words] of cases) assert.is(described(schema).allowed, words);
});

test("a row has the default and the meaning; sections are flattened under their prefix", () => {
  const schema = z.object({
    plain: z.boolean().default(false).describe("why"),
    changed: z
      .string()
      .transform((text) => text.length)
      .default(3)
      .meta({ allowed: "text", initial: null }),
    section: z.object({ inner: z.int().min(0).max(1).default(1) }),
  });
  assert.equal(describeKeys(schema, "at."), [
    { key: "at.plain", allowed: "true or false", default: false, meaning: "why" },
    { key: "at.changed", allowed: "text", default: null, meaning: "" },
    { key: "at.section.inner", allowed: "an integer from 0 to 1", default: 1, meaning: "" },
  ]);
});

test.run();
