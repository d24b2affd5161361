/** How peers show each other what their work is checked by: who asks, who answers, and the protocol's name. */
export {
  type EvidenceQuestion,
  ProofClient,
  type ProofClientOptions,
  type TransitionQuestion,
} from "./proof-client.js";
export { PROOF_PROTOCOL } from "./proof-messages.js";
export {
  ProofServer,
  type ProofServerLimits,
  type ProofServerOptions,
  type ProofSource,
} from "./proof-server.js";
