import type { KubeApi } from '../../support/kube-api.ts';

export interface PodState {
  readonly ip?: string;
  readonly isReady?: boolean;
  readonly app?: string;
}

/** Pods as a kubelet would report them; none runs here. */
export class Pods {
  readonly #api: KubeApi;
  readonly #path: string;

  constructor(api: KubeApi, namespace: string) {
    this.#api = api;
    this.#path = `/api/v1/namespaces/${namespace}/pods`;
  }

  /** Answers its uid. */
  async create(name: string, { app = 'ollama', ...state }: PodState = {}): Promise<string> {
    const body = {
      metadata: { name, labels: { app } },
      spec: { nodeName: 'machine-1', containers: [{ name: 'ollama', image: 'ollama' }] },
    };
    const { metadata } = (await this.#api.must('POST', this.#path, body)) as { metadata: { uid: string } };
    await this.report(name, state);
    return metadata.uid;
  }

  async report(name: string, { ip, isReady = true }: PodState): Promise<void> {
    const status = {
      phase: 'Running',
      ...(ip === undefined ? {} : { podIP: ip, podIPs: [{ ip }] }),
      conditions: [{ type: 'Ready', status: isReady ? 'True' : 'False' }],
    };
    const merge = 'application/merge-patch+json';
    await this.#api.must('PATCH', `${this.#path}/${name}/status`, { status }, merge);
  }

  /** Asks it to end; it stays, terminating, until `finish`. */
  async end(name: string): Promise<void> {
    await this.#api.must('DELETE', `${this.#path}/${name}`);
  }

  async finish(name: string): Promise<void> {
    await this.#api.must('DELETE', `${this.#path}/${name}?gracePeriodSeconds=0`);
  }

  async finishAll(): Promise<void> {
    await this.#api.must('DELETE', `${this.#path}?gracePeriodSeconds=0`);
  }
}
