import { fork } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ClientOptions, credentials, makeClientConstructor } from '@grpc/grpc-js';
import { SystemClock } from '../../../src/app/system-clock.ts';
import { startGrpcServer } from '../../../src/envoy/grpc/server.ts';
import type { ProcessorService } from '../../../src/envoy/processor/service.ts';
import { MemoryLog } from '../../unit/envoy/grpc/harness.ts';

/** In the child: serves until the parent lets go, and tells its CPU time whenever it is asked. */
export async function serveProcessor(service: ProcessorService, path: string): Promise<void> {
  const server = await startGrpcServer({
    bind: { kind: 'unix', path },
    limits: { bodyBytes: 64 * 1024 * 1024 },
    services: [service],
    clock: new SystemClock(),
    log: new MemoryLog(),
  });
  process.on('message', () => process.send?.(process.cpuUsage()));
  process.on('disconnect', () => server.close().then(() => process.exit(0)));
  process.send?.('ready');
}

/** Runs `script --serve SOCKET` in a process of its own, so that its CPU time is the server's alone, and calls it. */
export async function startProcessorChild(
  script: string,
  { definition }: ProcessorService,
  options: ClientOptions = {},
) {
  const folder = mkdtempSync(join(tmpdir(), 'warmpath-bench-'));
  const path = join(folder, 'grpc.sock');
  const child = fork(script, ['--serve', path]);
  const answer = () =>
    new Promise<NodeJS.CpuUsage>((resolve) => child.once('message', (m) => resolve(m as NodeJS.CpuUsage))); // sound: the server above sends nothing else
  await answer();
  const Client = makeClientConstructor(definition, 'bench');
  const client = new Client(`unix:${path}`, credentials.createInsecure(), options);
  return {
    client,
    /** CPU time of the server so far, ms. */
    cpuMs: async (): Promise<number> => {
      const next = answer();
      child.send('usage');
      const { user, system } = await next;
      return (user + system) / 1000;
    },
    close: (): void => {
      client.close();
      child.disconnect();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
