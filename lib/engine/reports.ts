/** Adds up what an exchange's collectives report. */
import type { ExchangeReport } from "./exchange.js";

export const emptyReport: ExchangeReport = { bytesSent: 0, bytesFraming: 0, bytesReceived: 0, seconds: 0 };

/** Bytes and seconds add up; later measures count. */
export function addReports(reports: readonly ExchangeReport[]): ExchangeReport {
  return reports.reduce((sum, { bytesSent, bytesFraming, bytesReceived, seconds, measures }) => {
    const agreed = { ...sum.measures, ...measures };
    return {
      bytesSent: sum.bytesSent + bytesSent,
      bytesFraming: sum.bytesFraming + bytesFraming,
      bytesReceived: sum.bytesReceived + bytesReceived,
      seconds: sum.seconds + seconds,
      ...(Object.keys(agreed).length > 0 ? { measures: agreed } : {}),
    };
  }, emptyReport);
}
