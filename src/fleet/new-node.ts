import type { NodeRecord, NodeSpec } from './types.ts';

/** A node of which nothing is known yet but its configuration. */
export function newNode(spec: NodeSpec, now: number): NodeRecord {
  return {
    spec,
    address: undefined,
    health: {
      status: 'unknown',
      since: now,
      strikes: 0,
      flaps: 0,
      goodSince: undefined,
      failureRate: 0,
      busyUntil: 0,
      servedAt: undefined,
      lastFailure: undefined,
      stuckModels: new Map(),
    },
    models: new Map(),
    resident: new Map(),
    version: undefined,
    seenAt: {},
    rttMs: undefined,
    learnt: {
      slots: 1,
      figures: new Map(),
      probeSlotsAt: 0,
      failedProbes: 0,
      loadBytesPerSecond: undefined,
      maxVramSeenBytes: 0,
    },
    gpu: {},
    drains: new Map(),
  };
}
