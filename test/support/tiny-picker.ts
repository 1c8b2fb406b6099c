import {
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceDefinition,
  type sendUnaryData,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { PROTO_DIR } from '../../src/envoy/grpc/load-proto.ts';

/** What a picker can get wrong, one at a time. */
export type Fault =
  | 'metadata_differs'
  | 'no_metadata'
  | 'names_instead_of_addresses'
  | 'old_header_value'
  | 'keeps_route_cache'
  | 'trusts_clients_header'
  | 'no_end_of_stream'
  | 'large_pieces'
  | 'body_before_headers'
  | 'loses_last_byte'
  | 'wrong_content_length'
  | 'answers_second_end'
  | 'ignores_trailers'
  | 'whole_body_in_one_mutation'
  | 'ignores_subset'
  | 'fallback_outside_subset'
  | 'error_500_for_empty_subset'
  | 'holds_response_back'
  | 'breaks_on_bad_json'
  | 'one_buffer_for_all'
  | 'every_health_name';

// biome-ignore lint/suspicious/noExplicitAny: messages as proto-loader gives them; a handful of fields is read
type Loose = any;

const DESTINATION = 'x-gateway-destination-endpoint';
const NAMES = ['', 'liveness', 'readiness', 'envoy.service.ext_proc.v3.ExternalProcessor'];
const PIECE = 62_000;
const SERVING = 1;
const NOT_FOUND = 5;

/** An endpoint picker of the fewest lines that keep the protocol, with a fault where one is wanted. */
export class TinyPicker {
  /** Changes with the next stream. */
  fault: Fault | undefined;
  endpoints: readonly string[];
  readonly #server = new Server({ 'grpc.max_receive_message_length': -1 });
  #picks = 0;
  /** For the fault that has one for all streams. */
  #shared: Buffer[] = [];

  constructor(endpoints: readonly string[]) {
    this.endpoints = endpoints;
    this.#add(
      'envoy/service/ext_proc/v3/external_processor.proto',
      'envoy.service.ext_proc.v3.ExternalProcessor',
      {
        Process: (call: ServerDuplexStream<Loose, Loose>) => new Stream(this, call),
      },
    );
    this.#add('grpc/health/v1/health.proto', 'grpc.health.v1.Health', {
      Check: ({ request }: ServerUnaryCall<Loose, Loose>, done: sendUnaryData<Loose>) =>
        this.#knows(request.service) ? done(null, { status: SERVING }) : done({ code: NOT_FOUND }),
      Watch: (call: ServerWritableStream<Loose, Loose>) => call.write({ status: SERVING }),
    });
  }

  get buffer(): Buffer[] {
    return this.fault === 'one_buffer_for_all' ? this.#shared : [];
  }

  /** The port that it got. */
  start(): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) =>
        error === null ? resolve(port) : reject(error),
      );
    });
  }

  stop(): void {
    this.#server.forceShutdown();
  }

  /** All that are eligible, another one first each time; undefined where none is. */
  pick(message: Loose): string[] | undefined {
    const allowed = this.fault === 'ignores_subset' ? undefined : subsetOf(message);
    const eligible = this.endpoints.filter((each) => allowed === undefined || allowed.some(isFor(each)));
    if (eligible.length === 0) return undefined;
    const first = this.#picks++ % eligible.length;
    const list = [...eligible.slice(first), ...eligible.slice(0, first)];
    if (this.fault === 'fallback_outside_subset')
      list.push(...this.endpoints.filter((each) => !list.includes(each)));
    if (this.fault === 'names_instead_of_addresses') return list.map((_, i) => `node-${i}:8000`);
    return list;
  }

  #knows(service: string | undefined): boolean {
    return this.fault === 'every_health_name' || NAMES.includes(service ?? '');
  }

  #add(file: string, name: string, implementation: Loose): void {
    const loaded = loadSync(file, { includeDirs: [PROTO_DIR], keepCase: true, longs: Number, oneofs: true });
    this.#server.addService(loaded[name] as ServiceDefinition, implementation); // the file declares it
  }
}

/** One HTTP request. */
class Stream {
  readonly #picker: TinyPicker;
  readonly #call: ServerDuplexStream<Loose, Loose>;
  readonly #fault: Fault | undefined;
  readonly #body: Buffer[];
  readonly #held: Buffer[] = [];
  #head: Loose;
  #isBuffered = false;
  #isSent = false;

