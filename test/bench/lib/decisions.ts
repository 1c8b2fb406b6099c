import { type Client, credentials, makeClientConstructor } from '@grpc/grpc-js';
import type { ProcessingRequest } from '../../../src/envoy/gen/envoy/service/ext_proc/v3/external_processor.ts';
import { loadService } from '../../../src/envoy/grpc/load-proto.ts';
import { head, process as openStream } from '../../unit/envoy/processor/fakes.ts';

export interface Decisions {
  readonly perSecond: number;
  /** Ms from the question to the answer. */
  readonly waits: readonly number[];
}

/** Asks one control plane as Envoy would, without an Envoy. */
export class DecisionClient {
  readonly #client: Client;
  readonly #question: ProcessingRequest;

  constructor(socketPath: string, model: string) {
    const service = loadService(
      'envoy/service/ext_proc/v3/external_processor.proto',
      'envoy.service.ext_proc.v3.ExternalProcessor',
    );
    const Made = makeClientConstructor(service, 'bench');
    this.#client = new Made(`unix:${socketPath}`, credentials.createInsecure());
    const bones = JSON.stringify({ model, messages: [{ role: 'user', content: 'x'.repeat(200) }] });
    this.#question = head({ bones, headers: { 'content-length': `${bones.length}` } });
  }

  /** One decision; its lease ends `holdMs` after the answer. Answers how long the answer took. */
  ask(holdMs = 0): Promise<number> {
    return new Promise((resolve, reject) => {
      const call = openStream(this.#client);
      const startedAt = performance.now();
      let took = Number.NaN;
      call.on('data', () => {
        took = performance.now() - startedAt;
        if (holdMs === 0) call.end();
        else setTimeout(() => call.end(), holdMs);
      });
      call.on('error', reject);
      call.on('status', () => resolve(took));
      call.write(this.#question);
    });
  }

  /** So many clients, each asking again when it has been answered. */
  async closedLoop(clients: number, seconds: number): Promise<Decisions> {
    const until = performance.now() + seconds * 1_000;
    const waits: number[] = [];
    await Promise.all(
      Array.from({ length: clients }, async () => {
        while (performance.now() < until) waits.push(await this.ask());
      }),
    );
    return { perSecond: waits.length / seconds, waits };
  }

  /** So many each second, whether or not earlier ones were answered. */
  async steady(perSecond: number, seconds: number, holdMs: number): Promise<Decisions> {
    const startedAt = performance.now();
    const asked: Promise<number>[] = [];
    while (performance.now() - startedAt < seconds * 1_000) {
      const due = ((performance.now() - startedAt) / 1_000) * perSecond;
      while (asked.length < due) asked.push(this.ask(holdMs));
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    return { perSecond, waits: await Promise.all(asked) };
  }

  close(): void {
    this.#client.close();
  }
}
