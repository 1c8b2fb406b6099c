import { BodyScanner } from './body-scanner.ts';
import type { InferenceEndpoint, RouteRequest } from './types.ts';

/** Reads a whole body at once: about 1 ms per MiB of text, up to ten of hostile input; see BodyScanner for large ones. */
export function scanBody(bytes: Uint8Array, endpoint: InferenceEndpoint, bodyBytes: number): RouteRequest {
  const scanner = new BodyScanner(endpoint, bodyBytes);
  scanner.step(bytes, bytes.length);
  return scanner.result();
}
