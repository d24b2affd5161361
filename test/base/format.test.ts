/** The rounding and the unit boundaries of what people read. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import {
  formatBytes,
  formatCount,
  formatRate,
  formatRatio,
  formatSeconds,
  formatShare,
} from "../../lib/base/format.js";

test("bytes keep three digits and decimal units", () => {
  const cases: [number, string][] = [
    [0, "0 B"],
    [999, "999 B"],
    [1000, "1 kB"],
    [1_200_000, "1.2 MB"],
    [640_000, "640 kB"],
    [999_499, "999 kB"],
    [999_500, "1 MB"],
    [-1500, "-1.5 kB"],
    [12_345_678_901, "12.3 GB"],
    [2e18, "2000 PB"],
    [Number.NaN, "?"],
  ];
  for (const [bytes, text] of cases) assert.is(formatBytes(bytes), text, `${bytes}`);
  assert.is(formatRate(640_000, "step"), "640 kB/step");
});

test("seconds change their unit without ever saying 60 s or 1000 ms", () => {
  const cases: [number, string][] = [
    [0, "0 s"],
    [0.000_012, "12 µs"],
    [0.0421, "42.1 ms"],
    [0.9994, "999 ms"],
    [0.9999, "1 s"],
    [9.5, "9.5 s"],
    [59.94, "59.9 s"],
    [59.96, "1 min 00 s"],
    [125, "2 min 05 s"],
    [3599.6, "1 h 00 min"],
    [7260, "2 h 01 min"],
    [-2, "-2 s"],
    [Number.POSITIVE_INFINITY, "?"],
  ];
  for (const [seconds, text] of cases) assert.is(formatSeconds(seconds), text, `${seconds}`);
});

test("counts, ratios and shares", () => {
  assert.is(formatCount(803_712), "803,712");
  assert.is(formatCount(7), "7");
  assert.is(formatRatio(40, 2), "20x");
  assert.is(formatRatio(1, 3), "0.33x");
  assert.is(formatRatio(1, 0), "?");
  assert.is(formatRatio(100, 1), "100x");
  assert.is(formatShare(0.034), "3.4 %");
  assert.is(formatShare(0), "0 %");
});

test.run();
