import { existsSync } from 'node:fs';
import type { KubeConfig } from '@kubernetes/client-node';

const TOKEN_FILE = '/var/run/secrets/kubernetes.io/serviceaccount/token';
/** What the client takes where it finds nothing. No API server has answered there since Kubernetes 1.20. */
const GUESS = 'http://localhost:8080';

export type ClientNode = typeof import('@kubernetes/client-node');

/** What of the API server could not be read. Its own message is never shown: it may quote what should not be. */
export class KubeReadError extends Error {
  /** As a role names it: `pods`, `endpointslices.discovery.k8s.io`. */
  readonly resource: string;

  constructor(resource: string, cause: unknown) {
    super(`${resource} cannot be read`, { cause });
    this.name = 'KubeReadError';
    this.resource = resource;
  }
}

class KubeConfigError extends Error {}

/** The client, and whom it talks to: `path`, else the pod's service account, else the user's own kubeconfig. */
export async function openKube(path: string | undefined): Promise<{ k8s: ClientNode; config: KubeConfig }> {
  // Heavy, and few need it: loaded where it is configured.
  const k8s = await import('@kubernetes/client-node');
  const config = new k8s.KubeConfig();
  try {
    if (path !== undefined) config.loadFromFile(path);
    else if (process.env.KUBERNETES_SERVICE_HOST !== undefined && existsSync(TOKEN_FILE))
      config.loadFromCluster();
    else config.loadFromDefault();
  } catch (error) {
    // The parser's message may quote the file, and so a token.
    throw new KubeConfigError(`the kubeconfig ${path ?? ''} cannot be read (${codeOf(error)})`);
  }
  const cluster = config.getCurrentCluster();
  if (cluster === null) throw new KubeConfigError('the kubeconfig names no cluster');
  if (cluster.server === GUESS)
    throw new KubeConfigError(
      'no pod’s service account and no kubeconfig is here; name one with kubeconfig: FILE in the source',
    );
  return { k8s, config };
}

/** Why the API server tells nothing, and what to do about it. */
export function kubeProblem(error: unknown, namespace: string): string {
  if (error instanceof KubeConfigError) return error.message;
  const [resource, cause] = error instanceof KubeReadError ? [error.resource, error.cause] : ['them', error];
  switch (statusOf(cause)) {
    case undefined:
      return `the API server cannot be reached (${codeOf(cause)})`;
    case 401:
      return 'the API server refuses our credentials (401); check the service account or kubeconfig';
    case 403:
      return `the API server does not let us read them (403); our role needs list and watch on ${resource} in namespace ${namespace}`;
    case 404:
      return `the API server does not know ${resource} (404); install its custom resource definition`;
    case 400:
      return 'the API server does not accept the request (400); check the label selector';
    default:
      return `the API server answers ${statusOf(cause)}`;
  }
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
