import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { LineOutcome, LineTelemetry } from '../app/telemetry-port.ts';
import { type LineReport, type LineShare, REQUEST_CLASSES, type WaitReason } from '../waiting/types.ts';
import { OTHER } from './bounded-labels.ts';
import { CounterChildren } from './counter-children.ts';

const WAIT_BUCKETS = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 900];
/** Models, and callers, that get a series of their own: those with the most in the line. The rest share one. */
const MAX_SHARES = 20;

const REASONS: Record<WaitReason, true> = { slots_busy: true, loading: true, no_room: true };
const OUTCOMES: Record<LineOutcome, true> = { dispatched: true, refused: true, gone: true };

export interface LineMetrics extends LineTelemetry {
  /** Sets the gauges; for every scrape. */
  refresh(report: LineReport | undefined): void;
}

/** The waiting line: how long it is, who waits and why, and how long those waited that left it. */
export function createLineMetrics(registry: Registry): LineMetrics {
  const registers = [registry];
  const gauge = <Label extends string>(name: string, help: string, labelNames: Label[] = []) =>
    new Gauge({ name: `warmpath_waiting_${name}`, help, labelNames, registers });
  const requests = gauge('requests', 'Requests in the line, by class.', ['class']);
  const reasons = gauge('requests_by_reason', 'Requests in the line, by why they wait.', ['reason']);
  const models = gauge('requests_by_model', 'Requests in the line, by the model that they ask for.', [
    'model',
  ]);
  const callers = gauge('requests_by_caller', 'Requests in the line, by who asks.', ['caller']);
  const oldest = gauge('oldest_seconds', 'How long the first of the line has waited.');
  const bytes = gauge('bytes', 'Memory that the bodies of the line take.');
  const joined = new CounterChildren(
    new Counter({
      name: 'warmpath_waiting_joined_total',
      help: 'Requests that had to wait, by class.',
      labelNames: ['class'],
      registers,
    }),
  );
  const waited = new Histogram({
    name: 'warmpath_waiting_seconds',
    help: 'Time in the line of those that left it, by class and how they left.',
    labelNames: ['class', 'outcome'],
    buckets: WAIT_BUCKETS,
    registers,
  });
  const children = new Map(
    REQUEST_CLASSES.flatMap((name) =>
      Object.keys(OUTCOMES).map((outcome) => [`${name} ${outcome}`, waited.labels(name, outcome)] as const),
    ),
  );

  return {
    lineJoined: (requestClass) => joined.add(1, requestClass),
    lineLeft: (requestClass, seconds, outcome) => {
      if (seconds >= 0 && seconds < Infinity) children.get(`${requestClass} ${outcome}`)?.observe(seconds);
    },
    refresh: (report) => {
      if (report === undefined) return;
      for (const name of REQUEST_CLASSES) requests.labels(name).set(report.byClass[name]);
      for (const reason of Object.keys(REASONS) as WaitReason[]) // sound: the keys of a Record
        reasons.labels(reason).set(report.byReason[reason]);
      models.reset();
      for (const [model, waiting] of shares(report.byModel)) models.labels(model).set(waiting);
      callers.reset();
      for (const [caller, waiting] of shares(report.byCaller)) callers.labels(caller).set(waiting);
      oldest.set((report.oldestMs ?? 0) / 1000);
      bytes.set(report.bytes);
    },
  };
}

function shares(all: readonly LineShare[]): Map<string, number> {
  const bounded = new Map<string, number>();
  for (const [i, { name, waiting }] of all.entries()) {
    const label = i < MAX_SHARES ? name : OTHER;
    bounded.set(label, (bounded.get(label) ?? 0) + waiting);
  }
  return bounded;
}
