import type { SimModelSpec } from '../types.ts';

/** Size on disk in GB, KiB of KV cache per token (layers x KV heads x head size x 4 bytes). */
const MODELS = {
  'nomic-embed-text:latest': [0.27, 4],
  'llama3.2:3b': [2, 112],
  'gemma3:4b': [3.3, 68],
  'mistral:7b': [4.4, 128],
  'qwen2.5-coder:7b': [4.7, 56],
  'llama3.1:8b': [4.9, 128],
  'qwen3:8b': [5.2, 144],
  'llava:7b': [4.7, 128],
  'gemma2:9b': [5.4, 168],
  'deepseek-r1:14b': [9, 192],
  'phi4:14b': [9.1, 200],
  'qwen3:14b': [9.3, 160],
  'gemma3:27b': [17, 128],
  'qwen3:32b': [20, 256],
  'llama3.3:70b': [43, 320],
} as const satisfies Record<string, readonly [gb: number, kvKib: number]>;
export type ModelName = keyof typeof MODELS;

export const MODEL_NAMES = Object.keys(MODELS) as readonly ModelName[]; // sound: it has no other keys

/** Ollama's default context unless told otherwise. */
export function model(name: ModelName, defaultContext: number = 4_096): SimModelSpec {
  const [gb, kvKib] = MODELS[name];
  return { key: name, sizeBytes: gb * 1e9, kvBytesPerToken: kvKib * 1_024, defaultContext };
}

export function models(...names: readonly ModelName[]): SimModelSpec[] {
  return names.map((name) => model(name));
}

/** One more model like another, under another name: fine-tunes of one family. */
export function variant(of: ModelName, key: string): SimModelSpec {
  return { ...model(of), key };
}
