import { createHash } from 'node:crypto';
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import type { Clock } from '../app/ports.ts';
import { type Call, parseCall } from './call.ts';
import { applyEarlyFault } from './early-faults.ts';
import { MODEL_ENDPOINTS, type ModelEndpoint } from './endpoints.ts';
import { type ErrorShape, errorReply, OLLAMA_JSON, ReplyError } from './error-replies.ts';
import type { FaultList } from './faults.ts';
import type { Inference } from './inference.ts';
import { psAnswer, showAnswer } from './inventory.ts';
import { canonicalName, type SimulatedModel } from './models.ts';
import { isHostAllowed, isOriginAllowed } from './origin-check.ts';
import { answerOther } from './other-endpoints.ts';
import { Reply } from './reply.ts';
import type { RecordedRequest, RequestLog } from './request-log.ts';
import type { Scheduler } from './scheduler.ts';

export interface RequestHandlerOptions {
  readonly clock: Clock;
  /** By canonical name; the node's owner may change it at any time. */
  readonly models: Map<string, SimulatedModel>;
  readonly log: RequestLog;
  readonly faults: FaultList;
  readonly scheduler: Scheduler;
  readonly inference: Inference;
  readonly version: string;
  readonly checksOrigin: boolean;
  readonly kill: (downMs: number) => void;
}

/** Takes one HTTP request from its first byte to its recorded end. */
export class RequestHandler {
  readonly #options: RequestHandlerOptions;

  constructor(options: RequestHandlerOptions) {
    this.#options = options;
  }

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { clock, log } = this.#options;
    const method = request.method ?? '';
    const record = log.add({
      method,
      path: request.url ?? '',
      headers: request.headers,
      startedAt: clock.now(),
    });
    const gone = new AbortController();
    response.once('close', () => {
      record.endedAt = clock.now();
      record.aborted = !response.writableFinished;
      gone.abort();
    });
    const reply = new Reply(response, record);
    const endpoint = method === 'POST' ? MODEL_ENDPOINTS.get(pathOf(record.path)) : undefined;
    try {
      const body = await readBody(request, record);
      if (!this.#isAllowed(request, response)) reply.send(403, '', undefined);
      else await this.#answer(body, record, reply, endpoint, gone.signal);
    } catch (error) {
      if (gone.signal.aborted || reply.hasBegun) response.destroy();
      else refuse(error, endpoint?.shape ?? 'ollama', reply);
    }
  }

  #isAllowed(request: IncomingMessage, response: ServerResponse): boolean {
    if (!this.#options.checksOrigin) return true;
    const { host, origin } = request.headers;
    if (!isHostAllowed(host) || !isOriginAllowed(origin)) return false;
    if (origin !== undefined) {
      response.setHeader('Access-Control-Allow-Origin', origin).setHeader('Vary', 'Origin');
    }
    return true;
  }

  async #answer(
    body: Buffer,
    record: RecordedRequest,
    reply: Reply,
    endpoint: ModelEndpoint | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const { clock, faults, models, scheduler, version, kill } = this.#options;
    const path = pathOf(record.path);
    const call = endpoint === undefined ? undefined : parseLeniently(body, endpoint);
    const parsed = call instanceof ReplyError ? undefined : call;
    record.model = parsed?.model;
    const fault = faults.take({
      path,
      isInference: endpoint !== undefined && !isFromPoller(record.headers),
      model: parsed?.model,
      prompt: parsed?.prompt ?? '',
    });
    const shape = endpoint?.shape ?? 'ollama';
    if (fault !== undefined && (await applyEarlyFault(fault, { clock, shape, reply, kill }, signal))) return;
    if (call instanceof ReplyError) throw call;
    if (endpoint === undefined || call === undefined) {
      const ps = (): Record<string, unknown> => psAnswer(scheduler.loaded, clock);
      const answer = answerOther(record.method, path, body, { models, version, ps });
      reply.send(answer.status, answer.body, answer.contentType, { ...answer.headers });
      return;
    }
    const model = models.get(canonicalName(call.model));
    if (model === undefined) throw notFound(call.model, endpoint);
    if (endpoint.work.kind === 'show') {
      reply.send(200, JSON.stringify(showAnswer(model)), OLLAMA_JSON);
    } else {
      checkCapabilities(endpoint, call, model);
      await this.#options.inference.run(endpoint.work, { call, model, reply, record, fault }, signal);
    }
  }
}

/** What Ollama looks at before it loads a model. Images on a model that cannot see are passed over in silence. */
function checkCapabilities(
  { shape, work }: ModelEndpoint,
  call: Call,
  { name, capabilities }: SimulatedModel,
): void {
  if (work.kind !== 'answer') return;
  if (!capabilities.includes('completion')) {
    const what = work.preloads ?? (work.prompt === 'prompt' ? 'generate' : 'chat');
    throw new ReplyError(400, `"${call.model}" does not support ${what}`);
  }
  const takesTools = work.preloads !== 'generate' && (shape !== 'openai' || work.prompt !== 'prompt');
  if (call.wantsTools && takesTools && !capabilities.includes('tools'))
    throw new ReplyError(400, `registry.ollama.ai/library/${name} does not support tools`);
}

export function pathOf(target: string): string {
  const query = target.indexOf('?');
  return query < 0 ? target : target.slice(0, query);
}

/** A control plane asks by itself what models can do: that is no traffic, as its other polls are none. */
export function isFromPoller(headers: IncomingHttpHeaders): boolean {
  return headers['user-agent'] === 'warmpath';
}

/** A malformed body must not hide the fault that was set for its request. */
function parseLeniently(body: Buffer, endpoint: ModelEndpoint): Call | ReplyError {
  try {
    return parseCall(body, endpoint);
  } catch (error) {
    if (error instanceof ReplyError) return error;
    throw error;
  }
}

function refuse(error: unknown, shape: ErrorShape, reply: Reply): void {
  const refusal = error instanceof ReplyError ? error : new ReplyError(500, String(error));
  const { body, contentType } = errorReply(shape, refusal.status, refusal.message, refusal);
  reply.send(refusal.status, body, contentType);
}

function notFound(model: string, { work }: ModelEndpoint): ReplyError {
  const isEmbedding = work.kind === 'embed' && model !== '';
  const message = isEmbedding
    ? `model "${model}" not found, try pulling it first`
    : `model '${model}' not found`;
  return new ReplyError(404, message);
}

async function readBody(request: IncomingMessage, record: RecordedRequest): Promise<Buffer> {
  const hash = createHash('sha256');
  const chunks: Buffer[] = [];
  for await (const chunk of request) {
    hash.update(chunk);
    chunks.push(chunk);
    record.bodyBytes += chunk.length;
  }
  record.bodySha256 = hash.digest('hex');
  return Buffer.concat(chunks);
}
