import { linePolicy, modelAliases, rewritePolicy } from '../app/params.ts';
import type { Config } from '../config/config.ts';
import { type Callers, createCallers } from '../envoy/processor/callers.ts';
import type { ModelAliases, RewritePolicy } from '../routing/rewrite-policy.ts';
import type { LinePolicy } from '../waiting/policy.ts';

/** What the configuration says of requests, made once for each configuration and not for each request. */
export interface Policies {
  readonly callers: Callers;
  readonly line: LinePolicy;
  readonly aliases: ModelAliases;
  readonly rewrites: RewritePolicy;
}

export function createPolicies(config: () => Config): { current(): Policies } {
  let madeFrom: Config | undefined;
  let policies: Policies | undefined;
  return {
    current: () => {
      const now = config();
      if (policies === undefined || madeFrom !== now) {
        policies = policiesOf(now);
        madeFrom = now;
      }
      return policies;
    },
  };
}

function policiesOf(config: Config): Policies {
  const { waiting, clients, extProc } = config;
  return {
    callers: createCallers({
      maxWaitMs: waiting.maxWait,
      defaultClass: waiting.defaultClass,
      classes: waiting.classes,
      trustHeaders: waiting.trustHeaders,
      gateway:
        extProc.profile === 'own' ? undefined : { objectives: new Map(Object.entries(extProc.objectives)) },
      clients: clients.map(({ name, key, class: own, privileged }) => ({
        name,
        key,
        class: own,
        isPrivileged: privileged,
      })),
    }),
    line: linePolicy(config),
    aliases: modelAliases(config),
    rewrites: rewritePolicy(config),
  };
}
