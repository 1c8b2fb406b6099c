import { Client } from 'undici';
import type { Clock } from '../app/ports.ts';
import type { GpuMetricsSpec, GpuReport } from '../fleet/types.ts';
import { parseGpuMetrics } from './gpu-metrics.ts';
import { pinned } from './ollama-client.ts';
import { PollError, pollErrorFrom } from './poll-error.ts';

export interface GpuMetricsClientOptions {
  /** For a whole answer, connection included. */
  readonly timeoutMs: number;
  readonly maxBodyBytes: number;
  readonly clock: Clock;
}

/** Asks one exporter at one address. Rejects with PollError only; never follows a redirect, sends no token. */
export class GpuMetricsClient {
  readonly address: string;
  readonly #spec: GpuMetricsSpec;
  readonly #options: GpuMetricsClientOptions;
  readonly #url: URL;
  readonly #client: Client;

  constructor(spec: GpuMetricsSpec, ip: string, options: GpuMetricsClientOptions) {
    this.#spec = spec;
    this.address = ip;
    this.#options = options;
    this.#url = new URL(spec.url);
    this.#client = new Client(this.#url.origin, {
      pipelining: 1,
      allowH2: false,
      maxHeaderSize: 16 * 1024,
      keepAliveTimeout: 60_000,
      headersTimeout: options.timeoutMs * 2,
      bodyTimeout: options.timeoutMs * 2,
      connect: { timeout: options.timeoutMs, lookup: pinned(ip), autoSelectFamily: false },
    });
  }

  async scrape(signal: AbortSignal): Promise<GpuReport> {
    const { clock, timeoutMs } = this.#options;
    const cap = new AbortController();
    const cancel = clock.after(timeoutMs, () => cap.abort());
    try {
      const text = await this.#fetch(AbortSignal.any([signal, cap.signal]));
      const report = parseGpuMetrics(text, this.#spec);
      if (report === undefined) throw new PollError('bad_answer', 'tells of no GPU that matches');
      return report;
    } catch (error) {
      if (cap.signal.aborted || signal.aborted)
        throw new PollError('timeout', 'no whole answer in time', error);
      throw pollErrorFrom(error);
    } finally {
      cancel();
    }
  }

  async close(): Promise<void> {
    await this.#client.destroy();
  }

  async #fetch(signal: AbortSignal): Promise<string> {
    const { maxBodyBytes } = this.#options;
    const response = await this.#client.request({
      method: 'GET',
      path: `${this.#url.pathname}${this.#url.search}`,
      signal,
      headers: {
        accept: 'text/plain;version=0.0.4',
        'accept-encoding': 'identity',
        'user-agent': 'warmpath',
      },
    });
    try {
      if (response.statusCode !== 200) throw new PollError('bad_answer', `status ${response.statusCode}`);
      const chunks: Buffer[] = [];
      let length = 0;
      for await (const chunk of response.body) {
        length += chunk.length;
        if (length > maxBodyBytes) throw new PollError('bad_answer', 'answer too large');
        chunks.push(chunk);
      }
      return Buffer.concat(chunks, length).toString('utf8');
    } catch (error) {
      response.body.on('error', () => {}).destroy();
      throw error;
    }
  }
}
