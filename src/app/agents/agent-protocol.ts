import type { KeyObject } from 'node:crypto';
import {
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  sign,
  timingSafeEqual,
  verify,
} from 'node:crypto';
import { z } from 'zod';

/**
 * What agents and control planes say to each other over HTTP.
 *
 * POST /agent/v1/join: the agent shows the join token (an HMAC of the request, never the token itself) and its Ed25519
 * public key; the first key that joins under a name owns that name. POST /agent/v1/report: signed with that key. Every
 * request carries its time and a nonce; both are under the signature, with method, path and body.
 */
export const AGENT_PATHS = { join: '/agent/v1/join', report: '/agent/v1/report' } as const;
export const AGENT_HEADERS = {
  node: 'x-warmpath-agent',
  /** Unix time in ms. */
  time: 'x-warmpath-time',
  /** 16 to 64 hexadecimal digits, never used twice. */
  nonce: 'x-warmpath-nonce',
  /** join: HMAC-SHA256 with the join token, hexadecimal; report: Ed25519, base64url. */
  signature: 'x-warmpath-signature',
} as const;
/** How far the clocks of agent and control plane may differ, and for how long a nonce is remembered, ms. */
export const AGENT_TIME_WINDOW_MS = 60_000;
export const MAX_AGENT_BODY_BYTES = 64 * 1024;

const bytes = z
  .number()
  .int()
  .min(0)
  .max(2 ** 53 - 1)
  .optional();
const short = z.string().max(128);

const gpuSchema = z.strictObject({
  index: z.number().int().min(0).max(1023),
  name: short,
  vendor: z.enum(['nvidia', 'amd', 'apple', 'intel', 'other']),
  vramTotalBytes: bytes,
  vramUsedBytes: bytes,
  utilization: z.number().min(0).max(1).optional(),
  temperatureC: z.number().min(-100).max(1000).optional(),
  powerW: z.number().min(0).max(100_000).optional(),
  isThrottled: z.boolean().optional(),
});

/** Minutes of the week, Monday 00:00 is 0, in the node's own time zone: [from, to), `to` < `from` goes over Sunday. */
const weekMinutes = z.strictObject({
  from: z.number().int().min(0).max(10_079),
  to: z.number().int().min(0).max(10_079),
});

export const joinSchema = z.strictObject({
  /** Name that the node wants. */
  node: z.string().regex(/^[A-Za-z0-9._-]{1,64}$/),
  /** Where its Ollama is reached from the control plane's side. */
  url: z.string().max(512),
  /** Ed25519, SPKI, base64url. */
  publicKey: z.string().max(256),
  version: short,
  labels: z.record(z.string().max(64), z.string().max(256)).optional(),
});

export const reportSchema = z.strictObject({
  node: z.string().max(64),
  url: z.string().max(512),
  gpus: z.array(gpuSchema).max(64),
  isUnifiedMemory: z.boolean(),
  host: z
    .strictObject({
      memoryTotalBytes: bytes,
      memoryAvailableBytes: bytes,
      load1: z.number().min(0).max(1e6).optional(),
      cpus: z.number().int().min(1).max(65_536).optional(),
      diskFreeBytes: bytes,
    })
    .optional(),
  ollama: z
    .strictObject({
      parallel: z.number().int().min(1).max(4096).optional(),
      maxLoadedModels: z.number().int().min(0).max(4096).optional(),
      maxQueue: z.number().int().min(0).max(1e6).optional(),
    })
    .optional(),
  /** Whether the node's owner wants it left alone now, and why. */
  maintenance: z.strictObject({ on: z.boolean(), note: short }).optional(),
  /** When the owner uses the machine; it drains by itself then. Reported for people: the agent applies them. */
  ownerInUse: z.boolean(),
  ownerHours: z.array(weekMinutes).max(64).optional(),
  /** Ms until the next report that the agent intends. */
  intervalMs: z.number().int().min(100).max(3_600_000),
});

