import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';
import { parseAllDocuments, stringify } from 'yaml';
import * as z from 'zod';
import { staticTool } from '../support/static-tools.ts';

export const CHART = resolve(import.meta.dirname, '../../deploy/helm/warmpath');
/** helm built from its module takes itself for one of an old cluster. */
const KUBE = '1.36.0';

const probe = z.looseObject({ terminationGracePeriodSeconds: z.number().optional() });
const containerSchema = z.looseObject({
  name: z.string(),
  image: z.string(),
  command: z.array(z.string()).optional(),
  args: z.array(z.string()).optional(),
  securityContext: z.looseObject({}),
  resources: z.looseObject({ requests: z.looseObject({}), limits: z.looseObject({}) }),
  env: z.array(z.object({ name: z.string(), value: z.string().optional() })).default([]),
  ports: z.array(z.object({ name: z.string(), containerPort: z.number() })).default([]),
  startupProbe: probe.optional(),
  livenessProbe: probe.optional(),
  readinessProbe: probe.optional(),
  lifecycle: z.object({ preStop: z.object({ exec: z.object({ command: z.array(z.string()) }) }) }).optional(),
  volumeMounts: z.array(z.looseObject({ name: z.string(), mountPath: z.string() })),
});
export type Container = z.infer<typeof containerSchema>;

const podSchema = z.looseObject({
  terminationGracePeriodSeconds: z.number().optional(),
  automountServiceAccountToken: z.boolean(),
  securityContext: z.looseObject({}),
  initContainers: z.array(containerSchema).default([]),
  containers: z.array(containerSchema),
  volumes: z.array(z.looseObject({ name: z.string() })),
});
export type Pod = z.infer<typeof podSchema>;
const workloadSchema = z.looseObject({
  spec: z.looseObject({
    replicas: z.number(),
    template: z.looseObject({
      metadata: z.looseObject({ annotations: z.record(z.string(), z.string()).default({}) }),
      spec: podSchema,
    }),
  }),
});
export type Workload = z.infer<typeof workloadSchema>;

const objectSchema = z.looseObject({
  kind: z.string(),
  metadata: z.looseObject({ name: z.string(), namespace: z.string().optional() }),
});
export type KubeObject = z.infer<typeof objectSchema>;

export function workloadOf(object: unknown): Workload {
  return workloadSchema.parse(object);
}

export class Rendered {
  readonly yaml: string;
  readonly objects: readonly KubeObject[];

  constructor(yaml: string) {
    this.yaml = yaml;
    this.objects = parseAllDocuments(yaml).map((document) => objectSchema.parse(document.toJS()));
  }

  get names(): string[] {
    return this.objects.map(({ kind, metadata }) => `${kind} ${metadata.name}`).sort();
  }

  /** `Kind name`; throws where there is none. */
  object(name: string): KubeObject {
    const found = this.objects.find(({ kind, metadata }) => `${kind} ${metadata.name}` === name);
    if (found === undefined) throw new Error(`no ${name} among ${this.names.join(', ')}`);
    return found;
  }

  get deployment(): Workload {
    return workloadOf(this.objects.find(({ kind }) => kind === 'Deployment'));
  }

  get pod(): Pod {
    return this.deployment.spec.template.spec;
  }

  container(name: string): Container {
    const found = [...this.pod.initContainers, ...this.pod.containers].find((each) => each.name === name);
    if (found === undefined) throw new Error(`no container ${name}`);
    return found;
  }

  /** All pods of the chart, Redis's too. */
  get pods(): Pod[] {
    return this.objects
      .filter(({ kind }) => kind === 'Deployment' || kind === 'StatefulSet')
      .map((object) => workloadOf(object).spec.template.spec);
  }

  /** warmpath.yaml */
  get config(): string {
    const schema = z.looseObject({ data: z.record(z.string(), z.string()) });
    const map = this.objects.find(
      ({ kind, metadata }) => kind === 'ConfigMap' && metadata.name === 'warmpath',
    );
    return schema.parse(map).data['warmpath.yaml'] ?? '';
  }
}

export interface HelmResult {
  readonly status: number | null;
  readonly output: string;
}

export function helm(args: readonly string[], input = ''): HelmResult {
  const done = spawnSync(staticTool('helm').path ?? 'helm', args, { input, encoding: 'utf8' });
  if (done.error !== undefined) throw done.error;
  return { status: done.status, output: `${done.stdout}${done.stderr}` };
}

/** `helm template` of a release named `warmpath` in the namespace `ai`; the output is the complaint where it refuses. */
export function template(values: object): HelmResult {
  const args = ['template', 'warmpath', CHART, '--namespace', 'ai', '--kube-version', KUBE, '--values', '-'];
  return helm(args, stringify(values));
}

export function render(values: object): Rendered {
  const { status, output } = template(values);
  if (status !== 0) throw new Error(output);
  return new Rendered(output);
}
