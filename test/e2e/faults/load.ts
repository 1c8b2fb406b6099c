import { type Answer, post } from '../../support/http-client.ts';

/** One request of a load as its client saw it. */
export interface Sample {
  readonly index: number;
  readonly sentBytes: number;
  /** undefined: the connection ended before an answer began. */
  readonly answer: Answer | undefined;
  readonly error: string | undefined;
  readonly sentAt: number;
  readonly node: string | undefined;
  /** What Envoy says; 0 where it says nothing. */
  readonly attempts: number;
  readonly routed: boolean;
}

export interface LoadOptions {
  readonly perSecond: number;
  readonly path?: string;
  /** Body of request number `index`. */
  readonly body: (index: number) => unknown;
}

/** Sends requests at an even rate, whether or not earlier ones have been answered, until it is stopped. */
export class Load {
  readonly #url: string;
  readonly #options: LoadOptions;
  readonly #samples: Promise<Sample>[] = [];
  readonly #startedAt = performance.now();
  readonly #timer: NodeJS.Timeout;

  constructor(url: string, options: LoadOptions) {
    this.#url = url;
    this.#options = options;
    this.#timer = setInterval(() => this.#catchUp(), 5);
  }

  get sent(): number {
    return this.#samples.length;
  }

  /** Sends no more, waits for all answers. */
  async stop(): Promise<Sample[]> {
    clearInterval(this.#timer);
    return Promise.all(this.#samples);
  }

  #catchUp(): void {
    const due = ((performance.now() - this.#startedAt) / 1000) * this.#options.perSecond;
    while (this.#samples.length < due) {
      const index = this.#samples.length;
      this.#samples.push(
        sample(this.#url + (this.#options.path ?? '/api/generate'), index, this.#options.body(index)),
      );
    }
  }
}

/** Sends one request; never rejects. */
export async function sample(url: string, index: number, body: unknown): Promise<Sample> {
  const sentAt = performance.now();
  const bytes = Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body));
  const common = { index, sentAt, sentBytes: bytes.length };
  try {
    const answer = await post(url, bytes);
    const text = (name: string): string | undefined => {
      const value = answer.headers[name];
      return typeof value === 'string' && value !== '' && value !== '-' ? value : undefined;
    };
    return {
      ...common,
      answer,
      error: answer.error?.message,
      node: text('x-warmpath-node'),
      attempts: Number(text('x-warmpath-attempts') ?? 0),
      routed: text('x-warmpath-decision') !== undefined,
    };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return { ...common, answer: undefined, error: reason, node: undefined, attempts: 0, routed: false };
  }
}

/** A whole answer of Ollama's, down to its final statistics. */
export function isWhole({ answer }: Sample): boolean {
  return (
    answer !== undefined &&
    answer.status === 200 &&
    answer.isComplete &&
    /"done":\s*true/.test(answer.text.slice(-4096))
  );
}

/** What went wrong with those that went wrong, in words for an assertion: [] when nothing did. */
export function failures(samples: readonly Sample[]): string[] {
  return samples.filter((each) => !isWhole(each)).map(described);
}

export function maxAttempts(samples: readonly Sample[]): number {
  return Math.max(0, ...samples.map((each) => each.attempts));
}

export function described({ index, answer, error, node, attempts, sentBytes }: Sample): string {
  const what = answer === undefined ? 'no answer' : `${answer.status} ${answer.text.slice(0, 200)}`;
  return `#${index} (${sentBytes} B, node ${node}, ${attempts} attempts): ${what} ${error ?? ''}`;
}

/** A generate request whose body has about so many bytes. */
export function generateBody(
  model: string,
  bytes: number,
  { tokens = 4, stream = true }: { tokens?: number; stream?: boolean } = {},
): Buffer {
  const request = {
    model,
    prompt: 'x '.repeat(Math.max(1, bytes >> 1)),
    stream,
    options: { num_predict: tokens },
  };
  return Buffer.from(JSON.stringify(request));
}
