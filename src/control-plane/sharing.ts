import type { SharingReport } from '../api/sharing-report.ts';
import type { Fleet } from '../app/fleet.ts';
import type { Log } from '../app/log.ts';
import type { Clock, Random } from '../app/ports.ts';
import type { SlotClaims } from '../app/routing/claims.ts';
import { LearntFigures } from '../app/sharing/learnt-figures.ts';
import { PollShares } from '../app/sharing/poll-shares.ts';
import { SharedClaims } from '../app/sharing/shared-claims.ts';
import { SharedFacts } from '../app/sharing/shared-facts.ts';
import { SharedLeases } from '../app/sharing/shared-leases.ts';
import { SharedObservations } from '../app/sharing/shared-observations.ts';
import { SharedOutcomes } from '../app/sharing/shared-outcomes.ts';
import type { OutcomeRecorder } from '../app/types.ts';
import type { LeaseLedger } from '../fleet/ledger.ts';
import type { NodeId, Observation } from '../fleet/types.ts';
import type { ReplicaId, ReplicaInfo, Store } from '../store/contract.ts';

/** How long a start waits for the shared store before it goes on without. */
const START_MS = 1_500;
/** How soon the others hear that an Envoy has come to us, or has left. */
const ENVOY_CHECK_MS = 100;
/** An Envoy keeps the nodes that it was told by a replica that has gone since. */
const ENVOY_MEMORY_MS = 60_000;

export interface SharingDependencies {
  readonly store: Store;
  readonly replica: ReplicaId;
  readonly version: string;
  readonly fleet: Fleet;
  readonly ledger: LeaseLedger;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Records what became of decisions of this replica. */
  readonly recorder: () => OutcomeRecorder;
  readonly pollIntervalMs: () => number;
  readonly setPolling: (node: NodeId, isPolling: boolean, delayMs: number) => void;
  readonly refreshTags: (node: NodeId) => void;
  /** Whether some Envoy takes its endpoints from this replica. */
  readonly hasEnvoy: () => boolean;
  /** Another replica has seen this of a node. */
  readonly onHeard?: (node: NodeId, observation: Observation) => void;
  /** Requests that wait here for a free slot. */
  readonly waiting: () => number;
}

/** What the parts of a control plane need of the others. */
export interface Sharing {
  /** Promises each slot once over all control planes; undefined: there are no others. */
  readonly claims?: SlotClaims;
  /** Takes reports of all decisions, whoever made them. */
  readonly recorder: OutcomeRecorder;
  /** Something was seen of a node: all replicas hear of it. */
  observe(node: NodeId, observation: Observation): void;
  /** The same for what our own poller of the node says. */
  polled(node: NodeId, observation: Observation): void;
  /** Whether this replica polls the node. */
  isOurs(node: NodeId): boolean;
  pollerOf(node: NodeId): ReplicaId | undefined;
  /** Live replicas as last heard of, this one first. */
  replicas(): readonly ReplicaInfo[];
  report(kind: SharingReport['store']['kind']): SharingReport;
  /** Some Envoy has its endpoints from another replica. */
  isEnvoyElsewhere(): boolean;
  /** Starts from what is known already; never rejects, and gives up waiting for the store after a while. */
  load(): Promise<void>;
  /** Until `signal` aborts, and until the others have been told of our end. */
  run(signal: AbortSignal): Promise<void>;
}

/** Joins this control plane to the others that use the same store; alone, it only keeps what was learnt. */
export function createSharing(deps: SharingDependencies): Sharing {
  const learnt = new LearntFigures({ ...deps, isOurs: (node) => polls.isOurs(node) });
  const polls: PollShares = new PollShares({
    ...deps,
    intervalMs: deps.pollIntervalMs,
    nodes: () => [...deps.fleet.nodes.keys()],
    onChange: deps.setPolling,
  });
  return deps.store.isShared ? shared(deps, learnt, polls) : alone(deps, learnt);
}

function alone(deps: SharingDependencies, learnt: LearntFigures): Sharing {
  const { fleet, log } = deps;
  const info = ownInfo(deps);
  const observe = (node: NodeId, observation: Observation) => fleet.observe(node, observation);
  return {
    recorder: {
      attemptFailed: (report) => deps.recorder().attemptFailed(report),
      requestEnded: (outcome) => deps.recorder().requestEnded(outcome),
    },
    observe,
    polled: observe,
    isOurs: () => true,
    pollerOf: () => deps.replica,
    replicas: () => [info()],
    report: (kind) => report(kind, deps.store, [info()], undefined),
    isEnvoyElsewhere: () => false,
    load: async () => {
      try {
        await learnt.load();
      } catch (error) {
        log.warn({ err: error }, 'what was learnt of the nodes before is not known: learning it anew');
      }
    },
    run: (signal) => learnt.run(signal),
  };
}

