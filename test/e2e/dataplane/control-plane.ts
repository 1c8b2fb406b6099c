import {
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServiceDefinition,
  type sendUnaryData,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { PROTO_DIR } from '../../../src/envoy/grpc/load-proto.ts';
import { type Fields, structFields, toStruct } from '../../../src/envoy/grpc/well-known.ts';
import { lbEndpoint, type TestEndpoint } from './test-envoy.ts';

/** What ext_proc was told of one request. */
export interface Asked {
  readonly headers: ReadonlyMap<string, string>;
  readonly bones: string | undefined;
}

/** The scripted answer: a list of addresses with headers, an immediate reply, or nothing at all (plain continue). */
export type Answer =
  | { readonly kind: 'continue' }
  | { readonly kind: 'hang' }
  | {
      readonly kind: 'route';
      readonly addresses: readonly string[];
      readonly headers?: Readonly<Record<string, string>>;
    }
  | {
      readonly kind: 'reply';
      readonly status: number;
      readonly body: string;
      readonly details?: string;
      readonly headers?: Readonly<Record<string, string>>;
    };

/** One access-log entry, flattened to what the tests look at. */
export interface Logged {
  readonly log: string;
  readonly path: string;
  readonly status: number;
  readonly details: string;
  readonly flags: readonly string[];
  readonly port: number | undefined;
  readonly attempts: number;
  readonly requestHeaders: Readonly<Record<string, string>>;
  readonly responseHeaders: Readonly<Record<string, string>>;
  readonly metadata: ReadonlyMap<string, ReadonlyMap<string, string | number | boolean>>;
  readonly at: number;
}

// biome-ignore lint/suspicious/noExplicitAny: messages as proto-loader gives them; the test reads a handful of fields
type Loose = any;

/** A control plane of a few lines: ext_proc, EDS, access log and health, all scripted. */
export class ControlPlane {
  readonly asked: Asked[] = [];
  readonly logged: Logged[] = [];
  /** How each ext_proc stream ended, with its life in ms. */
  readonly streams: { readonly path: string; readonly livedMs: number }[] = [];
  open = 0;
  answer: (asked: Asked) => Answer = () => ({ kind: 'continue' });
  endpoints: readonly TestEndpoint[] = [];
  #server: Server | undefined;
  #version = 0;

  async start(socketPath: string): Promise<void> {
    const server = new Server({ 'grpc.max_receive_message_length': -1 });
    const add = (file: string, name: string, implementation: Loose) =>
      server.addService(service(file, name), implementation);
    add('envoy/service/ext_proc/v3/external_processor.proto', 'envoy.service.ext_proc.v3.ExternalProcessor', {
      Process: (call: ServerDuplexStream<Loose, Loose>) => this.#process(call),
    });
    add('envoy/service/endpoint/v3/eds.proto', 'envoy.service.endpoint.v3.EndpointDiscoveryService', {
      StreamEndpoints: (call: ServerDuplexStream<Loose, Loose>) => this.#endpoints(call),
    });
    add('envoy/service/accesslog/v3/als.proto', 'envoy.service.accesslog.v3.AccessLogService', {
      StreamAccessLogs: (call: ServerReadableStream<Loose, Loose>) => this.#log(call),
    });
    add('grpc/health/v1/health.proto', 'grpc.health.v1.Health', {
      Check: (_call: ServerUnaryCall<Loose, Loose>, done: sendUnaryData<Loose>) => done(null, { status: 1 }),
    });
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    server.bindAsync(`unix:${socketPath}`, ServerCredentials.createInsecure(), (error) =>
      error === null ? resolve() : reject(error),
    );
    await promise;
    this.#server = server;
  }

  /** Ends as abruptly as a killed process. */
  stop(): void {
    this.#server?.forceShutdown();
    this.#server = undefined;
  }

  /** The first entry that satisfies `wanted`, waiting for it up to two seconds. */
  async entry(wanted: (entry: Logged) => boolean): Promise<Logged> {
    for (let tries = 0; tries < 200; tries++) {
      const found = this.logged.find(wanted);
      if (found !== undefined) return found;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    throw new Error(
      `no such log entry among ${JSON.stringify(this.logged.map(({ log, status }) => [log, status]))}`,
    );
  }

  #process(call: ServerDuplexStream<Loose, Loose>): void {
    const began = performance.now();
    let path = '';
    this.open++;
    let ended = false;
    const end = () => {
      if (ended) return;
      ended = true;
      this.open--;
      this.streams.push({ path, livedMs: performance.now() - began });
      call.end();
    };
    call.on('data', (message: Loose) => {
      if (!message.request_headers) return call.write({ [message.request]: {} });
      const asked = readAsked(message);
      path = asked.headers.get(':path') ?? '';
      this.asked.push(asked);
      const response = toResponse(this.answer(asked));
      if (response !== undefined) call.write(response);
    });
    call.on('end', end);
    call.on('cancelled', end);
    call.on('error', end);
  }

  #endpoints(call: ServerDuplexStream<Loose, Loose>): void {
    call.on('data', (request: Loose) => {
      if (request.response_nonce) return; // an ACK
      const type = 'type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment';
      this.#version++;
      call.write({
        version_info: String(this.#version),
        nonce: String(this.#version),
        type_url: type,
        resources: [
          {
            '@type': type,
            cluster_name: 'nodes',
            endpoints: [{ lb_endpoints: this.endpoints.map(toProtoEndpoint) }],
          },
        ],
      });
    });
    call.on('end', () => call.end());
    call.on('error', () => {});
  }

  #log(call: ServerReadableStream<Loose, Loose>): void {
    let log = '';
    call.on('data', (message: Loose) => {
      log = message.identifier?.log_name ?? log;
      for (const entry of message.http_logs?.log_entry ?? []) this.logged.push(readEntry(log, entry));
    });
    call.on('error', () => {});
  }
}

/** Endpoints travel as `Any` inside discovery responses: both files must be known to the loader. */
function service(file: string, name: string): ServiceDefinition {
  const files = [file, 'envoy/config/endpoint/v3/endpoint.proto'];
  const found = loadSync(files, {
    includeDirs: [PROTO_DIR],
    keepCase: true,
    longs: Number,
    enums: String,
    oneofs: true,
  })[name];
  if (found === undefined || 'format' in found) throw new Error(`${file} declares no ${name}`);
  return found;
}

function readAsked(message: Loose): Asked {
  const list: Loose[] = message.request_headers.headers?.headers ?? [];
  const headers = new Map(
    list.map(({ key, value, raw_value }) => [key, value || Buffer.from(raw_value ?? '').toString()]),
  );
  const warmpath = structFields(message.metadata_context?.filter_metadata?.warmpath);
  const bones = warmpath.get('bones');
  return { headers, bones: typeof bones === 'string' ? bones : undefined };
}

function toResponse(answer: Answer): Loose | undefined {
  const set = (headers: Readonly<Record<string, string>>) =>
    Object.entries(headers).map(([key, value]) => ({
      header: { key, raw_value: Buffer.from(value) },
      append_action: 'OVERWRITE_IF_EXISTS_OR_ADD',
    }));
  switch (answer.kind) {
    case 'hang':
      return undefined;
    case 'continue':
      return { request_headers: {} };
    case 'reply':
      return {
        immediate_response: {
          status: { code: answer.status },
          headers: { set_headers: set(answer.headers ?? {}) },
          body: Buffer.from(answer.body),
          details: answer.details ?? 'warmpath_test',
        },
      };
    case 'route': {
      const headers = { 'x-warmpath-cluster': 'nodes', 'x-warmpath-decision': 'd-1', ...answer.headers };
      const retries = { 'x-envoy-max-retries': String(answer.addresses.length - 1) };
      return {
        request_headers: {
          response: {
            header_mutation: { set_headers: set({ ...retries, ...headers }) },
            clear_route_cache: true,
          },
        },
        dynamic_metadata: toStruct({
          'envoy.lb': { 'x-gateway-destination-endpoint': answer.addresses.join(',') },
          warmpath: { bones: '' },
        }),
        mode_override: { request_header_mode: 'SEND', response_trailer_mode: 'SEND' },
      };
    }
  }
}

function toProtoEndpoint(endpoint: TestEndpoint): Loose {
  const plain: Loose = lbEndpoint(endpoint);
  const spaces = Object.entries<Fields>(plain.metadata.filter_metadata);
  const metadata = Object.fromEntries(spaces.map(([name, fields]) => [name, toStruct(fields)]));
  return { ...plain, metadata: { filter_metadata: metadata } };
}

function readEntry(log: string, entry: Loose): Logged {
  const common = entry.common_properties ?? {};
  const flags = Object.entries(common.response_flags ?? {}).filter(([, value]) => value === true);
  const metadata = Object.entries(common.metadata?.filter_metadata ?? {});
  return {
    log,
    path: entry.request?.path ?? '',
    status: entry.response?.response_code?.value ?? 0,
    details: entry.response?.response_code_details ?? '',
    flags: flags.map(([name]) => name),
    port: common.upstream_remote_address?.socket_address?.port_value,
    attempts: common.upstream_request_attempt_count ?? 0,
    requestHeaders: entry.request?.request_headers ?? {},
    responseHeaders: entry.response?.response_headers ?? {},
    metadata: new Map(metadata.map(([name, struct]) => [name, structFields(struct)])),
    at: performance.now(),
  };
}
