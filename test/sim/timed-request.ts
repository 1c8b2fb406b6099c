import { request } from 'node:http';

export interface TimedAnswer {
  readonly status: number;
  /** ms from sending. */
  readonly firstByteMs: number;
  readonly totalMs: number;
  /** Ollama's own figures from the last line, ms; undefined where it has none. */
  readonly figures:
    | { readonly total: number; readonly load: number; readonly prompt: number; readonly eval: number }
    | undefined;
  readonly promptTokens: number;
  readonly answerTokens: number;
}

/** Asks /api/generate and times the first byte of the body and its end. */
export function timedGenerate(url: string, body: object): Promise<TimedAnswer> {
  const begun = performance.now();
  return new Promise((resolve, reject) => {
    const outgoing = request(
      `${url}/api/generate`,
      { method: 'POST', headers: { 'content-type': 'application/json' } },
      (answer) => {
        let firstByteMs: number | undefined;
        let text = '';
        answer.setEncoding('utf8');
        answer.on('data', (chunk: string) => {
          firstByteMs ??= performance.now() - begun;
          text += chunk;
        });
        answer.on('error', reject);
        answer.on('end', () => {
          const totalMs = performance.now() - begun;
          resolve({
            status: answer.statusCode ?? 0,
            firstByteMs: firstByteMs ?? totalMs,
            totalMs,
            ...figuresOf(text),
          });
        });
      },
    );
    outgoing.on('error', reject);
    outgoing.end(JSON.stringify(body));
  });
}

function figuresOf(text: string) {
  const last = JSON.parse(text.trimEnd().split('\n').at(-1) ?? '{}') as Record<string, number | undefined>;
  const ms = (name: string): number => (last[name] ?? 0) / 1e6;
  const figures =
    last.total_duration === undefined
      ? undefined
      : {
          total: ms('total_duration'),
          load: ms('load_duration'),
          prompt: ms('prompt_eval_duration'),
          eval: ms('eval_duration'),
        };
  return { figures, promptTokens: last.prompt_eval_count ?? 0, answerTokens: last.eval_count ?? 0 };
}
