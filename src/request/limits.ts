/** Longest model name in bytes; Ollama's own parts add up to less. */
export const MAX_MODEL_NAME_BYTES = 512;
/** Longest model name as it may be written in JSON: every character as `\uXXXX`. */
export const MAX_WRITTEN_NAME_BYTES = MAX_MODEL_NAME_BYTES * 6;
/** Arrays and objects inside each other; Go's decoder goes to 10,000, real requests to about ten. */
export const MAX_NESTING = 512;
/** Longest number or duration whose value is worked out; longer ones pass to the node without being understood. */
export const MAX_VALUE_BYTES = 1024;
/** Bytes of a body read in one go: well under a millisecond even where the body is made to be slow. */
export const SCAN_SLICE_BYTES = 64 * 1024;

/** How the Lua filter makes bones: strings longer than `keepBytes` become their first `headBytes`, `#` and their length. */
export const BONES = { keepBytes: 300, headBytes: 64, wholeBodyBytes: 1024 } as const;
/** Of a long string, so many bytes count for hashes: few enough that no cut of the bones reaches them. */
export const HASHED_HEAD_BYTES = 60;
/** Names in a body's own `fallback_models`. */
export const MAX_FALLBACK_MODELS = 8;
/** Beginnings of a prompt that are remembered of one request. */
export const MAX_PREFIXES = 16;
