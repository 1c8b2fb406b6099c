import { describe, expect, it } from 'vitest';
import { StoreError } from '../../../src/store/contract.ts';
import { Gate, MAX_PENDING } from '../../../src/store/redis/gate.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { RecordingStoreTelemetry } from '../../support/redis-store.ts';

function setup({ isOneServer = true } = {}) {
  const clock = new FakeClock();
  const telemetry = new RecordingStoreTelemetry();
  const tripped: string[] = [];
  const refused: string[] = [];
  const gate = new Gate({
    clock,
    timeoutMs: 250,
    telemetry,
    isOneServer,
    onTripped: (error) => tripped.push(error.message),
    onRefused: (error) => refused.push(error.message),
  });
  return { clock, telemetry, tripped, refused, gate };
}

const never = () => new Promise<never>(() => {});
const answers = async () => 'answer';
/** As ioredis rejects, password and all. */
function says(message: string): () => Promise<never> {
  const error = Object.assign(new Error(message), { command: { name: 'auth', args: ['hunter2'] } });
  error.name = 'ReplyError';
  return () => Promise.reject(error);
}
const reasonOf = (call: Promise<unknown>) =>
  call.then(
    () => 'ok',
    (error: unknown) => (error instanceof StoreError ? error.reason : 'not a StoreError'),
  );

describe('the gate to Redis', () => {
  it('is shut until it is opened, and sends nothing before', async () => {
    const { gate } = setup();
    let sent = 0;
    const command = async () => {
      sent += 1;
    };
    expect(await reasonOf(gate.run('x', command))).toBe('disconnected');
    gate.open();
    expect(await reasonOf(gate.run('x', command))).toBe('ok');
    gate.shut('breaker_open');
    expect(await reasonOf(gate.run('x', command))).toBe('breaker_open');
    expect(sent).toBe(1);
  });

  it('ends each command in time, and counts it as pending until Redis has answered', async () => {
    const { gate, clock, telemetry } = setup();
    gate.open();
    let answer: () => void = () => {};
    const late = reasonOf(
      gate.run(
        'slow',
        () =>
          new Promise<void>((resolve) => {
            answer = resolve;
          }),
      ),
    );
    await clock.advance(249);
    expect(telemetry.commands).toEqual([]);
    await clock.advance(1);
    expect(await late).toBe('timeout');
    expect(telemetry.commands).toEqual(['slow timeout']);
    expect(gate.pending).toBe(1);
    answer();
    await clock.advance(0);
    expect(gate.pending).toBe(0);
    expect(clock.pending).toBe(0);
  });

  it('lets a thousand commands wait and no more', async () => {
    const { gate } = setup();
    gate.open();
    for (let i = 0; i < MAX_PENDING; i++) void reasonOf(gate.run('x', never));
    expect(await reasonOf(gate.run('x', answers))).toBe('overloaded');
    expect(gate.pending).toBe(MAX_PENDING);
  });

  it('is shut by five timeouts in a row, not by four and an answer', async () => {
    const { gate, clock, tripped } = setup();
    gate.open();
    const fail = async () => {
      const call = reasonOf(gate.run('x', never));
      await clock.advance(250);
      return call;
    };
    for (let i = 0; i < 4; i++) await fail();
    await gate.run('x', answers);
    for (let i = 0; i < 4; i++) await fail();
    expect(tripped).toEqual([]);
    await fail();
    expect(tripped).toEqual(['Redis did not answer within 250 ms']);
    expect(await reasonOf(gate.run('x', answers))).toBe('breaker_open');
    gate.open();
    expect(await reasonOf(gate.run('x', answers))).toBe('ok');
  });

  it.each([
    "READONLY You can't write",
    'OOM command not allowed',
    'LOADING Redis is loading',
    'MISCONF errors',
  ])('is shut at once by one server that says %s, and only by many of a cluster', async (text) => {
    const one = setup();
    one.gate.open();
    expect(await reasonOf(one.gate.run('x', says(text)))).toBe('refused');
    expect(one.tripped).toEqual([`Redis: ${text}`]);
    const cluster = setup({ isOneServer: false });
    cluster.gate.open();
    await reasonOf(cluster.gate.run('x', says(text)));
    expect(cluster.tripped).toEqual([]);
  });

  it('stays open for what one command alone cannot do, and tells of it', async () => {
    const { gate, tripped, refused } = setup();
    gate.open();
    for (let i = 0; i < 10; i++)
      expect(await reasonOf(gate.run('x', says('NOPERM no permissions to run hset')))).toBe('refused');
    expect(await reasonOf(gate.run('x', says('WRONGTYPE wrong kind of value')))).toBe('corrupt');
    expect(tripped).toEqual([]);
    expect(refused).toHaveLength(11);
  });

  it('hands no argument of a failed command on', async () => {
    const { gate } = setup();
    gate.open();
    const error: unknown = await gate.run('x', says('WRONGPASS invalid')).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(StoreError);
    expect(JSON.stringify([error, Object.getOwnPropertyDescriptors(error)])).not.toContain('hunter2');
  });
});
