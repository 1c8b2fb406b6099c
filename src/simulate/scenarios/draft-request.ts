import type { Random } from '../../app/ports.ts';
import { inferenceEndpoint } from '../../request/endpoints.ts';
import { plainRequest } from '../../request/plain-request.ts';
import type { PromptPrefix } from '../../request/types.ts';
import type { Draft, Shape } from './stream.ts';

const BYTES_PER_TOKEN = 4.2;
const MAX_PREFIXES = 16;
const DEFAULT_MAX_WAIT_MS = 600_000;

/** What a conversation has said up to this turn. */
export interface Conversation {
  readonly id: number;
  /** Hash and tokens of each beginning of the prompt: system prompt, then each question and answer, the newest question last. */
  readonly beginnings: readonly { readonly hash: number; readonly tokens: number }[];
  /** Tokens that the turn before left in the cache: prompt and answer. */
  readonly sharedTokens: number;
}

export interface DraftFields {
  readonly arrivesAt: number;
  readonly promptTokens: number;
  readonly answerTokens: number;
  readonly stream: string;
  readonly conversation?: Conversation;
  readonly after?: Draft['after'];
}

/** One request of a stream, as routing and nodes will see it. */
export function draftRequest(shape: Shape, fields: DraftFields, random: Random): Draft {
  const path = shape.path ?? '/api/chat';
  const endpoint = inferenceEndpoint(path);
  if (endpoint === undefined) throw new RangeError(`${path} is no path of an inference request`);
  const { count = 1, name } = shape.callers;
  const system = shape.system ?? 0;
  const systemId = hashOf(`${fields.stream} system`);
  const fingerprint = `${fields.stream} ${Math.floor(random() * 2 ** 32)}`;
  const beginnings = fields.conversation?.beginnings ?? [
    ...(system > 0 ? [{ hash: systemId, tokens: system }] : []),
    { hash: hashOf(fingerprint), tokens: fields.promptTokens },
  ];
  const bytesPerToken = BYTES_PER_TOKEN * (0.9 + 0.2 * random());
  const promptBytes = Math.round(fields.promptTokens * bytesPerToken);
  const caller = fields.conversation?.id ?? Math.floor(random() * count);
  return {
    arrivesAt: fields.arrivesAt,
    after: fields.after,
    request: plainRequest(
      endpoint,
      { raw: shape.model, key: shape.model },
      {
        numCtx: shape.numCtx,
        promptBytes,
        bodyBytes: promptBytes + 200,
        fingerprint,
        prefixes: prefixesOf(beginnings, bytesPerToken),
      },
    ),
    caller: {
      id: `${name}-${1 + (caller % count)}`,
      class: shape.class ?? 'normal',
      maxWaitMs: shape.maxWaitMs ?? DEFAULT_MAX_WAIT_MS,
      isPrivileged: false,
    },
    promptTokens: fields.promptTokens,
    answerTokens: fields.answerTokens,
    session: fields.conversation?.id,
    sharedTokens: fields.conversation?.sharedTokens ?? 0,
    prefix: system > 0 ? { id: systemId, tokens: system } : undefined,
    patienceMs: shape.patienceMs,
  };
}

/** The first two, by which a conversation is known, and the longest. */
function prefixesOf(beginnings: Conversation['beginnings'], bytesPerToken: number): PromptPrefix[] {
  const kept =
    beginnings.length <= MAX_PREFIXES
      ? beginnings
      : [...beginnings.slice(0, 2), ...beginnings.slice(2 - MAX_PREFIXES)];
  return kept.map(({ hash, tokens }) => ({ hash, bytes: Math.round(tokens * bytesPerToken) }));
}

/** FNV-1a, 32 bits. */
export function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i += 1) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}
