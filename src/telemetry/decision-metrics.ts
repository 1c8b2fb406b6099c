import { Counter, Histogram, type Registry } from 'prom-client';
import type {
  DecisionTelemetry,
  EndedRequest,
  GuardFigures,
  RecordingFigures,
} from '../app/telemetry-port.ts';
import { CounterChildren } from './counter-children.ts';

const ERROR_BUCKETS = [
  -60, -20, -10, -5, -2, -1, -0.5, -0.2, -0.1, -0.05, 0, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60,
];
const REGRET_BUCKETS = [0, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 60, 120, 300];

export interface DecisionMetrics extends DecisionTelemetry {
  /** Sets what was predicted of a request beside what came; the time in the line is no part of either. */
  judge(request: EndedRequest): void;
  /** Sets what is counted elsewhere; for every scrape. */
  refresh(guard: GuardFigures | undefined, recording: RecordingFigures | undefined): void;
}

/** How good decisions are: predicted against real, a second policy against ours, and what rewrites saved. */
export function createDecisionMetrics(registry: Registry): DecisionMetrics {
  const registers = [registry];
  const error = new Histogram({
    name: 'warmpath_prediction_error_seconds',
    help: 'Predicted less real seconds of requests that were answered: above zero means faster than expected.',
    labelNames: ['kind'],
    buckets: ERROR_BUCKETS,
    registers,
  });
  const errors = { first_token: error.labels('first_token'), completion: error.labels('completion') };
  const rewrites = new CounterChildren(
    new Counter({
      name: 'warmpath_rewrites_total',
      help: 'Changes of request bodies by why they were made.',
      labelNames: ['kind'],
      registers,
    }),
  );
  const avoided = new CounterChildren(
    new Counter({
      name: 'warmpath_reloads_avoided_total',
      help: 'Loads of a model that changes of request bodies made needless.',
      labelNames: ['kind'],
      registers,
    }),
  );
  const agreement = new CounterChildren(
    new Counter({
      name: 'warmpath_shadow_agreement_total',
      help: 'Decisions that the shadow policy was asked about, by whether it chose the same node.',
      labelNames: ['policy', 'agrees'],
      registers,
    }),
  );
  const regret = new Histogram({
    name: 'warmpath_shadow_regret_seconds',
    help: "What the shadow policy's choice would have cost more than ours, by our own prediction.",
    labelNames: ['policy'],
    buckets: REGRET_BUCKETS,
    registers,
  });
  const outside = (name: string, help: string) => {
    const counter = new Counter({ name, help, registers });
    return (value: number) => {
      counter.reset();
      if (value > 0 && value < Infinity) counter.inc(value);
    };
  };
  const setRefusals = outside(
    'warmpath_query_of_death_refusals_total',
    'Requests refused because their body was running on two nodes when they died.',
  );
  const setWritten = outside(
    'warmpath_decisions_recorded_total',
    'Ended requests written to decisions.record.',
  );
  const setDropped = outside(
    'warmpath_decisions_record_dropped_total',
    'Ended requests that could not be written to decisions.record.',
  );

  return {
    judge: (request) => {
      if (!request.routed || request.end !== 'complete' || request.status >= 400) return;
      const { predictedFirstTokenSeconds, predictedCompletionSeconds, waitedSeconds } = request;
      const observe = (
        kind: keyof typeof errors,
        predicted: number | undefined,
        real: number | undefined,
      ) => {
        if (predicted === undefined || real === undefined) return;
        const error = predicted - Math.max(0, real - waitedSeconds);
        if (Number.isFinite(error)) errors[kind].observe(error);
      };
      observe('first_token', predictedFirstTokenSeconds, request.firstByteSeconds);
      observe('completion', predictedCompletionSeconds, request.totalSeconds);
    },
    rewritten: (kind) => {
      rewrites.add(1, kind);
      // The context in memory stays, or the model does.
      if (kind === 'context_pinned' || kind === 'unload_stopped') avoided.add(1, kind);
    },
    shadowChose: (policy, agrees, regretSeconds) => {
      agreement.add(1, policy, String(agrees));
      if (regretSeconds !== undefined && Number.isFinite(regretSeconds))
        regret.labels(policy).observe(Math.max(0, regretSeconds));
    },
    refresh: (guard, recording) => {
      if (guard !== undefined) setRefusals(guard.refusals);
      if (recording === undefined) return;
      setWritten(recording.written);
      setDropped(recording.dropped);
    },
  };
}
