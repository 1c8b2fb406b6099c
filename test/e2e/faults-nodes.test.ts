import { afterEach, expect, it } from 'vitest';
import { type NodeProcess, spawnNode } from '../sim/fleet.ts';
import { realEnvoy } from '../support/envoy.ts';
import { figure, quantile } from '../support/figures.ts';
import { post } from '../support/http-client.ts';
import { describeReal } from '../support/require-real.ts';
import { pause, waitFor } from '../support/wait-for.ts';
import { ask, closeArenas, GENERATE, MODEL, QUICK, startArena } from './faults/arena.ts';
import { described, failures, generateBody, isWhole, Load, maxAttempts } from './faults/load.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

/** Mostly small, now and then large: at 60 per second one of 8 MiB every two seconds. */
function mixedBody(index: number): Buffer {
  const bytes = index % 120 === 60 ? 8 * MIB : index % 40 === 20 ? MIB : index % 10 === 5 ? 64 * KIB : KIB;
  return generateBody(MODEL, bytes, { tokens: 160, stream: index % 4 === 0 });
}

function smallBody(model = MODEL): () => Buffer {
  const body = generateBody(model, KIB);
  return () => body;
}

/** A node in a process of its own, with the model in memory. */
async function warmVictim(): Promise<NodeProcess> {
  const victim = await spawnNode({ name: 'victim', ...QUICK });
  await post(victim.url + GENERATE, { model: MODEL, prompt: '' });
  return victim;
}

describeReal(await realEnvoy(), 'nodes that cannot be reached', () => {
  afterEach(closeArenas);

  it('G1: a node killed under load costs no client anything but what had begun, and one more attempt at most', async () => {
    const victim = await warmVictim();
    const arena = await startArena({ count: 4, urls: { victim: victim.url } });
    await arena.countFromHere();
    const load = new Load(arena.url, { perSecond: 60, body: mixedBody });
    await pause(2_500);
    const killedAt = performance.now();
    victim.process.kill('SIGKILL');
    await pause(3_500);
    const samples = await load.stop();

    const broken = samples.filter((each) => !isWhole(each));
    const unexcused = broken.filter(
      ({ answer, node }) => answer?.status !== 200 || answer.isComplete || node !== 'victim',
    );
    expect(unexcused.map(described)).toEqual([]);
    expect(
      broken.every(({ index }) => index % 4 === 0),
      'only streams can have begun',
    ).toBe(true);
    expect(maxAttempts(samples)).toBeLessThanOrEqual(2);
    const late = samples.filter((each) => each.sentAt > killedAt + 1_500);
    expect(late.length).toBeGreaterThan(50);
    expect(late.filter((each) => each.attempts !== 1).map(described)).toEqual([]);
    expect(samples.some((each) => each.node === 'victim' && each.sentAt < killedAt)).toBe(true);
    expect(['suspect', 'down']).toContain((await arena.node('victim')).status);
    const added = samples.filter((each) => each.attempts === 2).map((each) => each.answer?.firstByteMs ?? 0);
    figure('G1 node killed at 60 requests/s', {
      requests: samples.length,
      retried: added.length,
      truncated: broken.length,
      // Includes the 400 ms that every answer takes to be generated.
      retriedAnswerP99Ms: quantile(added, 0.99),
    });
    await arena.settled();
  });

  it('F50: a node that refuses connections is passed over, and comes back', async () => {
    const arena = await startArena();
    await arena.countFromHere();
    const [first] = arena.fleet.nodes;
    const load = new Load(arena.url, { perSecond: 80, body: smallBody() });
    await pause(1_000);
    await first?.setFault({ kind: 'refuse' });
    await arena.waitForStatus('n1', ['down']);
    const downAt = performance.now();
    await pause(1_000);
    const healedAt = performance.now();
    await first?.setFault(undefined);
    await arena.waitForStatus('n1', ['ready']);
    const samples = await load.stop();
    // While others are idle nobody needs a node that has failed: a crowd does.
    await waitFor('n1 to serve again', async () => {
      samples.push(...(await ask(arena, 60)));
      return first?.inferenceRequests.some((each) => each.startedAt > healedAt);
    });
    expect(failures(samples)).toEqual([]);
    expect(maxAttempts(samples)).toBeLessThanOrEqual(2);
    const whileDown = samples.filter((each) => each.sentAt > downAt && each.sentAt < healedAt);
    expect(whileDown.filter((each) => each.attempts !== 1).map(described)).toEqual([]);
    const unseen = samples.filter((each) => each.attempts === 2).length;
    await arena.settled();
    await arena.expectLedgersAgree(samples, { unseen });
  });

  it('F51: a node behind a black hole costs its connect timeout, then nothing', async () => {
    const arena = await startArena({
      config: { poll: { interval: '250ms', timeout: '1s', connectTimeout: '400ms' } },
    });
    await arena.countFromHere();
    const load = new Load(arena.url, { perSecond: 40, body: smallBody() });
    await pause(1_000);
    const cutAt = performance.now();
    await arena.fleet.nodes[0]?.setFault({ kind: 'never_accept' });
    await arena.waitForStatus('n1', ['suspect', 'down'], 5_000);
    await pause(cutAt + 4_500 - performance.now());
    const samples = await load.stop();
    const broken = samples.filter((each) => !isWhole(each));
    // What ran on the node when it vanished is lost if it had begun; nothing else is.
    expect(
      broken.filter((each) => each.sentAt > cutAt || each.answer?.status !== 200).map(described),
    ).toEqual([]);
    expect(maxAttempts(samples)).toBeLessThanOrEqual(2);
    const late = samples.filter((each) => each.sentAt > cutAt + 3_000);
    expect(late.length).toBeGreaterThan(10);
    expect(late.filter((each) => each.attempts !== 1).map(described)).toEqual([]);
    const added = samples.filter((each) => each.attempts === 2).map((each) => each.answer?.firstByteMs ?? 0);
    expect(Math.max(0, ...added)).toBeLessThan(3_000);
    figure('F51 black hole, connect timeout 400 ms', {
      retried: added.length,
      firstByteP99Ms: quantile(added, 0.99),
    });
    await arena.settled();
  });

  it('F52: a stopped node costs the time that a first byte may take, then nothing until it goes on', async () => {
    const victim = await warmVictim();
    const arena = await startArena({
      urls: { victim: victim.url },
      config: { routing: { firstByteTimeout: '1s' } },
    });
    await arena.countFromHere();
    const load = new Load(arena.url, { perSecond: 40, body: smallBody() });
    await pause(1_500);
    const stoppedAt = performance.now();
    victim.process.kill('SIGSTOP');
    await pause(5_000);
    const continuedAt = performance.now();
    victim.process.kill('SIGCONT');
    await pause(500);
    const samples = await load.stop();
    const broken = samples.filter((each) => !isWhole(each));
    // A stream that had begun stands still and goes on; no other may fail.
    expect(broken.map(described)).toEqual([]);
    expect(maxAttempts(samples)).toBeLessThanOrEqual(2);
    const late = samples.filter((each) => each.sentAt > stoppedAt + 3_000 && each.sentAt < continuedAt);
    expect(late.length).toBeGreaterThan(40);
    expect(late.filter((each) => each.attempts !== 1).map(described)).toEqual([]);
    figure('F52 stopped node, first byte within 1 s', {
      retried: samples.filter((each) => each.attempts === 2).length,
      requests: samples.length,
    });
    await arena.waitForStatus('victim', ['ready']);
    await arena.settled();
  });
});
