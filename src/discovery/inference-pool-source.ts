import type { KubernetesListObject, KubernetesObject } from '@kubernetes/client-node';
import { poolCandidates, readPool } from './inference-pool.ts';
import { followKube, type KubeLook, type KubeSourceOptions } from './kube-source.ts';
import { watchList } from './kube-watch.ts';
import type { DiscoverySource, Report } from './source.ts';

const GROUP = 'inference.networking.k8s.io';
const VERSION = 'v1';
const PLURAL = 'inferencepools';

export interface InferencePoolSourceOptions extends KubeSourceOptions {
  /** Of the InferencePool. */
  readonly name: string;
}

/** The pods that an InferencePool of the Gateway API Inference Extension selects; the pool itself is watched too. */
export class InferencePoolSource implements DiscoverySource {
  readonly key: string;
  readonly #options: InferencePoolSourceOptions;

  constructor(options: InferencePoolSourceOptions) {
    this.#options = options;
    this.key = `inferencepool:${options.namespace}/${options.name}`;
  }

  run(report: Report, signal: AbortSignal): Promise<void> {
    return followKube(this.key, this.#options, (look) => this.#follow(look), report, signal);
  }

  async #follow(look: KubeLook): Promise<void> {
    const { kube, cannotTell, signal } = look;
    const { namespace, name } = this.#options;
    const end = new AbortController();
    const isOver = AbortSignal.any([signal, end.signal]);
    const broken = Promise.withResolvers<never>();
    let members: PoolMembers | undefined;
    const poolChanged = (pools: readonly KubernetesObject[]): void => {
      const pool = readPool(
        pools.find(({ metadata }) => metadata?.name === name),
        `${namespace}/${name}`,
      );
      if ('problem' in pool) {
        members?.stop();
        members = undefined;
        cannotTell(pool.problem);
        return;
      }
      if (members?.selector !== pool.selector) {
        members?.stop();
        members = new PoolMembers(pool.selector, this.#options, look);
        members.follow(isOver).catch(broken.reject);
      }
      members.reachedAt(pool.ports);
    };
    const api = kube.config.makeApiClient(kube.k8s.CustomObjectsApi);
    const place = { group: GROUP, version: VERSION, namespace, plural: PLURAL };
    // One pool alone, so that a role may be limited to it.
    const fieldSelector = `metadata.name=${name}`;
    const pools = {
      resource: `${PLURAL}.${GROUP}`,
      path: `/apis/${GROUP}/${VERSION}/namespaces/${encodeURIComponent(namespace)}/${PLURAL}`,
      fieldSelector,
      // The client knows no type for what it calls custom objects.
      list: (): Promise<KubernetesListObject<KubernetesObject>> =>
        api.listNamespacedCustomObject({ ...place, fieldSelector }),
    };
    try {
      await Promise.race([watchList(kube, pools, poolChanged, isOver), broken.promise]);
    } finally {
      end.abort();
    }
  }
}

/** The pods with one selector; their ports may change meanwhile. */
class PoolMembers {
  readonly selector: string;
  readonly #options: InferencePoolSourceOptions;
  readonly #look: KubeLook;
  readonly #end = new AbortController();
  #ports: readonly number[] = [];
  /** Undefined until they have been listed. */
  #pods: readonly KubernetesObject[] | undefined;

  constructor(selector: string, options: InferencePoolSourceOptions, look: KubeLook) {
    this.selector = selector;
    this.#options = options;
    this.#look = look;
  }

  follow(signal: AbortSignal): Promise<void> {
    const { kube } = this.#look;
    const { namespace } = this.#options;
    const api = kube.config.makeApiClient(kube.k8s.CoreV1Api);
    const pods = {
      resource: 'pods',
      path: `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods`,
      labelSelector: this.selector,
      list: () => api.listNamespacedPod({ namespace, labelSelector: this.selector }),
    };
    return watchList(
      kube,
      pods,
      (items) => {
        this.#pods = items;
        this.#report();
      },
      AbortSignal.any([signal, this.#end.signal]),
    );
  }

  reachedAt(ports: readonly number[]): void {
    this.#ports = ports;
    this.#report();
  }

  stop(): void {
    this.#end.abort();
  }

  #report(): void {
    if (this.#pods === undefined) return;
    this.#look.report(poolCandidates(this.#pods, this.#ports));
  }
}
