import type { KubeConfig, KubernetesListObject, KubernetesObject } from '@kubernetes/client-node';
import type { Clock } from '../app/ports.ts';
import { type ClientNode, KubeReadError } from './kube-client.ts';

/** Events that come together are one report. */
const COALESCE_MS = 50;
const LIST_TIMEOUT_MS = 15_000;

export interface WatchedList<T extends KubernetesObject> {
  /** As a role names it, for messages: `pods`, `endpointslices.discovery.k8s.io`. */
  readonly resource: string;
  /** Where it is watched: `/api/v1/namespaces/ai/pods`. */
  readonly path: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  readonly list: () => Promise<KubernetesListObject<T>>;
}

export interface WatchDeps {
  readonly k8s: ClientNode;
  readonly config: KubeConfig;
  readonly clock: Clock;
}

/**
 * Lists once and then watches: `changed` hears of everything that there is, after the list and after each change.
 * Runs until `signal` aborts; rejects with a KubeReadError when list or watch break off, since the client's informers
 * stop for good then and whoever has one must start anew.
 */
export async function watchList<T extends KubernetesObject>(
  { k8s, config, clock }: WatchDeps,
  { resource, path, labelSelector, fieldSelector, list }: WatchedList<T>,
  changed: (items: readonly T[]) => void,
  signal: AbortSignal,
): Promise<void> {
  let cancelReport = (): void => {};
  let isScheduled = false;
  const schedule = (): void => {
    if (isScheduled || signal.aborted) return;
    isScheduled = true;
    cancelReport = clock.after(COALESCE_MS, () => {
      isScheduled = false;
      changed(informer.list());
    });
  };
  const listAll = async (): Promise<KubernetesListObject<T>> => {
    const listed = await list();
    // Also where it lists nothing, or nothing new.
    schedule();
    return listed;
  };
  const watch = new k8s.Watch(config);
  const informer = new k8s.ListWatch<T>(path, watch, listAll, false, labelSelector, fieldSelector);
  informer.on('change', schedule);
  let isEnded = false;
  let cancelDeadline = (): void => {};
  try {
    await new Promise<void>((resolve, reject) => {
      if (signal.aborted) return resolve();
      signal.addEventListener('abort', () => resolve(), { once: true });
      informer.on('error', reject);
      cancelDeadline = clock.after(LIST_TIMEOUT_MS, () => reject(new Error('no answer in time')));
      const started = informer.start();
      started.then(cancelDeadline, reject);
      // Stopped while it was starting, it would watch for ever.
      void started.catch(() => {}).then(() => (isEnded ? informer.stop() : undefined));
    });
  } catch (error) {
    throw new KubeReadError(resource, error);
  } finally {
    isEnded = true;
    cancelDeadline();
    cancelReport();
    await informer.stop();
  }
}
