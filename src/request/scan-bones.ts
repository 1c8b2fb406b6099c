import { CutLedger, cutLength, REPLACEMENT_LEAD, replacementCount } from './cut-strings.ts';
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
  const hasReplacements = bytes.includes(REPLACEMENT_LEAD);
  const cuts = new CutLedger(hasReplacements);
  const fields = new RequestFields(endpoint, (text, start, end) => cutLength(text, start, end) > 0);
  if (!isCompleteJson(new JsonLexer(fields, cuts), bytes)) return undefined;
  // A byte replaced outside the cuts hides how long the body was.
  if (hasReplacements && replacementCount(bytes, 0, bytes.length) > cuts.replacements) return undefined;
  const isWhole = bodyBytes === bytes.length || bodyBytes === bytes.length + cuts.missingBytes;
  return isWhole && !fields.isCut ? fields.request(bodyBytes) : undefined;
}

function isCompleteJson(lexer: JsonLexer, bytes: Uint8Array): boolean {
  try {
    return lexer.step(bytes, bytes.length);
  } catch (error) {
    if (error instanceof RouterError && error.code === 'invalid_json') return false;
    throw error;
  }
}
