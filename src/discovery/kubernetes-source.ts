import { existsSync } from 'node:fs';
import type { KubeConfig } from '@kubernetes/client-node';
import { candidatesOf } from './endpoint-slices.ts';
import type { DiscoverySource, Report, SourceDeps } from './source.ts';
import { Trouble } from './trouble.ts';

const TOKEN_FILE = '/var/run/secrets/kubernetes.io/serviceaccount/token';
/** Events that come together are one report. */
const COALESCE_MS = 50;
const LIST_TIMEOUT_MS = 15_000;
/** All is listed anew this often, should an event ever be missed. */
const RESYNC_MS = 300_000;
const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 30_000;

export interface KubernetesSourceOptions extends SourceDeps {
  readonly namespace: string;
  readonly selector: string;
  readonly port: number | undefined;
  /** Undefined: the pod's service account, else the user's own. */
  readonly kubeconfig: string | undefined;
}

/** Pods behind a service: EndpointSlices with a label, listed and then watched. */
export class KubernetesSource implements DiscoverySource {
  readonly key: string;
  readonly #options: KubernetesSourceOptions;
  readonly #trouble: Trouble;
  #failures = 0;

  constructor(options: KubernetesSourceOptions) {
    this.#options = options;
    this.key = `kubernetes:${options.namespace}:${options.selector}`;
    this.#trouble = new Trouble(this.key, options.log);
  }

  async run(report: Report, signal: AbortSignal): Promise<void> {
    const { clock, random } = this.#options;
    while (!signal.aborted) {
      try {
        await this.#follow(report, signal);
        continue;
      } catch (error) {
        if (signal.aborted) return;
        this.#trouble.met(this.#reasonOf(error));
      }
      const wait = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(this.#failures++, 10));
      await clock.sleep(wait * (0.5 + random() / 2), signal);
    }
  }

  /** One list and the watch after it. Resolves when it is time for the next list; rejects when it broke off. */
  async #follow(report: Report, signal: AbortSignal): Promise<void> {
    const { clock, namespace, selector, port } = this.#options;
    // Heavy, and few need it: loaded where it is configured.
    const k8s = await import('@kubernetes/client-node');
    const config = loadKubeConfig(new k8s.KubeConfig(), this.#options.kubeconfig);
    const api = config.makeApiClient(k8s.DiscoveryV1Api);
    let cancelReport = (): void => {};
    let isScheduled = false;
    const schedule = (): void => {
      if (isScheduled) return;
      isScheduled = true;
      cancelReport = clock.after(COALESCE_MS, () => {
        isScheduled = false;
        report(candidatesOf(informer.list(), port));
      });
    };
    const list = async () => {
      const listed = await api.listNamespacedEndpointSlice({ namespace, labelSelector: selector });
      this.#failures = 0;
      this.#trouble.over();
      // Also where it lists nothing, or nothing new.
      schedule();
      return listed;
    };
    const informer = k8s.makeInformer(
      config,
      `/apis/discovery.k8s.io/v1/namespaces/${encodeURIComponent(namespace)}/endpointslices`,
      list,
      selector,
    );
    informer.on('change', schedule);
    const end = new AbortController();
    const isOver = AbortSignal.any([signal, end.signal]);
    try {
      await new Promise<void>((resolve, reject) => {
        // The informer stops for good after an error; whoever has it must start anew.
        informer.on('error', reject);
        const cancelDeadline = clock.after(LIST_TIMEOUT_MS, () => reject(new Error('no answer in time')));
        informer.start().then(cancelDeadline, reject);
        void clock.sleep(RESYNC_MS, isOver).then(resolve);
      });
    } finally {
      end.abort();
      cancelReport();
      await informer.stop();
    }
  }

  #reasonOf(error: unknown): string {
    const { namespace } = this.#options;
    const status = statusOf(error);
    if (status === 401)
      return 'the API server refuses our credentials (401); check the service account or kubeconfig';
    if (status === 403)
      return `the API server does not let us read them (403); our role needs get, list and watch on endpointslices.discovery.k8s.io in namespace ${namespace}`;
    if (status === 400) return 'the API server does not accept the request (400); check the label selector';
    if (status !== undefined) return `the API server answers ${status}`;
    if (error instanceof KubeConfigError) return error.message;
    return `the API server cannot be reached (${codeOf(error)})`;
  }
}

class KubeConfigError extends Error {}

function loadKubeConfig(config: KubeConfig, path: string | undefined): KubeConfig {
  try {
    if (path !== undefined) config.loadFromFile(path);
    else if (process.env.KUBERNETES_SERVICE_HOST !== undefined && existsSync(TOKEN_FILE))
      config.loadFromCluster();
    else config.loadFromDefault();
  } catch (error) {
    // The parser's message may quote the file, and so a token.
    throw new KubeConfigError(`the kubeconfig ${path ?? ''} cannot be read (${codeOf(error)})`);
  }
  if (config.getCurrentCluster() === null) throw new KubeConfigError('the kubeconfig names no cluster');
  return config;
}

/** HTTP status of the API client's and of the watch's errors. */
function statusOf(error: unknown): number | undefined {
  if (typeof error !== 'object' || error === null) return undefined;
  const { code, statusCode } = { code: undefined, statusCode: undefined, ...error };
  const status: unknown = statusCode ?? code;
  return typeof status === 'number' && status >= 300 ? status : undefined;
}

function codeOf(error: unknown): string {
  for (let e: unknown = error, depth = 0; e instanceof Error && depth < 4; e = e.cause, depth++)
    if ('code' in e && typeof e.code === 'string') return e.code.slice(0, 40);
  return error instanceof Error && error.message === 'no answer in time' ? error.message : 'connection lost';
}
