/** What a program imports from "gradmesh": runs, their config and events, checkpoints, and the contracts to plug into. */
export { type ErrorCode, errorCodes, GradmeshError } from "./base/errors.js";
export { type LoadedCheckpoint, loadCheckpoints } from "./checkpoint/checkpoint.js";
export { inspectCheckpoints, type RoundSummary } from "./checkpoint/inspect.js";
export {
  type SecureHello,
  type SecureMasked,
  SecureMember,
  type SecureReveal,
  type SecureShares,
  unmaskMean,
} from "./engine/secure-sum.js";
export type { SecureTerms } from "./engine/secure-terms.js";
export { type CodecName, type CollectiveName, codecs, collectives } from "./native/abi.gen.js";
export { type Codec, openCodec } from "./native/codec.js";
export { createReducer } from "./reduce/all-reduce.js";
export type * from "./reduce/calls.js";
export { type Choice, type ChoiceQuestion, chooseCollective } from "./reduce/choose.js";
export { Endpoint, type EndpointOptions } from "./reduce/endpoint.js";
export { Plan, type PlanCost, type PlanRequest, plainRequest, planCost } from "./reduce/plan.js";
export {
  chunkRange,
  type DeviceTensor,
  type Dtype,
  type HalfTensor,
  type Range,
  type Tensor,
} from "./reduce/tensor.js";
export { type ConfigKey, describeConfig, loadConfig, parseConfig, type RunConfig } from "./run/config.js";
export { joinRun, type LocalChoices, startRun } from "./run/entry.js";
export type { EventSink, RoundSeconds, RunEvent } from "./run/events.js";
export type { PeerResult } from "./run/peer.js";
export type { Recipe, Strategy, StrategyCost } from "./strategy/strategy.js";
export { type NamedTensor, TensorLayout } from "./tensor/layout.js";
export type {
  StepContext,
  StepResult,
  Trainer,
  TrainerContext,
  TrainerFactory,
  TrainerModule,
} from "./trainer/trainer.js";
