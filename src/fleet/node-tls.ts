import type { NodeSpec } from './types.ts';

type Tls = Pick<NodeSpec, 'url' | 'tlsCaFile'>;

/** The IP address that an https node's certificate must have; undefined where it is a name, which Envoy checks by itself. */
export function tlsAddress({ url }: Tls): string | undefined {
  const isAddress = url.host.includes(':') || /^\d+(\.\d+){3}$/.test(url.host);
  return url.scheme === 'https' && isAddress ? url.host : undefined;
}

/**
 * What Envoy must have been told of at its start, to speak TLS with the node: the CA, the address. Undefined: nothing that is
 * the node's own.
 */
export function tlsKey(spec: Tls): string | undefined {
  if (spec.url.scheme === 'http') return undefined;
  const address = tlsAddress(spec);
  if (address === undefined) return spec.tlsCaFile;
  return `${spec.tlsCaFile ?? ''}\n${address}`;
}

/** The keys of all of them. */
export function tlsKeys(specs: readonly Tls[]): ReadonlySet<string> {
  return new Set(specs.flatMap((spec) => tlsKey(spec) ?? []));
}
