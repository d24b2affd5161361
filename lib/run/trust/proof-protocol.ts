/** How peers show each other what their work is checked by: who asks, who answers, and the protocol's name. */
export { ProofClient, type ProofClientOptions } from "./proof-client.js";
export { PROOF_PROTOCOL } from "./proof-messages.js";
export { ProofServer, type ProofServerOptions } from "./proof-server.js";
