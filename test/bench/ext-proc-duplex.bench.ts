/**
 * What an answer costs that is echoed piece by piece (FULL_DUPLEX_STREAMED): CPU of the server for 1,000 pieces, and how much later
 * each one comes. A server in a process of its own, a grpc-js client here, no Envoy.
 *   node test/bench/ext-proc-duplex.bench.ts [--pieces 20000] [--size 120] [--streams 8]
 */
import { parseArgs } from 'node:util';
import { SystemClock } from '../../src/app/system-clock.ts';
import type { ProcessingResponse } from '../../src/envoy/gen/envoy/service/ext_proc/v3/external_processor.ts';
import { ProcessorService } from '../../src/envoy/processor/service.ts';
import { CountingTelemetry, Inbox, MemoryLog } from '../unit/envoy/grpc/harness.ts';
import { duplexHead, wholeEcho } from '../unit/envoy/processor/duplex.ts';
import { body, FakeReads, FakeRouter, process as openStream } from '../unit/envoy/processor/fakes.ts';
import { serveProcessor, startProcessorChild } from './lib/processor-child.ts';

function service(): ProcessorService {
  const deps = {
    router: new FakeRouter(),
    reads: new FakeReads(),
    telemetry: new CountingTelemetry(),
    log: new MemoryLog(),
    clock: new SystemClock(),
  };
  return new ProcessorService(deps, { profile: 'epp' });
}

async function drive(): Promise<void> {
  const { values } = parseArgs({
    options: {
      pieces: { type: 'string', default: '20000' },
      size: { type: 'string', default: '120' },
      streams: { type: 'string', default: '8' },
    },
  });
  const [pieces, size, streams] = [Number(values.pieces), Number(values.size), Number(values.streams)];
  const { client, cpuMs, close } = await startProcessorChild(import.meta.filename, service());
  const token = { response_body: { body: Buffer.alloc(size, 'x') } };

  /** Each piece is sent when the one before came back: how long that takes, ms. */
  const one = async (count: number): Promise<number[]> => {
    const call = openStream(client);
    const inbox = new Inbox<ProcessingResponse>(call);
    call.write(duplexHead());
    call.write(body('{"model":"llama3"}'));
    await inbox.next();
    await wholeEcho(inbox);
    call.write({ response_headers: {} });
    await inbox.next();
    const took: number[] = [];
    for (let i = 0; i < count; i++) {
      const start = performance.now();
      call.write(token);
      await inbox.next();
      took.push(performance.now() - start);
    }
    call.end();
    await inbox.status;
    return took;
  };

  await one(2_000);
  const alone = (await one(5_000)).sort((a, b) => a - b);
  const before = await cpuMs();
  await Promise.all(Array.from({ length: streams }, () => one(pieces / streams)));
  const spentMs = (await cpuMs()) - before;
  const at = (share: number) => `${(alone[Math.floor(alone.length * share)] ?? 0).toFixed(3)} ms`;
  console.log(
    `pieces of ${size} bytes: ${((spentMs * 1_000) / pieces).toFixed(1)} CPU-ms of the server for 1,000 of them over ${streams} streams; ` +
      `one stream: back after ${at(0.5)} (median), ${at(0.99)} (p99), the client's own part included`,
  );
  close();
}

if (process.argv[2] === '--serve') await serveProcessor(service(), process.argv[3] ?? '');
else await drive();
