// Fuzzes the codecs for as long as asked: `npm run fuzz [-- --minutes 10]`. With clang and its runtime libFuzzer chooses the
// inputs and keeps those that reach new code in build/fuzz/corpus; without, a driver of our own draws them from a seed.
// (Debian: clang-14 and libclang-rt-14-dev.) An input that fails is kept (build/fuzz/crash-*) or named by its number.
import { spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const tree = join(root, "build", "fuzz");
/** Longer inputs reach nothing new: a block and its scales are shorter. */
const INPUT_BYTES_MOST = 20_000;

/** Runs a program before the user's eyes; true where it succeeded. */
const run = (command, args, cwd = root) => spawnSync(command, args, { cwd, stdio: "inherit" }).status === 0;

/** The first clang that can link libFuzzer, or undefined. */
function findClang() {
  const source = 'extern "C" int LLVMFuzzerTestOneInput(const unsigned char*, unsigned long) { return 0; }';
  const args = ["-fsanitize=fuzzer,address", "-x", "c++", "-", "-o", "/dev/null"];
  return [process.env.CXX, "clang++", ...[20, 19, 18, 17, 16, 15, 14].map((version) => `clang++-${version}`)]
    .filter((name) => name !== undefined)
    .find((name) => spawnSync(name, args, { input: source }).status === 0);
}

function main() {
  const { values } = parseArgs({
    options: {
      minutes: { type: "string", default: "5" },
      seed: { type: "string", default: String(Date.now() % 1e9) },
    },
  });
  const seconds = Math.round(Number(values.minutes) * 60);
  const seed = Number(values.seed);
  if (!(seconds >= 1) || !Number.isSafeInteger(seed) || seed < 1) {
    console.error(
      `--minutes is ${values.minutes}, --seed ${values.seed}; allowed: positive numbers, the seed whole`,
    );
    return false;
  }
  const clang = findClang();
  console.log(
    clang ? `libFuzzer of ${clang}` : "no clang with libFuzzer: the inputs are drawn by our own driver",
  );
  const compiler = clang ? [`-DCMAKE_CXX_COMPILER=${clang}`, "-DGRADMESH_FUZZ=ON"] : ["-DGRADMESH_FUZZ=OFF"];
  const options = ["-DGRADMESH_NODE=OFF", "-DGRADMESH_SANITIZE=ON", "-DCMAKE_BUILD_TYPE=Release"];
  // Not over another compiler's configuration.
  const folder = join(tree, clang ? "clang" : "driver");
  const build = ["--build", folder, "--target", "fuzz_codec", "--parallel", String(availableParallelism())];
  if (!run("cmake", ["-S", root, "-B", folder, ...compiler, ...options]) || !run("cmake", build))
    return false;
  const program = join(folder, "test", "native", "fuzz_codec");
  const corpus = join(tree, "corpus");
  mkdirSync(corpus, { recursive: true });
  // Long inputs from the start: one that ends before its wire says little.
  const limits = [
    "-len_control=0",
    `-max_total_time=${seconds}`,
    `-max_len=${INPUT_BYTES_MOST}`,
    `-seed=${seed}`,
  ];
  const args = clang ? [...limits, corpus] : ["--seconds", String(seconds), "--seed", String(seed)];
  return run(program, args, tree);
}

process.exitCode = main() ? 0 : 1;
