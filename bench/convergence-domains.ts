/** The two texts of the comparison of experts: sentences of a few words, made from a seed, and as much of a novel. */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { philox } from "../lib/base/random.js";
import { textPath } from "../lib/trainer/text-data.js";

const CHARACTERS = 400_000;
const SEED = 1;
const words = "the sea is deep and a ship goes".split(" ");

/** Each word decides which two may come after it, and chance which of them does: soon learned, but not to 0. */
function easyText(): string {
  let text = "";
  let word = 0;
  for (let drawn = 0; text.length < CHARACTERS; drawn++) {
    text += `${words[word]} `;
    word = (word + 1 + (philox(SEED, 0, drawn) % 2)) % words.length;
  }
  return text.slice(0, CHARACTERS);
}

/** Writes both into the folder, the easier first; their paths. @throws as the file system does. */
export async function writeDomains(folder: string): Promise<string[]> {
  const novel = await readFile(textPath("moby-dick"), "utf8");
  const paths = ["easy.txt", "novel.txt"].map((name) => join(folder, name));
  await mkdir(folder, { recursive: true });
  await writeFile(paths[0]!, easyText());
  await writeFile(paths[1]!, novel.slice(0, CHARACTERS));
  return paths;
}