  constructor(picker: TinyPicker, call: ServerDuplexStream<Loose, Loose>) {
    this.#picker = picker;
    this.#call = call;
    this.#fault = picker.fault;
    this.#body = picker.buffer;
    call.on('data', (message: Loose) => this.#take(message));
    call.on('end', () => call.end());
    call.on('error', () => undefined);
  }

  #take(message: Loose): void {
    const kind: string = message.request ?? '';
    if (kind === 'request_headers') this.#takeHead(message);
    else if (this.#head === undefined) this.#fail('the headers come first');
    else if (kind === 'request_body') this.#takeBody(message.request_body ?? {});
    else if (kind === 'request_trailers') this.#takeTrailers();
    else if (kind === 'response_body') this.#answer(message.response_body ?? {});
    else if (kind !== '') this.#call.write({ [kind]: {} });
  }

  #takeHead(message: Loose): void {
    if (this.#head !== undefined) {
      this.#fail('one set of headers is enough');
      return;
    }
    this.#head = message;
    this.#isBuffered = message.protocol_config?.request_body_mode === 2;
    if (message.request_headers?.end_of_stream || this.#isBuffered)
      this.#call.write(this.#route() ?? refusal(503));
  }

  #takeBody({ body = Buffer.alloc(0), end_of_stream = false }: Loose): void {
    if (this.#isBuffered) {
      this.#call.write({ request_body: {} });
    } else if (this.#isSent) {
      if (this.#fault === 'answers_second_end')
        this.#call.write(piece('request_body', Buffer.alloc(0), true));
    } else {
      this.#body.push(body);
      if (end_of_stream) this.#sendRequest(true);
    }
  }

  #takeTrailers(): void {
    if (this.#fault === 'ignores_trailers' || this.#isSent) return;
    this.#sendRequest(false);
    this.#call.write({ request_trailers: {} });
  }

  #sendRequest(isEnd: boolean): void {
    this.#isSent = true;
    const whole = Buffer.concat(this.#body.splice(0));
    if (this.#fault === 'breaks_on_bad_json' && !isJson(whole)) {
      this.#fail('no JSON');
      return;
    }
    const route = this.#route(whole.length);
    if (route === undefined) {
      this.#call.write(refusal(this.#fault === 'error_500_for_empty_subset' ? 500 : 503));
      return;
    }
    const body = this.#fault === 'loses_last_byte' ? whole.subarray(0, -1) : whole;
    const pieces = this.#pieces('request_body', body, isEnd && this.#fault !== 'no_end_of_stream');
    const isTurned = this.#fault === 'body_before_headers';
    for (const message of isTurned ? [...pieces, route] : [route, ...pieces]) this.#call.write(message);
  }

  #pieces(kind: string, body: Buffer, isEnd: boolean): Loose[] {
    if (this.#fault === 'whole_body_in_one_mutation')
      return [{ [kind]: { response: { body_mutation: { body } } } }];
    const size = this.#fault === 'large_pieces' ? 200_000 : PIECE;
    const out: Loose[] = [];
    for (let at = 0; at < body.length || at === 0; at += size)
      out.push(piece(kind, body.subarray(at, at + size), isEnd && at + size >= body.length));
    return out;
  }

  #answer({ body = Buffer.alloc(0), end_of_stream = false }: Loose): void {
    let next = body;
    if (this.#fault === 'holds_response_back') {
      this.#held.push(body);
      if (!end_of_stream) return;
      next = Buffer.concat(this.#held);
    }
    for (const message of this.#pieces('response_body', next, end_of_stream)) this.#call.write(message);
  }

  #route(bodyBytes?: number): Loose {
    const picked = this.#picker.pick(this.#head);
    if (picked === undefined) return undefined;
    const fault = this.#fault;
    const claimed = fault === 'trusts_clients_header' ? this.#header(DESTINATION) : undefined;
    const value = claimed ?? picked.join(',');
    const told = fault === 'metadata_differs' ? `${value},192.0.2.7:7` : value;
    const header =
      fault === 'old_header_value'
        ? { key: DESTINATION, value }
        : { key: DESTINATION, raw_value: Buffer.from(value) };
    const set = [{ header }];
    if (fault === 'wrong_content_length')
      set.push({ header: { key: 'content-length', raw_value: Buffer.from(String((bodyBytes ?? 0) + 1)) } });
    const struct = { fields: { [DESTINATION]: { stringValue: told } } };
    return {
      request_headers: {
        response: { header_mutation: { set_headers: set }, clear_route_cache: fault !== 'keeps_route_cache' },
      },
      ...(fault === 'no_metadata'
        ? {}
        : { dynamic_metadata: { fields: { 'envoy.lb': { structValue: struct } } } }),
    };
  }

  #header(name: string): string | undefined {
    const headers: Loose[] = this.#head?.request_headers?.headers?.headers ?? [];
    return headers.find((each) => each.key === name)?.raw_value?.toString();
  }

  #fail(details: string): void {
    this.#call.emit('error', { code: 3, details });
  }
}

function piece(kind: string, body: Buffer, isEnd: boolean): Loose {
  return { [kind]: { response: { body_mutation: { streamed_response: { body, end_of_stream: isEnd } } } } };
}

function refusal(code: number): Loose {
  return { immediate_response: { status: { code } } };
}

function subsetOf(message: Loose): string[] | undefined {
  const hint = message?.metadata_context?.filter_metadata?.['envoy.lb.subset_hint'];
  const value = hint?.fields?.['x-gateway-destination-endpoint-subset'];
  if (value === undefined) return undefined;
  if (typeof value.stringValue === 'string') return value.stringValue.split(',');
  return (value.listValue?.values ?? []).map((each: Loose) => each.stringValue);
}

/** With its port, or an address without one. */
function isFor(endpoint: string): (allowed: string) => boolean {
  return (allowed) => allowed === endpoint || endpoint.startsWith(`${allowed}:`);
}

function isJson(bytes: Buffer): boolean {
  try {
    JSON.parse(bytes.toString());
    return true;
  } catch {
    return false;
  }
}
