import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { inferenceEndpoint } from '../../../src/request/endpoints.ts';
import { MAX_VALUE_BYTES } from '../../../src/request/limits.ts';
import { scanBody } from '../../../src/request/scan-body.ts';
import type { InferenceEndpoint } from '../../../src/request/types.ts';
import { arbitraryBody } from './generators.ts';
import { outcome } from './refusal.ts';

interface GoReading {
  readonly error: string;
  readonly model: string;
  readonly name: string | null;
  readonly stream: boolean | null;
  readonly numCtx: number | null;
  readonly keepAliveNs: number | null;
  readonly isAlone: boolean;
}

const program = fileURLToPath(new URL('./go-decoder', import.meta.url));
const hasGo = spawnSync('go', ['version']).status === 0;
const why = 'no `go` on the PATH';

function readInGo(bodies: readonly Uint8Array[]): GoReading[] {
  const input = bodies.map((body) => `${Buffer.from(body).toString('base64')}\n`).join('');
  const run = spawnSync('go', ['run', '.'], {
    cwd: program,
    input,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    env: { ...process.env, GOWORK: 'off', GOTOOLCHAIN: 'local', GOFLAGS: '-buildvcs=false' },
  });
  if (run.status !== 0) throw new Error(`go run failed: ${run.error?.message ?? run.stderr}`);
  return run.stdout
    .trimEnd()
    .split('\n')
    .map((line): GoReading => JSON.parse(line));
}

describe("scanBody against Go's encoding/json", () => {
  it('never routes by another model, stream, num_ctx or keep_alive than a server written in Go reads', ({
    skip,
  }) => {
    if (!hasGo) skip(why);
    const chat = inferenceEndpoint('/api/chat') as InferenceEndpoint; // in the table, see endpoints.test.ts
    const show = inferenceEndpoint('/api/show') as InferenceEndpoint;
    const bodies = fc.sample(arbitraryBody(), { numRuns: 20_000 });
    const readings = readInGo(bodies);
    expect(readings.length).toBe(bodies.length);
    const seen = { accepted: 0, refused: 0, streams: 0, contexts: 0, unloads: 0, names: 0 };
    for (const [index, body] of bodies.entries()) {
      const go = readings[index] as GoReading; // as many as bodies
      const context = Buffer.from(body).toString('latin1');
      const request = outcome(() => scanBody(body, chat, body.length));
      if (typeof request === 'string') {
        if (go.error === '') seen.refused++;
      } else {
        seen.accepted++;
        expect([go.error, go.isAlone], context).toEqual(['', true]);
        expect(go.model.replace(/^ +| +$/g, ''), context).toBe(request.model.raw);
        expect(request.stream ?? null, context).toBe(go.stream);
        if (go.stream !== null) seen.streams++;
        // Undefined also where Go's float is no possible context.
        const isContext = go.numCtx !== null && go.numCtx >= 1 && go.numCtx <= Number.MAX_SAFE_INTEGER;
        if (request.numCtx !== undefined || isContext) {
          seen.contexts++;
          expect(request.numCtx, context).toBe(Math.trunc(go.numCtx ?? Number.NaN));
        }
        const stay = go.keepAliveNs;
        // Values too long to be worked out count as unloading; Go refuses them sooner or later.
        const isOverlong = stay === null && body.length > MAX_VALUE_BYTES;
        if (!isOverlong) expect(request.unloads, context).toBe(stay !== null && stay >= 0 && stay < 1e9);
        if (request.unloads) seen.unloads++;
      }
      const shown = outcome(() => scanBody(body, show, body.length));
      if (typeof shown === 'string') continue;
      seen.names++;
      expect((go.model === '' ? go.name : go.model)?.replace(/^ +| +$/g, ''), context).toBe(shown.model.raw);
    }
    for (const count of Object.values(seen)) expect(count).toBeGreaterThan(50);
  }, 60_000);
});
