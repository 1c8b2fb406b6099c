import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parse, parseAllDocuments } from 'yaml';
import { ENVOY_VERSION } from '../../support/envoy-gateway.ts';

const FOLDER = fileURLToPath(new URL('../../../deploy/envoy-gateway/', import.meta.url));
/** What stands for what in the manifests. */
const PICKER_PORT = 9002;

// biome-ignore lint/suspicious/noExplicitAny: any object of Kubernetes
export type Manifest = Record<string, any>;

export interface Places {
  /** Of the nodes, on 127.0.0.1, in order. */
  readonly nodes: readonly number[];
}

export function documents(file: string): Manifest[] {
  return parseAllDocuments(readFileSync(FOLDER + file, 'utf8')).map((document) => document.toJS());
}

/** The settings for `warmpath serve` that go with the manifests. */
export function pickerConfig(): Manifest {
  return parse(readFileSync(`${FOLDER}config/warmpath.yaml`, 'utf8'));
}

/**
 * The committed manifests for Envoy Gateway without Kubernetes: nothing but addresses and ports replaced, and Envoy run as a process.
 * `variants` take the place of the objects of the same kind and name.
 */
export function manifests({ nodes }: Places, variants: readonly string[] = []): Manifest[] {
  const files = ['gateway.yaml', 'nodes.yaml', 'control-plane.yaml', 'route.yaml'];
  const chosen = new Map<string, Manifest>();
  for (const file of [...files, ...variants])
    for (const each of documents(file)) chosen.set(`${each.kind} ${each.metadata.name}`, each);
  return [...chosen.values()].map((each) => {
    if (each.kind === 'EnvoyProxy')
      each.spec.provider = { type: 'Host', host: { envoyVersion: ENVOY_VERSION } };
    if (each.kind === 'Backend') localise(each, each.metadata.name === 'warmpath' ? [PICKER_PORT] : nodes);
    return each;
  });
}

/** As many endpoints as there are ports, each like the manifest's own first. */
function localise(backend: Manifest, ports: readonly number[]): void {
  const [{ ip, fqdn, ...rest }] = backend.spec.endpoints;
  backend.spec.endpoints = ports.map((port) => ({
    ...rest,
    ...(ip === undefined
      ? { fqdn: { ...fqdn, hostname: 'localhost', port } }
      : { ip: { ...ip, address: '127.0.0.1', port } }),
  }));
}
