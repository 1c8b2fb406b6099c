import { createHash } from 'node:crypto';

/** A model that a simulated node has on disk. Only the name and the size are needed. */
export interface ModelOptions {
  readonly name: string;
  readonly sizeBytes: number;
  /** Another name of this model: same weights, same digest. */
  readonly aliasOf?: string;
  readonly family?: string;
  readonly parameterSize?: string;
  readonly quantization?: string;
  /** Longest context the model was trained for; larger requests are clamped to it. */
  readonly trainedContext?: number;
  /** Memory that one token of context takes in each slot. */
  readonly kvBytesPerToken?: number;
  readonly embeddingLength?: number;
  /** What it can do, in Ollama's words; only texts by default. */
  readonly capabilities?: readonly string[];
}

export interface SimulatedModel {
  /** Canonical, tag included, as /api/tags shows it. */
  readonly name: string;
  /** The same for equal names on every node. */
  readonly digest: string;
  readonly sizeBytes: number;
  readonly family: string;
  readonly parameterSize: string;
  readonly quantization: string;
  readonly trainedContext: number;
  readonly kvBytesPerToken: number;
  readonly embeddingLength: number;
  readonly capabilities: readonly string[];
  readonly modifiedAt: Date;
}

export function simulateModel(options: ModelOptions, modifiedAt: Date): SimulatedModel {
  return {
    name: canonicalName(options.name),
    digest: modelDigest(options.aliasOf ?? options.name),
    sizeBytes: options.sizeBytes,
    family: options.family ?? 'llama',
    parameterSize: options.parameterSize ?? `${Math.max(0.1, options.sizeBytes / 0.6e9).toFixed(1)}B`,
    quantization: options.quantization ?? 'Q4_K_M',
    trainedContext: options.trainedContext ?? 131_072,
    kvBytesPerToken: options.kvBytesPerToken ?? 128 * 1024,
    embeddingLength: options.embeddingLength ?? 64,
    capabilities: options.capabilities ?? ['completion'],
    modifiedAt,
  };
}

export function modelDigest(name: string): string {
  return createHash('sha256')
    .update(`simulated model ${canonicalName(name)}`)
    .digest('hex');
}

/** `Alpha`, `alpha:latest` and `some.host/library/alpha` are one model. */
export function canonicalName(name: string): string {
  const lower = name.toLowerCase();
  const library = lower.lastIndexOf('library/');
  const short = library < 0 ? lower : lower.slice(library + 'library/'.length);
  return short.slice(short.lastIndexOf('/') + 1).includes(':') ? short : `${short}:latest`;
}

/** Ollama's `details` object. */
export function modelDetails(model: SimulatedModel): Record<string, unknown> {
  return {
    parent_model: '',
    format: 'gguf',
    family: model.family,
    families: [model.family],
    parameter_size: model.parameterSize,
    quantization_level: model.quantization,
  };
}
