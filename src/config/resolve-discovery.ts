import { isIP } from 'node:net';
import type { Settings } from './schema.ts';
import { asRecord, type SectionContext } from './section-context.ts';

export type DiscoverySourceSettings = Settings['discovery']['sources'][number];

/** Checks that no two sources look for the same thing. Each is looked at by itself, whatever the others are. */
export function checkDiscovery(raw: unknown, context: SectionContext): void {
  const { sources } = asRecord(raw);
  if (!Array.isArray(sources)) return;
  const seen = new Map<string, number>();
  for (const [index, source] of sources.entries()) {
    const key = identityOf(asRecord(source), context);
    if (key === undefined) continue;
    const first = seen.get(key);
    if (first === undefined) seen.set(key, index);
    else {
      context.fail(
        ['discovery', 'sources', index],
        `looks for the same as discovery.sources.${first}; each source is listed once`,
      );
    }
  }
}

/** With absolute paths. */
export function resolveSource(
  source: DiscoverySourceSettings,
  context: SectionContext,
): DiscoverySourceSettings {
  if (source.kind === 'file') return { ...source, path: context.pathOf(source.path) ?? source.path };
  if ('kubeconfig' in source && source.kubeconfig !== undefined) {
    return { ...source, kubeconfig: context.pathOf(source.kubeconfig) ?? source.kubeconfig };
  }
  return source;
}

/** Equal for two sources that would find the same nodes; undefined where that cannot be told. */
function identityOf(fields: Readonly<Record<string, unknown>>, context: SectionContext): string | undefined {
  const text = (value: unknown): string => String(value).toLowerCase().replace(/\.$/, '');
  switch (fields.kind) {
    case 'mdns':
      return 'mdns';
    case 'file':
      return `file ${context.pathOf(fields.path)}`;
    case 'dns': {
      const name = text(fields.name);
      // SRV records bring their own ports.
      const port = fields.type === 'SRV' ? '' : (fields.port ?? 11_434);
      return isIP(name) === 0 ? `dns ${name} ${fields.type ?? 'A'} ${port}` : undefined;
    }
    case 'localhost':
      return `localhost ${fields.ports ?? '24000-24100'}`;
    case 'kubernetes': {
      const { namespace = 'default', selector, port = '', kubeconfig } = fields;
      return `kubernetes ${namespace} ${selector} ${port} ${context.pathOf(kubeconfig)}`;
    }
    case 'inferencepool': {
      const { namespace = 'default', name, kubeconfig } = fields;
      return `inferencepool ${namespace} ${name} ${context.pathOf(kubeconfig)}`;
    }
    default:
      return undefined;
  }
}
