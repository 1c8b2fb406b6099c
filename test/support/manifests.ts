import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { parseAllDocuments } from 'yaml';
import type { Manifest } from './kube-api.ts';

export interface Source {
  /** File and line, for messages. */
  readonly where: string;
  readonly manifest: Manifest;
}

/** Configuration files of programs that look like objects, but are none. */
const NOT_OBJECTS: readonly unknown[] = ['EnvoyGateway'];

/**
 * The Kubernetes objects of a YAML text. Other documents, such as Envoy's or Warmpath's own configuration, name neither a
 * kind nor an API version; one that names only one of them is an error.
 */
export function manifestsIn(text: string, file: string, firstLine = 1): Source[] {
  return parseAllDocuments(text).flatMap((document) => {
    const line = firstLine + text.slice(0, document.range?.[0] ?? 0).split('\n').length - 1;
    const where = `${file}:${line}`;
    const [problem] = document.errors;
    if (problem !== undefined) throw new Error(`${where}: ${problem.message}`);
    const value: unknown = document.toJS();
    if (!isManifest(value, where)) return [];
    if (value.kind === 'List' && 'items' in value && Array.isArray(value.items))
      return value.items.map((manifest: Manifest) => ({ where, manifest }));
    return [{ where, manifest: value }];
  });
}

export function manifestsOfFile(file: string): Source[] {
  return manifestsIn(readFileSync(file, 'utf8'), file);
}

/** Those in the fenced blocks of a page; blocks that name no API version are parts of something. */
export function manifestsOfPage(file: string): Source[] {
  const text = readFileSync(file, 'utf8');
  return [...text.matchAll(/^( *)```ya?ml\n([\s\S]*?)^\1```$/gm)].flatMap((match) => {
    const [, indent = '', block = ''] = match;
    if (!/^ *apiVersion:/m.test(block)) return [];
    const line = text.slice(0, match.index).split('\n').length + 1;
    return manifestsIn(block.replaceAll(new RegExp(`^${indent}`, 'gm'), ''), file, line);
  });
}

/** What a chart renders, for a cluster that has everything. */
export function rendered(
  helm: string,
  chart: string,
  release: { readonly name: string; readonly namespace: string },
  values: object,
): Source[] {
  const { name, namespace } = release;
  const text = execFileSync(
    helm,
    ['template', name, chart, '--namespace', namespace, '--kube-version', '1.36.3', '--values', '-'],
    { input: JSON.stringify(values), encoding: 'utf8', stdio: ['pipe', 'pipe', 'pipe'] },
  );
  return manifestsIn(text, 'helm template').map(({ where, manifest }) => ({
    where,
    manifest: { ...manifest, metadata: { namespace, ...manifest.metadata } },
  }));
}

function isManifest(value: unknown, where: string): value is Manifest {
  if (typeof value !== 'object' || value === null) return false;
  if (!('kind' in value) && !('apiVersion' in value)) return false;
  if ('kind' in value && NOT_OBJECTS.includes(value.kind)) return false;
  if (!('kind' in value && 'apiVersion' in value && 'metadata' in value))
    throw new Error(`${where}: a manifest needs apiVersion, kind and metadata`);
  return true;
}
