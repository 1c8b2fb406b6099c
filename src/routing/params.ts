import { DEFAULT_REWRITES, type RewritePolicy } from './rewrite-policy.ts';

/**
 * Every figure that routing takes for granted, in one place. What an operator sets comes first; the rest are priors:
 * used until the fleet has shown its own figures, and the weights of what cannot be measured.
 */
export interface RoutingParams {
  /** Nodes that one request may try, the first included. */
  readonly maxAttempts: number;
  /** Nodes that the list has at least, where there are as many: a proxy whose number of retries cannot be set walks off a shorter one. */
  readonly minAttempts: number;
  /** Up to so many nodes with the model in memory, a decision looks at all of them; beyond, chance chooses some. */
  readonly maxWarmNodes: number;
  /** The same for nodes that know the model. */
  readonly maxColdNodes: number;
  /**
   * How many of each kind chance chooses then. The best `share` of a kind are all missed with a chance of
   * `(1 - share) ** sampledNodes`: at 80 the best twentieth once in 60 decisions, and then a good one is taken.
   */
  readonly sampledNodes: number;
  /** Of so many nodes with running requests for the model, the oldest first, one decision finds out who still loads it. */
  readonly maxRunningNodes: number;
  /** How long a warm, idle node may take to its first byte. */
  readonly firstByteTimeoutMs: number;
  /** How much longer it may take where the model must be loaded. */
  readonly loadTimeoutMs: number;
  /** How long a whole answer may take where its headers come at its end. */
  readonly answerTimeoutMs: number;

  /** Load rate of a node that was never seen loading, bytes of weights per second. */
  readonly defaultLoadBytesPerSecond: number;
  /** Part of every load that does not depend on the size. */
  readonly loadStartSeconds: number;
  /** Size of a model whose node does not say, bytes. */
  readonly defaultModelBytes: number;
  /** VRAM that a model takes, as a multiple of its size on disk: KV cache and graph come on top of the weights. */
  readonly vramPerDiskByte: number;
  /** Share of a load that is still to come when one is known to run. */
  readonly loadLeftShare: number;
  /** No load is quicker. */
  readonly leastLoadSeconds: number;
  /** How much of the waits that a further copy of a model saves counts for the one who loads it. */
  readonly furtherCopyShare: number;
  /** Least share of a load that the one who loads pays. */
  readonly leastLoadShare: number;
  /** What a load costs more, as a share of itself, for each node that loads the same model already: they will soon serve too. */
  readonly crowdShare: number;
  /** Least share of a load that is still to come: one that should have ended is nearly done. */
  readonly leastLoadLeftShare: number;
  /** Least share of its usual time that a running request is expected to last still: nobody knows how long answers get. */
  readonly leastLeftShare: number;
  /** By which share of its delay a late request is expected to be later still. */
  readonly overdueShare: number;

  /** Duration of a generation on a model that was never seen at work. */
  readonly defaultServiceSeconds: number;
  /** What each other model at work on the node adds to a request's time, as a share of its time alone: they share the GPU. */
  readonly contentionShare: number;

  /** How much a second of writing the answer counts beside a second of waiting for its beginning. */
  readonly answerShare: number;
  /** The same of the seconds by which others on the node become later. */
  readonly crowdingShare: number;
  /** Least chance that an evicted model that runs nothing of ours is asked for again. */
  readonly idleReuse: number;
  /** How long an idle model usually stays in memory yet. */
  readonly reuseSeconds: number;
  /** Of those who ask for an evicted model while it loads again, so many at most are counted. */
  readonly maxFollowers: number;
  /** A reload drives others out in turn: so many reloads come of one, about. */
  readonly knockOn: number;
  /** Least share of its reload that a model is worth of which other nodes have idle copies. */
  readonly elsewhereShare: number;
  /** Chance that a load evicts something on a node whose VRAM is unknown. */
  readonly unknownEviction: number;
  /** Models that Ollama keeps loaded on one GPU by default; at this many, one more most likely evicts. */
  readonly usualLoadedModels: number;
  readonly fullEviction: number;
  /** Cost of a model that is larger than all VRAM of the node: part of it runs on the CPU. */
  readonly oversizeSeconds: number;

  /** First-token work of a warm, idle node of weight 1. */
  readonly baseSeconds: number;

