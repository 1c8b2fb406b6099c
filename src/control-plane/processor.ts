import type { ExtProcProblem } from '../app/ext-proc-profile.ts';
import type { ExtProcReport } from '../app/ext-proc-report.ts';
import type { Fleet } from '../app/fleet.ts';
import type { AnswerRecorder } from '../app/types.ts';
import type { Config } from '../config/config.ts';
import { watchAnswers } from '../envoy/processor/answer-observer.ts';
import type { ProcessorDependencies } from '../envoy/processor/request-stream.ts';
import { ProcessorService } from '../envoy/processor/service.ts';

export interface ProcessorParts
  extends Pick<ProcessorDependencies, 'router' | 'reads' | 'telemetry' | 'clock' | 'log'>,
    Required<Pick<ProcessorDependencies, 'canRoute' | 'callers'>> {
  readonly config: Config;
  /** As the configuration is now, since it may be read anew. */
  readonly minEndpoints: () => number;
  readonly report: ExtProcReport;
  /** Hears of outcomes where no access log tells of them. */
  readonly recorder: AnswerRecorder;
  readonly fleet: Fleet;
}

/** The ext_proc service as the configuration wants it, for our own Envoy or for other people's proxies. */
export function createProcessor(parts: ProcessorParts): ProcessorService {
  const { config, clock, log, router, reads, telemetry, canRoute, callers, report, recorder, fleet } = parts;
  const { profile, outcomes, testSelection } = config.extProc;
  const readsAnswers = outcomes === 'stream';
  const onProblem = (problem: ExtProcProblem): void => report.met(problem);
  return new ProcessorService(
    { router, reads, telemetry, clock, log, canRoute, callers },
    {
      profile,
      minEndpoints: parts.minEndpoints,
      maxBodyBytes: config.limits.body,
      tellsDecisions: config.responseHeaders,
      wantsResponseHeaders: readsAnswers,
      onProblem,
      onStream: (mode) => report.opened(mode),
      ...(readsAnswers ? { watchAnswer: watchAnswers({ recorder, clock, log, onProblem }) } : {}),
      ...(testSelection
        ? { testNodes: () => fleet.snapshot().nodes.flatMap(({ address }) => address ?? []) }
        : {}),
    },
  );
}
