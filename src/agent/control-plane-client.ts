import { randomBytes } from 'node:crypto';
import { Agent, request } from 'undici';
import { z } from 'zod';
import {
  AGENT_HEADERS,
  AGENT_PATHS,
  type AgentKey,
  type AgentReport,
  type JoinRequest,
  joinSignature,
  MAX_AGENT_BODY_BYTES,
  type SignedParts,
  signReport,
} from '../app/agents/agent-protocol.ts';
import type { Clock } from '../app/ports.ts';

const TIMEOUT_MS = 5_000;
const MAX_ANSWER_BYTES = 16 * 1024;

/** What a control plane answered. */
export interface Answer {
  readonly status: number;
  /** Its own words, if it gave any: for people, escaped where they are shown. */
  readonly message: string | undefined;
  /** Its word for the reason of a refusal. */
  readonly code: string | undefined;
  /** Whether the node is part of the fleet yet, and if not, why. */
  readonly state: string | undefined;
  readonly retryAfterMs: number | undefined;
  /** How far its clock is ahead of ours, ms; undefined where it does not tell its time. */
  readonly clockAheadMs: number | undefined;
}

/** Signs and sends; rejects where no answer came. */
export class ControlPlaneClient {
  readonly #key: AgentKey;
  readonly #clock: Clock;
  readonly #agent: Agent;

  constructor(key: AgentKey, clock: Clock, ca: string | undefined) {
    this.#key = key;
    this.#clock = clock;
    this.#agent = new Agent({
      connect: { timeout: TIMEOUT_MS, ...(ca === undefined ? {} : { ca }) },
      headersTimeout: TIMEOUT_MS,
      bodyTimeout: TIMEOUT_MS,
      keepAliveTimeout: 30_000,
      maxResponseSize: MAX_ANSWER_BYTES,
    });
  }

  join(to: URL, body: Omit<JoinRequest, 'publicKey'>, token: string, signal: AbortSignal): Promise<Answer> {
    const full: JoinRequest = { ...body, publicKey: this.#key.publicKey };
    return this.#post(to, AGENT_PATHS.join, full, (parts) => joinSignature(token, parts), signal);
  }

  report(to: URL, report: AgentReport, signal: AbortSignal): Promise<Answer> {
    return this.#post(to, AGENT_PATHS.report, report, (parts) => signReport(this.#key, parts), signal);
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  async #post(
    to: URL,
    path: string,
    json: JoinRequest | AgentReport,
    sign: (parts: SignedParts) => string,
    signal: AbortSignal,
  ): Promise<Answer> {
    const body = Buffer.from(JSON.stringify(json));
    if (body.length > MAX_AGENT_BODY_BYTES) throw new Error(`a report of ${body.length} bytes is too large`);
    const sentAt = this.#clock.date().getTime();
    const parts: SignedParts = {
      method: 'POST',
      path,
      node: json.node,
      time: String(sentAt),
      nonce: randomBytes(16).toString('hex'),
      body,
    };
    const response = await request(new URL(path, to), {
      method: 'POST',
      dispatcher: this.#agent,
      signal: AbortSignal.any([signal, AbortSignal.timeout(2 * TIMEOUT_MS)]),
      headers: {
        'content-type': 'application/json',
        accept: 'application/json',
        'user-agent': 'warmpath-agent',
        [AGENT_HEADERS.node]: parts.node,
        [AGENT_HEADERS.time]: parts.time,
        [AGENT_HEADERS.nonce]: parts.nonce,
        [AGENT_HEADERS.signature]: sign(parts),
      },
      body,
    });
    const { statusCode: status, headers } = response;
    const text = await response.body.text().catch(() => '');
    return {
      status,
      ...wordsIn(text),
      retryAfterMs: retryAfter(headers['retry-after']),
      clockAheadMs: clockAhead(headers.date, sentAt, this.#clock.date().getTime()),
    };
  }
}

const answerSchema = z.object({
  error: z.string().optional(),
  code: z.string().max(64).optional(),
  state: z.string().max(64).optional(),
  problem: z.string().optional(),
});

function wordsIn(text: string): Pick<Answer, 'message' | 'code' | 'state'> {
  const nothing = { message: undefined, code: undefined, state: undefined };
  try {
    const { data } = answerSchema.safeParse(JSON.parse(text));
    if (data === undefined) return nothing;
    const message = (data.error ?? data.problem)?.slice(0, 300);
    return { message, code: data.code, state: data.state };
  } catch {
    return nothing;
  }
}

function retryAfter(header: string | string[] | undefined): number | undefined {
  return typeof header === 'string' && /^\d{1,6}$/.test(header) ? Number(header) * 1_000 : undefined;
}

/** The header has whole seconds, cut: half of one is added, and what lies within the exchange counts as no difference. */
function clockAhead(header: string | string[] | undefined, sentAt: number, now: number): number | undefined {
  const theirs = typeof header === 'string' ? Date.parse(header) : Number.NaN;
  if (Number.isNaN(theirs)) return undefined;
  return Math.round(theirs + 500 - (sentAt + now) / 2);
}