function shared(deps: SharingDependencies, learnt: LearntFigures, polls: PollShares): Sharing {
  const { store, replica, fleet, ledger, clock, log } = deps;
  const info = ownInfo(deps);
  let others: readonly ReplicaInfo[] = [];
  let isLoaded = false;
  let heartbeatAt: Date | undefined;
  let envoyElsewhereAt = Number.NEGATIVE_INFINITY;

  const observations = new SharedObservations({
    ...deps,
    onPolledElsewhere: (node, by) => polls.polledElsewhere(node, by),
    onHeard: (node, observation) => {
      const isTagsOutdated = observation.kind === 'attempt_failed' && observation.reason === 'model_missing';
      if (isTagsOutdated && polls.isOurs(node)) deps.refreshTags(node);
      deps.onHeard?.(node, observation);
    },
  });
  const outcomes = new SharedOutcomes({
    ...deps,
    recorder: {
      attemptFailed: (report) => deps.recorder().attemptFailed(report),
      requestEnded: (outcome) => deps.recorder().requestEnded(outcome),
    },
    isLive: (id) => others.some((each) => each.id === id),
  });
  const facts = new SharedFacts({ ...deps, isOurs: (node) => polls.isOurs(node) });
  const onReplicas = (live: readonly ReplicaInfo[]): void => {
    others = live.filter(({ id }) => id !== replica);
    if (store.state === 'up') heartbeatAt = clock.date();
    observations.setOthers(others.map(({ id }) => id));
    polls.setReplicas(1 + others.length);
    if (others.some(({ hasEnvoy }) => hasEnvoy)) envoyElsewhereAt = clock.now();
  };
  const leases = new SharedLeases({ store, replica, ledger, clock, info, onReplicas });

  const load = async (): Promise<void> => {
    try {
      await learnt.load();
      await facts.load();
      isLoaded = true;
    } catch (error) {
      log.debug({ err: error }, 'the shared store could not be read');
    }
  };
  /** What the others should hear of at once rather than with the next heartbeat. */
  const watchEnvoy = async (signal: AbortSignal): Promise<void> => {
    let before = deps.hasEnvoy();
    while (!signal.aborted) {
      await clock.sleep(ENVOY_CHECK_MS, signal);
      if (deps.hasEnvoy() === before) continue;
      before = !before;
      leases.beat();
    }
  };

  return {
    claims: new SharedClaims({ ...deps, replicas: () => 1 + others.length }),
    recorder: outcomes,
    observe: (node, observation) => observations.observe(node, observation),
    polled: (node, observation) => {
      if (polls.isOurs(node)) observations.observe(node, observation);
      // Until its poller tells it, our own look-up is the best there is.
      else if (observation.kind === 'address' && fleet.nodes.get(node)?.address === undefined)
        fleet.observe(node, observation);
    },
    isOurs: (node) => polls.isOurs(node),
    pollerOf: (node) => polls.pollerOf(node),
    replicas: () => [info(), ...others],
    report: (kind) => report(kind, store, [info(), ...others], heartbeatAt),
    isEnvoyElsewhere: () => clock.now() - envoyElsewhereAt < ENVOY_MEMORY_MS,
    load: async () => {
      if (store.state === 'up') await load();
      else
        log.info(
          {},
          'the shared store has not answered yet: starting with what this process finds out by itself',
        );
      await polls.renew();
    },
    run: async (signal) => {
      observations.start();
      outcomes.start();
      const offState = store.onState((state) => {
        if (state === 'up' && !isLoaded) void load();
      });
      await Promise.all([
        polls.run(signal),
        facts.run(signal),
        learnt.run(signal),
        watchEnvoy(signal),
        leases.run(signal),
      ]);
      offState();
      outcomes.stop();
      observations.stop();
    },
  };
}

function ownInfo({
  replica,
  version,
  ledger,
  clock,
  hasEnvoy,
  waiting,
}: SharingDependencies): () => ReplicaInfo {
  const startedAt = clock.date().toISOString();
  return () => ({
    id: replica,
    version,
    startedAt,
    inflight: ledger.size,
    waiting: waiting(),
    hasEnvoy: hasEnvoy(),
  });
}

function report(
  kind: SharingReport['store']['kind'],
  { state }: Store,
  replicas: readonly ReplicaInfo[],
  heartbeatAt: Date | undefined,
): SharingReport {
  return {
    store: { kind, state },
    replicas: replicas.map(({ id, version, startedAt, inflight, hasEnvoy }) => ({
      id,
      version,
      startedAt,
      inflight,
      hasEnvoy,
    })),
    heartbeatAt: heartbeatAt?.toISOString() ?? null,
  };
}

/** Resolves when the store answers or refuses, or after a while without either. */
export async function untilKnown(store: Store, clock: Clock): Promise<void> {
  if (store.state !== 'connecting') return;
  const isKnown = new AbortController();
  const off = store.onState(() => isKnown.abort());
  await clock.sleep(START_MS, isKnown.signal);
  off();
}
