import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';
import { requireReal } from './require-real.ts';
import { staticTool } from './static-tools.ts';

const SCHEMAS = resolve(import.meta.dirname, '../deploy/schemas');
const CORE = `${SCHEMAS}/core/{{.ResourceKind}}{{.KindSuffix}}.schemajson`;
const CRD = `${SCHEMAS}/crd/{{.Group}}_{{.ResourceKind}}_{{.ResourceAPIVersion}}.schemajson`;

/** What kubeconform has against a stream of YAML documents; empty where each fits its schema. A kind without one is a complaint. */
export function complaints(context: Parameters<typeof requireReal>[0], yaml: string): string {
  const kubeconform = requireReal(context, staticTool('kubeconform'));
  const args = ['-strict', '-schema-location', CORE, '-schema-location', CRD, '-'];
  const done = spawnSync(kubeconform, args, { input: yaml, encoding: 'utf8' });
  if (done.error !== undefined) throw done.error;
  return done.status === 0 ? '' : `${done.stdout}${done.stderr}`.trim() || `it ended with ${done.status}`;
}
