/** Bytes, seconds, counts and ratios as people read them. */

const byteUnits = ["B", "kB", "MB", "GB", "TB", "PB"] as const;

/** Three significant digits at most, never in exponent form below 1000. */
function shortNumber(value: number): string {
  if (Math.abs(value) >= 100) return value.toFixed(0);
  const digits = Math.abs(value) >= 10 ? 1 : 2;
  return value.toFixed(digits).replace(/\.?0+$/, "");
}

/** Decimal units: `1200000` -> `1.2 MB`. */
export function formatBytes(bytes: number): string {
  if (!Number.isFinite(bytes)) return "?";
  let value = bytes;
  let unit = 0;
  // 999.5 would round to "1000 kB", which is "1 MB".
  while (Math.abs(value) >= 999.5 && unit < byteUnits.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? Math.round(value) : shortNumber(value)} ${byteUnits[unit]}`;
}

/** Bytes per something: `(640000, "step")` -> `640 kB/step`. */
export function formatRate(bytes: number, per: string): string {
  return `${formatBytes(bytes)}/${per}`;
}

/** `0.0421` -> `42.1 ms`, `9.5` -> `9.5 s`, `125` -> `2 min 05 s`, `7260` -> `2 h 01 min`. */
export function formatSeconds(seconds: number): string {
  if (!Number.isFinite(seconds)) return "?";
  if (seconds < 0) return `-${formatSeconds(-seconds)}`;
  if (seconds === 0) return "0 s";
  if (seconds < 0.9995e-3) return `${shortNumber(seconds * 1e6)} µs`;
  if (seconds < 0.9995) return `${shortNumber(seconds * 1e3)} ms`;
  if (seconds < 59.95) return `${shortNumber(seconds)} s`;
  const whole = Math.round(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`;
  const minutes = Math.round(seconds / 60);
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}

/** An exact count with its thousands apart: `803712` -> `803,712`. */
export function formatCount(count: number): string {
  if (!Number.isFinite(count)) return "?";
  return Math.round(count).toLocaleString("en-US");
}

/** How many times: `(40, 2)` -> `20x`; `?` where the denominator is 0. */
export function formatRatio(numerator: number, denominator: number): string {
  const ratio = numerator / denominator;
  return Number.isFinite(ratio) ? `${shortNumber(ratio)}x` : "?";
}

/** A share of one: `0.034` -> `3.4 %`. */
export function formatShare(share: number): string {
  return Number.isFinite(share) ? `${shortNumber(share * 100)} %` : "?";
}
