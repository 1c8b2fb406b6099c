import type { ModelOptions } from './models.ts';
import { type SimulatedNodeOptions, startSimulatedNode } from './node-simulator.ts';

const GIB = 2 ** 30;
const GB = 1e9;

export interface DemoFleet {
  readonly nodes: readonly { readonly name: string; readonly url: string }[];
  close(): Promise<void>;
}

const LLAMA: ModelOptions = {
  name: 'llama3.2:3b',
  sizeBytes: 2.0 * GB,
  family: 'llama',
  parameterSize: '3.2B',
  kvBytesPerToken: 112 * 1024,
  capabilities: ['completion', 'tools'],
};
const QWEN: ModelOptions = {
  name: 'qwen3:8b',
  sizeBytes: 5.2 * GB,
  family: 'qwen3',
  parameterSize: '8.2B',
  trainedContext: 40_960,
  kvBytesPerToken: 144 * 1024,
  capabilities: ['completion', 'tools', 'thinking'],
};
const GEMMA: ModelOptions = {
  name: 'gemma3:12b',
  sizeBytes: 8.1 * GB,
  family: 'gemma3',
  parameterSize: '12.2B',
  kvBytesPerToken: 96 * 1024,
  capabilities: ['completion', 'vision'],
};
const EMBEDDER: ModelOptions = {
  name: 'nomic-embed-text:latest',
  sizeBytes: 0.27 * GB,
  family: 'nomic-bert',
  parameterSize: '137M',
  quantization: 'F16',
  trainedContext: 2048,
  kvBytesPerToken: 0,
  embeddingLength: 768,
  capabilities: ['embedding'],
};

/** Three machines of unequal size and speed; only the largest holds every model. */
const FLEET: readonly SimulatedNodeOptions[] = [
  {
    name: 'big-24gb',
    vramBytes: 24 * GIB,
    models: [LLAMA, QWEN, GEMMA, EMBEDDER],
    slots: 4,
    tokensPerSecond: 70,
    promptTokensPerSecond: 3000,
    loadBytesPerSecond: 1.2 * GB,
  },
  {
    name: 'mid-12gb',
    vramBytes: 12 * GIB,
    models: [LLAMA, QWEN, GEMMA],
    slots: 2,
    tokensPerSecond: 45,
    promptTokensPerSecond: 1500,
    loadBytesPerSecond: 0.8 * GB,
  },
  {
    name: 'small-8gb',
    vramBytes: 8 * GIB,
    models: [LLAMA, QWEN, EMBEDDER],
    slots: 1,
    tokensPerSecond: 30,
    promptTokensPerSecond: 800,
    loadBytesPerSecond: 0.5 * GB,
  },
];

/** Loads are then a matter of one to four seconds: visible, not annoying. */
const TIME_SCALE = 2.5;
/** Tokens after which a demo answer ends by itself. */
const NATURAL_END = 60;

/**
 * Starts the nodes of `warmpath up --demo` on free loopback ports of this process. The model that most people
 * ask for first is warm on one of them already.
 */
export async function startDemoFleet(): Promise<DemoFleet> {
  const nodes = await Promise.all(
    FLEET.map((options) =>
      startSimulatedNode({
        ...options,
        timeScale: TIME_SCALE,
        naturalEnd: NATURAL_END,
        defaultTokens: NATURAL_END,
        logLimit: 1000,
      }),
    ),
  );
  await nodes[0]?.load(LLAMA.name);
  return {
    nodes: nodes.map(({ name, url }) => ({ name, url })),
    close: async () => {
      await Promise.all(nodes.map((node) => node.close()));
    },
  };
}
