import type { ModelOnDisk, ResidentModel } from '../../fleet/types.ts';
import type { SimModelSpec, SimPoll } from '../types.ts';
import type { OllamaNode } from './ollama-node.ts';

const FOR_EVER = '2319-01-01T00:00:00.000Z';
const MODIFIED = '2025-06-01T00:00:00.000Z';
const NO_DETAILS = {
  parent_model: '',
  format: 'gguf',
  family: 'llama',
  families: ['llama'],
  quantization_level: 'Q4_K_M',
};

/** What a node answers to polls; made anew only when something has changed, so that most polls cost next to nothing. */
export class NodeAnswers {
  readonly #node: OllamaNode;
  readonly #epochMs: number;
  readonly #tags: readonly ModelOnDisk[];
  #resident: readonly ResidentModel[] = [];
  #version = -1;

  constructor(node: OllamaNode, models: ReadonlyMap<string, SimModelSpec>, epochMs: number) {
    this.#node = node;
    this.#epochMs = epochMs;
    this.#tags = node.spec.models.map((key) => onDisk(models.get(key) as SimModelSpec)); // sound: scenarios are checked
  }

  /** Undefined: it does not answer. */
  answer(): SimPoll | undefined {
    if (!this.#node.isUp) return undefined;
    if (this.#version !== this.#node.version) {
      this.#version = this.#node.version;
      this.#resident = this.#listed();
    }
    return { resident: this.#resident, tags: this.#tags, rttMs: this.#node.spec.rttMs };
  }

  #listed(): readonly ResidentModel[] {
    const runners = [...this.#node.runners.values()].sort((a, b) => b.expiresAt - a.expiresAt);
    return runners.map((runner) => ({
      ...identity(runner.model),
      sizeBytes: runner.sizeBytes,
      vramBytes: runner.vramBytes,
      contextLength: runner.context,
      expiresAt:
        runner.expiresAt === Number.POSITIVE_INFINITY
          ? FOR_EVER
          : new Date(this.#epochMs + runner.expiresAt).toISOString(),
    }));
  }
}

function onDisk(model: SimModelSpec): ModelOnDisk {
  return { ...identity(model), sizeBytes: model.sizeBytes, modifiedAt: MODIFIED };
}

function identity({ key, sizeBytes }: SimModelSpec) {
  const details = { ...NO_DETAILS, parameter_size: `${(sizeBytes / 0.6e9).toFixed(1)}B` };
  return { key, name: key, digest: `simulated ${key}`, details };
}
