import { kubeProblem, openKube } from './kube-client.ts';
import type { WatchDeps } from './kube-watch.ts';
import type { Report, SourceDeps } from './source.ts';
import { Trouble } from './trouble.ts';

/** All is listed anew this often, should an event ever be missed. */
const RESYNC_MS = 300_000;
const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 30_000;

export interface KubeSourceOptions extends SourceDeps {
  readonly namespace: string;
  /** Undefined: the pod's service account, else the user's own. */
  readonly kubeconfig: string | undefined;
}

/** One connection to an API server, for as long as it lasts. */
export interface KubeLook {
  readonly kube: WatchDeps;
  readonly report: Report;
  /** The API server answers, but what is looked for is not there, or not as it should be; no report until it is. */
  readonly cannotTell: (reason: string) => void;
  readonly signal: AbortSignal;
}

/**
 * Follows something of an API server until `signal` aborts. `follow` runs until its own signal aborts, which it does
 * every five minutes so that all is listed anew; after it rejected, it is called again with growing pauses.
 */
export async function followKube(
  key: string,
  { namespace, kubeconfig, clock, random, log }: KubeSourceOptions,
  follow: (look: KubeLook) => Promise<void>,
  report: Report,
  signal: AbortSignal,
): Promise<void> {
  const trouble = new Trouble(key, log);
  let failures = 0;
  const look = async (): Promise<void> => {
    const { k8s, config } = await openKube(kubeconfig);
    const end = new AbortController();
    const isOver = AbortSignal.any([signal, end.signal]);
    void clock.sleep(RESYNC_MS, isOver).then(() => end.abort());
    try {
      await follow({
        kube: { k8s, config, clock },
        report: (candidates) => {
          failures = 0;
          trouble.over();
          report(candidates);
        },
        cannotTell: (reason) => {
          failures = 0;
          trouble.met(reason);
        },
        signal: isOver,
      });
    } finally {
      end.abort();
    }
  };
  while (!signal.aborted) {
    try {
      await look();
      continue;
    } catch (error) {
      if (signal.aborted) return;
      trouble.met(kubeProblem(error, namespace));
    }
    const wait = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(failures++, 10));
    await clock.sleep(wait * (0.5 + random() / 2), signal);
  }
}
