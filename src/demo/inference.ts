import type { Clock } from '../app/ports.ts';
import type { AnswerStats, FormatContext } from './answers/format.ts';
import { nanoseconds, ollamaLoadReply, RUNNER_DIED } from './answers/ollama.ts';
import type { Call } from './call.ts';
import { untilAborted } from './early-faults.ts';
import type { Work } from './endpoints.ts';
import { COMPATIBLE_JSON, OLLAMA_JSON, ReplyError } from './error-replies.ts';
import type { RequestFault } from './faults.ts';
import type { SimulatedModel } from './models.ts';
import { pace } from './pace.ts';
import type { Reply } from './reply.ts';
import type { RecordedRequest } from './request-log.ts';
import type { RunnerUse } from './runner.ts';
import { QueueFullError, type Scheduler } from './scheduler.ts';
import { answerTokens, embeddingOf } from './words.ts';

export interface InferenceOptions {
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly tokensPerSecond: number;
  readonly promptTokensPerSecond: number;
  /** Tokens after which answers end by themselves; undefined: only at the limit the request sets. */
  readonly naturalEnd: number | undefined;
  readonly defaultTokens: number;
  /** A slot was taken, or given back. */
  readonly onRunning: (delta: 1 | -1) => void;
}

export interface Job {
  readonly call: Call;
  readonly model: SimulatedModel;
  readonly reply: Reply;
  readonly record: RecordedRequest;
  readonly fault: RequestFault | undefined;
}

/** Runs requests on the models of one node: load, slot, prompt, tokens, statistics. */
export class Inference {
  readonly #options: InferenceOptions;

  constructor(options: InferenceOptions) {
    this.#options = options;
  }

