import { type ServerReadableStream, type sendUnaryData, status } from '@grpc/grpc-js';
import type { Log } from '../../app/log.ts';
import type { OutcomeRecorder } from '../../app/types.ts';
import { AccessLogType, type HTTPAccessLogEntry } from '../gen/envoy/data/accesslog/v3/accesslog.ts';
import type {
  StreamAccessLogsMessage,
  StreamAccessLogsResponse,
} from '../gen/envoy/service/accesslog/v3/als.ts';
import { loadService } from '../grpc/load-proto.ts';
import type { GrpcService } from '../grpc/service.ts';
import { LOG } from '../names.ts';
import { readAttempt } from './attempt.ts';
import { readOutcome } from './outcome.ts';

export interface AccessLogDependencies {
  readonly recorder: OutcomeRecorder;
  readonly log: Log;
}

type LogCall = ServerReadableStream<StreamAccessLogsMessage, StreamAccessLogsResponse>;
type Reply = sendUnaryData<StreamAccessLogsResponse>;

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
  readonly implementation = { StreamAccessLogs: (call: LogCall, reply: Reply) => this.#open(call, reply) };
  readonly #deps: AccessLogDependencies;
  readonly #streams = new Map<LogCall, Reply>();

  constructor(deps: AccessLogDependencies) {
    this.#deps = deps;
  }

  close(): void {
    for (const reply of this.#streams.values()) reply(null, {});
    this.#streams.clear();
  }

  #open(call: LogCall, reply: Reply): void {
    if (this.#streams.size >= MAX_STREAMS) {
      reply({ code: status.RESOURCE_EXHAUSTED, details: 'too many log streams' });
      return;
    }
    this.#streams.set(call, reply);
    const over = () => this.#streams.delete(call);
    // Only the first message names the log.
    let logName: string | undefined;
    call.on('data', (message: StreamAccessLogsMessage) => {
      if (!this.#streams.has(call)) return;
      logName ??= message.identifier?.log_name;
      if (logName === LOG.requests || logName === LOG.attempts) {
        this.#record(logName, message.http_logs?.log_entry ?? []);
        return;
      }
      over();
      reply({ code: status.INVALID_ARGUMENT, details: 'unknown log' });
    });
    call.on('end', () => {
      if (over()) reply(null, {});
    });
    call.on('cancelled', over);
    call.on('error', over);
    call.on('close', over);
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

/** Envoy may also log that a request began, or goes on. */
function isEnd(entry: HTTPAccessLogEntry): boolean {
  const type = entry.common_properties?.access_log_type ?? AccessLogType.NotSet;
  return type === AccessLogType.NotSet || type === AccessLogType.DownstreamEnd;
}
