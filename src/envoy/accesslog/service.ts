import type { Log } from '../../app/log.ts';
import type { OutcomeRecorder } from '../../app/types.ts';
import { AccessLogType, type HTTPAccessLogEntry } from '../gen/envoy/data/accesslog/v3/accesslog.ts';
import type {
  StreamAccessLogsMessage,
  StreamAccessLogsResponse,
} from '../gen/envoy/service/accesslog/v3/als.ts';
import type { GrpcCall } from '../grpc/call.ts';
import { loadService } from '../grpc/load-proto.ts';
import type { GrpcService } from '../grpc/service.ts';
import { STATUS } from '../grpc/status.ts';
import { LOG } from '../names.ts';
import { readAttempt } from './attempt.ts';
import { readOutcome } from './outcome.ts';

export interface AccessLogDependencies {
  readonly recorder: OutcomeRecorder;
  readonly log: Log;
}

type LogCall = GrpcCall<StreamAccessLogsMessage, StreamAccessLogsResponse>;

/** Streams at once: two for each worker of each Envoy. A client that opens more is refused. */
const MAX_STREAMS = 1_024;
/** Entries of one message that are looked at; Envoy sends them one by one. */
const MAX_ENTRIES = 10_000;

/** Access logs of Envoy over gRPC: how requests and attempts ended. */
export class AccessLogService implements GrpcService {
  readonly definition = loadService(
    'envoy/service/accesslog/v3/als.proto',
    'envoy.service.accesslog.v3.AccessLogService',
  );
  readonly implementation = { StreamAccessLogs: (call: LogCall) => this.#open(call) };
  readonly #deps: AccessLogDependencies;
  readonly #streams = new Set<LogCall>();

  constructor(deps: AccessLogDependencies) {
    this.#deps = deps;
  }

  close(): void {
    for (const call of [...this.#streams]) answer(call);
    this.#streams.clear();
  }

  #open(call: LogCall): void {
    const isTooMany = this.#streams.size >= MAX_STREAMS;
    if (!isTooMany) this.#streams.add(call);
    // Only the first message names the log.
    let logName: string | undefined;
    call.listen({
      onMessage: (message) => {
        logName ??= message.identifier?.log_name;
        if (logName === LOG.requests || logName === LOG.attempts)
          this.#record(logName, message.http_logs?.log_entry ?? []);
        else call.end({ code: STATUS.invalidArgument, details: 'unknown log' });
      },
      onEnd: () => answer(call),
      onOver: () => this.#streams.delete(call),
    });
    if (isTooMany) call.end({ code: STATUS.resourceExhausted, details: 'too many log streams' });
  }

  #record(logName: string, entries: readonly HTTPAccessLogEntry[]): void {
    const { recorder, log } = this.#deps;
    for (const entry of entries.slice(0, MAX_ENTRIES)) {
      try {
        if (logName === LOG.attempts) {
          const report = readAttempt(entry);
          if (report !== undefined) recorder.attemptFailed(report);
        } else if (isEnd(entry)) {
          recorder.requestEnded(readOutcome(entry));
        }
      } catch (error) {
        log.error({ err: error, logName }, 'an access log entry could not be recorded');
      }
    }
  }
}

function answer(call: LogCall): void {
  call.send({});
  call.end();
}

/** Envoy may also log that a request began, or goes on. */
function isEnd(entry: HTTPAccessLogEntry): boolean {
  const type = entry.common_properties?.access_log_type ?? AccessLogType.NotSet;
  return type === AccessLogType.NotSet || type === AccessLogType.DownstreamEnd;
}
