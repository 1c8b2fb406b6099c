import { createHash } from 'node:crypto';
import { afterEach, expect, it } from 'vitest';
import { realEnvoy } from '../support/envoy.ts';
import { figure, quantile } from '../support/figures.ts';
import { type Answer, send } from '../support/http-client.ts';
import { describeReal } from '../support/require-real.ts';
import { pause, waitFor } from '../support/wait-for.ts';
import { type Arena, ask, closeArenas, GENERATE, MODEL, startArena } from './faults/arena.ts';
import { failures, generateBody, Load, maxAttempts, type Sample, sample } from './faults/load.ts';
import { waitForEnd } from './faults/processes.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
/** Envoy's bound on one answer of the control plane. */
const DECISION_MS = 2_000;

const small = (tokens = 4) => {
  const body = generateBody(MODEL, KIB, { tokens });
  return () => body;
};

function waits(samples: readonly Sample[]): number[] {
  return samples.map((each) => each.answer?.firstByteMs ?? Number.POSITIVE_INFINITY);
}

/** Waits until requests are ranked again, and says how long that took. */
async function untilRouted(arena: Arena): Promise<number> {
  const startedAt = performance.now();
  await waitFor(
    'requests to be routed again',
    async () =>
      (await arena.generate()).headers['x-warmpath-decision'] !== undefined &&
      isRouted(await arena.generate()),
  );
  return performance.now() - startedAt;
}

function isRouted({ headers }: Answer): boolean {
  const decision = headers['x-warmpath-decision'];
  return typeof decision === 'string' && decision !== '' && decision !== '-';
}

