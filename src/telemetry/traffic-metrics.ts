import { Counter, Histogram, type Registry } from 'prom-client';
import type { EndedRequest, Telemetry } from '../app/telemetry-port.ts';
import { type BoundedLabels, OTHER } from './bounded-labels.ts';
import { CounterChildren } from './counter-children.ts';

/** From a loopback answer to the longest cold load. */
const FIRST_BYTE_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 60, 120, 300];
const DURATION_BUCKETS = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800];
const ERROR_BUCKETS = [
  -60, -10, -5, -2, -1, -0.5, -0.2, -0.1, -0.05, 0, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 60,
];

/** Counts decisions, attempts and ended requests. `paths` are the only values of the label `path`; see `pathLabels`. */
export function createTrafficMetrics(
  registry: Registry,
  paths: ReadonlySet<string>,
  nodes: BoundedLabels,
): Telemetry {
  const registers = [registry];
  const counter = <Label extends string>(name: string, help: string, labelNames: Label[]) =>
    new CounterChildren(new Counter({ name, help, labelNames, registers }));

  const decisions = counter(
    'warmpath_decisions_total',
    'Requests routed, with why their first node stood first, or refused, with the error code.',
    ['outcome', 'reason'],
  );
  const attempts = counter('warmpath_attempts_total', 'Attempts on nodes by how they went.', [
    'node',
    'result',
  ]);
  const retries = new Counter({
    name: 'warmpath_retries_total',
    help: 'Attempts after the first of their request.',
    registers,
  });
  const requests = counter('warmpath_requests_total', 'Requests that ended, routed by Warmpath or not.', [
    'path',
    'status',
    'end',
  ]);
  const failedOpen = new Counter({
    name: 'warmpath_failed_open_total',
    help: 'Requests that reached a node without a decision of Warmpath.',
    registers,
  });
  const tokens = counter('warmpath_tokens_total', 'Tokens that nodes reported.', ['node', 'kind']);
  const reaped = new Counter({
    name: 'warmpath_leases_reaped_total',
    help: 'Leases that nobody released in time.',
    registers,
  });
  const pollFailures = counter('warmpath_poll_failures_total', 'Polls that failed.', ['node', 'reason']);
  const reloads = counter('warmpath_config_reloads_total', 'Configurations read again.', ['result']);
  const firstByte = new Histogram({
    name: 'warmpath_first_byte_seconds',
    help: 'From the arrival of a routed request to the first byte of its answer.',
    buckets: FIRST_BYTE_BUCKETS,
    registers,
  });
  const predicted = new Histogram({
    name: 'warmpath_first_byte_predicted_seconds',
    help: 'What routing expected of the node that served.',
    buckets: FIRST_BYTE_BUCKETS,
    registers,
  });
  const predictionError = new Histogram({
    name: 'warmpath_first_byte_error_seconds',
    help: 'Real less predicted time to the first byte: above zero means slower than expected.',
    buckets: ERROR_BUCKETS,
    registers,
  });
  const duration = new Histogram({
    name: 'warmpath_request_seconds',
    help: 'From arrival to the end of the answer.',
    labelNames: ['path'],
    buckets: DURATION_BUCKETS,
    registers,
  });
  const durations = new Map([...paths, OTHER].map((path) => [path, duration.labels(path)]));
  const labelOf = pathLabels(paths);

  const ended = (request: EndedRequest): void => {
    const path = labelOf(request.path);
    requests.add(1, path, statusLabel(request.status), request.end);
    if (request.attempts > 1 && request.attempts < Infinity) retries.inc(request.attempts - 1);
    if (!request.routed && request.node !== undefined) failedOpen.inc();
    if (isDuration(request.totalSeconds)) durations.get(path)?.observe(request.totalSeconds);
    const node = nodes.of(request.node);
    tokens.add(request.promptTokens ?? 0, node, 'prompt');
    tokens.add(request.completionTokens ?? 0, node, 'completion');
    const { firstByteSeconds: real, waitedSeconds, predictedFirstTokenSeconds: expected } = request;
    if (!request.routed || !isDuration(real)) return;
    firstByte.observe(real);
    if (!isDuration(expected)) return;
    predicted.observe(expected);
    predictionError.observe(Math.max(0, real - waitedSeconds) - expected);
  };

  return {
    decided: (reason) => decisions.add(1, 'routed', reason),
    refused: (code) => decisions.add(1, 'refused', code),
    attempt: (node, result) => attempts.add(1, nodes.of(node), result),
    ended,
    leaseReaped: () => reaped.inc(),
    pollFailed: (node, reason) => pollFailures.add(1, nodes.of(node), reason),
    configReloaded: (result) => reloads.add(1, result),
  };
}

/** Envoy's 0 (no status was sent) and whatever else is no status share one value. */
function statusLabel(status: number): string {
  return Number.isInteger(status) && status >= 100 && status <= 599 ? String(status) : '0';
}

function isDuration(seconds: number | undefined): seconds is number {
  return seconds !== undefined && seconds >= 0 && seconds < Infinity;
}

/** The known path that a request's belongs to: itself without its query, or one that ends with a slash and begins it. */
function pathLabels(paths: ReadonlySet<string>): (path: string) => string {
  const prefixes = [...paths].filter((path) => path.length > 1 && path.endsWith('/'));
  return (path) => {
    if (paths.has(path)) return path;
    const query = path.indexOf('?');
    const bare = query === -1 ? path : path.slice(0, query);
    if (paths.has(bare)) return bare;
    return prefixes.find((prefix) => bare.startsWith(prefix)) ?? OTHER;
  };
}