  /** Share of failed requests that is nobody's business: a node with so few competes as any other. */
  readonly toleratedFailures: number;
  /** Cost of a node at which every request fails; grows with the square of the share that does. */
  readonly failureSeconds: number;
  /** Cost of a node whose last poll or request failed; twice that where it is down and there is no other. */
  readonly suspectSeconds: number;
  /** Cost of a node that has come back just now; falls to 0 while it is eased in. */
  readonly recoverySeconds: number;
  /** Cost of being the one request that finds out whether a stuck model works again. */
  readonly halfOpenSeconds: number;
  /** Cost of a node whose GPU is slowed down for heat or power: less than any load, so that warm stays warm. */
  readonly throttledSeconds: number;
  /** Cost of a node of which no poll has told anything yet. */
  readonly unknownSeconds: number;
  /** Age of the view of a node's memory that is normal. */
  readonly freshMs: number;
  /** For so long after an answer a node is known to answer: a node that is polled well may still fail whatever it is sent. */
  readonly provenMs: number;
  /** Cost of each second of age beyond that, and the most it may come to. */
  readonly stalePerSecond: number;
  readonly maxStaleSeconds: number;

  /** What becomes of contexts: it decides who must reload, see context.ts. */
  readonly rewrites: RewritePolicy;

  /** What a client is told to wait when no node can take its request. */
  readonly retryAfterSeconds: number;

  // Priors of the prediction (predict.ts), for a node of weight 1, until it has shown its own figures.
  /** Bytes of text per token of a prompt. */
  readonly bytesPerToken: number;
  /** Tokens that an image is read as. */
  readonly tokensPerImage: number;
  /** Tokens of an answer. */
  readonly answerTokens: number;
  /** Tokens per second times bytes of weights: a model of twice the size is half as fast. Reading, and writing alone. */
  readonly promptBytesPerSecond: number;
  readonly answerBytesPerSecond: number;
  /** What each further request at once adds to the time of an answer, as a share of its time alone. */
  readonly slowdownPerRequest: number;
  /** From the end of a request at its node until the next one of the line has come there. */
  readonly handoverSeconds: number;
}

export const DEFAULT_ROUTING: RoutingParams = {
  maxAttempts: 3,
  minAttempts: 1,
  maxWarmNodes: 256,
  maxColdNodes: 256,
  sampledNodes: 80,
  maxRunningNodes: 500,
  firstByteTimeoutMs: 60_000,
  loadTimeoutMs: 300_000,
  answerTimeoutMs: 600_000,

  defaultLoadBytesPerSecond: 500 * 1024 ** 2,
  loadStartSeconds: 1,
  defaultModelBytes: 4 * 1024 ** 3,
  vramPerDiskByte: 1.2,
  loadLeftShare: 0.5,
  leastLoadSeconds: 0.1,
  furtherCopyShare: 2,
  leastLoadShare: 0.3,
  crowdShare: 1,
  leastLoadLeftShare: 0.1,
  leastLeftShare: 1,
  overdueShare: 1,

  defaultServiceSeconds: 5,
  contentionShare: 1,

  answerShare: 0.07,
  crowdingShare: 0.2,
  idleReuse: 0.1,
  reuseSeconds: 200,
  maxFollowers: 10,
  knockOn: 1.7,
  elsewhereShare: 0.1,
  unknownEviction: 0.5,
  usualLoadedModels: 3,
  fullEviction: 0.9,
  oversizeSeconds: 30,

  baseSeconds: 0.05,

  toleratedFailures: 0.05,
  failureSeconds: 60,
  suspectSeconds: 60,
  recoverySeconds: 1,
  halfOpenSeconds: 10,
  throttledSeconds: 0.5,
  unknownSeconds: 5,
  freshMs: 3_000,
  provenMs: 600_000,
  stalePerSecond: 0.2,
  maxStaleSeconds: 5,

  retryAfterSeconds: 2,

  bytesPerToken: 4,
  tokensPerImage: 600,
  answerTokens: 200,
  promptBytesPerSecond: 2_000 * 4 * 1024 ** 3,
  answerBytesPerSecond: 40 * 4 * 1024 ** 3,
  slowdownPerRequest: 0.3,
  handoverSeconds: 0.02,
  rewrites: DEFAULT_REWRITES,
};
