/** Text data: vocabulary, shards, windows that depend on the step alone, and unfit files. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { GradmeshError } from "../../lib/base/errors.js";
import { readTexts, TextData, type TextShard } from "../../lib/trainer/text-data.js";

const test = suite("text data", { folder: "" });

test.before(async (context) => {
  context.folder = await mkdtemp(join(tmpdir(), "gradmesh-text-"));
});
test.after(({ folder }) => rm(folder, { recursive: true, force: true }));

/** A text in which each character tells its place: the code point of place i is 1000 + i. */
const counting = (length: number) =>
  new TextData([
    {
      path: "counting",
      bytes: Buffer.from(String.fromCodePoint(...Array.from({ length }, (_, i) => 1000 + i))),
    },
  ]);
const contiguous = (shard: number, shards: number) => ({ partition: "contiguous", shard, shards }) as const;

const alone = { partition: "contiguous", shards: 1 } as const;
const shape = { batch: 3, context: 4 };
const buffers = () => [new Int32Array(12), new Int32Array(12)] as const;

async function loadText(path: string, part: Omit<TextShard, "shard">, context: number): Promise<TextData> {
  const text = await readTexts([path]);
  text.check(part, context);
  return text;
}

async function refusal(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    return `${(error as GradmeshError).code} ${(error as Error).message}`;
  }
  return assert.unreachable("it was not refused") as never;
}

test("the vocabulary is sorted by code point, characters outside the BMP too", () => {
  const text = new TextData([{ path: "memory", bytes: Buffer.from("zé\u{1f40b}a\uff01\u{1f40b}") }]);
  assert.equal(text.vocabulary, ["a", "z", "é", "\uff01", "\u{1f40b}"]);
  assert.is(text.length, 6);
});

test("training windows stay in their shard, targets are the next characters", () => {
  const text = counting(1000);
  assert.equal(text.validation, [{ start: 950, end: 1000 }]);
  for (let shard = 0; shard < 4; shard++) {
    const { start, end } = text.shard(contiguous(shard, 4));
    const seen = new Set<number>();
    for (let step = 0; step < 400; step++) {
      const [tokens, targets] = buffers();
      text.trainingBatch(shape, { seed: 5, step, ...contiguous(shard, 4) }, tokens, targets);
      tokens.forEach((token, i) => {
        assert.ok(token >= start && targets[i]! < end && targets[i] === token + 1);
        assert.ok(i % 4 === 0 || token === tokens[i - 1]! + 1);
        seen.add(targets[i]!);
      });
    }
    assert.is(seen.size, end - start - 1, "every character but the first is a target sooner or later");
  }
});

/** Two texts, each character of which tells its place in its own. */
const two = () =>
  new TextData(
    [1000, 5000].map((first, index) => ({
      path: `text${index}`,
      bytes: Buffer.from(
        String.fromCodePoint(...Array.from({ length: 400 * (index + 1) }, (_, i) => first + i)),
      ),
    })),
  );

test("by domains, shards take turns among the texts and share them equally", () => {
  const text = two();
  const part = (shard: number, shards: number) => ({ partition: "domains", shard, shards }) as const;
  const spans = [0, 1, 2, 3, 4].map((shard) => text.shard(part(shard, 5)));
  // 380 and 760 characters to train on; shards 0, 2, 4 share the first text, 1 and 3 the second.
  assert.equal(spans, [
    { start: 0, end: 126 },
    { start: 380, end: 760 },
    { start: 126, end: 252 },
    { start: 760, end: 1140 },
    { start: 252, end: 378 },
  ]);
  assert.is(text.samples(part(1, 5)), 380);
  const [tokens, targets] = buffers();
  text.trainingBatch(shape, { seed: 5, step: 0, ...part(3, 5) }, tokens, targets);
  // The vocabulary stands in the order of code points: 400 of the first text before those of the second.
  assert.ok(tokens.every((token) => token >= 780 && token < 1160));
  for (const [domain, first] of [380, 400 + 760].entries()) {
    text.validationBatch(shape, { domain, index: 0, batches: 1 }, tokens, targets);
    assert.is(tokens[0], first);
  }
});

