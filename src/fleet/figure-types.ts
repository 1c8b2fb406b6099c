/** A figure learnt from samples: robust against outliers, and worth less as it ages. */
export interface Estimate {
  readonly value: number;
  /** Smoothed absolute deviation of samples from the value, in its unit. */
  readonly spread: number;
  /** Samples behind it, faded with age; below 1 hardly more than a guess. */
  readonly weight: number;
  /** Wall clock of the last sample, Unix ms: figures outlive the process. */
  readonly at: number;
}

/** What one model does on one node, learnt from how its requests went. Undefined: never seen. */
export interface ModelFigures {
  /** A whole load of the weights at `context`, ms, without waiting for other loads. */
  readonly loadMs: Estimate | undefined;
  /** Tokens of prompt that are read per second, what the prompt cache saved left out. */
  readonly promptRate: Estimate | undefined;
  /** Tokens per second of one answer, by how many ran at once on the model: index 0 is alone. */
  readonly answerRates: readonly (Estimate | undefined)[];
  /** Tokens per answer. */
  readonly answerTokens: Estimate | undefined;
  /** Bytes of prompt (as `RouteRequest.promptBytes` counts) per token. */
  readonly bytesPerToken: Estimate | undefined;
  /** How long a request holds its slot, ms: for APIs that tell no durations. */
  readonly heldMs: Estimate | undefined;
  /** Wait inside Ollama, ms: total - load - prompt - answer. */
  readonly innerWaitMs: Estimate | undefined;
  /** Requests that it was seen to run at once; undefined: the node's slots count. */
  readonly slots: number | undefined;
  /** Context that the node gives requests which ask for none; undefined: not seen yet. */
  readonly defaultContext: number | undefined;
}

/** Figures of a node's models. A context of at least four times another has figures of its own: see `figuresKey`. */
export type FiguresByModel = ReadonlyMap<string, ModelFigures>;
