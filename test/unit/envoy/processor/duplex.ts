import type { Client } from '@grpc/grpc-js';
import type { ExtProcProblem } from '../../../../src/app/ext-proc-profile.ts';
import type {
  ProcessingRequest,
  ProcessingResponse,
} from '../../../../src/envoy/gen/envoy/service/ext_proc/v3/external_processor.ts';
import { structFields } from '../../../../src/envoy/grpc/well-known.ts';
import type { Callers } from '../../../../src/envoy/processor/callers.ts';
import { type ProcessorOptions, ProcessorService } from '../../../../src/envoy/processor/service.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { CountingTelemetry, Inbox, MemoryLog, type Running, startServer } from '../grpc/harness.ts';
import { FakeReads, FakeRouter, type HeadOptions, head, process } from './fakes.ts';

const DUPLEX = 4;

/** A processor as a gateway with an InferencePool uses it, over real gRPC. */
export class DuplexRig {
  readonly router = new FakeRouter();
  readonly telemetry = new CountingTelemetry();
  readonly log = new MemoryLog();
  readonly clock = new FakeClock();
  readonly problems: ExtProcProblem[] = [];
  readonly service: ProcessorService;
  readonly #canRoute: boolean;
  #running: Running | undefined;

  constructor(options: ProcessorOptions = {}, canRoute = true, callers?: Callers) {
    this.#canRoute = canRoute;
    this.service = new ProcessorService(
      {
        router: this.router,
        reads: new FakeReads(),
        telemetry: this.telemetry,
        log: this.log,
        clock: this.clock,
        canRoute: () => this.#canRoute,
        ...(callers === undefined ? {} : { callers }),
      },
      { profile: 'epp', onProblem: (problem) => this.problems.push(problem), ...options },
    );
  }

  async start(): Promise<this> {
    this.#running = await startServer([this.service]);
    return this;
  }

  stop(): Promise<void> {
    return this.#running?.stop() ?? Promise.resolve();
  }

  get path(): string {
    return this.#started.path;
  }

  get heldBytes(): number {
    return this.service.heldBytes;
  }

  /** A stream on a connection of its own, or of `client`. */
  open(client = this.client()) {
    const call = process(client);
    return { call, inbox: new Inbox<ProcessingResponse>(call) };
  }

  client(): Client {
    return this.#started.client(this.service.definition);
  }

  get #started(): Running {
    if (this.#running === undefined) throw new Error('not started');
    return this.#running;
  }
}

/** A first message as a duplex filter sends it. */
export function duplexHead(options: HeadOptions = {}): ProcessingRequest {
  return { ...head(options), protocol_config: { request_body_mode: DUPLEX, response_body_mode: DUPLEX } };
}

/** The body that goes on, from its pieces, until the last one. */
export async function wholeEcho(
  inbox: Inbox<ProcessingResponse>,
): Promise<{ body: Buffer; sizes: readonly number[] }> {
  const parts: Buffer[] = [];
  for (;;) {
    const reply = await inbox.next();
    const piece = (reply.request_body ?? reply.response_body)?.response?.body_mutation?.streamed_response;
    if (!piece) throw new Error(`not a piece of a body: ${JSON.stringify(reply)}`);
    parts.push(Buffer.from(piece.body ?? []));
    if (piece.end_of_stream === true)
      return { body: Buffer.concat(parts), sizes: parts.map((part) => part.length) };
  }
}

export function headersOf(reply: ProcessingResponse): Record<string, string> {
  const response = (reply.request_headers ?? reply.request_body)?.response;
  const set = response?.header_mutation?.set_headers ?? reply.immediate_response?.headers?.set_headers ?? [];
  return Object.fromEntries(
    set.map(({ header }) => [header?.key ?? '', Buffer.from(header?.raw_value ?? []).toString()]),
  );
}

/** `envoy.lb / x-gateway-destination-endpoint` of an answer's metadata. */
export function destinationOf(reply: ProcessingResponse): unknown {
  const fields = reply.dynamic_metadata?.fields as Record<string, { structValue: unknown }> | undefined;
  return structFields(fields?.['envoy.lb']?.structValue).get('x-gateway-destination-endpoint');
}
