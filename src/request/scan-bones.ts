import { CutLedger, cutLength, replacementCount } from './cut-strings.ts';
import { RouterError } from './errors.ts';
import { JsonLexer } from './json-lexer.ts';
import { RequestFields } from './request-fields.ts';
import type { InferenceEndpoint, RouteRequest } from './types.ts';

const utf8 = new TextEncoder();

/**
 * Reads what matters from a body's bones: the same JSON with every string longer than 300 bytes cut to its first 64 and
 * `#<length>`. Undefined: the bones do not suffice (cut off at a NUL, not JSON, a name that is cut), read the body.
 *
 * `bodyBytes` is the body's true length where that is known, otherwise the length of the bones; a true length proves
 * that nothing is missing. What a cut hides is not checked: a control character or a bad escape in there is left
 * for the node to refuse. Everything else that is accepted or thrown here, `scanBody` accepts or throws too.
 */
export function scanBones(
  bones: Uint8Array | string,
  endpoint: InferenceEndpoint,
  bodyBytes: number,
): RouteRequest | undefined {
  const bytes = typeof bones === 'string' ? utf8.encode(bones) : bones;
  const cuts = new CutLedger();
  const fields = new RequestFields(endpoint, (text, start, end) => cutLength(text, start, end) > 0);
  if (!isCompleteJson(new JsonLexer(fields, cuts), bytes)) return undefined;
  if (fields.isCut || !isWholeBody(bytes, cuts.missingBytes, bodyBytes)) return undefined;
  return fields.request(bodyBytes);
}

function isCompleteJson(lexer: JsonLexer, bytes: Uint8Array): boolean {
  try {
    return lexer.step(bytes, bytes.length);
  } catch (error) {
    if (error instanceof RouterError && error.code === 'invalid_json') return false;
    throw error;
  }
}

/** Whether the bones and what they lack add up to the body. */
function isWholeBody(bytes: Uint8Array, missingBytes: number, bodyBytes: number): boolean {
  const length = bytes.length + missingBytes;
  if (bodyBytes === bytes.length || bodyBytes === length) return true;
  return bodyBytes < length && bodyBytes >= length - 2 * replacementCount(bytes, 0, bytes.length);
}
