import { createHash } from 'node:crypto';
import { tlsKey } from '../../fleet/node-tls.ts';
import type { NodeSpec } from '../../fleet/types.ts';

/** The transport socket that a node needs: no TLS, TLS by name and the system's CAs, or TLS by a CA or an address of its own. */
export function transportName(spec: Pick<NodeSpec, 'url' | 'tlsCaFile'>): string {
  if (spec.url.scheme === 'http') return 'plain';
  const key = tlsKey(spec);
  if (key === undefined) return 'tls';
  return `tls-${createHash('sha256').update(key).digest('hex').slice(0, 12)}`;
}
