/**
 * CPU per request of the control plane's ext_proc server, without Envoy: a server in a process of its own, a grpc-js
 * client here.   node test/bench/ext-proc.bench.ts [--streams 20000] [--concurrency 64] [--body BYTES]
 */
import { parseArgs } from 'node:util';
import { SystemClock } from '../../src/app/system-clock.ts';
import type { RequestRouter } from '../../src/app/types.ts';
import type { ProcessingRequest } from '../../src/envoy/gen/envoy/service/ext_proc/v3/external_processor.ts';
import { createCallers } from '../../src/envoy/processor/callers.ts';
import { ProcessorService } from '../../src/envoy/processor/service.ts';
import { CountingTelemetry, MemoryLog } from '../unit/envoy/grpc/harness.ts';
import { body, DECISION, FakeReads, head, process as openStream } from '../unit/envoy/processor/fakes.ts';
import { serveProcessor, startProcessorChild } from './lib/processor-child.ts';

/** What Envoy sends with a small request of curl's. */
const HEADERS = {
  ':scheme': 'http',
  'user-agent': 'curl/8.5.0',
  accept: '*/*',
  'content-type': 'application/json',
  'x-forwarded-proto': 'http',
  'x-forwarded-for': '127.0.0.1',
};

/** Remembers nothing: what is measured is the server. */
const ROUTER: RequestRouter = {
  place: (_request, _caller, _heldBytes, { placed }) => {
    placed(DECISION);
    return PLACED;
  },
  refused: () => {},
};
const PLACED = { isWaiting: false, finish: () => {} };
const CALLERS = createCallers({
  maxWaitMs: 30_000,
  defaultClass: 'normal',
  classes: {},
  trustHeaders: true,
  clients: [],
});

function service(): ProcessorService {
  return new ProcessorService({
    router: ROUTER,
    reads: new FakeReads(),
    telemetry: new CountingTelemetry(),
    log: new MemoryLog(),
    clock: new SystemClock(),
    callers: CALLERS,
  });
}

async function drive(): Promise<void> {
  const { values } = parseArgs({
    options: {
      streams: { type: 'string', default: '20000' },
      concurrency: { type: 'string', default: '64' },
      body: { type: 'string', default: '0' },
    },
  });
  const { client, cpuMs, close } = await startProcessorChild(import.meta.filename, service(), {
    'grpc.max_send_message_length': -1,
  });
  const bodyBytes = Number(values.body);
  const chat = `{"model":"llama3","messages":[{"role":"user","content":"${'x'.repeat(Math.max(200, bodyBytes))}"}]}`;
  const messages: ProcessingRequest[] =
    bodyBytes === 0
      ? [head({ bones: chat, headers: { ...HEADERS, 'content-length': String(chat.length) } })]
      : [head({ headers: HEADERS }), body(chat)];
  const one = () =>
    new Promise<void>((resolve, reject) => {
      const call = openStream(client);
      let sent = 0;
      const send = () => {
        const message = messages[sent];
        sent += 1;
        if (message === undefined) call.end();
        else call.write(message);
      };
      call.on('data', send);
      call.on('error', reject);
      call.on('status', () => resolve());
      send();
    });

  for (const [round, streams] of [Number(values.streams) / 4, Number(values.streams)].entries()) {
    const before = await cpuMs();
    const start = process.hrtime.bigint();
    let left = streams;
    const worker = async () => {
      while (left-- > 0) await one();
    };
    await Promise.all(Array.from({ length: Number(values.concurrency) }, worker));
    const seconds = Number(process.hrtime.bigint() - start) / 1e9;
    const perStreamMs = ((await cpuMs()) - before) / streams;
    if (round > 0)
      console.log(
        `${streams} streams: ${perStreamMs.toFixed(3)} CPU-ms of the server per stream, ${(streams / seconds).toFixed(0)} streams/s`,
      );
  }
  close();
}

if (process.argv[2] === '--serve') await serveProcessor(service(), process.argv[3] ?? '');
else await drive();
