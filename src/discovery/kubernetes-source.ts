import { candidatesOf } from './endpoint-slices.ts';
import { followKube, type KubeSourceOptions } from './kube-source.ts';
import { watchList } from './kube-watch.ts';
import type { DiscoverySource, Report } from './source.ts';

export interface KubernetesSourceOptions extends KubeSourceOptions {
  readonly selector: string;
  readonly port: number | undefined;
}

/** Pods behind a service: EndpointSlices with a label, listed and then watched. */
export class KubernetesSource implements DiscoverySource {
  readonly key: string;
  readonly #options: KubernetesSourceOptions;

  constructor(options: KubernetesSourceOptions) {
    this.#options = options;
    this.key = `kubernetes:${options.namespace}:${options.selector}`;
  }

  run(report: Report, signal: AbortSignal): Promise<void> {
    const { namespace, selector, port } = this.#options;
    return followKube(
      this.key,
      this.#options,
      ({ kube, report: found, signal: isOver }) => {
        const api = kube.config.makeApiClient(kube.k8s.DiscoveryV1Api);
        const slices = {
          resource: 'endpointslices.discovery.k8s.io',
          path: `/apis/discovery.k8s.io/v1/namespaces/${encodeURIComponent(namespace)}/endpointslices`,
          labelSelector: selector,
          list: () => api.listNamespacedEndpointSlice({ namespace, labelSelector: selector }),
        };
        return watchList(kube, slices, (items) => found(candidatesOf(items, port)), isOver);
      },
      report,
      signal,
    );
  }
}
