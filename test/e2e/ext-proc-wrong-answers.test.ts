import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/app/system-clock.ts';
import type {
  ProcessingRequest,
  ProcessingResponse,
} from '../../src/envoy/gen/envoy/service/ext_proc/v3/external_processor.ts';
import type { GrpcCall } from '../../src/envoy/grpc/call.ts';
import { loadService } from '../../src/envoy/grpc/load-proto.ts';
import { type GrpcServer, startGrpcServer } from '../../src/envoy/grpc/server.ts';
import { realEnvoy } from '../support/envoy.ts';
import { MemoryLog } from '../support/memory-log.ts';
import { describeReal } from '../support/require-real.ts';
import { ScriptedNode } from './dataplane/scripted-node.ts';
import { FILTERS, GatewayEnvoy } from './ext-proc/gateway-envoy.ts';

type Call = GrpcCall<ProcessingRequest, ProcessingResponse>;

const HEADERS = { request_headers: { response: {} } };
const BODY = { request_body: { response: {} } };
const LAST_PIECE = {
  request_body: {
    response: { body_mutation: { streamed_response: { body: Buffer.from('x'), end_of_stream: true } } },
  },
};
const ANSWER_HEADERS = { response_headers: { response: {} } };
const REFUSAL = { immediate_response: { status: { code: 503 as const } } };

/** What no service should say, in answer to a request's headers. */
const WRONG: Readonly<Record<string, readonly ProcessingResponse[]>> = {
  'the same answer twice': [HEADERS, HEADERS],
  'answers to what was not asked': [BODY],
  'answers in the wrong order': [LAST_PIECE, HEADERS],
  'the answer’s answer before there is one': [HEADERS, ANSWER_HEADERS],
  'the end of the body twice': [HEADERS, LAST_PIECE, LAST_PIECE],
  'a refusal, and then that it may go on': [REFUSAL, HEADERS, BODY],
  'nothing that means anything': [{}],
};

/** F26: the Envoy that we are tested with outlives a service with such defects; that ours has none is for the other suites. */
describeReal(await realEnvoy(), 'F26 an Envoy whose ext_proc service gives', (binary) => {
  const node = new ScriptedNode();
  let dir: string;
  let server: GrpcServer;
  let envoy: GatewayEnvoy;
  let answers: readonly ProcessingResponse[] = [];

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'warmpath-wrong-'));
    await node.start();
    server = await startGrpcServer({
      bind: { kind: 'tcp', host: '127.0.0.1', port: 0 },
      limits: { bodyBytes: 1024 * 1024 },
      services: [
        {
          definition: loadService(
            'envoy/service/ext_proc/v3/external_processor.proto',
            'envoy.service.ext_proc.v3.ExternalProcessor',
          ),
          implementation: { Process: answerWrongly },
          close: () => undefined,
        },
      ],
      clock: systemClock,
      log: new MemoryLog(),
    });
    const common = { service: server.port ?? 0, retries: 1 };
    envoy = await GatewayEnvoy.start(
      binary,
      dir,
      [
        {
          ...common,
          name: 'duplex',
          extProc: { ...FILTERS.istio, message_timeout: '1s' },
          destination: 'metadata',
        },
        { ...common, name: 'buffered', extProc: FILTERS.envoyGateway, destination: 'header' },
      ],
      [node.port],
    );
  });
  afterAll(async () => {
    await envoy?.stop();
    await server?.close();
    await node.stop();
    await rm(dir, { recursive: true, force: true });
  });

  /** All that is wrong goes out at once, so that Envoy reads it in one piece; everything after that gets no answer. */
  function answerWrongly(call: Call): void {
    call.listen({
      onMessage: ({ request_headers }) => {
        if (request_headers) for (const answer of answers) call.send(answer);
      },
      onEnd: () => call.end(),
      onOver: () => undefined,
    });
  }

  const ask = async (gateway: string): Promise<number> => {
    const options = { method: 'POST', body: 'x', signal: AbortSignal.timeout(5_000) };
    // Whatever comes of it: a refusal, an answer, a connection that is cut, or nothing.
    return fetch(`${envoy.url(gateway)}/api/generate`, options).then(
      ({ status }) => status,
      () => 0,
    );
  };

  describe.each(['duplex', 'buffered'])('%s', (gateway) => {
    it.each(Object.entries(WRONG))('%s lives on', async (_, wrong) => {
      answers = wrong;
      await Promise.all([ask(gateway), ask(gateway), ask(gateway)]);
      expect(envoy.isRunning, envoy.log).toBe(true);
      answers = [REFUSAL];
      expect(await ask(gateway)).toBe(503);
    });
  });

  it('counts what it did not ask for', async () => {
    const stats = await envoy.admin('/stats?filter=spurious_msgs_received');
    const counts = [...stats.matchAll(/: (\d+)$/gm)].map(([, count]) => Number(count));
    expect(Math.max(...counts)).toBeGreaterThan(0);
  });
});
