import { RouterError } from './errors.ts';
import { JsonLexer } from './json-lexer.ts';
import { RequestFields } from './request-fields.ts';
import type { InferenceEndpoint, RouteRequest } from './types.ts';

/**
 * Reads what matters from a whole body, in slices: `step` until it answers true, then `result`. Any refusal is thrown
 * as soon as it is certain. Memory does not grow with the body.
 */
export class BodyScanner {
  readonly #bodyBytes: number;
  readonly #fields: RequestFields;
  readonly #lexer: JsonLexer;
  #isDone = false;

  constructor(endpoint: InferenceEndpoint, bodyBytes: number) {
    this.#bodyBytes = bodyBytes;
    this.#fields = new RequestFields(endpoint);
    this.#lexer = new JsonLexer(this.#fields);
  }

  /** Reads about `budget` further bytes; `bytes` is the same whole body at every call. True when all of it is read. */
  step(bytes: Uint8Array, budget: number): boolean {
    if (bytes.length === 0) throw new RouterError('missing_body', 'missing request body');
    this.#isDone = this.#lexer.step(bytes, budget);
    return this.#isDone;
  }

  result(): RouteRequest {
    if (!this.#isDone) throw new RouterError('internal', 'the body was not read to its end');
    return this.#fields.request(this.#bodyBytes);
  }
}
