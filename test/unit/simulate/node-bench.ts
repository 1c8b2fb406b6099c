import { VirtualClock } from '../../../src/simulate/engine/virtual-clock.ts';
import type { Job, JobOrder } from '../../../src/simulate/node/job.ts';
import { NodeAnswers } from '../../../src/simulate/node/node-answers.ts';
import { OllamaNode } from '../../../src/simulate/node/ollama-node.ts';
import type { SimModelSpec, SimNodeSpec } from '../../../src/simulate/types.ts';

export const GIB = 1024 ** 3;

/** A model of one billion parameters at 4 bits: nodes' rates are stated for it. A load of it takes 1 s. */
export function simModel(key: string, fields: Partial<SimModelSpec> = {}): SimModelSpec {
  return { key, sizeBytes: 0.6 * GIB, kvBytesPerToken: 0, defaultContext: 4_096, ...fields };
}

/** Reads 1,000 tokens and writes 100 per second; a load takes as long as its weights, and a start of 0 ms. */
export function simNode(fields: Partial<SimNodeSpec> = {}): SimNodeSpec {
  return {
    id: 'n',
    vramBytes: 24 * GIB,
    parallel: 1,
    maxLoadedModels: 3,
    loadBytesPerSecond: 0.6 * GIB,
    loadStartMs: 0,
    promptTokensPerSecond: 1_000,
    answerTokensPerSecond: 100,
    rttMs: 0,
    models: ['a:latest', 'b:latest', 'c:latest', 'd:latest'],
    tellsVram: true,
    ...fields,
  };
}

interface Asked {
  readonly name: string;
  readonly job: Job;
  end: string | undefined;
}

/** One node in virtual time; what befalls its requests is written down in order. */
export class NodeBench {
  readonly clock = new VirtualClock();
  readonly node: OllamaNode;
  readonly events: string[] = [];
  readonly answers: NodeAnswers;
  freeSlots = 0;

  constructor(
    spec: Partial<SimNodeSpec> = {},
    models: readonly SimModelSpec[] = ['a', 'b', 'c', 'd'].map((n) => simModel(`${n}:latest`)),
  ) {
    this.node = new OllamaNode(simNode(spec), this.clock, () => 0.5, {
      freeSlots: (_model, change) => {
        this.freeSlots += change;
      },
      loaded: (model) => this.#note(`loaded ${model}`),
    });
    this.answers = new NodeAnswers(this.node, new Map(models.map((model) => [model.key, model])), 0);
  }

  /** 100 tokens of prompt (0.1 s) and 100 of answer (1 s) of model `a` unless said otherwise. */
  ask(name: string, fields: Partial<JobOrder> = {}): Asked {
    const asked = { name, job: undefined as unknown as Job, end: undefined } as {
      -readonly [K in keyof Asked]: Asked[K];
    };
    const order: JobOrder = {
      model: simModel('a:latest'),
      numCtx: undefined,
      keepAliveMs: undefined,
      promptTokens: 100,
      answerTokens: 100,
      session: undefined,
      sharedTokens: 0,
      prefix: undefined,
      isEmpty: false,
      ...fields,
    };
    asked.job = this.node.submit(order, {
      started: () => this.#note(`${name} started`),
      firstToken: () => this.#note(`${name} first`),
      served: () => {
        asked.end = 'served';
        this.#note(`${name} served`);
      },
      failed: (_job, reason) => {
        asked.end = reason;
        this.#note(`${name} ${reason}`);
      },
    });
    return asked;
  }

  at(ms: number, fn: () => void): void {
    this.clock.after(ms - this.clock.now(), fn);
  }

  runUntil(ms: number): void {
    this.clock.run(() => false, ms);
  }

  loaded(): string[] {
    return [...this.node.runners.keys()].sort();
  }

  /** Events of one kind with their times in ms, in order. */
  times(kind: string): string[] {
    return this.events.filter((event) => event.includes(kind));
  }

  #note(event: string): void {
    this.events.push(`${Math.round(this.clock.now())} ${event}`);
  }
}
