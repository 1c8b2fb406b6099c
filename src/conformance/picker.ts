import { type Answer, describe, destinationOf, immediateOf } from './exchange/answer.ts';
import { askDuplex } from './exchange/drive.ts';
import { ProcessCall } from './exchange/process-call.ts';
import { chatBody, type HttpRequest } from './exchange/request.ts';
import { type Address, type Connection, openConnection } from './grpc/connection.ts';
import { HEALTH_CHECK, PROCESS, type StructValue } from './grpc/messages.ts';

export interface PickerOptions {
  readonly target: Address;
  readonly health: Address;
  /** A second picker of the same kind without any ready endpoint. */
  readonly empty: Address | undefined;
  /** All endpoints that it may pick; undefined: what it picks is taken to be all. */
  readonly endpoints: readonly string[] | undefined;
  readonly model: string;
  readonly path: string;
  /** Its process, which the drain cases end. */
  readonly pid: number | undefined;
  /** How long one answer may take, ms. */
  readonly timeoutMs: number;
}

export type Picked =
  | { readonly kind: 'picked'; readonly endpoints: readonly string[] }
  | { readonly kind: 'refused'; readonly status: number }
  | { readonly kind: 'neither'; readonly seen: string };

/** How many picks are looked at where the text is about every pick. */
const LEARNING_PICKS = 12;

/** The picker under test, as a proxy has it before it. */
export class Picker {
  readonly options: PickerOptions;
  readonly #connections = new Set<Connection>();
  #learnt: Promise<readonly string[]> | undefined;
  /** What cases share that may happen once only. */
  readonly once = new Map<string, Promise<unknown>>();

  constructor(options: PickerOptions) {
    this.options = options;
  }

  async connect(address: Address = this.options.target): Promise<Connection> {
    const connection = await openConnection(address);
    this.#connections.add(connection);
    return connection;
  }

  /** A stream, on a connection of its own unless one is given. */
  async stream(connection?: Connection): Promise<ProcessCall> {
    return new ProcessCall((connection ?? (await this.connect())).call(PROCESS.path));
  }

  /** Cuts every connection that is left; between two cases. */
  disconnect(): void {
    for (const connection of this.#connections) connection.cut();
    this.#connections.clear();
  }

  /** An ordinary chat request. */
  chat(more: Partial<HttpRequest> = {}): HttpRequest {
    const { model, path } = this.options;
    return { method: 'POST', path, body: chatBody(model), ...more };
  }

  /** The request phase of one request in duplex mode, and whether its stream goes on. */
  async ask(
    request: HttpRequest,
    connection?: Connection,
  ): Promise<{ readonly call: ProcessCall; readonly answer: Answer }> {
    const call = await this.stream(connection);
    return { call, answer: await askDuplex(call, request, this.options.timeoutMs) };
  }

  /** Where an ordinary request would go. The stream is hung up afterwards. */
  async pick(subset?: StructValue, connection?: Connection): Promise<Picked> {
    const { call, answer } = await this.ask(this.chat({ subset }), connection);
    call.raw.reset();
    return pickedOf(answer);
  }

  /** The endpoints that it is known to pick: those named by the operator, or seen in some picks. */
  endpoints(): Promise<readonly string[]> {
    this.#learnt ??= this.#learn();
    return this.#learnt;
  }

  /** A health check's answer: the serving status, or the gRPC status that refused it. */
  async health(
    service: string,
    connection?: Connection,
  ): Promise<{ readonly serving?: number; readonly grpc?: number; readonly seen: string }> {
    const over = connection ?? (await this.connect(this.options.health));
    const call = over.call(HEALTH_CHECK.path);
    call.write(HEALTH_CHECK.write({ service }));
    call.halfClose();
    const event = await call.next(this.options.timeoutMs);
    if (event.kind === 'silence') return { seen: 'no answer' };
    if (event.kind === 'message') {
      const serving = HEALTH_CHECK.read(event.message).status ?? 0;
      return { serving, seen: SERVING_NAMES[serving] ?? `status ${serving}` };
    }
    const grpc = event.ending.kind === 'status' ? event.ending.code : undefined;
    return grpc === undefined ? { seen: 'the stream was reset' } : { grpc, seen: `gRPC status ${grpc}` };
  }

  async #learn(): Promise<readonly string[]> {
    if (this.options.endpoints !== undefined) return this.options.endpoints;
    const seen = new Set<string>();
    for (let i = 0; i < LEARNING_PICKS; i += 1) {
      const picked = await this.pick();
      if (picked.kind === 'picked') for (const endpoint of picked.endpoints) seen.add(endpoint);
    }
    return [...seen];
  }
}

const SERVING_NAMES = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN'];

export function pickedOf(answer: Answer): Picked {
  const refused = immediateOf(answer);
  if (refused !== undefined) return { kind: 'refused', status: refused.status };
  const destination = destinationOf(answer);
  const value = destination?.header ?? destination?.metadata;
  if (value === undefined) return { kind: 'neither', seen: describe(answer) };
  return { kind: 'picked', endpoints: splitEndpoints(value) };
}

export function splitEndpoints(value: string): string[] {
  return value.split(',').map((part) => part.trim());
}

/** In words, for a report. */
export function saidPicked(picked: Picked): string {
  if (picked.kind === 'picked') return `picked ${picked.endpoints.join(',')}`;
  return picked.kind === 'refused' ? `ImmediateResponse ${picked.status}` : picked.seen;
}
