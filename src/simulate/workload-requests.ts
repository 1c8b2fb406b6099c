import type { Random } from '../app/ports.ts';
import type { ModelKey } from '../fleet/types.ts';
import { inferenceEndpoint } from '../request/endpoints.ts';
import { plainRequest } from '../request/plain-request.ts';
import type { PromptPrefix } from '../request/types.ts';
import { draw, pick } from './distributions.ts';
import type { SimModelSpec, SimRequest } from './types.ts';
import type { Lengths, Weighted, Workload, WorkloadStream } from './workload-types.ts';

/** English text, as JSON has it. */
const BYTES_PER_TOKEN = 4;
/** Of a body: what is no text. */
const BODY_OVERHEAD = 150;
const MAX_PREFIXES = 16;

/** A request that has no number yet. */
export interface DraftRequest extends Omit<SimRequest, 'id' | 'follows'> {
  /** The turn before. */
  readonly before: DraftRequest | undefined;
  readonly thinkMs: number;
}

/** Makes the requests of one stream. */
export class RequestMaker {
  readonly #stream: WorkloadStream;
  readonly #index: number;
  readonly #random: Random;
  readonly #models: ReadonlyMap<ModelKey, SimModelSpec>;
  readonly #callers: readonly Weighted<string>[];
  #sessions = 0;

  constructor(workload: Workload, stream: WorkloadStream, index: number, random: Random) {
    this.#stream = stream;
    this.#index = index;
    this.#random = random;
    this.#models = new Map(workload.models.map((model) => [model.key, model]));
    this.#callers = Array.from({ length: stream.callers }, (_, place) => ({
      value: `${stream.name}-${place + 1}`,
      weight: 1 / (place + 1) ** stream.skew,
    }));
  }

  single(arrivesAt: number): DraftRequest {
    const [request] = this.session(arrivesAt, 1, undefined);
    if (request === undefined) throw new Error('a session has at least one turn');
    return { ...request, session: undefined };
  }

  /** The turns of one conversation: each prompt holds all earlier ones with their answers. */
  session(arrivesAt: number, turns: number, think: Lengths | undefined): DraftRequest[] {
    const stream = this.#stream;
    const random = this.#random;
    this.#sessions += 1;
    const session = this.#index * 1_000_000 + this.#sessions;
    const caller = pick(this.#callers, random) ?? stream.name;
    const key = pick(stream.models, random);
    const model = key === undefined ? undefined : this.#models.get(key);
    if (model === undefined)
      throw new Error(`stream ${stream.name} asks for a model that the workload lacks`);
    const numCtx = pick(stream.contexts, random);
    const context = numCtx ?? model.defaultContext;
    const drafts: DraftRequest[] = [];
    const prefixes: PromptPrefix[] = [];
    let heldTokens = stream.systemTokens;
    if (heldTokens > 0) prefixes.push({ hash: hashOf(this.#index, 0), bytes: heldTokens * BYTES_PER_TOKEN });
    for (let turn = 0; turn < Math.max(1, turns); turn += 1) {
      const promptTokens = Math.max(1, Math.min(context, heldTokens + draw(stream.prompt, random)));
      const answerTokens = Math.min(
        draw(stream.answer, random),
        stream.maxTokens ?? Number.POSITIVE_INFINITY,
      );
      const thinkMs = turn > 0 && think !== undefined ? draw(think, random) : 0;
      drafts.push({
        arrivesAt,
        before: drafts.at(-1),
        thinkMs,
        request: this.#request(model.key, numCtx, promptTokens, prefixes),
        caller: { id: caller, class: stream.class, maxWaitMs: stream.maxWaitMs, isPrivileged: false },
        promptTokens,
        answerTokens,
        session,
        sharedTokens: turn === 0 ? 0 : Math.min(heldTokens, promptTokens - 1),
        prefix: stream.systemTokens > 0 ? { id: this.#index, tokens: stream.systemTokens } : undefined,
        patienceMs: stream.patienceMs,
      });
      heldTokens = Math.min(context, promptTokens + answerTokens);
      prefixes.push({ hash: hashOf(session, turn + 1), bytes: heldTokens * BYTES_PER_TOKEN });
    }
    return drafts;
  }

  #request(
    key: ModelKey,
    numCtx: number | undefined,
    promptTokens: number,
    prefixes: readonly PromptPrefix[],
  ) {
    const { path, stream, keepAlive, maxTokens } = this.#stream;
    const endpoint = inferenceEndpoint(path);
    if (endpoint === undefined) throw new Error(`${path} is no inference path`);
    const promptBytes = promptTokens * BYTES_PER_TOKEN;
    return plainRequest(
      endpoint,
      { raw: key, key },
      {
        stream,
        numCtx,
        keepAlive,
        unloads: keepAlive !== undefined && keepAlive >= 0 && keepAlive < 1,
        maxTokens,
        promptBytes,
        bodyBytes: promptBytes + BODY_OVERHEAD,
        prefixes: prefixes.slice(-MAX_PREFIXES).filter(({ bytes }) => bytes < promptBytes),
      },
    );
  }
}

/** Spreads small numbers over 32 bits. */
function hashOf(a: number, b: number): number {
  let value = Math.imul(a ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(b + 1, 0xc2b2ae35);
  value = Math.imul(value ^ (value >>> 15), 0x27d4eb2f);
  return (value ^ (value >>> 13)) >>> 0;
}