describeReal(await realEnvoy(), 'a control plane that fails', () => {
  afterEach(closeArenas);

  it('G3 F14: killed again and again under load, no request fails, and it routes again each time', async () => {
    const arena = await startArena();
    const load = new Load(arena.url, { perSecond: 60, body: small(20) });
    await pause(1_000);
    const recoveries: number[] = [];
    for (let kill = 0; kill < 5; kill++) {
      const { controlPlane } = arena.warmpath.pids;
      process.kill(controlPlane, 'SIGKILL');
      await waitForEnd(controlPlane);
      recoveries.push(await untilRouted(arena));
      expect(arena.warmpath.pids.controlPlane).not.toBe(controlPlane);
      await pause(300);
    }
    const samples = await load.stop();
    expect(failures(samples)).toEqual([]);
    expect(maxAttempts(samples)).toBe(1);
    expect(
      samples.some((each) => !each.routed),
      'some went unrouted',
    ).toBe(true);
    figure('G3 control plane killed 5 times', {
      requests: samples.length,
      failed: 0,
      unrouted: samples.filter((each) => !each.routed).length,
      firstByteP99Ms: quantile(waits(samples), 0.99),
      firstRecoveryMs: recoveries[0] ?? Number.NaN,
      slowestRecoveryMs: Math.max(...recoveries),
    });
    await arena.settled();
    const later: Sample[] = [];
    await waitFor('every request to be routed again', async () => {
      const crowd = await ask(arena, 10);
      later.push(...crowd);
      return crowd.every((each) => each.routed);
    });
    expect(failures(later)).toEqual([]);
  });

  it('G4 F22: stopped for 5 s, no request waits longer than one answer may take; going on, it acts on nothing stale', async () => {
    const arena = await startArena();
    const load = new Load(arena.url, { perSecond: 40, body: small() });
    await pause(1_000);
    const { controlPlane } = arena.warmpath.pids;
    const stoppedAt = performance.now();
    process.kill(controlPlane, 'SIGSTOP');
    await pause(5_000);
    process.kill(controlPlane, 'SIGCONT');
    await untilRouted(arena);
    await pause(500);
    const samples = await load.stop();
    expect(failures(samples)).toEqual([]);
    expect(maxAttempts(samples)).toBe(1);
    expect(Math.max(...waits(samples))).toBeLessThan(DECISION_MS + 1_000);
    const slow = samples.filter((each) => (each.answer?.firstByteMs ?? 0) > 400);
    const lastSlow = Math.max(0, ...slow.map((each) => each.sentAt - stoppedAt));
    // The health check has found out by then.
    expect(lastSlow).toBeLessThan(4_000);
    expect(arena.warmpath.pids.controlPlane).toBe(controlPlane);
    figure('G4 control plane stopped 5 s', {
      requests: samples.length,
      waitedForIt: slow.length,
      longestWaitMs: Math.max(...waits(samples)),
      lastThatWaitedMs: lastSlow,
    });
    await arena.settled();
    expect(arena.fleet.inference.every((each) => !each.aborted)).toBe(true);
  });

  it('G5 F20: down, inference goes on and management stays forbidden in every spelling', async () => {
    const arena = await startArena();
    // The supervisor cannot start another while it stands still.
    const { supervisor, controlPlane } = arena.warmpath.pids;
    process.kill(supervisor, 'SIGSTOP');
    try {
      process.kill(controlPlane, 'SIGKILL');
      await waitForEnd(controlPlane);
      const samples = await ask(arena, 100);
      expect(failures(samples)).toEqual([]);
      expect(samples.every((each) => !each.routed)).toBe(true);
      arena.fleet.clearRequests();
      const spellings: [method: string, path: string][] = [
        ['POST', '/api/pull'],
        ['POST', '/API/pull'],
        ['POST', '/api/PULL'],
        ['POST', '/api/pull/'],
        ['POST', '//api/pull'],
        ['POST', '/api//pull'],
        ['POST', '/./api/pull'],
        ['POST', '/api/x/../pull'],
        ['POST', '/%61pi/pull'],
        ['POST', '/api/%70ull'],
        ['POST', '/api/pull?stream=false'],
        ['POST', '/api/pull;x=y'],
        ['POST', '/api/push'],
        ['POST', '/api/create'],
        ['POST', '/api/copy'],
        ['DELETE', '/api/delete'],
        ['DELETE', '//api/delete'],
        ['POST', `/api/blobs/sha256:${'a'.repeat(64)}`],
        ['POST', '/api/experimental/web_fetch'],
        ['GET', '/metrics'],
      ];
      for (const [method, path] of spellings) {
        const { status } = await send(`${arena.url}${path}`, { method, body: { model: MODEL, name: MODEL } });
        expect([403, 404, 405], `${method} ${path}`).toContain(status);
      }
      expect(arena.fleet.forbidden).toEqual([]);
      expect(
        arena.fleet.nodes.flatMap((node) => node.requests.filter(({ method }) => method !== 'GET')),
      ).toEqual([]);
    } finally {
      process.kill(supervisor, 'SIGCONT');
    }
    await untilRouted(arena);
    await arena.settled();
  });

  it('F21: killed at any moment of a request, the body arrives once and whole', async () => {
    const arena = await startArena({ config: { limits: { body: '8MiB' } } });
    const sizes = [64 * KIB, MIB, 8 * MIB - KIB];
    const samples: Sample[] = [];
    const hashes = new Map<string, number>();
    for (const [round, delayMs] of [0, 3, 15, 60].entries()) {
      const bodies = sizes.map((bytes) =>
        generateBody(MODEL, bytes - 200, { tokens: 4 + round, stream: false }),
      );
      for (const body of bodies) hashes.set(createHash('sha256').update(body).digest('hex'), 0);
      const { controlPlane } = arena.warmpath.pids;
      const answers = bodies.map((body, i) => sample(arena.url + GENERATE, i, body));
      await pause(delayMs);
      process.kill(controlPlane, 'SIGKILL');
      samples.push(...(await Promise.all(answers)));
      await waitForEnd(controlPlane);
      await untilRouted(arena);
    }
    expect(failures(samples)).toEqual([]);
    for (const { bodySha256 = '' } of arena.fleet.inference) {
      const count = hashes.get(bodySha256);
      if (count !== undefined) hashes.set(bodySha256, count + 1);
    }
    expect([...hashes.values()]).toEqual(Array.from({ length: 4 * sizes.length }, () => 1));
    await arena.settled();
  });

  it('F27: restarted gracefully five times under load, nothing fails', async () => {
    const arena = await startArena();
    const load = new Load(arena.url, { perSecond: 60, body: small(40) });
    for (let restart = 0; restart < 5; restart++) {
      const { controlPlane } = arena.warmpath.pids;
      process.kill(controlPlane, 'SIGTERM');
      await waitForEnd(controlPlane, 15_000);
      await untilRouted(arena);
    }
    const samples = await load.stop();
    expect(failures(samples)).toEqual([]);
    expect(maxAttempts(samples)).toBe(1);
    figure('F27 five graceful restarts', {
      requests: samples.length,
      unrouted: samples.filter((each) => !each.routed).length,
      firstByteP99Ms: quantile(waits(samples), 0.99),
    });
    await arena.settled();
  });
});
