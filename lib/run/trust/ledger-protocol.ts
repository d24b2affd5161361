/** The run's ledger over the network: who orders the records, who follows and submits, and the protocol's name. */
export { LedgerClient } from "./ledger-client.js";
export { LEDGER_PROTOCOL } from "./ledger-messages.js";
export { LedgerServer, type LedgerServerOptions } from "./ledger-server.js";
export { LocalLedger } from "./local-ledger.js";
