import { PollError } from './poll-error.ts';

/** Ollama's own answers are four levels deep. */
const MAX_DEPTH = 16;

/** Parses a node's answer, whose size the caller has bounded; depth is bounded here. Throws PollError. */
export function parseJson(bytes: Uint8Array): unknown {
  if (depthOf(bytes, MAX_DEPTH) > MAX_DEPTH) throw new PollError('bad_answer', 'nested too deeply');
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw new PollError('bad_answer', 'not UTF-8', error);
  }
  try {
    return JSON.parse(text);
  } catch {
    // The parser's own message quotes the answer: no cause.
    throw new PollError('bad_answer', 'not JSON');
  }
}

/** Nesting of brackets outside strings, in one pass; stops once it is beyond `limit`. */
function depthOf(bytes: Uint8Array, limit: number): number {
  let depth = 0;
  let deepest = 0;
  let isInString = false;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i];
    if (isInString) {
      if (byte === 0x5c) i++;
      else if (byte === 0x22) isInString = false;
    } else if (byte === 0x22) {
      isInString = true;
    } else if (byte === 0x7b || byte === 0x5b) {
      depth++;
      if (depth > deepest) deepest = depth;
      if (deepest > limit) return deepest;
    } else if (byte === 0x7d || byte === 0x5d) {
      depth--;
    }
  }
  return deepest;
}
