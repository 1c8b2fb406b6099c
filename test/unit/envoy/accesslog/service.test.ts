import { type Client, type ClientWritableStream, status } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { AttemptReport, Outcome, OutcomeRecorder } from '../../../../src/app/types.ts';
import { AccessLogService } from '../../../../src/envoy/accesslog/service.ts';
import type { HTTPAccessLogEntry } from '../../../../src/envoy/gen/envoy/data/accesslog/v3/accesslog.ts';
import type { StreamAccessLogsMessage } from '../../../../src/envoy/gen/envoy/service/accesslog/v3/als.ts';
import { MemoryLog, type Running, startServer, until } from '../grpc/harness.ts';
import { entry } from './fixtures.ts';

class FakeRecorder implements OutcomeRecorder {
  readonly attempts: AttemptReport[] = [];
  readonly outcomes: Outcome[] = [];
  attemptFailed(report: AttemptReport): void {
    this.attempts.push(report);
  }
  requestEnded(outcome: Outcome): void {
    this.outcomes.push(outcome);
  }
}

let recorder: FakeRecorder;
let log: MemoryLog;
let service: AccessLogService;
let running: Running;

beforeEach(async () => {
  recorder = new FakeRecorder();
  log = new MemoryLog();
  service = new AccessLogService({ recorder, log });
  running = await startServer([service]);
});
afterEach(() => running.stop());

function open() {
  type Open = (
    this: Client,
    done: (error: { code: number } | null) => void,
  ) => ClientWritableStream<StreamAccessLogsMessage>;
  const client = running.client(service.definition);
  const method: unknown = Reflect.get(client, 'StreamAccessLogs');
  let call: ClientWritableStream<StreamAccessLogsMessage> | undefined;
  const ended = new Promise<number>((resolve) => {
    // Sound: the definition declares this method.
    call = (method as Open).call(client, (error) => resolve(error === null ? status.OK : error.code));
  });
  const send = (entries: HTTPAccessLogEntry[], log_name?: string) =>
    call?.write({
      ...(log_name === undefined ? {} : { identifier: { log_name } }),
      http_logs: { log_entry: entries },
    });
  return { send, ended, end: () => call?.end() };
}

describe('the access log service', () => {
  it('records how requests ended; the log is named in the first message only', async () => {
    const { send } = open();
    send([entry({ requestHeaders: { 'x-warmpath-decision': 'd-1' } })], 'requests');
    send([entry({ requestHeaders: { 'x-warmpath-decision': 'd-2' } }), entry({ status: 500 })]);
    await until(() => recorder.outcomes.length === 3);
    expect(recorder.outcomes.map(({ decisionId, status: code }) => [decisionId, code])).toEqual([
      ['d-1', 200],
      ['d-2', 200],
      ['d-1', 500],
    ]);
    expect(recorder.attempts).toEqual([]);
  });

  it('records failed attempts, and no others', async () => {
    const { send } = open();
    send([entry({ status: 200 }), entry({ status: 503 })], 'attempts');
    await until(() => recorder.attempts.length === 1);
    expect(recorder.attempts).toMatchObject([{ decisionId: 'd-1', reason: 'busy', status: 503 }]);
    expect(recorder.outcomes).toEqual([]);
  });

  it('leaves out entries of requests that have not ended', async () => {
    const { send } = open();
    send([entry({ common: { access_log_type: 4 } }), entry({ common: { access_log_type: 6 } })], 'requests');
    await until(() => recorder.outcomes.length === 1);
    expect(recorder.outcomes).toHaveLength(1);
  });

  it('ends with the stream', async () => {
    const { send, end, ended } = open();
    send([entry()], 'requests');
    end();
    expect(await ended).toBe(status.OK);
    expect(recorder.outcomes).toHaveLength(1);
  });

  it('ends its streams when the server stops', async () => {
    const { send, ended } = open();
    send([entry()], 'requests');
    await until(() => recorder.outcomes.length === 1);
    service.close();
    expect(await ended).toBe(status.OK);
  });

  it('survives a recorder that throws', async () => {
    recorder.requestEnded = () => {
      throw new Error('broken');
    };
    const { send } = open();
    send([entry()], 'requests');
    await until(() => log.count('error') === 1);
    send([entry()]);
    await until(() => log.count('error') === 2);
  });

  it.each([
    { name: 'another log', logName: 'other' },
    { name: 'no log', logName: undefined },
  ])('S23 a stream that names $name is turned away', async ({ logName }) => {
    const { send, ended } = open();
    send([entry()], logName);
    expect(await ended).toBe(status.INVALID_ARGUMENT);
    expect(recorder.outcomes).toEqual([]);
  });
});
