import type { ExtProcProblem } from '../../../src/app/ext-proc-profile.ts';
import { systemClock } from '../../../src/app/system-clock.ts';
import { type GrpcServer, startGrpcServer } from '../../../src/envoy/grpc/server.ts';
import type { AnswerWatch } from '../../../src/envoy/processor/answer-watch.ts';
import { type ProcessorOptions, ProcessorService } from '../../../src/envoy/processor/service.ts';
import { CountingTelemetry, MemoryLog } from '../../unit/envoy/grpc/harness.ts';
import { DECISION, FakeReads, FakeRouter } from '../../unit/envoy/processor/fakes.ts';

/** Our real ext_proc server, with a router that says what the test wants. */
export class Picker {
  readonly router = new FakeRouter();
  readonly telemetry = new CountingTelemetry();
  readonly log = new MemoryLog();
  readonly problems: ExtProcProblem[] = [];
  /** What was seen of answers, in order. */
  readonly seen: string[] = [];
  readonly #options: ProcessorOptions;
  #server: GrpcServer | undefined;

  constructor(options: ProcessorOptions) {
    this.#options = options;
  }

  get port(): number {
    const port = this.#server?.port;
    if (port === undefined) throw new Error('not started');
    return port;
  }

  async start(): Promise<void> {
    const { router, telemetry, log } = this;
    const service = new ProcessorService(
      { router, telemetry, log, reads: new FakeReads(), clock: systemClock },
      {
        watchAnswer: () => this.#watch(),
        onProblem: (problem) => this.problems.push(problem),
        ...this.#options,
      },
    );
    this.#server = await startGrpcServer({
      bind: { kind: 'tcp', host: '127.0.0.1', port: 0 },
      limits: { bodyBytes: 64 * 1024 * 1024 },
      services: [service],
      clock: systemClock,
      log,
    });
  }

  /** Every request goes to these, in this order. */
  send(...addresses: string[]): void {
    this.router.answer = () => ({ ...DECISION, addresses });
  }

  async stop(): Promise<void> {
    await this.#server?.close();
    this.#server = undefined;
  }

  #watch(): AnswerWatch {
    return {
      routed: ({ id }) => this.seen.push(`routed ${id}`),
      replied: () => this.seen.push('replied'),
      headers: () => this.seen.push('headers'),
      body: (bytes, isLast) => this.seen.push(`body ${bytes.length}${isLast ? ' last' : ''}`),
      trailers: () => this.seen.push('trailers'),
      over: () => this.seen.push('over'),
    };
  }
}
