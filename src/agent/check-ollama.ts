import { request } from 'undici';
import { explainError } from './explain-answer.ts';
import { listenAddress } from './ollama/environment.ts';
import type { FoundEnvironment } from './ollama/find-environment.ts';

const TIMEOUT_MS = 2_000;
const LOOPBACK = /^(?:127\.|localhost$|::1$)/;

/** Whether Ollama answers where the agent says that it does; if not, why, in one line for people. */
export async function ollamaProblem(
  url: string,
  environment: FoundEnvironment | undefined,
  signal: AbortSignal,
): Promise<string | undefined> {
  try {
    const { statusCode, body } = await request(new URL('/api/version', url), {
      signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
    });
    body.on('error', () => {}).destroy();
    return statusCode === 200
      ? undefined
      : `${url} answers GET /api/version with status ${statusCode}: is that Ollama? Name its address with --url`;
  } catch (error) {
    if (signal.aborted) return undefined;
    const { host } = listenAddress(environment?.env.OLLAMA_HOST);
    const isLocalOnly =
      environment !== undefined && LOOPBACK.test(host) && !LOOPBACK.test(new URL(url).hostname);
    return isLocalOnly
      ? `Ollama listens on ${host} only, so that nobody reaches ${url}: set OLLAMA_HOST=0.0.0.0 in its environment`
      : `Ollama does not answer at ${url} (${explainError(error)}): start it, let it listen there (OLLAMA_HOST), or name its address with --url`;
  }
}
