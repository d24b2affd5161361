/** What two members say to each other to make or keep the bulk link between them. */
import { z } from "zod";
import { type ErrorCode, errorCodes } from "../base/errors.js";
import { BULK_TICKET_BYTES, PUBLIC_KEY_BYTES } from "./link-keys.js";

/** The libp2p protocol that carries a ping, one hello and its answer. */
export const BULK_PROTOCOL = "/gradmesh/bulk/2";

/** Sockets of one link. */
export const STREAMS_MAX = 16;

/** How bulk links are protected; both sides must name the same. */
export const encryptions = ["aes-256-gcm", "none"] as const;
export type Encryption = (typeof encryptions)[number];

const bytes = (length: number) =>
  z.custom<Uint8Array>(
    (value) => value instanceof Uint8Array && value.length === length,
    `must be ${length} bytes`,
  );
const code = z.custom<ErrorCode>(
  (value) => typeof value === "string" && value in errorCodes,
  "is no error code",
);

/** Answered at once by another, so that the greeter knows the round trip of the control connection. */
export const linkPingSchema = z.strictObject({ type: z.literal("ping") });

/** From the peer that dials to the one that expects. */
export const linkHelloSchema = z.strictObject({
  type: z.literal("hello"),
  runId: z.string().max(128),
  epoch: z.int().nonnegative(),
  encryption: z.enum(encryptions),
  publicKey: bytes(PUBLIC_KEY_BYTES),
  /** The link it still has to the other, if any. */
  link: z.string().max(64).nullable(),
  /** Sockets of a new link. */
  streams: z.int().min(1).max(STREAMS_MAX),
  /** The lower rank greets, because the higher one cannot reach it. */
  turned: z.boolean(),
});
export type LinkHello = z.infer<typeof linkHelloSchema>;

/** What the greeter says. */
export const linkWordSchema = z.discriminatedUnion("type", [linkPingSchema, linkHelloSchema]);

export const linkAnswerSchema = z.discriminatedUnion("type", [
  /** Both have the link that the hello names. */
  z.strictObject({ type: z.literal("keep") }),
  z.strictObject({
    type: z.literal("open"),
    publicKey: bytes(PUBLIC_KEY_BYTES),
    /** Null: where the channel's connection already reaches the peer. */
    host: z.string().max(256).nullable(),
    port: z.int().min(1).max(65535),
    ticket: bytes(BULK_TICKET_BYTES),
  }),
  z.strictObject({ type: z.literal("refused"), code, reason: z.string().max(1024) }),
]);
export type LinkAnswer = z.infer<typeof linkAnswerSchema>;
