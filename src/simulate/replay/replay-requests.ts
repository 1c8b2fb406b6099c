import type { RecordedRequest } from '../../app/decision-record.ts';
import { inferenceEndpoint } from '../../request/endpoints.ts';
import type { ErrorCode } from '../../request/errors.ts';
import { plainRequest } from '../../request/plain-request.ts';
import type { SimRequest } from '../types.ts';

/** Where a request does not say. */
const BYTES_PER_TOKEN = 4;
const DEFAULT_ANSWER_TOKENS = 200;
const DEFAULT_WAIT_MS = 30_000;

/** Refusals for want of room: another policy may have had some. */
const TURNED_AWAY: ReadonlySet<string> = new Set<ErrorCode>([
  'no_node',
  'line_full',
  'no_slot_in_time',
  'shutting_down',
]);

/** The requests of a recording as they came, with the answers that they got then. In order of arrival. */
export function replayRequests(records: readonly RecordedRequest[]): SimRequest[] {
  const timed = records
    .filter(isReplayable)
    .map((record) => ({ record, at: Date.parse(record.at) }))
    .sort((a, b) => a.at - b.at);
  const first = timed[0]?.at ?? 0;
  const conversations = new Conversations();
  return timed.map(({ record, at }, id) => {
    const promptTokens = record.promptTokens ?? Math.max(1, Math.round(record.promptBytes / BYTES_PER_TOKEN));
    return {
      id,
      arrivesAt: at - first,
      request: routeRequest(record, id),
      caller: {
        id: record.caller,
        class: record.class,
        maxWaitMs: record.maxWaitMs ?? DEFAULT_WAIT_MS,
        isPrivileged: record.unloads === true,
      },
      promptTokens,
      answerTokens: record.completionTokens ?? record.maxTokens ?? DEFAULT_ANSWER_TOKENS,
      ...conversations.place(record, promptTokens),
      // Who left while the answer came had seen what it wanted.
      patienceMs:
        record.end === 'client_gone' && record.firstByteMs === undefined ? record.totalMs : undefined,
    };
  });
}

/** Requests that no node could ever have taken tell nothing of routing. */
function isReplayable({ path, code }: RecordedRequest): boolean {
  const endpoint = inferenceEndpoint(path);
  if (endpoint === undefined || endpoint.operation === 'show') return false;
  return code === undefined || TURNED_AWAY.has(code);
}

function routeRequest(record: RecordedRequest, id: number): SimRequest['request'] {
  const endpoint = inferenceEndpoint(record.path);
  if (endpoint === undefined) throw new Error(`${record.path} is no inference path`);
  const { numCtx, maxTokens, bodyBytes, promptBytes, images, prefixes } = record;
  return plainRequest(
    endpoint,
    { raw: record.target, key: record.target },
    {
      numCtx,
      maxTokens,
      bodyBytes,
      promptBytes,
      images,
      prefixes,
      wantsTools: record.wantsTools === true,
      isEmpty: record.isEmpty === true,
      unloads: record.unloads === true,
      keepAlive: record.unloads === true ? 0 : undefined,
      fingerprint: `replay-${id}`,
    },
  );
}

/** Finds out which requests go on with which conversation: they begin with the same hashes. */
class Conversations {
  readonly #sessions = new Map<number, number>();
  #made = 0;

  place({ prefixes, promptBytes, target }: RecordedRequest, promptTokens: number) {
    const [system, ...turns] = prefixes;
    if (system === undefined) return { session: undefined, sharedTokens: 0, prefix: undefined };
    const tokensOf = (bytes: number): number => Math.round((bytes / Math.max(1, promptBytes)) * promptTokens);
    const known = turns.findLast(({ hash }) => this.#sessions.has(hash));
    this.#made += 1;
    const session = (known && this.#sessions.get(known.hash)) ?? this.#made;
    for (const { hash } of turns) this.#sessions.set(hash, session);
    return {
      session,
      sharedTokens: known === undefined ? 0 : Math.min(promptTokens, tokensOf(known.bytes)),
      prefix: { id: hashWith(system.hash, target), tokens: Math.min(promptTokens, tokensOf(system.bytes)) },
    };
  }
}

/** A prompt cache belongs to one model. */
function hashWith(hash: number, model: string): number {
  let value = hash | 0;
  for (let at = 0; at < model.length; at += 1) value = Math.imul(value ^ model.charCodeAt(at), 0x01000193);
  return value >>> 0;
}
