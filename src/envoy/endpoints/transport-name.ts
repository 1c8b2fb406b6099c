import { createHash } from 'node:crypto';
import type { NodeSpec } from '../../fleet/types.ts';

/** The transport socket that a node needs: no TLS, TLS by the system's CAs, or TLS by a CA of its own. */
export function transportName(spec: Pick<NodeSpec, 'url' | 'tlsCaFile'>): string {
  if (spec.url.scheme === 'http') return 'plain';
  if (spec.tlsCaFile === undefined) return 'tls';
  return `tls-${createHash('sha256').update(spec.tlsCaFile).digest('hex').slice(0, 12)}`;
}
