/** A thread that checks signatures of events, a batch at a time. */
import { parentPort } from "node:worker_threads";
import { KeyRing } from "./sign.js";
import { checkSignatures, type SignatureBatch } from "./signatures.js";

const keys = new KeyRing();
parentPort!.on("message", (batch: SignatureBatch) => {
  parentPort!.postMessage(checkSignatures(batch, keys));
});