  /** Rejects with ReplyError, or with the signal's reason when the client is gone. */
  async run(work: Exclude<Work, { kind: 'show' }>, job: Job, signal: AbortSignal): Promise<void> {
    const { clock, scheduler } = this.#options;
    const { call, model, reply, record } = job;
    const startedAt = clock.now();
    const preloads = work.kind === 'answer' && call.isPromptEmpty ? work.preloads : undefined;
    if (preloads !== undefined && call.keepAliveMs === 0) {
      scheduler.unload(model);
      reply.send(200, ollamaLoadReply(preloads, this.#context(job), 'unload'), OLLAMA_JSON);
      return;
    }
    const use = await this.#use(job, signal);
    try {
      const loadMs = clock.now() - startedAt;
      if (preloads !== undefined) {
        reply.send(200, ollamaLoadReply(preloads, this.#context(job), 'load'), OLLAMA_JSON);
        return;
      }
      const freeSlot = await use.slot(signal);
      this.#options.onRunning(1);
      try {
        if (job.fault?.kind === 'hang_before_token') await untilAborted(signal);
        signal.throwIfAborted();
        if (work.kind === 'embed') await this.#embed(work.answer, job, { startedAt, loadMs }, signal);
        else await this.#answer(work, job, use, { startedAt, loadMs }, signal);
      } finally {
        this.#options.onRunning(-1);
        freeSlot();
      }
    } finally {
      use.release();
      record.endedAt ??= clock.now();
    }
  }

  async #use({ call, model }: Job, signal: AbortSignal): Promise<RunnerUse> {
    try {
      return await this.#options.scheduler.use(model, call, signal);
    } catch (error) {
      if (!(error instanceof QueueFullError)) throw error;
      throw new ReplyError(503, 'server busy, please try again.  maximum pending requests exceeded');
    }
  }

  async #answer(
    work: Extract<Work, { kind: 'answer' }>,
    job: Job,
    use: RunnerUse,
    begun: { readonly startedAt: number; readonly loadMs: number },
    signal: AbortSignal,
  ): Promise<void> {
    const { clock, promptTokensPerSecond, tokensPerSecond, naturalEnd, defaultTokens } = this.#options;
    const { call, reply, record, fault } = job;
    const format = work.format(this.#context(job));
    const limit = call.maxTokens !== undefined && call.maxTokens > 0 ? call.maxTokens : defaultTokens;
    const count = Math.min(limit, naturalEnd ?? limit);
    const tokens = answerTokens(call.prompt, count);
    const promptTokens = Math.min(Math.ceil(call.prompt.length / 4) + 4, use.runner.contextLength);

    const promptAt = clock.now();
    await clock.sleep((promptTokens / promptTokensPerSecond) * 1000, signal);
    signal.throwIfAborted();
    const evalAt = clock.now();
    const stats = (): AnswerStats => ({
      totalMs: clock.now() - begun.startedAt,
      loadMs: begun.loadMs,
      promptTokens,
      promptEvalMs: evalAt - promptAt,
      tokens: record.tokens,
      evalMs: clock.now() - evalAt,
      doneReason: naturalEnd !== undefined && naturalEnd <= limit ? 'stop' : 'length',
    });
    const streams = call.stream ?? work.streamsByDefault;
    const dies = fault?.kind === 'runner_dies' || fault?.kind === 'cut_end' ? fault : undefined;
    if (streams) {
      reply.begin(200, { ...format.streamHeaders });
      void reply.write(format.begin());
    }
    await pace(
      {
        clock,
        tokensPerSecond,
        count: Math.min(count, dies?.afterTokens ?? count),
        emit: (index) => {
          record.tokens++;
          return streams ? reply.write(format.token(tokens[index] ?? '')) : undefined;
        },
      },
      signal,
    );
    signal.throwIfAborted();
    if (dies !== undefined && !streams) throw new ReplyError(500, RUNNER_DIED);
    const text = tokens.join('');
    if (!streams) {
      const newline = format.wholeContentType === COMPATIBLE_JSON ? '\n' : '';
      reply.send(200, format.whole(text, stats()) + newline, format.wholeContentType);
    } else if (dies?.kind === 'runner_dies') void reply.write(format.broken());
    else if (dies === undefined) void reply.write(format.end(text, stats()));
    reply.end();
  }

  async #embed(
    answer: 'embed' | 'embeddings' | 'openai',
    { call, model, reply }: Job,
    begun: { readonly startedAt: number; readonly loadMs: number },
    signal: AbortSignal,
  ): Promise<void> {
    const { clock, promptTokensPerSecond } = this.#options;
    const promptTokens = call.inputs.reduce((sum, input) => sum + Math.ceil(input.length / 4) + 1, 0);
    await clock.sleep((promptTokens / promptTokensPerSecond) * 1000, signal);
    signal.throwIfAborted();
    const vectors = call.inputs.map((input) => embeddingOf(input, model.embeddingLength));
    if (answer === 'embeddings') {
      reply.send(200, JSON.stringify({ embedding: vectors[0] ?? [] }), OLLAMA_JSON);
    } else if (answer === 'openai') {
      const data = vectors.map((embedding, index) => ({ object: 'embedding', embedding, index }));
      const usage = { prompt_tokens: promptTokens, total_tokens: promptTokens };
      const body = JSON.stringify({ object: 'list', data, model: call.model, usage });
      reply.send(200, `${body}\n`, COMPATIBLE_JSON);
    } else {
      const figures = {
        total_duration: nanoseconds(clock.now() - begun.startedAt),
        load_duration: nanoseconds(begun.loadMs),
        prompt_eval_count: promptTokens,
      };
      const answered = { model: call.model, embeddings: vectors, ...(vectors.length > 0 ? figures : {}) };
      reply.send(200, JSON.stringify(answered), OLLAMA_JSON);
    }
  }

  #context({ call, record }: Job): FormatContext {
    return {
      model: call.model,
      now: () => this.#options.clock.date(),
      id: record.id,
      includeUsage: call.includeUsage,
      maxTokens: call.maxTokens,
    };
  }
}