test("iid windows come from anywhere, others for each shard, and weigh alike", () => {
  const text = two();
  const part = (shard: number) => ({ partition: "iid", shard, shards: 4 }) as const;
  const drawn = (shard: number) => {
    const [tokens, targets] = buffers();
    return Array.from({ length: 200 }, (_, step) => {
      text.trainingBatch(shape, { seed: 5, step, ...part(shard) }, tokens, targets);
      return tokens[0]!;
    });
  };
  for (const shard of [0, 3]) {
    assert.is(text.samples(part(shard)), 285);
    assert.ok(Math.min(...drawn(shard)) < 50 && Math.max(...drawn(shard)) > 1000);
  }
  assert.is.not(drawn(0).join(), drawn(3).join());
});

test("domains need two texts or more, and a shard for each", () => {
  const refused = (text: TextData, shards: number) => {
    try {
      text.check({ partition: "domains", shards }, 4);
    } catch (error) {
      return (error as Error).message;
    }
    return "";
  };
  assert.match(
    refused(counting(1000), 3),
    /data names 1 of them for 3 shards; allowed: from 2 to as many as shards/,
  );
  assert.match(refused(two(), 1), /data names 2 of them for 1 shards/);
  assert.is(refused(two(), 2), "");
});

test("a batch depends on seed, shard and step alone", () => {
  const text = counting(1000);
  const batch = (seed: number, shard: number, step: number) => {
    const [tokens, targets] = buffers();
    text.trainingBatch(shape, { seed, step, ...contiguous(shard, 4) }, tokens, targets);
    return tokens.map((token) => token - text.shard(contiguous(shard, 4)).start).join();
  };
  assert.is(batch(1, 2, 3), batch(1, 2, 3));
  assert.is(new Set([batch(1, 2, 3), batch(2, 2, 3), batch(1, 3, 3), batch(1, 2, 4)]).size, 4);
});

test("validation windows are spread evenly over the last 5 % and never change", () => {
  const text = counting(1000);
  const firsts = [0, 1].flatMap((index) => {
    const [tokens, targets] = buffers();
    text.validationBatch(shape, { domain: 0, index, batches: 2 }, tokens, targets);
    assert.ok(targets.every((target, i) => target === tokens[i]! + 1 && target < 1000));
    return [tokens[0]!, tokens[4]!, tokens[8]!];
  });
  assert.equal(firsts, [950, 957, 965, 973, 980, 988]);
});

test("the shortest file that will do does, one character less names file and least size", async ({
  folder,
}) => {
  const path = join(folder, "short.txt");
  await writeFile(path, "x".repeat(99));
  const message = await refusal(loadText(path, alone, 4));
  assert.match(message, /^ERR_CONFIG data file .*short\.txt has 99 characters; 1 shards .* at least 100$/);
  for (const shards of [1, 4, 7, 30]) {
    const least = Number(
      (await refusal(loadText(path, { partition: "contiguous", shards }, 40))).match(/at least (\d+)/)?.[1],
    );
    await writeFile(join(folder, "least.txt"), "x".repeat(least));
    const text = await loadText(join(folder, "least.txt"), { partition: "contiguous", shards }, 40);
    const [tokens, targets] = [new Int32Array(40), new Int32Array(40)];
    for (let shard = 0; shard < shards; shard++) {
      text.trainingBatch(
        { batch: 1, context: 40 },
        { seed: 1, step: 0, ...contiguous(shard, shards) },
        tokens,
        targets,
      );
    }
    text.validationBatch({ batch: 1, context: 40 }, { domain: 0, index: 0, batches: 1 }, tokens, targets);
  }
});

test("a missing file and one that is not UTF-8 are named", async ({ folder }) => {
  const path = join(folder, "binary");
  await writeFile(path, Buffer.from([0x61, 0xff, 0xfe]));
  assert.match(await refusal(loadText(path, alone, 4)), /^ERR_CONFIG data file .*binary is not UTF-8 text/);
  assert.match(
    await refusal(loadText(join(folder, "none"), alone, 4)),
    /^ERR_CONFIG data file .*none cannot be read/,
  );
});

test("moby-dick is found in its package", async () => {
  const text = await loadText("moby-dick", { partition: "contiguous", shards: 4 }, 64);
  assert.is(text.length, 1_190_317);
  assert.is(text.vocabulary.length, 83);
});

test.run();
