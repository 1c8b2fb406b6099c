/** What a node's /api/show tells of a model beyond its tag list. */
export interface ModelAbilities {
  /** What the model can do (`completion`, `vision`, `tools`, `embedding`, ...); undefined: not asked yet, or not told. */
  readonly capabilities?: readonly string[] | undefined;
  /** The longest context that it was trained for, in tokens: Ollama cuts larger ones down to it. Undefined as above. */
  readonly trainedContext?: number | undefined;
}

/** The same from a node that told. */
export interface ToldAbilities extends ModelAbilities {
  readonly capabilities: readonly string[];
}
