import type { Health, Learnt, ModelOnDisk, NodeRecord, ResidentModel } from './types.ts';

/** What another process last knew of a node. Ages are ms before `now` of whoever restores. */
export interface NodeFacts {
  readonly address: string | undefined;
  readonly resident: readonly ResidentModel[];
  readonly tags: readonly ModelOnDisk[];
  readonly version: string | undefined;
  readonly rttMs: number | undefined;
  readonly seenAgeMs: {
    readonly resident: number | undefined;
    readonly tags: number | undefined;
    readonly version: number | undefined;
  };
  readonly health: {
    readonly status: Health['status'];
    readonly sinceAgeMs: number;
    readonly strikes: number;
    readonly flaps: number;
    readonly goodAgeMs: number | undefined;
    readonly failureRate: number;
    readonly failure:
      | {
          readonly reason: FailureReason;
          readonly source: 'poll' | 'live';
          readonly detail: string;
          readonly ageMs: number;
        }
      | undefined;
  };
}

type FailureReason = NonNullable<Health['lastFailure']>['reason'];

export function factsOf(node: NodeRecord, now: number): NodeFacts {
  const { health, seenAt } = node;
  const age = (at: number | undefined): number | undefined =>
    at === undefined ? undefined : Math.max(0, now - at);
  const failure = health.lastFailure;
  return {
    address: node.address,
    resident: [...node.resident.values()],
    tags: [...node.models.values()],
    version: node.version,
    rttMs: node.rttMs,
    seenAgeMs: { resident: age(seenAt.resident), tags: age(seenAt.tags), version: age(seenAt.version) },
    health: {
      status: health.status,
      sinceAgeMs: Math.max(0, now - health.since),
      strikes: health.strikes,
      flaps: health.flaps,
      goodAgeMs: age(health.goodSince),
      failureRate: health.failureRate,
      failure: failure && {
        reason: failure.reason,
        source: failure.source,
        detail: failure.detail,
        ageMs: Math.max(0, now - failure.at),
      },
    },
  };
}

/** A node of which this process has seen nothing yet starts from what others knew; what was seen here counts for more. */
export function withFacts(node: NodeRecord, facts: NodeFacts, now: number): NodeRecord {
  const { seenAt, health } = node;
  if (seenAt.resident !== undefined || seenAt.tags !== undefined || health.status !== 'unknown') return node;
  const { seenAgeMs, health: then } = facts;
  const seen = { resident: seenAgeMs.resident, tags: seenAgeMs.tags, version: seenAgeMs.version };
  return {
    ...node,
    address: node.address ?? facts.address,
    resident: new Map(facts.resident.map((model) => [model.key, model])),
    models: new Map(facts.tags.map((model) => [model.key, model])),
    version: facts.version,
    rttMs: facts.rttMs,
    seenAt: {
      ...(seen.resident === undefined ? {} : { resident: now - seen.resident }),
      ...(seen.tags === undefined ? {} : { tags: now - seen.tags }),
      ...(seen.version === undefined ? {} : { version: now - seen.version }),
    },
    health: {
      ...health,
      status: then.status,
      since: now - then.sinceAgeMs,
      strikes: then.strikes,
      flaps: then.flaps,
      goodSince: then.goodAgeMs === undefined ? undefined : now - then.goodAgeMs,
      failureRate: then.failureRate,
      lastFailure: then.failure && {
        reason: then.failure.reason,
        source: then.failure.source,
        detail: then.failure.detail,
        at: now - then.failure.ageMs,
      },
    },
  };
}

/** Figures of an earlier run; those that were learnt in this one count for more. */
export function withLearntFigures(node: NodeRecord, figures: Partial<Learnt>): NodeRecord {
  const { learnt } = node;
  return {
    ...node,
    learnt: {
      ...learnt,
      figures: new Map([...(figures.figures ?? []), ...learnt.figures]),
      slots: learnt.slots > 1 ? learnt.slots : (figures.slots ?? learnt.slots),
      loadBytesPerSecond: learnt.loadBytesPerSecond ?? figures.loadBytesPerSecond,
      maxVramSeenBytes: Math.max(learnt.maxVramSeenBytes, figures.maxVramSeenBytes ?? 0),
      vramCeilingBytes: learnt.vramCeilingBytes ?? figures.vramCeilingBytes,
    },
  };
}
