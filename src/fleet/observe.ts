import {
  healthAfterAttemptFailure,
  healthAfterPoll,
  healthAfterPollFailure,
  healthAfterServed,
} from './health.ts';
import { learn } from './learn.ts';
import type { HealthParams } from './params.ts';
import { withCapabilities, withoutModel, withPresumed, withResident, withTags } from './residency.ts';
import type { Health, Learnt, NodeRecord, Observation } from './types.ts';

/**
 * What is known of a node after one observation. Answers the same object where nothing changed. `now` is monotonic
 * ms and never goes back.
 */
export function observe(
  node: NodeRecord,
  observation: Observation,
  params: HealthParams,
  now: number,
): NodeRecord {
  switch (observation.kind) {
    case 'address':
      return node.address === observation.address ? node : { ...node, address: observation.address };
    case 'resident': {
      const seen = withResident(node, observation.models, observation.rttMs, now, observation.nodeTime);
      return withHealth(seen, healthAfterPoll(node.health, params, now));
    }
    case 'tags': {
      const seen = withTags(node, observation.models, observation.rttMs, now);
      return withHealth(seen, healthAfterPoll(node.health, params, now));
    }
    case 'version': {
      const seen = { ...node, version: observation.version, seenAt: { ...node.seenAt, version: now } };
      return withHealth(seen, healthAfterPoll(node.health, params, now));
    }
    case 'capabilities':
      return withCapabilities(node, observation);
    case 'gpu':
      return {
        ...node,
        gpu: { ...node.gpu, [observation.report.source]: { report: observation.report, at: now } },
      };
    case 'drains':
      return { ...node, drains: observation.drains };
    case 'poll_failed':
      return withHealth(node, healthAfterPollFailure(node.health, observation, params, now));
    case 'attempt_failed': {
      const fewer = observation.reason === 'model_missing' ? withoutModel(node, observation.model) : node;
      return withHealth(fewer, healthAfterAttemptFailure(node.health, observation, params, now));
    }
    case 'attempt_served': {
      const { model, service } = observation;
      const learnt = learn(node, model, service, now);
      const served = withLearnt(withPresumed(node, model, service), learnt);
      return withHealth(served, healthAfterServed(node.health, model, params, now));
    }
  }
}

function withHealth(node: NodeRecord, health: Health): NodeRecord {
  return node.health === health ? node : { ...node, health };
}

function withLearnt(node: NodeRecord, learnt: Learnt): NodeRecord {
  return node.learnt === learnt ? node : { ...node, learnt };
}
