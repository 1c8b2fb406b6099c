import { existsSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

/** The little of protobufjs (a dependency of @grpc/proto-loader) that is needed here. */
interface ProtoField {
  readonly name: string;
  readonly id: number;
  readonly type: string;
  readonly keyType?: string;
  readonly repeated: boolean;
  readonly partOf: { readonly name: string } | null;
}
interface ProtoNode {
  readonly fullName: string;
  readonly fieldsArray?: readonly ProtoField[];
  readonly values?: Readonly<Record<string, number>>;
  readonly methods?: Readonly<Record<string, ProtoMethod>>;
  readonly nestedArray?: readonly ProtoNode[];
}
interface ProtoMethod {
  readonly requestType: string;
  readonly responseType: string;
  readonly requestStream?: boolean;
  readonly responseStream?: boolean;
}
interface ProtoRoot extends ProtoNode {
  resolvePath: (origin: string, target: string) => string | null;
  loadSync(file: string | readonly string[], options: object): ProtoRoot;
  lookup(path: string): ProtoNode | null;
}

const fromHere = createRequire(import.meta.url);
const fromLoader = createRequire(fromHere.resolve('@grpc/proto-loader'));
const { Root } = fromLoader('protobufjs') as { Root: new () => ProtoRoot };

const OURS = fileURLToPath(new URL('../../../../proto', import.meta.url));
const deps = join(dirname(fromHere.resolve('@grpc/grpc-js-xds/package.json')), 'deps');
const OFFICIAL = [
  ...['envoy-api', 'googleapis', 'protoc-gen-validate', 'xds'].map((name) => join(deps, name)),
  // google/protobuf/descriptor.proto, which the official files extend.
  dirname(fromLoader.resolve('protobufjs/package.json')),
];

/** Not in that package at all: gRPC's own health protocol, checked by what grpc.io documents. */
const NOT_SHIPPED = ['grpc/health/v1/health.proto'];
const EXT_PROC = 'envoy.service.ext_proc.v3';
/** Fields of ours that are newer than the official files at hand; real Envoys speak them in the e2e tests of ext_proc. */
const NEWER: readonly string[] = [
  `${EXT_PROC}.ProcessingRequest.protocol_config`,
  `${EXT_PROC}.ProtocolConfiguration.request_body_mode`,
  `${EXT_PROC}.ProtocolConfiguration.response_body_mode`,
  `${EXT_PROC}.ProtocolConfiguration.send_body_without_waiting_for_header_response`,
  `${EXT_PROC}.BodyMutation.streamed_response`,
  `${EXT_PROC}.StreamedBodyResponse.body`,
  `${EXT_PROC}.StreamedBodyResponse.end_of_stream`,
];
/** The same of values. */
const NEWER_VALUES: readonly string[] = ['FULL_DUPLEX_STREAMED', 'GRPC'];

const files = readdirSync(OURS, { recursive: true, encoding: 'utf8' }).filter((name) =>
  name.endsWith('.proto'),
);
const compared = files.filter((file) => !NOT_SHIPPED.includes(file));

function load(dirs: readonly string[], names: readonly string[]): ProtoRoot {
  const root = new Root();
  root.resolvePath = (_origin, target) => {
    const found = dirs.map((dir) => join(dir, target)).find((path) => existsSync(path));
    return found ?? target; // google/protobuf/* comes with protobufjs
  };
  return root.loadSync(names, { keepCase: true });
}

function* walk(node: ProtoNode): Generator<ProtoNode> {
  yield node;
  for (const child of node.nestedArray ?? []) yield* walk(child);
}

/** `envoy.config.core.v3.Metadata` and `config.core.v3.Metadata` are one name. */
function lastName(type: string): string {
  return type.slice(type.lastIndexOf('.') + 1);
}

function describeField(field: ProtoField) {
  return {
    name: field.name,
    number: field.id,
    type: lastName(field.type),
    key: field.keyType ?? null,
    repeated: field.repeated,
    oneof: field.partOf?.name ?? null,
  };
}

describe('our protos against the official ones', () => {
  const ours = load([OURS], compared);
  const official = load(OFFICIAL, compared);
  const nodes = [...walk(ours)].filter((node) => !node.fullName.startsWith('.google.protobuf'));
  const messages = nodes.filter((node) => node.fieldsArray !== undefined);
  const enums = nodes.filter((node) => node.values !== undefined);
  const services = nodes.filter((node) => node.methods !== undefined);

  it('compares a good number of messages, enums and services', () => {
    expect(messages.length).toBeGreaterThanOrEqual(40);
    expect(enums.length).toBeGreaterThan(8);
    expect(services.length).toBe(3);
  });

  it('has every field under the official name, number, type, label and oneof', () => {
    const wrong: unknown[] = [];
    for (const message of messages) {
      const theirs = official.lookup(message.fullName.slice(1));
      for (const field of message.fieldsArray ?? []) {
        const path = `${message.fullName.slice(1)}.${field.name}`;
        if (NEWER.includes(path)) continue;
        const other = theirs?.fieldsArray?.find(({ name }) => name === field.name);
        const got = describeField(field);
        const want = other === undefined ? null : describeField(other);
        if (JSON.stringify(got) !== JSON.stringify(want)) wrong.push({ path, got, want });
      }
    }
    expect(wrong).toEqual([]);
  });

  it('lists as newer only what the official files lack', () => {
    for (const path of NEWER) {
      const message = official.lookup(path.slice(0, path.lastIndexOf('.')));
      const name = path.slice(path.lastIndexOf('.') + 1);
      expect(message?.fieldsArray?.some((field) => field.name === name) ?? false, path).toBe(false);
    }
  });

  it('has the official numbers in every enum', () => {
    for (const one of enums) {
      const theirs = official.lookup(one.fullName.slice(1));
      for (const [name, value] of Object.entries(one.values ?? {}))
        if (NEWER_VALUES.includes(name)) expect(theirs?.values?.[name], name).toBeUndefined();
        else expect(theirs?.values?.[name], `${one.fullName}.${name}`).toBe(value);
    }
  });

  it('has the official methods in every service', () => {
    const shape = (method: ProtoMethod | undefined) =>
      method && [
        lastName(method.requestType),
        lastName(method.responseType),
        method.requestStream === true,
        method.responseStream === true,
      ];
    for (const service of services) {
      const theirs = official.lookup(service.fullName.slice(1));
      for (const [name, method] of Object.entries(service.methods ?? {}))
        expect(shape(theirs?.methods?.[name]), `${service.fullName}.${name}`).toEqual(shape(method));
    }
  });
});