export type JoinRequest = z.infer<typeof joinSchema>;
export type AgentReport = z.infer<typeof reportSchema>;

export interface SignedParts {
  readonly method: string;
  readonly path: string;
  readonly node: string;
  readonly time: string;
  readonly nonce: string;
  readonly body: Uint8Array;
}

/** The bytes that are signed: one line for each part, the body by its SHA-256. */
export function signedText({ method, path, node, time, nonce, body }: SignedParts): Buffer {
  const digest = createHash('sha256').update(body).digest('hex');
  return Buffer.from(['warmpath-agent-v1', method, path, node, time, nonce, digest].join('\n'));
}

/** Hexadecimal HMAC-SHA256 that proves the join token. */
export function joinSignature(token: string, parts: SignedParts): string {
  return createHmac('sha256', token).update(signedText(parts)).digest('hex');
}

/** Compared in constant time. */
export function isJoinSignature(token: string, parts: SignedParts, signature: string): boolean {
  if (!HEX_HMAC.test(signature)) return false;
  const expected = Buffer.from(joinSignature(token, parts), 'hex');
  const given = Buffer.from(signature, 'hex');
  return given.length === expected.length && timingSafeEqual(given, expected);
}

const HEX_HMAC = /^[0-9a-f]{64}$/i;

/** What an agent is known by. The private half never leaves its machine. */
export interface AgentKey {
  /** Ed25519, SPKI, base64url: the identity of the node. */
  readonly publicKey: string;
  readonly privateKey: KeyObject;
}

export function generateAgentKey(): AgentKey {
  return agentKey(generateKeyPairSync('ed25519').privateKey);
}

/** The PKCS#8 PEM text of a key, to be kept in a file that only its owner reads. */
export function agentKeyPem(key: AgentKey): string {
  return key.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}

/** The key of `agentKeyPem`; undefined where the text is not an Ed25519 private key. */
export function parseAgentKey(pem: string): AgentKey | undefined {
  try {
    const privateKey = createPrivateKey(pem);
    return privateKey.asymmetricKeyType === 'ed25519' ? agentKey(privateKey) : undefined;
  } catch {
    return undefined;
  }
}

/** base64url Ed25519 signature of a report. */
export function signReport(key: AgentKey, parts: SignedParts): string {
  return sign(null, signedText(parts), key.privateKey).toString('base64url');
}

/** Whether a text is a public key as `JoinRequest.publicKey` wants it: Ed25519, in its one canonical spelling. */
export function isAgentPublicKey(publicKey: string): boolean {
  return readPublicKey(publicKey) !== undefined;
}

/** False for anything that is not a signature by that key, malformed input included; never throws. */
export function isReportSignature(publicKey: string, parts: SignedParts, signature: string): boolean {
  const key = readPublicKey(publicKey);
  if (key === undefined) return false;
  const given = Buffer.from(signature, 'base64url');
  // One spelling only: a decoder that forgives must not let one signature have many.
  if (given.length !== ED25519_SIGNATURE_BYTES || given.toString('base64url') !== signature) return false;
  return verify(null, signedText(parts), key, given);
}

const ED25519_SIGNATURE_BYTES = 64;
/** 12 bytes that name the algorithm, 32 of key. */
const ED25519_SPKI_BYTES = 44;

function agentKey(privateKey: KeyObject): AgentKey {
  const der = createPublicKey(privateKey).export({ type: 'spki', format: 'der' });
  return { publicKey: der.toString('base64url'), privateKey };
}

function readPublicKey(text: string): KeyObject | undefined {
  const der = Buffer.from(text, 'base64url');
  if (der.length !== ED25519_SPKI_BYTES || der.toString('base64url') !== text) return undefined;
  try {
    const key = createPublicKey({ key: der, format: 'der', type: 'spki' });
    return key.asymmetricKeyType === 'ed25519' ? key : undefined;
  } catch {
    return undefined;
  }
}
