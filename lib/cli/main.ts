#!/usr/bin/env node
/** The gradmesh command: runs it, and turns errors into words and an exit status. */
import { asGradmeshError } from "../base/errors.js";
import { createProgram } from "./program.js";

/** A reader such as head takes what it wants and goes: then nothing is left to say, and nobody to say it to. */
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  // As a shell calls the end by SIGPIPE.
  if (error.code === "EPIPE") process.exit(141);
  throw error;
});

try {
  await createProgram().parseAsync();
} catch (error) {
  const { code, message } = asGradmeshError(error);
  process.stderr.write(`error ${code}: ${message}\n`);
  // As a shell calls the end by an interrupt.
  process.exitCode = code === "ERR_ABORTED" ? 130 : 1;
}
